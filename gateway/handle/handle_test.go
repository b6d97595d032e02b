package handle_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"yitong/chaincode/access"
	"yitong/gateway/handle"
)

var relation = handle.Relation{Channel: "yitong", Custodian: "HospitalA", Requester: "Insurer", Epoch: 1}

func newKeys(t testing.TB, n int) []handle.PrivateKey {
	t.Helper()
	keys := make([]handle.PrivateKey, n)
	for i := range keys {
		var err error
		if keys[i], err = handle.NewKey(); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// derive is what a party does: everything over the keys' public halves but the evaluation.
func derive(t testing.TB, r handle.Relation, keys []handle.PrivateKey, identifiers ...string) []string {
	t.Helper()
	inputs := make([][]byte, len(identifiers))
	for i, id := range identifiers {
		inputs[i] = []byte(id)
	}
	shares := make([][]handle.Share, len(identifiers))
	for i, k := range keys {
		b, err := handle.Blind(k.Public(), inputs)
		if err != nil {
			t.Fatal(err)
		}
		e, err := k.Evaluate(r, b.Elements())
		if err != nil {
			t.Fatal(err)
		}
		outputs, err := b.Finalise(r, e)
		if err != nil {
			t.Fatal(err)
		}
		for j, o := range outputs {
			shares[j] = append(shares[j], handle.Share{Evaluator: fmt.Sprintf("E%d", i), Output: o})
		}
	}
	handles := make([]string, len(identifiers))
	for i := range handles {
		var err error
		if handles[i], err = handle.Combine(r, shares[i]); err != nil {
			t.Fatal(err)
		}
	}
	return handles
}

func TestBothPartiesFindTheSameHandle(t *testing.T) {
	keys := newKeys(t, 2)
	one := derive(t, relation, keys, "urn:oid:1|a", "urn:oid:1|b", "urn:oid:1|c")
	for i, id := range []string{"urn:oid:1|a", "urn:oid:1|b", "urn:oid:1|c"} {
		other := derive(t, relation, keys, id)
		if other[0] != one[i] {
			t.Errorf("%s is %s in a batch, %s alone", id, one[i], other[0])
		}
		if err := access.CheckHandle(other[0]); err != nil || access.Epoch(other[0]) != 1 {
			t.Errorf("%s: %v", other[0], err)
		}
	}
	if one[0] == one[1] || one[1] == one[2] {
		t.Error("two patients have one handle")
	}
}

// Everything that a handle depends on, changed by itself, makes another one.
func TestEachFieldMatters(t *testing.T) {
	keys := newKeys(t, 3)
	base := derive(t, relation, keys[:2], "urn:oid:1|a")[0]
	change := func(f func(*handle.Relation)) handle.Relation { r := relation; f(&r); return r }
	for name, other := range map[string]string{
		"the channel":             derive(t, change(func(r *handle.Relation) { r.Channel = "x" }), keys[:2], "urn:oid:1|a")[0],
		"the custodian":           derive(t, change(func(r *handle.Relation) { r.Custodian = "HospitalB" }), keys[:2], "urn:oid:1|a")[0],
		"the requester":           derive(t, change(func(r *handle.Relation) { r.Requester = "HospitalB" }), keys[:2], "urn:oid:1|a")[0],
		"who is which":            derive(t, change(func(r *handle.Relation) { r.Custodian, r.Requester = r.Requester, r.Custodian }), keys[:2], "urn:oid:1|a")[0],
		"the epoch":               derive(t, change(func(r *handle.Relation) { r.Epoch = 2 }), keys[:2], "urn:oid:1|a")[0],
		"the patient":             derive(t, relation, keys[:2], "urn:oid:1|b")[0],
		"the first key":           derive(t, relation, []handle.PrivateKey{keys[2], keys[1]}, "urn:oid:1|a")[0],
		"the second key":          derive(t, relation, []handle.PrivateKey{keys[0], keys[2]}, "urn:oid:1|a")[0],
		"whose key is whose":      derive(t, relation, []handle.PrivateKey{keys[1], keys[0]}, "urn:oid:1|a")[0],
		"one evaluator more":      derive(t, relation, keys, "urn:oid:1|a")[0],
		"one evaluator less":      derive(t, relation, keys[:1], "urn:oid:1|a")[0],
		"where one field ends":    derive(t, change(func(r *handle.Relation) { r.Custodian, r.Requester = "HospitalAI", "nsurer" }), keys[:2], "urn:oid:1|a")[0],
		"a name within another's": derive(t, change(func(r *handle.Relation) { r.Channel, r.Custodian = "yitongH", "ospitalA" }), keys[:2], "urn:oid:1|a")[0],
	} {
		if pseudonym(base) == pseudonym(other) {
			t.Errorf("%s changes nothing", name)
		}
	}
	if again := derive(t, relation, keys[:2], "urn:oid:1|a")[0]; again != base {
		t.Errorf("the same gives %s, then %s", base, again)
	}
}

func pseudonym(h string) string { _, p, _ := strings.Cut(h, "-"); return p }

// An evaluator sees the same patient twice as two random elements, and so do two
// evaluators that put together what they saw.
func TestAnEvaluatorCanNotTellWhoItEvaluates(t *testing.T) {
	keys, seen := newKeys(t, 1), map[string]bool{}
	var ones, n int
	for range 64 {
		b, err := handle.Blind(keys[0].Public(), [][]byte{[]byte("urn:oid:1|a"), []byte("urn:oid:1|a")})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Elements() {
			if seen[string(e)] {
				t.Fatal("the same patient gives the same blinded element twice")
			}
			seen[string(e)] = true
			for _, x := range e[1:31] { // an encoding's lowest and highest bits are fixed
				ones += bits.OnesCount8(x)
				n += 8
			}
		}
	}
	if d := float64(ones)/float64(n) - 0.5; d > 0.02 || d < -0.02 { // 5 standard deviations of a fair coin: 0.0143
		t.Errorf("%d of %d bits are ones", ones, n)
	}
}

func TestWhatTheKeyOnTheLedgerDidNotMakeIsRefused(t *testing.T) {
	keys := newKeys(t, 2)
	b, err := handle.Blind(keys[0].Public(), [][]byte{[]byte("urn:oid:1|a"), []byte("urn:oid:1|b")})
	if err != nil {
		t.Fatal(err)
	}
	good, err := keys[0].Evaluate(relation, b.Elements())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Finalise(relation, good); err != nil {
		t.Fatal(err)
	}
	evaluate := func(k handle.PrivateKey, r handle.Relation, elements [][]byte) handle.Evaluation {
		e, err := k.Evaluate(r, elements)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	later := relation
	later.Epoch = 2
	flip := func(b []byte, i int) []byte { c := bytes.Clone(b); c[i] ^= 1; return c }
	for name, bad := range map[string]handle.Evaluation{
		"another key":                     evaluate(keys[1], relation, b.Elements()),
		"the right key, another relation": evaluate(keys[0], later, b.Elements()),
		"other elements":                  evaluate(keys[0], relation, [][]byte{b.Elements()[1], b.Elements()[0]}),
		"one element evaluated by another key": {
			Elements: [][]byte{good.Elements[0], evaluate(keys[1], relation, b.Elements()).Elements[1]}, Proof: good.Proof,
		},
		"the outputs swapped":  {Elements: [][]byte{good.Elements[1], good.Elements[0]}, Proof: good.Proof},
		"one element only":     {Elements: good.Elements[:1], Proof: good.Proof},
		"a proof changed":      {Elements: good.Elements, Proof: flip(good.Proof, 5)},
		"a proof cut short":    {Elements: good.Elements, Proof: good.Proof[:63]},
		"a proof and one more": {Elements: good.Elements, Proof: append(bytes.Clone(good.Proof), 0)},
		"no proof":             {Elements: good.Elements},
	} {
		if _, err := b.Finalise(relation, bad); !errors.Is(err, handle.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, element := range map[string][]byte{
		"the identity": make([]byte, 32), "noise": bytes.Repeat([]byte{0xff}, 32), "nothing": nil, "too much": append(bytes.Clone(good.Elements[0]), 0),
	} {
		if _, err := keys[0].Evaluate(relation, [][]byte{element}); !errors.Is(err, handle.ErrElement) {
			t.Errorf("evaluated %s: %v", name, err)
		}
		if _, err := b.Finalise(relation, handle.Evaluation{Elements: [][]byte{element, good.Elements[1]}, Proof: good.Proof}); !errors.Is(err, handle.ErrElement) {
			t.Errorf("finalised %s: %v", name, err)
		}
	}
}

func TestBoundsOfABatch(t *testing.T) {
	k := newKeys(t, 1)[0]
	for _, n := range []int{0, handle.MaxBatch + 1} {
		inputs := make([][]byte, n)
		for i := range inputs {
			inputs[i] = []byte{1}
		}
		if _, err := handle.Blind(k.Public(), inputs); err == nil {
			t.Errorf("%d identifiers are blinded", n)
		}
		if _, err := k.Evaluate(relation, inputs); err == nil {
			t.Errorf("%d elements are evaluated", n)
		}
	}
}

func TestWhatCanNotBeCombined(t *testing.T) {
	o := handle.Output(make([]byte, 64))
	for name, c := range map[string]struct {
		r      handle.Relation
		shares []handle.Share
	}{
		"nothing":              {relation, nil},
		"one evaluator twice":  {relation, []handle.Share{{"E", o}, {"E", o}}},
		"an output cut short":  {relation, []handle.Share{{"E", o[:63]}}},
		"nobody's output":      {relation, []handle.Share{{"", o}}},
		"no epoch":             {handle.Relation{Channel: "c", Custodian: "H", Requester: "I"}, []handle.Share{{"E", o}}},
		"no requester":         {handle.Relation{Channel: "c", Custodian: "H", Epoch: 1}, []handle.Share{{"E", o}}},
		"an endless custodian": {handle.Relation{Channel: "c", Custodian: strings.Repeat("H", 256), Requester: "I", Epoch: 1}, []handle.Share{{"E", o}}},
	} {
		if h, err := handle.Combine(c.r, c.shares); err == nil {
			t.Errorf("%s gives %s", name, h)
		}
	}
	a, _ := handle.Combine(relation, []handle.Share{{"A", o}, {"B", o}})
	b, _ := handle.Combine(relation, []handle.Share{{"B", o}, {"A", o}})
	if a == "" || a != b {
		t.Errorf("the order of the evaluators matters: %s, %s", a, b)
	}
}

func TestKeysAreReadBackAndNeverPrinted(t *testing.T) {
	k := newKeys(t, 1)[0]
	again, err := handle.ParsePrivateKey(k.Bytes())
	if err != nil || !bytes.Equal(again.Public().Bytes(), k.Public().Bytes()) {
		t.Fatalf("read back: %v", err)
	}
	public, err := handle.ParsePublicKey(k.Public().Bytes())
	if err != nil || public.ID() != k.Public().ID() || len(public.ID()) != 16 {
		t.Fatalf("read back: %v", err)
	}
	secret := hex.EncodeToString(k.Bytes())
	for _, printed := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s", k, k, k, k)} {
		if strings.Contains(printed, secret) {
			t.Error("a private key is printed")
		}
	}
	for name, raw := range map[string][]byte{"nothing": nil, "31 bytes": make([]byte, 31), "zero": make([]byte, 32)} {
		if _, err := handle.ParsePrivateKey(raw); err == nil {
			t.Errorf("%s is a private key", name)
		}
		if _, err := handle.ParsePublicKey(raw); err == nil {
			t.Errorf("%s is a public key", name)
		}
	}
}
