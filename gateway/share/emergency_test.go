package share_test

import (
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/share"
)

var (
	doctor = share.Person{Name: "dr.li@hospital-b.example", Role: access.Clinician}
	desk   = share.Person{Name: "desk@hospital-b.example", Role: access.RecordsOfficer}
)

func emergencyBy(who share.Person) share.Emergency {
	return share.Emergency{
		Claim: share.Claim{
			Custodian: "HospitalA", Patient: chen, Purpose: consent.ETREAT, Action: consent.Access, Classes: record.AllClasses, User: who,
		},
		Reason: access.Unconscious, Note: "found on the street",
	}
}

// breakGlass has hospital B break the glass at hospital A.
func (c *consortium) breakGlass() access.Access {
	c.t.Helper()
	a, _, err := c.gateways[hospitalB].BreakGlass(c.t.Context(), emergencyBy(doctor))
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *consortium) judge(a access.Access, outcome access.Verdict) {
	c.t.Helper()
	_, _, err := c.gateways[regulator].ReviewEmergency(c.t.Context(), access.Judgement{Custodian: "HospitalA", Requester: "HospitalB", ID: a.ID, Outcome: outcome, Reason: "seen"})
	if err != nil {
		c.t.Fatal(err)
	}
}

func TestAClinicianOpensWithoutConsentAndAgainstADenial(t *testing.T) {
	for name, denied := range map[string]bool{"nobody was asked": false, "the patient said no": true} {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t)
			c.tick()
			c.submit(bundle(6))
			var no consent.Consent
			if denied {
				var err error
				no, _, _, err = c.gateways[hospitalA].Grant(t.Context(), share.Directive{
					Patient: chen, Requester: "HospitalB", Provision: consent.Provision{Type: consent.Deny}, Form: []byte("no"),
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			a := c.breakGlass()
			if rule := a.Decision.Rule; !a.Permitted() || denied && (rule.Consent != no.ID || rule.Reason != consent.DenialBroken) {
				t.Fatalf("the decision is %+v", a.Decision)
			}
			parts := opened{}
			if _, err := c.gateways[hospitalB].Open(t.Context(), "HospitalA", a.ID, parts.sink); err != nil {
				t.Fatal(err)
			}
			for _, class := range []record.Class{record.Laboratory, record.Condition} {
				if parts[class] == nil || parts[class].Len() == 0 {
					t.Errorf("nothing of class %v was opened", class)
				}
			}
			for _, msp := range []string{hospitalA, hospitalB, regulator} {
				list, err := c.gateways[msp].Emergencies(t.Context(), "")
				if err != nil || len(list) != 1 || list[0].ID != a.ID {
					t.Errorf("%s sees %+v, %v", msp, list, err)
				}
			}
		})
	}
}

// What a member's gateway asks of its callers, the others' peers ask of it: one that lets
// its software sign as whoever it likes finds that nobody endorses it. The same request
// signed as a clinician passes: the control.
func TestOnlyACliniciansSignatureBreaksTheGlass(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	for _, who := range []share.Person{{}, desk, {Name: "sys", Role: access.Operator}} {
		before := c.ledger.Height()
		_, _, err := c.gateways[hospitalB].BreakGlass(t.Context(), emergencyBy(who))
		wantRefusal(t, err, access.RoleNotAllowed)
		if c.ledger.Height() != before {
			t.Errorf("%+v got something onto the ledger", who)
		}
	}
	honest := c.gateways[hospitalB].Clinicians
	c.gateways[hospitalB].Clinicians = c.chains[hospitalB] // an altered gateway: its software's own certificate
	_, _, err := c.gateways[hospitalB].BreakGlass(t.Context(), emergencyBy(doctor))
	wantRefusal(t, err, access.RoleNotAllowed)
	c.gateways[hospitalB].Clinicians = nil
	_, _, err = c.gateways[hospitalB].BreakGlass(t.Context(), emergencyBy(doctor))
	wantRefusal(t, err, access.RoleNotAllowed)
	_, _, err = c.gateways[insurer].BreakGlass(t.Context(), emergencyBy(doctor))
	wantRefusal(t, err, refusal.KindNotAllowed)

	c.gateways[hospitalB].Clinicians = honest
	c.breakGlass()
}

func TestABreakGlassPermitReleasesNothingOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(c *consortium, a access.Access)
		want    refusal.Code
	}{
		"it was rejected":             {func(c *consortium, a access.Access) { c.judge(a, access.Rejected) }, access.ReviewRejected},
		"it is four hours old":        {func(c *consortium, a access.Access) { c.ledger.Advance(4 * time.Hour); c.tick() }, refusal.Expired},
		"the requester was suspended": {func(c *consortium, a access.Access) { c.suspend(hospitalB) }, refusal.MemberSuspended},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t)
			c.tick()
			c.submit(bundle(6))
			a := c.breakGlass()
			tc.prepare(c, a)
			_, err := c.gateways[hospitalA].Release(t.Context(), hospitalB, a.ID, 0, &chen)
			wantRefusal(t, err, tc.want)
		})
	}
	t.Run("it was accepted, and is not over: it does", func(t *testing.T) {
		c := newConsortium(t)
		c.tick()
		c.submit(bundle(6))
		a := c.breakGlass()
		c.judge(a, access.Accepted)
		if _, err := c.gateways[hospitalA].Release(t.Context(), hospitalB, a.ID, 0, &chen); err != nil {
			t.Error(err)
		}
	})
}

