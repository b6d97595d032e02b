package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/failpoint"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
)

// Sink takes an opened part: it returns where the part's content goes. What was
// written there counts once the next part begins or Open returns nil.
type Sink func(recordID string, part record.Part) (io.Writer, error)

// Opened sums up what Open opened.
type Opened struct {
	Parts    int
	Bytes    int64 // of content
	Manifest string
	Receipt  ledger.Commit
	Recovery *Recovery // how it came out of escrow; nil if the custodian released it
}

// Open has the keys of a permit released, verifies what comes against the ledger
// as this member's own peer has it, and opens the parts into sink. The receipt is
// on the ledger when it returns. Whatever doesn't verify is an error that names
// the part, and a receipt that says so.
//
// A connection to the custodian that breaks is made again, and the transfer goes on where it
// was; so does the next call, with what is kept from this one. watch is told of the sealed
// bytes that are here, and of how many there are.
func (g *Gateway) Open(ctx context.Context, custodian, id string, sink Sink, watch ...func(done, total int64)) (Opened, error) {
	if err := access.CheckID(id); err != nil {
		return Opened{}, err
	}
	holder, err := g.members.named(ctx, custodian)
	if err != nil {
		return Opened{}, err
	}
	name := lookup{custodian: holder.MSP, requester: g.Self.MSP, id: id}
	permit, err := g.permit(ctx, name)
	if err != nil {
		return Opened{}, err
	}
	whom, err := g.whom(permit.Access)
	if err != nil {
		return Opened{}, err
	}
	q := ReleaseQuery{Permit: id, Height: permit.height, Whom: whom}
	delivery, err := g.askRelease(ctx, holder, permit.Access, q)
	if permit.height == 0 && refusedWith(err, refusal.NotFound) {
		// The custodian's peer may be behind this one: say how far to wait.
		var herr error
		if q.Height, herr = g.Ledger.Height(ctx); herr != nil {
			return Opened{}, herr
		}
		delivery, err = g.askRelease(ctx, holder, permit.Access, q)
	}
	if errors.Is(err, ErrUnavailable) && g.Holders != nil && permit.BreakGlass() {
		return g.openFromEscrow(ctx, name, sink, err)
	}
	if err != nil {
		return Opened{}, fmt.Errorf("asking %s for the keys: %w", holder.Name, err)
	}
	coming := g.newTransfer(ctx, holder, permit.Access, whom, delivery, func(done, total int64) {
		for _, w := range watch {
			w(done, total)
		}
	})
	defer coming.Close()
	failpoint.Reach("open: released")

	manifest := coming.manifest
	if err := g.verify(ctx, manifest, name, permit.Access); err != nil {
		return Opened{}, g.reject(ctx, name, err)
	}
	if err := g.noteOpened(ctx, manifest); err != nil {
		return Opened{}, err
	}
	if err := coming.held(); err != nil {
		return Opened{}, err
	}
	failpoint.Reach("open: verified")
	opened := Opened{Manifest: manifest.Digest().String()}
	next := 0
	for _, r := range manifest.Records {
		for _, s := range r.Parts {
			in := incoming{permit: permit.Access, manifest: opened.Manifest, record: r.Anchor, part: s.Part, from: coming.part(next)}
			next++
			n, err := g.openPart(ctx, manifest, in, s.Wrapped, sink)
			if err != nil {
				return Opened{}, g.reject(ctx, name, err)
			}
			opened.Parts++
			opened.Bytes += n
		}
	}
	coming.tell(true)
	failpoint.Reach("open: opened")
	by, err := g.actor(ctx, id, doneOpening)
	if err != nil {
		return opened, err
	}
	opened.Receipt, err = g.receiving.do(ctx, receiptOrder{Permit: id, Custodian: holder.MSP, Manifest: opened.Manifest, Outcome: access.Opened, Actor: by})
	if err != nil {
		return opened, fmt.Errorf("everything was opened; the receipt is not on the ledger yet: %w", err)
	}
	failpoint.Reach("open: received")
	return opened, nil
}

