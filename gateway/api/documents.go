package api

import (
	"github.com/go-json-experiment/json"
)

// readDocument reads a JSON document that another member's gateway sent within a message:
// each name once, spelt exactly, in valid UTF-8, nothing after it. What two parsers would
// read differently must not be signed for by one and shown to the other. Names that aren't
// known are passed over: they are a newer gateway's.
func readDocument(raw []byte, into any) error { return json.Unmarshal(raw, into) }
