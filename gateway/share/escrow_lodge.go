package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/escrow"
	"yitong/gateway/keys"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
)

// lodging is a record on its way into escrow. It is kept with the record's keys from
// before the anchor until every holder has acknowledged.
type lodging struct {
	Package *escrow.Package `json:"package"`
	Shares  []escrow.Share  `json:"shares"`
	Told    []string        `json:"told"`              // holders that keep their share
	Found   findable        `json:"found,omitempty"`   // under which handles
	Indexed []string        `json:"indexed"`           // regulators that find it under those
	Problem string          `json:"problem,omitempty"` // what kept it from being complete the last time
}

// Lodged says how a record lies in escrow. In the catalogue it is there once all holders
// have acknowledged.
type Lodged struct {
	escrow.Structure
	Kept    []string `json:"kept"`              // holders that keep their share
	Found   findable `json:"found,omitempty"`   // under which handles regulators find it
	Problem string   `json:"problem,omitempty"` // why it isn't complete
}

// Complete reports whether every holder keeps its share.
func (l Lodged) Complete() bool {
	return len(l.Kept) == len(l.Regulators)+len(l.Others) && l.Problem == ""
}

// KeptBy reports whether a holder has acknowledged its share.
func (l Lodged) KeptBy(holder string) bool { return slices.Contains(l.Kept, holder) }

// split puts a record's keys into escrow, for the anchor to commit to. It returns nil
// where they aren't meant to be or can't be: a record without escrow is better than none.
func (g *Gateway) split(ctx context.Context, recordID string, partKeys []seal.Key) *lodging {
	if !g.escrows() {
		return nil
	}
	s, err := g.structure(ctx)
	if err != nil {
		g.Log.Warn("a record is not put into escrow", "record", recordID, "error", err)
		return nil
	}
	p, shares, err := escrow.Split(g.Self.MSP, recordID, s, partKeys)
	if err != nil {
		g.Log.Error("a record is not put into escrow", "record", recordID, "error", err)
		return nil
	}
	return &lodging{Package: p, Shares: shares}
}

// lodge has an anchored record go to its holders, soon and without the caller waiting:
// a holder that is down must not fail a submission.
func (g *Gateway) lodge(context.Context, catalogued) {
	if !g.escrows() {
		return
	}
	select {
	case g.lodgings <- struct{}{}:
	default: // it will look anyway
	}
}

// lodgePace is how often a gateway tries again what isn't in escrow yet.
const lodgePace = 30 * time.Second

// sweepPace is how often a holder looks whether what it keeps is erased on the ledger.
const sweepPace = 10 * time.Minute

// lodgedAtOnce bounds how many records are on their way to holders at a time.
const lodgedAtOnce = 4

// KeepLodging carries records into escrow as they are anchored, and sweeps out what this
// member keeps for records that are erased, until the gateway is closed.
func (g *Gateway) KeepLodging() {
	if g.Holders == nil {
		return
	}
	g.work.Go(func() {
		ticker, sweep := time.NewTicker(lodgePace), time.NewTicker(sweepPace)
		defer ticker.Stop()
		defer sweep.Stop()
		for {
			if err := g.Lodge(g.ctx); err != nil && g.ctx.Err() == nil {
				g.Log.Warn("records are not in escrow yet", "error", err)
			}
			select {
			case <-g.lodgings:
			case <-ticker.C:
			case <-sweep.C:
				if err := g.SweepEscrow(g.ctx); err != nil && g.ctx.Err() == nil {
					g.Log.Warn("what is kept in escrow could not be looked through", "error", err)
				}
			case <-g.ctx.Done():
				return
			}
		}
	})
}

// Lodge tries to complete the escrow of every anchored record, and says what is in the
// way. A holder that can't be reached is left alone for the rest of the round.
func (g *Gateway) Lodge(ctx context.Context) error {
	if !g.escrows() {
		return nil
	}
	pending, err := g.Keys.List(bucketLodgings)
	if err != nil {
		return fmt.Errorf("reading what is on its way into escrow: %w", err)
	}
	var (
		round   = lodgeRound{Gateway: g, down: map[string]error{}}
		running sync.WaitGroup
		slots   = make(chan struct{}, lodgedAtOnce)
	)
	for _, id := range slices.Sorted(maps.Keys(pending)) {
		if ctx.Err() != nil {
			break
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			round.one(ctx, id)
		})
	}
	running.Wait()
	return errors.Join(ctx.Err(), round.failed)
}

// lodgeRound is one try with all that is pending.
type lodgeRound struct {
	*Gateway
	mu     sync.Mutex
	down   map[string]error // members that couldn't be reached
	failed error            // the first of each kind is enough to know
}

func (r *lodgeRound) one(ctx context.Context, id string) {
	defer r.records.lock(id)()
	c, known, err := load[catalogued](r.Keys, bucketRecords, id)
	if err == nil && known && c.Status == "" {
		return // its anchor isn't committed yet
	}
	l, pending, lerr := load[lodging](r.Keys, bucketLodgings, id)
	if err = errors.Join(err, lerr); err == nil && pending {
		err = r.carry(ctx, c, &l)
	}
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failed == nil {
			r.failed = fmt.Errorf("record %s: %w", id, err)
		}
	}
}

