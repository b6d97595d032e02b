package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Chain is where a Follower has the blocks from: a *Ledger.
type Chain interface {
	Blocks(ctx context.Context, from uint64) iter.Seq2[Block, error]
	BlocksAfter(ctx context.Context, number uint64, hash [32]byte) iter.Seq2[Block, error]
}

// Continues checks that the block is the next one: number next, naming the hash of the block
// before, where that is known. The error is a *BrokenChain.
func (b Block) Continues(next uint64, last *[32]byte) error {
	switch {
	case b.Number != next:
		return &BrokenChain{Block: b.Number, Reason: fmt.Sprintf("it came in place of block %d", next)}
	case b.Number == 0 && len(b.Previous) > 0, b.Number > 0 && last != nil && !bytes.Equal(b.Previous, last[:]):
		return &BrokenChain{Block: b.Number, Reason: "it doesn't name the hash of the block before; this is another chain"}
	}
	return nil
}

// Follower makes something of a chain's blocks, and goes on as they come.
type Follower struct {
	What  string // that is made of the blocks, for the log
	Batch int    // blocks that are applied together at most, when many wait
	// Taken says where to go on: how many blocks were applied, and the hash of the newest.
	Taken func(context.Context) (blocks uint64, hash [32]byte, err error)
	// Apply takes blocks, in order. What it took is what Taken says the next time, whatever its
	// error is: a *BrokenChain where a block doesn't continue the chain.
	Apply func(context.Context, ...Block) error
	// Tell is told why it doesn't go on at the moment, and nil once it does.
	Tell func(problem error)
	Log  *slog.Logger
}

// Follow takes the chain's blocks until ctx ends or the chain breaks: the error is then the
// context's or a *BrokenChain. Whatever else fails is tried again for as long as it takes.
func (f Follower) Follow(ctx context.Context, chain Chain) error {
	pace := &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 10 * time.Second}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := f.follow(ctx, chain, pace.Reset)
		var broken *BrokenChain
		if ctx.Err() != nil || errors.As(err, &broken) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pace), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		f.Tell(err)
		f.Log.Warn(f.What+" failed, trying again", "error", err, "wait", wait)
	}))
	if ctx.Err() == nil {
		f.Tell(err)
		f.Log.Error(f.What+" has stopped: the own peer serves another chain than before, or left blocks out", "error", err)
	}
	return err
}

// follow takes blocks until something fails, and says when it took some. Reading and applying
// overlap, and blocks that have come meanwhile are applied together.
func (f Follower) follow(ctx context.Context, chain Chain, took func()) error {
	taken, hash, err := f.Taken(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	source := chain.Blocks(ctx, 0)
	if taken > 0 {
		source = chain.BlocksAfter(ctx, taken-1, hash)
	}
	queue := make(chan Block, f.Batch)
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
		blocks := []Block{b}
		for len(blocks) < f.Batch && len(queue) > 0 {
			blocks = append(blocks, <-queue)
		}
		// What was read before the chain broke is good, and is kept.
		if err := f.Apply(context.WithoutCancel(ctx), blocks...); err != nil {
			return err
		}
		f.Tell(nil)
		took()
	}
	return context.Cause(ctx)
}
