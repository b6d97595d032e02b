package share

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/keys"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
)

// A requester's gateway keeps what it opens: the sealed parts as they came, in segments in its
// own vault, and their keys in its key store. So a transfer that breaks off goes on where it
// was, and the member's software reads a part again, or any range of it, as long as it may:
//
//	coming   the segments that are here so far; nothing of it can be read
//	whole    verified against the anchor, and opened under at least one permit
//	going    its key and what was known of it are gone; then the key store is overwritten, the
//	         segments are deleted, and the entry with them
//
// A copy goes when the last permit that it was opened under has expired or stands no more, and
// when its custodian has erased the part. The key goes first: whatever becomes of the vault
// and its backups, what lies there is worth nothing without it.

// partCopy is a copy of one part.
type partCopy struct {
	Custodian string            `json:"custodian"` // MSP id
	Record    string            `json:"record"`
	Index     int               `json:"index"`
	Part      *record.Part      `json:"part,omitempty"` // nil once it is going
	Key       []byte            `json:"key,omitempty"`  // 32 bytes
	Segments  vault.Segments    `json:"segments,omitempty"`
	Size      int64             `json:"size,omitempty"`   // of the content; this and Content once it is whole
	Content   record.Hash       `json:"content,omitzero"` // SHA-256 of the content
	Whole     bool              `json:"whole,omitempty"`
	Going     bool              `json:"going,omitempty"`
	Permits   map[string]permit `json:"permits,omitempty"` // by access id
}

// permit is what a copy was, or is being, opened under.
type permit struct {
	Handle   string         `json:"handle"`
	Manifest string         `json:"manifest"`
	Opened   record.Instant `json:"opened,omitzero"` // zero while it is coming
	Until    record.Instant `json:"until"`           // exclusive
}

func copyName(custodian, recordID string, part int) string {
	return fmt.Sprintf("%s/%s/%d", custodian, recordID, part)
}

func (c partCopy) name() string { return copyName(c.Custodian, c.Record, c.Index) }

// errGone says that a copy was dropped while it was used.
var errGone = refusal.New(refusal.NotFound, "what this gateway kept of the part is deleted", "opening it again, as far as it is permitted")

// incoming is a part that is about to be opened.
type incoming struct {
	permit   access.Access
	manifest string
	record   string
	part     record.Part
	key      seal.Key
	// from gives the sealed bytes from an offset on.
	from func(offset int64) (io.Reader, error)
}

// take opens a part into dst, out of what is kept of it and of what comes, and keeps it.
// It returns the bytes of its content.
func (g *Gateway) take(ctx context.Context, in incoming, dst io.Writer) (int64, error) {
	name := copyName(in.permit.Custodian, in.record, in.part.Index)
	unlock, ok := g.taking.tryLock(name)
	if g.NoCopies || !ok { // another takes it now: who waited for that one's client could wait long
		sealed, err := in.from(0)
		if err != nil {
			return 0, err
		}
		counted := &countingWriter{w: dst}
		err = seal.Open(counted, sealed, in.key, in.ad(), seal.SealedOf(in.part))
		return counted.n, err
	}
	defer unlock()
	c, err := g.begin(ctx, name, in)
	if err != nil {
		return 0, err
	}
	before := c.Segments.Size()
	n, err := g.takeOver(ctx, c, in, dst)
	if before > 0 && (tampered(err) || errors.Is(err, vault.ErrNotFound) || errors.Is(err, vault.ErrCorrupt)) {
		// What was kept from before may be what is wrong; that isn't the custodian's fault.
		if derr := g.dropCopies(ctx, name); derr != nil {
			return n, errors.Join(err, derr)
		}
		if n > 0 {
			return n, fmt.Errorf("%w: what was kept of the part doesn't verify, and is deleted; open it again", ErrUnavailable)
		}
		if c, err = g.begin(ctx, name, in); err != nil {
			return 0, err
		}
		n, err = g.takeOver(ctx, c, in, dst)
	}
	if tampered(err) {
		err = errors.Join(err, g.dropCopies(ctx, name))
	}
	return n, err
}

func (in incoming) ad() seal.AD {
	return seal.AD{Record: in.record, Part: in.part.Index, Class: in.part.Class}
}

