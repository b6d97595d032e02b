package disclosure

import (
	"fmt"
	"slices"

	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// What is the kind of thing behind a digest.
type What string

// What can be ordered.
const (
	Manifest What = "manifest" // what a custodian released under a permit
	Claim    What = "claim"    // the claim reference that a requester gave with its request
	User     What = "user"     // the person behind a request, a record or a version of a consent, and the role; see Subject
	Reader   What = "reader"   // the person who opened what was released; likewise
	Note     What = "note"     // a clinician's words on breaking the glass; likewise
	Form     What = "form"     // the signed form that a version of a consent rests on
)

// Subject names one digest on the ledger. A user is behind
//
//	a request            its requester has it
//	a consent's version  named with version and handle; the custodian that attests it has it
//	a record's state     as the latest change left it, with the custodian as requester too; it has it
type Subject struct {
	What      What   `json:"what"`
	Custodian string `json:"custodian"`        // MSP id
	Requester string `json:"requester"`        // MSP id
	ID        string `json:"id"`               // of the access, the consent or the record
	Handle    string `json:"handle,omitempty"` // of the consent; forms and users only
	Version   int    `json:"version,omitzero"` // of the consent, from 1; forms and users only
}

// OfConsent reports a subject that is about a version of a consent.
func (s Subject) OfConsent() bool { return s.What == Form || s.What == User && s.Version != 0 }

// OfRecord reports the user behind a record: a custodian asks nothing of itself, so one that
// is its own requester is no access.
func (s Subject) OfRecord() bool {
	return s.What == User && s.Version == 0 && s.Custodian == s.Requester
}

// Holder is the MSP id of the member that has what is behind the digest.
func (s Subject) Holder() string {
	if s.OfConsent() {
		return s.Custodian
	}
	if s.What == Claim || s.What == User || s.What == Reader || s.What == Note {
		return s.Requester
	}
	return s.Custodian
}

// String is the subject for people.
func (s Subject) String() string {
	switch s.What {
	case Form:
		return fmt.Sprintf("the signed form of consent %s version %d", s.ID, s.Version)
	case Claim:
		return "the claim reference of access " + s.ID
	case User:
		if s.OfConsent() {
			return fmt.Sprintf("the user behind consent %s version %d", s.ID, s.Version)
		}
		if s.OfRecord() {
			return "the user behind record " + s.ID
		}
		return "the user behind access " + s.ID
	case Reader:
		return "who opened under permit " + s.ID
	case Note:
		return "the note on emergency " + s.ID
	}
	return "the manifest of permit " + s.ID
}

// Check refuses a subject with a malformed field: code malformed.
func (s Subject) Check() error {
	for _, msp := range []string{s.Custodian, s.Requester} {
		if err := registry.CheckMSP(msp); err != nil {
			return err
		}
	}
	if err := access.CheckID(s.ID); err != nil {
		return err
	}
	switch {
	case s.OfConsent():
		if s.Version < 1 {
			return refusal.New(refusal.Malformed, "a consent has no such version", "a version from 1 on")
		}
		return access.CheckHandle(s.Handle)
	case slices.Contains([]What{Manifest, Claim, User, Reader, Note}, s.What):
		if s.Handle != "" || s.Version != 0 {
			return refusal.New(refusal.Malformed, "an access has no handle and version here", "its id, custodian and requester")
		}
		return nil
	}
	return refusal.New(refusal.Malformed, "there is no such thing to order", "manifest, claim, user, reader, note or form")
}
