package history

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/refusal"
	"yitong/gateway/ledger"
)

// atOnce is how many transactions are under way at the same time.
const atOnce = 96

// roundSize is about how many events a round has: enough to keep blocks full.
const roundSize = 2500

// player puts a plan on a ledger, each transaction signed by the member whose it is.
type player struct {
	plan    *plan
	ledgers map[string]*ledger.Ledger // by MSP id
	told    func(events, transactions int)

	events, transactions atomic.Int64
}

// play makes about so many events, fewer if the time is over before.
func (p *player) play(ctx context.Context, events int, until time.Time) error {
	for int(p.events.Load()) < events && time.Now().Before(until) {
		r := p.plan.next(min(roundSize, max(60, events/8)))
		if err := p.round(ctx, r); err != nil {
			return err
		}
		p.told(int(p.events.Load()), int(p.transactions.Load()))
	}
	return nil
}

func (p *player) round(ctx context.Context, r round) error {
	if err := each(ctx, r.anchors, func(ctx context.Context, _ int, one anchors) error {
		var out contract.AnchorList
		return p.submit(ctx, one.custodian, contract.RecordAnchor, one.Anchoring, &out, len(one.Records))
	}); err != nil {
		return err
	}
	if err := each(ctx, r.consents, func(ctx context.Context, _ int, one order) error {
		return p.submit(ctx, one.custodian, one.function, one.argument, nil, 1)
	}); err != nil {
		return err
	}
	decided := make([]access.Access, len(r.requests))
	if err := each(ctx, r.requests, func(ctx context.Context, i int, one request) error {
		return p.submit(ctx, one.requester, contract.AccessRequest, one.Request, &decided[i], 1)
	}); err != nil {
		return err
	}
	released := make([]contract.Released, len(r.releases))
	if err := each(ctx, r.releases, func(ctx context.Context, i int, one releases) error {
		err := p.submit(ctx, one.custodian, contract.AccessRelease, one.Releasing, &released[i], 0)
		if _, refused := refusalOf(err); refused { // of every one of them
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	manifests := map[string]string{}
	for _, one := range released {
		for _, result := range one.Results {
			if result.Release != nil {
				manifests[result.Permit] = result.Release.Manifest
				p.events.Add(1)
			}
		}
	}
	if err := each(ctx, r.receipts, func(ctx context.Context, _ int, one receipts) error {
		var out contract.Received
		return p.submit(ctx, one.requester, contract.AccessReceive, one.Receiving, &out, len(one.Receipts))
	}); err != nil {
		return err
	}
	p.plan.wentOut(r, manifests)
	p.plan.decided(decided)
	return nil
}

func (p *player) submit(ctx context.Context, member, function string, in, out any, events int) error {
	if _, err := p.ledgers[member].Submit(ctx, function, in, out); err != nil {
		return err
	}
	p.events.Add(int64(events))
	p.transactions.Add(1)
	return nil
}

func refusalOf(err error) (*refusal.Refusal, bool) {
	var r *refusal.Refusal
	return r, errors.As(err, &r)
}

// each does something with every one, some at the same time.
func each[T any](ctx context.Context, all []T, do func(ctx context.Context, i int, one T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, one := range all {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return do(ctx, i, one) })
	}
	return group.Wait()
}
