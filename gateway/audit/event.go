// Package audit reads what the ledger holds, block by block from the member's own
// peer, and tells it as people would: who did what, when, under which rule.
//
// Nothing here is taken from a log or a database of the gateway: each event is one
// transaction of one block whose hash and link were checked on the way
// (gateway/ledger), so the history is as complete as the chain. Transactions that
// the peers found invalid are events too; they had no effect, and that somebody
// tried is worth knowing.
package audit

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"yitong/gateway/ledger"
)

// Event is one transaction, told.
type Event struct {
	Block       uint64
	Index       int // place in the block, from 0
	Transaction string
	Claimed     time.Time // UTC; the client's claim. Order is what counts
	Member      string    // MSP id of who sent it
	Endorsers   []string  // MSP ids, ascending
	Function    string    // "access:Request"; "" for a configuration of the channel
	Validation  string    // Fabric's code; "VALID" had an effect
	Summary     string    // what it did; no patient data, because the ledger has none
	Argument    []byte    // JSON, as sent
	Writes      []ledger.Write
	Handles     []string // that it is about
}

// Valid says whether the event had an effect.
func (e Event) Valid() bool { return e.Validation == "VALID" }

// About says whether the event concerns a relationship.
func (e Event) About(handle string) bool { return slices.Contains(e.Handles, handle) }

// Blocks is the part of *ledger.Ledger that history is read from.
type Blocks interface {
	Blocks(ctx context.Context, from uint64) iter.Seq2[ledger.Block, error]
	Height(ctx context.Context) (uint64, error)
}

// History yields every event from a block on, oldest first. It ends with the
// newest block there is when it is called, or, following, when ctx does.
func History(ctx context.Context, chain Blocks, chaincode string, from uint64, follow bool) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var height uint64
		if !follow {
			var err error
			if height, err = chain.Height(ctx); err != nil {
				yield(Event{}, fmt.Errorf("reading the height of the ledger: %w", err))
				return
			}
			if from >= height {
				return
			}
		}
		for block, err := range chain.Blocks(ctx, from) {
			if err != nil {
				yield(Event{}, fmt.Errorf("reading the ledger's blocks: %w", err))
				return
			}
			for _, t := range block.Transactions {
				if e, ok := eventOf(t, chaincode); ok && !yield(e, nil) {
					return
				}
			}
			if !follow && block.Number+1 >= height {
				return
			}
		}
	}
}

// eventOf tells a transaction. Those of other chaincodes, Fabric's own life cycle
// among them, are told without looking into them.
func eventOf(t ledger.Transaction, chaincode string) (Event, bool) {
	e := Event{
		Block: t.Block, Index: t.Index, Transaction: t.ID, Claimed: t.Timestamp, Member: t.Creator.MSP,
		Endorsers: slices.Compact(slices.Sorted(slices.Values(t.Endorsers))), Function: t.Function, Validation: t.Code.String(),
	}
	switch {
	case t.Config:
		e.Function, e.Summary = "", "configured the channel"
	case t.Malformed != "":
		e.Summary = "sent a transaction that can't be read: " + t.Malformed
	case t.Chaincode != chaincode:
		e.Function, e.Summary = t.Chaincode+"/"+t.Function, "called another chaincode, "+t.Chaincode
	default:
		e.Argument = t.Argument
		for _, w := range t.Writes {
			if w.Namespace == chaincode {
				e.Writes = append(e.Writes, w)
			}
		}
		e.Summary, e.Handles = tell(t)
	}
	return e, true
}
