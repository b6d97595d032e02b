// Package wallet_test is a patient with a wallet on a real consortium: what the patient
// signed, what the hospital tries all the same, and the withdrawal with the hospital gone.
package wallet_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/wallet"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/patient"
)

func TestMain(m *testing.M) { consortium.Main(m) }

// owner is the patient, with a wallet.
type owner struct {
	t      *testing.T
	c      *consortium.Consortium
	p      patient.Patient
	wallet *wallet.Wallet
}

func newOwner(t *testing.T, c *consortium.Consortium, p patient.Patient) owner {
	t.Helper()
	wallet.WorkFactor = 8
	entropy, err := wallet.NewEntropy(24)
	if err != nil {
		t.Fatal(err)
	}
	w, err := wallet.Create(filepath.Join(t.TempDir(), "wallet.age"), "correct horse", entropy)
	if err != nil {
		t.Fatal(err)
	}
	return owner{t, c, p, w}
}

// draft is a directive as things stand, by what the hospital's gateway tells.
func (o owner) draft(act directive.Act) directive.Directive {
	o.t.Helper()
	standing, err := o.c.Client(o.t, consortium.HospitalA).Patients.Prepare(o.t.Context(), &yitongv1.PrepareRequest{Patient: o.p.ID, Requester: consortium.Insurer})
	if err != nil {
		o.t.Fatal(err)
	}
	now := record.At(time.Now())
	return directive.Directive{
		Type: directive.Type, Channel: standing.GetChannel(), Act: act, Custodian: standing.GetCustodian(), Requester: standing.GetRequester(),
		Handle: standing.GetHandle(), Consent: client.NewID(), Version: 1, Signed: now, Period: record.Period{Start: now},
		Provision: &consent.Provision{Type: consent.Permit, Purposes: consent.PurposesOf(consent.HPAYMT), Classes: record.ClassesOf(record.Laboratory)},
	}
}

func (o owner) sign(d directive.Directive) directive.Signed {
	o.t.Helper()
	s, err := o.wallet.Signer(d.Custodian, d.Requester, "", 0)
	if err != nil {
		o.t.Fatal(err)
	}
	signed, err := s.Sign(d)
	if err != nil {
		o.t.Fatal(err)
	}
	return signed
}

// direct sends what is signed through a member's gateway.
func (o owner) direct(through string, s directive.Signed) (*yitongv1.DirectResponse, error) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	return o.c.Client(o.t, through).Patients.Direct(ctx, &yitongv1.DirectRequest{
		Document: []byte(s.Document), Key: &yitongv1.PatientKey{Algorithm: s.Key.Algorithm, Public: s.Key.Public},
		Proof: &yitongv1.DirectRequest_Signature{Signature: s.Signature},
	})
}

