package share_test

import (
	"encoding/json"
	"strings"
	"testing"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/gateway/handle"
	"yitong/gateway/share"
)

// A member that is no party has the whole ledger, the list of everybody in a small town, and
// one evaluator's stolen key: it finds nobody. The control has both keys and finds exactly
// those that are there, so the attack is a real one.
func TestAStolenKeyFindsNobodyInASmallTown(t *testing.T) {
	c := newConsortium(t)
	const town, patients = 24, 5
	for i := range patients {
		_, _, _, err := c.gateways[hospitalA].Grant(t.Context(), share.Directive{
			Patient: someone(i * 4), Requester: "Insurer", Provision: consent.Provision{Type: consent.Permit}, Form: []byte("signed"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	onLedger := map[string]bool{} // what every peer's copy of the ledger shows
	var page contract.RelationshipPage
	if err := c.chains[regulator].Evaluate(t.Context(), contract.ConsentList, contract.ListQuery{}, &page); err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Relationships {
		onLedger[r.Handle] = true
	}
	if len(onLedger) != patients {
		t.Fatalf("%d handles are on the ledger", len(onLedger))
	}
	stolen := map[string]handle.PrivateKey{}
	for _, msp := range []string{hospitalA, regulator} {
		raw, err := stores[msp].Get(share.BucketEvaluate, "1")
		if err != nil {
			t.Fatal(err)
		}
		var kept struct{ Secret []byte }
		if err := json.Unmarshal(raw, &kept); err != nil {
			t.Fatal(err)
		}
		if stolen[msp], err = handle.ParsePrivateKey(kept.Secret); err != nil {
			t.Fatal(err)
		}
	}
	r := handle.Relation{Channel: "test", Custodian: hospitalA, Requester: insurer, Epoch: 1}
	own, err := handle.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, attack := range map[string]struct {
		keys map[string]handle.PrivateKey
		want int
	}{
		"the regulator's key alone":            {map[string]handle.PrivateKey{regulator: stolen[regulator]}, 0},
		"the hospital's key alone":             {map[string]handle.PrivateKey{hospitalA: stolen[hospitalA]}, 0},
		"one key, and one of its own making":   {map[string]handle.PrivateKey{regulator: stolen[regulator], hospitalA: own}, 0},
		"one key in both places":               {map[string]handle.PrivateKey{regulator: stolen[regulator], hospitalA: stolen[regulator]}, 0},
		"no key at all":                        {map[string]handle.PrivateKey{regulator: own, hospitalA: own}, 0},
		"control: the keys of every evaluator": {stolen, patients},
	} {
		found := 0
		for i := range town {
			p := someone(i)
			var shares []handle.Share
			for msp, k := range attack.keys {
				shares = append(shares, handle.Share{Evaluator: msp, Output: outputOf(t, k, r, p)})
			}
			h, err := handle.Combine(r, shares)
			if err != nil {
				t.Fatal(err)
			}
			if onLedger[h] {
				found++
			}
		}
		if found != attack.want {
			t.Errorf("%s: %d are found, want %d", name, found, attack.want)
		}
		if (attack.want > 0) != strings.HasPrefix(name, "control") {
			t.Errorf("%s is no control", name)
		}
	}
	// Nor will the evaluators do it for a member that is no party.
	b, _ := handle.Blind(stolen[regulator].Public(), [][]byte{[]byte("x")})
	if _, err := c.gateways[regulator].EvaluateFor(t.Context(), hospitalB, r, b.Elements()); err == nil {
		t.Error("evaluated for a member that is no party")
	}
}

func outputOf(t *testing.T, k handle.PrivateKey, r handle.Relation, p share.Patient) handle.Output {
	t.Helper()
	b, err := handle.Blind(k.Public(), [][]byte{[]byte(p.System + "|" + p.Value)})
	if err != nil {
		t.Fatal(err)
	}
	e, err := k.Evaluate(r, b.Elements())
	if err != nil {
		t.Fatal(err)
	}
	o, err := b.Finalise(r, e)
	if err != nil {
		t.Fatal(err)
	}
	return o[0]
}
