package replay

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"time"

	"yitong/gateway/audit/height"
	"yitong/gateway/audit/replay/channel"
)

// Options of Run.
type Options struct {
	// Genesis is the hash of block 0, the one thing that is believed.
	Genesis [32]byte
	// Chaincode is the name under which Yitong's contracts run.
	Chaincode string
	// Checkpoint is what to go on from and to write where we are to; nil for none.
	Checkpoint Store
	// Every is how long to go between two checkpoints. Default 30 s.
	Every time.Duration
	// Workers is how many work at once. Default one per processor.
	Workers int
	// Until ends the replay before the block of that number; 0 for all there are.
	Until uint64
	// Heights are what other members have signed that they have seen.
	Heights []height.Statement
	// Peer, if given, is held against the state that the blocks lead to.
	Peer *Peer
	// Progress, if given, is told how far we are, about ten times a second.
	Progress func(Progress)
}

// Progress is how far a replay is.
type Progress struct {
	Block        uint64 // number of the last one done
	Transactions int
	Bytes        int64
	Divergences  int
}

// Run replays a chain. blocks yields encoded blocks in order (Read, Encoded), from the
// first one on, or, going on from a checkpoint, from anywhere not beyond it: what was done
// is passed over.
//
// Divergences are no error: they are what the report is for. An error means that the
// replay didn't come to its end: the context's, or that of blocks, with the report so far.
func Run(ctx context.Context, blocks iter.Seq2[[]byte, error], o Options) (*Report, error) {
	began := time.Now()
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Every <= 0 {
		o.Every = 30 * time.Second
	}
	c, err := newCommitter(o)
	if err != nil {
		return nil, err
	}
	err = c.replay(ctx, blocks, o)
	if err == nil && o.Peer != nil && c.at.config != nil {
		err = c.compareState(ctx, o.Peer)
	}
	c.finish()
	c.report.Took = time.Since(began)
	return c.report, err
}

// replay takes blocks from where we are on.
func (c *committer) replay(ctx context.Context, blocks iter.Seq2[[]byte, error], o Options) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &preparer{options: o, at: c.at}
	batches := make(chan batch, 1)
	go func() { defer close(batches); p.run(within, blocks, batches) }()
	err := c.run(within, batches)
	cancel()
	for range batches { // the preparer ends when it is told that nobody waits
	}
	if err == nil || errors.Is(err, context.Canceled) {
		if saved := c.save(); err == nil {
			err = saved
		}
	}
	return err
}

// position is where a chain was left: what the next block has to fit to.
type position struct {
	next       uint64   // its number
	hash       [32]byte // of the block before; zero for the first
	config     *channel.Config
	lastConfig uint64
}

// batch is some blocks that are ready for the state, or why there are no more.
type batch struct {
	blocks []*block
	found  []Divergence // that belong to no block
	err    error        // of the source
	stop   bool         // nothing that follows could be judged
}

// committer takes the prepared blocks one after the other, and keeps the state.
type committer struct {
	options Options
	at      position
	report  *Report
	state   state
	ids     map[string]struct{} // of all transactions so far
	commit  []byte              // commit hash of the block before
	newest  time.Time           // of the timestamps so far
	hashes  map[uint64][32]byte // of the blocks that others speak of
	engines chan *engine

	before      int // transactions up to the checkpoint
	saved, told time.Time
	freshKeys   map[place]struct{} // changed since the last checkpoint
	freshIDs    []string           // likewise
}

func newCommitter(o Options) (*committer, error) {
	c := &committer{
		options: o, state: state{}, ids: map[string]struct{}{}, hashes: map[uint64][32]byte{},
		report: &Report{Genesis: hex.EncodeToString(o.Genesis[:]), Codes: map[string]int{}, Recomputed: map[string]int{}, Unruled: map[string]int{}},
		saved:  time.Now(), freshKeys: map[place]struct{}{},
	}
	c.engines = make(chan *engine, o.Workers)
	for range o.Workers {
		e, err := newEngine()
		if err != nil {
			return nil, err
		}
		c.engines <- e
	}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("going on from the checkpoint: %w", err)
	}
	return c, nil
}

func (c *committer) run(ctx context.Context, batches <-chan batch) error {
	for b := range batches {
		for _, one := range b.blocks {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.block(one)
			c.tell(false)
			if time.Since(c.saved) > c.options.Every {
				if err := c.save(); err != nil {
					return err
				}
			}
		}
		for _, d := range b.found {
			c.report.diverge(d)
		}
		if b.err != nil {
			return b.err
		}
		if b.stop {
			break
		}
	}
	c.tell(true)
	return ctx.Err()
}

func (c *committer) tell(last bool) {
	if c.options.Progress == nil || !last && time.Since(c.told) < 100*time.Millisecond {
		return
	}
	c.told = time.Now()
	c.options.Progress(Progress{Block: c.at.next - min(1, c.at.next), Transactions: c.report.Transactions, Bytes: c.report.Bytes, Divergences: len(c.report.Divergences)})
}

func (c *committer) finish() {
	r := c.report
	r.Done = r.Transactions - c.before
	r.Height, r.Head, r.State = c.at.next, hex.EncodeToString(c.at.hash[:]), c.state.digest()
	if c.at.config != nil {
		r.Channel, r.Sequence = c.at.config.Channel, c.at.config.Sequence
	}
	c.compareHeights()
}
