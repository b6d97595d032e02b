package projection

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"yitong/gateway/ledger"
)

// together is how many blocks one SQL transaction takes at most, when many wait.
const together = 128

// Follow takes the chain's blocks from the checkpoint on and goes on as they come,
// until ctx ends or the chain breaks: the error is then the context's or a
// *ledger.BrokenChain. A database that fails is tried again for as long as it takes.
func (d *Database) Follow(ctx context.Context, chain ledger.Chain, log *slog.Logger) error {
	return ledger.Follower{
		What: "the audit projection", Batch: together,
		Taken: func(ctx context.Context) (uint64, [32]byte, error) {
			at, err := d.Checkpoint(ctx)
			return at.Blocks, at.Hash, err
		},
		Apply: d.Apply, Tell: d.following.set, Log: log,
	}.Follow(ctx, chain)
}

// Keep follows the chain until ctx ends. Once the chain breaks it does nothing more, and
// Problem says why, until Reset has it begin anew.
func (d *Database) Keep(ctx context.Context, chain ledger.Chain, log *slog.Logger) {
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
