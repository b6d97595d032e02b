// Package auditevent writes entries of the audit trail as FHIR R4 AuditEvent, after the
// Basic Audit Log Patterns of IHE (BALP 1.1.4):
//
//	request with a consent that had a say   IHE.BasicAudit.AuthZconsent
//	release                                 IHE.BasicAudit.PrivacyDisclosure.Source
//	receipt                                 IHE.BasicAudit.PrivacyDisclosure.Recipient
//	everything else                         plain AuditEvent, typed by ISO 21089 or DICOM
//
// A patient is the handle of a relationship and nothing more. What the ledger doesn't
// know is absent with the reason "unsupported" (FHIR data-absent-reason) and never made
// up. Who acted is a person, by a salted digest and a role, or who signed a directive, by the
// key; or else a device, by the name on the certificate of the member's software. What was opened in an emergency has the purpose BTG as well as its own.
package auditevent

import (
	"strconv"
	"strings"
	"time"

	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
)

// Source says whose peer the entries were read from.
type Source struct {
	Member  string // MSP id
	Channel string // of the ledger
}

// The systems of the codes and identifiers.
const (
	dicom      = "http://dicom.nema.org/resources/ontology/DCM"
	lifecycle  = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
	reasons    = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
	entityType = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
	objectRole = "http://terminology.hl7.org/CodeSystem/object-role"
	resources  = "http://hl7.org/fhir/resource-types"
	balp       = "https://profiles.ihe.net/ITI/BALP/"

	memberSystem = "urn:yitong:member" // MSP ids
	handleSystem = "urn:yitong:handle"
	userSystem   = "urn:yitong:user"  // salted digests of persons
	keySystem    = "urn:yitong:key"   // ids of keys that sign directives
	agentSystem  = "urn:yitong:agent" // common names of certificates of software
	roleSystem   = "urn:yitong:role"
	objectSystem = "urn:yitong:" // and the kind: ids of consents, accesses, …
)

// Event is an AuditEvent resource.
type Event struct {
	ResourceType   string    `json:"resourceType"`
	ID             string    `json:"id"`
	Meta           *Meta     `json:"meta,omitempty"`
	Type           Coding    `json:"type"`
	Subtype        []Coding  `json:"subtype,omitempty"`
	Action         string    `json:"action,omitempty"`
	Recorded       string    `json:"recorded"`
	Outcome        string    `json:"outcome"`
	OutcomeDesc    string    `json:"outcomeDesc,omitempty"`
	PurposeOfEvent []Concept `json:"purposeOfEvent,omitempty"`
	Agent          []Agent   `json:"agent"`
	Source         Observer  `json:"source"`
	Entity         []Entity  `json:"entity,omitempty"`
}

// Meta names the profile that an event follows.
type Meta struct {
	Profile []string `json:"profile,omitempty"`
}

