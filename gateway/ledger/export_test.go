package ledger

import (
	"context"
	"time"
)

// LookAgain makes the next call look at the identity's files.
func (l *Ledger) LookAgain() {
	l.conns.mu.Lock()
	defer l.conns.mu.Unlock()
	l.conns.looked = time.Time{}
}

// Again hands a transaction over again without asking for its fate first.
func (l *Ledger) Again(ctx context.Context, t Kept) (Commit, error) {
	return (&Prepared{ledger: l, id: t.TxID, function: t.Function, signed: t.Signed, result: t.Result}).Submit(ctx)
}
