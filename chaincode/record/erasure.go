package record

import (
	"fmt"
	"slices"

	"yitong/chaincode/refusal"
)

// The codes of an erasure.
const (
	Gone   refusal.Code = "erased"  // the record, or what is wanted of it, was erased
	OnHold refusal.Code = "on-hold" // a regulator keeps the record from being erased
)

// The reasons to erase, beside EnteredInError, WrongPatient and LegalOrder.
const (
	PatientRequest Reason = "patient-request" // PIPL article 47, GDPR article 17(1)
	RetentionOver  Reason = "retention-over"  // the data class's retention period has passed
)

const knownErasures = "patient-request, retention-over, entered-in-error, wrong-patient, legal-order"

// Erasure is the tombstone in an anchor: that parts, or all, of a record were erased. The root stays,
// so whoever was once shown a part can still prove that it was anchored, and nobody can open it.
type Erasure struct {
	Number int     `json:"number"`          // of the latest erasure, from 1
	Parts  []int   `json:"parts,omitempty"` // indices, ascending, of all erasures; none once it is the whole record
	Reason Reason  `json:"reason"`          // of the latest
	At     Instant `json:"at"`              // of the latest
}

// Covers reports whether a part is erased. The nil erasure covers none.
func (e *Erasure) Covers(part int) bool {
	return e != nil && (len(e.Parts) == 0 || slices.Contains(e.Parts, part))
}

// Gone is the refusal of what needs a record that is erased.
func (a Anchor) Gone() *refusal.Refusal {
	return refusal.New(Gone, fmt.Sprintf("record %s is erased", a.ID), "anchoring a new record under a new id")
}

// Erase erases parts of a record, the whole of it if none are named or all have been by then. It is
// possible in every state, and final. parts are ascending. Erasing what is erased already returns
// the anchor as it is. holds are those that stand on the record.
//
// Refusals: not-custodian, malformed, on-hold.
func (a Anchor) Erase(caller string, parts []int, reason Reason, holds Holds, at Instant) (Anchor, error) {
	if caller != a.Custodian {
		return a, refusal.New(refusal.NotCustodian,
			fmt.Sprintf("record %s is another custodian's", a.ID), "its custodian erases it")
	}
	switch reason {
	case PatientRequest, RetentionOver, EnteredInError, WrongPatient, LegalOrder:
	default:
		return a, refusal.New(refusal.Malformed, fmt.Sprintf("unknown reason %.40q", string(reason)), "one of "+knownErasures)
	}
	if err := a.checkParts(parts); err != nil {
		return a, err
	}
	erased := a.erasedWith(parts)
	if a.Status == Erased || len(parts) > 0 && a.Erasure != nil && len(erased) == len(a.Erasure.Parts) {
		return a, nil
	}
	if h, ok := holds.Standing(at); ok {
		return a, h.refusal()
	}
	e := Erasure{Number: 1, Parts: erased, Reason: reason, At: at}
	if a.Erasure != nil {
		e.Number = a.Erasure.Number + 1
	}
	if len(parts) == 0 || len(erased) == a.Parts {
		e.Parts, a.Status = nil, Erased
	}
	a.Erasure, a.At = &e, at
	return a, nil
}

// checkParts refuses (malformed) parts that the record doesn't have, or not in order.
func (a Anchor) checkParts(parts []int) error {
	for i, p := range parts {
		if p < 0 || p >= a.Parts || i > 0 && p <= parts[i-1] {
			return refusal.New(refusal.Malformed, "these are not parts of the record",
				fmt.Sprintf("indices from 0 to %d, ascending, each once; none for the whole record", a.Parts-1))
		}
	}
	return nil
}

// erasedWith are the parts erased so far and these, ascending.
func (a Anchor) erasedWith(parts []int) []int {
	all := slices.Clone(parts)
	if a.Erasure != nil {
		all = append(all, a.Erasure.Parts...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
