package share

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"math/bits"
	"mime"
	"slices"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/dicom"
	"yitong/gateway/failpoint"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
)

// FHIR is the media type of what is split into parts (FHIR R4, section 3.1.1.1.7).
const FHIR = "application/fhir+json"

// Submission says what is submitted.
type Submission struct {
	ID         string        `json:"id"` // 32 hex digits; "" lets the gateway choose
	Patient    Patient       `json:"patient"`
	MediaType  string        `json:"mediaType"`
	Class      record.Class  `json:"class,omitzero"`  // of a file that isn't FHIR
	Labels     record.Labels `json:"labels,omitzero"` // likewise
	Period     record.Period `json:"period,omitzero"` // likewise
	Supersedes string        `json:"supersedes,omitempty"`
	// Description is what is known about a file that isn't FHIR: a FHIR R4 Bundle with one
	// entry, at most [MaxDescription]. It becomes the part after the file's, under the same
	// class, labels and period, so that whoever may open the one may open the other.
	Description []byte `json:"description,omitempty"`

	sum []byte // SHA-256 that the content must have; nil where nobody said
}

// taken reads what is submitted: counts and hashes it, once, and compares it at its end with
// what was said of it.
type taken struct {
	r    io.Reader
	h    hash.Hash
	n    int64 // bytes
	want []byte
	err  error // why it can't be read to its end
}

func (s Submission) taking(content io.Reader) *taken {
	return &taken{r: content, h: sha256.New(), want: s.sum}
}

func (t *taken) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	t.h.Write(b[:n])
	t.n += int64(n)
	if err == io.EOF && len(t.want) != 0 && !bytes.Equal(t.h.Sum(nil), t.want) {
		err = refusal.New(ChecksumMismatch, "what was uploaded isn't what the checksum is of", "uploading it anew")
	}
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

func (t *taken) digest() record.Hash { return record.Hash(t.h.Sum(nil)) }

// MaxDescription is how long a description may be, in bytes.
const MaxDescription = 1 << 20

// Submit seals a record part by part, keeps it, and anchors it on the ledger. The
// same id with the same content again answers with the record as it is; with
// other content it is refused (exists).
func (g *Gateway) Submit(ctx context.Context, s Submission, content io.Reader) (Record, ledger.Commit, error) {
	if g.Self.Kind != registry.Hospital {
		return Record{}, ledger.Commit{}, refusal.New(refusal.KindNotAllowed, "a "+string(g.Self.Kind)+" holds no records", "a hospital's gateway")
	}
	s, err := s.check(ctx)
	if err != nil {
		return Record{}, ledger.Commit{}, err
	}
	if s, content, err = s.sorted(content); err != nil {
		return Record{}, ledger.Commit{}, err
	}
	defer g.records.lock(s.ID)()

	known, ok, err := load[catalogued](g.Keys, bucketRecords, s.ID)
	if err != nil {
		return Record{}, ledger.Commit{}, err
	}
	up, begun, err := load[staging](g.Keys, bucketUploads, s.ID)
	if err != nil {
		return Record{}, ledger.Commit{}, err
	}
	if begun && !up.Going && up.Owner != subjectOf(ctx) {
		return Record{}, ledger.Commit{}, refusal.New(refusal.Exists, "another upload was begun under this id", "a new id")
	}
	if ok && known.Status == record.Erased {
		return Record{}, ledger.Commit{}, known.gone(g.Self.MSP)
	}
	if ok {
		if err := known.same(s, content); err != nil {
			return Record{}, ledger.Commit{}, err
		}
	} else if known, err = g.sealRecord(ctx, s, content); err != nil {
		return Record{}, ledger.Commit{}, fmt.Errorf("sealing the record: %w", err)
	}
	failpoint.Reach("submit: catalogued")
	if known.Status == "" {
		anchored, err := g.anchor(ctx, known)
		var refused *refusal.Refusal
		if errors.As(err, &refused) {
			// The ledger will never take it: keep nothing of it.
			err = errors.Join(err, g.discard(ctx, known))
		}
		if err != nil {
			return Record{}, ledger.Commit{}, fmt.Errorf("anchoring record %s: %w", s.ID, err)
		}
		failpoint.Reach("submit: anchored")
		known = anchored
		g.lodge(ctx, known)
	}
	return known.Record, known.Commit, nil
}

