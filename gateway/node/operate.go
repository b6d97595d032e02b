package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"yitong/gateway/api"
	"yitong/gateway/audit/projection"
	"yitong/gateway/events"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/operations"
	"yitong/gateway/outbox"
	"yitong/gateway/share"
	"yitong/gateway/vault"
)

// running is what a gateway has once it serves; nothing before and while it stops.
type running struct {
	gateway *share.Gateway
	history *projection.Database
	feed    *events.Feed
}

// webhooks counts those that are disabled, or those that fail and aren't.
func (r running) webhooks(ctx context.Context, disabled bool) (n float64, err error) {
	all, err := r.feed.Subscriptions(ctx)
	for _, s := range all {
		if (s.Disabled != "") == disabled && (disabled || s.Problem != "") {
			n++
		}
	}
	return n, err
}

// maxBehind is how many blocks the audit's projection may be behind before it counts as ill.
const maxBehind = 1000

// operate serves what operators ask, from the start on, so that a gateway that waits for
// its consortium is seen to be alive and not ready.
func operate(ctx context.Context, config Config, version string, chain *ledger.Ledger, store *keys.Store, sealed vault.Vault, limits *api.Limiter, writes *outbox.Outbox) (*operations.Operations, *atomic.Pointer[running]) {
	now := new(atomic.Pointer[running])
	well := peerWell(chain)
	o := operations.New(version,
		&operations.Check{Name: "serving", Probe: func(context.Context) error {
			if now.Load() == nil {
				return errors.New("this gateway hasn't joined the consortium yet, or is stopping")
			}
			return nil
		}},
		&operations.Check{Name: "peer", Probe: func(ctx context.Context) error {
			if err := healthy(chain.Standing(), config.Failover.lag()); err != nil {
				return err
			}
			return well(ctx)
		}},
		&operations.Check{Name: "events", Probe: func(context.Context) error {
			if r := now.Load(); r != nil {
				return r.feed.Problem()
			}
			return nil
		}},
		&operations.Check{Name: "orderers", Every: 15 * time.Second, Probe: orderersWell(chain)},
		&operations.Check{Name: "vault", Every: time.Minute, Probe: vaultWell(sealed, config.Member.MSP)},
		&operations.Check{Name: "keys", Every: time.Minute, Probe: keysWell(store)},
		&operations.Check{Name: "clock", Probe: func(context.Context) error {
			r := now.Load()
			if r == nil {
				return nil
			}
			return errors.Join(r.gateway.Current(), r.gateway.ClockBehind())
		}},
		&operations.Check{Name: "outbox", Probe: writes.Problem},
		&operations.Check{Name: "audit", Probe: func(ctx context.Context) error {
			r := now.Load()
			if r == nil {
				return nil
			}
			if err := r.history.Problem(); err != nil {
				return err
			}
			height, err := chain.Height(ctx)
			if err != nil {
				return nil // which the peer's own check says
			}
			at, err := r.history.Checkpoint(ctx)
			if behind := int64(height) - int64(at.Blocks); err == nil && behind > maxBehind {
				err = fmt.Errorf("the projection is %d blocks behind the peer", behind)
			}
			return err
		}},
	)
	// figure reads a figure of a gateway that serves.
	figure := func(read func(context.Context, running) (float64, error)) func() float64 {
		return func() float64 {
			r := now.Load()
			if r == nil {
				return math.NaN()
			}
			value, err := read(ctx, *r)
			if err != nil {
				return math.NaN()
			}
			return value
		}
	}
	o.Gauge("yitong_ledger_blocks", "Blocks on this member's own peer.", figure(func(ctx context.Context, r running) (float64, error) {
		height, err := chain.Height(ctx)
		return float64(height), err
	}))
	o.Gauge("yitong_audit_blocks", "Blocks taken into the audit's projection.", figure(func(ctx context.Context, r running) (float64, error) {
		at, err := r.history.Checkpoint(ctx)
		return float64(at.Blocks), err
	}))
	peer := func(read func(ledger.Standing) float64) func() float64 {
		return func() float64 { return read(chain.Standing()) }
	}
	o.Gauge("yitong_own_peer_away_seconds", "For how long this member's own peer hasn't answered; 0 if it does.", peer(func(s ledger.Standing) float64 { return s.Away.Seconds() }))
	o.Gauge("yitong_own_peer_lag_seconds", "For how long this member's own peer has lacked a block that the orderers signed; 0 if it lacks none.", peer(func(s ledger.Standing) float64 { return s.Lags.Seconds() }))
	o.Gauge("yitong_signed_blocks", "Blocks that the orderers are known to have signed.", peer(func(s ledger.Standing) float64 { return float64(s.Head) }))
	o.Gauge("yitong_blocks_from_others", "1 while blocks are read from other members' peers, 0 while they are the own peer's.", peer(func(s ledger.Standing) float64 {
		if s.Elsewhere {
			return 1
		}
		return 0
	}))
	o.Counts("yitong_block_switches_total", "How often reading blocks went over to other members' peers, or came back.", "to", func() map[string]uint64 {
		n := chain.Standing().Switches
		return map[string]uint64{"others": (n + 1) / 2, "own": n / 2}
	})
	o.Gauge("yitong_events_blocks", "Blocks taken into the feed of events.", figure(func(ctx context.Context, r running) (float64, error) {
		n, err := r.feed.Blocks(ctx)
		return float64(n), err
	}))
	o.Gauge("yitong_webhooks_failing", "Webhooks whose last delivery failed.", figure(func(ctx context.Context, r running) (float64, error) { return r.webhooks(ctx, false) }))
	o.Gauge("yitong_webhooks_disabled", "Webhooks that nothing is delivered to any more.", figure(func(ctx context.Context, r running) (float64, error) { return r.webhooks(ctx, true) }))
	o.Gauge("yitong_pending", "Receipts and anchors that aren't on the ledger yet.", figure(func(ctx context.Context, r running) (float64, error) {
		n, err := r.gateway.Pending(ctx)
		return float64(n), err
	}))
	o.Gauge("yitong_state_free_bytes", "Room left where the state folder lies.", func() float64 {
		left, err := free(config.State)
		if err != nil {
			return math.NaN()
		}
		return left
	})
	load := func(read func(api.Load) float64) func() float64 {
		return func() float64 { return read(limits.Load()) }
	}
	o.Gauge("yitong_requests_under_way", "Calls under way that don't stream.", load(func(l api.Load) float64 { return float64(l.Requests) }))
	o.Gauge("yitong_streams_under_way", "Calls under way that stream.", load(func(l api.Load) float64 { return float64(l.Streams) }))
	o.Gauge("yitong_connections", "Open connections at both doors.", load(func(l api.Load) float64 { return float64(l.Connections) }))
	o.Gauge("yitong_bodies_bytes", "Memory that the bodies of requests under way may take.", load(func(l api.Load) float64 { return float64(l.Bodies) }))
	o.Counts("yitong_turned_away_total", "Calls and connections turned away, by the limit that they were over.", "limit", func() map[string]uint64 { return limits.Load().Turned })
	tellOutbox(ctx, o, writes)
	return o, now
}
