package share

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
)

// A regulator finds what it keeps by the handle that a permit names, so its index follows
// the epochs of the handles:
//
//	a record is lodged    it is indexed under the handles of all epochs that are open
//	an epoch opens        the custodian carries consents, then indexes under the new handles
//	an epoch ends         the regulator drops its handles
//
// A custodian that dies before it has indexed under the new handles is found under the old
// ones as long as their epoch is open, and a break-glass request names those
// (handleInEmergency). What was carried on the ledger before it died the regulator follows by
// itself. Once the old epoch is over nothing says any more whose the custodian's records
// are: a recovery is refused (escrow-not-indexed) until the custodian is back, which then
// indexes under the present handles. So the overlap of a rotation is also how long a
// custodian may be dead; one of 0, for a stolen key, gives that up.

// EscrowNotIndexed is the code of the refusal that says that the custodian was gone before it
// had its records found under the handles of the permit's epoch.
const EscrowNotIndexed refusal.Code = "escrow-not-indexed"

// findable is under which handles a record is found: hospital -> handles, the newest first.
type findable map[string][]string

func (f findable) equal(other findable) bool { return maps.EqualFunc(f, other, slices.Equal) }

// in reports whether each of the hospitals finds it under a handle of an epoch.
func (f findable) in(epoch int, hospitals []string) bool {
	return !slices.ContainsFunc(hospitals, func(msp string) bool {
		return len(f[msp]) == 0 || epochOf(f[msp][0]) != epoch
	})
}

// glassBreakers are the MSP ids of the hospitals that could break the glass at this one.
func (g *Gateway) glassBreakers(ctx context.Context) ([]string, error) {
	members, err := g.members.all(ctx)
	if err != nil {
		return nil, err
	}
	var msps []string
	for _, m := range members {
		if m.Kind == registry.Hospital && m.MSP != g.Self.MSP && m.Active() {
			msps = append(msps, m.MSP)
		}
	}
	return msps, nil
}

// findableAs are the patient's handles of all open epochs with every hospital that could
// break the glass. With an error come those that could be found all the same.
func (g *Gateway) findableAs(ctx context.Context, p Patient) (findable, error) {
	p, err := p.Normalise()
	if err != nil {
		return nil, err
	}
	all, err := g.epochs(ctx)
	if err != nil {
		return nil, err
	}
	hospitals, err := g.glassBreakers(ctx)
	if err != nil {
		return nil, err
	}
	found := findable{}
	var failed error
	for _, n := range openEpochs(all, g.now()) {
		for _, msp := range hospitals {
			h, err := g.handleAt(ctx, all, relation{g.Self.MSP, msp}, p, n)
			if err != nil {
				failed = errors.Join(failed, err)
				break // the other hospitals' are evaluated by the same members
			}
			found[msp] = append(found[msp], h)
		}
	}
	return found, failed
}

func (g *Gateway) index(ctx context.Context, regulator, recordID string, found findable) error {
	m, err := g.members.byMSP(ctx, regulator)
	if err != nil {
		return err
	}
	var entries []IndexEntry
	for _, hospital := range slices.Sorted(maps.Keys(found)) {
		for _, h := range found[hospital] {
			entries = append(entries, IndexEntry{hospital, h, recordID})
		}
	}
	if len(entries) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, depositTime)
	defer cancel()
	return g.Holders.Index(ctx, m, entries)
}

// Reindex has regulators find, as the custodian, what is in escrow under the handles of the
// present epoch too, and by hospitals that have joined since. Stopped at any point, it goes
// on from there. It says of how many records it was done.
func (g *Gateway) Reindex(ctx context.Context) (done int, err error) {
	if g.Holders == nil || g.Self.Kind != registry.Hospital {
		return 0, nil
	}
	all, err := g.Epochs(ctx)
	if err != nil {
		return 0, err
	}
	hospitals, err := g.glassBreakers(ctx)
	if err != nil {
		return 0, err
	}
	records, err := list[catalogued](g.Keys, bucketRecords)
	if err != nil {
		return 0, err
	}
	round := lodgeRound{Gateway: g, down: map[string]error{}}
	var problems error
	for _, id := range slices.Sorted(maps.Keys(records)) {
		if ctx.Err() != nil {
			break
		}
		if c := records[id]; !c.stale(all.Latest, hospitals) {
			continue
		}
		err := round.reindex(ctx, id, all.Latest, hospitals)
		var over *Exceeded
		if errors.As(err, &over) {
			return done, errors.Join(problems, err)
		}
		if err != nil && problems == nil {
			problems = fmt.Errorf("record %s: %w", id, err) // the first is enough to know
		} else if err == nil {
			done++
		}
	}
	return done, errors.Join(ctx.Err(), problems)
}

// stale says whether a record is in escrow and can't be found by each hospital under a
// handle of the epoch.
func (c catalogued) stale(epoch int, hospitals []string) bool {
	return c.Lodged != nil && (c.Status == record.Anchored || c.Status == record.Superseded) && !c.Lodged.Found.in(epoch, hospitals)
}

// reindex does it for one record, if it is to be done still.
func (r *lodgeRound) reindex(ctx context.Context, id string, epoch int, hospitals []string) error {
	defer r.records.lock(id)()
	c, ok, err := load[catalogued](r.Keys, bucketRecords, id)
	if err != nil || !ok || !c.stale(epoch, hospitals) {
		return err
	}
	// Without the handles of an older epoch, whose evaluators may be gone, it does.
	found, err := r.findableAs(ctx, c.Patient)
	if !found.in(epoch, hospitals) {
		if err == nil { // the members have changed meanwhile
			err = fmt.Errorf("the handles of epoch %d aren't known to all: %w", epoch, ErrUnavailable)
		}
		return err
	}
	for _, regulator := range c.Lodged.Regulators {
		if !c.Lodged.KeptBy(regulator) {
			continue
		}
		if err := r.reach(regulator, func() error { return r.index(ctx, regulator, id, found) }); err != nil {
			return fmt.Errorf("%s doesn't find it yet: %w", regulator, err)
		}
	}
	err = r.Keys.Update(func(tx *keys.Tx) error {
		return amendRecord(tx, id, func(c *catalogued) { c.Lodged.Found = found })
	})
	if err != nil {
		return fmt.Errorf("noting under which handles a record is found: %w", err)
	}
	return nil
}

