package replay

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
)

// version says which transaction wrote a key last. The zero version is that of no key.
type version struct {
	Block, Tx uint64
	Set       bool
}

func versionOf(v *kvrwset.Version) version {
	if v == nil {
		return version{}
	}
	return version{Block: v.BlockNum, Tx: v.TxNum, Set: true}
}

func (v version) proto() *kvrwset.Version {
	if !v.Set {
		return nil
	}
	return &kvrwset.Version{BlockNum: v.Block, TxNum: v.Tx}
}

// entry is what the state holds under a key. Entries are never changed, only replaced.
type entry struct {
	Value   []byte
	Policy  []byte // key-level endorsement policy; nil if none
	Version version
}

// place is a key in its namespace. A collection of private data has a namespace of its
// own, in which keys and values are hashes.
type place struct{ space, key string }

// collectionSpace names the namespace of a collection; U+0000 is in no chaincode's name.
func collectionSpace(namespace, collection string) string { return namespace + "\x00" + collection }

// state is the world state, rebuilt.
type state map[string]map[string]*entry

func (s state) get(p place) *entry { return s[p.space][p.key] }

func (s state) apply(u *updates) {
	for p, e := range u.entries {
		space := s[p.space]
		switch {
		case e.Value == nil:
			delete(space, p.key)
		case space == nil:
			s[p.space] = map[string]*entry{p.key: e}
		default:
			space[p.key] = e
		}
	}
}

// digest is SHA-256 over the state, spaces and keys ascending: each string with its
// length, 8 bytes, before it; then the version's two numbers.
func (s state) digest() string {
	sum := sha256.New()
	number := func(n uint64) {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], n)
		sum.Write(b[:])
	}
	text := func(b []byte) { number(uint64(len(b))); sum.Write(b) }
	for _, space := range slices.Sorted(maps.Keys(s)) {
		for _, key := range slices.Sorted(maps.Keys(s[space])) {
			e := s[space][key]
			text([]byte(space))
			text([]byte(key))
			text(e.Value)
			text(e.Policy)
			number(e.Version.Block)
			number(e.Version.Tx)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// between lists the keys of a namespace in [start, end), as the next transaction of the
// block meets them; end "" is without bound, inclusive takes end in.
func between(s state, u *updates, space, start, end string, inclusive bool) []string {
	within := func(k string) bool {
		return k >= start && (end == "" || k < end || inclusive && k == end)
	}
	var keys []string
	for k := range s[space] {
		if _, changed := u.entries[place{space, k}]; !changed && within(k) {
			keys = append(keys, k)
		}
	}
	for p, e := range u.entries {
		if p.space == space && e.Value != nil && within(p.key) {
			keys = append(keys, p.key)
		}
	}
	slices.Sort(keys)
	return keys
}

// updates are the changes of one block so far. An entry without value is a deletion.
type updates struct{ entries map[place]*entry }

func newUpdates() *updates { return &updates{entries: map[place]*entry{}} }

// get is the entry as the next transaction of the block meets it, nil if there is none.
func (u *updates) get(s state, p place) *entry {
	if e, ok := u.entries[p]; ok {
		if e.Value == nil {
			return nil
		}
		return e
	}
	return s.get(p)
}
