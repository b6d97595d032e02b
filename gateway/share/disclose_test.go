package share_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
	"yitong/gateway/share"
)

// opening is a consortium in which the insurer has opened a record of hospital A.
func opening(t *testing.T) (*consortium, access.Access) {
	t.Helper()
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	c.grant(toPayers())
	a := c.request(record.Laboratory)
	if _, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink); err != nil {
		t.Fatal(err)
	}
	return c, a
}

func orderOf(what disclosure.What, id string) share.DisclosureOrder {
	return share.DisclosureOrder{ID: share.NewID(), What: what, Custodian: "HospitalA", Requester: "Insurer", Subject: id, Reason: "case-7"}
}

func (c *consortium) order(o share.DisclosureOrder) (share.Disclosure, error) {
	return c.gateways[regulator].OrderDisclosure(c.t.Context(), o)
}

// ordered is an order as the regulator's own peer has it.
func (c *consortium) ordered(id, holder string) disclosure.Disclosure {
	c.t.Helper()
	var d disclosure.Disclosure
	in := contract.DisclosureQuery{Holder: holder, Regulator: regulator, Order: id}
	if err := c.chains[regulator].Evaluate(c.t.Context(), contract.DisclosureDisclosure, in, &d); err != nil {
		c.t.Fatal(err)
	}
	return d
}

