package ledger

import (
	"fmt"

	"github.com/go-json-experiment/json"
)

// Raw is an argument sent as it stands, JSON or not: what a client of our own
// wouldn't send.
type Raw []byte

// document makes the arguments of a call: the JSON document of in, or none for nil.
func document(in any) ([][]byte, error) {
	switch in := in.(type) {
	case nil:
		return nil, nil
	case Raw:
		return [][]byte{in}, nil
	}
	doc, err := json.Marshal(in, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	return [][]byte{doc}, nil
}

func decode(function string, result []byte, out any) error {
	if out == nil || len(result) == 0 {
		return nil
	}
	if err := json.Unmarshal(result, out); err != nil {
		return fmt.Errorf("%s: decoding the answer: %w", function, err)
	}
	return nil
}
