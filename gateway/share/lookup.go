package share

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"yitong/chaincode/access"
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

// reach waits until the own peer has this many blocks, for as long as it may lag.
func (g *Gateway) reach(ctx context.Context, height uint64) error {
	var have uint64
	err := g.await(ctx, func(ctx context.Context) (done bool, err error) {
		have, err = g.Ledger.Height(ctx)
		return have >= height, err
	})
	if errors.Is(err, errBehind) {
		return fmt.Errorf("%w: this member's peer has %d blocks of %d", ledger.ErrUnavailable, have, height)
	}
	return err
}

// released waits until the own peer has the release of an access.
func (g *Gateway) released(ctx context.Context, name lookup) (*access.Release, error) {
	var entry contract.AccessEntry
	err := g.await(ctx, func(ctx context.Context) (done bool, err error) {
		entry, err = g.looking.do(ctx, name)
		return entry.Release != nil, err
	})
	return entry.Release, err
}

// errBehind says that the own peer still doesn't have what another one has.
var errBehind = errors.New("this member's peer is behind")

// await asks again and again, a little later each time, until done, an error, or
// errBehind once patience is over.
func (g *Gateway) await(ctx context.Context, ask func(context.Context) (done bool, err error)) error {
	return g.awaitFor(ctx, patience, ask)
}

func (g *Gateway) awaitFor(ctx context.Context, limit time.Duration, ask func(context.Context) (done bool, err error)) error {
	pace := &backoff.ExponentialBackOff{InitialInterval: 10 * time.Millisecond, RandomizationFactor: 0.3, Multiplier: 1.5, MaxInterval: 200 * time.Millisecond}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		done, err := ask(ctx)
		switch {
		case err != nil:
			return struct{}{}, backoff.Permanent(err)
		case !done:
			return struct{}{}, errBehind
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(pace), backoff.WithMaxElapsedTime(limit))
	return err
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