// carry brings one record to the holders that don't have it yet, and keeps how far it came.
func (r *lodgeRound) carry(ctx context.Context, c catalogued, l *lodging) error {
	if c.Status != record.Anchored && c.Status != record.Superseded {
		return r.Keys.Delete(bucketLodgings, l.Package.Record)
	}
	var failed error
	for _, share := range l.Shares {
		if slices.Contains(l.Told, share.Holder) {
			continue
		}
		if err := r.reach(share.Holder, func() error { return r.deposit(ctx, c, l.Package, share) }); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s doesn't keep its share yet: %w", share.Holder, err))
			continue
		}
		l.Told = append(l.Told, share.Holder)
	}
	found, err := r.findableAs(ctx, c.Patient)
	if err != nil {
		failed = errors.Join(failed, fmt.Errorf("not all its handles are known yet: %w", err))
	}
	if !found.equal(l.Found) { // another epoch has opened, say
		l.Found, l.Indexed = found, nil
	}
	for _, regulator := range l.Package.Regulators {
		if slices.Contains(l.Indexed, regulator) || !slices.Contains(l.Told, regulator) {
			continue
		}
		if err := r.reach(regulator, func() error { return r.index(ctx, regulator, c.ID, found) }); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s doesn't find it yet: %w", regulator, err))
			continue
		}
		l.Indexed = append(l.Indexed, regulator)
	}
	l.Problem = ""
	if failed != nil {
		l.Problem = failed.Error()
	}
	return errors.Join(failed, r.Keys.Update(func(tx *keys.Tx) error {
		if failed != nil {
			return save(tx, bucketLodgings, c.ID, l)
		}
		// The shares have served: the custodian has the keys themselves.
		if err := tx.Delete(bucketLodgings, c.ID); err != nil {
			return err
		}
		return amendRecord(tx, c.ID, func(c *catalogued) {
			c.Lodged = &Lodged{Structure: l.Package.Structure, Kept: l.Told, Found: found}
		})
	}))
}

// reach calls a member, unless it couldn't be reached in this round.
func (r *lodgeRound) reach(msp string, call func() error) error {
	r.mu.Lock()
	down := r.down[msp]
	r.mu.Unlock()
	if down != nil {
		return down
	}
	err := call()
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		r.mu.Lock()
		r.down[msp] = err
		r.mu.Unlock()
	}
	return err
}

// depositTime bounds how long a holder may take with a record, beside what its bytes take.
const depositTime = 30 * time.Second

// deposit hands one holder what it is to keep.
func (g *Gateway) deposit(ctx context.Context, c catalogued, p *escrow.Package, share escrow.Share) error {
	holder, err := g.members.withKeys(ctx, share.Holder)
	if err != nil {
		return err
	}
	if !holder.Member.Active() {
		return refusal.New(refusal.MemberSuspended, holder.Member.Name+" is suspended", "its reinstatement")
	}
	public, err := seal.ParsePublicKey(holder.Keys.HPKE.Public)
	if err != nil {
		return fmt.Errorf("the registered key of %s: %w", share.Holder, err)
	}
	raw, err := json.Marshal(share)
	if err != nil {
		return fmt.Errorf("encoding a share: %w", err)
	}
	defer clear(raw)
	d := Deposit{Package: p, Height: c.Commit.Block + 1}
	if d.Share, err = seal.SealTo(public, depositPlace(p, share.Holder), raw); err != nil {
		return err
	}
	size := int64(0)
	if p.IsRegulator(share.Holder) {
		d.Parts = c.parts()
		for _, part := range d.Parts {
			size += part.SealedSize
		}
	}
	ctx, cancel := context.WithTimeout(ctx, depositTime+time.Duration(size>>20)*time.Second) // 1 MiB a second at the least
	defer cancel()
	return g.Holders.Deposit(ctx, holder.Member, d, func(part int) (io.ReadCloser, error) {
		return g.Vault.Open(ctx, vault.NameOf(c.ID, part), vault.SumOf(c.Parts[part].Part))
	})
}

// RecordEscrow tells how one of this hospital's records lies in escrow. ok is false where
// it isn't put there at all.
func (g *Gateway) RecordEscrow(id string) (l Lodged, ok bool, err error) {
	c, err := g.ownRecord(id)
	if err != nil {
		return Lodged{}, false, err
	}
	l, ok, err = g.lodgedAs(c)
	return l, ok, err
}

func (g *Gateway) lodgedAs(c catalogued) (Lodged, bool, error) {
	if c.Lodged != nil {
		return *c.Lodged, true, nil
	}
	pending, ok, err := load[lodging](g.Keys, bucketLodgings, c.ID)
	if err != nil || !ok {
		return Lodged{}, false, err
	}
	l := Lodged{Structure: pending.Package.Structure, Kept: pending.Told, Problem: pending.Problem}
	if l.Problem == "" && !l.Complete() {
		l.Problem = "its shares are on their way"
	}
	return l, true, nil
}
