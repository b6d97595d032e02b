package contract_test

import (
	"strings"
	"testing"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

func officer(digit string) access.Actor {
	return access.Actor{User: strings.Repeat(digit, 64), Role: access.RecordsOfficer}
}

// Whoever does something with a record or an attested consent stands beside it. The same
// again by another person is answered as it is recorded, and changes nothing.
func TestWhoKeepsRecordsAndConsentsStandsOnTheLedger(t *testing.T) {
	w := newWorld(t)
	first, second := officer("a"), officer("b")
	d, next, gone := w.draft(), w.draft(), w.draft()
	next.Supersedes = d.ID
	batch := func(d contract.AnchorDraft, by access.Actor) contract.Anchoring {
		d.Actor = by
		return contract.Anchoring{Records: []contract.AnchorDraft{d}}
	}
	grant := w.grantFor(insurer, patient)
	granted := func(by access.Actor) contract.Grant { g := grant; g.Actor = by; return g }
	amended := func(by access.Actor) contract.Amendment {
		return contract.Amendment{ID: grant.ID, Version: 2, Requester: insurer, Handle: patient, Provision: grant.Provision, Evidence: digest, Actor: by}
	}
	withdrawn := func(by access.Actor) contract.Withdrawal {
		return contract.Withdrawal{ID: grant.ID, Requester: insurer, Handle: patient, Reason: "patient", Actor: by}
	}
	retracted := func(by access.Actor) contract.Retraction {
		return contract.Retraction{ID: next.ID, Reason: record.EnteredInError, Actor: by}
	}
	erased := func(by access.Actor) contract.Erasing {
		return contract.Erasing{ID: gone.ID, Reason: record.PatientRequest, Actor: by}
	}
	ofRecord := func(id string) disclosure.Subject {
		return disclosure.Subject{What: disclosure.User, Custodian: hospitalA, Requester: hospitalA, ID: id}
	}
	ofVersion := func(n int) disclosure.Subject {
		return disclosure.Subject{What: disclosure.User, Custodian: hospitalA, Requester: insurer, ID: grant.ID, Handle: patient, Version: n}
	}
	for _, step := range []struct {
		name     string
		function string
		arg      func(by access.Actor) any
		subject  disclosure.Subject
	}{
		{"anchored", contract.RecordAnchor, func(by access.Actor) any { return batch(d, by) }, ofRecord(d.ID)},
		{"superseding", contract.RecordAnchor, func(by access.Actor) any { return batch(next, by) }, ofRecord(next.ID)},
		{"retracted", contract.RecordRetract, func(by access.Actor) any { return retracted(by) }, ofRecord(next.ID)},
		{"anchored too", contract.RecordAnchor, func(by access.Actor) any { return batch(gone, by) }, ofRecord(gone.ID)},
		{"erased", contract.RecordErase, func(by access.Actor) any { return erased(by) }, ofRecord(gone.ID)},
		{"granted", contract.ConsentGrant, func(by access.Actor) any { return granted(by) }, ofVersion(1)},
		{"amended", contract.ConsentAmend, func(by access.Actor) any { return amended(by) }, ofVersion(2)},
		{"withdrawn", contract.ConsentWithdraw, func(by access.Actor) any { return withdrawn(by) }, ofVersion(3)},
	} {
		w.refused(refusal.Malformed, hospitalA, step.function, step.arg(access.Actor{User: "dr.li"}))
		w.refused(refusal.Malformed, hospitalA, step.function, step.arg(access.Actor{Role: access.RecordsOfficer}))
		w.refused(refusal.Malformed, hospitalA, step.function, step.arg(access.Actor{User: first.User, Role: "boss"}))
		w.refused(refusal.Malformed, hospitalA, step.function, step.arg(access.Actor{User: first.User}))
		tx := w.must(hospitalA, step.function, step.arg(first))
		for _, by := range []access.Actor{first, second, {}} {
			if again := w.must(hospitalA, step.function, step.arg(by)); len(again.RWSet.Writes) != 0 || string(again.Response) != string(tx.Response) {
				t.Errorf("%s again by %+v: %s with writes %q, first %s", step.name, by, again.Response, again.Writes(), tx.Response)
			}
		}
		if o := w.ordered(step.subject); o.Holder != hospitalA || o.Digest != first.User {
			t.Errorf("%s: the order is %+v", step.name, o)
		}
	}
	if o := w.ordered(ofRecord(d.ID)); o.Digest != first.User {
		t.Errorf("who superseded: %+v", o)
	}
	// Nobody, where software acts.
	plain := w.draft()
	w.must(hospitalA, contract.RecordAnchor, batch(plain, access.Actor{}))
	for name, s := range map[string]disclosure.Subject{"software's record": ofRecord(plain.ID), "a version that isn't there": ofVersion(9), "another's record": {What: disclosure.User, Custodian: hospitalB, Requester: hospitalB, ID: d.ID}} {
		if _, err := w.try(regulator, contract.DisclosureOrder, w.orderFor(s)); codeOf(err) != refusal.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The same for a regulator's people.
func TestWhoReviewsStandsOnTheLedger(t *testing.T) {
	w := newWorld(t)
	a := w.broken(patient)
	first := access.Actor{User: strings.Repeat("a", 64), Role: access.Auditor}
	second := access.Actor{User: strings.Repeat("b", 64), Role: access.Auditor}
	judged := func(by access.Actor) access.Judgement {
		return access.Judgement{Custodian: a.Custodian, Requester: a.Requester, ID: a.ID, Outcome: access.Rejected, Reason: "no-emergency", Actor: by}
	}
	settled := func(by access.Actor) access.Settlement {
		return access.Settlement{Custodian: a.Custodian, Requester: a.Requester, ID: a.ID, Reason: "staff-retrained", Actor: by}
	}
	w.refused(refusal.Malformed, regulator, contract.AccessReview, judged(access.Actor{User: "eve", Role: access.Auditor}))
	w.must(regulator, contract.AccessReview, judged(first))
	if tx := w.must(regulator, contract.AccessReview, judged(second)); len(tx.RWSet.Writes) != 0 {
		t.Errorf("reviewed again with writes %q", tx.Writes())
	}
	w.refused(refusal.Malformed, regulator, contract.AccessResolve, settled(access.Actor{User: "eve", Role: access.Auditor}))
	w.must(regulator, contract.AccessResolve, settled(second))
	if tx := w.must(regulator, contract.AccessResolve, settled(first)); len(tx.RWSet.Writes) != 0 {
		t.Errorf("resolved again with writes %q", tx.Writes())
	}
	r := ask[contract.ReviewPage](w, regulator, contract.AccessReviews, contract.ListQuery{}).Reviews[0]
	if r.Actor != first || r.Resolution == nil || r.Resolution.Actor != second {
		t.Errorf("the ledger has %+v, %+v", r, r.Resolution)
	}
}

// What is said beside a document and isn't kept with it is held to the same form: the audit
// reads it there.
func TestWhoCallsIsADigestInARole(t *testing.T) {
	w := newWorld(t)
	d := w.draft()
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{d}})
	other := registry.Suspension{MSP: insurer, Reason: "audit"}
	for function, call := range map[string]struct {
		msp string
		arg func(access.Actor) any
	}{
		contract.RecordHold: {regulator, func(by access.Actor) any {
			return contract.Holding{Custodian: hospitalA, ID: d.ID, Reason: "case-7", Actor: by}
		}},
		contract.RecordUnhold: {regulator, func(by access.Actor) any {
			return contract.Unholding{Custodian: hospitalA, ID: d.ID, Actor: by}
		}},
		contract.RecordAcknowledge: {insurer, func(by access.Actor) any {
			return contract.Acknowledging{Custodian: hospitalA, ID: d.ID, Erasure: 1, Fate: record.Deleted, Actor: by}
		}},
		contract.ConsentRecover: {hospitalA, func(by access.Actor) any {
			return contract.Recovery{Requester: insurer, Handle: patient, Evidence: digest, Actor: by}
		}},
		contract.DisclosureOrder: {regulator, func(by access.Actor) any {
			return contract.Ordering{Draft: w.orderFor(disclosure.Subject{What: disclosure.Manifest, Custodian: hospitalA, Requester: insurer, ID: d.ID}), Actor: by}
		}},
		contract.DisclosureAnswer: {hospitalA, func(by access.Actor) any {
			return contract.Answering{Order: d.ID, Regulator: regulator, Word: disclosure.Given, Actor: by}
		}},
		contract.DisclosureConclude: {regulator, func(by access.Actor) any {
			return contract.Concluding{Order: d.ID, Holder: hospitalA, Outcome: disclosure.Withheld, Actor: by}
		}},
		contract.RegistryMove: {hospitalB, func(by access.Actor) any {
			return contract.Moving{Motion: registry.Motion{Suspend: &other}, Actor: by}
		}},
		contract.RegistryUpdate: {hospitalA, func(by access.Actor) any {
			return contract.Updating{Update: registry.Update{Policy: &registry.Policy{}}, Actor: by}
		}},
	} {
		t.Run(function, func(t *testing.T) {
			for _, by := range []access.Actor{{User: "dr.li", Role: access.Auditor}, {User: officer("a").User, Role: "boss"}, {User: officer("a").User}, {Role: access.Auditor}} {
				_, err := w.try(call.msp, function, call.arg(by))
				if codeOf(err) != refusal.Malformed {
					t.Errorf("by %+v: %v", by, err)
				}
			}
			// Whatever else may be wrong with it, the person isn't.
			if _, err := w.try(call.msp, function, call.arg(officer("a"))); err != nil && strings.Contains(err.Error(), "user") {
				t.Errorf("by a person in a role: %v", err)
			}
		})
	}
}