// permit is an access of this member's, if it is permitted: what Request was told
// by the own peer, or else what that has now. Its height is 0 in the latter case.
func (g *Gateway) permit(ctx context.Context, name lookup) (permitted, error) {
	if known, ok := g.permitted.get(name); ok {
		return known, nil
	}
	entry, err := g.access(ctx, name)
	if told, ok := g.told.get(name); ok && refusedWith(err, refusal.NotFound) {
		if err = g.reach(ctx, told.height); err == nil { // another peer said that it is committed
			entry, err = g.access(ctx, name)
		}
	}
	if err != nil {
		return permitted{}, err
	}
	if !entry.Access.Permitted() {
		return permitted{}, refusal.New(refusal.NotPermitted, "the decision on this request is deny", "a new request, once a consent permits it")
	}
	return permitted{Access: *entry.Access}, nil
}

// verify holds a manifest against the registry, the release and the anchors.
func (g *Gateway) verify(ctx context.Context, m *seal.Manifest, name lookup, permit access.Access) error {
	released, err := g.released(ctx, name)
	if errors.Is(err, errBehind) {
		return refusal.New(access.NotReleased, "the custodian sent a manifest, but the ledger has no release", "a release that is committed first")
	}
	if err != nil {
		return err
	}
	digest, err := record.ParseHash(released.Manifest)
	if err != nil {
		return fmt.Errorf("the release on the ledger: %w", err)
	}
	signing, err := g.signedBy(ctx, name.custodian, m.Signing)
	if err != nil {
		return err
	}
	err = m.Verify(seal.Evidence{
		Permit: permit.ID, Custodian: permit.Custodian, Requester: permit.Requester, Expires: permit.Expires,
		Manifest: digest, Signing: signing,
		Anchor: func(id string) (record.Anchor, bool, error) { return g.anchorOf(ctx, anchored{name.custodian, id}) },
	})
	if err != nil {
		return err
	}
	return covered(m, permit)
}

// covered refuses a manifest with a part that the permit doesn't cover: what the
// patient didn't consent to is not taken, even where a custodian sends it.
func covered(m *seal.Manifest, permit access.Access) error {
	for _, r := range m.Records {
		for _, s := range r.Parts {
			if !permit.Decision.Scope.Covers(s.Part) {
				return &seal.Mismatch{Record: r.Anchor, Part: s.Part.Index, What: "the permit doesn't cover it"}
			}
		}
	}
	return nil
}

// anchored names an anchor.
type anchored struct{ custodian, id string }

// anchorOf reads an anchor from the own peer, together with others; ok is false
// where it has none.
func (g *Gateway) anchorOf(ctx context.Context, name anchored) (a record.Anchor, ok bool, err error) {
	found, err := g.verifying.do(ctx, name)
	if err != nil || found == nil {
		return record.Anchor{}, false, err
	}
	return *found, true, nil
}

// anchorsOf reads many anchors with one query for each custodian; nil where there
// is none.
func (g *Gateway) anchorsOf(ctx context.Context, items []anchored) []outcome[*record.Anchor] {
	wanted := map[string][]string{}
	for _, item := range items {
		if !slices.Contains(wanted[item.custodian], item.id) {
			wanted[item.custodian] = append(wanted[item.custodian], item.id)
		}
	}
	found := map[anchored]*record.Anchor{}
	failed := map[string]error{}
	for custodian, ids := range wanted {
		var out contract.AnchorList
		in := contract.AnchorQuery{Custodian: custodian, IDs: ids}
		if err := g.Ledger.Evaluate(ctx, contract.RecordAnchors, in, &out, ledger.OwnPeerOnly()); err != nil {
			failed[custodian] = fmt.Errorf("reading anchors from the ledger: %w", err)
		}
		for _, a := range out.Records {
			found[anchored{custodian, a.ID}] = &a
		}
	}
	results := make([]outcome[*record.Anchor], len(items))
	for i, item := range items {
		results[i] = outcome[*record.Anchor]{found[item], failed[item.custodian]}
	}
	return results
}

// refusedWith says whether an error is a refusal with this code.
func refusedWith(err error, code refusal.Code) bool {
	var refused *refusal.Refusal
	return errors.As(err, &refused) && refused.Code == code
}

