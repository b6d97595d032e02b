package share

import (
	"context"
	"fmt"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/gateway/ledger"
)

// Hold keeps a hospital's record from being erased, whatever the reason, as a regulator: until an
// instant, or until Unhold. The same again is answered with what stands; another reason or end
// changes it.
func (g *Gateway) Hold(ctx context.Context, custodian, id, reason string, until record.Instant) (record.Holds, ledger.Commit, error) {
	holder, err := g.members.named(ctx, custodian)
	if err != nil {
		return nil, ledger.Commit{}, err
	}
	by, err := g.actor(ctx, id, doneHolding)
	if err != nil {
		return nil, ledger.Commit{}, err
	}
	var out contract.HoldList
	commit, err := g.Ledger.Submit(ctx, contract.RecordHold, contract.Holding{Custodian: holder.MSP, ID: id, Reason: reason, Until: until, Actor: by}, &out)
	if err != nil {
		return nil, ledger.Commit{}, fmt.Errorf("holding record %s: %w", id, err)
	}
	return out.Holds, commit, nil
}

// Unhold lifts this regulator's hold. One that isn't there is lifted already.
func (g *Gateway) Unhold(ctx context.Context, custodian, id string) (record.Holds, ledger.Commit, error) {
	holder, err := g.members.named(ctx, custodian)
	if err != nil {
		return nil, ledger.Commit{}, err
	}
	by, err := g.actor(ctx, id, doneLifting)
	if err != nil {
		return nil, ledger.Commit{}, err
	}
	var out contract.HoldList
	commit, err := g.Ledger.Submit(ctx, contract.RecordUnhold, contract.Unholding{Custodian: holder.MSP, ID: id, Actor: by}, &out)
	if err != nil {
		return nil, ledger.Commit{}, fmt.Errorf("lifting the hold on record %s: %w", id, err)
	}
	return out.Holds, commit, nil
}

// Held lists the holds that stand on this hospital's records, by record id.
func (g *Gateway) Held(ctx context.Context) (map[string]record.Holds, error) {
	held := map[string]record.Holds{}
	in := contract.HoldsQuery{Custodian: g.Self.MSP, Size: contract.MaxPage}
	for more := true; more; more = in.Bookmark != "" {
		var out contract.HoldPage
		if err := g.Ledger.Evaluate(ctx, contract.RecordHolds, in, &out, ledger.OwnPeerOnly()); err != nil {
			return nil, fmt.Errorf("reading the holds on this hospital's records: %w", err)
		}
		for _, h := range out.Holds {
			if h.Stands(g.now()) {
				held[h.Record] = append(held[h.Record], h)
			}
		}
		in.Bookmark = out.Bookmark
	}
	return held, nil
}