// begin enters a permit into the copy's entry, which it makes if need be.
func (g *Gateway) begin(ctx context.Context, name string, in incoming) (c partCopy, err error) {
	if c, ok, err := load[partCopy](g.Keys, bucketCopies, name); err != nil || ok && (c.Going || *c.Part != in.part) {
		if err = errors.Join(err, g.dropCopies(ctx, name)); err != nil {
			return c, err
		}
	}
	err = g.Keys.Update(func(tx *keys.Tx) error {
		var ok bool
		if c, ok, err = load[partCopy](tx, bucketCopies, name); err != nil {
			return err
		}
		if !ok {
			c = partCopy{Custodian: in.permit.Custodian, Record: in.record, Index: in.part.Index, Part: &in.part, Key: in.key[:]}
		}
		if c.Permits == nil {
			c.Permits = map[string]permit{}
		}
		if _, known := c.Permits[in.permit.ID]; !known {
			c.Permits[in.permit.ID] = permit{Handle: in.permit.Handle, Manifest: in.manifest, Until: in.permit.Expires}
		}
		return save(tx, bucketCopies, name, c)
	})
	if err != nil {
		return c, fmt.Errorf("keeping a copy: %w", err)
	}
	g.lists.opened.add(listed{placeOf(c.Custodian, in.permit.ID, c.Record, c.Index), in.permit.Handle})
	return c, nil
}

// takeOver opens what is kept of a part and, after it, what comes, which is kept as well.
func (g *Gateway) takeOver(ctx context.Context, c partCopy, in incoming, dst io.Writer) (int64, error) {
	name, have := c.name(), c.Segments.Size()
	kept, err := c.Segments.Range(ctx, g.Vault, 0, have)
	if err != nil {
		return 0, err
	}
	defer kept.Close()
	to := vault.NewSegmentWriter(ctx, g.Vault, func(s vault.Segment) error { return g.noteSegment(name, s) })
	sealed := &joined{first: kept, rest: func() (io.Reader, error) {
		coming, err := in.from(have)
		if err != nil {
			return nil, err
		}
		return io.TeeReader(coming, to), nil
	}, left: in.part.SealedSize - have}
	content := &hashed{w: dst, h: sha256.New()}
	err = seal.Open(content, sealed, in.key, in.ad(), seal.SealedOf(in.part))
	if cerr := to.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return content.n, err
	}
	return content.n, g.noteWhole(name, in.permit.ID, content)
}

// joined is what is kept, and then what comes; that isn't asked for where nothing is missing.
type joined struct {
	first io.Reader
	rest  func() (io.Reader, error)
	left  int64 // of the rest
	on    bool
}

func (j *joined) Read(b []byte) (int, error) {
	if !j.on {
		n, err := j.first.Read(b)
		if err != io.EOF {
			return n, err
		}
		j.on = true
		if j.left > 0 {
			if j.first, err = j.rest(); err != nil {
				return n, err
			}
		}
		if n > 0 {
			return n, nil
		}
	}
	if j.left <= 0 {
		return 0, io.EOF
	}
	n, err := j.first.Read(b)
	j.left -= int64(n)
	return n, err
}

// hashed counts and hashes what passes.
type hashed struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (w *hashed) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.h.Write(b[:n])
	w.n += int64(n)
	return n, err
}

// noteSegment notes a segment that is durable. One of a copy that was dropped meanwhile goes.
func (g *Gateway) noteSegment(name string, s vault.Segment) error {
	err := g.amendPart(name, func(c *partCopy) { c.Segments = append(c.Segments, s) })
	if errors.Is(err, errGone) {
		err = errors.Join(err, g.Vault.Delete(g.ctx, s.Name))
	}
	return err
}

// noteWhole notes that a copy is verified, and opened under a permit.
func (g *Gateway) noteWhole(name, id string, content *hashed) error {
	return g.amendPart(name, func(c *partCopy) {
		c.Whole, c.Size, c.Content = true, content.n, record.Hash(content.h.Sum(nil))
		p := c.Permits[id]
		p.Opened = g.now()
		c.Permits[id] = p
	})
}

// amendPart changes a copy's entry; errGone where it was dropped.
func (g *Gateway) amendPart(name string, change func(*partCopy)) error {
	return g.Keys.Update(func(tx *keys.Tx) error {
		c, ok, err := load[partCopy](tx, bucketCopies, name)
		if err != nil {
			return err
		}
		if !ok || c.Going {
			return errGone
		}
		change(&c)
		return save(tx, bucketCopies, name, c)
	})
}

