package projection

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/gateway/ledger"
)

func TestErasuresAndHoldsAreTold(t *testing.T) {
	at := `"2026-11-21T07:00:00Z"`
	anchor := func(status, erasure string) string {
		return `{"id":"x","custodian":"H","status":"` + status + `","at":` + at + `,"erasure":` + erasure + `}`
	}
	hold := `{"custodian":"H","record":"x","regulator":"R","reason":"case-7","at":` + at + `}`
	for _, test := range []struct {
		name, function, kind string
		attributes           []string
		value                string
		want                 string
	}{
		{"a record", "record:Erase", "record", []string{"H", "x"}, anchor("erased", `{"number":1,"reason":"patient-request","at":`+at+`}`), "record erased patient-request"},
		{"a part", "record:Erase", "record", []string{"H", "x"}, anchor("anchored", `{"number":1,"parts":[1],"reason":"retention-over","at":`+at+`}`), "record erased retention-over"},
		{"superseded after a part was erased", "record:Anchor", "record", []string{"H", "x"}, anchor("superseded", `{"number":1,"parts":[1],"reason":"retention-over","at":"2026-11-20T07:00:00Z"}`), "record superseded "},
		{"a hold", "record:Hold", "hold", []string{"H", "x"}, "[" + hold + "]", "hold held case-7"},
		{"the last hold lifted", "record:Unhold", "hold", []string{"H", "x"}, "", "hold lifted "},
		{"one of two holds lifted", "record:Unhold", "hold", []string{"H", "x"}, "[" + hold + "]", "hold lifted case-7"},
		{"another record's hold", "record:Hold", "hold", []string{"H", "y"}, "[" + hold + "]", "hold changed unreadable"},
		{"deleted", "record:Acknowledge", "erased", []string{"H", "x", "I"}, `{"custodian":"H","record":"x","requester":"I","erasure":1,"fate":"deleted","at":` + at + `}`, "acknowledgement acknowledged deleted"},
		{"retained", "record:Acknowledge", "erased", []string{"H", "x", "I"}, `{"custodian":"H","record":"x","requester":"I","erasure":1,"fate":"retained","ground":"legal-claims","at":` + at + `}`, "acknowledgement acknowledged legal-claims"},
		{"another's acknowledgement", "record:Acknowledge", "erased", []string{"H", "x", "J"}, `{"custodian":"H","record":"x","requester":"I","erasure":1,"fate":"deleted","at":` + at + `}`, "acknowledgement changed unreadable"},
	} {
		w := ledger.Write{Namespace: "yitong", ObjectType: test.kind, Attributes: test.attributes, Value: []byte(test.value), Delete: test.value == ""}
		effects := read(ledger.Transaction{Chaincode: "yitong", Function: test.function, Writes: []ledger.Write{w}}, "yitong")
		if e := effects[0]; len(effects) != 1 || string(e.Kind)+" "+string(e.Action)+" "+e.Reason != test.want {
			t.Errorf("%s: told as %+v", test.name, e.Entry)
		}
	}
}

func TestWhoSignedIsTold(t *testing.T) {
	key := directive.Key{Algorithm: directive.Ed25519, Public: make([]byte, 32)}
	handle, id := "1-"+strings.Repeat("ab", 32), strings.Repeat("c", 32)
	version := func(sure consent.Assurance, status consent.Status, reason string, signed, delegate bool) contract.ConsentVersion {
		v := contract.ConsentVersion{Consent: consent.Consent{ID: id, Version: 1, Status: status, Assurance: sure, Provision: consent.Provision{Type: consent.Permit}}, Reason: reason, Delegate: delegate}
		if signed {
			v.Consent.Signer, v.Signed = key.ID(), &directive.Signed{Document: "{}", Key: key}
		}
		return v
	}
	for _, test := range []struct {
		name string
		kind string
		doc  any
		want string
	}{
		{"attested", "consent", version(consent.Attested, consent.Active, "", false, false), "consent granted   "},
		{"a patient's wallet", "consent", version(consent.Wallet, consent.Active, "", true, false), "consent granted wallet patient " + key.ID()},
		{"a delegate's passkey", "consent", version(consent.Passkey, consent.Active, "", true, true), "consent granted passkey delegate " + key.ID()},
		{"a withdrawal by the patient", "consent", version(consent.Wallet, consent.Withdrawn, "patient-request", true, false), "consent withdrawn patient-request patient " + key.ID()},
		{"a key", "signer", directive.Signer{Key: key, Version: 1}, "signer bound   "},
		{"a recovered key", "signer", directive.Signer{Key: key, Version: 2, Recovered: true}, "signer bound recovered  "},
	} {
		value, err := json.Marshal(test.doc)
		if err != nil {
			t.Fatal(err)
		}
		w := ledger.Write{Namespace: "yitong", ObjectType: test.kind, Attributes: []string{"H", "I", handle, id, "1"}[:readers[test.kind].attributes], Value: value}
		effects := read(ledger.Transaction{Chaincode: "yitong", Function: contract.ConsentDirect, Writes: []ledger.Write{w}}, "yitong")
		if e := effects[0]; len(effects) != 1 || strings.Join([]string{string(e.Kind), string(e.Action), e.Reason, e.UserRole, e.User}, " ") != test.want {
			t.Errorf("%s: told as %+v, want %q", test.name, e.Entry, test.want)
		}
	}
}

// FuzzRead: whatever a transaction holds, it is told in at least one entry, none of an
// invalid one leaves anything in the state, and every text fits into any database.
func FuzzRead(f *testing.F) {
	for kind := range readers {
		f.Add(kind, "H", "I", "x", "1", 5, []byte(`{"id":"x","custodian":"H","requester":"I","permit":"x","decision":{"outcome":"permit"}}`), int32(0), false)
	}
	f.Add("access", "\x00", "\xff", "", "长", 3, []byte("{}"), int32(11), true)
	f.Fuzz(func(t *testing.T, kind, a, b, c, d string, attributes int, value []byte, code int32, deleted bool) {
		w := ledger.Write{Namespace: "yitong", ObjectType: kind, Attributes: []string{a, b, c, a, d}[:max(0, min(5, attributes))], Value: value, Delete: deleted}
		tx := ledger.Transaction{ID: d, Creator: ledger.Identity{MSP: a, Name: b}, Chaincode: "yitong", Function: c, Code: peer.TxValidationCode(code), Writes: []ledger.Write{w}}
		effects := read(tx, "yitong")
		if len(effects) == 0 {
			t.Fatal("not told at all")
		}
		for _, e := range effects {
			if e.Kind == "" || e.Action == "" && e.Outcome == Success || e.Outcome == "" {
				t.Errorf("an entry lacks what it is: %+v", e.Entry)
			}
			if !tx.Valid() && (e.row != nil || e.Outcome != Invalid) {
				t.Errorf("an invalid transaction has an effect: %+v", e)
			}
			for _, s := range []string{string(e.Action), e.Reason, e.Member, e.Custodian, e.Requester, e.Handle, e.Object, e.Purpose, e.Policy.Consent, e.Policy.Path} {
				if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
					t.Errorf("a text that a database refuses: %q", s)
				}
			}
		}
	})
}
