package share

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"reflect"
	"sync"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
)

// An upload is content on its way in, that is submitted once it is all here:
//
//	CreateUpload ─▶ Append, as often as the connection breaks ─▶ FinishUpload = Submit
//
// What has arrived is staged: cut into segments, each sealed by itself (package seal) under the
// upload's own key, with a fresh salt, so that no nonce comes twice whatever is sent again after
// a crash. FinishUpload opens them one after the other and submits the stream; then the key is
// destroyed, and the segments deleted. Until then it is there for the caller who began it, and
// for nobody else: an id that is known is no right.

// Codes of refusals.
const (
	OffsetMismatch   refusal.Code = "offset-mismatch"
	ChecksumMismatch refusal.Code = "checksum-mismatch"
)

// UploadPolicy bounds uploads; what is zero has the default.
type UploadPolicy struct {
	// Keep is how long an upload is kept that nobody adds to. Default 24 hours.
	Keep time.Duration
	// MaxSize of one, in bytes. Default 64 GiB.
	MaxSize int64
	// MaxStaged is how many bytes may be announced in all uploads together. Default 256 GiB.
	MaxStaged int64
}

func (p UploadPolicy) withDefaults() UploadPolicy {
	return UploadPolicy{cmp.Or(p.Keep, 24*time.Hour), cmp.Or(p.MaxSize, 64<<30), cmp.Or(p.MaxStaged, 256<<30)}
}

// maxUploads is how many there may be at a time.
const maxUploads = 4096

// Upload is how far one has come.
type Upload struct {
	ID      string
	Size    int64 // of the whole content
	Offset  int64 // what is here, durably
	Expires record.Instant
}

// staging is an upload's entry.
type staging struct {
	Submission Submission     `json:"submission"`
	Size       int64          `json:"size"`
	Offset     int64          `json:"offset"`
	Count      int            `json:"count"`         // of segments
	Key        []byte         `json:"key,omitempty"` // nil once it is going
	Touched    record.Instant `json:"touched"`
	Going      bool           `json:"going,omitempty"`
	Owner      string         `json:"owner,omitempty"` // who began it (From); to everybody else it isn't there
}

// staged is one segment of it.
type staged struct {
	vault.Segment
	Sealed  seal.Sealed `json:"sealed"`
	Content int64       `json:"content"` // bytes
}

func stagedName(id string, n int) string { return fmt.Sprintf("%s/%d", id, n) }

func (g *Gateway) uploadOf(s staging) Upload {
	return Upload{ID: s.Submission.ID, Size: s.Size, Offset: s.Offset, Expires: s.Touched + record.Instant(g.Uploads.Keep/time.Second)}
}

// Checksum is of the content of one Append.
type Checksum struct {
	Algorithm string // "sha1", "sha256"
	Digest    []byte
}

func (c Checksum) new() (hash.Hash, error) {
	switch {
	case c.Algorithm == "sha1" && len(c.Digest) == sha1.Size:
		return sha1.New(), nil
	case c.Algorithm == "sha256" && len(c.Digest) == sha256.Size:
		return sha256.New(), nil
	}
	return nil, refusal.New(refusal.Malformed, "the checksum isn't one", "sha1 of 20 bytes or sha256 of 32")
}

