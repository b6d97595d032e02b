package share

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
)

// How often a requester that can't be reached is told again: a minute after the first time,
// and then twice as long each time.
const (
	firstRetry = 60           // seconds
	lastRetry  = 12 * 60 * 60 // seconds
)

// informTime bounds how long a requester's gateway may take with a notice.
const informTime = 10 * time.Second

// Notice tells a requester that something of a record that it was released is erased.
type Notice struct {
	Record  string // id
	Erasure int    // number, in the record's anchor
	Height  uint64 // blocks of the ledger that has the tombstone
}

// notified is how far it has come with one requester.
type notified struct {
	Erasure int            `json:"erasure"`
	Height  uint64         `json:"height"` // blocks of the ledger that has it; 0 where that isn't known
	Told    bool           `json:"told"`   // its gateway has seen the tombstone on its own peer
	Tries   int            `json:"tries,omitempty"`
	Next    record.Instant `json:"next,omitzero"` // not before
	Problem string         `json:"problem,omitempty"`
}

// Informed is a requester that hasn't acknowledged an erasure.
type Informed struct {
	Requester string // MSP id
	Told      bool
	Next      record.Instant // when it is told again; zero for soon
	Problem   string         // why it isn't told
}

func (e erasing) informed() []Informed {
	var all []Informed
	for _, msp := range slices.Sorted(maps.Keys(e.Told)) {
		n := e.Told[msp]
		all = append(all, Informed{Requester: msp, Told: n.Told, Next: n.Next, Problem: n.Problem})
	}
	return all
}

// receiver names who was released parts of a record.
func receiver(recordID, requester string) string { return recordID + "/" + requester }

// noteReceiver notes which parts go to a requester, before any key does.
func noteReceiver(tx *keys.Tx, m *seal.Manifest) error {
	for _, r := range m.Records {
		name := receiver(r.Anchor, m.Requester)
		had, _, err := load[[]int](tx, bucketReceivers, name)
		if err != nil {
			return err
		}
		now := slices.Clone(had)
		for _, s := range r.Parts {
			now = append(now, s.Part.Index)
		}
		now = slices.Compact(slices.Sorted(slices.Values(now)))
		if slices.Equal(had, now) {
			continue
		}
		if err := save(tx, bucketReceivers, name, now); err != nil {
			return err
		}
	}
	return nil
}

// inform tells the requesters that are to be told by now, and looks who has acknowledged.
func (g *Gateway) inform(ctx context.Context, e *erasing) {
	if len(e.Told) == 0 {
		return
	}
	var telling sync.WaitGroup
	for msp, n := range e.Told {
		if n.Told || n.Next > g.now() {
			continue
		}
		telling.Go(func() {
			n.tried(g.now(), g.tell(ctx, msp, Notice{Record: e.Record, Erasure: n.Erasure, Height: n.Height}))
		})
	}
	telling.Wait()
	if err := g.acknowledged(ctx, e); err != nil {
		g.Log.Warn("acknowledgements of an erasure can't be read", "record", e.Record, "error", err)
	}
	if err := g.keepOrForget(e); err != nil {
		g.Log.Error("an erasure's state can't be kept", "record", e.Record, "error", err)
	}
}

func (g *Gateway) tell(ctx context.Context, msp string, n Notice) error {
	m, err := g.members.byMSP(ctx, msp)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, informTime)
	defer cancel()
	return g.Exchange.Erased(ctx, m, n)
}

func (n *notified) tried(now record.Instant, err error) {
	if err == nil {
		n.Told, n.Problem, n.Next = true, "", 0
		return
	}
	wait := record.Instant(firstRetry)
	for range min(n.Tries, 20) {
		wait = min(2*wait, lastRetry)
	}
	n.Tries++
	n.Next, n.Problem = now+wait, err.Error()
}

// acknowledged takes out who has acknowledged on the ledger, whether it was told or found out.
func (g *Gateway) acknowledged(ctx context.Context, e *erasing) error {
	in := contract.AcknowledgementsQuery{Custodian: g.Self.MSP, ID: e.Record, Size: contract.MaxPage}
	for more := true; more; more = in.Bookmark != "" {
		var out contract.AcknowledgementPage
		if err := g.Ledger.Evaluate(ctx, contract.RecordAcknowledgements, in, &out, ledger.OwnPeerOnly()); err != nil {
			return fmt.Errorf("reading the acknowledgements of record %s: %w", e.Record, err)
		}
		for _, a := range out.Acknowledgements {
			if n := e.Told[a.Requester]; n != nil && a.Erasure >= n.Erasure {
				delete(e.Told, a.Requester)
			}
		}
		in.Bookmark = out.Bookmark
	}
	return nil
}

