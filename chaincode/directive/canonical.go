package directive

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"yitong/chaincode/refusal"
)

// Canonical is the document's one encoding: RFC 8785.
func (d Directive) Canonical() ([]byte, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode directive: %w", err)
	}
	v := jsontext.Value(text)
	if err := v.Canonicalize(); err != nil {
		return nil, fmt.Errorf("canonicalise directive: %w", err)
	}
	return v, nil
}

// Digest of a canonical document: what a passkey signs as its challenge, and what the ledger has as
// the evidence of a consent.
func Digest(document []byte) [32]byte { return sha256.Sum256(document) }

// Parse reads a document. It refuses (not-canonical) every text but the canonical one of what it
// says, and what Validate refuses.
func Parse(document []byte) (Directive, error) {
	var d Directive
	if len(document) > MaxDocument {
		return d, refusal.New(refusal.TooLarge, fmt.Sprintf("the directive has %d bytes", len(document)), fmt.Sprintf("at most %d bytes", MaxDocument))
	}
	if err := json.Unmarshal(document, &d, json.RejectUnknownMembers(true)); err != nil {
		return Directive{}, notCanonical("it isn't the JSON of a directive")
	}
	if err := d.Validate(); err != nil {
		return Directive{}, err
	}
	// Not before it is valid: only then is what it holds bounded, and every number small.
	again, err := d.Canonical()
	if err != nil || !bytes.Equal(again, document) {
		return Directive{}, notCanonical("it isn't written canonically")
	}
	return d, nil
}

func notCanonical(fault string) error {
	return refusal.New(NotCanonical, "the directive can't be used: "+fault, "the canonical JSON (RFC 8785) of a directive")
}
