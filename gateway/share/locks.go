package share

import "sync"

// locks holds one lock a name, for as long as somebody wants it: two calls on the
// same record or permit go one after the other, all others side by side.
type locks struct {
	mu   sync.Mutex
	held map[string]*held
}

type held struct {
	sync.Mutex
	wanted int
}

// lock waits for the name and returns what gives it back.
func (l *locks) lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*held{}
	}
	h := l.held[name]
	if h == nil {
		h = &held{}
		l.held[name] = h
	}
	h.wanted++
	l.mu.Unlock()
	h.Lock()
	return func() {
		h.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if h.wanted--; h.wanted == 0 {
			delete(l.held, name)
		}
	}
}