// CreateUpload begins an upload of so many bytes, or finds the one begun before.
//
// Refusals: kind-not-allowed, malformed, too-large, exists.
func (g *Gateway) CreateUpload(ctx context.Context, s Submission, size int64) (Upload, error) {
	if g.Self.Kind != registry.Hospital {
		return Upload{}, refusal.New(refusal.KindNotAllowed, "a "+string(g.Self.Kind)+" holds no records", "a hospital's gateway")
	}
	s, err := s.check(ctx)
	if err != nil {
		return Upload{}, err
	}
	switch {
	case size < 0:
		return Upload{}, refusal.New(refusal.Malformed, "the size is negative", "the size of the content in bytes")
	case size > g.Uploads.MaxSize:
		return Upload{}, refusal.New(refusal.TooLarge, fmt.Sprintf("an upload of %d bytes", size), fmt.Sprintf("at most %d bytes", g.Uploads.MaxSize))
	case s.MediaType == FHIR && size > seal.MaxBundle:
		return Upload{}, refusal.New(refusal.TooLarge, "the Bundle is larger than 64 MiB", "several Bundles, or a file of another media type")
	}
	defer g.uploading.lock(s.ID)()
	if c, ok, err := load[catalogued](g.Keys, bucketRecords, s.ID); err != nil {
		return Upload{}, err
	} else if ok && c.Status != "" {
		return Upload{}, refusal.New(refusal.Exists, "a record was submitted under this id", "Finish answers with it; a new record has a new id")
	}
	known, ok, err := load[staging](g.Keys, bucketUploads, s.ID)
	if err != nil {
		return Upload{}, err
	}
	if ok && !known.Going {
		if known.Owner != subjectOf(ctx) || !known.Submission.equal(s) || known.Size != size {
			return Upload{}, refusal.New(refusal.Exists, "another upload was begun under this id", "the same header and size again, or a new id")
		}
		return g.uploadOf(known), nil
	}
	if err := g.dropUploads(ctx, s.ID); err != nil {
		return Upload{}, err
	}
	key := seal.NewKey()
	begun := staging{Submission: s, Size: size, Key: key[:], Touched: g.now(), Owner: subjectOf(ctx)}
	err = g.Keys.Update(func(tx *keys.Tx) error {
		number, bytes := 0, size
		err := each(tx, bucketUploads, func(_ string, other staging) { number, bytes = number+1, bytes+other.Size })
		if err != nil {
			return err
		}
		if number >= maxUploads || bytes > g.Uploads.MaxStaged {
			return refusal.New(refusal.TooLarge, "too much is being uploaded at once", "fewer or smaller uploads, or this one later")
		}
		return save(tx, bucketUploads, s.ID, begun)
	})
	return g.uploadOf(begun), err
}

func (s Submission) equal(o Submission) bool {
	one, other := s, o
	one.Description, other.Description = nil, nil
	return reflect.DeepEqual(one, other) && bytes.Equal(s.Description, o.Description)
}

// Upload tells how far an upload of the caller's has come. Refused (not-found) where there is none.
func (g *Gateway) Upload(ctx context.Context, id string) (Upload, error) {
	s, err := g.staging(ctx, id)
	return g.uploadOf(s), err
}

// staging is an upload of the caller's.
func (g *Gateway) staging(ctx context.Context, id string) (staging, error) {
	if err := access.CheckID(id); err != nil {
		return staging{}, err
	}
	s, ok, err := load[staging](g.Keys, bucketUploads, id)
	if err == nil && (!ok || s.Going || s.Owner != subjectOf(ctx)) {
		s, err = staging{}, refusal.New(refusal.NotFound, "there is no upload "+id, "one that was begun, isn't finished and hasn't expired")
	}
	return s, err
}