func (s Submission) check(ctx context.Context) (Submission, error) {
	var err error
	if s.Patient, err = s.Patient.Normalise(); err != nil {
		return s, err
	}
	if s.ID == "" {
		s.ID = chosenID(ctx)
	}
	if err := access.CheckID(s.ID); err != nil {
		return s, err
	}
	if s.Supersedes != "" {
		if err := access.CheckID(s.Supersedes); err != nil {
			return s, err
		}
	}
	if s.MediaType, _, err = mime.ParseMediaType(s.MediaType); err != nil {
		return s, refusal.New(refusal.Malformed, "the media type can't be read", FHIR+", or the type of the file, for example application/pdf")
	}
	if len(s.MediaType) > 127 {
		return s, refusal.New(refusal.Malformed, "the media type is too long", "at most 127 bytes")
	}
	if s.MediaType != FHIR && s.MediaType != dicom.MediaType && s.MediaType != Tar && s.Class == 0 {
		return s, refusal.New(refusal.Malformed, "a file that isn't "+FHIR+" needs its data class", "one of the data classes, for example document")
	}
	return s, s.checkDescription()
}

// NewID makes an id: 16 random bytes as 32 hex digits.
func NewID() string {
	var raw [16]byte
	rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}

// same refuses a retry that brings other content than was submitted under this id.
func (c catalogued) same(s Submission, content io.Reader) error {
	whole := s.taking(content)
	if _, err := io.Copy(io.Discard, whole); err != nil {
		return fmt.Errorf("reading the content: %w", err)
	}
	same := whole.digest() == c.Content &&
		s.Patient == c.Patient && s.MediaType == c.MediaType && s.Supersedes == c.Supersedes
	if s.isStudy() {
		for _, p := range c.Parts {
			same = same && s.Labels.Widened() == p.Labels && (s.Period.IsZero() || s.Period == p.Period)
		}
	} else if s.MediaType != FHIR {
		p := c.Parts[0]
		same = same && s.Class == p.Class && s.Labels.Widened() == p.Labels && s.Period == p.Period && s.describes(c.Parts[1:])
	}
	if !same {
		return refusal.New(refusal.Exists, "another record was submitted under this id", "the same content again, or a new id")
	}
	return nil
}

// describes reports whether the parts after a file's are what is submitted about it.
func (s Submission) describes(rest []Part) bool {
	if len(s.Description) == 0 || len(rest) == 0 {
		return len(s.Description) == len(rest)
	}
	return rest[0].Content == sha256.Sum256(s.Description)
}

// checkDescription refuses what can't be told about a file.
func (s Submission) checkDescription() error {
	if len(s.Description) == 0 {
		return nil
	}
	if s.MediaType == FHIR || s.isStudy() || len(s.Description) > MaxDescription {
		return refusal.New(refusal.Malformed, "this can't be described so", "a description of at most 1 MiB, of one file that isn't "+FHIR)
	}
	entries, err := seal.Entries(s.Description)
	if err != nil || len(entries) != 1 {
		return refusal.New(refusal.Malformed, "the description can't be read", "a FHIR R4 Bundle in JSON with one DocumentReference")
	}
	return nil
}

// sealRecord cuts the content into parts, seals each under a key of its own into
// the vault, and enters the record in the catalogue, not yet anchored.
func (g *Gateway) sealRecord(ctx context.Context, s Submission, content io.Reader) (c catalogued, err error) {
	whole := s.taking(content)
	c = catalogued{Record: Record{
		ID: s.ID, Patient: s.Patient, MediaType: s.MediaType, Submitted: g.now(), Supersedes: s.Supersedes,
	}, Subject: subjectOf(ctx)}
	if c.By, err = g.actor(ctx, s.ID, doneAnchoring); err != nil {
		return catalogued{}, err
	}
	var partKeys []seal.Key
	defer func() {
		if err != nil { // of what can't be read to its end nothing stays
			for i := range partKeys {
				err = errors.Join(err, g.Vault.Delete(context.WithoutCancel(ctx), vault.NameOf(s.ID, i)))
			}
		}
	}()
	for d, err := range s.cut(whole) {
		if err != nil {
			return catalogued{}, err
		}
		key := seal.NewKey()
		p, err := g.sealPart(ctx, s.ID, len(partKeys), d, key)
		if err != nil {
			return catalogued{}, err
		}
		c.Parts, partKeys = append(c.Parts, p), append(partKeys, key)
	}
	failpoint.Reach("submit: sealed")
	c.Content, c.Size = whole.digest(), whole.n
	split := g.split(ctx, s.ID, partKeys)
	if split != nil {
		c.Escrow = split.Package.Digest()
	}
	err = g.Keys.Update(func(tx *keys.Tx) error {
		for i, k := range partKeys {
			if err := tx.Put(bucketPartKeys, object(s.ID, i), k[:]); err != nil {
				return err
			}
		}
		if split != nil {
			if err := save(tx, bucketLodgings, s.ID, split); err != nil {
				return err
			}
		}
		ids, _, err := load[[]string](tx, bucketPatients, s.Patient.key())
		if err != nil {
			return err
		}
		if err := save(tx, bucketPatients, s.Patient.key(), append(ids, s.ID)); err != nil {
			return err
		}
		return save(tx, bucketRecords, s.ID, c)
	})
	if err == nil {
		g.unanchored.Store(s.ID, true)
		g.lists.byID.add(nameOf(s.ID))
		g.lists.byTime.add(c.entered())
	}
	return c, err
}

