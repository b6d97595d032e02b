package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
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
	kept  *outbox.Outbox
	store *keys.Store
	log   *slog.Logger

	looking sync.Mutex // one look at a time; guards what is noted
	noted   time.Time
	marked  uint64

	mu     sync.Mutex
	asked  bool   // the own peer said how far it is when it was last asked
	seen   uint64 // blocks
	behind uint64 // that the own peer lacks of those
}

const (
	// lookPace is how often the own peer is asked: so often that a stop and a start on an
	// older copy doesn't fit in between.
	lookPace = time.Second
	// markPace is how often the watermark is moved on.
	markPace = 5 * time.Second
	// lookTime bounds one look.
	lookTime = 5 * time.Second
)

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
	w.seen = max(inOutbox, inStore)
	w.marked = w.seen
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

// look compares the own peer with what was seen, and notes now and then how far it is.
func (w *watermark) look(ctx context.Context) error {
	w.looking.Lock()
	defer w.looking.Unlock()
	return w.ask(ctx)
}

// ask is look; the caller holds looking.
func (w *watermark) ask(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	height, err := w.chain.Height(within)
	w.mu.Lock()
	w.asked = err == nil
	if err == nil {
		w.behind = max(w.seen, height) - height
		w.seen = max(w.seen, height)
	}
	seen, behind := w.seen, w.behind
	w.mu.Unlock()
	switch {
	case err != nil:
		return err
	case behind > 0:
		return older(behind)
	case seen == w.marked || time.Since(w.noted) < markPace:
		return nil
	}
	if err := w.kept.Note(ctx, seen); err != nil { // the outbox first: see openWatermark
		return err
	}
	if err := w.store.Put(bucketOutbox, outboxHeight, binary.BigEndian.AppendUint64(nil, seen)); err != nil {
		return err
	}
	w.noted, w.marked = time.Now(), seen
	return nil
}

// older refuses (stale-clock) to decide on a peer that lacks blocks that were seen.
func older(behind uint64) error {
	return refusal.New(refusal.StaleClock,
		fmt.Sprintf("this member's peer lacks %d blocks that this gateway has seen: it was restored from an older copy; nothing is released on it", behind),
		"a release once the peer has caught up with the others")
}

// current refuses (stale-clock) while the own peer lacks blocks that were seen. One that
// couldn't be asked when it was last looked at may have another ledger by now: it is asked
// first, and where it can't be that is ledger.ErrUnavailable.
func (w *watermark) current() error {
	if asked, behind := w.stands(); asked && behind == 0 {
		return nil
	}
	w.looking.Lock()
	defer w.looking.Unlock()
	asked, behind := w.stands()
	if !asked {
		err := w.ask(context.Background())
		if asked, behind = w.stands(); !asked {
			return fmt.Errorf("%w: this member's peer can't be asked how far it is, and nothing is released on it: %w", ledger.ErrUnavailable, err)
		}
	}
	if behind > 0 {
		return older(behind)
	}
	return nil
}

func (w *watermark) stands() (asked bool, behind uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked, w.behind
}

// await waits until the own peer has all that was seen: before, nothing may be decided on it.
// One that can't be asked now is asked by current.
func (w *watermark) await(ctx context.Context) error {
	for {
		err := w.look(ctx)
		if _, behind := w.stands(); err == nil || behind == 0 {
			return nil
		}
		w.log.Error("it waits for this member's peer", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keep moves the watermark on until ctx ends.
func (w *watermark) keep(ctx context.Context) {
	ticker := time.NewTicker(lookPace)
	defer ticker.Stop()
	for well := true; ; {
		err := w.look(ctx)
		if err != nil && well && ctx.Err() == nil { // one line an outage
			w.log.Warn("how far the ledger is could not be noted", "error", err)
		}
		well = err == nil
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// settleTime is how long a start waits until it is known what became of what was handed over
// before the stop, and settlePace the pause between two looks at what isn't known by then.
const (
	settleTime = 2 * fateTime
	settlePace = 10 * time.Second
)

// settle finds out what became of transactions that nobody waits for any more: releases,
// receipts and anchors share theirs. What they are about finds it on the ledger. It returns
// those of which nothing could be learnt in time.
func settle(ctx context.Context, chain *ledger.Ledger, kept *outbox.Outbox) ([]ledger.Kept, error) {
	all, err := kept.Left(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what was handed over before the stop: %w", err)
	}
	within, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return chain.Settle(within, all), ctx.Err()
}

// keepSettling goes on with what is left until nothing is, or ctx ends.
func keepSettling(ctx context.Context, chain *ledger.Ledger, left []ledger.Kept) {
	for len(left) > 0 {
		select {
		case <-time.After(settlePace):
		case <-ctx.Done():
			return
		}
		left = chain.Settle(ctx, left)
	}
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
