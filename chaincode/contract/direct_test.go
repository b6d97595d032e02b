package contract_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/epoch"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// signer is a patient's wallet, or whoever holds a key.
type signer struct{ private ed25519.PrivateKey }

func newPatient(name string) signer {
	seed := sha256.Sum256([]byte(name))
	return signer{ed25519.NewKeyFromSeed(seed[:])}
}

func (s signer) key() directive.Key {
	return directive.Key{Algorithm: directive.Ed25519, Public: s.private.Public().(ed25519.PublicKey)}
}

func (s signer) sign(d directive.Directive) directive.Signed {
	document, err := d.Canonical()
	if err != nil {
		panic(err)
	}
	return directive.Signed{Document: string(document), Key: s.key(), Signature: ed25519.Sign(s.private, document)}
}

// signedGrant permits everything to the insurer, from now on.
func (w *world) signedGrant(handle string) directive.Directive {
	return directive.Directive{
		Type: directive.Type, Channel: ledgertest.Channel, Act: directive.Grant, Custodian: hospitalA, Requester: insurer, Handle: handle,
		Consent: w.id(), Version: 1, Signed: w.clock(), Period: record.Period{Start: w.clock()}, Provision: &consent.Provision{Type: consent.Permit},
	}
}

// amending is the next version of a grant.
func (w *world) amending(d directive.Directive, version int) directive.Directive {
	d.Act, d.Version, d.Signed, d.Period.Start = directive.Amend, version, w.clock(), w.clock()
	return d
}

func (w *world) withdrawing(d directive.Directive, version int) directive.Directive {
	return directive.Directive{Type: d.Type, Channel: d.Channel, Act: directive.Withdraw, Custodian: d.Custodian, Requester: d.Requester,
		Handle: d.Handle, Consent: d.Consent, Version: version, Signed: w.clock(), Reason: "patient"}
}

func (w *world) rebinding(d directive.Directive, version int, to directive.Key) directive.Directive {
	return directive.Directive{Type: d.Type, Channel: d.Channel, Act: directive.Rebind, Custodian: d.Custodian, Requester: d.Requester,
		Handle: d.Handle, Version: version, Signed: w.clock(), Key: &to}
}

func (w *world) directs(s directive.Signed) consent.Consent {
	w.Helper()
	return *into[contract.Directed](w, w.must(hospitalA, contract.ConsentDirect, s).Response).Consent
}

func (w *world) demand(who string, a consent.Assurance) {
	w.Helper()
	w.must(who, contract.RegistryUpdate, registry.Update{Policy: &registry.Policy{Assurance: a}})
}

func (w *world) decided(handle string) consent.Decision {
	w.Helper()
	type answer struct{ Decision consent.Decision }
	return into[answer](w, w.must(insurer, contract.AccessRequest, w.requestFor(insurer, handle)).Response).Decision
}

func TestAPatientsOwnWord(t *testing.T) {
	w := newWorld(t)
	w.demand(hospitalA, consent.Wallet)
	alice := newPatient("alice")
	grant := w.signedGrant(patient)
	first := w.must(hospitalA, contract.ConsentDirect, alice.sign(grant))
	c := *into[contract.Directed](t, first.Response).Consent
	if c.Assurance != consent.Wallet || c.Signer != alice.key().ID() || c.Version != 1 || c.At != w.clock() {
		t.Errorf("granted %+v", c)
	}
	w.permit(patient)

	w.Advance(minute)
	amend := w.amending(grant, 2)
	amend.Provision = &consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Claim)}
	w.directs(alice.sign(amend))
	if d := w.decided(patient); d.Outcome != consent.Deny {
		t.Errorf("amended away, and still %+v", d)
	}
	w.Advance(minute)
	withdraw := w.withdrawing(grant, 3)
	w.directs(alice.sign(withdraw))

	// All of it again is answered as then, and writes nothing.
	for _, d := range []directive.Directive{grant, amend, withdraw} {
		if tx := w.must(hospitalA, contract.ConsentDirect, alice.sign(d)); len(tx.RWSet.Writes) != 0 {
			t.Errorf("%s again writes %q", d.Act, tx.Writes())
		}
	}
	page := ask[contract.ConsentPage](w, insurer, contract.ConsentHistory, contract.HistoryQuery{Custodian: hospitalA, Requester: insurer, Handle: patient, ID: grant.Consent})
	for i, v := range page.Versions {
		if v.Signed == nil || v.Signed.Verify(nil) != nil {
			t.Errorf("version %d isn't kept with a signature that anybody may verify: %+v", i+1, v)
		}
	}
}

