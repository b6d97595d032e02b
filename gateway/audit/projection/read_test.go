package projection

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/gateway/ledger"
)

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
