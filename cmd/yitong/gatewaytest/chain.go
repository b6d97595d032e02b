package gatewaytest

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
	"sync"

	"yitong/chaincode/ledgertest"
	"yitong/chaincode/refusal"
	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/ledger"
)

const chaincode = "yitong"

// shared is the ledger that all members' gateways write to, and its blocks as
// gateway/ledger would decode them. One transaction is one block.
type shared struct {
	ledger *ledgertest.Ledger

	mu     sync.Mutex
	blocks map[uint64]ledger.Block
	height uint64        // number of the next block
	grown  chan struct{} // closed and made anew with every block
	lose   bool
}

func newShared(l *ledgertest.Ledger) *shared {
	return &shared{ledger: l, blocks: map[uint64]ledger.Block{}, grown: make(chan struct{})}
}

// chain is the ledger as one member's gateway sees it.
type chain struct {
	*shared
	msp string
	as  ledgertest.Identity // who signs
}

func (c *chain) Submit(ctx context.Context, function string, in, out any) (ledger.Commit, error) {
	arg, err := json.Marshal(in)
	if err != nil {
		return ledger.Commit{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	tx, err := c.ledger.Invoke(ctx, c.as, function, string(arg))
	if err != nil {
		return ledger.Commit{}, refused(err)
	}
	c.keep(tx, function, arg)
	if c.lose {
		c.lose = false
		return ledger.Commit{}, &ledger.Unknown{TxID: tx.ID}
	}
	return ledger.Commit{TxID: tx.ID, Block: tx.Block, Own: true}, json.Unmarshal(tx.Response, out)
}

func (c *chain) keep(tx *ledgertest.Tx, function string, arg []byte) {
	told := ledger.Transaction{
		ID: tx.ID, Block: tx.Block, Creator: ledger.Identity{MSP: c.msp}, Timestamp: tx.Timestamp.UTC(),
		Chaincode: chaincode, Function: function, Argument: arg, Endorsers: tx.Endorsers, Code: tx.Code,
	}
	for _, w := range tx.RWSet.Writes {
		write := ledger.Write{Namespace: chaincode, Key: w.Key, Value: w.Value, Delete: w.IsDelete}
		if parts := strings.Split(strings.Trim(w.Key, "\x00"), "\x00"); len(parts) > 1 { // Fabric's composite keys
			write.ObjectType, write.Attributes = parts[0], parts[1:]
		}
		told.Writes = append(told.Writes, write)
	}
	for c.height < tx.Block { // a block that somebody else wrote
		c.link(nil)
	}
	c.link([]ledger.Transaction{told})
	close(c.grown)
	c.grown = make(chan struct{})
}

// link appends the next block.
func (c *chain) link(txs []ledger.Transaction) {
	var previous []byte
	if last, there := c.blocks[c.height-1]; there {
		previous = last.Hash[:]
	}
	c.blocks[c.height] = projectiontest.Link(previous, c.height, txs)
	c.height++
}

func (c *chain) Evaluate(ctx context.Context, function string, in, out any, _ ...ledger.Option) error {
	arg, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := c.ledger.Evaluate(ctx, c.ledger.Client(c.msp), c.msp, function, string(arg))
	if err != nil {
		return refused(err)
	}
	return json.Unmarshal(answer, out)
}

func (c *chain) Height(context.Context) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.height, nil
}

// Blocks yields what there is from a block on, and waits for more.
func (c *chain) Blocks(ctx context.Context, from uint64) iter.Seq2[ledger.Block, error] {
	return func(yield func(ledger.Block, error) bool) {
		for number := from; ; {
			c.mu.Lock()
			block, there := c.blocks[number]
			height, grown := c.height, c.grown
			c.mu.Unlock()
			if there && number < height {
				if !yield(block, nil) {
					return
				}
				number++
				continue
			}
			select {
			case <-grown:
			case <-ctx.Done():
				yield(ledger.Block{}, ctx.Err())
				return
			}
		}
	}
}

// BlocksAfter yields what follows a block.
func (c *chain) BlocksAfter(ctx context.Context, number uint64, _ [32]byte) iter.Seq2[ledger.Block, error] {
	return c.Blocks(ctx, number+1)
}

// refused finds the refusal in an endorser's answer, as gateway/ledger does.
func refused(err error) error {
	if r, ok := refusal.Parse(err.Error()); ok {
		return &ledger.Refused{Refusal: r}
	}
	return err
}
