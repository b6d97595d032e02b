package share

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"yitong/chaincode/contract"
	"yitong/chaincode/refusal"
	"yitong/gateway/ledger"
)

// lookup names an access.
type lookup struct{ custodian, requester, id string }

// relation is the pair of members that one query can ask about.
type relation struct{ custodian, requester string }

// patience is how long this member's own peer may lag behind what another member
// has already seen committed.
const patience = 10 * time.Second

// access reads an access, with its release and receipt, from the member's own
// peer, together with what others look up at the same time. What it doesn't have
// is refused (not-found).
func (g *Gateway) access(ctx context.Context, l lookup) (contract.AccessEntry, error) {
	entry, err := g.looking.do(ctx, l)
	if err == nil && entry.Access == nil {
		err = refusal.New(refusal.NotFound, "the ledger has no access "+l.id+" of "+l.requester+" to "+l.custodian, "an id from the list of accesses")
	}
	return entry, err
}

// accessOnce reads an access as soon as the own peer has what arrived says.
func (g *Gateway) accessOnce(ctx context.Context, l lookup, arrived func(contract.AccessEntry) bool) (contract.AccessEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	notYet := errors.New("this member's peer is behind")
	pace := &backoff.ExponentialBackOff{InitialInterval: 10 * time.Millisecond, RandomizationFactor: 0.3, Multiplier: 1.5, MaxInterval: 200 * time.Millisecond}
	var last contract.AccessEntry
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		entry, err := g.looking.do(ctx, l)
		switch {
		case err != nil:
			return struct{}{}, backoff.Permanent(err)
		case !arrived(entry):
			return struct{}{}, notYet
		}
		last = entry
		return struct{}{}, nil
	}, backoff.WithBackOff(pace))
	if errors.Is(err, notYet) || errors.Is(err, context.DeadlineExceeded) {
		// Ask once more, for the plain answer.
		return g.looking.do(context.WithoutCancel(ctx), l)
	}
	return last, err
}

// lookUpAll reads many accesses with one query for each pair of members.
func (g *Gateway) lookUpAll(ctx context.Context, items []lookup) []outcome[contract.AccessEntry] {
	wanted := map[relation][]string{}
	for _, l := range items {
		r := relation{l.custodian, l.requester}
		if !slices.Contains(wanted[r], l.id) {
			wanted[r] = append(wanted[r], l.id)
		}
	}
	found := map[lookup]outcome[contract.AccessEntry]{}
	for r, ids := range wanted {
		entries, err := g.lookUp(ctx, r, ids)
		for i, id := range ids {
			o := outcome[contract.AccessEntry]{err: err}
			if err == nil {
				o.value = entries[i]
			}
			found[lookup{r.custodian, r.requester, id}] = o
		}
	}
	results := make([]outcome[contract.AccessEntry], len(items))
	for i, l := range items {
		results[i] = found[l]
	}
	return results
}

func (g *Gateway) lookUp(ctx context.Context, r relation, ids []string) ([]contract.AccessEntry, error) {
	in := contract.AccessQuery{Custodian: r.custodian, Requester: r.requester, IDs: ids}
	var out contract.AccessList
	if err := g.Ledger.Evaluate(ctx, contract.AccessAccess, in, &out, ledger.OwnPeerOnly()); err != nil {
		return nil, fmt.Errorf("reading accesses from the ledger: %w", err)
	}
	if len(out.Accesses) != len(ids) {
		return nil, fmt.Errorf("the ledger answered %d accesses to a question about %d", len(out.Accesses), len(ids))
	}
	return out.Accesses, nil
}
