package share_test

import (
	"strings"
	"testing"
	"time"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/handle"
	"yitong/gateway/share"
)

// An access's id is chosen by who requests, and stands on the ledger for all to read. One
// member's permit under the id of another's is a permit of its own.
func TestAPermitUnderAnothersIdReleasesNothingOfTheOthers(t *testing.T) {
	c := sharing(t)
	a := c.request(record.Laboratory)
	if n, err := c.open(a.ID); err != nil || n == 0 {
		t.Fatalf("%d parts, %v", n, err)
	}
	e := emergencyBy(doctor)
	e.ID, e.Patient = a.ID, someone(1) // whom hospital A holds nothing of
	if _, _, err := c.gateways[hospitalB].BreakGlass(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	parcel, err := c.gateways[hospitalA].Release(t.Context(), hospitalB, a.ID, 0, &e.Patient)
	if err != nil {
		t.Fatal(err)
	}
	if m := parcel.Manifest; m.Requester != hospitalB || len(m.Records) != 0 {
		t.Errorf("hospital B was sent a manifest for %s with %d records", m.Requester, len(m.Records))
	}
	if n, err := c.open(a.ID); err != nil || n == 0 {
		t.Errorf("the insurer's own permit opens %d parts after that, %v", n, err)
	}
}

// A permit's handle is of the present epoch, and what lies in escrow was put there in an
// earlier one.
func TestWhatLiesInEscrowIsFoundAfterARollover(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	lodge := func() {
		t.Helper()
		if err := c.gateways[hospitalA].Lodge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	lodge()
	c.roll(time.Hour)
	if _, err := c.gateways[hospitalA].Carry(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.gateways[hospitalA].Reindex(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.ledger.Advance(2 * time.Hour) // the earlier epoch is over
	c.tick()
	a := c.emergencyOver(record.Laboratory)
	c.cut = map[string]bool{hospitalA: true}
	parts, _, err := c.openInEmergency(a)
	if err != nil {
		t.Fatal(err)
	}
	if parts[record.Laboratory] == nil {
		t.Error("nothing was opened")
	}
}

// What is said to be destroyed isn't in the key store's file either.
func TestADestroyedKeyIsInNoPlaceOfTheFile(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.roll(time.Hour)
	before := sealedKeys(t, regulator)
	c.ledger.Advance(2 * time.Hour)
	if err := c.gateways[regulator].DestroyEnded(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := leftBehind(t, regulator, before); n != 0 {
		t.Errorf("after the epoch the file holds %d values that were replaced", n)
	}

	before = sealedKeys(t, insurer)
	c.rotate(insurer, "signing", 0)
	if n := leftBehind(t, insurer, before); n != 0 {
		t.Errorf("after the rotation the file holds %d values that were replaced", n)
	}
	c.rotate(insurer, "hpke", time.Hour)
	before = sealedKeys(t, insurer)
	c.ledger.Advance(time.Hour + 4*time.Minute)
	c.tick()
	if err := c.gateways[insurer].TendKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := leftBehind(t, insurer, before); n != 0 {
		t.Errorf("after the grace the file holds %d values that were replaced", n)
	}
}

// A record is of one patient, who has one handle with a hospital in an epoch.
func TestACustodianCantFillARegulatorsIndex(t *testing.T) {
	c, r, _ := lodged(t, record.Laboratory)
	find := func(requester, handle string) error {
		return c.gateways[regulator].Find(t.Context(), hospitalA, []share.IndexEntry{{Requester: requester, Handle: handle, Record: r.ID}})
	}
	wantRefusal(t, find(hospitalB, "1-"+strings.Repeat("ab", 32)), refusal.Exists)
	wantRefusal(t, find(hospitalB, "2-"+strings.Repeat("ab", 32)), refusal.Malformed)
	wantRefusal(t, find("NobodyMSP", "1-"+strings.Repeat("ab", 32)), refusal.Malformed)
}

// Every patient that a requester names has the custodian's evaluations spent on it.
func TestARequesterCantSpendTheCustodiansEvaluations(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	a := c.breakGlass()
	spent := 0
	c.evaluated = func(_ string, _ handle.Relation, _ [][]byte, done handle.Evaluation) handle.Evaluation {
		spent++
		return done
	}
	for i := range 10 {
		p := someone(i)
		_, err := c.gateways[hospitalA].Release(t.Context(), hospitalB, a.ID, 0, &p)
		wantRefusal(t, err, refusal.NotPermitted)
	}
	if spent > 3 { // hospital A evaluates one half by itself
		t.Errorf("%d evaluations for ten patients that the permit isn't about", spent)
	}
}

// A consent that the patient amended is held against what was signed last.
func TestAPermitFromBeforeAnAmendmentThatLeavesItIsReleased(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	alice := newWallet("alice")
	p := c.prepare(grantTo(consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Laboratory)}))
	granted := c.direct(alice.sign(p.Document))
	a := c.request(record.Laboratory)
	if !a.Permitted() {
		t.Fatal("denied")
	}
	wider := consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Laboratory, record.Condition)}
	d := grantTo(wider)
	d.Act, d.Consent = "amend", granted.ID
	c.direct(alice.sign(c.prepare(d).Document))
	if _, err := c.open(a.ID); err != nil {
		t.Error(err)
	}
}