// draft is a part before it is sealed.
type draft struct {
	class     record.Class
	labels    record.Labels
	mediaType string
	content   io.Reader
	// told is what is known of the content once it is read: the time of the data, and the SHA-256.
	told func() (record.Period, record.Hash)
}

// draft makes one of what is known before.
func (s Submission) draft(mediaType string, content []byte) draft {
	return draft{s.Class, s.Labels.Widened(), mediaType, bytes.NewReader(content), func() (record.Period, record.Hash) { return s.Period, sha256.Sum256(content) }}
}

// cut makes the parts of a submission, each to be read before the next.
func (s Submission) cut(content *taken) iter.Seq2[draft, error] {
	switch {
	case s.MediaType == FHIR:
		return cutBundle(content)
	case s.isStudy():
		return s.cutStudy(content)
	}
	return func(yield func(draft, error) bool) {
		file := draft{s.Class, s.Labels.Widened(), s.MediaType, content, func() (record.Period, record.Hash) { return s.Period, content.digest() }}
		if yield(file, nil) && len(s.Description) > 0 {
			yield(s.draft(FHIR, s.Description), nil)
		}
	}
}

func cutBundle(content io.Reader) iter.Seq2[draft, error] {
	return func(yield func(draft, error) bool) {
		// A Bundle is read whole to be split, hence its bound; other files stream and have none.
		bundle, err := io.ReadAll(io.LimitReader(content, seal.MaxBundle+1))
		if err != nil {
			yield(draft{}, fmt.Errorf("reading the Bundle: %w", err))
			return
		}
		if len(bundle) > seal.MaxBundle {
			yield(draft{}, refusal.New(refusal.TooLarge, "the Bundle is larger than 64 MiB", "several Bundles, or a file of another media type"))
			return
		}
		split, err := seal.Split(bundle)
		if err != nil {
			yield(draft{}, refusal.New(refusal.Malformed, "the Bundle can't be split: "+err.Error(), "a FHIR R4 Bundle in JSON"))
			return
		}
		for _, d := range split {
			if !yield(Submission{Class: d.Class, Labels: d.Labels, Period: d.Period}.draft(FHIR, d.Content), nil) {
				return
			}
		}
	}
}

func (g *Gateway) sealPart(ctx context.Context, recordID string, index int, d draft, key seal.Key) (Part, error) {
	var p Part
	p.Index, p.Class, p.MediaType, p.Labels = index, d.class, d.mediaType, d.labels
	rand.Read(p.Salt[:])
	counted := &counter{r: d.content}
	name := vault.NameOf(recordID, index)
	// The catalogue doesn't know the record, so a part of it in the vault is what a
	// crash left behind, under a key that is gone.
	if err := g.Vault.Delete(ctx, name); err != nil {
		return p, err
	}
	err := g.Vault.Put(ctx, name, func(w io.Writer) error {
		sealed, err := seal.Seal(w, counted, key, seal.AD{Record: recordID, Part: index, Class: d.class})
		p.SealedSize, p.SealedDigest, p.KeyCommitment = sealed.Size, sealed.Digest, sealed.Commitment
		return err
	})
	if err != nil {
		return p, err
	}
	p.ContentSize = counted.n
	p.Period, p.Content = d.told()
	if err := p.Validate(); err != nil {
		return p, errors.Join(err, g.Vault.Delete(ctx, name))
	}
	return p, nil
}

// counter counts the bytes read through it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// anchor commits the record's anchor, together with others, and notes it.
func (g *Gateway) anchor(ctx context.Context, c catalogued) (catalogued, error) {
	commit, err := g.anchoring.do(ctx, c)
	if err != nil {
		return c, err
	}
	c.Status, c.Commit = record.Anchored, commit
	g.unanchored.Delete(c.ID)
	return c, g.Keys.Update(func(tx *keys.Tx) error {
		if c.Supersedes != "" {
			err := amendRecord(tx, c.Supersedes, func(old *catalogued) {
				old.Status, old.SupersededBy = record.Superseded, c.ID
			})
			if err != nil {
				return err
			}
		}
		return save(tx, bucketRecords, c.ID, c)
	})
}

