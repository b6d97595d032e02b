package share

import (
	"cmp"
	"encoding/hex"
	"iter"
	"slices"
	"sync"

	"yitong/chaincode/record"
	"yitong/gateway/keys"
)

// The key store hides names, so it has no order to page by. An index holds the names of a bucket
// in the order of a list, so that a page reads its own entries and no others. It is made at the
// first page, from the whole bucket, and grows with what is added; what is gone may stay in it,
// for each entry is read before it is listed.
type index[K any] struct {
	compare func(a, b K) int
	// all yields what is there.
	all func(yield func(K)) error

	mu    sync.Mutex
	made  bool
	names []K
}

// add enters a name whose entry is written.
func (x *index[K]) add(name K) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.made {
		return // making it finds the entry
	}
	if at, there := slices.BinarySearchFunc(x.names, name, x.compare); !there {
		x.names = slices.Insert(x.names, at, name)
	}
}

// remove takes out a name whose entry is gone, and can't come back meanwhile.
func (x *index[K]) remove(name K) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if at, there := slices.BinarySearchFunc(x.names, name, x.compare); there {
		x.names = slices.Delete(x.names, at, at+1)
	}
}

// forget has the next page make the index anew, without what is gone.
func (x *index[K]) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.made, x.names = false, nil
}

// scan is how many names of an index are taken out of it in one go.
const scan = 256

// since yields the names from one on, which is the first if it is there.
func (x *index[K]) since(name K) iter.Seq2[K, error] {
	return func(yield func(K, error) bool) {
		for past := false; ; past = true {
			some, err := x.some(name, past)
			if err != nil {
				yield(name, err)
				return
			}
			for _, name = range some {
				if !yield(name, nil) {
					return
				}
			}
			if len(some) < scan {
				return
			}
		}
	}
}

// some gives names from one on, or past it.
func (x *index[K]) some(name K, past bool) ([]K, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.made {
		x.names = nil
		if err := x.all(func(k K) { x.names = append(x.names, k) }); err != nil {
			return nil, err
		}
		slices.SortFunc(x.names, x.compare)
		x.made = true
	}
	at, there := slices.BinarySearchFunc(x.names, name, x.compare)
	if past && there {
		at++
	}
	return slices.Clone(x.names[at:min(at+scan, len(x.names))]), nil
}

// recordName is a record's id as an index holds it: 100,000 records take 4 MB in both.
type recordName [16]byte

func nameOf(id string) (n recordName) {
	_, _ = hex.Decode(n[:], []byte(id)) // an id is 32 hexadecimal digits
	return n
}

func (n recordName) String() string { return hex.EncodeToString(n[:]) }

func (n recordName) compare(o recordName) int { return slices.Compare(n[:], o[:]) }

// submitted orders records by when they came.
type submitted struct {
	at record.Instant
	id recordName
}

func (s submitted) compare(o submitted) int {
	return cmp.Or(cmp.Compare(s.at, o.at), s.id.compare(o.id))
}

// listed is a copy under one of its permits.
type listed struct {
	place  string // Content.place
	handle string // that the permit is about
}

func (c listed) compare(o listed) int { return cmp.Compare(c.place, o.place) }

// lists are what is paged through.
type lists struct {
	byID   index[recordName] // this hospital's records
	byTime index[submitted]  // the same
	opened index[listed]
}

func newLists(store *keys.Store) *lists {
	x := &lists{}
	x.byID = index[recordName]{compare: recordName.compare, all: func(yield func(recordName)) error {
		return every(store, bucketRecords, func(id string, _ struct{}) { yield(nameOf(id)) })
	}}
	x.byTime = index[submitted]{compare: submitted.compare, all: func(yield func(submitted)) error {
		type dated struct {
			Submitted record.Instant `json:"submitted"`
		}
		return every(store, bucketRecords, func(id string, c dated) { yield(submitted{c.Submitted, nameOf(id)}) })
	}}
	x.opened = index[listed]{compare: listed.compare, all: func(yield func(listed)) error {
		return every(store, bucketCopies, func(_ string, c partCopy) {
			for id, p := range c.Permits {
				yield(listed{placeOf(c.Custodian, id, c.Record, c.Index), p.Handle})
			}
		})
	}}
	return x
}
