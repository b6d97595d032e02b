package record

import (
	"fmt"

	"yitong/chaincode/refusal"
)

// Bounds of a record.
const (
	MaxParts = 1024    // parts of one record
	MaxBytes = 1 << 50 // sealed bytes of one record: below 2^53, so JSON readers keep it exact
)

// Status is where an anchor is in its life.
type Status string

// An anchor begins anchored. From superseded and retracted the only way on is to erased, from erased
// there is none.
const (
	Anchored   Status = "anchored"
	Superseded Status = "superseded"
	Retracted  Status = "retracted"
	Erased     Status = "erased" // a tombstone: keys and sealed parts are gone
)

// Reason says why a record was retracted or erased; a code, never free text: free text would hold
// patient data.
type Reason string

// The reasons to retract.
const (
	EnteredInError Reason = "entered-in-error" // FHIR's word: the record should never have been
	WrongPatient   Reason = "wrong-patient"
	LegalOrder     Reason = "legal-order"
)

const knownReasons = "entered-in-error, wrong-patient, legal-order"

// Anchor is all that the ledger keeps of a record. Neither patient nor class nor key is in it: the
// root commits to everything else.
type Anchor struct {
	ID           string  `json:"id"`        // 32 lower-case hex digits, random
	Custodian    string  `json:"custodian"` // MSP id
	Root         Hash    `json:"root"`      // RFC 6962 root over the parts' leaves
	Parts        int     `json:"parts"`
	Bytes        int64   `json:"bytes"`           // sealed; gateways state it rounded up to a power of two
	Escrow       Hash    `json:"escrow,omitzero"` // salted digest of how the part keys are escrowed; zero if they aren't
	Status       Status  `json:"status"`
	Supersedes   string  `json:"supersedes,omitempty"`   // id of the record this one replaces
	SupersededBy string  `json:"supersededBy,omitempty"` // id of the record that replaced this one
	At           Instant `json:"at"`                     // of the last change
	Reason       Reason  `json:"reason,omitempty"`       // of the retraction

	Erasure *Erasure `json:"erasure,omitempty"` // what was erased of it; nil if nothing
}

// New anchors a record that replaces none. Every error is a *refusal.Refusal.
func New(id, custodian string, root Hash, parts int, bytes int64, at Instant) (Anchor, error) {
	a := Anchor{ID: id, Custodian: custodian, Root: root, Parts: parts, Bytes: bytes, Status: Anchored, At: at}
	return a, a.check()
}

// Supersede anchors next in the place of old: it returns old, now superseded, and next, now anchored
// and pointing back. Only old's custodian may, once, while old is anchored. Every error is a
// *refusal.Refusal, and then neither anchor is to be written.
func Supersede(old, next Anchor, at Instant) (Anchor, Anchor, error) {
	switch {
	case next.Custodian != old.Custodian:
		return old, next, refusal.New(refusal.NotCustodian,
			fmt.Sprintf("record %s is another custodian's", old.ID), "its custodian supersedes it")
	case next.ID == old.ID:
		return old, next, refusal.New(refusal.Malformed,
			fmt.Sprintf("record %s can't supersede itself", old.ID), "a new id")
	case old.Status != Anchored:
		return old, next, old.final("supersede")
	}
	next.Status, next.Supersedes, next.At = Anchored, old.ID, at
	if err := next.check(); err != nil {
		return old, next, err
	}
	old.Status, old.SupersededBy, old.At = Superseded, next.ID, at
	return old, next, nil
}

// Retract takes the record back: nothing of it is released from now on. Only its custodian may,
// while it is anchored. Every error is a *refusal.Refusal.
func (a Anchor) Retract(caller string, reason Reason, at Instant) (Anchor, error) {
	switch {
	case caller != a.Custodian:
		return a, refusal.New(refusal.NotCustodian,
			fmt.Sprintf("record %s is another custodian's", a.ID), "its custodian retracts it")
	case a.Status != Anchored:
		return a, a.final("retract")
	}
	switch reason {
	case EnteredInError, WrongPatient, LegalOrder:
	default:
		return a, refusal.New(refusal.Malformed, fmt.Sprintf("unknown reason %.40q", string(reason)), "one of "+knownReasons)
	}
	a.Status, a.Reason, a.At = Retracted, reason, at
	return a, nil
}

// final refuses what a final state doesn't allow, naming the way on.
func (a Anchor) final(verb string) error {
	if a.Status == Superseded {
		return refusal.New(refusal.WrongState,
			fmt.Sprintf("can't %s record %s: it is superseded", verb, a.ID),
			fmt.Sprintf("%s record %s, which superseded it", verb, a.SupersededBy))
	}
	if a.Status == Erased {
		return a.Gone()
	}
	return refusal.New(refusal.WrongState,
		fmt.Sprintf("can't %s record %s: it is %s", verb, a.ID, a.Status), "anchor a new record")
}

// check refuses an anchor that breaks its schema.
func (a Anchor) check() error {
	switch {
	case !isHex(a.ID, 32):
		return refusal.New(refusal.Malformed, "record id isn't one", "32 lower-case hex digits")
	case a.Custodian == "":
		return refusal.New(refusal.Malformed, "custodian is missing", "the custodian's MSP id")
	case a.Root.IsZero():
		return refusal.New(refusal.Malformed, "root is missing", "the RFC 6962 root over the parts' leaves")
	case a.Parts < 1 || a.Parts > MaxParts:
		return refusal.New(refusal.TooLarge, fmt.Sprintf("%d parts", a.Parts), fmt.Sprintf("1 to %d parts", MaxParts))
	case a.Bytes < 1 || a.Bytes > MaxBytes:
		return refusal.New(refusal.TooLarge, fmt.Sprintf("%d sealed bytes", a.Bytes), fmt.Sprintf("1 to %d bytes", int64(MaxBytes)))
	}
	return nil
}
