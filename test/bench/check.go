package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"yitong/chaincode/contract"
	"yitong/cmd/yitong/consortium"
)

// ledgerBook is what this program was told about what it sent.
type ledgerBook struct {
	mu           sync.Mutex
	transactions map[string]bool     // id -> acknowledged; false is unknown
	accesses     map[string][]string // id -> transactions that its answers named; nil where it didn't end well
	troubles     map[string]int      // what went wrong, and how often
}

func (b *ledgerBook) note(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.transactions == nil {
		b.transactions, b.accesses, b.troubles = map[string]bool{}, map[string][]string{}, map[string]int{}
	}
	f()
}

func (b *ledgerBook) acknowledge(tx string)   { b.note(func() { b.transactions[tx] = true }) }
func (b *ledgerBook) unknown(tx string)       { b.note(func() { b.transactions[tx] = false }) }
func (b *ledgerBook) unknownAccess(id string) { b.note(func() { b.accesses[id] = nil }) }
func (b *ledgerBook) acknowledgeAccess(id string, transactions ...string) {
	b.note(func() { b.accesses[id] = transactions })
}

func (b *ledgerBook) trouble(o outcome, err error) outcome {
	what, _, _ := strings.Cut(err.Error(), "\n") // the details name addresses
	b.note(func() { b.troubles[what]++ })
	return o
}

// Check compares what was acknowledged with what the insurer's peer has committed.
type Check struct {
	Blocks       uint64 `json:"blocks"`
	Transactions int    `json:"transactions"` // valid, of this program's own sending
	Acknowledged int    `json:"acknowledged"` // of its transactions
	Unknown      int    `json:"unknown"`      // of its transactions, without an answer
	UnknownDone  int    `json:"unknown_done"` // of those, committed
	Accesses     int    `json:"accesses"`     // acknowledged, through the gateways
	AccessesOpen int    `json:"accesses_open"`
	// Releases and Receipts are how many went into one transaction, on average.
	Releases float64 `json:"releases_a_transaction"`
	Receipts float64 `json:"receipts_a_transaction"`
	// Wrong is what doesn't agree; it must be empty.
	Wrong    []string       `json:"wrong"`
	Troubles map[string]int `json:"troubles"`
}

func (c Check) err() error {
	if len(c.Wrong) > 0 {
		return fmt.Errorf("the ledger doesn't hold what was acknowledged, in %d points; the first: %s", len(c.Wrong), c.Wrong[0])
	}
	return nil
}

// check reads the whole ledger.
func (w *world) check(ctx context.Context) (Check, error) {
	chain, err := w.chain(ctx)
	if err != nil {
		return Check{}, err
	}
	defer chain.Close()
	c := Check{Troubles: w.sent.troubles}
	if c.Blocks, err = chain.Height(ctx); err != nil {
		return c, err
	}
	wrong := func(format string, args ...any) { c.Wrong = append(c.Wrong, fmt.Sprintf(format, args...)) }
	valid := map[string]int{}    // by transaction id
	steps := map[string]int{}    // by kind of document and access id: how often written
	carriers := map[string]int{} // by function: valid transactions
	ours := map[string]string{}  // transactions that only this program can have caused -> access id in it
	for block, err := range chain.Blocks(ctx, 0) {
		if err != nil {
			return c, fmt.Errorf("reading the ledger: %w", err)
		}
		for _, t := range block.Transactions {
			if t.Malformed != "" {
				return c, errors.New("a transaction can't be decoded: " + t.Malformed)
			}
			if !t.Valid() {
				continue
			}
			valid[t.ID]++
			carriers[t.Function]++
			switch {
			case t.Chaincode == floorChaincode, t.Function == contract.AccessRequest, t.Function == contract.RecordAnchor:
				ours[t.ID] = ""
			}
			for _, write := range t.Writes {
				if write.Namespace != consortium.Chaincode || len(write.Attributes) == 0 {
					continue
				}
				name := write.Attributes[len(write.Attributes)-1]
				steps[write.ObjectType+"/"+name]++
				if t.Function == contract.AccessRequest {
					ours[t.ID] = name
				}
			}
		}
		if block.Number+1 >= c.Blocks {
			break
		}
	}
	written := map[string]int{} // by kind of document
	for step, n := range steps {
		kind, _, _ := strings.Cut(step, "/")
		written[kind] += n
	}
	c.Releases = float64(written["release"]) / float64(max(carriers[contract.AccessRelease], 1))
	c.Receipts = float64(written["receipt"]) / float64(max(carriers[contract.AccessReceive], 1))
	for id, acknowledged := range w.sent.transactions {
		switch {
		case acknowledged && valid[id] != 1:
			wrong("transaction %s was acknowledged and is %d times on the ledger", id, valid[id])
		case acknowledged:
			c.Acknowledged++
			c.Transactions++
		default:
			c.Unknown++
			c.UnknownDone += valid[id]
			c.Transactions += valid[id]
		}
	}
	for id, access := range ours {
		_, sent := w.sent.transactions[id]
		_, asked := w.sent.accesses[access]
		if !sent && !asked {
			wrong("transaction %s is on the ledger and was neither acknowledged nor unknown", id)
		}
	}
	for id, transactions := range w.sent.accesses {
		if transactions == nil {
			c.AccessesOpen++
			continue
		}
		c.Accesses++
		for _, tx := range transactions {
			if valid[tx] != 1 {
				wrong("access %s names transaction %s, which is %d times on the ledger", id, tx, valid[tx])
			}
		}
		for _, step := range []string{"access", "release", "receipt"} {
			if n := steps[step+"/"+id]; n != 1 {
				wrong("access %s was acknowledged and its %s was written %d times", id, step, n)
			}
		}
	}
	return c, nil
}
