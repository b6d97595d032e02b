package ledger

import "time"

// LookAgain makes the next call look at the identity's files.
func (l *Ledger) LookAgain() {
	l.conns.mu.Lock()
	defer l.conns.mu.Unlock()
	l.conns.looked = time.Time{}
}
