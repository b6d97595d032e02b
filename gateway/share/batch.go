package share

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A batcher lets many callers share one ledger transaction, or one query. It
// gathers items and hands them to flush together:
//
//   - at most max of them
//   - when nothing is under way, those that arrive within idle of the first
//   - while a flush is under way, those that arrive until it ends: the busier the
//     ledger, the more share a transaction
//   - none later than busy after the first, so that a slow ledger delays nobody
//     for long; several flushes are under way then
//
// flush answers item by item: results[i] belongs to items[i]. It runs under
// the batcher's own context, because one caller that gives up must not take
// the others' transaction with it.
type batcher[T, R any] struct {
	max        int
	idle, busy time.Duration
	flush      func(ctx context.Context, items []T) []outcome[R]

	mu       sync.Mutex
	waiting  []entry[T, R]
	timer    *time.Timer
	underWay int // flushes
	ctx      context.Context
	running  sync.WaitGroup
}

type outcome[R any] struct {
	value R
	err   error
}

type entry[T, R any] struct {
	item T
	done chan outcome[R]
	from trace.Span // of the call that it is part of
}

func newBatcher[T, R any](ctx context.Context, max int, idle, busy time.Duration, flush func(context.Context, []T) []outcome[R]) *batcher[T, R] {
	return &batcher[T, R]{max: max, idle: idle, busy: busy, flush: flush, ctx: ctx}
}

// do joins the batch that is being gathered and waits for its item's outcome.
// A caller whose context ends first gets the context's error; its item is
// still carried out.
func (b *batcher[T, R]) do(ctx context.Context, item T) (R, error) {
	e := entry[T, R]{item: item, done: make(chan outcome[R], 1), from: trace.SpanFromContext(ctx)}
	b.add(e)
	select {
	case o := <-e.done:
		return o.value, o.err
	case <-ctx.Done():
		var none R
		return none, context.Cause(ctx)
	}
}

func (b *batcher[T, R]) add(e entry[T, R]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, e)
	switch {
	case len(b.waiting) >= b.max:
		b.send()
	case len(b.waiting) == 1:
		wait := b.idle
		if b.underWay > 0 {
			wait = b.busy
		}
		b.timer = time.AfterFunc(wait, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.send()
		})
	}
}

// send flushes what is gathered. The caller holds b.mu.
func (b *batcher[T, R]) send() {
	if len(b.waiting) == 0 {
		return
	}
	b.timer.Stop()
	batch := b.waiting
	b.waiting = nil
	b.underWay++
	b.running.Go(func() {
		// The transaction is part of the first one's trace, and linked from there to the others'.
		var others []trace.Link
		items := make([]T, len(batch))
		for i, e := range batch {
			items[i] = e.item
			if i > 0 && e.from.SpanContext().IsValid() {
				others = append(others, trace.Link{SpanContext: e.from.SpanContext()})
			}
		}
		ctx, span := batch[0].from.TracerProvider().Tracer("yitong/gateway/share").Start(
			trace.ContextWithSpan(b.ctx, batch[0].from), "together", trace.WithLinks(others...))
		for i, o := range b.flush(ctx, items) {
			batch[i].done <- o
		}
		span.End()
		b.ended()
	})
}

// ended sends on what has gathered while a flush was under way.
func (b *batcher[T, R]) ended() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.underWay--; b.underWay == 0 {
		b.send()
	}
}

// close flushes what is still gathered and waits for every flush to end.
func (b *batcher[T, R]) close() {
	b.mu.Lock()
	b.send()
	b.mu.Unlock()
	b.running.Wait()
}