// dropCopies deletes copies: first their keys, and these from the key store's file too, then
// the segments. What is cut short is done by the next sweep.
func (g *Gateway) dropCopies(ctx context.Context, names ...string) error {
	var going []partCopy
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for _, name := range names {
			c, ok, err := load[partCopy](tx, bucketCopies, name)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			c = partCopy{Custodian: c.Custodian, Record: c.Record, Index: c.Index, Segments: c.Segments, Going: true}
			if err := save(tx, bucketCopies, name, c); err != nil {
				return err
			}
			going = append(going, c)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("deleting the keys of copies: %w", err)
	}
	if len(going) == 0 {
		return nil
	}
	g.lists.opened.forget()
	if err := g.Keys.Scrub(); err != nil {
		return err
	}
	for _, c := range going {
		if err := c.Segments.Delete(context.WithoutCancel(ctx), g.Vault); err != nil {
			return err
		}
	}
	return g.Keys.Update(func(tx *keys.Tx) error {
		for _, c := range going {
			if now, ok, err := load[partCopy](tx, bucketCopies, c.name()); err != nil || !ok || !now.Going {
				if err != nil {
					return err
				}
				continue // opened anew since
			}
			if err := tx.Delete(bucketCopies, c.name()); err != nil {
				return err
			}
		}
		return nil
	})
}

// dropErased deletes what is kept of a record that its custodian erased.
func (g *Gateway) dropErased(ctx context.Context, a record.Anchor) error {
	if a.Erasure == nil {
		return nil
	}
	all, err := list[partCopy](g.Keys, bucketCopies)
	if err != nil {
		return err
	}
	var names []string
	for name, c := range all {
		if c.Custodian == a.Custodian && c.Record == a.ID && (c.Going || a.Erasure.Covers(c.Index)) {
			names = append(names, name)
		}
	}
	return g.dropCopies(ctx, names...)
}

