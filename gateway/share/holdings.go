package share

import (
	"context"
	"fmt"
	"slices"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/ledger"
	"yitong/gateway/vault"
)

// Holdings are what a gateway holds, held against the ledger.
type Holdings struct {
	Records int `json:"records"` // in the catalogue, erased ones too
	Parts   int `json:"parts"`   // of them, that aren't erased
	// Missing are records with parts that aren't in the vault though the ledger has them
	// standing: they can't be released.
	Missing []string `json:"missing,omitempty"`
	// Lost are records anchored by this member that the catalogue doesn't know: submitted
	// after the key store was copied. Their keys may be in escrow.
	Lost []string `json:"lost,omitempty"`
	// Erased are records of which the ledger has parts erased whose keys are still here.
	Erased []string `json:"erased,omitempty"`
	// Unanchored are records in the catalogue that the ledger doesn't have (yet).
	Unanchored []string `json:"unanchored,omitempty"`
	// Strange is how many sealed parts no record here knows: what was submitted after the key
	// store was copied, or a vault that is newer. A gateway deletes them when it starts.
	Strange int `json:"strange"`
}

// Holdings compares catalogue, vault and ledger. It changes nothing.
func (g *Gateway) Holdings(ctx context.Context) (Holdings, error) {
	var h Holdings
	stored := map[vault.Name]bool{}
	for e, err := range g.Vault.List(ctx) {
		if err != nil {
			return h, err
		}
		stored[e.Name] = true
	}
	known, err := g.keepsSealed()
	if err != nil {
		return h, err
	}
	all, err := g.catalogue()
	if err != nil {
		return h, err
	}
	anchors, err := g.ownAnchors(ctx)
	if err != nil {
		return h, err
	}
	for _, c := range all {
		h.Records++
		a, anchored := anchors[c.ID]
		delete(anchors, c.ID)
		if !anchored {
			h.Unanchored = append(h.Unanchored, c.ID)
		}
		missing := false
		for _, p := range c.Parts {
			name := vault.NameOf(c.ID, p.Index)
			known[name] = true
			if !c.Erasure.Covers(p.Index) && !a.Erasure.Covers(p.Index) {
				h.Parts++
				missing = missing || !stored[name]
			}
		}
		if missing {
			h.Missing = append(h.Missing, c.ID)
		}
		if c.Status != record.Erased && c.lacks(a.Erasure) {
			h.Erased = append(h.Erased, c.ID)
		}
	}
	for id, a := range anchors {
		if a.Status != record.Erased {
			h.Lost = append(h.Lost, id)
		}
	}
	for name := range stored {
		if !known[name] {
			h.Strange++
		}
	}
	for _, ids := range [][]string{h.Missing, h.Lost, h.Erased, h.Unanchored} {
		slices.Sort(ids)
	}
	return h, nil
}

// ownAnchors are all that this member anchored.
func (g *Gateway) ownAnchors(ctx context.Context) (map[string]record.Anchor, error) {
	all := map[string]record.Anchor{}
	if g.Self.Kind != registry.Hospital {
		return all, nil
	}
	q := contract.RecordsQuery{Custodian: g.Self.MSP, Size: contract.MaxPage}
	for {
		var page contract.AnchorPage
		if err := g.Ledger.Evaluate(ctx, contract.RecordRecords, q, &page, ledger.OwnPeerOnly()); err != nil {
			return nil, fmt.Errorf("reading this member's anchors: %w", err)
		}
		for _, a := range page.Records {
			all[a.ID] = a
		}
		if q.Bookmark = page.Bookmark; q.Bookmark == "" {
			return all, nil
		}
	}
}
