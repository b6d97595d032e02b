package ledgertest

import (
	"maps"
	"slices"
	"sort"

	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
)

// version says which transaction wrote a key last; the zero version is that of no key.
type version struct{ block, tx uint64 }

func (v version) proto() *kvrwset.Version {
	if v == (version{}) {
		return nil
	}
	return &kvrwset.Version{BlockNum: v.block, TxNum: v.tx}
}

func versionOf(p *kvrwset.Version) version {
	if p == nil {
		return version{}
	}
	return version{block: p.BlockNum, tx: p.TxNum}
}

// entry is what the state holds under a key.
type entry struct {
	value   []byte
	policy  []byte // key-level endorsement policy; nil if none
	version version
}

// modification is a line of a key's history.
type modification struct {
	tx      *Tx
	value   []byte
	deleted bool
}

// state is the world state and its history. keys is sorted.
type state struct {
	entries map[string]entry
	keys    []string
	history map[string][]modification
}

func newState() *state {
	return &state{entries: map[string]entry{}, history: map[string][]modification{}}
}

func (s *state) set(key string, e entry) {
	if _, ok := s.entries[key]; !ok {
		i, _ := slices.BinarySearch(s.keys, key)
		s.keys = slices.Insert(s.keys, i, key)
	}
	s.entries[key] = e
}

func (s *state) delete(key string) {
	if _, ok := s.entries[key]; ok {
		i, _ := slices.BinarySearch(s.keys, key)
		s.keys = slices.Delete(s.keys, i, i+1)
		delete(s.entries, key)
	}
}

// between lists the keys in [start, end), end "" being without bound.
func (s *state) between(start, end string) []string {
	from, _ := slices.BinarySearch(s.keys, start)
	to := len(s.keys)
	if end != "" {
		to, _ = slices.BinarySearch(s.keys, end)
	}
	if to < from {
		to = from
	}
	return s.keys[from:to]
}

// updates are the writes of the valid transactions of a block so far; nil is a deletion.
type updates map[string]*entry

// read is the entry under key as the next transaction of the block meets it.
func (u updates) read(s *state, key string) (entry, bool) {
	if e, ok := u[key]; ok {
		if e == nil {
			return entry{}, false
		}
		return *e, true
	}
	e, ok := s.entries[key]
	return e, ok
}

// between lists the keys in [start, end) of state and updates together, or up to and
// including end.
func (u updates) between(s *state, start, end string, inclusive bool) []string {
	present := map[string]bool{}
	for _, k := range s.between(start, "") {
		present[k] = true
	}
	for k, e := range u {
		present[k] = e != nil
	}
	var keys []string
	for _, k := range slices.Collect(maps.Keys(present)) {
		if present[k] && k >= start && (end == "" || k < end || inclusive && k == end) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	return keys
}
