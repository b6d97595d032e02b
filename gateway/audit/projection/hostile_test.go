package projection_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/gateway/audit/projection"
	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/ledger"
)

// hostile is a chain of what only a stranger, or a conspiring majority, would write.
func hostile(t testing.TB) projectiontest.Chain {
	t.Helper()
	h := strings.Repeat("b", 64)
	id := strings.Repeat("a", 32)
	raw := func(value string, kind string, attributes ...string) ledger.Write {
		w := projectiontest.Put(0, kind, attributes...)
		w.Value = []byte(value)
		return w
	}
	gone := func(kind string, attributes ...string) ledger.Write {
		w := projectiontest.Put(0, kind, attributes...)
		w.Value, w.Delete = nil, true
		return w
	}
	junk := "\x00\xff\xfe'; DROP TABLE entries; --\u202e" + strings.Repeat("长", 4000)
	writes := [][]ledger.Write{
		nil,
		{raw("{", "access", "H", "I", id)},
		{raw(`{"id":"`+id+`","id":"x"}`, "access", "H", "I", id)},
		{raw("null", "access", junk, junk, junk), raw("7", "access", junk, junk, junk)},
		{raw("{}", "access", "H", "I")},
		{raw("{}", "consent", "H", "I", h, id, "NaN"), raw("{}", "consent", "H", "I", h, id, "99999999999999999999"), raw("{}", "consent", "H", "I", h, id, "-1")},
		{raw("{}", "release", "H", "I", id), raw("{}", "receipt", "H", "I", id)},
		{gone("access", "H", "I", id), gone("release", "H", "I", id), gone("receipt", "H", "I", id)},
		{raw(junk, "member", "H"), raw(junk, "keys", "H"), raw(junk, "motion", "m"), raw(junk, "closed-latest"), raw("1e400", "closed-latest"), raw(junk, "record", "H", id)},
		{gone("member", "H"), gone("keys", "H"), gone("motion", "m"), gone("closed-latest"), gone("record", "H", id), gone("consent", "H", "I", h, id, "1")},
		{raw("[]", "directives", "H", "I", h), raw("[]", "withdrawn", "H", "I", h), raw("[]", "roster")},
		{raw(`{"order":"x"}`, "answer", "H", "R", id), raw(junk, "order", "H", "R", id), raw(junk, "conclusion", "H", "R", id)},
		{{Namespace: "other", Key: "k", Value: []byte("v")}, {Namespace: projectiontest.Chaincode, Key: junk, Value: []byte(junk)}},
	}
	var c projectiontest.Chain
	var previous []byte
	for i, w := range writes {
		var txs []ledger.Transaction
		for _, code := range []peer.TxValidationCode{peer.TxValidationCode_VALID, peer.TxValidationCode_BAD_PAYLOAD, 255, peer.TxValidationCode_VALID} {
			txs = append(txs, ledger.Transaction{
				ID: junk, Creator: ledger.Identity{MSP: junk, Name: junk}, Chaincode: projectiontest.Chaincode, Function: junk, Argument: []byte(junk),
				Endorsers: []string{junk, "B", "A", "A"}, Code: code, Writes: w, Timestamp: time.Unix(int64(i)*1e9-5e9, 0),
			})
		}
		txs = append(txs, ledger.Transaction{Malformed: junk, Code: peer.TxValidationCode_VALID, Writes: w},
			ledger.Transaction{Config: true, Code: peer.TxValidationCode_VALID}, ledger.Transaction{Chaincode: junk, Function: junk, Code: peer.TxValidationCode_VALID})
		b := projectiontest.Link(previous, uint64(i), txs)
		previous = b.Hash[:]
		c = append(c, b)
	}
	return c
}

func TestNothingThatStandsInABlockStopsTheProjection(t *testing.T) {
	blocks := hostile(t)
	d := straight(t, blocks)
	want := 0
	for _, b := range blocks {
		want += len(b.Transactions)
	}
	if d.Transactions != int64(want) || d.Entries < d.Transactions {
		t.Errorf("%d transactions, %d entries; want %d and no fewer", d.Transactions, d.Entries, want)
	}
}

// FuzzApply: whatever value is written under whatever key, the block is taken, leaves at
// least one entry a transaction, and the same again elsewhere.
func FuzzApply(f *testing.F) {
	for _, kind := range []string{"member", "keys", "motion", "record", "consent", "access", "release", "receipt", "order", "answer", "conclusion", "closed-latest"} {
		f.Add(kind, "H", "I", "x", []byte(`{"id":"x","custodian":"H","requester":"I","permit":"x"}`), "access:Request", int32(0), false)
	}
	f.Add("access", "\x00", "\xff", "", []byte(nil), "", int32(11), true)
	ctx := context.Background()
	one, err := projection.Open(ctx, "sqlite:"+f.TempDir()+"/one.db", projectiontest.Chaincode)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { one.Close() })
	f.Fuzz(func(t *testing.T, kind, a, b, c string, value []byte, function string, code int32, deleted bool) {
		attributes := map[string][]string{"consent": {a, b, c, a, "1"}, "record": {a, c}, "member": {a}, "keys": {a}, "motion": {a}, "closed-latest": {}}[kind]
		if attributes == nil {
			attributes = []string{a, b, c}
		}
		w := projectiontest.Put(0, kind, attributes...)
		w.Value, w.Delete = value, deleted
		block := projectiontest.Link(nil, 0, []ledger.Transaction{{
			ID: c, Creator: ledger.Identity{MSP: a, Name: b}, Chaincode: projectiontest.Chaincode, Function: function, Code: peer.TxValidationCode(code), Writes: []ledger.Write{w, w},
		}})
		if err := one.Reset(ctx); err != nil {
			t.Fatal(err)
		}
		apply(t, one, block)
		first := digest(t, one)
		if first.Transactions != 1 || first.Entries < 1 {
			t.Fatalf("%+v", first.Checkpoint)
		}
		if err := one.Reset(ctx); err != nil {
			t.Fatal(err)
		}
		apply(t, one, block)
		same(t, digest(t, one), first)
	})
}
