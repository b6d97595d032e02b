package credential

import "time"

// LookAgain makes the next Current look at the files.
func LookAgain(l *Live) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looked = time.Time{}
}
