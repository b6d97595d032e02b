// Package projectiontest makes chains to test the projection on, without a network:
// Generate invents a realistic one by the ledger's own rules, and Chain serves any list
// of blocks as a peer would.
package projectiontest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"

	"yitong/gateway/ledger"
)

// Chaincode is the name of Yitong's chaincode on these chains.
const Chaincode = "yitong"

// Link gives blocks their numbers, their hashes and the hash of the one before. The
// hashes are no Fabric header's, but cover all that a block says.
func Link(previous []byte, number uint64, transactions []ledger.Transaction) ledger.Block {
	b := ledger.Block{Number: number, Previous: previous, Transactions: transactions}
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, number)
	h.Write(previous)
	for i := range b.Transactions {
		t := &b.Transactions[i]
		t.Block, t.Index = number, i
		fmt.Fprintf(h, "%s\x00%d\x00%s\x00%s\x00", t.ID, t.Code, t.Creator.MSP, t.Function)
		for _, w := range t.Writes {
			fmt.Fprintf(h, "%d:%s%d:", len(w.Key), w.Key, len(w.Value))
			h.Write(w.Value)
		}
	}
	h.Sum(b.Hash[:0])
	return b
}

// Chain is blocks that a peer serves. Past the last it waits, as a peer does.
type Chain []ledger.Block

// Height implements audit.Blocks.
func (c Chain) Height(context.Context) (uint64, error) { return uint64(len(c)), nil }

// Blocks implements ledger.Chain.
func (c Chain) Blocks(ctx context.Context, from uint64) iter.Seq2[ledger.Block, error] {
	return func(yield func(ledger.Block, error) bool) {
		for _, b := range c[min(from, uint64(len(c))):] {
			if !yield(b, nil) {
				return
			}
		}
		<-ctx.Done()
		yield(ledger.Block{}, ctx.Err())
	}
}

// BlocksAfter implements ledger.Chain. It checks nothing: that the projection does
// is what is tested.
func (c Chain) BlocksAfter(ctx context.Context, number uint64, _ [32]byte) iter.Seq2[ledger.Block, error] {
	return c.Blocks(ctx, number+1)
}
