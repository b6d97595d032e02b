package share

import (
	"sync"

	"yitong/chaincode/access"
)

// remembered is how many permits a gateway remembers.
const remembered = 4096

// recent remembers the permits that this member was given last, as its own peer
// committed them. A committed decision never changes; what comes of a permit is read
// anew each time.
type recent struct {
	mu      sync.Mutex
	permits map[lookup]permitted
	ring    [remembered]lookup
	next    int
}

type permitted struct {
	access.Access
	height uint64 // of the ledger that has it
}

func (r *recent) add(permit permitted) {
	name := lookup{custodian: permit.Custodian, requester: permit.Requester, id: permit.ID}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.permits == nil {
		r.permits = map[lookup]permitted{}
	}
	if _, ok := r.permits[name]; ok {
		return
	}
	delete(r.permits, r.ring[r.next])
	r.permits[name], r.ring[r.next] = permit, name
	r.next = (r.next + 1) % remembered
}

func (r *recent) get(name lookup) (permitted, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	permit, ok := r.permits[name]
	return permit, ok
}