// What a hospital alone can try. The control of each is TestAPatientsOwnWord: the same act, signed.
func TestAHospitalCantForgeAlterReplayOrBackDate(t *testing.T) {
	alice, mallory := newPatient("alice"), newPatient("mallory")
	for _, test := range []struct {
		name string
		want refusal.Code
		try  func(w *world, granted directive.Directive, signed directive.Signed) directive.Signed
	}{
		{"forged: a grant by a key of the hospital's", directive.NotSigner, func(w *world, _ directive.Directive, _ directive.Signed) directive.Signed {
			return mallory.sign(w.signedGrant(patient))
		}},
		{"forged: an amendment by a key of the hospital's", directive.NotSigner, func(w *world, g directive.Directive, _ directive.Signed) directive.Signed {
			return mallory.sign(w.amending(g, 2))
		}},
		{"forged: another key with the patient's name on it", directive.BadSignature, func(w *world, _ directive.Directive, _ directive.Signed) directive.Signed {
			s := mallory.sign(w.signedGrant(patient))
			s.Key = alice.key()
			return s
		}},
		{"forged: a rebind to the hospital's key, signed by it", directive.NotSigner, func(w *world, g directive.Directive, _ directive.Signed) directive.Signed {
			return mallory.sign(w.rebinding(g, 2, mallory.key()))
		}},
		{"forged: no signature at all", directive.BadSignature, func(_ *world, _ directive.Directive, s directive.Signed) directive.Signed {
			s.Signature = nil
			return s
		}},
		{"altered: a wider provision under the old signature", directive.BadSignature, func(w *world, _ directive.Directive, _ directive.Signed) directive.Signed {
			narrow := w.signedGrant(patient)
			narrow.Provision = &consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Claim)}
			s := alice.sign(narrow)
			s.Document = strings.Replace(s.Document, `"classes":["claim"],`, "", 1)
			return s
		}},
		{"altered: a blank in the document", directive.NotCanonical, func(_ *world, _ directive.Directive, s directive.Signed) directive.Signed {
			s.Document = strings.Replace(s.Document, `"act":`, `"act": `, 1)
			return s
		}},
		{"replayed: the grant as another version", directive.BadSignature, func(_ *world, _ directive.Directive, s directive.Signed) directive.Signed {
			s.Document = strings.Replace(strings.Replace(s.Document, `"version":1`, `"version":2`, 1), `"act":"grant"`, `"act":"amend"`, 1)
			return s
		}},
		{"replayed: for another patient", directive.BadSignature, func(_ *world, _ directive.Directive, s directive.Signed) directive.Signed {
			s.Document = strings.Replace(s.Document, patient, other, 1)
			return s
		}},
		{"replayed: for another requester", directive.BadSignature, func(_ *world, _ directive.Directive, s directive.Signed) directive.Signed {
			s.Document = strings.Replace(s.Document, `"requester":"Insurer"`, `"requester":"HospitalB"`, 1)
			return s
		}},
		{"replayed: from another ledger", directive.WrongLedger, func(w *world, _ directive.Directive, _ directive.Signed) directive.Signed {
			g := w.signedGrant(patient)
			g.Channel = "elsewhere"
			return alice.sign(g)
		}},
		{"kept for over a month", directive.SignedTooEarly, func(w *world, _ directive.Directive, _ directive.Signed) directive.Signed {
			s := alice.sign(w.signedGrant(patient))
			w.Advance(31 * 24 * 60 * minute)
			return s
		}},
		{"back-dated: holds from before it was signed", directive.BackDated, func(w *world, _ directive.Directive, _ directive.Signed) directive.Signed {
			g := w.signedGrant(patient)
			g.Period.Start--
			return alice.sign(g)
		}},
		{"back-dated: holds since ever", directive.BackDated, func(w *world, _ directive.Directive, _ directive.Signed) directive.Signed {
			g := w.signedGrant(patient)
			g.Period.Start = 0
			return alice.sign(g)
		}},
		{"post-dated: signed tomorrow", directive.SignedInFuture, func(w *world, _ directive.Directive, _ directive.Signed) directive.Signed {
			g := w.signedGrant(patient)
			g.Signed += 24 * 60 * 60
			g.Period.Start = g.Signed
			return alice.sign(g)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			g := w.signedGrant(patient)
			s := alice.sign(g)
			w.directs(s)
			w.refused(test.want, hospitalA, contract.ConsentDirect, test.try(w, g, s))
		})
	}
}

