package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"yitong/gateway/ledger"
)

// Rebuilt is a projection held against one made anew of the same blocks.
type Rebuilt struct {
	Present, Anew Digest
}

// Same says whether the two are identical.
func (r Rebuilt) Same() bool {
	return r.Present.Whole == r.Anew.Whole && r.Present.Checkpoint == r.Anew.Checkpoint
}

// Source is the part of a ledger.Chain that a rebuild reads.
type Source interface {
	Blocks(ctx context.Context, from uint64) iter.Seq2[ledger.Block, error]
}

// Rebuild makes the projection anew of the chain's blocks, from the first to the one
// that the present projection has come to, in a database of its own in a folder, and
// compares the two. progress is told the blocks done and wanted. The present one isn't
// touched: when they differ, somebody has changed it, and Reset has it followed anew.
func (d *Database) Rebuild(ctx context.Context, chain Source, folder string, progress func(done, wanted uint64)) (out Rebuilt, err error) {
	if out.Present, err = d.Digest(ctx); err != nil {
		return out, err
	}
	dir, err := os.MkdirTemp(folder, "rebuild-")
	if err != nil {
		return out, fmt.Errorf("making room for a second projection: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	anew, err := Open(ctx, "sqlite:"+filepath.Join(dir, "audit.db"), d.chaincode)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, anew.Close()) }()
	if err := anew.copy(ctx, chain, out.Present.Blocks, progress); err != nil {
		return out, fmt.Errorf("making the projection anew: %w", err)
	}
	out.Anew, err = anew.Digest(ctx)
	return out, err
}

// copy takes the first blocks of a chain.
func (d *Database) copy(ctx context.Context, chain Source, wanted uint64, progress func(done, wanted uint64)) error {
	if wanted == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var blocks []ledger.Block
	for b, err := range chain.Blocks(ctx, 0) {
		if err != nil {
			return err
		}
		blocks = append(blocks, b)
		last := b.Number+1 >= wanted
		if len(blocks) == together || last {
			if err := d.Apply(ctx, blocks...); err != nil {
				return err
			}
			blocks = blocks[:0]
			progress(b.Number+1, wanted)
		}
		if last {
			return nil
		}
	}
	return errors.New("the chain ended")
}

// Reset empties the projection, checkpoint and all, in one SQL transaction. Keep then
// begins anew at block 0.
func (d *Database) Reset(ctx context.Context) error {
	d.applying.Lock()
	defer d.applying.Unlock()
	w, err := d.begin(ctx)
	if err != nil {
		return err
	}
	for _, t := range dumped {
		if err := w.exec("DELETE FROM " + t.name); err != nil {
			err = errors.Join(err, ignoreDone(w.tx.Rollback()))
			d.disconnect()
			return fmt.Errorf("emptying %s: %w", t.name, err)
		}
	}
	clear(w.requests)
	if err := w.tx.Commit(); err != nil {
		d.disconnect()
		return fmt.Errorf("emptying the projection: %w", err)
	}
	d.following.restart()
	return nil
}
