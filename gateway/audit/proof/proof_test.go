package proof_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/contract"
	"yitong/gateway/audit/proof"
	"yitong/gateway/audit/proof/prooftest"
	"yitong/gateway/audit/replay/replaytest"
)

var update = flag.Bool("update", false, "write the vectors anew")

// world is a chain on which accesses have been asked for, released and received.
func world(t testing.TB) *replaytest.Chain {
	t.Helper()
	c := replaytest.New(t, replaytest.Options{Seed: 3, PerBlock: 6})
	c.History(150)
	return c
}

// asked is the id of a request by what came of it.
func asked(t testing.TB, c *replaytest.Chain, function string, n int) string {
	t.Helper()
	block, index := c.Find(function, n)
	p := c.Open(block, index)
	var doc struct {
		ID       string
		Releases []struct{ Permit string }
		Receipts []struct{ Permit string }
	}
	if err := json.Unmarshal(p.Args[1], &doc); err != nil {
		t.Fatal(err)
	}
	switch {
	case len(doc.Releases) > 0:
		return doc.Releases[0].Permit
	case len(doc.Receipts) > 0:
		return doc.Receipts[0].Permit
	}
	return doc.ID
}

func build(t testing.TB, c *replaytest.Chain, id string) []byte {
	t.Helper()
	raw, err := proof.Build(t.Context(), proof.Blocks(c.Encoded()), c.Genesis(), replaytest.ChaincodeName, id)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func verify(t testing.TB, c *replaytest.Chain, raw []byte) *proof.Result {
	t.Helper()
	r, err := proof.Verify(bytes.NewReader(raw), c.Genesis())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAProofShowsTheWholeAccess(t *testing.T) {
	c := world(t)
	id := asked(t, c, contract.AccessReceive, 0)
	r := verify(t, c, build(t, c, id))
	if r.Access.ID != id || !r.Access.Permitted() || r.Release == nil || r.Receipt == nil {
		t.Fatalf("it shows %+v, release %v, receipt %v", r.Access, r.Release, r.Receipt)
	}
	if len(r.Consents) != len(r.Access.Decision.Basis) || len(r.Consents) == 0 {
		t.Errorf("it rests on %v and shows %d consents", r.Access.Decision.Basis, len(r.Consents))
	}
	confirmed := map[string]bool{}
	for _, one := range r.Transactions {
		confirmed[one.Function] = one.Confirmed
	}
	want := map[string]bool{
		"CommitChaincodeDefinition": true, contract.RegistryFound: true, contract.ConsentGrant: true,
		contract.AccessRequest: true, contract.AccessRelease: true, contract.AccessReceive: false,
	}
	for function, is := range want {
		if got, there := confirmed[function]; !there || got != is {
			t.Errorf("%s is confirmed by a later endorsement: %v, want %v (there: %v)", function, got, is, there)
		}
	}
	for _, b := range r.Blocks[1:] {
		if len(b.Signers) < 3 {
			t.Errorf("block %d was signed by %v", b.Number, b.Signers)
		}
	}
}

func TestADenialIsProvedAsWell(t *testing.T) {
	c := world(t)
	for n := range 50 {
		if r := verify(t, c, build(t, c, asked(t, c, contract.AccessRequest, n))); !r.Access.Permitted() {
			if r.Release != nil || r.Receipt != nil {
				t.Error("something came of a denial")
			}
			return
		}
	}
	t.Error("no request was denied")
}

// What is erased is the content: that it was asked for, released and opened stays proved.
func TestErasuresLeaveTheProofsOfEarlierAccesses(t *testing.T) {
	c := world(t)
	id := asked(t, c, contract.AccessReceive, 0)
	before := build(t, c, id)
	want := verify(t, c, before)
	c.Erasures()
	for name, raw := range map[string][]byte{"made before the erasure": before, "made after it": build(t, c, id)} {
		if got := verify(t, c, raw); got.Access.ID != id || got.Release == nil || got.Receipt == nil || got.Release.Manifest != want.Release.Manifest {
			t.Errorf("the proof %s shows %+v", name, got)
		}
	}
}

func TestAnAccessThatIsNotThereCanNotBeProved(t *testing.T) {
	c := world(t)
	_, err := proof.Build(t.Context(), proof.Blocks(c.Encoded()), c.Genesis(), replaytest.ChaincodeName, "00000000000000000000000000000000")
	if !errors.Is(err, proof.ErrNoAccess) {
		t.Error(err)
	}
}

func TestAProofStandsOnTheDigestOnly(t *testing.T) {
	c := world(t)
	raw := build(t, c, asked(t, c, contract.AccessReceive, 0))
	other := c.Genesis()
	other[7] ^= 1
	if r, err := proof.Verify(bytes.NewReader(raw), other); err == nil || r != nil {
		t.Error("it is taken for another consortium's")
	}
}

// A forged chain has no proof, whoever conspired: the rules are run again.
func TestAForgedPermitHasNoProof(t *testing.T) {
	base := world(t)
	request := asked(t, base, contract.AccessReceive, 0)
	for name, level := range map[string]replaytest.Level{"by orderers": replaytest.Orderers, "by its sender": replaytest.Sender, "by everybody": replaytest.Endorsers} {
		t.Run(name, func(t *testing.T) {
			c := base.Clone()
			for n := range 200 {
				block, index := c.Find(contract.AccessRequest, n)
				if asked(t, c, contract.AccessRequest, n) != request {
					continue
				}
				c.Forge(block, index, level, func(p *replaytest.Parts) {
					for _, w := range p.Sets[replaytest.ChaincodeName].Writes {
						w.Value = bytes.Replace(w.Value, []byte(`"laboratory"`), []byte(`"imaging"`), 1)
					}
				})
				break
			}
			if _, err := proof.Build(t.Context(), proof.Blocks(c.Encoded()), base.Genesis(), replaytest.ChaincodeName, request); err == nil {
				t.Error("a forged permit was proved")
			}
		})
	}
}

func TestNoByteOfAProofCanBeChanged(t *testing.T) {
	c := world(t)
	raw := build(t, c, asked(t, c, contract.AccessReceive, 0))
	want := verify(t, c, raw)
	random := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		at := random.IntN(len(raw) - sha256.Size)
		spoilt := bytes.Clone(raw)
		spoilt[at] ^= 1 << random.IntN(8)
		if _, err := proof.Verify(bytes.NewReader(spoilt), c.Genesis()); !errors.Is(err, proof.ErrFormat) {
			t.Errorf("byte %d: the damage isn't seen: %v", at, err)
		}
		// What a peer says of itself beside the chain (its verdicts, its commit hash) is not
		// what a proof rests on; everything else is.
		got, err := proof.Verify(bytes.NewReader(prooftest.Reseal(spoilt)), c.Genesis())
		if err == nil && !cmp.Equal(want, got) {
			t.Errorf("byte %d: a forgery with a good digest shows something else", at)
		}
	}
}

func TestACutProofIsNone(t *testing.T) {
	c := world(t)
	raw := build(t, c, asked(t, c, contract.AccessReceive, 0))
	for _, n := range []int{0, 1, 15, 16, 20, len(raw) / 2, len(raw) - 1} {
		if _, err := proof.Verify(bytes.NewReader(raw[:n]), c.Genesis()); !errors.Is(err, proof.ErrFormat) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := proof.Verify(bytes.NewReader(append(bytes.Clone(raw), 0)), c.Genesis()); !errors.Is(err, proof.ErrFormat) {
		t.Errorf("with a byte more: %v", err)
	}
}

// The vector of docs/formats/proof.md: whoever writes a verifier of his own has it to hold
// against.
func TestTheVectorIsStillProved(t *testing.T) {
	const name = "testdata/receipt"
	if *update {
		c := world(t)
		raw := build(t, c, asked(t, c, contract.AccessReceive, 0))
		shown, err := json.MarshalIndent(verify(t, c, raw), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string][]byte{name + ".proof": raw, name + ".json": shown} {
			if err := os.WriteFile(filepath.FromSlash(file), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	raw, err := os.ReadFile(name + ".proof")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var stated struct{ Genesis string }
	if err := json.Unmarshal(want, &stated); err != nil {
		t.Fatal(err)
	}
	genesis, err := hex.DecodeString(stated.Genesis)
	if err != nil || len(genesis) != sha256.Size {
		t.Fatalf("the vector's digest is %q", stated.Genesis)
	}
	r, err := proof.Verify(bytes.NewReader(raw), [32]byte(genesis))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("what the vector shows (-want +got):\n%s", diff)
	}
}

func FuzzVerify(f *testing.F) {
	c := world(f)
	raw := build(f, c, asked(f, c, contract.AccessReceive, 0))
	f.Add(raw)
	f.Add(raw[:100])
	f.Add([]byte("yitong proof v1\n"))
	want, err := proof.Verify(bytes.NewReader(raw), c.Genesis())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > sha256.Size {
			raw = prooftest.Reseal(raw)
		}
		if got, err := proof.Verify(bytes.NewReader(raw), c.Genesis()); err == nil && !cmp.Equal(got.Access, want.Access) {
			t.Error("a forged file proves an access")
		}
	})
}