func TestAnAttestationNeverAltersWhatAPatientSigned(t *testing.T) {
	w := newWorld(t)
	alice := newPatient("alice")
	g := w.signedGrant(patient)
	w.directs(alice.sign(g))
	attested := contract.Amendment{ID: g.Consent, Version: 2, Requester: insurer, Handle: patient, Provision: consent.Provision{Type: consent.Permit}, Evidence: digest}
	w.refused(directive.SignatureRequired, hospitalA, contract.ConsentAmend, attested)
	// The hospital may withdraw it, for the patient asks at the desk as well; and then can't revive it.
	w.must(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: g.Consent, Requester: insurer, Handle: patient, Reason: "patient"})
	attested.Version = 3
	w.refused(directive.SignatureRequired, hospitalA, contract.ConsentAmend, attested)
	if d := w.decided(patient); d.Outcome != consent.Deny {
		t.Fatalf("withdrawn, and %+v", d)
	}
	// What it attests anew is marked so, and whoever demands more isn't taken in.
	w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
	w.permit(patient)
	w.demand(insurer, consent.Passkey)
	if d := w.decided(patient); d.Outcome != consent.Deny || d.Rule.Reason != consent.NotSure {
		t.Errorf("attested, a passkey demanded, and %+v", d)
	}
}

func TestAnOlderSignatureDoesntReviveAWithdrawnConsent(t *testing.T) {
	w := newWorld(t)
	alice := newPatient("alice")
	g := w.signedGrant(patient)
	first := alice.sign(g)
	w.directs(first)
	// The hospital has two amendments in its drawer, made in good faith: one of each version to come.
	second, third := alice.sign(w.amending(g, 2)), alice.sign(w.amending(g, 3))
	w.Advance(5 * minute)
	w.directs(alice.sign(w.withdrawing(g, 2)))
	w.refused(refusal.Exists, hospitalA, contract.ConsentDirect, second)
	w.refused(directive.SignedTooEarly, hospitalA, contract.ConsentDirect, third)
	if tx := w.must(hospitalA, contract.ConsentDirect, first); len(tx.RWSet.Writes) != 0 {
		t.Errorf("the grant again writes %q", tx.Writes())
	}
	if d := w.decided(patient); d.Outcome != consent.Deny {
		t.Fatalf("withdrawn, and %+v", d)
	}
	// The patient can.
	w.directs(alice.sign(w.amending(g, 3)))
	w.permit(patient)
}

func TestAPatientWithdrawsThroughAnyMemberWithoutTheCustodian(t *testing.T) {
	for _, through := range []string{hospitalB, insurer, regulator} {
		w := newWorld(t)
		alice := newPatient("alice")
		g := w.signedGrant(patient)
		w.directs(alice.sign(g))
		w.Advance(minute)
		for _, test := range []struct {
			act  directive.Directive
			want peer.TxValidationCode
		}{
			{w.withdrawing(g, 2), valid},
			{w.withdrawing(g, 2), valid}, // again
		} {
			tx, err := w.Endorse(t.Context(), w.Client(through), []string{hospitalB, insurer, regulator}, contract.ConsentDirect, text(t, alice.sign(test.act)))
			if err != nil {
				t.Fatal(err)
			}
			if code := w.Commit(tx)[0]; code != test.want {
				t.Errorf("%s through %s: %v, want %v", test.act.Act, through, code, test.want)
			}
		}
		if d := w.decided(patient); d.Outcome != consent.Deny {
			t.Errorf("withdrawn through %s, and %+v", through, d)
		}
		w.refused(refusal.NotCustodian, through, contract.ConsentDirect, alice.sign(w.amending(g, 3)))
		// The control: what isn't a withdrawal needs the custodian.
		tx, err := w.Endorse(t.Context(), w.Client(hospitalA), []string{hospitalB, insurer, regulator}, contract.ConsentDirect, text(t, alice.sign(w.amending(g, 3))))
		if err != nil {
			t.Fatal(err)
		}
		if code := w.Commit(tx)[0]; code != peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE {
			t.Errorf("an amendment without the custodian: %v", code)
		}
	}
}

