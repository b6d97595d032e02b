package share_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/share"
)

// wallet signs what a gateway prepared.
type wallet struct{ private ed25519.PrivateKey }

func newWallet(name string) wallet {
	seed := sha256.Sum256([]byte(name))
	return wallet{ed25519.NewKeyFromSeed(seed[:])}
}

func (w wallet) key() directive.Key {
	return directive.Key{Algorithm: directive.Ed25519, Public: w.private.Public().(ed25519.PublicKey)}
}

func (w wallet) sign(document []byte) directive.Signed {
	return directive.Signed{Document: string(document), Key: w.key(), Signature: ed25519.Sign(w.private, document)}
}

// prepare has the hospital prepare what is to be signed.
func (c *consortium) prepare(d share.Draft) share.Prepared {
	c.t.Helper()
	d.Patient, d.Requester = chen, "Insurer"
	p, err := c.gateways[hospitalA].Prepare(c.t.Context(), d)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *consortium) direct(s directive.Signed) consent.Consent {
	c.t.Helper()
	out, _, commit, err := c.gateways[hospitalA].Direct(c.t.Context(), s)
	if err != nil {
		c.t.Fatal(err)
	}
	if out.Consent == nil || commit.TxID == "" {
		c.t.Fatalf("directed %+v by %+v", out, commit)
	}
	return *out.Consent
}

func grantTo(p consent.Provision) share.Draft {
	return share.Draft{Act: directive.Grant, Provision: &p}
}

func TestAnInsurerOpensWhatThePatientSigned(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	if _, _, err := c.gateways[hospitalA].SetPolicy(t.Context(), func(p *registry.Policy) { p.Assurance = consent.Wallet }); err != nil {
		t.Fatal(err)
	}
	alice := newWallet("alice")
	granted := c.direct(alice.sign(c.prepare(grantTo(toPayers())).Document))
	if granted.Assurance != consent.Wallet {
		t.Errorf("granted %+v", granted)
	}
	a := c.request(record.Laboratory)
	parts := opened{}
	if _, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, parts.sink); err != nil {
		t.Fatal(err)
	}
	if parts[record.Laboratory] == nil {
		t.Error("nothing opened")
	}

	c.ledger.Advance(time.Minute)
	amend := grantTo(consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Condition)})
	amend.Act, amend.Consent = directive.Amend, granted.ID
	if v := c.direct(alice.sign(c.prepare(amend).Document)); v.Version != 2 {
		t.Errorf("amended %+v", v)
	}
	c.tick()
	a = c.request(record.Condition)
	if _, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink); err != nil {
		t.Errorf("opening under the amended consent: %v", err)
	}
	// The hospital keeps no form in the place of what was signed.
	_, _, _, err := c.gateways[hospitalA].Amend(t.Context(), share.Directive{ID: granted.ID, Patient: chen, Requester: "Insurer", Provision: toPayers(), Form: []byte("x")}, 1)
	wantRefusal(t, err, directive.SignatureRequired)
}

func TestAPatientWithdrawsThroughAnotherMembersGateway(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	alice := newWallet("alice")
	p := c.prepare(grantTo(toPayers()))
	granted := c.direct(alice.sign(p.Document))
	a := c.request(record.Laboratory)

	// What the wallet remembers is enough: nobody is asked.
	d := p.Directive
	d.Act, d.Version, d.Period, d.Provision, d.Reason = directive.Withdraw, granted.Version+1, record.Period{}, nil, "patient-request"
	document, err := d.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	out, _, _, err := c.gateways[regulator].Direct(t.Context(), alice.sign(document))
	if err != nil || out.Consent.Status != consent.Withdrawn {
		t.Fatalf("%+v, %v", out, err)
	}
	_, err = c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink)
	wantRefusal(t, err, refusal.ConsentChanged)
	// But all else goes through the custodian, which has to keep it.
	_, _, _, err = c.gateways[insurer].Direct(t.Context(), alice.sign(p.Document))
	wantRefusal(t, err, refusal.NotCustodian)
}

// A lost answer, and the same directive once more, is one consent.
func TestALostAnswerToADirectiveIsCompletedByTheSame(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	alice := newWallet("alice")
	signed := alice.sign(c.prepare(grantTo(toPayers())).Document)
	lost := errors.New("the answer is lost")
	for _, after := range []bool{false, true} {
		failed := false
		c.chains[hospitalA].fail = func(function string, done bool) error {
			if function == contract.ConsentDirect && done == after && !failed {
				failed = true
				return lost
			}
			return nil
		}
		if _, _, _, err := c.gateways[hospitalA].Direct(t.Context(), signed); !errors.Is(err, lost) {
			t.Fatalf("got %v", err)
		}
	}
	if v := c.direct(signed); v.Version != 1 {
		t.Errorf("%+v", v)
	}
	a := c.request(record.Laboratory)
	if _, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink); err != nil {
		t.Error(err)
	}
}

// submitAs goes to the ledger past the hospital's own gateway, as a majority with a chaincode of
// their own could go past its peer for a relationship that the ledger doesn't know yet.
func (c *consortium) submitAs(msp, function string, arg any) {
	c.t.Helper()
	text, err := json.Marshal(arg)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.ledger.Invoke(c.t.Context(), c.ledger.Client(msp), function, string(text)); err != nil {
		c.t.Fatal(err)
	}
}

