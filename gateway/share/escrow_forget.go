package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/escrow"
	"yitong/gateway/keys"
)

// forgetTime bounds how long a holder may take to forget.
const forgetTime = 15 * time.Second

// forgetEscrow has a record, or some of its parts, erased wherever it lies in escrow: what
// is on its way here, and what holders keep. The ledger has to say so first: holders look.
// Who can't be told finds out by itself (SweepEscrow), so an error is a delay.
func (g *Gateway) forgetEscrow(ctx context.Context, recordID string, parts []int) error {
	if g.Holders == nil {
		return nil
	}
	c, known, err := load[catalogued](g.Keys, bucketRecords, recordID)
	if err != nil {
		return err
	}
	pending, underWay, err := load[lodging](g.Keys, bucketLodgings, recordID)
	if err != nil {
		return err
	}
	var told []string
	switch {
	case underWay:
		told = pending.Package.Structure.Members() // the answer of one that keeps it may have been lost
	case known && c.Lodged != nil:
		told = c.Lodged.Kept
	}
	// What hasn't reached its holders yet isn't sent any more: a deposit is of whole records.
	err = g.Keys.Delete(bucketLodgings, recordID)
	for _, holder := range told {
		m, merr := g.members.byMSP(ctx, holder)
		if merr == nil {
			limited, cancel := context.WithTimeout(ctx, forgetTime)
			merr = g.Holders.Forget(limited, m, recordID, parts)
			cancel()
		}
		if merr != nil {
			err = errors.Join(err, fmt.Errorf("%s has not been told: %w", holder, merr))
		}
	}
	return err
}

// Forget destroys what this member keeps of a custodian's record, or of some of its parts,
// as far as the ledger on its own peer says that it is erased.
func (g *Gateway) Forget(ctx context.Context, custodian, recordID string, parts []int) error {
	if err := access.CheckID(recordID); err != nil {
		return err
	}
	anchors, err := g.anchorsByID(ctx, custodian, []string{recordID})
	if err != nil {
		return err
	}
	gone := goneOf(anchors[recordID])
	if !gone.whole && (len(parts) == 0 || slices.ContainsFunc(parts, func(p int) bool { return !slices.Contains(gone.parts, p) })) {
		return refusal.New(refusal.WrongState, "the ledger doesn't say that this of record "+recordID+" is erased", "erasing it on the ledger first")
	}
	return g.destroy(ctx, custodian, recordID, gone)
}

// gone is what the ledger says is not to be opened ever again of a record.
type gone struct {
	whole bool
	parts []int
}

func goneOf(a *record.Anchor) gone {
	switch {
	case a == nil:
		return gone{}
	case a.Status == record.Retracted || a.Status == record.Erased:
		return gone{whole: true}
	case a.Erasure != nil:
		return gone{parts: a.Erasure.Parts}
	}
	return gone{}
}

// anchorsByID reads anchors from the own peer, many at once; those it hasn't are left out.
func (g *Gateway) anchorsByID(ctx context.Context, custodian string, ids []string) (map[string]*record.Anchor, error) {
	byID := map[string]*record.Anchor{}
	for some := range slices.Chunk(ids, batchSize) {
		names := make([]anchored, len(some))
		for i, id := range some {
			names[i] = anchored{custodian, id}
		}
		for i, found := range g.anchorsOf(ctx, names) {
			if found.err != nil {
				return nil, found.err
			}
			if found.value != nil {
				byID[some[i]] = found.value
			}
		}
	}
	return byID, nil
}

// destroy erases what this member keeps of what is gone: the shares first, so that the
// rest is worth nothing whatever becomes of it. What is destroyed already is no error.
func (g *Gateway) destroy(ctx context.Context, custodian, recordID string, what gone) error {
	defer g.records.lock(keptAs(custodian, recordID))()
	k, ok, err := load[kept](g.Keys, bucketKept, keptAs(custodian, recordID))
	if err != nil || !ok {
		return err
	}
	var sealed []int
	for _, p := range k.Parts {
		if what.whole || slices.Contains(what.parts, p.Index) {
			sealed = append(sealed, p.Index)
		}
	}
	if what.whole {
		err = g.unkeep(custodian, recordID)
	} else {
		before := len(k.Share.Parts)
		k.Share.Parts = slices.DeleteFunc(k.Share.Parts, func(p escrow.PartShare) bool { return slices.Contains(what.parts, p.Part) })
		if len(k.Share.Parts) == before {
			return nil
		}
		err = g.keep(bucketKept, keptAs(custodian, recordID), k)
	}
	if err == nil {
		err = g.Keys.Scrub() // deleted, the share still lies in the file
	}
	if err != nil {
		return fmt.Errorf("destroying the share of record %s: %w", recordID, err)
	}
	for _, part := range sealed {
		err = errors.Join(err, g.Vault.Delete(ctx, entrusted(custodian, recordID, part)))
	}
	g.Log.Info("destroyed what was kept in escrow", "custodian", custodian, "record", recordID, "whole", what.whole)
	return err
}

// unkeep forgets a record's share, and takes it out of the index.
func (g *Gateway) unkeep(custodian, recordID string) error {
	index, err := g.Keys.List(bucketEscrowIndex)
	if err != nil {
		return err
	}
	return g.Keys.Update(func(tx *keys.Tx) error {
		for name, raw := range index {
			var ids []string
			if err := json.Unmarshal(raw, &ids); err != nil {
				return fmt.Errorf("reading the index of escrow: %w", err)
			}
			if !strings.HasPrefix(name, custodian+"/") || !slices.Contains(ids, recordID) {
				continue
			}
			if ids = slices.DeleteFunc(ids, func(id string) bool { return id == recordID }); len(ids) == 0 {
				err = tx.Delete(bucketEscrowIndex, name)
			} else {
				err = save(tx, bucketEscrowIndex, name, ids)
			}
			if err != nil {
				return err
			}
		}
		return tx.Delete(bucketKept, keptAs(custodian, recordID))
	})
}

// SweepEscrow destroys what this member keeps of what the ledger says is erased, whether
// or not its custodian has said so.
func (g *Gateway) SweepEscrow(ctx context.Context) error {
	all, err := g.Keys.List(bucketKept)
	if err != nil {
		return fmt.Errorf("reading what is kept in escrow: %w", err)
	}
	byCustodian := map[string][]string{}
	for _, raw := range all {
		var k kept
		if err := json.Unmarshal(raw, &k); err != nil {
			return fmt.Errorf("reading what is kept in escrow: %w", err)
		}
		byCustodian[k.Custodian] = append(byCustodian[k.Custodian], k.Record)
	}
	var failed error
	for custodian, ids := range byCustodian {
		anchors, err := g.anchorsByID(ctx, custodian, ids)
		failed = errors.Join(failed, err)
		for _, id := range ids {
			if what := goneOf(anchors[id]); what.whole || len(what.parts) > 0 {
				failed = errors.Join(failed, g.destroy(ctx, custodian, id, what))
			}
		}
	}
	return failed
}