func TestASignerIsChangedOnlyWithTheCustodian(t *testing.T) {
	w := newWorld(t)
	alice, next := newPatient("alice"), newPatient("alice's new phone")
	g := w.signedGrant(patient)
	w.directs(alice.sign(g))
	tx, err := w.Endorse(t.Context(), w.Client(hospitalA), []string{hospitalB, insurer, regulator}, contract.ConsentDirect, text(t, alice.sign(w.rebinding(g, 2, next.key()))))
	if err != nil {
		t.Fatal(err)
	}
	if code := w.Commit(tx)[0]; code != peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE {
		t.Errorf("rebound without the custodian: %v", code)
	}
}

func TestAKeyIsReplacedByTheOldOne(t *testing.T) {
	w := newWorld(t)
	alice, next := newPatient("alice"), newPatient("alice's new phone")
	g := w.signedGrant(patient)
	w.directs(alice.sign(g))
	rebind := alice.sign(w.rebinding(g, 2, next.key()))
	w.must(hospitalA, contract.ConsentDirect, rebind)
	if tx := w.must(hospitalA, contract.ConsentDirect, rebind); len(tx.RWSet.Writes) != 0 {
		t.Errorf("rebound again with writes %q", tx.Writes())
	}
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, alice.sign(w.amending(g, 2)))
	if c := w.directs(next.sign(w.amending(g, 2))); c.Assurance != consent.Wallet {
		t.Errorf("amended by the new key: %+v", c)
	}
	entry := ask[contract.SignerEntry](w, insurer, contract.ConsentSigner, contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: patient})
	if entry.Signer == nil || !entry.Signer.Key.Equal(next.key()) || entry.Signer.Version != 2 {
		t.Errorf("the signer is %+v", entry.Signer)
	}
}

func TestARecoveryIsMarkedAndDoesntLast(t *testing.T) {
	w := newWorld(t)
	alice, hospital := newPatient("alice"), newPatient("a key that the hospital says is Alice's")
	g := w.signedGrant(patient)
	w.directs(alice.sign(g))
	w.refused(directive.NoSigner, hospitalA, contract.ConsentRecover, contract.Recovery{Requester: insurer, Handle: other, Key: hospital.key(), Evidence: digest})
	recovery := contract.Recovery{Requester: insurer, Handle: patient, Key: hospital.key(), Evidence: digest}
	w.must(hospitalA, contract.ConsentRecover, recovery)
	if tx := w.must(hospitalA, contract.ConsentRecover, recovery); len(tx.RWSet.Writes) != 0 {
		t.Errorf("recovered again with writes %q", tx.Writes())
	}
	w.refused(directive.SignatureRequired, hospitalA, contract.ConsentDirect, hospital.sign(w.amending(g, 2)))
	if c := w.directs(hospital.sign(w.signedGrant(patient))); c.Assurance != consent.Attested {
		t.Errorf("granted by a recovered key: %+v", c)
	}
	// Rebound by the recovered key, it is still only recovered.
	w.must(hospitalA, contract.ConsentDirect, hospital.sign(w.rebinding(g, 3, newPatient("another").key())))
	if c := w.directs(newPatient("another").sign(w.signedGrant(patient))); c.Assurance != consent.Attested {
		t.Errorf("granted by what a recovered key named: %+v", c)
	}
	// The patient, whose key was never lost, can't grant by it, takes back what is there, and is back.
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, alice.sign(w.signedGrant(patient)))
	w.directs(alice.sign(w.withdrawing(g, 2)))
	w.must(hospitalA, contract.ConsentDirect, alice.sign(w.rebinding(g, 4, alice.key())))
	if c := w.directs(alice.sign(w.signedGrant(patient))); c.Assurance != consent.Wallet {
		t.Errorf("granted by the patient, back again: %+v", c)
	}
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, hospital.sign(w.signedGrant(patient)))
}

