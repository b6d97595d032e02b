package contract

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
)

// reading gathers what an invocation wants to read, so that one round trip to the peer
// fetches it: each costs about as much as the rest of a decision.
type reading struct {
	keys  []string
	fills []func(value []byte) error
	slots map[string]any
}

// slot is the place of a document: nil until fetched, and after if there is none.
type slot[T any] struct{ doc *T }

// or is the document, or another if there is none.
func (s *slot[T]) or(other T) T {
	if s.doc == nil {
		return other
	}
	return *s.doc
}

// want asks for the document under a key. Wanted twice, it is one slot.
func want[T any](r *reading, key string) *slot[T] {
	if known, ok := r.slots[key]; ok {
		return known.(*slot[T])
	}
	if r.slots == nil {
		r.slots = map[string]any{}
	}
	s := &slot[T]{}
	r.slots[key] = s
	r.keys = append(r.keys, key)
	r.fills = append(r.fills, func(value []byte) error {
		if len(value) == 0 {
			return nil
		}
		s.doc = new(T)
		return json.Unmarshal(value, s.doc)
	})
	return s
}

// fetch reads what was wanted since the last fetch.
func (r *reading) fetch(stub shim.ChaincodeStubInterface) error {
	if len(r.keys) == 0 {
		return nil
	}
	values, err := stub.GetMultipleStates(r.keys...)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if len(values) != len(r.keys) {
		return errors.New("read state: the peer answered another number of keys")
	}
	for i, fill := range r.fills {
		if err := fill(values[i]); err != nil {
			return fmt.Errorf("read state: decode %q: %w", r.keys[i], err)
		}
	}
	r.keys, r.fills = nil, nil
	return nil
}