// A custodian that never derived the handle learns whom it is about from the requester,
// and believes it only as far as the handle agrees.
func TestACustodianFindsOutWhomAnEmergencyIsAbout(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	a := c.breakGlass()
	forget := func() {
		err := stores[hospitalA].Update(func(tx *keys.Tx) error { return tx.Delete("handles", a.Handle) })
		if err != nil {
			t.Fatal(err)
		}
	}
	forget()
	_, err := c.gateways[hospitalA].Release(t.Context(), hospitalB, a.ID, 0, nil)
	wantRefusal(t, err, refusal.NotFound)
	_, err = c.gateways[hospitalA].Release(t.Context(), hospitalB, a.ID, 0, &share.Patient{System: chen.System, Value: "MRN-0001"})
	wantRefusal(t, err, refusal.NotPermitted)
	forget()
	parts := opened{}
	if _, err := c.gateways[hospitalB].Open(t.Context(), "HospitalA", a.ID, parts.sink); err != nil || len(parts) == 0 {
		t.Errorf("opened %d parts, %v", len(parts), err)
	}
}

func TestAnEmergencyWhoseAnswerIsLostCompletesOnce(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	e := emergencyBy(doctor)
	e.ID = share.NewID()
	lost := false
	c.gateways[hospitalB].Clinicians.(*chain).fail = func(_ string, done bool) error {
		if done && !lost {
			lost = true
			return &ledger.Unknown{TxID: "lost"}
		}
		return nil
	}
	if _, _, err := c.gateways[hospitalB].BreakGlass(t.Context(), e); err == nil {
		t.Fatal("the answer wasn't lost")
	}
	a, _, err := c.gateways[hospitalB].BreakGlass(t.Context(), e)
	if err != nil || a.ID != e.ID {
		t.Fatalf("again: %+v, %v", a, err)
	}
	list, err := c.gateways[regulator].Emergencies(t.Context(), "HospitalB")
	if err != nil || len(list) != 1 {
		t.Errorf("open: %+v, %v", list, err)
	}
}

// Who asked, and what the clinician noted, is a digest on the ledger until a regulator
// orders it to be opened; what comes is held against that digest.
func TestARegulatorLearnsWhoAskedAndWhy(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	a := c.breakGlass()
	if a.User == "" || a.Role != access.Clinician || a.Emergency.Note == "" {
		t.Fatalf("the request is %+v", a.Request)
	}
	again := c.breakGlass()
	if again.User == a.User || again.Emergency.Note == a.Emergency.Note {
		t.Error("two requests of one person can be linked by their digests")
	}
	for what, want := range map[disclosure.What]string{
		disclosure.User: `{"user":"dr.li@hospital-b.example","role":"clinician","member":"HospitalBMSP"}`,
		disclosure.Note: "found on the street",
	} {
		d, err := c.order(share.DisclosureOrder{What: what, Custodian: "HospitalA", Requester: "HospitalB", Subject: a.ID, Reason: "case-1"})
		if err != nil || string(d.Disclosed.Content) != want {
			t.Errorf("%s: %q, %v", what, d.Disclosed.Content, err)
		}
	}
	// Who opened may be another than who asked, and is told by the receipt.
	if _, err := c.gateways[hospitalB].Open(share.By(t.Context(), desk), "HospitalA", a.ID, opened{}.sink); err != nil {
		t.Fatal(err)
	}
	d, err := c.order(share.DisclosureOrder{What: disclosure.Reader, Custodian: "HospitalA", Requester: "HospitalB", Subject: a.ID, Reason: "case-1"})
	if want := `{"user":"desk@hospital-b.example","role":"records-officer","member":"HospitalBMSP"}`; err != nil || string(d.Disclosed.Content) != want {
		t.Errorf("opened by %q, %v", d.Disclosed.Content, err)
	}
	// One who lies about who it was is found out.
	c.disclose = func(d share.Disclosed) share.Disclosed {
		d.Content = []byte(`{"user":"nobody","role":"clinician","member":"HospitalBMSP"}`)
		return d
	}
	d, err = c.order(share.DisclosureOrder{What: disclosure.User, Custodian: "HospitalA", Requester: "HospitalB", Subject: a.ID, Reason: "case-2"})
	if err != nil || d.Conclusion == nil || d.Conclusion.Outcome != disclosure.Mismatch {
		t.Errorf("%+v, %v", d.Conclusion, err)
	}
	ordinary := c.request(record.Laboratory) // by the insurer's software
	if ordinary.User != "" || ordinary.Role != "" {
		t.Errorf("the software is told as %q %q", ordinary.User, ordinary.Role)
	}
	_, err = c.order(share.DisclosureOrder{What: disclosure.User, Custodian: "HospitalA", Requester: "Insurer", Subject: ordinary.ID, Reason: "case-3"})
	wantRefusal(t, err, refusal.NotFound)
}
