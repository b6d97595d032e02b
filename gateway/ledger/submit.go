package ledger

import (
	"context"
	"errors"
	"fmt"
)

// Commit is where a transaction took effect.
type Commit struct {
	TxID  string
	Block uint64
	// Own is true if the member's own peer says so. Another's word is enough to go
	// on, not to release anything by.
	Own bool
}

// Submit proposes function with the JSON document of in (nil: without argument),
// has it endorsed, ordered and committed, and decodes the result into out (nil:
// dropped). The document is made once, so every try proposes the same.
//
// Errors: *Refused by chaincode, *Invalid with the code of the last try, *Unknown
// if the fate of the transaction could not be learnt, ErrUnavailable if nobody
// could be asked and nothing was handed over, the context's error likewise.
//
// With a journal (Config), what an earlier call that was cut off handed over comes first: if
// it took effect, that is the answer, and nothing is proposed.
func (l *Ledger) Submit(ctx context.Context, function string, in, out any) (Commit, error) {
	arg, err := document(in)
	if err != nil {
		return Commit{}, fmt.Errorf("%s: encoding the argument: %w", function, err)
	}
	if p, commit, ok, err := l.kept(ctx, function, arg); err != nil {
		return Commit{}, fmt.Errorf("%s: %w", function, err)
	} else if ok {
		return commit, p.Result(out)
	}
	wait := pauses()
	for try := 1; ; try++ {
		p, err := l.Prepare(ctx, function, in)
		if err != nil {
			return Commit{}, err
		}
		if err := p.keep(ctx, arg); err != nil {
			return Commit{}, fmt.Errorf("%s: %w", function, err)
		}
		commit, err := p.Submit(ctx)
		p.settled(ctx, err)
		if err == nil {
			return commit, p.Result(out)
		}
		var invalid *Invalid
		if !errors.As(err, &invalid) || !invalid.Conflict() || try >= l.cfg.Tries {
			return Commit{}, fmt.Errorf("%s: %w", function, err)
		}
		l.log.Debug("conflict, proposing anew", "function", function, "tx", invalid.TxID, "code", invalid.Code.String(), "try", try)
		if pause(ctx, wait.NextBackOff()) != nil {
			return Commit{}, fmt.Errorf("%s: %w", function, err)
		}
	}
}