func TestARegulatorSeesWhatIsBehindEveryDigest(t *testing.T) {
	c, a := opening(t)
	form := orderOf(disclosure.Form, a.Decision.Rule.Consent)
	form.Version = 1
	for _, test := range []struct {
		order   share.DisclosureOrder
		holder  string
		content string
	}{
		{orderOf(disclosure.Claim, a.ID), insurer, "claim 77"},
		{form, hospitalA, "signed by the patient"},
	} {
		t.Run(string(test.order.What), func(t *testing.T) {
			d, err := c.order(test.order)
			if err != nil {
				t.Fatal(err)
			}
			if string(d.Disclosed.Content) != test.content || d.Order.Holder != test.holder || d.Commit.TxID == "" {
				t.Errorf("disclosed %+v", d)
			}
			// Anybody can work it out again from what was shown.
			sum := sha256.Sum256(append(bytes.Clone(d.Disclosed.Salt), d.Disclosed.Content...))
			if hex.EncodeToString(sum[:]) != d.Order.Digest {
				t.Error("salt and content don't make the digest")
			}
			on := c.ordered(test.order.ID, test.holder)
			if on.Answer == nil || on.Answer.Word != disclosure.Given || on.Conclusion == nil || on.Conclusion.Outcome != disclosure.Disclosed {
				t.Errorf("the ledger has %+v", on)
			}
			// The same order again gives the same.
			again, err := c.order(test.order)
			if err != nil || string(again.Disclosed.Content) != test.content {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
	t.Run("manifest", func(t *testing.T) {
		d, err := c.order(orderOf(disclosure.Manifest, a.ID))
		if err != nil {
			t.Fatal(err)
		}
		var m seal.Manifest
		if err := json.Unmarshal(d.Disclosed.Content, &m); err != nil {
			t.Fatal(err)
		}
		entry, err := c.gateways[regulator].Access(t.Context(), hospitalA, insurer, a.ID)
		if err != nil || m.Digest().String() != entry.Release.Manifest || len(m.Records) != 1 || len(m.Records[0].Parts) != 1 {
			t.Errorf("manifest %s of release %+v, %v", d.Disclosed.Content, entry.Release, err)
		}
		if bytes.Contains(d.Disclosed.Content, []byte("wrapped")) || bytes.Contains(d.Disclosed.Content, []byte("signature")) {
			t.Errorf("keys went along: %s", d.Disclosed.Content)
		}
	})
}

func TestOneSaltOpensOneDigest(t *testing.T) {
	c, first := opening(t)
	second := c.request(record.Laboratory)
	a, err := c.order(orderOf(disclosure.Claim, first.ID))
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.order(orderOf(disclosure.Claim, second.ID))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Disclosed.Content, b.Disclosed.Content) {
		t.Fatal("the two requests should be for one claim")
	}
	if bytes.Equal(a.Disclosed.Salt, b.Disclosed.Salt) || a.Order.Digest == b.Order.Digest {
		t.Error("two digests share a salt")
	}
}

func TestALyingHolderIsOnTheRecord(t *testing.T) {
	for name, test := range map[string]struct {
		what disclosure.What
		lie  func(d share.Disclosed) share.Disclosed
	}{
		"another claim": {disclosure.Claim, func(d share.Disclosed) share.Disclosed {
			d.Content = []byte("claim 78")
			return d
		}},
		"another salt": {disclosure.Claim, func(d share.Disclosed) share.Disclosed {
			d.Salt = bytes.Repeat([]byte{1}, 32)
			return d
		}},
		"nothing": {disclosure.Claim, func(share.Disclosed) share.Disclosed { return share.Disclosed{} }},
		"a byte moved from the salt to the content": {disclosure.Claim, func(d share.Disclosed) share.Disclosed {
			return share.Disclosed{Salt: d.Salt[:31], Content: append([]byte{d.Salt[31]}, d.Content...)}
		}},
		"a byte moved from the content to the salt": {disclosure.Claim, func(d share.Disclosed) share.Disclosed {
			return share.Disclosed{Salt: append(bytes.Clone(d.Salt), d.Content[0]), Content: d.Content[1:]}
		}},
		"a manifest without a part": {disclosure.Manifest, func(d share.Disclosed) share.Disclosed {
			return remade(d, func(m *seal.Manifest) { m.Records[0].Parts = nil })
		}},
		"a manifest with a part of another class": {disclosure.Manifest, func(d share.Disclosed) share.Disclosed {
			return remade(d, func(m *seal.Manifest) { m.Records[0].Parts[0].Part.Class = record.Claim })
		}},
		"the manifest of another permit": {disclosure.Manifest, func(d share.Disclosed) share.Disclosed {
			return remade(d, func(m *seal.Manifest) { m.Permit = share.NewID() })
		}},
		"no JSON": {disclosure.Manifest, func(share.Disclosed) share.Disclosed { return share.Disclosed{Content: []byte("{")} }},
	} {
		t.Run(name, func(t *testing.T) {
			c, a := opening(t)
			c.disclose = test.lie
			o := orderOf(test.what, a.ID)
			d, err := c.order(o)
			if err != nil {
				t.Fatal(err)
			}
			if d.Conclusion == nil || d.Conclusion.Outcome != disclosure.Mismatch {
				t.Errorf("concluded %+v", d.Conclusion)
			}
			if d.Disclosed.Content != nil || d.Disclosed.Salt != nil {
				t.Errorf("what doesn't verify is handed on: %+v", d.Disclosed)
			}
			if on := c.ordered(o.ID, d.Order.Holder); on.Conclusion == nil || on.Conclusion.Outcome != disclosure.Mismatch || on.Answer.Word != disclosure.Given {
				t.Errorf("the ledger has %+v", on)
			}
			// The truth under a new order refutes it.
			c.disclose = nil
			if d, err := c.order(orderOf(test.what, a.ID)); err != nil || d.Conclusion.Outcome != disclosure.Disclosed {
				t.Errorf("the truth: %+v, %v", d, err)
			}
		})
	}
}

func remade(d share.Disclosed, change func(*seal.Manifest)) share.Disclosed {
	var m seal.Manifest
	if err := json.Unmarshal(d.Content, &m); err != nil {
		panic(err)
	}
	change(&m)
	content, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return share.Disclosed{Content: content, Salt: d.Salt}
}

// What the digest doesn't cover doesn't reach the regulator's software.
func TestWhatAHolderSlipsIntoAManifestIsDropped(t *testing.T) {
	c, a := opening(t)
	c.disclose = func(d share.Disclosed) share.Disclosed {
		d = remade(d, func(m *seal.Manifest) {
			m.Signature = []byte("forged")
			m.Records[0].Parts[0].Wrapped = &seal.Wrapped{Ciphertext: []byte("forged")}
		})
		d.Content = append([]byte(`{"note":"forged",`), d.Content[1:]...)
		d.Salt = []byte("forged")
		return d
	}
	d, err := c.order(orderOf(disclosure.Manifest, a.ID))
	if err != nil || d.Conclusion.Outcome != disclosure.Disclosed {
		t.Fatalf("%+v, %v", d, err)
	}
	for _, forged := range []string{"forged", "Zm9yZ2Vk"} { // plain and in base64
		if bytes.Contains(d.Disclosed.Content, []byte(forged)) || string(d.Disclosed.Salt) == forged {
			t.Errorf("what was slipped in came through: %s", d.Disclosed.Content)
		}
	}
}

func TestAHolderThatLostItRefusesOnTheRecord(t *testing.T) {
	for what, test := range map[disclosure.What]struct{ holder, bucket string }{
		disclosure.Manifest: {hospitalA, share.BucketReleases},
		disclosure.Claim:    {insurer, share.BucketClaims},
		disclosure.Form:     {hospitalA, share.BucketConsents},
	} {
		t.Run(string(what), func(t *testing.T) {
			c, a := opening(t)
			wipe(t, test.holder, test.bucket)
			o := orderOf(what, a.ID)
			if what == disclosure.Form {
				o.Subject, o.Version = a.Decision.Rule.Consent, 1
			}
			d, err := c.order(o)
			if err != nil || d.Conclusion == nil || d.Conclusion.Outcome != disclosure.Withheld || d.Disclosed.Content != nil {
				t.Fatalf("%+v, %v", d, err)
			}
			on := c.ordered(o.ID, test.holder)
			if on.Answer == nil || on.Answer.Word != disclosure.Refused || on.Answer.Reason != disclosure.NotKept {
				t.Errorf("the ledger has %+v", on.Answer)
			}
		})
	}
}

func wipe(t *testing.T, msp, bucket string) {
	t.Helper()
	all, err := stores[msp].List(bucket)
	if err != nil || len(all) == 0 {
		t.Fatalf("%s holds nothing: %v", bucket, err)
	}
	err = stores[msp].Update(func(tx *keys.Tx) error {
		for name := range all {
			if err := tx.Delete(bucket, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAHolderThatReviewsOrdersAnswersThemItself(t *testing.T) {
	for name, test := range map[string]struct {
		word    disclosure.Word
		reason  string
		outcome disclosure.Outcome
	}{
		"it complies": {disclosure.Given, "", disclosure.Disclosed},
		"it refuses":  {disclosure.Refused, "under-seal", disclosure.Withheld},
	} {
		t.Run(name, func(t *testing.T) {
			c, a := opening(t)
			c.gateways[insurer].Review = true
			o := orderOf(disclosure.Claim, a.ID)
			_, err := c.order(o)
			wantRefusal(t, err, disclosure.UnderReview)
			if on := c.ordered(o.ID, insurer); on.Answer != nil || on.Conclusion != nil {
				t.Fatalf("before the review: %+v", on)
			}
			if _, _, err := c.gateways[insurer].AnswerDisclosure(t.Context(), "Regulator", o.ID, test.word, test.reason); err != nil {
				t.Fatal(err)
			}
			d, err := c.order(o)
			if err != nil || d.Conclusion == nil || d.Conclusion.Outcome != test.outcome {
				t.Fatalf("%+v, %v", d, err)
			}
			if (string(d.Disclosed.Content) == "claim 77") != (test.outcome == disclosure.Disclosed) {
				t.Errorf("disclosed %q", d.Disclosed.Content)
			}
		})
	}
}

func TestAHolderPromisesNothingThatItDoesNotKeep(t *testing.T) {
	c, a := opening(t)
	c.gateways[insurer].Review = true
	o := orderOf(disclosure.Claim, a.ID)
	_, err := c.order(o)
	wantRefusal(t, err, disclosure.UnderReview)
	wipe(t, insurer, share.BucketClaims)
	_, _, err = c.gateways[insurer].AnswerDisclosure(t.Context(), "Regulator", o.ID, disclosure.Given, "")
	wantRefusal(t, err, refusal.NotFound)
}

func TestASilentHolderIsOverdueAndThenHeldToHaveRefused(t *testing.T) {
	c, a := opening(t)
	c.cut = map[string]bool{hospitalA: true}
	o := orderOf(disclosure.Manifest, a.ID)
	if _, err := c.order(o); !errors.Is(err, share.ErrUnavailable) || !strings.Contains(err.Error(), o.ID) {
		t.Fatalf("got %v", err)
	}
	overdue := func() bool {
		page, err := c.gateways[regulator].Disclosures(t.Context(), "HospitalA", "", 0)
		if err != nil || len(page.Disclosures) != 1 {
			t.Fatalf("listed %+v, %v", page, err)
		}
		return page.Disclosures[0].Overdue(c.gateways[regulator].Time())
	}
	c.ledger.Advance((disclosure.Term - 60) * time.Second)
	if _, err := c.order(o); !errors.Is(err, share.ErrUnavailable) || overdue() {
		t.Fatalf("before the term is over: %v", err)
	}
	c.ledger.Advance(2 * time.Minute)
	if !overdue() {
		t.Error("an order past its term isn't overdue")
	}
	d, err := c.order(o)
	if err != nil || d.Conclusion == nil || d.Conclusion.Outcome != disclosure.Withheld {
		t.Fatalf("%+v, %v", d, err)
	}
	if overdue() {
		t.Error("a concluded order is overdue")
	}
}

func TestNothingIsDisclosedTo(t *testing.T) {
	const newcomer = "ProvinceMSP"
	c, a := opening(t)
	c.cut = map[string]bool{hospitalA: true} // the orders stand, nothing is fetched
	o := orderOf(disclosure.Manifest, a.ID)
	if _, err := c.order(o); !errors.Is(err, share.ErrUnavailable) {
		t.Fatal(err)
	}
	second := c.gateways[regulator].Candidate()
	second.MSP, second.Name = newcomer, "Province"
	for _, msp := range []string{hospitalA, hospitalB, insurer} {
		var out contract.Moved
		if _, err := c.chains[msp].Submit(t.Context(), contract.RegistryMove, registry.Motion{Admit: &second}, &out); err != nil {
			t.Fatal(err)
		}
	}
	c.ledger.Advance(10 * time.Second) // what the gateways remember of the registry is old
	for name, test := range map[string]struct {
		by, order string
		want      refusal.Code
	}{
		"a member that is no regulator":            {insurer, o.ID, refusal.KindNotAllowed},
		"a regulator without an order":             {regulator, share.NewID(), refusal.NotFound},
		"a regulator by another regulator's order": {newcomer, o.ID, refusal.NotFound},
		"a stranger": {"NobodyMSP", o.ID, refusal.NotFound},
		"a regulator by something that is no order": {regulator, "x", refusal.Malformed},
		"a regulator by the id of what it is after": {regulator, a.ID, refusal.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := c.gateways[hospitalA].Disclose(t.Context(), test.by, test.order, 0)
			wantRefusal(t, err, test.want)
			if d.Content != nil {
				t.Error("content came along")
			}
		})
	}
	t.Run("a regulator by an order to another member", func(t *testing.T) {
		_, err := c.gateways[insurer].Disclose(t.Context(), regulator, o.ID, 0)
		wantRefusal(t, err, refusal.NotFound)
	})
	if on := c.ordered(o.ID, hospitalA); on.Answer != nil {
		t.Errorf("one of them moved the holder to answer: %+v", on)
	}
	t.Run("a regulator that is suspended", func(t *testing.T) {
		for _, msp := range []string{hospitalA, hospitalB, insurer} {
			if _, _, err := c.gateways[msp].Suspend(t.Context(), "Regulator", "test"); err != nil {
				t.Fatal(err)
			}
		}
		c.ledger.Advance(10 * time.Second)
		_, err := c.gateways[hospitalA].Disclose(t.Context(), regulator, o.ID, 0)
		wantRefusal(t, err, refusal.MemberSuspended)
	})
	t.Run("a regulator, while the ledger's minutes have long not been closed", func(t *testing.T) {
		c.ledger.Advance(10 * time.Minute)
		_, err := c.gateways[hospitalA].Disclose(t.Context(), regulator, o.ID, 0)
		wantRefusal(t, err, refusal.StaleClock)
	})
}

func TestOnlyARegulatorOrders(t *testing.T) {
	c, a := opening(t)
	for _, by := range []string{insurer, hospitalA, hospitalB} {
		_, err := c.gateways[by].OrderDisclosure(t.Context(), orderOf(disclosure.Manifest, a.ID))
		wantRefusal(t, err, refusal.KindNotAllowed)
	}
	for name, o := range map[string]share.DisclosureOrder{
		"a permit that isn't there":  orderOf(disclosure.Manifest, share.NewID()),
		"a consent that isn't there": orderOf(disclosure.Form, share.NewID()),
	} {
		if _, err := c.order(o); !errors.Is(err, refusal.New(refusal.NotFound, "", "")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNothingIsDisclosedBeforeTheLedgerHasTheAnswer(t *testing.T) {
	for _, done := range []bool{false, true} {
		c, a := opening(t)
		lost := errors.New("the answer is lost")
		c.chains[insurer].fail = func(function string, d bool) error {
			if function == contract.DisclosureAnswer && d == done {
				return lost
			}
			return nil
		}
		o := orderOf(disclosure.Claim, a.ID)
		if d, err := c.order(o); !errors.Is(err, lost) || d.Disclosed.Content != nil {
			t.Fatalf("%+v, %v", d, err)
		}
		c.chains[insurer].fail = nil
		if d, err := c.order(o); err != nil || string(d.Disclosed.Content) != "claim 77" {
			t.Fatalf("once the ledger is back: %+v, %v", d, err)
		}
	}
}

func TestWhatComesWithoutAnAnswerOnTheLedgerIsNotLookedAt(t *testing.T) {
	c, a := opening(t)
	truth, err := c.order(orderOf(disclosure.Claim, a.ID))
	if err != nil {
		t.Fatal(err)
	}
	c.forged = &truth.Disclosed
	o := orderOf(disclosure.Claim, a.ID)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if d, err := c.gateways[regulator].OrderDisclosure(ctx, o); err == nil || d.Disclosed.Content != nil {
		t.Fatalf("taken: %+v", d)
	}
	if on := c.ordered(o.ID, insurer); on.Conclusion != nil {
		t.Errorf("concluded %+v", on.Conclusion)
	}
}

func TestAConclusionThatDidNotGetThroughIsRepeated(t *testing.T) {
	for _, done := range []bool{false, true} {
		c, a := opening(t)
		c.chains[regulator].fail = func(function string, d bool) error {
			if function == contract.DisclosureConclude && d == done {
				return ledger.ErrUnavailable
			}
			return nil
		}
		o := orderOf(disclosure.Claim, a.ID)
		if _, err := c.order(o); !errors.Is(err, ledger.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		c.chains[regulator].fail = nil
		if d, err := c.order(o); err != nil || string(d.Disclosed.Content) != "claim 77" {
			t.Fatalf("again: %+v, %v", d, err)
		}
	}
}

// A form and a claim that the ledger refuses don't take the place of those that it took.
func TestWhatTheLedgerRefusedIsNotWhatIsDisclosed(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	d := share.Directive{ID: share.NewID(), Patient: chen, Requester: "Insurer", Provision: toPayers(), Form: []byte("first")}
	if _, _, _, err := c.gateways[hospitalA].Grant(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	d.Form = []byte("second")
	_, _, _, err := c.gateways[hospitalA].Grant(t.Context(), d)
	wantRefusal(t, err, refusal.Exists)
	if _, _, _, err := c.gateways[hospitalA].Withdraw(t.Context(), chen, "Insurer", d.ID, "patient-request"); err != nil {
		t.Fatal(err)
	}
	for _, version := range []int{1, 2} { // the second is the withdrawal, which rests on the same form
		o := orderOf(disclosure.Form, d.ID)
		o.Version = version
		if got, err := c.order(o); err != nil || string(got.Disclosed.Content) != "first" {
			t.Errorf("version %d: %+v, %v", version, got, err)
		}
	}

	claim := share.Claim{
		ID: share.NewID(), Custodian: "HospitalA", Patient: chen, Purpose: consent.CLMATTCH, Action: consent.Access,
		Classes: record.ClassesOf(record.Laboratory), Reference: "first",
	}
	if _, _, err := c.gateways[insurer].Request(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	claim.Reference = "second"
	_, _, err = c.gateways[insurer].Request(t.Context(), claim)
	wantRefusal(t, err, refusal.Exists)
	if got, err := c.order(orderOf(disclosure.Claim, claim.ID)); err != nil || string(got.Disclosed.Content) != "first" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAClaimReferenceHasABound(t *testing.T) {
	c := newConsortium(t)
	claim := share.Claim{
		Custodian: "HospitalA", Patient: chen, Purpose: consent.CLMATTCH, Action: consent.Access,
		Classes: record.ClassesOf(record.Laboratory), Reference: strings.Repeat("x", 1<<10),
	}
	if _, _, err := c.gateways[insurer].Request(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	claim.Reference += "x"
	_, _, err := c.gateways[insurer].Request(t.Context(), claim)
	wantRefusal(t, err, refusal.Malformed)
}

func TestAHolderAnswersWhatARegulatorOrdersAndNeverFetches(t *testing.T) {
	c, a := opening(t)
	c.cut = map[string]bool{hospitalA: true, insurer: true}
	manifest, claim := orderOf(disclosure.Manifest, a.ID), orderOf(disclosure.Claim, a.ID)
	for _, o := range []share.DisclosureOrder{manifest, claim} {
		if _, err := c.order(o); !errors.Is(err, share.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	wipe(t, insurer, share.BucketClaims)
	for _, holder := range []string{hospitalA, insurer, hospitalA} { // once more changes nothing
		if err := c.gateways[holder].AnswerOrders(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if on := c.ordered(manifest.ID, hospitalA); on.Answer == nil || on.Answer.Word != disclosure.Given {
		t.Errorf("the manifest: %+v", on)
	}
	if on := c.ordered(claim.ID, insurer); on.Answer == nil || on.Answer.Word != disclosure.Refused || on.Answer.Reason != disclosure.NotKept {
		t.Errorf("the claim: %+v", on)
	}
	c.cut = nil
	if d, err := c.order(manifest); err != nil || d.Conclusion.Outcome != disclosure.Disclosed {
		t.Errorf("fetched later: %+v, %v", d, err)
	}
}
