package node

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync/atomic"

	"yitong/gateway/api"
	"yitong/gateway/audit/projection"
	"yitong/gateway/ledger"
	"yitong/gateway/operations"
	"yitong/gateway/share"
	"yitong/gateway/vault"
)

// running is what a gateway has once it serves; nothing before and while it stops.
type running struct {
	gateway *share.Gateway
	history *projection.Database
}

// operate serves what operators ask, from the start on, so that a gateway that waits for
// its consortium is seen to be alive and not ready.
func operate(ctx context.Context, config Config, version string, chain *ledger.Ledger, sealed vault.Vault, limits *api.Limiter, log *slog.Logger) (*operations.Operations, *atomic.Pointer[running]) {
	now := new(atomic.Pointer[running])
	o := operations.New(version,
		operations.Check{Name: "serving", Probe: func(context.Context) error {
			if now.Load() == nil {
				return errors.New("this gateway hasn't joined the consortium yet, or is stopping")
			}
			return nil
		}},
		operations.Check{Name: "peer", Probe: func(ctx context.Context) error {
			_, err := chain.Height(ctx)
			return err
		}},
		operations.Check{Name: "vault", Probe: func(ctx context.Context) error {
			for _, err := range sealed.List(ctx) {
				return err // the first entry will do
			}
			return nil
		}},
		operations.Check{Name: "minutes", Probe: func(context.Context) error {
			if r := now.Load(); r != nil {
				return r.gateway.Current()
			}
			return nil
		}},
		operations.Check{Name: "audit", Probe: func(context.Context) error {
			if r := now.Load(); r != nil {
				return r.history.Problem()
			}
			return nil
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
	o.Gauge("yitong_pending", "Receipts and anchors that aren't on the ledger yet.", figure(func(ctx context.Context, r running) (float64, error) {
		n, err := r.gateway.Pending(ctx)
		return float64(n), err
	}))
	load := func(read func(api.Load) float64) func() float64 {
		return func() float64 { return read(limits.Load()) }
	}
	o.Gauge("yitong_requests_under_way", "Calls under way that don't stream.", load(func(l api.Load) float64 { return float64(l.Requests) }))
	o.Gauge("yitong_streams_under_way", "Calls under way that stream.", load(func(l api.Load) float64 { return float64(l.Streams) }))
	o.Gauge("yitong_connections", "Open connections at both doors.", load(func(l api.Load) float64 { return float64(l.Connections) }))
	o.Gauge("yitong_bodies_bytes", "Memory that the bodies of requests under way may take.", load(func(l api.Load) float64 { return float64(l.Bodies) }))
	o.Counts("yitong_turned_away_total", "Calls and connections turned away, by the limit that they were over.", "limit", func() map[string]uint64 { return limits.Load().Turned })
	return o, now
}