// discard forgets a record that was never anchored: its keys first, so that the
// sealed parts are worth nothing whatever becomes of them.
func (g *Gateway) discard(ctx context.Context, c catalogued) error {
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for _, p := range c.Parts {
			if err := tx.Delete(bucketPartKeys, object(c.ID, p.Index)); err != nil {
				return err
			}
		}
		ids, _, err := load[[]string](tx, bucketPatients, c.Patient.key())
		if err != nil {
			return err
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == c.ID })
		if err := save(tx, bucketPatients, c.Patient.key(), ids); err != nil {
			return err
		}
		if err := tx.Delete(bucketLodgings, c.ID); err != nil {
			return err
		}
		return tx.Delete(bucketRecords, c.ID)
	})
	g.unanchored.Delete(c.ID)
	if err == nil {
		g.lists.byID.remove(nameOf(c.ID))
		g.lists.byTime.remove(c.entered())
	}
	for _, p := range c.Parts {
		err = errors.Join(err, g.Vault.Delete(ctx, vault.NameOf(c.ID, p.Index)))
	}
	return err
}

// amendRecord changes a record's entry, if the catalogue has it.
func amendRecord(tx *keys.Tx, id string, change func(*catalogued)) error {
	c, ok, err := load[catalogued](tx, bucketRecords, id)
	if err != nil || !ok {
		return err
	}
	change(&c)
	return save(tx, bucketRecords, id, c)
}

// anchorAll anchors records in one transaction. The ledger takes all or none; if it
// refuses, each goes by itself, so that one bad record doesn't hold up the others.
func (g *Gateway) anchorAll(ctx context.Context, records []catalogued) []outcome[ledger.Commit] {
	commit, err := g.submitAnchors(ctx, records)
	results := make([]outcome[ledger.Commit], len(records))
	var refused *refusal.Refusal
	for i, r := range records {
		if len(records) > 1 && errors.As(err, &refused) {
			alone, err := g.submitAnchors(ctx, []catalogued{r})
			results[i] = outcome[ledger.Commit]{alone, err}
			continue
		}
		results[i] = outcome[ledger.Commit]{commit, err}
	}
	return results
}

func (g *Gateway) submitAnchors(ctx context.Context, records []catalogued) (ledger.Commit, error) {
	var in contract.Anchoring
	for _, r := range records {
		d := contract.AnchorDraft{ID: r.ID, Root: record.Root(record.Leaves(r.parts())), Parts: len(r.Parts), Supersedes: r.Supersedes, Escrow: r.Escrow, Actor: r.By}
		d.Bytes = roughly(r.sealedBytes())
		in.Records = append(in.Records, d)
	}
	var out contract.AnchorList
	return g.Ledger.Submit(ctx, contract.RecordAnchor, in, &out)
}

// sealedBytes is what the record takes in the vault.
func (r Record) sealedBytes() (n int64) {
	for _, p := range r.Parts {
		n += p.SealedSize
	}
	return n
}

// roughly is n rounded up to a power of two: all that the ledger shows of a record's size. The exact
// sum, of padded sizes even, is a record's own more often than not.
func roughly(n int64) int64 { return 1 << bits.Len64(uint64(n-1)) }

// Retract marks a record as no longer to be released, on the ledger first.
func (g *Gateway) Retract(ctx context.Context, id string, reason record.Reason) (ledger.Commit, error) {
	if _, err := g.ownRecord(id); err != nil {
		return ledger.Commit{}, err
	}
	by, err := g.actor(ctx, id, doneRetracting)
	if err != nil {
		return ledger.Commit{}, err
	}
	var out record.Anchor
	commit, err := g.Ledger.Submit(ctx, contract.RecordRetract, contract.Retraction{ID: id, Reason: reason, Actor: by}, &out)
	if err != nil {
		return ledger.Commit{}, fmt.Errorf("retracting record %s: %w", id, err)
	}
	return commit, g.Keys.Update(func(tx *keys.Tx) error {
		return amendRecord(tx, id, func(c *catalogued) { c.Status = record.Retracted })
	})
}

// ownRecord finds a record in the catalogue, or refuses (not-found).
func (g *Gateway) ownRecord(id string) (catalogued, error) {
	if err := access.CheckID(id); err != nil {
		return catalogued{}, err
	}
	c, ok, err := load[catalogued](g.Keys, bucketRecords, id)
	if err == nil && !ok {
		err = refusal.New(refusal.NotFound, "this hospital holds no record "+id, "an id from the list of records")
	}
	return c, err
}