func TestADelegateActsInItsPeriodAndNoFurther(t *testing.T) {
	w := newWorld(t)
	alice, guardian, proxy, friend := newPatient("alice"), newPatient("guardian"), newPatient("proxy"), newPatient("friend")
	now := w.clock()
	const day = 24 * 60 * 60
	within := record.Period{Start: now, End: now + 10*day}
	naming := w.signedGrant(patient)
	naming.Provision = &consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Claim)}
	naming.Delegates = ordered(directive.Delegate{Key: guardian.key(), Grant: true, Withdraw: true, Period: within},
		directive.Delegate{Key: proxy.key(), Withdraw: true, Period: within})
	w.directs(alice.sign(naming))

	grant := w.signedGrant(patient)
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, friend.sign(grant))
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, proxy.sign(grant))
	w.refused(directive.BeyondDelegation, hospitalA, contract.ConsentDirect, guardian.sign(grant))
	grant.Period.End = within.End + 1
	w.refused(directive.BeyondDelegation, hospitalA, contract.ConsentDirect, guardian.sign(grant))
	grant.Period.End = within.End
	grant.Delegates = ordered(directive.Delegate{Key: friend.key(), Withdraw: true, Period: record.Period{Start: now, End: within.End + 1}})
	w.refused(directive.BeyondDelegation, hospitalA, contract.ConsentDirect, guardian.sign(grant))
	grant.Delegates = nil
	if c := w.directs(guardian.sign(grant)); c.Assurance != consent.Wallet || c.Signer != guardian.key().ID() {
		t.Errorf("granted by the guardian: %+v", c)
	}
	w.permit(patient)

	// It can't take the patient's other delegate away, who may do no more than it, but for longer it couldn't.
	dropping := w.amending(naming, 2)
	dropping.Period.End, dropping.Delegates = within.End, naming.Delegates
	longer := dropping
	longer.Delegates = ordered(naming.Delegates[0], directive.Delegate{Key: friend.key(), Grant: true, Period: record.Period{Start: now - 1, End: within.End}})
	w.refused(directive.BeyondDelegation, hospitalA, contract.ConsentDirect, guardian.sign(longer))
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, guardian.sign(w.rebinding(naming, 2, guardian.key())))

	// It names others in the consent that names itself. The one named withdraws, through anybody.
	naming = dropping
	naming.Delegates = ordered(append(naming.Delegates[:2:2], directive.Delegate{Key: friend.key(), Withdraw: true, Period: within})...)
	w.directs(guardian.sign(naming))
	tx := w.must(regulator, contract.ConsentDirect, friend.sign(w.withdrawing(grant, 2)))
	if c := *into[contract.Directed](t, tx.Response).Consent; c.Status != consent.Withdrawn {
		t.Errorf("%+v", c)
	}
	// Left out of the consent that named it, it is nobody.
	naming = w.amending(dropping, 3)
	naming.Period.End = within.End
	w.directs(guardian.sign(naming))
	again := w.signedGrant(patient)
	again.Period.End = within.End
	w.directs(guardian.sign(again))
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, friend.sign(w.withdrawing(again, 2)))
	// And all are, once their period is over.
	w.Advance(10 * 24 * 60 * minute)
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, guardian.sign(w.withdrawing(again, 2)))
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, proxy.sign(w.withdrawing(again, 2)))
	w.directs(alice.sign(w.withdrawing(again, 2)))
}

// ordered sorts delegates as a directive wants them.
func ordered(ds ...directive.Delegate) []directive.Delegate {
	directive.Sort(ds)
	return ds
}

