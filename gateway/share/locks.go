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

// tryLock is lock where nobody has the name, or waits for it.
func (l *locks) tryLock(name string) (unlock func(), ok bool) {
	l.mu.Lock()
	if _, taken := l.held[name]; taken {
		l.mu.Unlock()
		return nil, false
	}
	h := l.want(name)
	h.Lock() // nobody else knows it yet
	l.mu.Unlock()
	return l.giver(name, h), true
}

// lock waits for the name and returns what gives it back.
func (l *locks) lock(name string) (unlock func()) {
	l.mu.Lock()
	h := l.want(name)
	l.mu.Unlock()
	h.Lock()
	return l.giver(name, h)
}

func (l *locks) want(name string) *held {
	if l.held == nil {
		l.held = map[string]*held{}
	}
	h := l.held[name]
	if h == nil {
		h = &held{}
		l.held[name] = h
	}
	h.wanted++
	return h
}

func (l *locks) giver(name string, h *held) func() {
	return func() {
		h.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if h.wanted--; h.wanted == 0 {
			delete(l.held, name)
		}
	}
}
