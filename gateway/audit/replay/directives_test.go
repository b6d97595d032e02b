package replay_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/gateway/audit/replay/replaytest"
)

// What patients signed is verified again, with all that follows from it.
func TestSignedDirectivesReplay(t *testing.T) {
	if ledgertest.Channel != replaytest.ChannelName {
		t.Fatal("a directive for one wouldn't be for the other")
	}
	c := replaytest.New(t, replaytest.Options{Seed: 5})
	key := func(name string) ed25519.PrivateKey {
		seed := sha256.Sum256([]byte(name))
		return ed25519.NewKeyFromSeed(seed[:])
	}
	public := func(k ed25519.PrivateKey) directive.Key {
		return directive.Key{Algorithm: directive.Ed25519, Public: k.Public().(ed25519.PublicKey)}
	}
	submit := func(member, function string, arg any) {
		t.Helper()
		doc, err := json.Marshal(arg)
		if err != nil {
			t.Fatal(err)
		}
		if codes := c.Commit(c.Propose(member, function, string(doc))); codes[0] != 0 {
			t.Fatalf("%s: %v", function, codes)
		}
	}
	of := directive.Directive{
		Type: directive.Type, Channel: replaytest.ChannelName, Custodian: "HospitalA", Requester: "Insurer", Handle: "1-" + strings.Repeat("ab", 32), Signed: record.At(c.Ledger.Now()),
	}
	direct := func(member string, by ed25519.PrivateKey, change func(*directive.Directive)) {
		t.Helper()
		d := of
		d.Signed = record.At(c.Ledger.Now())
		change(&d)
		document, err := d.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		submit(member, contract.ConsentDirect, directive.Signed{Document: string(document), Key: public(by), Signature: ed25519.Sign(by, document)})
	}
	alice, next, found := key("alice"), key("alice's next"), key("found again")
	id := strings.Repeat("c", 32)
	says := func(act directive.Act, version int) func(*directive.Directive) {
		return func(d *directive.Directive) {
			d.Act, d.Consent, d.Version, d.Period.Start = act, id, version, d.Signed
			d.Provision = &consent.Provision{Type: consent.Permit}
		}
	}
	direct("HospitalA", alice, says(directive.Grant, 1))
	direct("HospitalA", alice, says(directive.Amend, 2))
	direct("HospitalA", alice, func(d *directive.Directive) {
		to := public(next)
		d.Act, d.Version, d.Key = directive.Rebind, 2, &to
	})
	direct("Regulator", next, func(d *directive.Directive) {
		d.Act, d.Consent, d.Version, d.Reason = directive.Withdraw, id, 3, "patient-request"
	})
	submit("HospitalA", contract.ConsentRecover, contract.Recovery{Requester: "Insurer", Handle: of.Handle, Key: public(found), Evidence: strings.Repeat("0f", 32)})
	c.History(20)

	for _, d := range run(t, c, c.Encoded()).Divergences {
		t.Error(d)
	}
	c.Find(contract.ConsentDirect, 3) // or it fails
}
