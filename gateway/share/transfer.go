package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/seal"
)

// ReleaseQuery is what a requester asks of a custodian.
type ReleaseQuery struct {
	Permit string
	// Height is how many blocks the requester's peer has, the permit in one of them; 0 where
	// that isn't known.
	Height uint64
	Whom   *Patient // of a break-glass permit alone
	// Held is what the requester has of the parts already: it isn't sent again.
	Held []Held
}

// Held is how much of one part is there: its first Bytes sealed bytes.
type Held struct {
	Record string
	Part   int
	Bytes  int64
}

// CopiesOff refuses what takes copies that this gateway is told not to keep.
const CopiesOff refusal.Code = "copies-off"

// stallTime is how long a transfer may go without a byte before it is given up; what has come
// is kept for the next call.
const stallTime = time.Minute

// transfer is what a custodian sends for a permit, part by part. When the connection breaks it
// is asked again for what is missing; the manifest must be the same then. Memory is that of
// one message, and what isn't read yet isn't sent (gRPC's flow control).
type transfer struct {
	g        *Gateway
	ctx      context.Context
	holder   registry.Member
	permit   access.Access
	whom     *Patient
	manifest *seal.Manifest
	parts    []placed
	total    int64 // sealed bytes
	watch    func(done, total int64)

	delivery Delivery // nil while there is none
	next     int      // part that the delivery gives next
	from     []int64  // by part, where the delivery begins in it
	had      []int64  // by part, what is here
	pace     backoff.BackOff
	moved    time.Time // when the last byte came
	told     time.Time
}

// placed is a part of the manifest.
type placed struct {
	record string
	part   record.Part
}

func (g *Gateway) newTransfer(ctx context.Context, holder registry.Member, permit access.Access, whom *Patient, d Delivery, watch func(done, total int64)) *transfer {
	t := &transfer{g: g, ctx: ctx, holder: holder, permit: permit, whom: whom, manifest: d.Manifest(), delivery: d, watch: watch}
	for _, r := range t.manifest.Records {
		for _, s := range r.Parts {
			t.parts = append(t.parts, placed{r.Anchor, s.Part})
			t.total += s.Part.SealedSize
		}
	}
	t.from, t.had = make([]int64, len(t.parts)), make([]int64, len(t.parts))
	pace := &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: 5 * time.Second}
	t.pace, t.moved = pace, time.Now()
	return t
}

// held notes what is kept of the parts, so that it isn't asked for.
func (t *transfer) held() error {
	for i, p := range t.parts {
		c, ok, err := load[partCopy](t.g.Keys, bucketCopies, copyName(t.permit.Custodian, p.record, p.part.Index))
		if err != nil {
			return err
		}
		if ok && !c.Going && !t.g.NoCopies && *c.Part == p.part {
			t.had[i] = c.Segments.Size()
		}
	}
	return nil
}

// part gives the sealed bytes of the i-th part from an offset on.
func (t *transfer) part(i int) func(offset int64) (io.Reader, error) {
	return func(offset int64) (io.Reader, error) { return &resuming{t: t, part: i, at: offset}, nil }
}

// Close ends the delivery.
func (t *transfer) Close() error {
	if t.delivery == nil {
		return nil
	}
	d := t.delivery
	t.delivery = nil
	return d.Close()
}

// seek gives the bytes of a part from an offset on, out of the delivery where it is there, and
// out of a new one where it isn't.
func (t *transfer) seek(part int, offset int64) (io.Reader, error) {
	t.had[part] = offset
	if t.delivery != nil && (t.next > part || t.from[part] != offset || t.needless(part) > needless) {
		t.Close()
	}
	if t.delivery == nil {
		if err := t.ask(); err != nil {
			return nil, err
		}
	}
	for t.next < part { // kept as a whole, and in the delivery none the less
		rest, err := t.delivery.Part()
		if err == nil {
			_, err = io.Copy(io.Discard, rest)
		}
		if err != nil {
			return nil, err
		}
		t.next++
	}
	t.next++
	return t.delivery.Part()
}

// needless is how many sealed bytes the delivery would give before a part, though they are
// kept; more of them than the constant are not waited for.
func (t *transfer) needless(part int) (n int64) {
	for i := t.next; i < part; i++ {
		n += t.parts[i].part.SealedSize - t.from[i]
	}
	return n
}

const needless = 1 << 20

// ask has the custodian begin again with what is missing.
func (t *transfer) ask() error {
	q := ReleaseQuery{Permit: t.permit.ID, Whom: t.whom}
	for i, p := range t.parts {
		if t.had[i] > 0 {
			q.Held = append(q.Held, Held{p.record, p.part.Index, t.had[i]})
		}
	}
	d, err := t.g.askRelease(t.ctx, t.holder, t.permit, q)
	if err != nil {
		return err
	}
	if d.Manifest().Digest() != t.manifest.Digest() {
		return errors.Join(errors.New("the custodian answers the same permit with another manifest"), d.Close())
	}
	t.delivery, t.next = d, 0
	copy(t.from, t.had)
	return nil
}

// wait waits a little before the next try; it returns err where there is none.
func (t *transfer) wait(err error) error {
	t.Close()
	if !errors.Is(err, ErrUnavailable) || t.ctx.Err() != nil {
		return err
	}
	if time.Since(t.moved) > stallTime {
		return fmt.Errorf("%w (what has come is kept: the same call goes on from there)", err)
	}
	t.g.Log.Info("a transfer broke off and is taken up again", "permit", t.permit.ID, "custodian", t.holder.Name, "error", err)
	select {
	case <-time.After(t.pace.NextBackOff()):
		return nil
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
}

// came notes bytes that have come of a part.
func (t *transfer) came(part, n int) {
	t.had[part] += int64(n)
	t.pace.Reset()
	t.moved = time.Now()
	t.tell(false)
}

// tell tells who watches how far it is, a few times a second.
func (t *transfer) tell(end bool) {
	if t.watch == nil || !end && time.Since(t.told) < 200*time.Millisecond {
		return
	}
	t.told = time.Now()
	var done int64
	for _, n := range t.had {
		done += n
	}
	t.watch(done, t.total)
}

// resuming reads one part.
type resuming struct {
	t    *transfer
	part int
	at   int64
	src  io.Reader
}

func (r *resuming) Read(b []byte) (int, error) {
	for r.at < r.t.parts[r.part].part.SealedSize {
		var n int
		var err error
		if r.src == nil {
			r.src, err = r.t.seek(r.part, r.at)
		}
		if err == nil {
			n, err = r.src.Read(b)
		}
		if n > 0 {
			r.at += int64(n)
			r.t.came(r.part, n)
			return n, nil
		}
		switch {
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF): // the custodian's own end
			return 0, io.EOF
		case err != nil:
			r.src = nil
			if err := r.t.wait(err); err != nil {
				return 0, fmt.Errorf("receiving part %d of record %s: %w", r.t.parts[r.part].part.Index, r.t.parts[r.part].record, err)
			}
		}
	}
	return 0, io.EOF
}
