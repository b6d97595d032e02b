package share

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"

	"yitong/chaincode/record"
	"yitong/gateway/vault"
)

// Resume finishes what a stop or a crash left half done: receipts that aren't on
// the ledger yet, records that are sealed and not anchored, erasures that were
// begun, sealed parts in the vault that no record knows. It is to be called once, before the first use case.
// Trouble with one thing doesn't keep it from the others; what fails is reported
// and tried at the next start, or at the caller's retry.
func (g *Gateway) Resume(ctx context.Context) error {
	if err := g.sweep(ctx); err != nil {
		return fmt.Errorf("removing orphans from the vault: %w", err)
	}
	if err := g.expireCopies(ctx); err != nil {
		return fmt.Errorf("deleting copies whose permit is over: %w", err)
	}
	if err := g.ExpireUploads(ctx); err != nil {
		return fmt.Errorf("throwing away old uploads: %w", err)
	}
	g.resumeErasures(ctx)
	g.resumeReceipts(ctx)
	g.resumeAnchors(ctx)
	return ctx.Err()
}

// resumeErasures carries out here what was begun, so that nothing of it is released. Others
// are told later (KeepErasing).
func (g *Gateway) resumeErasures(ctx context.Context) {
	all, err := list[erasing](g.Keys, bucketErasures)
	if err != nil {
		g.Log.Error("erasures that were begun can't be read", "error", err)
		return
	}
	for id := range all {
		unlock := g.records.lock(id)
		e, _, err := load[erasing](g.Keys, bucketErasures, id)
		if err == nil {
			err = g.carryOut(ctx, &e)
		}
		if err != nil {
			g.Log.Warn("a record is not erased yet", "record", id, "error", err)
		}
		unlock()
	}
}

// sweep deletes the sealed parts whose record never got into the catalogue.
func (g *Gateway) sweep(ctx context.Context) error {
	known, err := g.keepsSealed()
	if err != nil {
		return err
	}
	copies, err := g.copiesSealed()
	if err != nil {
		return err
	}
	maps.Copy(known, copies)
	uploads, err := g.stagedSealed()
	if err != nil {
		return err
	}
	maps.Copy(known, uploads)
	records, err := g.catalogue()
	if err != nil {
		return err
	}
	for _, r := range records {
		for _, p := range r.Parts {
			if !r.Erasure.Covers(p.Index) {
				known[vault.NameOf(r.ID, p.Index)] = true
			}
		}
	}
	for e, err := range g.Vault.List(ctx) {
		if err != nil {
			return err
		}
		if known[e.Name] {
			continue
		}
		if err := g.Vault.Delete(ctx, e.Name); err != nil {
			return err
		}
		g.Log.Info("removed a sealed part that no record knows", "object", e.Name.String(), "bytes", e.Size)
	}
	return nil
}

// catalogue lists every record of this member.
func (g *Gateway) catalogue() ([]catalogued, error) {
	all, err := g.Keys.List(bucketRecords)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	records := make([]catalogued, 0, len(all))
	for _, raw := range all {
		var c catalogued
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("reading the catalogue: %w", err)
		}
		records = append(records, c)
	}
	return records, nil
}

func (g *Gateway) resumeReceipts(ctx context.Context) {
	all, err := g.Keys.List(bucketReceipts)
	if err != nil {
		g.Log.Error("receipts that wait can't be read", "error", err)
		return
	}
	var sending errgroup.Group
	sending.SetLimit(resumedAtOnce)
	for _, raw := range all {
		var o receiptOrder
		if err := json.Unmarshal(raw, &o); err != nil {
			g.Log.Error("a receipt that waits can't be read", "error", err)
			continue
		}
		sending.Go(func() error { // each by itself: one that is refused takes no other with it
			if err := g.sendReceipts(ctx, []receiptOrder{o})[0].err; err != nil {
				g.Log.Warn("a receipt is not on the ledger yet", "permit", o.Permit, "error", err)
			}
			return nil
		})
	}
	_ = sending.Wait()
}

func (g *Gateway) resumeAnchors(ctx context.Context) {
	records, err := g.catalogue()
	if err != nil {
		g.Log.Error("records that wait for their anchor can't be read", "error", err)
		return
	}
	var sending errgroup.Group
	sending.SetLimit(resumedAtOnce)
	for _, c := range records {
		if c.Status != record.Status("") {
			continue
		}
		g.unanchored.Store(c.ID, true)
		sending.Go(func() error {
			defer g.records.lock(c.ID)()
			if _, err := g.anchor(ctx, c); err != nil {
				g.Log.Warn("a record is not anchored yet", "record", c.ID, "error", err)
			}
			return nil
		})
	}
	_ = sending.Wait()
}

// resumedAtOnce is how much of what was left half done is carried on at a time: each waits
// mostly for its block.
const resumedAtOnce = 16
