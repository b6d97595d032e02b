package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"yitong/chaincode/refusal"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/operations"
	"yitong/gateway/outbox"
)

// What of the outbox lies in the key store.
const (
	bucketOutbox = "outbox"
	outboxSecret = "secret"
	outboxHeight = "height" // of the ledger, as far as this gateway has seen it
)

// openOutbox opens the outbox, and makes its secret at the first start.
func openOutbox(ctx context.Context, config Config, store *keys.Store, log *slog.Logger) (*outbox.Outbox, error) {
	keep, err := config.Outbox.keep()
	if err != nil {
		return nil, err
	}
	patience, err := config.Outbox.patience()
	if err != nil {
		return nil, err
	}
	var secret []byte
	err = store.Update(func(tx *keys.Tx) (err error) {
		if secret, err = tx.Get(bucketOutbox, outboxSecret); !errors.Is(err, keys.ErrNotFound) {
			return err
		}
		secret = make([]byte, 32)
		rand.Read(secret)
		return tx.Put(bucketOutbox, outboxSecret, secret)
	})
	if err != nil {
		return nil, fmt.Errorf("the outbox's secret: %w", err)
	}
	return outbox.New(ctx, outbox.Config{URL: config.Outbox.URL, Secret: secret, Retention: keep, Patience: patience, Limit: config.Outbox.Limit, Log: log})
}

// A watermark is how far this gateway has seen the ledger. It is kept twice, in the outbox
// and in the key store: whatever of peer, outbox and key store is restored from an older
// copy, the others know.
type watermark struct {
	chain interface {
		Height(context.Context) (uint64, error)
	}
	kept   *outbox.Outbox
	store  *keys.Store
	log    *slog.Logger
	seen   atomic.Uint64
	behind atomic.Uint64 // blocks that the own peer lacks of those seen
}

// markPace is how often the watermark is moved on.
const markPace = 5 * time.Second

// openWatermark reads what is kept. An outbox that has seen less than the key store is an older
// copy: what is open in it may have been done, and undone, since, and is left to operators.
func openWatermark(ctx context.Context, chain interface {
	Height(context.Context) (uint64, error)
}, kept *outbox.Outbox, store *keys.Store, log *slog.Logger) (*watermark, error) {
	w := &watermark{chain: chain, kept: kept, store: store, log: log}
	inOutbox, err := kept.Height(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading how far the ledger was seen: %w", err)
	}
	var inStore uint64
	raw, err := store.Get(bucketOutbox, outboxHeight)
	if err != nil && !errors.Is(err, keys.ErrNotFound) {
		return nil, err
	}
	if len(raw) == 8 {
		inStore = binary.BigEndian.Uint64(raw)
	}
	w.seen.Store(max(inOutbox, inStore))
	if inOutbox < inStore {
		n, err := kept.GiveUp(ctx, "restored")
		if err != nil {
			return nil, err
		}
		log.Warn("the outbox is an older copy than the key store; what is open in it is not carried on by itself: look at it (yitong outbox list), have it retried or drop it",
			"entries", n, "outbox", inOutbox, "keys", inStore)
	}
	return w, nil
}

// look compares the own peer with what was seen, and notes how far it is.
func (w *watermark) look(ctx context.Context) error {
	height, err := w.chain.Height(ctx)
	if err != nil {
		return err
	}
	seen := w.seen.Load()
	if height < seen {
		w.behind.Store(seen - height)
		return w.current()
	}
	w.behind.Store(0)
	if height == seen {
		return nil
	}
	w.seen.Store(height)
	if err := w.kept.Note(ctx, height); err != nil { // the outbox first: see openWatermark
		return err
	}
	return w.store.Put(bucketOutbox, outboxHeight, binary.BigEndian.AppendUint64(nil, height))
}

// current refuses (stale-clock) while the own peer lacks blocks that were seen.
func (w *watermark) current() error {
	if n := w.behind.Load(); n > 0 {
		return refusal.New(refusal.StaleClock,
			fmt.Sprintf("this member's peer lacks %d blocks that this gateway has seen: it was restored from an older copy; nothing is released on it", n),
			"a release once the peer has caught up with the others")
	}
	return nil
}

// await waits until the own peer has all that was seen: before, nothing may be decided on it.
func (w *watermark) await(ctx context.Context) error {
	for {
		err := w.look(ctx)
		if err == nil || w.behind.Load() == 0 {
			return nil // a peer that can't be asked is waited for by whatever asks it next
		}
		w.log.Error("the ledger on this member's peer is older than what this gateway has seen: it waits", "missing", w.behind.Load(), "seen", w.seen.Load())
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keep moves the watermark on until ctx ends.
func (w *watermark) keep(ctx context.Context) {
	ticker := time.NewTicker(markPace)
	defer ticker.Stop()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("how far the ledger is could not be noted", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// settle finds out what became of transactions that nobody waits for any more: releases,
// receipts and anchors share theirs. What they are about finds it on the ledger.
func settle(ctx context.Context, chain *ledger.Ledger, kept *outbox.Outbox) error {
	left, err := kept.Left(ctx)
	if err != nil {
		return fmt.Errorf("reading what was handed over before the stop: %w", err)
	}
	chain.Settle(ctx, left)
	return nil
}

// tellOutbox adds the outbox's figures to those of the gateway.
func tellOutbox(ctx context.Context, o *operations.Operations, kept *outbox.Outbox) {
	figures := func(read func(outbox.Figures) float64) func() float64 {
		return func() float64 {
			f, err := kept.Figures(ctx)
			if err != nil {
				return math.NaN()
			}
			return read(f)
		}
	}
	o.Gauge("yitong_outbox_open", "Writes that are being carried out or will be tried again.", figures(func(f outbox.Figures) float64 { return float64(f.Open) }))
	o.Gauge("yitong_outbox_given_up", "Writes that were tried for too long and wait for a retry (yitong outbox list).", figures(func(f outbox.Figures) float64 { return float64(f.GivenUp) }))
	o.Gauge("yitong_outbox_done", "Writes that are done and whose answers are kept.", figures(func(f outbox.Figures) float64 { return float64(f.Done) }))
	o.Gauge("yitong_outbox_oldest_seconds", "How long ago the oldest write that isn't done was asked for; 0 where all are.", figures(func(f outbox.Figures) float64 {
		if f.Oldest.IsZero() {
			return 0
		}
		return time.Since(f.Oldest).Seconds()
	}))
}
