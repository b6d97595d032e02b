package share_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
	"yitong/gateway/share"
)

func (c *consortium) submit(content []byte) share.Record {
	c.t.Helper()
	r, commit, err := c.gateways[hospitalA].Submit(c.t.Context(), share.Submission{Patient: chen, MediaType: share.FHIR}, bytes.NewReader(content))
	if err != nil {
		c.t.Fatal(err)
	}
	if commit.TxID == "" {
		c.t.Fatal("the record was not anchored")
	}
	return r
}

func (c *consortium) grant(p consent.Provision) consent.Consent {
	c.t.Helper()
	granted, _, _, err := c.gateways[hospitalA].Grant(c.t.Context(), share.Directive{
		Patient: chen, Requester: "Insurer", Provision: p, Form: []byte("signed by the patient"),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return granted
}

func (c *consortium) request(classes ...record.Class) access.Access {
	c.t.Helper()
	a, _, err := c.gateways[insurer].Request(c.t.Context(), share.Claim{
		Custodian: "HospitalA", Patient: chen, Purpose: consent.CLMATTCH, Action: consent.Access,
		Classes: record.ClassesOf(classes...), Reference: "claim 77",
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// toPayers permits laboratory results and conditions for payment, but nothing psychiatric.
func toPayers() consent.Provision {
	return consent.Provision{
		Type: consent.Permit, Purposes: consent.PurposesOf(consent.HPAYMT),
		Classes:    record.ClassesOf(record.Laboratory, record.Condition),
		Provisions: []consent.Provision{{Type: consent.Deny, Labels: record.LabelsOf(record.PSY)}},
	}
}

func wantRefusal(t *testing.T, err error, code refusal.Code) {
	t.Helper()
	var r *refusal.Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Fatalf("got %v, want a refusal with code %s", err, code)
	}
}

func TestAnInsurerOpensExactlyWhatTheConsentCovers(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	c.grant(toPayers())
	a := c.request(record.Laboratory, record.Condition, record.Imaging)
	if !a.Permitted() {
		t.Fatalf("the decision is %v", a.Decision)
	}
	if got := a.Decision.Scope.Classes; got != record.ClassesOf(record.Laboratory, record.Condition) {
		t.Errorf("granted %v", got.Codes())
	}

	parts := opened{}
	sum, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, parts.sink)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Parts != 2 || sum.Receipt.TxID == "" {
		t.Errorf("opened %+v", sum)
	}
	if lab := parts[record.Laboratory].String(); !strings.Contains(lab, `"id":"o1"`) {
		t.Errorf("the laboratory part holds %s", lab)
	}
	if conditions := parts[record.Condition].String(); !strings.Contains(conditions, `"id":"c1"`) || strings.Contains(conditions, `"id":"c2"`) {
		t.Errorf("the condition part holds %s", conditions)
	}

	entry, err := c.gateways[regulator].Access(t.Context(), hospitalA, insurer, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if entry.Release == nil || entry.Receipt == nil || entry.Receipt.Outcome != access.Opened || entry.Release.Manifest != sum.Manifest {
		t.Errorf("the ledger holds release %+v and receipt %+v", entry.Release, entry.Receipt)
	}
}

func TestNothingIsReleasedWhere(t *testing.T) {
	cases := map[string]struct {
		prepare func(c *consortium, a access.Access)
		by      string
		want    refusal.Code
	}{
		"the decision was deny": {
			prepare: func(c *consortium, a access.Access) {}, want: refusal.NotPermitted,
		},
		"the consent was withdrawn": {
			prepare: func(c *consortium, a access.Access) { c.withdraw() }, want: refusal.ConsentChanged,
		},
		"the permit expired": {
			prepare: func(c *consortium, a access.Access) { c.ledger.Advance(25 * time.Hour); c.tick() }, want: refusal.Expired,
		},
		"the requester was suspended": {
			prepare: func(c *consortium, a access.Access) { c.suspend(insurer) }, want: refusal.MemberSuspended,
		},
		"the ledger's minutes have long not been closed": {
			prepare: func(c *consortium, a access.Access) { c.ledger.Advance(10 * time.Minute) }, want: refusal.StaleClock,
		},
		"another member asks for it": {
			prepare: func(c *consortium, a access.Access) {}, by: hospitalB, want: refusal.NotFound,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t)
			c.tick()
			c.submit(bundle(6))
			if tc.want != refusal.NotPermitted {
				c.grant(toPayers())
			}
			a := c.request(record.Laboratory)
			tc.prepare(c, a)
			by := insurer
			if tc.by != "" {
				by = tc.by
			}
			_, err := c.gateways[hospitalA].Release(t.Context(), by, a.ID, 0, nil)
			wantRefusal(t, err, tc.want)
		})
	}
}

func TestNothingIsReleasedWhileTheLedgerCannotBeWritten(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	c.grant(toPayers())
	a := c.request(record.Laboratory)
	c.chains[hospitalA].fail = func(function string, done bool) error { return ledger.ErrUnavailable }
	if _, err := c.gateways[hospitalA].Release(t.Context(), insurer, a.ID, 0, nil); !errors.Is(err, ledger.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	c.chains[hospitalA].fail = nil
	if _, err := c.gateways[hospitalA].Release(t.Context(), insurer, a.ID, 0, nil); err != nil {
		t.Fatalf("once the ledger is back: %v", err)
	}
}

func TestARepeatedReleaseIsTheSameOne(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	c.grant(toPayers())
	a := c.request(record.Laboratory)
	first, err := c.gateways[hospitalA].Release(t.Context(), insurer, a.ID, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.submit(bundle(7)) // a later record doesn't slip into a permit that is used
	again, err := c.gateways[hospitalA].Release(t.Context(), insurer, a.ID, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.Manifest.Digest() != again.Manifest.Digest() {
		t.Error("the second release names another manifest")
	}
	if again.Commit.TxID != "" {
		t.Error("the release was committed twice")
	}
	c.withdraw()
	_, err = c.gateways[hospitalA].Release(t.Context(), insurer, a.ID, 0, nil)
	wantRefusal(t, err, refusal.ConsentChanged)
}

func TestALostAnswerIsCompletedOnceByTheSameCall(t *testing.T) {
	lost := errors.New("the answer is lost")
	for _, done := range []bool{false, true} {
		when := map[bool]string{false: "before the ledger had it", true: "after the ledger had it"}[done]
		t.Run("submit fails "+when, func(t *testing.T) {
			c := newConsortium(t)
			id := share.NewID()
			send := func() (share.Record, error) {
				r, _, err := c.gateways[hospitalA].Submit(t.Context(), share.Submission{ID: id, Patient: chen, MediaType: share.FHIR}, bytes.NewReader(bundle(6)))
				return r, err
			}
			c.chains[hospitalA].fail = func(_ string, d bool) error {
				if d == done {
					return lost
				}
				return nil
			}
			if _, err := send(); !errors.Is(err, lost) {
				t.Fatalf("got %v", err)
			}
			c.chains[hospitalA].fail = nil
			r, err := send()
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != record.Anchored {
				t.Errorf("the record is %q", r.Status)
			}
			page, _, err := c.gateways[hospitalA].Records(nil, "", 0)
			if err != nil || len(page) != 1 {
				t.Errorf("there are %d records (%v), want 1", len(page), err)
			}
		})
		t.Run("release fails "+when, func(t *testing.T) {
			c := newConsortium(t)
			c.tick()
			c.submit(bundle(6))
			c.grant(toPayers())
			a := c.request(record.Laboratory)
			c.chains[hospitalA].fail = func(_ string, d bool) error {
				if d == done {
					return lost
				}
				return nil
			}
			if _, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink); !errors.Is(err, lost) {
				t.Fatalf("got %v", err)
			}
			c.chains[hospitalA].fail = nil
			if _, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAReceiptThatDidNotGetThroughIsSentAtTheNextStart(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	c.grant(toPayers())
	a := c.request(record.Laboratory)
	c.chains[insurer].fail = func(string, bool) error { return ledger.ErrUnavailable }
	if _, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink); !errors.Is(err, ledger.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	c.chains[insurer].fail = nil
	if s, err := c.gateways[insurer].Standing(t.Context()); err != nil || s.Pending != 1 {
		t.Fatalf("pending %d, %v", s.Pending, err)
	}
	if err := c.gateways[insurer].Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	entry, err := c.gateways[insurer].Access(t.Context(), hospitalA, insurer, a.ID)
	if err != nil || entry.Receipt == nil {
		t.Fatalf("receipt %v, %v", entry.Receipt, err)
	}
	if s, _ := c.gateways[insurer].Standing(t.Context()); s.Pending != 0 {
		t.Errorf("%d still pending", s.Pending)
	}
}

func TestWhatIsNotWhatWasAnchoredIsNamedAndReceiptedAsFailed(t *testing.T) {
	flip := func(at int) func(share.Delivery) share.Delivery {
		return func(d share.Delivery) share.Delivery {
			part := d.(*delivery).parts[0]
			part[(at+len(part))%len(part)] ^= 1
			return d
		}
	}
	cases := map[string]func(share.Delivery) share.Delivery{
		"a bit of a sealed part's header flipped": flip(0),
		"a bit of a sealed part's tag flipped":    flip(-1),
		"a sealed part cut short": func(d share.Delivery) share.Delivery {
			parts := d.(*delivery).parts
			parts[0] = parts[0][:len(parts[0])-1]
			return d
		},
		"a part's class changed in the manifest": func(d share.Delivery) share.Delivery {
			d.(*delivery).manifest.Records[0].Parts[0].Part.Class = record.Imaging
			return d
		},
		"the manifest of another permit": func(d share.Delivery) share.Delivery {
			d.(*delivery).manifest.Permit = share.NewID()
			return d
		},
		"a wrapped key changed": func(d share.Delivery) share.Delivery {
			d.(*delivery).manifest.Records[0].Parts[0].Wrapped.Ciphertext[0] ^= 1
			return d
		},
	}
	for name, tamper := range cases {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t)
			c.tick()
			c.submit(bundle(6))
			c.grant(toPayers())
			a := c.request(record.Laboratory)
			c.deliver = tamper
			if _, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink); err == nil {
				t.Fatal("it was opened")
			}
			entry, err := c.gateways[insurer].Access(t.Context(), hospitalA, insurer, a.ID)
			if err != nil {
				t.Fatal(err)
			}
			if entry.Receipt == nil || entry.Receipt.Outcome != access.Failed {
				t.Errorf("the receipt is %+v, want failed", entry.Receipt)
			}
		})
	}
}

func TestOneIdHoldsOneRecord(t *testing.T) {
	c := newConsortium(t)
	r := c.submit(bundle(6))
	same := share.Submission{ID: r.ID, Patient: chen, MediaType: share.FHIR}
	if _, _, err := c.gateways[hospitalA].Submit(t.Context(), same, bytes.NewReader(bundle(6))); err != nil {
		t.Errorf("the same content again: %v", err)
	}
	_, _, err := c.gateways[hospitalA].Submit(t.Context(), same, bytes.NewReader(bundle(7)))
	wantRefusal(t, err, refusal.Exists)
}

func TestARetractedOrSupersededRecordIsNotReleased(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	old := c.submit(bundle(6))
	gone := c.submit(bundle(7))
	c.grant(toPayers())
	next, _, err := c.gateways[hospitalA].Submit(t.Context(), share.Submission{Patient: chen, MediaType: share.FHIR, Supersedes: old.ID}, bytes.NewReader(bundle(8)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.gateways[hospitalA].Retract(t.Context(), gone.ID, record.EnteredInError); err != nil {
		t.Fatal(err)
	}
	a := c.request(record.Laboratory)
	parcel, err := c.gateways[hospitalA].Release(t.Context(), insurer, a.ID, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := parcel.Manifest; len(m.Records) != 1 || m.Records[0].Anchor != next.ID {
		t.Errorf("released %+v", m.Records)
	}
}

func (c *consortium) withdraw() {
	c.t.Helper()
	list, _, err := c.gateways[hospitalA].Consents(c.t.Context(), chen, "Insurer")
	if err != nil || len(list) != 1 {
		c.t.Fatalf("%d consents, %v", len(list), err)
	}
	if _, _, _, err := c.gateways[hospitalA].Withdraw(c.t.Context(), chen, "Insurer", list[0].ID, "patient-request"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *consortium) suspend(msp string) {
	c.t.Helper()
	for _, by := range []string{hospitalA, hospitalB, insurer, regulator} {
		if by == msp {
			continue
		}
		if _, _, err := c.gateways[by].Suspend(c.t.Context(), msp, "inquiry"); err != nil {
			c.t.Fatal(err)
		}
	}
}

// tick lets whose turn it is close what is ripe, and every gateway see it.
func (c *consortium) tick() {
	c.t.Helper()
	for range 2 {
		for msp, g := range c.gateways {
			if err := g.Tick(c.t.Context()); err != nil {
				c.t.Fatalf("%s: %v", msp, err)
			}
		}
	}
}

func TestOneMemberClosesAMinuteAndAnotherStepsInWhenItDoesNot(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	height := c.ledger.Height()
	c.tick()
	if c.ledger.Height() != height {
		t.Fatal("minutes were closed that were closed already")
	}
	c.ledger.Advance(4 * time.Minute)
	c.tick()
	if c.ledger.Height() != height+1 {
		t.Fatalf("%d transactions closed the minutes, want 1", c.ledger.Height()-height)
	}
	c.ledger.Advance(4 * time.Minute)
	height = c.ledger.Height()
	for range 4 { // whoever's turn it is, one gateway is enough in the end
		if err := c.gateways[insurer].Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.ledger.Advance(15 * time.Second)
	}
	if c.ledger.Height() == height {
		t.Error("nobody stepped in")
	}
}

func TestARefusedRecordLeavesNothingBehind(t *testing.T) {
	c := newConsortium(t)
	gone := share.NewID()
	_, _, err := c.gateways[hospitalA].Submit(t.Context(), share.Submission{Patient: chen, MediaType: share.FHIR, Supersedes: gone}, bytes.NewReader(bundle(6)))
	wantRefusal(t, err, refusal.NotFound)
	page, _, err := c.gateways[hospitalA].Records(nil, "", 0)
	if err != nil || len(page) != 0 {
		t.Errorf("%d records are left (%v)", len(page), err)
	}
	if s, err := c.gateways[hospitalA].Standing(t.Context()); err != nil || s.Pending != 0 {
		t.Errorf("%d pending (%v)", s.Pending, err)
	}
	_, _, err = c.gateways[insurer].Submit(t.Context(), share.Submission{Patient: chen, MediaType: share.FHIR}, bytes.NewReader(bundle(6)))
	wantRefusal(t, err, refusal.KindNotAllowed)
}

func TestAPartThatThePermitDoesNotCoverIsNotTaken(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	r := c.submit(bundle(6))
	c.grant(toPayers())
	a := c.request(record.Laboratory)

	// A custodian that sends all it has: released on the ledger, wrapped and signed by the
	// book, only that the permit covers one part of four.
	m := seal.NewManifest(a.ID, a.Custodian, a.Requester, a.Expires)
	var parts []record.Part
	var all []int
	for _, p := range r.Parts {
		parts, all = append(parts, p.Part), append(all, p.Index)
	}
	m.Add(r.ID, parts, all)
	var out contract.Released
	order := contract.ReleaseOrder{Permit: a.ID, Requester: a.Requester, Handle: a.Handle, Manifest: m.Digest().String()}
	if _, err := c.chains[hospitalA].Submit(t.Context(), contract.AccessRelease, contract.Releasing{Releases: []contract.ReleaseOrder{order}}, &out); err != nil {
		t.Fatal(err)
	}
	to, err := seal.ParsePublicKey(c.gateways[insurer].Candidate().Keys.HPKE.Public)
	if err != nil {
		t.Fatal(err)
	}
	err = m.Wrap(to, func(anchor string, part int) (seal.Key, error) {
		raw, err := stores[hospitalA].Get(share.BucketPartKeys, fmt.Sprintf("%s/%d", anchor, part))
		return seal.Key(raw), err
	})
	if err != nil {
		t.Fatal(err)
	}
	seed, err := stores[hospitalA].Get(share.BucketSecrets, "signing")
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.ParseSigningKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	m.Sign(key)
	c.lie = &delivery{manifest: m}

	var mismatch *seal.Mismatch
	if _, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink); !errors.As(err, &mismatch) || !strings.Contains(mismatch.What, "cover") {
		t.Fatalf("got %v", err)
	}
}
