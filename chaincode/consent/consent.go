package consent

import (
	"reflect"

	"yitong/chaincode/record"
)

// Outcome is permit or deny: a provision's type and a decision's result. The zero Outcome is neither.
type Outcome uint8

// The outcomes; the codes are FHIR's consent-provision-type.
const (
	Permit Outcome = iota + 1
	Deny
)

// Status is where a consent is in its life.
type Status string

// The states of a consent. A withdrawn one permits nothing more; what it denies stays denied, so
// that withdrawing never widens access. To lift a denial, amend the consent.
const (
	Active    Status = "active"
	Withdrawn Status = "withdrawn"
)

// Actor is whom a provision is about: one member, or every member of one kind. Exactly one is set.
type Actor struct {
	Member string `json:"member,omitempty"` // MSP id
	Kind   string `json:"kind,omitempty"`   // hospital, insurer or regulator
}

// Provision is a rule: if every criterion matches, its type holds, unless a nested provision, an
// exception, matches as well. An absent criterion restricts nothing (FHIR R4 Consent.provision).
//
// The fields stand so that what is compared first shares a cache line.
type Provision struct {
	Type       Outcome        `json:"type"`
	Actions    Actions        `json:"actions,omitzero"`
	Classes    record.Classes `json:"classes,omitzero"`
	Labels     record.Labels  `json:"labels,omitzero"`
	Types      record.Types   `json:"recordTypes,omitzero"` // FHIR R4 Consent.provision.class
	Purposes   Purposes       `json:"purposes,omitzero"`    // each with all below it in the hierarchy
	Period     record.Period  `json:"period,omitzero"`      // when the rule holds
	DataPeriod record.Period  `json:"dataPeriod,omitzero"`  // when the data is from
	Actors     []Actor        `json:"actors,omitempty"`
	Provisions []Provision    `json:"provisions,omitempty"` // exceptions
}

// Consent is a patient's directive to one custodian about one requester.
type Consent struct {
	ID        string         `json:"id"`      // 32 lower-case hex digits
	Version   int            `json:"version"` // from 1, one more with every change
	Status    Status         `json:"status"`
	Period    record.Period  `json:"period,omitzero"`
	Provision Provision      `json:"provision"`          // its type is the base decision
	Assurance Assurance      `json:"assurance,omitzero"` // attested where it is left out
	Signer    string         `json:"signer,omitempty"`   // id of the key that signed it, 32 hex digits; "" of an attested one
	Evidence  string         `json:"evidence,omitempty"` // SHA-256 of the signed form or document, 64 hex digits
	At        record.Instant `json:"at"`                 // of the last change
}

// Request is what a member asks for, as far as consents have a say in it.
type Request struct {
	Requester string         `json:"requester"` // MSP id
	Kind      string         `json:"kind"`
	Action    Action         `json:"action"`
	Purpose   Purpose        `json:"purpose"`
	Classes   record.Classes `json:"classes"`
	Types     record.Types   `json:"recordTypes,omitzero"` // none asks for any
	Period    record.Period  `json:"period,omitzero"`      // of the data asked for; zero asks for all

	// Assurance is the least a consent must have to permit; its denials count in any case.
	Assurance Assurance `json:"assurance,omitzero"`
}

// Equal reports that two consents are the same in all they say.
func (c Consent) Equal(o Consent) bool { return reflect.DeepEqual(c, o) }