func TestAPlantedKeyOpensNothingAndBindsNobody(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	alice, mallory := newWallet("alice"), newWallet("mallory")
	p := c.prepare(grantTo(toPayers()))
	c.submitAs(hospitalA, contract.ConsentDirect, mallory.sign(p.Document))
	a := c.request(record.Laboratory)
	if !a.Permitted() {
		t.Fatal("the control: the ledger permits it")
	}
	_, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink)
	wantRefusal(t, err, refusal.NotPermitted)
	// Even the patient's own gateway doesn't build on it.
	_, _, _, err = c.gateways[hospitalA].Direct(t.Context(), mallory.sign(c.prepare(grantTo(toPayers())).Document))
	wantRefusal(t, err, directive.NotSigner)
	_, _, _, err = c.gateways[hospitalA].Direct(t.Context(), alice.sign(c.prepare(grantTo(toPayers())).Document))
	wantRefusal(t, err, directive.NotSigner)
}

// The id is one that the hospital knows of, and what stands under it isn't what was signed.
func TestAConsentOtherThanSignedOpensNothing(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	alice, mallory := newWallet("alice"), newWallet("mallory")
	narrow := grantTo(consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Claim)})
	p := c.prepare(narrow)
	// It gets as far as the hospital's key store, and then a majority is faster.
	c.chains[hospitalA].fail = func(function string, _ bool) error {
		if function == contract.ConsentDirect {
			return errors.New("cut off")
		}
		return nil
	}
	if _, _, _, err := c.gateways[hospitalA].Direct(t.Context(), alice.sign(p.Document)); err == nil {
		t.Fatal("it got through")
	}
	wide := p.Directive
	wide.Provision = &consent.Provision{Type: consent.Permit}
	document, err := wide.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	c.submitAs(hospitalA, contract.ConsentDirect, mallory.sign(document))
	c.chains[hospitalA].fail = nil
	a := c.request(record.Laboratory)
	if !a.Permitted() {
		t.Fatal("the control: the ledger permits it")
	}
	_, err = c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink)
	wantRefusal(t, err, refusal.NotPermitted)
}

func TestOneKeyInTwoRelationshipsIsRefused(t *testing.T) {
	c := newConsortium(t)
	alice := newWallet("alice")
	c.direct(alice.sign(c.prepare(grantTo(toPayers())).Document))
	d := grantTo(toPayers())
	d.Patient, d.Requester = chen, "HospitalB"
	p, err := c.gateways[hospitalA].Prepare(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, err = c.gateways[hospitalA].Direct(t.Context(), alice.sign(p.Document))
	wantRefusal(t, err, directive.NotSigner)
	other := newWallet("alice, for hospital B")
	if _, _, _, err = c.gateways[hospitalA].Direct(t.Context(), other.sign(p.Document)); err != nil {
		t.Error(err)
	}
}

func TestALostWalletIsReplacedAtTheDesk(t *testing.T) {
	c := newConsortium(t)
	alice, next := newWallet("alice"), newWallet("alice's new wallet")
	granted := c.direct(alice.sign(c.prepare(grantTo(toPayers())).Document))
	_, _, err := c.gateways[hospitalA].Recover(t.Context(), chen, "Insurer", next.key(), nil)
	wantRefusal(t, err, refusal.Malformed)
	signer, _, err := c.gateways[hospitalA].Recover(t.Context(), chen, "Insurer", next.key(), []byte("I lost my phone"))
	if err != nil || !signer.Recovered {
		t.Fatalf("%+v, %v", signer, err)
	}
	if v := c.direct(next.sign(c.prepare(grantTo(toPayers())).Document)); v.Assurance != consent.Attested {
		t.Errorf("granted by a recovered key: %+v", v)
	}
	withdraw := c.prepare(share.Draft{Act: directive.Withdraw, Consent: granted.ID, Reason: "patient-request"})
	if v := c.direct(next.sign(withdraw.Document)); v.Status != consent.Withdrawn {
		t.Errorf("withdrawn by a recovered key: %+v", v)
	}
	key := alice.key()
	back := c.prepare(share.Draft{Act: directive.Rebind, Key: &key})
	if out, _, _, err := c.gateways[hospitalA].Direct(t.Context(), alice.sign(back.Document)); err != nil || out.Signer.Recovered {
		t.Errorf("rebound %+v, %v", out, err)
	}
	if v := c.direct(alice.sign(c.prepare(grantTo(toPayers())).Document)); v.Assurance != consent.Wallet {
		t.Errorf("granted by the patient's own key again: %+v", v)
	}
}

func TestADocumentIsPreparedOnlyByAPartyToTheRelationship(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	alice := newWallet("alice")
	granted := c.direct(alice.sign(c.prepare(grantTo(toPayers())).Document))
	d := share.Draft{Act: directive.Withdraw, Patient: chen, Custodian: "HospitalA", Requester: "Insurer", Consent: granted.ID, Reason: "patient-request"}
	if _, err := c.gateways[hospitalB].Prepare(t.Context(), d); err == nil {
		t.Error("hospital B knows the handle")
	}
	p, err := c.gateways[insurer].Prepare(t.Context(), d)
	if err != nil || p.Directive.Version != 2 || p.Directive.Channel != ledgertest.Channel || len(p.Consents) != 1 || p.Signer == nil {
		t.Errorf("prepared by the insurer: %+v, %v", p, err)
	}
	if p, err := c.gateways[insurer].Prepare(t.Context(), share.Draft{Patient: chen, Custodian: "HospitalA"}); err != nil || p.Document != nil || len(p.Consents) != 1 {
		t.Errorf("how things stand: %+v, %v", p, err)
	}
}
