package access

import (
	"slices"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Verdict is what a review finds.
type Verdict string

// Accepted: it was an emergency. Rejected: it was none, or more was opened than it needed.
const (
	Accepted Verdict = "accepted"
	Rejected Verdict = "rejected"
)

// Judgement is a regulator's finding on one break-glass access.
type Judgement struct {
	Custodian string  `json:"custodian"` // MSP id
	Requester string  `json:"requester"` // MSP id
	ID        string  `json:"id"`        // of the access
	Outcome   Verdict `json:"outcome"`   // accepted or rejected
	Reason    string  `json:"reason"`    // a code

	Actor // who reviewed, for the regulator
}

// Check refuses a judgement with a malformed field: code malformed.
func (j Judgement) Check() error {
	if err := checkNamed(j.Custodian, j.Requester, j.ID); err != nil {
		return err
	}
	if j.Outcome != Accepted && j.Outcome != Rejected {
		return refusal.New(refusal.Malformed, "that is no outcome of a review", "accepted or rejected")
	}
	if err := j.Actor.Check(); err != nil {
		return err
	}
	return registry.CheckCode(j.Reason)
}

// Settlement resolves a rejected break-glass access: what was to be done about it is done.
type Settlement struct {
	Custodian string `json:"custodian"` // MSP id
	Requester string `json:"requester"` // MSP id
	ID        string `json:"id"`        // of the access
	Reason    string `json:"reason"`    // a code

	Actor // who resolved it, for the regulator
}

// Check refuses a settlement with a malformed field: code malformed.
func (s Settlement) Check() error {
	if err := checkNamed(s.Custodian, s.Requester, s.ID); err != nil {
		return err
	}
	if err := s.Actor.Check(); err != nil {
		return err
	}
	return registry.CheckCode(s.Reason)
}

func checkNamed(custodian, requester, id string) error {
	for _, msp := range []string{custodian, requester} {
		if err := registry.CheckMSP(msp); err != nil {
			return err
		}
	}
	return CheckID(id)
}

// Review is the review of a break-glass access, as it stands.
type Review struct {
	Judgement
	Reviewer string         `json:"reviewer"` // MSP id
	At       record.Instant `json:"at"`
	Due      record.Instant `json:"due"` // when it was to be done at the latest
	// Resolution is there once a rejected one is resolved.
	Resolution *Resolution `json:"resolution,omitempty"`
}

// Resolution ends what a rejection set off.
type Resolution struct {
	Reason string         `json:"reason"` // a code
	By     string         `json:"by"`     // MSP id of the regulator
	At     record.Instant `json:"at"`

	Actor // who resolved it
}

// Review reviews a break-glass access, once. prior is the review already recorded, nil if
// none; the same judgement by the same regulator again answers with it, whoever of its people
// says it. open is what the
// access' requester has open, and the second result is that after the review.
//
// Refusals: malformed, kind-not-allowed, member-suspended, not-permitted (not a
// break-glass permit), exists.
func (a Access) Review(j Judgement, prior *Review, open Emergencies, caller registry.Member, at record.Instant) (Review, Emergencies, error) {
	if err := j.Check(); err != nil {
		return Review{}, open, err
	}
	if err := reviews(caller); err != nil {
		return Review{}, open, err
	}
	if !a.BreakGlass() {
		return Review{}, open, refusal.New(refusal.NotPermitted, "that access broke no glass", "the review of a break-glass access")
	}
	if prior != nil {
		if j.Actor = prior.Actor; prior.Judgement == j && prior.Reviewer == caller.MSP {
			return *prior, open, nil
		}
		return Review{}, open, refusal.New(refusal.Exists, "this emergency is reviewed: "+string(prior.Outcome), "the recorded review again, or the resolution of a rejected one")
	}
	done := Review{Judgement: j, Reviewer: caller.MSP, At: at, Due: a.At + ReviewTerm}
	i := open.find(a.Custodian, a.ID)
	switch {
	case i < 0:
		return done, open, nil
	case j.Outcome == Accepted:
		return done, open.without(i), nil
	}
	open = Emergencies{Open: slices.Clone(open.Open)}
	open.Open[i].Rejected = at
	return done, open, nil
}

// Resolve resolves a rejected break-glass access, once. open is what its requester has
// open, and the second result is that without this one.
//
// Refusals: malformed, kind-not-allowed, member-suspended, wrong-state (it wasn't
// rejected), exists.
func (r Review) Resolve(s Settlement, open Emergencies, caller registry.Member, at record.Instant) (Review, Emergencies, error) {
	if err := s.Check(); err != nil {
		return Review{}, open, err
	}
	if err := reviews(caller); err != nil {
		return Review{}, open, err
	}
	if r.Outcome != Rejected {
		return Review{}, open, refusal.New(refusal.WrongState, "this emergency was accepted", "the resolution of a rejected one")
	}
	if r.Resolution != nil {
		if r.Resolution.Reason == s.Reason && r.Resolution.By == caller.MSP {
			return r, open, nil
		}
		return Review{}, open, refusal.New(refusal.Exists, "this emergency is resolved", "the recorded resolution again")
	}
	r.Resolution = &Resolution{Reason: s.Reason, By: caller.MSP, At: at, Actor: s.Actor}
	if i := open.find(r.Custodian, r.ID); i >= 0 {
		open = open.without(i)
	}
	return r, open, nil
}

func reviews(m registry.Member) error {
	if m.Kind != registry.Regulator {
		return refusal.New(refusal.KindNotAllowed, "a "+string(m.Kind)+" doesn't review emergencies", "a review by a regulator")
	}
	return bothActive(m)
}
