// Package refusal is the one way chaincode and gateway say no.
//
// A rule that turns something down returns a *Refusal: a stable code for programs, a sentence for
// people, and what would be allowed instead. Chaincode can hand Fabric nothing but a string, and
// Fabric wraps that string in sentences of its own on its way through peer, gateway service and
// gRPC. So a Refusal's error text is its JSON document, and Parse finds that document again inside
// whatever it was wrapped in:
//
//	rule ──▶ *Refusal ──Error()──▶ "chaincode response 500, {"code":…}" ──Parse──▶ *Refusal
//
// A refusal never holds patient data, keys or payloads: it ends up in logs and on screens.
package refusal

import (
	"encoding/json"
	"errors"
	"strings"
)

// Code names the rule that refused: kebab-case, stable, safe to branch on.
type Code string

// The codes shared by more than one package. A package may add its own.
const (
	Malformed       Code = "malformed"        // the document can't be read or breaks its schema
	TooLarge        Code = "too-large"        // a size or count is over its bound
	NotFound        Code = "not-found"        // what is named isn't on the ledger
	Exists          Code = "exists"           // the id is taken by something else
	NotCustodian    Code = "not-custodian"    // the caller doesn't hold the record
	NotRequester    Code = "not-requester"    // the caller didn't ask for the access
	KindNotAllowed  Code = "kind-not-allowed" // the caller's kind of member may not do this
	MemberUnknown   Code = "member-unknown"   // the caller isn't registered
	MemberSuspended Code = "member-suspended" // the caller, or the other side, is suspended
	StaleClock      Code = "stale-clock"      // the transaction's timestamp is off the endorser's clock
	MinuteClosed    Code = "minute-closed"    // the transaction's minute is closed on the ledger
	Expired         Code = "expired"          // the permit or period is over
	ConsentChanged  Code = "consent-changed"  // the consents no longer say what the permit rested on
	NotPermitted    Code = "not-permitted"    // the decision was deny
	WrongState      Code = "wrong-state"      // the life cycle doesn't lead there from here
	VersionConflict Code = "version-conflict" // the caller's version isn't the ledger's
)

// Refusal is a rule's no.
type Refusal struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`           // what was refused and why, for a person
	Allowed string `json:"allowed,omitempty"` // what would be allowed instead
}

// New makes a refusal. allowed may be empty when nothing would be.
func New(code Code, message, allowed string) *Refusal {
	return &Refusal{Code: code, Message: message, Allowed: allowed}
}

// Error is the refusal's JSON document, so that it survives being carried as a string.
func (r *Refusal) Error() string {
	doc, err := json.Marshal(r)
	if err != nil { // three strings always marshal
		panic("refusal: " + err.Error())
	}
	return string(doc)
}

// Is reports two refusals of one code as equal, so errors.Is(err, refusal.New(code, "", "")) works.
func (r *Refusal) Is(target error) bool {
	var t *Refusal
	return errors.As(target, &t) && t.Code == r.Code
}

// start is how every refusal's document begins, so that Parse looks nowhere else.
const start = `{"code":"`

// Parse finds the first refusal's JSON document inside a longer error text. It reports false when
// there is none: a refusal has a code in kebab-case and a message, and no other members.
func Parse(s string) (*Refusal, bool) {
	for {
		at := strings.Index(s, start)
		if at < 0 {
			return nil, false
		}
		s = s[at:]
		var r Refusal
		d := json.NewDecoder(strings.NewReader(s))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err == nil && r.Code.valid() && r.Message != "" {
			return &r, true
		}
		s = s[len(start):]
	}
}

// valid reports kebab-case: lower-case letters and digits, joined by single dashes.
func (c Code) valid() bool {
	dash := true // at the start, and after a dash, a letter must follow
	for i := range len(c) {
		switch b := c[i]; {
		case b == '-' && !dash:
			dash = true
		case 'a' <= b && b <= 'z' || '0' <= b && b <= '9':
			dash = false
		default:
			return false
		}
	}
	return !dash
}
