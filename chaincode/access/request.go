package access

import (
	"fmt"
	"strings"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// How long a permit lasts, in seconds.
const (
	DefaultTTL = 24 * 60 * 60
	MaxTTL     = 30 * 24 * 60 * 60
)

// Request is a requester's claim to a patient's data.
type Request struct {
	ID        string          `json:"id"`                   // 32 hex digits, random, chosen by the requester: the idempotency key
	Custodian string          `json:"custodian"`            // MSP id of the hospital that holds the data
	Handle    string          `json:"handle"`               // <epoch>-<64 hex digits>: the patient, within this relationship
	Purpose   consent.Purpose `json:"purpose"`              // HL7 v3 PurposeOfUse
	Action    consent.Action  `json:"action"`               // FHIR consentaction
	Classes   record.Classes  `json:"classes"`              // at least one
	Types     record.Types    `json:"recordTypes,omitzero"` // none asks for any
	Period    record.Period   `json:"period"`               // of the data asked for
	Claim     string          `json:"claim,omitempty"`      // 64 hex digits: salted digest of a claim reference
	TTL       int64           `json:"ttl,omitzero"`         // seconds the permit should last; 0 is DefaultTTL
	// The person behind the request. A regulator can order that the digest be opened.
	Actor
	Emergency Emergency `json:"emergency,omitzero"` // of a break-glass request
}

// Access is a request with the decision taken on it. It is a permit if the decision permits.
type Access struct {
	Request
	Requester string           `json:"requester"` // MSP id
	At        record.Instant   `json:"at"`
	Decision  consent.Decision `json:"decision"`
	Expires   record.Instant   `json:"expires,omitzero"` // exclusive; permits only
	// Suspensions is how often requester and custodian had been suspended by then.
	Suspensions Suspensions `json:"suspensions,omitzero"`
}

// Suspensions counts those of the two members of a relationship. A permit lives under one
// count of both and dies with the next suspension of either; a reinstatement doesn't revive
// it. Timestamps wouldn't say which came first: they are their authors' claims.
type Suspensions struct {
	Requester int `json:"requester,omitzero"`
	Custodian int `json:"custodian,omitzero"`
}

// Permitted reports whether the access is a permit.
func (a Access) Permitted() bool { return a.Decision.Outcome == consent.Permit }

// Decide takes the decision on a request at the given instant, over all consents of the
// relationship. A deny is a decision, not an error. It refuses (malformed) a request with
// a bad field, and one that may not be asked at all: by a suspended member or of one
// (member-suspended), by a regulator or of anyone but another hospital (kind-not-allowed),
// for a purpose foreign to the requester's kind (purpose-not-allowed).
func Decide(r Request, requester, custodian registry.Member, consents []consent.Consent, at record.Instant) (Access, error) {
	if err := r.Check(); err != nil {
		return Access{}, err
	}
	if err := bothActive(requester, custodian); err != nil {
		return Access{}, err
	}
	if err := MayAsk(&requester, custodian); err != nil {
		return Access{}, err
	}
	if err := checkPurpose(r.Purpose, requester); err != nil {
		return Access{}, err
	}
	if r.BreakGlass() {
		return Access{}, refusal.New(refusal.Malformed, "a break-glass request isn't decided by consents", "a request without an emergency")
	}
	a := Access{Request: r, Requester: requester.MSP, At: at, Suspensions: suspensions(requester, custodian)}
	a.Decision = consent.Evaluate(consents, a.question(requester, custodian), at)
	if a.Permitted() {
		a.Expires = r.expiry(at, a.Decision.Until)
	}
	return a, nil
}

func suspensions(requester, custodian registry.Member) Suspensions {
	return Suspensions{Requester: requester.Suspensions, Custodian: custodian.Suspensions}
}

// question is the request as the consents are asked it. The assurance demanded of them is the
// higher of what the two members demand.
func (a Access) question(requester, custodian registry.Member) consent.Request {
	return consent.Request{
		Requester: a.Requester, Kind: string(requester.Kind),
		Action: a.Action, Purpose: a.Purpose, Classes: a.Classes, Types: a.Types, Period: a.Period,
		Assurance: max(requester.Policy.Assurance, custodian.Policy.Assurance),
	}
}

// expiry is at + TTL, but never after the consents it rests on.
func (r Request) expiry(at, until record.Instant) record.Instant {
	ttl := r.TTL
	if ttl == 0 {
		ttl = DefaultTTL
	}
	expires := at + record.Instant(ttl)
	if until != 0 && until < expires {
		return until
	}
	return expires
}

// Check refuses a request with a malformed field: code malformed.
func (r Request) Check() error {
	if err := CheckID(r.ID); err != nil {
		return err
	}
	if err := registry.CheckMSP(r.Custodian); err != nil {
		return err
	}
	if err := CheckHandle(r.Handle); err != nil {
		return err
	}
	switch {
	case r.Purpose == 0:
		return refusal.New(refusal.Malformed, "the request names no purpose", "an HL7 v3 PurposeOfUse code")
	case r.Action == 0:
		return refusal.New(refusal.Malformed, "the request names no action", "a FHIR consentaction code")
	case r.Classes.Empty():
		return refusal.New(refusal.Malformed, "the request names no data class", "at least one class")
	case !r.Types.Without(record.AllTypes).Empty():
		return refusal.New(refusal.Malformed, "the request names an unknown record type", "any of "+strings.Join(record.AllTypes.Codes(), ", "))
	case !r.Period.Valid():
		return refusal.New(refusal.Malformed, "the period of the request is empty", "a start before its end")
	case r.Claim != "" && !hexDigits(r.Claim, 64):
		return refusal.New(refusal.Malformed, "the claim is not a salted digest", "64 lower-case hex digits, or none")
	case r.TTL < 0 || r.TTL > MaxTTL:
		return refusal.New(refusal.Malformed, "the permit can't last that long", fmt.Sprintf("1 to %d seconds, or 0 for %d", MaxTTL, DefaultTTL))
	}
	if err := r.Actor.Check(); err != nil {
		return err
	}
	return r.checkEmergency()
}

// Same reports whether o asks exactly what r asks.
func (r Request) Same(o Request) bool { return r == o }

// CheckID refuses what isn't an id of a request: code malformed. Ids become part of
// state keys, hence the allow-list.
func CheckID(id string) error {
	if !hexDigits(id, 32) {
		return refusal.New(refusal.Malformed, "that is not an id", "32 lower-case hex digits")
	}
	return nil
}

// CheckManifest refuses what isn't the digest of a manifest: code malformed.
func CheckManifest(digest string) error {
	if !hexDigits(digest, 64) {
		return refusal.New(refusal.Malformed, "that is not the digest of a manifest", "64 lower-case hex digits")
	}
	return nil
}

func hexDigits(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