// PendingErasure is a record of which erasures aren't done with.
type PendingErasure struct {
	Record     string
	Step       string // of what is under way here; "" once that is done
	Escrow     bool   // escrow is still to be told
	Requesters []Informed
}

// PendingErasures lists what isn't done with: not carried out, or not acknowledged by all.
func (g *Gateway) PendingErasures() ([]PendingErasure, error) {
	all, err := list[erasing](g.Keys, bucketErasures)
	if err != nil {
		return nil, err
	}
	var pending []PendingErasure
	for _, id := range slices.Sorted(maps.Keys(all)) {
		e := all[id]
		p := PendingErasure{Record: id, Escrow: e.Escrow != nil, Requesters: e.informed()}
		if e.Intent != nil {
			p.Step = string(e.Intent.Step)
		}
		pending = append(pending, p)
	}
	return pending, nil
}

// Recall goes on with every erasure of this hospital's that isn't done with. Trouble with one
// doesn't keep it from the others.
func (g *Gateway) Recall(ctx context.Context) error {
	all, err := list[erasing](g.Keys, bucketErasures)
	if err != nil {
		return err
	}
	var failed error
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if err := g.recall(ctx, id); err != nil {
			failed = errors.Join(failed, fmt.Errorf("erasing record %s: %w", id, err))
		}
	}
	return errors.Join(failed, ctx.Err())
}

func (g *Gateway) recall(ctx context.Context, id string) error {
	defer g.records.lock(id)()
	e, ok, err := load[erasing](g.Keys, bucketErasures, id)
	if err != nil || !ok {
		return err
	}
	if err := g.carryOut(ctx, &e); err != nil {
		return err
	}
	if e.Escrow != nil {
		g.tellEscrow(ctx, &e)
		if err := g.keepOrForget(&e); err != nil {
			return err
		}
	}
	g.inform(ctx, &e)
	return nil
}

// Reconcile erases again what the ledger says is erased and this key store still has, and throws
// away uploads of what is on the ledger already: the key store was restored from a backup that
// was made before.
func (g *Gateway) Reconcile(ctx context.Context) error {
	if g.Self.Kind != registry.Hospital {
		return nil
	}
	failed := g.reconcileUploads(ctx)
	all, err := g.catalogue()
	if err != nil {
		return errors.Join(failed, err)
	}
	all = slices.DeleteFunc(all, func(c catalogued) bool { return c.Status == "" || c.Status == record.Erased })
	for some := range slices.Chunk(all, batchSize) {
		names := make([]anchored, len(some))
		for i, c := range some {
			names[i] = anchored{g.Self.MSP, c.ID}
		}
		for i, found := range g.anchorsOf(ctx, names) {
			failed = errors.Join(failed, found.err)
			if a := found.value; a != nil && some[i].lacks(a.Erasure) {
				failed = errors.Join(failed, g.repeat(ctx, *a))
			}
		}
	}
	return failed
}

// lacks reports whether parts are erased on the ledger that aren't here.
func (c catalogued) lacks(e *record.Erasure) bool {
	return slices.ContainsFunc(c.Parts, func(p Part) bool { return e.Covers(p.Index) && !c.Erasure.Covers(p.Index) })
}

// repeat carries out here what the ledger has the tombstone of.
func (g *Gateway) repeat(ctx context.Context, a record.Anchor) error {
	defer g.records.lock(a.ID)()
	e, _, err := load[erasing](g.Keys, bucketErasures, a.ID)
	if err != nil || e.Intent != nil { // under way
		return err
	}
	c, err := g.ownRecord(a.ID)
	if err != nil || !c.lacks(a.Erasure) {
		return err
	}
	g.Log.Warn("the key store has keys of what is erased on the ledger: it was restored from an older one; erasing again", "record", a.ID)
	e.Record, e.Intent = a.ID, &intent{Whole: a.Status == record.Erased, Reason: a.Erasure.Reason, Anchor: &a}
	for _, p := range c.Parts {
		if a.Erasure.Covers(p.Index) {
			e.Intent.Parts = append(e.Intent.Parts, p.Index)
		}
	}
	if err := g.reached(&e, tombstoned); err != nil {
		return err
	}
	return g.carryOut(ctx, &e)
}