// DropEnded takes the handles of epochs that are over out of this regulator's index.
func (g *Gateway) DropEnded(ctx context.Context) error {
	all, err := g.Epochs(ctx)
	if err != nil {
		return err
	}
	index, err := list[[]string](g.Keys, bucketEscrowIndex)
	if err != nil {
		return err
	}
	var ended []string
	for name := range index {
		n := epochOf(name[strings.LastIndex(name, "/")+1:])
		if _, ok := all.Open(n, g.now()); !ok && n < all.Latest {
			ended = append(ended, name)
		}
	}
	if len(ended) == 0 {
		return nil
	}
	err = g.Keys.Update(func(tx *keys.Tx) error {
		for _, name := range ended {
			if err := tx.Delete(bucketEscrowIndex, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("dropping handles of epochs that are over from the index of escrow: %w", err)
	}
	g.Log.Info("dropped handles of epochs that are over from the index of escrow", "handles", len(ended))
	return nil
}

// indexPrefix is what the names of entries of one relationship begin with.
func indexPrefix(between relation) string { return between.custodian + "/" + between.requester + "/" }

// foundUnder are the ids of the records that this regulator finds for a permit: under its
// handle, those that it was carried to and, where there are none, those that were carried
// to it. It refuses (epoch-ended) a handle whose epoch is over and, where nothing is found,
// says so (not-found) or that the custodian hasn't indexed all (escrow-not-indexed).
func (g *Gateway) foundUnder(ctx context.Context, permit access.Access) ([]string, error) {
	between := relation{permit.Custodian, permit.Requester}
	all, err := g.Epochs(ctx)
	if err != nil {
		return nil, err
	}
	way, err := g.way(ctx, between, permit.Handle)
	if err != nil {
		return nil, err
	}
	handles := append([]string{permit.Handle}, way...)
	last := handles[len(handles)-1]
	if err := all.Check(last, g.now()); err != nil {
		return nil, err
	}
	ids, err := g.indexedUnder(between, handles)
	if err != nil || len(ids) > 0 {
		return ids, err
	}
	index, err := g.indexOf(between)
	if err != nil {
		return nil, err
	}
	carried, err := g.carriedTo(ctx, all, between, last, index)
	if err != nil {
		return nil, err
	}
	if ids, err = g.indexedUnder(between, carried); err != nil || len(ids) > 0 {
		return ids, err
	}
	return nil, g.nothingFound(between, epochOf(last), index)
}

// indexedUnder are the ids of records under any of the handles.
func (g *Gateway) indexedUnder(between relation, handles []string) (ids []string, err error) {
	for _, h := range handles {
		some, _, err := load[[]string](g.Keys, bucketEscrowIndex, indexPrefix(between)+h)
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// indexOf is the index of one relationship: handle -> ids of records.
func (g *Gateway) indexOf(between relation) (map[string][]string, error) {
	index, err := list[[]string](g.Keys, bucketEscrowIndex)
	if err != nil {
		return nil, err
	}
	of := map[string][]string{}
	for name, ids := range index {
		if h, ok := strings.CutPrefix(name, indexPrefix(between)); ok {
			of[h] = ids
		}
	}
	return of, nil
}

// carriedTo are the indexed handles of older epochs of which the ledger says that what stood
// under them was carried to the handle given, straight or over others.
func (g *Gateway) carriedTo(ctx context.Context, all contract.Epochs, between relation, to string, index map[string][]string) ([]string, error) {
	var older []string
	for h := range index {
		if epochOf(h) < epochOf(to) {
			older = append(older, h)
		}
	}
	slices.Sort(older)
	var found []string
	for some := range slices.Chunk(older, batchSize) {
		states, err := g.handleStates(ctx, between, some)
		if err != nil {
			return nil, err
		}
		for i, s := range states {
			if s.Carried == nil {
				continue
			}
			way, err := g.way(ctx, between, some[i])
			if err != nil {
				return nil, err
			}
			if slices.Contains(way, to) {
				found = append(found, some[i])
			}
		}
	}
	return found, nil
}

// nothingFound is the refusal of a permit for which nothing is found under a handle of the
// epoch.
func (g *Gateway) nothingFound(between relation, epoch int, index map[string][]string) error {
	indexed := map[string]bool{}
	for h, ids := range index {
		if epochOf(h) == epoch {
			for _, id := range ids {
				indexed[id] = true
			}
		}
	}
	all, err := list[kept](g.Keys, bucketKept)
	if err != nil {
		return err
	}
	missing := 0
	for _, k := range all {
		if k.Custodian == between.custodian && !indexed[k.Record] {
			missing++
		}
	}
	if missing == 0 {
		return refusal.New(refusal.NotFound, "nothing lies in escrow with "+g.Self.Name+" under the permit's handle", "another regulator's gateway, or the custodian once it is back")
	}
	return refusal.New(EscrowNotIndexed, fmt.Sprintf("nothing is found under the permit's handle, of epoch %d, and %d records of the custodian's in escrow aren't indexed for this hospital in that epoch yet", epoch, missing),
		"a new break-glass request under the handle of an earlier epoch while one is open, or the custodian once it is back")
}