// A patient takes over, with a key of their own, what a hospital attested.
func TestAPatientTakesAnAttestedConsentOver(t *testing.T) {
	w := newWorld(t)
	alice := newPatient("alice")
	attested := w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, attested)
	g := w.signedGrant(patient)
	g.Consent = attested.ID
	w.refused(refusal.Exists, hospitalA, contract.ConsentDirect, alice.sign(g))
	w.refused(directive.NoSigner, regulator, contract.ConsentDirect, alice.sign(w.withdrawing(g, 2)))
	if c := w.directs(alice.sign(w.amending(g, 2))); c.Assurance != consent.Wallet {
		t.Errorf("taken over: %+v", c)
	}
	w.refused(directive.SignatureRequired, hospitalA, contract.ConsentAmend, contract.Amendment{ID: attested.ID, Version: 3, Requester: insurer, Handle: patient, Provision: attested.Provision})
}

func TestTwoDirectivesOfOneVersionRaceAndOneWins(t *testing.T) {
	w := newWorld(t)
	alice := newPatient("alice")
	g := w.signedGrant(patient)
	w.directs(alice.sign(g))
	amend := w.amending(g, 2)
	a := w.endorse(hospitalA, contract.ConsentDirect, alice.sign(amend))
	b := w.endorse(regulator, contract.ConsentDirect, alice.sign(w.withdrawing(g, 2)))
	if codes := w.Commit(b, a); codes[0] != valid || codes[1] == valid {
		t.Errorf("codes %v", codes)
	}
	if d := w.decided(patient); d.Outcome != consent.Deny {
		t.Errorf("withdrawn in the same block, and %+v", d)
	}
}

// The epoch has turned and the consents were carried. The signer's key went along, the hospital can't
// use that to alter anything, and a patient who knows nothing of it still withdraws.
func TestWhatWasSignedIsCarriedWithItsSigner(t *testing.T) {
	w := newWorld(t)
	alice, mallory := newPatient("alice"), newPatient("mallory")
	g, h := w.signedGrant(patient), w.signedGrant(patient)
	w.directs(alice.sign(g))
	w.directs(alice.sign(h))
	w.roll(2, 3600)
	w.carry(patient, second)

	w.refused(epoch.CarriedAway, hospitalA, contract.ConsentDirect, alice.sign(w.amending(g, 2)))
	w.refused(epoch.CarriedAway, hospitalA, contract.ConsentDirect, alice.sign(w.rebinding(g, 2, mallory.key())))
	w.refused(epoch.CarriedAway, hospitalA, contract.ConsentRecover, contract.Recovery{Requester: insurer, Handle: patient, Key: mallory.key(), Evidence: digest})
	carried := w.amending(g, 2)
	carried.Handle = second
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, mallory.sign(carried))
	w.refused(directive.SignatureRequired, hospitalA, contract.ConsentAmend, contract.Amendment{ID: g.Consent, Version: 2, Requester: insurer, Handle: second, Provision: consent.Provision{Type: consent.Permit}, Evidence: digest})
	if c := w.directs(alice.sign(carried)); c.Version != 2 || c.Assurance != consent.Wallet {
		t.Errorf("amended where it was carried: %+v", c)
	}

	withdrawal := alice.sign(w.withdrawing(h, 2)) // under the handle that the wallet remembers
	out := into[contract.Directed](t, w.must(regulator, contract.ConsentDirect, withdrawal).Response)
	if out.Consent.Status != consent.Withdrawn || out.Handle != second {
		t.Errorf("withdrawn by its old handle: %+v", out)
	}
	if tx := w.must(insurer, contract.ConsentDirect, withdrawal); len(tx.RWSet.Writes) != 0 {
		t.Errorf("withdrawn again with writes %q", tx.Writes())
	}
	w.refused(directive.NotSigner, regulator, contract.ConsentDirect, mallory.sign(w.withdrawing(g, 3)))
	w.must(regulator, contract.ConsentDirect, alice.sign(w.withdrawing(g, 3)))
	if a := w.consentsOf(second); a[0].Status != consent.Withdrawn || a[1].Status != consent.Withdrawn {
		t.Errorf("they stand %+v", a)
	}
}

