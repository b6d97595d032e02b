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
func (l *Ledger) Submit(ctx context.Context, function string, in, out any) (Commit, error) {
	wait := pauses()
	for try := 1; ; try++ {
		p, err := l.Prepare(ctx, function, in)
		if err != nil {
			return Commit{}, err
		}
		commit, err := p.Submit(ctx)
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
