package share

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
)

// Due is parts of one record, of one class, whose retention ends at one time.
type Due struct {
	Record  string
	Patient Patient
	Class   record.Class
	Parts   []int
	Due     record.Instant
	Warned  record.Instant // when its end was first told; zero before
	Erased  record.Instant // when it is erased by itself; zero before it is warned of
	Holds   record.Holds   // that keep it from being erased
}

// FallDue lists what falls due within a time from now, or has and is not erased, the earliest
// first. Zero is as long as the warning. What is held is listed with its holds.
func (g *Gateway) FallDue(ctx context.Context, within time.Duration) ([]Due, error) {
	if g.Self.Kind != registry.Hospital || len(g.Retention.Spans) == 0 {
		return nil, nil
	}
	held, err := g.Held(ctx)
	if err != nil {
		return nil, err
	}
	all, err := g.catalogue()
	if err != nil {
		return nil, err
	}
	warned, err := list[map[int]record.Instant](g.Keys, bucketWarned)
	if err != nil {
		return nil, err
	}
	var due []Due
	for _, c := range all {
		if c.Status != "" && c.Status != record.Erased {
			due = append(due, g.dueOf(c, within, warned[c.ID], held[c.ID])...)
		}
	}
	slices.SortFunc(due, func(a, b Due) int {
		return cmp.Or(cmp.Compare(a.Due, b.Due), cmp.Compare(a.Record, b.Record), cmp.Compare(a.Class, b.Class))
	})
	return due, nil
}

func (g *Gateway) dueOf(c catalogued, within time.Duration, warned map[int]record.Instant, holds record.Holds) []Due {
	now, policy := g.now(), g.Retention
	var found []Due
	for _, p := range c.Parts {
		end, ok := policy.Due(p.Part, c.Submitted)
		from := policy.Warn(end)
		if within != 0 {
			from = end - record.Instant(within/time.Second)
		}
		if !ok || c.Erasure.Covers(p.Index) || now < from {
			continue
		}
		d := Due{Record: c.ID, Patient: c.Patient, Class: p.Class, Due: end, Warned: warned[p.Index], Holds: holds}
		if d.Warned != 0 {
			d.Erased = policy.Erase(end, d.Warned)
		}
		same := func(o Due) bool { return o.Class == d.Class && o.Due == d.Due && o.Warned == d.Warned }
		if at := slices.IndexFunc(found, same); at >= 0 {
			found[at].Parts = append(found[at].Parts, p.Index)
			continue
		}
		d.Parts = []int{p.Index}
		found = append(found, d)
	}
	return found
}

// SweepRetention warns of what falls due, and erases what was warned of long enough ago. What is
// held stays until the hold is lifted. Trouble with one record doesn't keep it from the others.
func (g *Gateway) SweepRetention(ctx context.Context) error {
	all, err := g.FallDue(ctx, 0)
	if err != nil {
		return err
	}
	if err := g.warn(all); err != nil {
		return err
	}
	over := map[string][]int{}
	for _, d := range all {
		if d.Erased != 0 && d.Erased <= g.now() && len(d.Holds) == 0 {
			over[d.Record] = append(over[d.Record], d.Parts...)
		}
	}
	var failed error
	for _, id := range slices.Sorted(maps.Keys(over)) {
		if _, err := g.Erase(ctx, id, record.RetentionOver, over[id]); err != nil {
			failed = errors.Join(failed, fmt.Errorf("the retention period of record %s is over: %w", id, err))
		}
	}
	return errors.Join(failed, ctx.Err())
}

// warn notes, and logs, what is warned of for the first time.
func (g *Gateway) warn(all []Due) error {
	fresh := map[string][]Due{}
	for _, d := range all {
		if d.Warned == 0 {
			fresh[d.Record] = append(fresh[d.Record], d)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	now := g.now()
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for id, dues := range fresh {
			warned, _, err := load[map[int]record.Instant](tx, bucketWarned, id)
			if err != nil {
				return err
			}
			if warned == nil {
				warned = map[int]record.Instant{}
			}
			for _, d := range dues {
				for _, p := range d.Parts {
					warned[p] = now
				}
			}
			if err := save(tx, bucketWarned, id, warned); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("noting what retention is warned of: %w", err)
	}
	for _, dues := range fresh {
		for _, d := range dues {
			g.Log.Warn("a retention period ends: these parts will be erased by themselves", "record", d.Record, "parts", len(d.Parts),
				"due", d.Due.String(), "erased", g.Retention.Erase(d.Due, now).String(), "held", len(d.Holds) > 0)
		}
	}
	return nil
}

// recallPace is how often a gateway looks whether requesters are to be told.
const recallPace = 30 * time.Second

// KeepErasing goes on with erasures, looks for what falls due and for what others have erased, until
// the gateway is closed.
func (g *Gateway) KeepErasing() {
	g.work.Go(func() {
		recall, sweep := time.NewTicker(recallPace), time.NewTicker(g.Sweep)
		defer recall.Stop()
		defer sweep.Stop()
		g.attempt("a restored key store could not be held against the ledger", g.Reconcile)
		for {
			g.attempt("erasures are not done with yet", g.Recall)
			g.attempt("what this member opened could not be looked through", g.CheckOpened)
			g.attempt("retention periods could not be looked through", g.SweepRetention)
		waiting:
			for {
				select {
				case <-recall.C:
					g.attempt("erasures are not done with yet", g.Recall)
				case <-sweep.C:
					break waiting
				case <-g.ctx.Done():
					return
				}
			}
		}
	})
}

func (g *Gateway) attempt(what string, f func(context.Context) error) {
	if err := f(g.ctx); err != nil && g.ctx.Err() == nil {
		g.Log.Warn(what, "error", err)
	}
}
