package replay

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"yitong/gateway/audit/replay/channel"
)

// A batch is small enough that a few of them fit in memory, and large enough to keep all
// workers busy.
const (
	batchBytes  = 4 << 20
	batchBlocks = 256
)

// preparer does for each block all that needs no state: decoding, hashes, links,
// configurations and every signature. It decodes one batch while it verifies the one before
// and the committer works on the one before that.
type preparer struct {
	options Options
	at      position
}

// decoded is some blocks as they were read, each with the reason if it can't be.
type decoded struct {
	blocks []*block
	errs   []error
	err    error // of the source, after them
}

func (p *preparer) run(ctx context.Context, blocks iter.Seq2[[]byte, error], out chan<- batch) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan decoded, 1)
	go func() { defer close(next); p.read(ctx, blocks, next) }()
	for d := range next {
		b := p.prepare(d)
		select {
		case out <- b:
		case <-ctx.Done():
			b.stop = true
		}
		if b.err != nil || b.stop {
			break
		}
	}
	cancel()
	for range next { // the reading ends when it is told that nobody waits
	}
}

// read decodes blocks, a batch at a time.
func (p *preparer) read(ctx context.Context, blocks iter.Seq2[[]byte, error], next chan<- decoded) {
	var raw [][]byte
	size := 0
	send := func(err error) bool {
		d := decoded{blocks: make([]*block, len(raw)), errs: make([]error, len(raw)), err: err}
		p.parallel(len(raw), func(i int) { d.blocks[i], d.errs[i] = readBlock(raw[i]) })
		raw, size = nil, 0
		select {
		case next <- d:
			return err == nil
		case <-ctx.Done():
			return false
		}
	}
	for one, err := range blocks {
		if err != nil {
			send(err)
			return
		}
		raw = append(raw, one)
		size += len(one)
		if (size >= batchBytes || len(raw) >= batchBlocks) && !send(nil) {
			return
		}
	}
	send(nil)
}

// prepare fits a batch to the chain and verifies it.
func (p *preparer) prepare(d decoded) batch {
	var b batch
	for i, one := range d.blocks {
		if d.errs[i] != nil {
			// It may have been anything; the next one will be found not to follow.
			b.found = append(b.found, Divergence{Block: p.at.next, Index: -1, Check: Encoding, Detail: d.errs[i].Error()})
			continue
		}
		if one.number < p.at.next && p.resumed() && len(b.blocks) == 0 {
			continue // done before the checkpoint
		}
		if p.options.Until > 0 && p.at.next >= p.options.Until {
			b.stop = true
		}
		if b.stop || !p.accept(one, &b) {
			break
		}
	}
	p.verify(b.blocks)
	switch {
	case b.stop:
	case errors.Is(d.err, ErrFraming):
		b.found = append(b.found, Divergence{Block: p.at.next, Index: -1, Check: Framing, Detail: d.err.Error()})
		b.stop = true
	default:
		b.err = d.err
	}
	return b
}

func (p *preparer) resumed() bool { return p.options.Checkpoint != nil && p.at.next > 0 }

// accept fits a block to the chain.
func (p *preparer) accept(one *block, b *batch) bool {
	switch {
	case p.at.config == nil:
		if one.number != 0 && p.at.next == 0 {
			b.found = append(b.found, Divergence{Block: one.number, Index: -1, Check: Number, Detail: "the chain begins with it in place of block 0"})
			b.stop = true
			return false
		}
		if one.hash != p.options.Genesis {
			b.found = append(b.found, Divergence{Block: 0, Index: -1, Check: Genesis, Detail: fmt.Sprintf(
				"the first block has the digest %s, not the one that is trusted; nothing after it says anything", hex.EncodeToString(one.hash[:]))})
			b.stop = true
			return false
		}
		config, err := channel.Genesis(one.header, one.data)
		if err != nil {
			b.found = append(b.found, Divergence{Block: 0, Index: -1, Check: Configuration, Detail: err.Error()})
			b.stop = true
			return false
		}
		p.at.config = config
	case one.number != p.at.next:
		one.diverge(Number, "it stands where block %d should", p.at.next)
	case string(one.header.PreviousHash) != string(p.at.hash[:]):
		one.diverge(Link, "it doesn't name the hash of the block before")
	}
	one.config = p.at.config
	if one.isConfig {
		p.at.lastConfig = one.number
		// What comes after is judged by the configuration it makes.
		one.lastConfig = one.number
		p.verify([]*block{one})
		one.configure()
	} else {
		one.after = one.config
	}
	one.lastConfig = p.at.lastConfig
	p.at.config, p.at.next, p.at.hash = one.after, one.number+1, one.hash
	b.blocks = append(b.blocks, one)
	return true
}

// verify checks all signatures of blocks, those done already left out.
func (p *preparer) verify(blocks []*block) {
	type task struct {
		b     *block
		index int // of the transaction; -1 for the block
	}
	var tasks []task
	for _, b := range blocks {
		if b.transactions != nil {
			continue
		}
		b.transactions = make([]*transaction, len(b.data))
		tasks = append(tasks, task{b, -1})
		for i := range b.data {
			tasks = append(tasks, task{b, i})
		}
	}
	p.parallel(len(tasks), func(i int) {
		t := tasks[i]
		if t.index < 0 {
			t.b.verify()
		} else {
			t.b.transactions[t.index] = readTransaction(t.b.config, t.index, t.b.data[t.index])
		}
	})
}

// parallel does n things, each worker the next one that nobody has begun.
func (p *preparer) parallel(n int, do func(int)) { parallel(p.options.Workers, n, do) }

func parallel(workers, n int, do func(int)) {
	if workers = min(workers, n); workers <= 1 {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}
