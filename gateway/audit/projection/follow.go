package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"yitong/gateway/ledger"
)

// Chain is the part of *ledger.Ledger that a projection is made of.
type Chain interface {
	Blocks(ctx context.Context, from uint64) iter.Seq2[ledger.Block, error]
	BlocksAfter(ctx context.Context, number uint64, hash [32]byte) iter.Seq2[ledger.Block, error]
}

// together is how many blocks one SQL transaction takes at most, when many wait.
const together = 128

// Follow takes the chain's blocks from the checkpoint on and goes on as they come,
// until ctx ends or the chain breaks: the error is then the context's, a *Broken or a
// *ledger.BrokenChain. A database that fails is tried again for as long as it takes.
func (d *Database) Follow(ctx context.Context, chain Chain, log *slog.Logger) error {
	pace := &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 10 * time.Second}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := d.follow(ctx, chain)
		var broken *Broken
		var chained *ledger.BrokenChain
		if ctx.Err() != nil || errors.As(err, &broken) || errors.As(err, &chained) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pace), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		d.following.set(err)
		log.Warn("the audit projection failed, trying again", "error", err, "wait", wait)
	}))
	if ctx.Err() == nil {
		d.following.set(err)
		log.Error("the audit projection has stopped", "error", err)
	}
	return err
}

// follow takes blocks until something fails. Reading and writing overlap, and blocks
// that have come meanwhile are written together.
func (d *Database) follow(ctx context.Context, chain Chain) error {
	at, err := d.Checkpoint(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	source := chain.Blocks(ctx, 0)
	if at.Blocks > 0 {
		source = chain.BlocksAfter(ctx, at.Blocks-1, at.Hash)
	}
	queue := make(chan ledger.Block, together)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(queue)
		for b, err := range source {
			if err != nil {
				cancel(fmt.Errorf("reading blocks: %w", err))
				return
			}
			select {
			case queue <- b:
			case <-ctx.Done():
				return
			}
		}
		cancel(errors.New("the chain ended"))
	})
	defer reading.Wait()
	defer cancel(nil)
	for b := range queue {
		// What was read before the chain broke is good, and is kept.
		if err := d.Apply(context.WithoutCancel(ctx), waiting(queue, b)...); err != nil {
			return err
		}
		d.following.set(nil)
	}
	return context.Cause(ctx)
}

// waiting is a block and those that wait behind it.
func waiting(queue <-chan ledger.Block, first ledger.Block) []ledger.Block {
	blocks := []ledger.Block{first}
	for len(blocks) < together {
		select {
		case b, ok := <-queue:
			if !ok {
				return blocks
			}
			blocks = append(blocks, b)
		default:
			return blocks
		}
	}
	return blocks
}

// Keep follows the chain until ctx ends. Once the chain breaks it does nothing more, and
// Problem says why, until Reset has it begin anew.
func (d *Database) Keep(ctx context.Context, chain Chain, log *slog.Logger) {
	for ctx.Err() == nil {
		reset := d.following.begin()
		following, stop := context.WithCancel(ctx)
		var watching sync.WaitGroup
		watching.Go(func() {
			select {
			case <-reset:
				stop()
			case <-following.Done():
			}
		})
		err := d.Follow(following, chain, log)
		select {
		case <-reset:
		default:
			d.following.set(err)
		}
		stop()
		watching.Wait()
		select {
		case <-reset:
			log.Info("the audit projection begins anew")
		case <-ctx.Done():
		}
	}
}

// following is how it goes.
type following struct {
	mu      sync.Mutex
	problem error
	reset   chan struct{} // closed by the next Reset
	grown   chan struct{} // closed by the next block; nil if nobody waits
}

// grew tells those who wait that there is more.
func (f *following) grew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.grown != nil {
		close(f.grown)
		f.grown = nil
	}
}

func (f *following) next() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.grown == nil {
		f.grown = make(chan struct{})
	}
	return f.grown
}

// Reach waits until so many blocks are in the projection: what a peer has shown its
// reader a moment ago may be a block ahead. It gives up when ctx ends, and at once while
// the projection doesn't go on.
func (d *Database) Reach(ctx context.Context, blocks uint64) error {
	for {
		more := d.following.next() // before looking, so that nothing is missed in between
		at, err := d.Checkpoint(ctx)
		if err != nil || at.Blocks >= blocks {
			return err
		}
		if err := d.Problem(); err != nil {
			return fmt.Errorf("the projection is at block %d and doesn't go on: %w", at.Blocks, err)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin forgets what went wrong, and returns what the next Reset closes.
func (f *following) begin() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problem, f.reset = nil, make(chan struct{})
	return f.reset
}

func (f *following) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reset != nil {
		close(f.reset)
		f.reset = nil
	}
}

func (f *following) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problem = err
}

// Problem is why the projection doesn't go on at the moment; nil if it does.
func (d *Database) Problem() error {
	d.following.mu.Lock()
	defer d.following.mu.Unlock()
	return d.following.problem
}