// Whoever takes the consent away that names a delegate takes the delegate away: it can't have named
// itself, or a friend, in a consent of its own meanwhile.
func TestADelegateDoesntOutliveTheConsentThatNamesIt(t *testing.T) {
	w := newWorld(t)
	alice, guardian, friend := newPatient("alice"), newPatient("guardian"), newPatient("friend")
	within := record.Period{Start: w.clock(), End: w.clock() + 10*24*60*60}
	naming := w.signedGrant(patient)
	naming.Delegates = []directive.Delegate{{Key: guardian.key(), Grant: true, Withdraw: true, Period: within}}
	w.directs(alice.sign(naming))

	for _, named := range []signer{guardian, friend} {
		lair := w.signedGrant(patient)
		lair.Period.End = within.End
		lair.Delegates = []directive.Delegate{{Key: named.key(), Grant: true, Withdraw: true, Period: within}}
		w.refused(directive.BeyondDelegation, hospitalA, contract.ConsentDirect, guardian.sign(lair))
	}
	w.directs(alice.sign(w.withdrawing(naming, 2)))
	grant := w.signedGrant(patient)
	grant.Period.End = within.End
	for _, gone := range []signer{guardian, friend} {
		w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, gone.sign(grant))
	}
}

// A consent that was amended as often as can be is withdrawn by the patient all the same.
func TestTheLastVersionOfAConsentIsTheWithdrawal(t *testing.T) {
	w := newWorld(t)
	alice := newPatient("alice")
	w.directs(alice.sign(w.signedGrant(patient)))
	attested := w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, attested)
	for version := 2; version <= contract.MaxVersions; version++ {
		w.must(hospitalA, contract.ConsentAmend, contract.Amendment{ID: attested.ID, Version: version, Requester: insurer, Handle: patient, Provision: attested.Provision, Evidence: digest})
	}
	of := w.signedGrant(patient)
	of.Consent = attested.ID
	if c := w.directs(alice.sign(w.withdrawing(of, contract.MaxVersions+1))); c.Status != consent.Withdrawn {
		t.Errorf("%+v", c)
	}
}

// What a patient has withdrawn by a signature, a custodian's word doesn't revive.
func TestAnAttestationDoesntReviveWhatAPatientWithdrew(t *testing.T) {
	w := newWorld(t)
	alice := newPatient("alice")
	attested := w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, attested)
	narrow := w.signedGrant(patient)
	narrow.Provision = &consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Claim)}
	w.directs(alice.sign(narrow))
	of := narrow
	of.Consent = attested.ID
	w.directs(alice.sign(w.withdrawing(of, 2)))
	w.refused(directive.SignatureRequired, hospitalA, contract.ConsentAmend,
		contract.Amendment{ID: attested.ID, Version: 3, Requester: insurer, Handle: patient, Provision: attested.Provision, Evidence: digest})
	if d := w.decided(patient); d.Outcome != consent.Deny {
		t.Errorf("withdrawn by the patient, and %+v", d)
	}
	of.Provision = &consent.Provision{Type: consent.Permit}
	w.directs(alice.sign(w.amending(of, 3)))
	w.permit(patient)
}

// However often a custodian recovers a key, the patient whose it was comes back.
func TestRecoveriesDontUseUpTheWayBack(t *testing.T) {
	w := newWorld(t)
	alice, one, two := newPatient("alice"), newPatient("one"), newPatient("two")
	g := w.signedGrant(patient)
	w.directs(alice.sign(g))
	version := 1
	for {
		key := []signer{one, two}[version%2]
		if _, err := w.try(hospitalA, contract.ConsentRecover, contract.Recovery{Requester: insurer, Handle: patient, Key: key.key(), Evidence: digest}); err != nil {
			w.wantRefusal(refusal.TooLarge, err)
			break
		}
		version++
	}
	// Nor does the recovered key by rebinding itself.
	last := []signer{one, two}[(version-1)%2]
	w.refused(refusal.TooLarge, hospitalA, contract.ConsentDirect, last.sign(w.rebinding(g, version+1, newPatient("three").key())))
	w.must(hospitalA, contract.ConsentDirect, alice.sign(w.rebinding(g, version+1, alice.key())))
	if c := w.directs(alice.sign(w.signedGrant(patient))); c.Assurance != consent.Wallet {
		t.Errorf("granted by the patient, back again: %+v", c)
	}
}
