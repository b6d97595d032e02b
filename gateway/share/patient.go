package share

import "yitong/gateway/identifier"

// Patient names a person by an identifier as FHIR R4 has it: a namespace
// (Identifier.system) and the identifier in it (Identifier.value). It stays
// inside the member's own gateway and the custodian's.
type Patient struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

// Normalise returns the one spelling of an identifier that handles are derived from; see
// package identifier for the rules. What can't be an identifier is refused (malformed).
func (p Patient) Normalise() (Patient, error) {
	i, err := identifier.Normalise(p.System, p.Value)
	return Patient(i), err
}

// key is the patient's name in the key store's catalogue.
func (p Patient) key() string { return p.System + "|" + p.Value }
