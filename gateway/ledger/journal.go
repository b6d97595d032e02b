package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"yitong/gateway/failpoint"
)

// A Journal keeps signed transactions from before they are handed to the orderers until what
// became of them is acted on, so that a crash in between loses none of them. (gateway/outbox
// is one.)
type Journal interface {
	// Kept lists those kept of a function, oldest first, as far as they belong to what ctx is
	// about.
	Kept(ctx context.Context, function string, argument []byte) ([]Kept, error)
	// Keep keeps one; it is durable when it returns nil.
	Keep(ctx context.Context, t Kept) error
	// Settled says that the fate of one is known to its caller. Until the caller has acted on
	// it, the journal may go on keeping it.
	Settled(ctx context.Context, txID string) error
	// Forget drops one that had no effect, or nobody waits for.
	Forget(ctx context.Context, txID string) error
}

// Kept is a transaction in a Journal.
type Kept struct {
	TxID     string
	Function string
	Argument []byte
	Signed   []byte // gateway.PreparedTransaction
	Result   []byte // what the chaincode answered
	Same     bool   // its argument is the one that was asked about
	Since    time.Time
}

// keep has the journal, if there is one, keep a transaction before it is handed over.
func (p *Prepared) keep(ctx context.Context, arg [][]byte) error {
	if p.ledger.cfg.Journal == nil {
		return nil
	}
	err := p.ledger.cfg.Journal.Keep(ctx, Kept{TxID: p.id, Function: p.function, Argument: bytes.Join(arg, nil), Signed: p.signed, Result: p.result})
	if err != nil {
		return fmt.Errorf("%w: the transaction could not be kept, and was not handed over: %w", ErrUnavailable, err)
	}
	failpoint.Reach("ledger.kept " + p.function)
	return nil
}

// settled tells the journal of a fate. What it can't note now is found out again.
func (p *Prepared) settled(ctx context.Context, err error) {
	j := p.ledger.cfg.Journal
	if j == nil {
		return
	}
	var invalid *Invalid
	var jerr error
	switch {
	case err == nil:
		failpoint.Reach("ledger.committed " + p.function)
		jerr = j.Settled(ctx, p.id)
	case errors.As(err, &invalid):
		jerr = j.Forget(ctx, p.id)
	}
	if jerr != nil {
		p.ledger.log.Warn("the fate of a transaction could not be noted; it is asked for again", "tx", p.id, "error", jerr)
	}
}

// kept finds out what became of the transactions that were kept before, by an attempt that
// was cut off. ok says that one with the same argument took effect: then that is the answer.
// An error says that the fate of one can't be learnt: nothing new may be proposed.
func (l *Ledger) kept(ctx context.Context, function string, arg [][]byte) (p *Prepared, commit Commit, ok bool, err error) {
	if l.cfg.Journal == nil {
		return nil, Commit{}, false, nil
	}
	all, err := l.cfg.Journal.Kept(ctx, function, bytes.Join(arg, nil))
	if err != nil {
		return nil, Commit{}, false, fmt.Errorf("%w: what was handed over before can't be read: %w", ErrUnavailable, err)
	}
	for _, t := range all {
		p := &Prepared{ledger: l, id: t.TxID, function: t.Function, signed: t.Signed, result: t.Result}
		commit, err := p.Recover(ctx)
		p.settled(ctx, err)
		var invalid *Invalid
		switch {
		case err == nil && t.Same:
			return p, commit, true, nil
		case err != nil && !errors.As(err, &invalid) && l.lost(ctx, t):
			l.log.Warn("a transaction that was handed over long ago is on no block and can't be handed over any more: it is given up", "tx", t.TxID, "function", t.Function)
			if err := l.cfg.Journal.Forget(ctx, t.TxID); err != nil {
				return nil, Commit{}, false, err
			}
		case err != nil && !errors.As(err, &invalid):
			return nil, Commit{}, false, err
		}
	}
	return nil, Commit{}, false, nil
}

// givenUp is how old a transaction is that is no longer waited for, once the own peer can be
// asked and doesn't have it. A signature under a certificate that was revoked since, say, is
// taken nowhere; and all that Yitong writes is bound to a minute that is closed long before.
const givenUp = time.Hour

func (l *Ledger) lost(ctx context.Context, t Kept) bool {
	if t.Since.IsZero() || time.Since(t.Since) < givenUp {
		return false
	}
	_, err := l.Outcome(ctx, t.TxID)
	return errors.Is(err, ErrNotFound)
}

// Recover is Submit for a transaction that may have been handed over before: its fate is
// looked up on the own peer by its id first, and only one that isn't there is handed over
// again. It is the same envelope: should it have arrived before, the orderers' second copy is
// DUPLICATE_TXID, and the first counts.
func (p *Prepared) Recover(ctx context.Context) (Commit, error) {
	commit, err := p.ledger.Outcome(ctx, p.id)
	if known(err) {
		return commit, err
	}
	p.ledger.log.Info("a transaction that was kept is not on the ledger: handing over the same one", "tx", p.id, "function", p.function)
	return p.Submit(ctx)
}

// Settle finds out what became of transactions that nobody waits for any more, and forgets
// them. It returns those of which that can't be learnt before ctx ends; they stay kept.
func (l *Ledger) Settle(ctx context.Context, all []Kept) (left []Kept) {
	var settling errgroup.Group
	settling.SetLimit(settledAtOnce)
	known := make([]bool, len(all))
	for i, t := range all {
		settling.Go(func() error {
			known[i] = l.settle(ctx, t)
			return nil
		})
	}
	_ = settling.Wait()
	for i, t := range all {
		if !known[i] {
			left = append(left, t)
		}
	}
	return left
}

// settledAtOnce is how many transactions are asked after at a time: one that isn't on the
// ledger waits for its block.
const settledAtOnce = 16

// settle says whether a transaction need not be asked after again.
func (l *Ledger) settle(ctx context.Context, t Kept) bool {
	if ctx.Err() != nil {
		return false
	}
	p := &Prepared{ledger: l, id: t.TxID, function: t.Function, signed: t.Signed, result: t.Result}
	commit, err := p.Recover(ctx)
	switch {
	case known(err):
		l.log.Info("what became of a transaction from before the stop", "tx", t.TxID, "function", t.Function, "block", commit.Block, "valid", err == nil)
	case l.lost(ctx, t):
		l.log.Warn("a transaction that was handed over long ago is on no block and can't be handed over any more: it is given up", "tx", t.TxID, "function", t.Function)
	default:
		l.log.Warn("what became of a transaction from before the stop isn't known yet", "tx", t.TxID, "function", t.Function, "error", err)
		return false
	}
	if err := l.cfg.Journal.Forget(ctx, t.TxID); err != nil {
		l.log.Warn("a transaction that is settled can't be forgotten", "tx", t.TxID, "error", err)
	}
	return true
}
