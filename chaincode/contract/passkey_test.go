package contract_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// passkey is an authenticator in software, used on a site.
type passkey struct {
	testing.TB
	private      *ecdsa.PrivateKey
	site, origin string
	flags        byte
}

func newPasskey(t testing.TB, site string) passkey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return passkey{t, private, site, "https://" + site, 0x05}
}

func (p passkey) sign(d directive.Directive) directive.Signed {
	p.Helper()
	document, err := d.Canonical()
	if err != nil {
		p.Fatal(err)
	}
	digest, site := directive.Digest(document), sha256.Sum256([]byte(p.site))
	client := fmt.Appendf(nil, `{"type":"webauthn.get","challenge":%q,"origin":%q,"crossOrigin":false}`, base64.RawURLEncoding.EncodeToString(digest[:]), p.origin)
	data := append(site[:], p.flags, 0, 0, 0, 0)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(slices.Concat(data, hash[:]))
	signature, err := ecdsa.SignASN1(rand.Reader, p.private, sum[:])
	if err != nil {
		p.Fatal(err)
	}
	public, err := p.private.PublicKey.Bytes()
	if err != nil {
		p.Fatal(err)
	}
	return directive.Signed{
		Document: string(document), Key: directive.Key{Algorithm: directive.ES256, Public: public},
		Passkey: &directive.Assertion{AuthenticatorData: data, ClientData: client, Signature: signature},
	}
}

func TestAPatientSignsWithAPasskeyOnTheHospitalsSite(t *testing.T) {
	w := newWorld(t)
	alice := newPasskey(t, "hospital-a.example")
	grant := w.signedGrant(patient)
	w.refused(directive.UnknownSite, hospitalA, contract.ConsentDirect, alice.sign(grant)) // which none is yet
	w.must(hospitalB, contract.RegistryUpdate, registry.Update{Policy: &registry.Policy{RelyingParties: []registry.RelyingParty{{ID: "hospital-b.example", Origins: []string{"https://hospital-b.example"}}}}})
	w.must(hospitalA, contract.RegistryUpdate, registry.Update{Policy: &registry.Policy{
		Assurance: consent.Passkey, RelyingParties: []registry.RelyingParty{{ID: "hospital-a.example", Origins: []string{"https://hospital-a.example"}}},
	}})

	elsewhere, absent := alice, alice
	elsewhere.site, elsewhere.origin = "hospital-b.example", "https://hospital-b.example"
	absent.flags = 0x01
	w.refused(directive.UnknownSite, hospitalA, contract.ConsentDirect, elsewhere.sign(grant))
	w.refused(directive.BadSignature, hospitalA, contract.ConsentDirect, absent.sign(grant))
	moved := alice.sign(grant)
	moved.Document = alice.sign(w.signedGrant(other)).Document
	w.refused(directive.BadSignature, hospitalA, contract.ConsentDirect, moved)

	if c := w.directs(alice.sign(grant)); c.Assurance != consent.Passkey {
		t.Errorf("granted %+v", c)
	}
	w.permit(patient)
	w.demand(insurer, consent.Wallet)
	if d := w.decided(patient); d.Outcome != consent.Deny || d.Rule.Reason != consent.NotSure {
		t.Errorf("a wallet demanded, and %+v", d)
	}
	w.must(regulator, contract.ConsentDirect, alice.sign(w.withdrawing(grant, 2)))
	w.refused(refusal.VersionConflict, hospitalA, contract.ConsentDirect, newPasskey(t, "hospital-a.example").sign(w.amending(grant, 4)))
	w.refused(directive.NotSigner, hospitalA, contract.ConsentDirect, newPasskey(t, "hospital-a.example").sign(w.amending(grant, 3)))
}

// A custodian that gives up the site, or leaves it out, doesn't keep its patients from withdrawing.
func TestAPasskeyWithdrawsWhenItsSiteIsGone(t *testing.T) {
	w := newWorld(t)
	alice := newPasskey(t, "hospital-a.example")
	w.must(hospitalA, contract.RegistryUpdate, registry.Update{Policy: &registry.Policy{RelyingParties: []registry.RelyingParty{{ID: "hospital-a.example", Origins: []string{"https://hospital-a.example"}}}}})
	grant := w.signedGrant(patient)
	w.directs(alice.sign(grant))
	w.must(hospitalA, contract.RegistryUpdate, registry.Update{Policy: &registry.Policy{}})

	w.refused(directive.UnknownSite, hospitalA, contract.ConsentDirect, alice.sign(w.amending(grant, 2)))
	forged := alice.sign(w.withdrawing(grant, 2))
	forged.Passkey.Signature = alice.sign(grant).Passkey.Signature
	w.refused(directive.BadSignature, regulator, contract.ConsentDirect, forged)
	w.refused(directive.NotSigner, regulator, contract.ConsentDirect, newPasskey(t, "hospital-a.example").sign(w.withdrawing(grant, 2)))
	w.must(regulator, contract.ConsentDirect, alice.sign(w.withdrawing(grant, 2)))
	if d := w.decided(patient); d.Outcome != consent.Deny {
		t.Errorf("withdrawn, and %+v", d)
	}
}