// endPermits takes permits that stand no more out of what was opened under them. However many
// they are, the copies are looked through, and the key store is overwritten, once.
func (g *Gateway) endPermits(ctx context.Context, ended map[lookup]bool) error {
	if len(ended) == 0 {
		return nil
	}
	var left []string
	err := g.Keys.Update(func(tx *keys.Tx) error {
		left = nil
		var changed []partCopy
		err := each(tx, bucketCopies, func(_ string, c partCopy) {
			before := len(c.Permits)
			maps.DeleteFunc(c.Permits, func(id string, _ permit) bool {
				return ended[lookup{custodian: c.Custodian, requester: g.Self.MSP, id: id}]
			})
			if len(c.Permits) < before {
				changed = append(changed, c)
			}
		})
		if err != nil {
			return err
		}
		for _, c := range changed {
			if len(c.Permits) == 0 {
				left = append(left, c.name())
			}
			if err := save(tx, bucketCopies, c.name(), c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ending permits: %w", err)
	}
	g.lists.opened.forget()
	return g.dropCopies(ctx, left...)
}

// SweepCopies deletes the copies that are not to be kept any longer: of permits that are over,
// or by the ledger stand no more, of what is erased, and what a crash left half deleted. What
// the ledger can't be asked about stays; it isn't read without asking.
func (g *Gateway) SweepCopies(ctx context.Context) error {
	return g.sweepCopies(ctx, func(l lookup, manifest, recordID string, part int) error {
		return g.stands(ctx, l, manifest, recordID, part)
	})
}

// expireCopies deletes those that by the clock alone are over.
func (g *Gateway) expireCopies(ctx context.Context) error {
	return g.sweepCopies(ctx, func(lookup, string, string, int) error { return nil })
}

func (g *Gateway) sweepCopies(ctx context.Context, ask func(l lookup, manifest, recordID string, part int) error) error {
	all, err := list[partCopy](g.Keys, bucketCopies)
	if err != nil {
		return err
	}
	var gone []string
	ended := map[lookup]bool{}
	var failed error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := all[name]
		if c.Going || g.NoCopies || len(c.Permits) == 0 {
			gone = append(gone, name)
			continue
		}
		for id, p := range c.Permits {
			l := lookup{custodian: c.Custodian, requester: g.Self.MSP, id: id}
			if g.now() >= p.Until {
				ended[l] = true
				continue
			}
			switch err := ask(l, p.Manifest, c.Record, c.Index); {
			case refusedWith(err, record.Gone):
				gone = append(gone, name)
			case overWith(err):
				ended[l] = true
			default:
				failed = errors.Join(failed, err)
			}
		}
	}
	return errors.Join(failed, g.endPermits(ctx, ended), g.dropCopies(ctx, gone...))
}

// overWith reports a refusal that is for good: what was permitted stands no more.
func overWith(err error) bool {
	return refusedAtAll(err) && !refusedWith(err, refusal.StaleClock)
}

// copyPace is how often a gateway looks for copies whose permit has expired, and fullPace how
// often it asks the ledger about all of them.
const (
	copyPace = time.Minute
	fullPace = 10 // times copyPace
)

// KeepCopies deletes copies, and uploads, when their time is over, until the gateway is closed.
func (g *Gateway) KeepCopies() {
	g.work.Go(func() {
		ticker := time.NewTicker(copyPace)
		defer ticker.Stop()
		for n := 0; ; n++ {
			sweep := g.expireCopies
			if n%fullPace == 0 {
				sweep = g.SweepCopies
			}
			g.attempt("copies of opened parts could not be looked through", sweep)
			g.attempt("uploads could not be looked through", g.ExpireUploads)
			select {
			case <-ticker.C:
			case <-g.ctx.Done():
				return
			}
		}
	})
}

// copiesSealed lists the segments of copies.
func (g *Gateway) copiesSealed() (map[vault.Name]bool, error) {
	all, err := list[partCopy](g.Keys, bucketCopies)
	if err != nil {
		return nil, err
	}
	names := map[vault.Name]bool{}
	for _, c := range all {
		for _, s := range c.Segments {
			names[s.Name] = true
		}
	}
	return names, nil
}

// stands refuses what a release of the part under this member's permit would be refused with
// by now, on the own peer: the permit is over, the consents have changed, the record is erased.
func (g *Gateway) stands(ctx context.Context, l lookup, manifest, recordID string, part int) error {
	if err := g.Current(); err != nil {
		return err
	}
	entry, err := g.access(ctx, l)
	if err != nil {
		return err
	}
	if err := g.stillHolds(ctx, entry, manifest); err != nil {
		return err
	}
	a, ok, err := g.anchorOf(ctx, anchored{l.custodian, recordID})
	switch {
	case err != nil:
		return err
	case !ok:
		return refusal.New(refusal.NotFound, "the ledger has no such record", "a record that is anchored")
	case a.Erasure.Covers(part):
		return refusal.New(record.Gone, fmt.Sprintf("part %d of record %s is erased since this was opened", part, recordID), "a new request; it gives what is left")
	}
	return nil
}

// standingFor is how long an answer of the own peer's on whether a permit stands is good.
const standingFor = time.Second

// standings remembers such answers.
type standings struct {
	mu   sync.Mutex
	seen map[stood]stand
}

type stood struct {
	l      lookup
	record string
	part   int
}

type stand struct {
	at  time.Time
	err error
}

// check is stands, asked at most once in standingFor.
func (g *Gateway) check(ctx context.Context, l lookup, manifest, recordID string, part int) error {
	name, now := stood{l, recordID, part}, g.Now()
	g.standings.mu.Lock()
	if s, ok := g.standings.seen[name]; ok && now.Sub(s.at) < standingFor && !now.Before(s.at) {
		g.standings.mu.Unlock()
		return s.err
	}
	g.standings.mu.Unlock()
	err := g.stands(ctx, l, manifest, recordID, part)
	if err != nil && !refusedAtAll(err) {
		return err // of this call, maybe
	}
	g.standings.mu.Lock()
	defer g.standings.mu.Unlock()
	if g.standings.seen == nil || len(g.standings.seen) >= remembered {
		g.standings.seen = map[stood]stand{}
	}
	g.standings.seen[name] = stand{now, err}
	return err
}

// ended does away with what a refusal ended.
func (g *Gateway) ended(ctx context.Context, l lookup, recordID string, part int, err error) {
	switch {
	case refusedWith(err, record.Gone):
		err = g.dropCopies(context.WithoutCancel(ctx), copyName(l.custodian, recordID, part))
	case overWith(err):
		err = g.endPermits(context.WithoutCancel(ctx), map[lookup]bool{l: true})
	default:
		return
	}
	if err != nil {
		g.Log.Warn("a copy is not deleted yet", "permit", l.id, "error", err)
	}
}
