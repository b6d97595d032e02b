package share

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"yitong/chaincode/refusal"
)

// Patient names a person by an identifier as FHIR R4 has it: a namespace
// (Identifier.system) and the identifier in it (Identifier.value). It stays
// inside the member's own gateway and the custodian's.
type Patient struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

// maxIdentifier is the longest system or value accepted, in bytes.
const maxIdentifier = 256

// Normalise returns the one spelling of an identifier that handles are derived
// from: surrounding white space is dropped, nothing else is guessed. An empty,
// overlong or unprintable identifier is refused, and so is one with a "|",
// which separates system from value.
func (p Patient) Normalise() (Patient, error) {
	n := Patient{System: strings.TrimSpace(p.System), Value: strings.TrimSpace(p.Value)}
	for _, s := range []string{n.System, n.Value} {
		if s == "" {
			return Patient{}, refusal.New("malformed", "the patient's identifier lacks its system or its value",
				"system|value, for example https://hospital-a.example/mrn|12345")
		}
		if len(s) > maxIdentifier {
			return Patient{}, refusal.New("malformed", "the patient's identifier is too long", "at most 256 bytes for system and value each")
		}
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == '|' }) {
			return Patient{}, refusal.New("malformed", "the patient's identifier holds a character that can't stand in one",
				"printable UTF-8 without |")
		}
	}
	return n, nil
}

// key is the patient's name in the key store's catalogue.
func (p Patient) key() string { return p.System + "|" + p.Value }
