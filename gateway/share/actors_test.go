package share_test

import (
	"bytes"
	"testing"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/ledger"
	"yitong/gateway/share"
)

// Persons keep records and attest consents through the gateway. The ledger has salted
// digests of them, which a regulator orders to be opened.
func TestARegulatorLearnsWhoKeepsRecordsAndConsents(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	wu := share.Person{Name: "wu@hospital-a.example", Role: access.RecordsOfficer}
	xu := share.Person{Name: "xu@hospital-a.example", Role: access.RecordsOfficer}
	byWu, byXu := share.By(t.Context(), wu), share.By(t.Context(), xu)
	g := c.gateways[hospitalA]
	form := share.Directive{ID: share.NewID(), Patient: chen, Requester: "Insurer", Provision: consent.Provision{Type: consent.Permit}, Form: []byte("signed")}
	s := share.Submission{ID: share.NewID(), Patient: chen, MediaType: share.FHIR}
	gone := share.NewID()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	submit := func() (any, error) {
		r, _, err := g.Submit(byWu, s, bytes.NewReader(bundle(6)))
		return r, err
	}
	who := func(subject disclosure.Subject) (string, string) {
		t.Helper()
		d, err := c.order(share.DisclosureOrder{What: subject.What, Custodian: subject.Custodian, Requester: subject.Requester, Subject: subject.ID, Version: subject.Version, Reason: "case-7"})
		if err != nil {
			t.Fatal(err)
		}
		return string(d.Disclosed.Content), d.Order.Digest
	}
	ofRecord := func(id string) disclosure.Subject {
		return disclosure.Subject{What: disclosure.User, Custodian: "HospitalA", Requester: "HospitalA", ID: id}
	}
	ofVersion := func(n int) disclosure.Subject {
		return disclosure.Subject{What: disclosure.User, Custodian: "HospitalA", Requester: "Insurer", ID: form.ID, Version: n}
	}
	const isWu, isXu = `{"user":"wu@hospital-a.example","role":"records-officer","member":"HospitalAMSP"}`, `{"user":"xu@hospital-a.example","role":"records-officer","member":"HospitalAMSP"}`
	seen := map[string]bool{}
	expect := func(name string, subject disclosure.Subject, want string) {
		t.Helper()
		content, digest := who(subject)
		if content != want {
			t.Errorf("%s by %q, want %q", name, content, want)
		}
		if seen[digest] {
			t.Errorf("%s has a digest that something else has: one person's deeds can be linked", name)
		}
		seen[digest] = true
	}

	must(submit())
	must(submit()) // a retry
	expect("the record is anchored", ofRecord(s.ID), isWu)
	must(g.Retract(byXu, s.ID, record.EnteredInError))
	expect("it is retracted", ofRecord(s.ID), isXu)
	s.ID = gone
	must(submit())
	must(g.Erase(byXu, gone, record.PatientRequest, nil))
	expect("another is erased", ofRecord(gone), isXu)

	_, _, first, err := g.Grant(byWu, form)
	must(first, err)
	_, _, _, err = g.Grant(byXu, form) // another's retry is answered as recorded
	must(nil, err)
	expect("the consent is granted", ofVersion(1), isWu)
	_, _, _, err = g.Amend(byXu, form, 1)
	must(nil, err)
	expect("it is amended", ofVersion(2), isXu)
	_, _, _, err = g.Withdraw(byWu, chen, "Insurer", form.ID, "patient-request")
	must(nil, err)
	expect("it is withdrawn", ofVersion(3), isWu)

	// Software is nobody: the hospital's own submissions and grants name none.
	plain := c.submit(bundle(2))
	_, err = c.order(share.DisclosureOrder{What: disclosure.User, Custodian: "HospitalA", Requester: "HospitalA", Subject: plain.ID, Reason: "case-7"})
	wantRefusal(t, err, refusal.NotFound)
}

// Who submitted a record is kept with it: what a crash kept from the ledger says the same
// when the next start anchors it.
func TestAResumedAnchorSaysWhoSubmittedIt(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	wu := share.Person{Name: "wu@hospital-a.example", Role: access.RecordsOfficer}
	s := share.Submission{ID: share.NewID(), Patient: chen, MediaType: share.FHIR}
	c.chains[hospitalA].fail = func(string, bool) error { return ledger.ErrUnavailable }
	if _, _, err := c.gateways[hospitalA].Submit(share.By(t.Context(), wu), s, bytes.NewReader(bundle(2))); err == nil {
		t.Fatal("anchored on a ledger that can't be written")
	}
	c.chains[hospitalA].fail = nil
	if err := c.gateways[hospitalA].Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := c.anchor(s.ID); a.Status != record.Anchored {
		t.Fatalf("the ledger has %+v", a)
	}
	d, err := c.order(share.DisclosureOrder{What: disclosure.User, Custodian: "HospitalA", Requester: "HospitalA", Subject: s.ID, Reason: "case-7"})
	if want := `{"user":"wu@hospital-a.example","role":"records-officer","member":"HospitalAMSP"}`; err != nil || string(d.Disclosed.Content) != want {
		t.Errorf("submitted by %q, %v", d.Disclosed.Content, err)
	}
}

// A regulator's people are named on what they review, each for itself.
func TestAReviewSaysWhoReviewed(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(2))
	a := c.breakGlass()
	he := share.By(t.Context(), share.Person{Name: "he@regulator.example", Role: access.Auditor})
	g := c.gateways[regulator]
	j := access.Judgement{Custodian: "HospitalA", Requester: "HospitalB", ID: a.ID, Outcome: access.Rejected, Reason: "seen"}
	var users []string
	for range 2 { // the same call again says the same
		r, _, err := g.ReviewEmergency(he, j)
		if err != nil || r.Role != access.Auditor || r.User == "" {
			t.Fatalf("%+v, %v", r, err)
		}
		users = append(users, r.User)
	}
	resolved, _, err := g.ResolveEmergency(t.Context(), access.Settlement{Custodian: "HospitalA", Requester: "HospitalB", ID: a.ID, Reason: "done"})
	if err != nil || resolved.Resolution.User != "" || resolved.User != users[0] || users[0] != users[1] {
		t.Errorf("reviewed by %q, resolved %+v, %v", users, resolved, err)
	}
}
