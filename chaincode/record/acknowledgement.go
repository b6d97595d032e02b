package record

import (
	"fmt"

	"yitong/chaincode/refusal"
)

// Fate says what became of what a requester had opened of a record that was erased.
type Fate string

// Deleted: nothing of it is left at the requester. Retained: the law has it keep it.
const (
	Deleted  Fate = "deleted"
	Retained Fate = "retained"
)

// Ground is why the law has a requester retain what was erased at its custodian: the exceptions of
// GDPR article 17(3), which PIPL article 47 leaves to the laws and regulations it refers to.
type Ground string

// The grounds.
const (
	LegalObligation Ground = "legal-obligation" // (b), an insurer's duty to keep books for example
	PublicHealth    Ground = "public-health"    // (c)
	Archiving       Ground = "archiving"        // (d)
	LegalClaims     Ground = "legal-claims"     // (e)
)

const knownGrounds = "legal-obligation, public-health, archiving, legal-claims"

// Acknowledgement is a requester's word on what it had opened of a record, once that was erased.
type Acknowledgement struct {
	Custodian string  `json:"custodian"` // MSP id
	Record    string  `json:"record"`    // id
	Requester string  `json:"requester"` // MSP id
	Erasure   int     `json:"erasure"`   // number of the newest erasure it speaks of, and of all before
	Fate      Fate    `json:"fate"`
	Ground    Ground  `json:"ground,omitempty"` // of what is retained only
	At        Instant `json:"at"`
}

// Acknowledge records a requester's word on the erasures of a record up to a number. prior is the word
// recorded already, nil if none; the same again answers with it. Once a ground is over, what was
// retained may be deleted; what was deleted can't be retained.
//
// Refusals: malformed, wrong-state (nothing, or not so much, was erased), exists.
func (a Anchor) Acknowledge(requester string, erasure int, fate Fate, ground Ground, prior *Acknowledgement, at Instant) (Acknowledgement, error) {
	w := Acknowledgement{Custodian: a.Custodian, Record: a.ID, Requester: requester, Erasure: erasure, Fate: fate, Ground: ground, At: at}
	if err := w.check(); err != nil {
		return Acknowledgement{}, err
	}
	switch {
	case requester == a.Custodian:
		return Acknowledgement{}, refusal.New(refusal.NotRequester, "a custodian doesn't acknowledge its own erasure", "acknowledging by a member that had opened parts of the record")
	case a.Erasure == nil:
		return Acknowledgement{}, refusal.New(refusal.WrongState, fmt.Sprintf("nothing of record %s is erased", a.ID), "acknowledging an erasure that is on the ledger")
	case erasure > a.Erasure.Number:
		return Acknowledgement{}, refusal.New(refusal.WrongState, fmt.Sprintf("record %s has %d erasures", a.ID, a.Erasure.Number), "acknowledging an erasure that is on the ledger")
	case prior == nil || erasure > prior.Erasure:
		return w, nil
	case erasure == prior.Erasure && fate == prior.Fate && ground == prior.Ground:
		return *prior, nil
	case erasure == prior.Erasure && prior.Fate == Retained:
		return w, nil
	}
	return Acknowledgement{}, refusal.New(refusal.Exists,
		fmt.Sprintf("erasure %d of record %s is acknowledged: %s", prior.Erasure, a.ID, prior.Fate), "the recorded acknowledgement again, or one of a later erasure")
}

func (w Acknowledgement) check() error {
	switch {
	case w.Erasure < 1:
		return refusal.New(refusal.Malformed, "the erasure's number is missing", "the number in the record's anchor, from 1")
	case w.Fate == Deleted && w.Ground != "":
		return refusal.New(refusal.Malformed, "what is deleted needs no ground", "a ground for what is retained only")
	case w.Fate == Deleted:
		return nil
	case w.Fate != Retained:
		return refusal.New(refusal.Malformed, "the fate is unknown", "deleted or retained")
	}
	switch w.Ground {
	case LegalObligation, PublicHealth, Archiving, LegalClaims:
		return nil
	}
	return refusal.New(refusal.Malformed, fmt.Sprintf("unknown ground %.40q", string(w.Ground)), "what is retained has a ground, one of "+knownGrounds)
}