// Coding is a code of a system.
type Coding struct {
	System  string `json:"system"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

// Concept is a CodeableConcept.
type Concept struct {
	Coding []Coding `json:"coding"`
}

// Identifier is one, in its system.
type Identifier struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

// Reference is a logical reference; absent where Extension says why.
type Reference struct {
	Extension  []Extension `json:"extension,omitempty"`
	Type       string      `json:"type,omitempty"`
	Identifier *Identifier `json:"identifier,omitempty"`
	Display    string      `json:"display,omitempty"`
}

// Extension is the one that is used: data-absent-reason.
type Extension struct {
	URL       string `json:"url"`
	ValueCode string `json:"valueCode"`
}

var absent = []Extension{{"http://hl7.org/fhir/StructureDefinition/data-absent-reason", "unsupported"}}

// Agent took part.
type Agent struct {
	Type      Concept   `json:"type"`
	Role      []Concept `json:"role,omitempty"`
	Who       Reference `json:"who"`
	Requestor bool      `json:"requestor"`
	Policy    []string  `json:"policy,omitempty"`
	Network   *Network  `json:"network,omitempty"`
}

// Network is an access point.
type Network struct {
	Extension []Extension `json:"extension,omitempty"`
	Address   string      `json:"address,omitempty"`
	Type      string      `json:"type,omitempty"` // 5: a URI
}

// Observer is the audit source.
type Observer struct {
	Site     string    `json:"site"`
	Observer Reference `json:"observer"`
	Type     []Coding  `json:"type,omitempty"`
}

// Entity was taken part in.
type Entity struct {
	What   *Reference `json:"what,omitempty"`
	Type   Coding     `json:"type"`
	Role   *Coding    `json:"role,omitempty"`
	Detail []Detail   `json:"detail,omitempty"`
}

// Detail is a property of an entity.
type Detail struct {
	Type        string `json:"type"`
	ValueString string `json:"valueString"`
}

// ID is the resource id of an entry's event: the same wherever it is exported.
func ID(e history.Entry) string {
	return strconv.FormatUint(e.Block, 10) + "." + strconv.Itoa(e.Index) + "." + strconv.FormatInt(e.Number, 10)
}

// Of writes an entry as an event. counterpart is the address of the other member's
// gateway where the entry lies between two; empty where it isn't known.
func Of(e history.Entry, s Source, counterpart string) Event {
	v := Event{
		ResourceType: "AuditEvent", ID: ID(e), Recorded: recorded(e.Claimed), OutcomeDesc: description(e), Outcome: outcomes[e.Outcome],
		Source: Observer{Site: s.Channel + " as held by " + s.Member, Observer: gateway(e.Member), Type: []Coding{{"http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server"}}},
	}
	if e.Purpose != "" {
		v.PurposeOfEvent = []Concept{{[]Coding{{System: reasons, Code: e.Purpose}}}}
	}
	if e.BreakGlass() {
		v.PurposeOfEvent = append(v.PurposeOfEvent, Concept{[]Coding{{System: reasons, Code: "BTG", Display: "break the glass"}}})
	}
	if e.Handle != "" {
		v.Entity = []Entity{patient(e)}
	}
	switch e.Kind {
	case projection.KindRequest:
		v.decision(e, s)
	case projection.KindRelease:
		v.disclosure(e, counterpart, true)
	case projection.KindReceipt:
		v.disclosure(e, counterpart, false)
	default:
		v.other(e)
	}
	return v
}

var outcomes = map[projection.Outcome]string{projection.Success: "0", projection.Denied: "8", projection.Failed: "4", projection.Invalid: "8"}

func recorded(t time.Time) string {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return t.UTC().Format(time.RFC3339)
}

func description(e history.Entry) string {
	parts := []string{string(e.Kind), string(e.Action), string(e.Outcome)}
	if e.Reason != "" {
		parts = append(parts, "("+e.Reason+")")
	}
	return strings.Join(parts, " ")
}

func gateway(msp string) Reference {
	if msp == "" {
		return Reference{Extension: absent}
	}
	return Reference{Type: "Device", Identifier: &Identifier{memberSystem, msp}, Display: "gateway of " + msp}
}

// user is who is behind an entry: a digest, a key, or the member's software; absent where
// there was no certificate to name it by.
func user(e history.Entry) Reference {
	switch {
	case e.User == "":
		return Reference{Extension: absent}
	case e.UserRole == projection.Software:
		return Reference{Type: "Device", Identifier: &Identifier{agentSystem, e.User}, Display: "software of " + e.Member}
	case e.Kind == projection.KindConsent && e.UserRole == "patient":
		return Reference{Type: "Patient", Identifier: &Identifier{keySystem, e.User}}
	case e.Kind == projection.KindConsent && e.UserRole == "delegate":
		return Reference{Type: "RelatedPerson", Identifier: &Identifier{keySystem, e.User}}
	}
	return Reference{Type: "Practitioner", Identifier: &Identifier{userSystem, e.User}}
}

// roles are those of the user.
func roles(e history.Entry) []Concept {
	if e.UserRole == "" {
		return nil
	}
	return []Concept{{[]Coding{{System: roleSystem, Code: e.UserRole}}}}
}

func organisation(msp string) Reference {
	r := gateway(msp)
	if msp != "" {
		r.Type, r.Display = "Organization", msp
	}
	return r
}

func network(address string) *Network {
	if address == "" {
		return &Network{Extension: absent}
	}
	return &Network{Address: "https://" + address, Type: "5"}
}

func concept(system, code, display string) Concept {
	return Concept{[]Coding{{system, code, display}}}
}

func patient(e history.Entry) Entity {
	return Entity{
		What: &Reference{Type: "Patient", Identifier: &Identifier{handleSystem, e.Handle}},
		Type: Coding{entityType, "1", "Person"}, Role: &Coding{objectRole, "1", "Patient"},
		Detail: []Detail{{"custodian", e.Custodian}, {"requester", e.Requester}},
	}
}

func consentEntity(p projection.Policy) Entity {
	return Entity{
		What: &Reference{Type: "Consent", Identifier: &Identifier{objectSystem + "consent", p.Consent}}, Type: Coding{resources, "Consent", "Consent"},
		Detail: details("version", strconv.Itoa(p.Version), "provision", p.Path),
	}
}

// details pairs names and values, leaving out what is empty.
func details(pairs ...string) []Detail {
	var list []Detail
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			list = append(list, Detail{pairs[i], pairs[i+1]})
		}
	}
	return list
}

func ledgerDetails(e history.Entry) []Detail {
	return details("block", strconv.FormatUint(e.Block, 10), "transaction", e.Transaction, "function", e.Function, "validation", e.Validation,
		"endorsers", strings.Join(e.Endorsers, ","), "classes", strings.Join(e.Classes, ","), "agent", e.Agent)
}
