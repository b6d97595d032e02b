package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/epoch"
	"yitong/chaincode/registry"
	"yitong/gateway/handle"
	"yitong/gateway/keys"
)

func epochOf(h string) int { return access.Epoch(h) }

// carryOlder carries what stands under a patient's older handles to the newest one, so that
// nothing new is put beside what is still to be carried.
func (g *Gateway) carryOlder(ctx context.Context, all contract.Epochs, between relation, p Patient, newest string) error {
	known, err := g.knownHandles(all, between, p)
	if err != nil {
		return err
	}
	carried := true
	for _, older := range known {
		if older == newest {
			continue
		}
		done, err := g.carryOne(ctx, all, between, older, newest)
		if err != nil {
			return err
		}
		carried = carried && done
	}
	if carried {
		g.settled.Store(newest, true)
	}
	return nil
}

// carryOne carries what stands under one handle to another. done is false where nothing
// stands there yet though something may: its epoch is open.
func (g *Gateway) carryOne(ctx context.Context, all contract.Epochs, between relation, older, newest string) (done bool, err error) {
	note, _, err := load[whose](g.Keys, bucketWhose, older)
	if err != nil || note.Carried != "" {
		return true, err
	}
	states, err := g.handleStates(ctx, between, []string{older})
	if err != nil {
		return false, err
	}
	to := newest
	switch s := states[0]; {
	case s.Carried != nil: // before this key store was restored, say
		to = s.Carried.To
	case s.Consents == 0:
		_, open := all.Open(epochOf(older), g.now())
		return !open, nil
	default:
		var out epoch.Carried
		in := contract.CarryOrder{Requester: between.requester, From: older, To: newest}
		if _, err := g.Ledger.Submit(ctx, contract.HandleCarry, in, &out); err != nil {
			return false, fmt.Errorf("carrying consents to the handle of epoch %d: %w", epochOf(newest), err)
		}
	}
	return true, g.noteCarried(older, to)
}

func (g *Gateway) noteCarried(older, to string) error {
	err := g.Keys.Update(func(tx *keys.Tx) error {
		note, _, err := load[whose](tx, bucketWhose, older)
		if err != nil {
			return err
		}
		note.Carried = to
		return save(tx, bucketWhose, older, note)
	})
	if err != nil {
		return fmt.Errorf("noting that a handle was carried: %w", err)
	}
	return nil
}

// Carry carries, as the custodian, all relationships it knows to the handles of the present
// epoch. Stopped at any point, it goes on from there. The order is drawn anew each time:
// two relationships of one patient carried one after the other could be told to be that.
func (g *Gateway) Carry(ctx context.Context) (carried int, err error) {
	all, err := g.Epochs(ctx)
	if err != nil || all.Latest == 1 {
		return 0, err
	}
	entries, err := g.Keys.List(bucketWhose)
	if err != nil {
		return 0, fmt.Errorf("reading the relationships: %w", err)
	}
	type item struct {
		handle string
		whose
	}
	due := map[string][]item{}
	for h, raw := range entries {
		var w whose
		if err := json.Unmarshal(raw, &w); err != nil {
			return 0, fmt.Errorf("reading the relationships: %w", err)
		}
		if w.Carried == "" && epochOf(h) < all.Latest {
			due[w.Requester] = append(due[w.Requester], item{h, w})
		}
	}
	var problems []error
	var batches [][]item
	for _, list := range due {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for len(list) > 0 {
			n := min(len(list), handle.MaxBatch)
			batches, list = append(batches, list[:n]), list[n:]
		}
	}
	rand.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	for _, batch := range batches {
		between := relation{g.Self.MSP, batch[0].Requester}
		var wanted []Patient
		for _, one := range batch {
			_, ok, err := load[string](g.Keys, bucketHandles, handleName(all.Latest, between.custodian, between.requester, one.Patient))
			if err != nil {
				return carried, err
			}
			if !ok {
				wanted = append(wanted, one.Patient)
			}
		}
		if len(wanted) > 0 {
			if _, err := g.deriveAt(ctx, all, between, wanted, all.Latest); err != nil {
				var over *Exceeded
				if errors.As(err, &over) || errors.Is(err, ErrUnavailable) {
					return carried, errors.Join(append(problems, err)...)
				}
				problems = append(problems, err) // of this requester; a suspended one, say
				continue
			}
		}
		for _, one := range batch {
			newest, err := g.handleAt(ctx, all, between, one.Patient, all.Latest)
			if err != nil {
				return carried, err
			}
			done, err := g.carryOne(ctx, all, between, one.handle, newest)
			if err != nil {
				problems = append(problems, err)
			} else if done {
				carried++
			}
		}
	}
	return carried, errors.Join(problems...)
}

// The pace of what KeepHandles does.
const (
	epochPace   = 10 * time.Second // a new epoch is looked for
	accountPace = time.Minute
	carryPace   = 10 * time.Minute // relationships without a consent are looked at again
	lastAccount = 5 * time.Second  // that a gateway which ends takes for it at most
)

// KeepHandles carries consents when an epoch opens and then has regulators find what is in
// escrow under the new handles, accounts for what this member evaluated, destroys its keys of
// epochs that are over, and drops what a regulator's index has of them, until the gateway is
// closed.
func (g *Gateway) KeepHandles() {
	g.work.Go(func() {
		ticker := time.NewTicker(epochPace)
		defer ticker.Stop()
		var seen int
		var carried, accounted time.Time
		wait := carryPace
		for {
			if all, err := g.epochs(g.ctx); err == nil {
				if err := g.destroyEnded(all); err != nil {
					g.Log.Error("a key of an epoch that is over is still there", "error", err)
				}
				if all.Latest != seen || g.Now().Sub(carried) >= wait {
					seen, carried, wait = all.Latest, g.Now(), g.followEpochs()
				}
			}
			if g.Now().Sub(accounted) >= accountPace {
				accounted = g.Now()
				if err := g.Account(g.ctx); err != nil && g.ctx.Err() == nil {
					g.Log.Warn("evaluations are not accounted for yet", "error", err)
				}
			}
			select {
			case <-ticker.C:
			case <-g.ctx.Done():
				return
			}
		}
	})
}

// followEpochs does what there is to do for the present epoch, by the kind of member, and
// says after how long it is to be done again.
func (g *Gateway) followEpochs() time.Duration {
	switch g.Self.Kind {
	case registry.Hospital:
		wait := g.carryAgain()
		n, err := g.Reindex(g.ctx)
		if n > 0 {
			g.Log.Info("regulators find records in escrow under the handles of the present epoch", "records", n)
		}
		if err != nil && g.ctx.Err() == nil {
			g.Log.Warn("regulators don't find every record in escrow under the handles of the present epoch yet", "error", err)
			wait = min(wait, lodgePace)
		}
		return wait
	case registry.Regulator:
		if err := g.DropEnded(g.ctx); err != nil && g.ctx.Err() == nil {
			g.Log.Warn("the index of escrow has handles of epochs that are over still", "error", err)
		}
	}
	return carryPace
}

// carryAgain carries what it can and says after how long it is to be tried again.
func (g *Gateway) carryAgain() time.Duration {
	n, err := g.Carry(g.ctx)
	if n > 0 {
		g.Log.Info("carried relationships to the present epoch", "relationships", n)
	}
	if err == nil || g.ctx.Err() != nil {
		return carryPace
	}
	g.Log.Warn("not every relationship is carried to the present epoch yet", "error", err)
	var over *Exceeded
	if errors.As(err, &over) {
		return max(over.Retry, epochPace)
	}
	return epochPace
}