func (o owner) ask() *yitongv1.Access {
	o.t.Helper()
	answer, err := o.c.Client(o.t, consortium.Insurer).Accesses.Request(o.t.Context(), &yitongv1.AccessRequest{
		Id: client.NewID(), Custodian: consortium.HospitalA, Patient: o.p.ID, Purpose: "CLMATTCH", Classes: []string{"laboratory"},
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return answer.GetAccess()
}

func TestAPatientsOwnWordOnARealNetwork(t *testing.T) {
	c := consortium.Shared(t)
	o := newOwner(t, c, patient.Synthetic(t, 900))
	c.Submit(t, o.p)
	hospital := c.Client(t, consortium.HospitalA)
	wanted := "wallet"
	if _, err := hospital.Policies.Set(t.Context(), &yitongv1.SetPolicyRequest{Assurance: &wanted}); err != nil {
		t.Fatal(err)
	}

	// A consent that the hospital attests doesn't permit here; what the patient signs does.
	if _, err := hospital.Consents.Grant(t.Context(), &yitongv1.GrantRequest{
		Id: client.NewID(), Patient: o.p.ID, Requester: consortium.Insurer, Form: []byte("a form"),
		Provision: &yitongv1.Provision{Type: "permit", Purposes: []string{"HPAYMT"}},
	}); err != nil {
		t.Fatal(err)
	}
	if a := o.ask(); a.GetOutcome() != "deny" || a.GetRule().GetReason() != "assurance-too-low" {
		t.Errorf("attested, and decided %v", a)
	}
	granted := o.draft(directive.Grant)
	signed := o.sign(granted)
	answer, err := o.direct(consortium.HospitalA, signed)
	if err != nil {
		t.Fatal(err)
	}
	if answer.GetConsent().GetAssurance() != "wallet" || answer.GetConsent().GetSigner() != signed.Key.ID() {
		t.Errorf("granted %v", answer)
	}
	permit := o.ask()
	if permit.GetOutcome() != "permit" {
		t.Fatalf("signed, and decided %v", permit)
	}
	opened := open(t, c, permit.GetId())
	if opened == 0 {
		t.Error("nothing was opened under what the patient signed")
	}

	t.Run("the hospital can't forge, alter, replay or back-date", func(t *testing.T) { o.attack(t, granted, signed) })
	late := o.ask()
	if late.GetOutcome() != "permit" {
		t.Fatalf("before the withdrawal: %v", late)
	}
	t.Run("withdrawn through the insurer with the hospital gone", func(t *testing.T) { o.withdrawAlone(t, granted) })
	if a := o.ask(); a.GetOutcome() != "deny" {
		t.Errorf("withdrawn, and decided %v", a)
	}
	if err := openError(t, c, late.GetId()); code(err) != refusal.ConsentChanged {
		t.Errorf("opened under a permit from before the withdrawal: %v", err)
	}
}

// attack is the hospital's own administrator, past its gateway, with its peer's identity.
func (o owner) attack(t *testing.T, granted directive.Directive, signed directive.Signed) {
	ledger := o.c.Ledger(t, consortium.HospitalA, consortium.Chaincode)
	_, mallory, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(d directive.Directive) directive.Signed {
		document, err := d.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		return directive.Signed{
			Document: string(document), Key: directive.Key{Algorithm: directive.Ed25519, Public: mallory.Public().(ed25519.PublicKey)},
			Signature: ed25519.Sign(mallory, document),
		}
	}
	fresh := granted
	fresh.Consent, fresh.Signed = client.NewID(), record.At(time.Now())
	fresh.Period.Start = fresh.Signed
	amended := fresh
	amended.Act, amended.Consent, amended.Version = directive.Amend, granted.Consent, 2
	altered, replayed, dated := signed, signed, granted
	altered.Document = strings.Replace(signed.Document, `"classes":["laboratory"],`, "", 1)
	replayed.Document = strings.Replace(signed.Document, granted.Consent, client.NewID(), 1)
	dated.Period.Start -= 30 * 24 * 60 * 60
	for _, test := range []struct {
		name, function string
		arg            any
		want           refusal.Code
	}{
		{"a grant by a key of its own", contract.ConsentDirect, forge(fresh), directive.NotSigner},
		{"an amendment by a key of its own", contract.ConsentDirect, forge(amended), directive.NotSigner},
		{"a wider provision under the patient's signature", contract.ConsentDirect, altered, directive.BadSignature},
		{"the patient's signature under another id", contract.ConsentDirect, replayed, directive.BadSignature},
		{"a consent from before it was signed", contract.ConsentDirect, forge(dated), directive.BackDated},
		{"an attested amendment", contract.ConsentAmend, contract.Amendment{ID: granted.Consent, Version: 2, Requester: granted.Requester, Handle: granted.Handle,
			Provision: consent.Provision{Type: consent.Permit}, Evidence: strings.Repeat("0f", 32)}, directive.SignatureRequired},
	} {
		var out any
		_, err := ledger.Submit(t.Context(), test.function, test.arg, &out)
		if got := code(err); got != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// withdrawAlone stops the hospital's peer and gateway, and has the patient withdraw through the insurer.
func (o owner) withdrawAlone(t *testing.T, granted directive.Directive) {
	var gone []string
	for _, prefix := range []string{"gateway-" + consortium.HospitalA, "peer-" + consortium.HospitalA} {
		for _, s := range o.c.Processes(prefix) {
			gone = append(gone, s.Name)
		}
	}
	if len(gone) < 2 {
		t.Fatalf("found only %q of the hospital's", gone)
	}
	for _, name := range gone {
		if err := o.c.Network().Supervisor().Hold(name); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		for i := range gone {
			name := gone[len(gone)-1-i] // the peer before the gateway
			if err := errors.Join(o.c.Network().Supervisor().Release(name), o.c.Network().Supervisor().Await(ctx, name)); err != nil {
				t.Error(err)
			}
		}
	}()
	// The control: by the hospital's own word it can't be withdrawn now.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := o.c.Client(t, consortium.HospitalA).Consents.Withdraw(ctx, &yitongv1.WithdrawRequest{Id: granted.Consent, Patient: o.p.ID, Requester: consortium.Insurer, Reason: "patient-request"}); err == nil {
		t.Error("the hospital isn't gone")
	}
	withdrawal := directive.Directive{
		Type: granted.Type, Channel: granted.Channel, Act: directive.Withdraw, Custodian: granted.Custodian, Requester: granted.Requester,
		Handle: granted.Handle, Consent: granted.Consent, Version: 2, Signed: record.At(time.Now()), Reason: "patient-request",
	}
	answer, err := o.direct(consortium.Insurer, o.sign(withdrawal))
	if err != nil {
		t.Fatal(err)
	}
	if answer.GetConsent().GetStatus() != "withdrawn" {
		t.Errorf("withdrawn %v", answer)
	}
}

func open(t *testing.T, c *consortium.Consortium, id string) int {
	t.Helper()
	n, err := openAll(t, c, id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func openError(t *testing.T, c *consortium.Consortium, id string) error {
	t.Helper()
	_, err := openAll(t, c, id)
	return err
}

func openAll(t *testing.T, c *consortium.Consortium, id string) (messages int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := c.Client(t, consortium.Insurer).Accesses.Open(ctx, &yitongv1.OpenRequest{Custodian: consortium.HospitalA, Id: id})
	if err != nil {
		return 0, err
	}
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return messages, nil
		} else if err != nil {
			return messages, err
		}
		messages++
	}
}

// code is that of the refusal in an error, of a gateway or of the ledger.
func code(err error) refusal.Code {
	if r, ok := client.Refusal(err); ok {
		return r.Code
	}
	var r *refusal.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}