// openPart opens a part that comes and returns the bytes of its content.
func (g *Gateway) openPart(ctx context.Context, m *seal.Manifest, in incoming, wrapped *seal.Wrapped, sink Sink) (int64, error) {
	private, err := g.ring.private(wrapped.Key)
	if err != nil {
		return 0, fmt.Errorf("part %d of record %s: %w", in.part.Index, in.record, err)
	}
	if in.key, err = seal.Unwrap(private, m.Context(in.record, in.part.Index), *wrapped); err != nil {
		return 0, fmt.Errorf("part %d of record %s: %w", in.part.Index, in.record, err)
	}
	to, err := sink(in.record, in.part)
	if err != nil {
		return 0, err
	}
	return g.take(ctx, in, to)
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// reject puts a receipt on the ledger that says that what was released didn't
// verify, and returns why. Trouble on the way (a broken connection, a full disk) is
// no proof of anything, and is left to a retry.
func (g *Gateway) reject(ctx context.Context, name lookup, cause error) error {
	var mismatch *seal.Mismatch
	var part *seal.PartError
	if !errors.As(cause, &mismatch) && !(errors.As(cause, &part) && tampered(part)) && !errors.Is(cause, seal.ErrUnwrap) {
		return cause
	}
	entry, err := g.access(ctx, name)
	if err != nil || entry.Release == nil {
		return errors.Join(cause, err)
	}
	by, err := g.actor(ctx, name.id, doneOpening)
	if err != nil {
		return errors.Join(cause, err)
	}
	_, err = g.receiving.do(ctx, receiptOrder{Permit: name.id, Custodian: name.custodian, Manifest: entry.Release.Manifest, Outcome: access.Failed, Actor: by})
	return errors.Join(cause, err)
}

func tampered(err error) bool {
	return errors.Is(err, seal.ErrKey) || errors.Is(err, seal.ErrTampered) || errors.Is(err, seal.ErrAnchor) || errors.Is(err, seal.ErrPadding)
}

// receiptOrder is a receipt on its way to the ledger.
type receiptOrder struct {
	Permit    string         `json:"permit"`
	Custodian string         `json:"custodian"`
	Manifest  string         `json:"manifest"`
	Outcome   access.Opening `json:"outcome"`
	Recovered bool           `json:"recovered,omitzero"` // out of escrow
	access.Actor
}

// receiveAll keeps receipts and commits them in one transaction. One that doesn't
// get there, because the ledger can't be written, is sent by Resume.
func (g *Gateway) receiveAll(ctx context.Context, orders []receiptOrder) []outcome[ledger.Commit] {
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for _, o := range orders {
			if err := save(tx, bucketReceipts, o.Permit, o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		results := make([]outcome[ledger.Commit], len(orders))
		for i := range results {
			results[i].err = fmt.Errorf("keeping the receipt: %w", err)
		}
		return results
	}
	failpoint.Reach("open: receipt kept")
	return g.sendReceipts(ctx, orders)
}

func (g *Gateway) sendReceipts(ctx context.Context, orders []receiptOrder) []outcome[ledger.Commit] {
	results := make([]outcome[ledger.Commit], len(orders))
	var in contract.Receiving
	for _, o := range orders {
		in.Receipts = append(in.Receipts, contract.ReceiptOrder{Permit: o.Permit, Custodian: o.Custodian, Manifest: o.Manifest, Outcome: o.Outcome, Recovered: o.Recovered, Actor: o.Actor})
	}
	var out contract.Received
	commit, err := g.Ledger.Submit(ctx, contract.AccessReceive, in, &out)
	var refused *refusal.Refusal
	switch {
	case errors.As(err, &refused): // all of them, and for good
	case err == nil && len(out.Results) != len(orders):
		err = fmt.Errorf("the ledger answered %d receipts of %d", len(out.Results), len(orders))
		fallthrough
	case err != nil:
		for i := range results {
			results[i].err = err
		}
		return results
	}
	for i := range orders {
		results[i] = outcome[ledger.Commit]{commit, err}
		if err == nil && out.Results[i].Refusal != nil {
			results[i] = outcome[ledger.Commit]{err: out.Results[i].Refusal}
		}
	}
	err = g.Keys.Update(func(tx *keys.Tx) error {
		for _, o := range orders {
			if err := tx.Delete(bucketReceipts, o.Permit); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		g.Log.Warn("receipts are on the ledger and will be sent once more", "error", err)
	}
	return results
}