// Append adds content to the end of an upload. What has arrived by the time that it ends, or
// breaks off, counts; with a checksum only if all of it has, and is what the checksum says.
// It ends an Append to the same upload that is under way.
//
// Refusals: not-found, offset-mismatch, checksum-mismatch, too-large (more than was announced).
func (g *Gateway) Append(ctx context.Context, id string, offset int64, sum *Checksum, content io.Reader) (Upload, error) {
	if _, err := g.staging(ctx, id); err != nil {
		return Upload{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer g.appending.take(id, cancel)()
	defer g.uploading.lock(id)()
	s, err := g.staging(ctx, id)
	if err != nil {
		return Upload{}, err
	}
	if offset != s.Offset {
		return g.uploadOf(s), refusal.New(OffsetMismatch, fmt.Sprintf("the upload has %d bytes, not %d", s.Offset, offset), "going on from where it is")
	}
	coming := interruptible(ctx, content)
	defer coming.Close()
	from := &appended{r: coming, left: s.Size - s.Offset}
	commit := g.noteStaged
	var waiting []staged
	if sum != nil {
		if from.sum, err = sum.new(); err != nil {
			return g.uploadOf(s), err
		}
		commit = func(s *staging, one staged) error {
			waiting = append(waiting, one)
			s.Count, s.Offset = s.Count+1, s.Offset+one.Content
			return nil
		}
	}
	before := s
	err = g.stageContent(ctx, &s, from, commit)
	if sum != nil {
		if err == nil {
			err = from.err
		}
		if err == nil && !bytes.Equal(from.sum.Sum(nil), sum.Digest) {
			err = refusal.New(ChecksumMismatch, "what arrived isn't what the checksum is of", "sending it again from the same offset")
		}
		s = before
		for i := 0; err == nil && i < len(waiting); i++ {
			err = g.noteStaged(&s, waiting[i])
			waiting[i].Name = vault.Name{}
		}
		for _, one := range waiting {
			if one.Name != (vault.Name{}) {
				err = errors.Join(err, g.Vault.Delete(context.WithoutCancel(ctx), one.Name))
			}
		}
	}
	return g.uploadOf(s), errors.Join(err, from.err)
}

// interruptible reads r until ctx ends, also where r hangs.
func interruptible(ctx context.Context, r io.Reader) io.ReadCloser {
	from, to := io.Pipe()
	stop := context.AfterFunc(ctx, func() { to.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		_, err := io.CopyBuffer(to, struct{ io.Reader }{r}, make([]byte, 256<<10))
		to.CloseWithError(err)
	}()
	return from
}

// appended is the content of one Append. Where it breaks off it ends, and says why in err, so
// that what has come is kept.
type appended struct {
	r    io.Reader
	left int64 // of what was announced
	sum  hash.Hash
	err  error
	over bool
}

func (a *appended) Read(b []byte) (int, error) {
	if a.over {
		return 0, io.EOF
	}
	n, err := a.r.Read(b)
	if int64(n) > a.left {
		n = int(a.left)
		err = refusal.New(refusal.TooLarge, "more comes than was announced", "as many bytes as the upload was begun with")
	}
	a.left -= int64(n)
	if a.sum != nil {
		a.sum.Write(b[:n])
	}
	if err != nil {
		a.over = true
		if err != io.EOF {
			a.err = err
		}
		if n > 0 {
			return n, nil
		}
		return 0, io.EOF
	}
	return n, nil
}

// stageContent seals what comes into segments.
func (g *Gateway) stageContent(ctx context.Context, s *staging, from *appended, commit func(*staging, staged) error) error {
	for !from.over {
		one := staged{Segment: vault.Segment{Name: vault.NewName()}}
		counted := &counter{r: io.LimitReader(from, vault.SegmentSize)}
		err := g.Vault.Put(context.WithoutCancel(ctx), one.Name, func(w io.Writer) (err error) {
			one.Sealed, err = seal.Seal(w, counted, seal.Key(s.Key), s.place(s.Count))
			return err
		})
		if err != nil {
			return fmt.Errorf("staging an upload: %w", err)
		}
		one.Size, one.Content = one.Sealed.Size, counted.n
		if one.Content == 0 {
			return g.Vault.Delete(context.WithoutCancel(ctx), one.Name)
		}
		if err := commit(s, one); err != nil {
			return errors.Join(err, g.Vault.Delete(context.WithoutCancel(ctx), one.Name))
		}
	}
	return nil
}

// place is what a segment is bound to.
func (s staging) place(n int) seal.AD {
	return seal.AD{Record: "upload " + s.Submission.ID, Part: n, Class: record.Other}
}

// noteStaged notes a segment that is durable.
func (g *Gateway) noteStaged(s *staging, one staged) error {
	s.Count, s.Offset, s.Touched = s.Count+1, s.Offset+one.Content, g.now()
	return g.Keys.Update(func(tx *keys.Tx) error {
		now, ok, err := load[staging](tx, bucketUploads, s.Submission.ID)
		if err != nil {
			return err
		}
		if !ok || now.Going {
			return refusal.New(refusal.NotFound, "the upload was cancelled", "a new one")
		}
		if err := save(tx, bucketStaged, stagedName(s.Submission.ID, s.Count-1), one); err != nil {
			return err
		}
		return save(tx, bucketUploads, s.Submission.ID, s)
	})
}

// FinishUpload submits what was uploaded, all of it, as Submit does, and answers again with the
// record after it is done. sum is the SHA-256 of the content, nil to compare none. watch is
// told of the bytes that are sealed, and of how many there are.
//
// Refusals: not-found, offset-mismatch (it isn't all here), checksum-mismatch, those of Submit.
func (g *Gateway) FinishUpload(ctx context.Context, id string, sum []byte, watch func(done, total int64)) (Record, ledger.Commit, error) {
	if err := access.CheckID(id); err != nil {
		return Record{}, ledger.Commit{}, err
	}
	defer g.uploading.lock(id)()
	s, err := g.staging(ctx, id)
	if refusedWith(err, refusal.NotFound) {
		c, err := g.finished(ctx, id)
		if err != nil {
			return Record{}, ledger.Commit{}, err
		}
		if watch != nil {
			watch(c.Size, c.Size)
		}
		return c.Record, c.Commit, nil
	}
	if err != nil {
		return Record{}, ledger.Commit{}, err
	}
	if s.Offset != s.Size {
		return Record{}, ledger.Commit{}, refusal.New(OffsetMismatch, fmt.Sprintf("the upload has %d bytes of %d", s.Offset, s.Size), "finishing it once all is here")
	}
	if len(sum) != 0 && len(sum) != sha256.Size {
		return Record{}, ledger.Commit{}, refusal.New(refusal.Malformed, "the checksum isn't one", "SHA-256, 32 bytes")
	}
	content := g.openStaged(ctx, s)
	defer content.Close()
	s.Submission.sum = sum
	r, commit, err := g.Submit(ctx, s.Submission, &watched{r: content, total: s.Size, watch: watch})
	if err == nil || refusedWith(err, ChecksumMismatch) || refusedWith(err, refusal.Malformed) || refusedWith(err, ClassContradicts) { // the same again is refused again
		if derr := g.dropUploads(ctx, id); derr != nil {
			g.Log.Warn("an upload that is done with is not deleted yet", "upload", id, "error", derr)
		}
	}
	return r, commit, err
}

// finished is the record that an upload of the caller's became. Refused (not-found) where there
// is none.
func (g *Gateway) finished(ctx context.Context, id string) (catalogued, error) {
	c, ok, err := load[catalogued](g.Keys, bucketRecords, id)
	switch {
	case err != nil:
		return c, err
	case !ok || c.Status == "" || c.Subject != subjectOf(ctx):
		return c, refusal.New(refusal.NotFound, "there is no upload "+id, "one that was begun, isn't finished and hasn't expired")
	case c.Status == record.Erased:
		return c, c.gone(g.Self.MSP)
	}
	return c, nil
}

// openStaged reads what is staged, in order.
func (g *Gateway) openStaged(ctx context.Context, s staging) io.ReadCloser {
	from, to := io.Pipe()
	go func() {
		for n := range s.Count {
			if err := g.openSegment(ctx, to, s, n); err != nil {
				to.CloseWithError(fmt.Errorf("opening segment %d of an upload: %w", n, err))
				return
			}
		}
		to.Close()
	}()
	return from
}

func (g *Gateway) openSegment(ctx context.Context, dst io.Writer, s staging, n int) error {
	one, ok, err := load[staged](g.Keys, bucketStaged, stagedName(s.Submission.ID, n))
	if err != nil || !ok {
		return errors.Join(err, keys.ErrNotFound)
	}
	src, err := g.Vault.Range(ctx, one.Name, vault.Sum{Size: one.Size}, 0, one.Size)
	if err != nil {
		return err
	}
	return errors.Join(seal.Open(dst, src, seal.Key(s.Key), s.place(n), one.Sealed), src.Close())
}

// watched tells how far it is read.
type watched struct {
	r     io.Reader
	done  int64
	total int64
	watch func(done, total int64)
	told  time.Time
}

func (s *watched) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.done += int64(n)
	if s.watch != nil && time.Since(s.told) > 200*time.Millisecond {
		s.told = time.Now()
		s.watch(s.done, s.total)
	}
	return n, err
}

// CancelUpload throws an upload of the caller's away. One that isn't there is no error.
func (g *Gateway) CancelUpload(ctx context.Context, id string) error {
	if _, err := g.staging(ctx, id); err != nil {
		if refusedWith(err, refusal.NotFound) {
			return nil
		}
		return err
	}
	g.appending.stop(id)
	defer g.uploading.lock(id)()
	return g.dropUploads(ctx, id)
}

// dropUploads destroys uploads' keys, out of the key store's file too, and then deletes what
// they opened.
func (g *Gateway) dropUploads(ctx context.Context, ids ...string) error {
	var going []staging
	err := g.Keys.Update(func(tx *keys.Tx) error {
		going = nil
		for _, id := range ids {
			s, ok, err := load[staging](tx, bucketUploads, id)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			s = staging{Submission: Submission{ID: id}, Count: s.Count, Going: true}
			if err := save(tx, bucketUploads, id, s); err != nil {
				return err
			}
			going = append(going, s)
		}
		return nil
	})
	if err != nil || len(going) == 0 {
		return err
	}
	if err := g.Keys.Scrub(); err != nil {
		return err
	}
	for _, s := range going {
		for n := range s.Count {
			one, ok, err := load[staged](g.Keys, bucketStaged, stagedName(s.Submission.ID, n))
			if err != nil {
				return err
			}
			if ok {
				if err := g.Vault.Delete(context.WithoutCancel(ctx), one.Name); err != nil {
					return err
				}
			}
		}
	}
	return g.Keys.Update(func(tx *keys.Tx) error {
		for _, s := range going {
			for n := range s.Count {
				if err := tx.Delete(bucketStaged, stagedName(s.Submission.ID, n)); err != nil {
					return err
				}
			}
			if err := tx.Delete(bucketUploads, s.Submission.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// ExpireUploads throws away what nobody has added to for too long, and what a crash left: among
// it uploads that are submitted, so that what was staged doesn't outlive its record.
func (g *Gateway) ExpireUploads(ctx context.Context) error {
	return g.dropUploadsThat(ctx, g.uploadOver)
}

// dropUploadsThat throws away the uploads that nobody uses now and that are over.
func (g *Gateway) dropUploadsThat(ctx context.Context, over func(staging) (bool, error)) error {
	all, err := list[staging](g.Keys, bucketUploads)
	if err != nil {
		return err
	}
	var failed error
	var ids []string
	for id, s := range all {
		if is, err := over(s); err != nil || !is {
			failed = errors.Join(failed, err)
			continue
		}
		unlock, ok := g.uploading.tryLock(id)
		if !ok {
			continue // in use
		}
		defer unlock()
		s, ok, err := load[staging](g.Keys, bucketUploads, id)
		if ok && err == nil {
			ok, err = over(s)
		}
		if ok && err == nil {
			ids = append(ids, id)
			g.Log.Info("an upload is thrown away", "upload", id, "bytes", s.Offset)
		}
		failed = errors.Join(failed, err)
	}
	return errors.Join(failed, g.dropUploads(ctx, ids...))
}

// reconcileUploads throws away the uploads whose record is on the ledger and not here: they are
// out of a backup that was made while they came, and what became of the record since, its
// erasure perhaps, holds for them too.
func (g *Gateway) reconcileUploads(ctx context.Context) error {
	return g.dropUploadsThat(ctx, func(s staging) (bool, error) {
		_, is, err := g.anchorOf(ctx, anchored{g.Self.MSP, s.Submission.ID})
		return is, err
	})
}

// uploadOver says whether an upload is to be thrown away. Finish answers without it once its
// record is on the ledger.
func (g *Gateway) uploadOver(s staging) (bool, error) {
	if s.Going || g.now() >= g.uploadOf(s).Expires {
		return true, nil
	}
	c, ok, err := load[catalogued](g.Keys, bucketRecords, s.Submission.ID)
	return ok && c.Status != "", err
}

// stagedSealed lists the segments of uploads.
func (g *Gateway) stagedSealed() (map[vault.Name]bool, error) {
	all, err := list[staged](g.Keys, bucketStaged)
	if err != nil {
		return nil, err
	}
	names := map[vault.Name]bool{}
	for _, one := range all {
		names[one.Name] = true
	}
	return names, nil
}

// appends are the Appends under way, by upload.
type appends struct {
	mu    sync.Mutex
	under map[string]*context.CancelCauseFunc
}

var errSuperseded = refusal.New(OffsetMismatch, "another call goes on with the upload", "asking how far it has come")

// take ends the Append that is under way and enters another; give takes it out.
func (a *appends) take(id string, cancel context.CancelCauseFunc) (give func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.under == nil {
		a.under = map[string]*context.CancelCauseFunc{}
	}
	if other := a.under[id]; other != nil {
		(*other)(errSuperseded)
	}
	own := &cancel
	a.under[id] = own
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.under[id] == own {
			delete(a.under, id)
		}
	}
}

func (a *appends) stop(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if other := a.under[id]; other != nil {
		(*other)(errSuperseded)
	}
}
