package handle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/cloudflare/circl/oprf"
)

// testdata/rfc9497.json is the part of RFC 9497's vectors (appendix A.1.3) that is about
// this suite and mode.
func TestRFC9497(t *testing.T) {
	raw, err := os.ReadFile("testdata/rfc9497.json")
	if err != nil {
		t.Fatal(err)
	}
	var suiteOf struct {
		Identifier, KeyInfo, PkSm, Seed, SkSm string
		Mode                                  int
		Vectors                               []struct {
			Batch                                                         int
			Blind, BlindedElement, EvaluationElement, Info, Input, Output string
			Proof                                                         struct{ Proof string }
		}
	}
	if err := json.Unmarshal(raw, &suiteOf); err != nil {
		t.Fatal(err)
	}
	if suiteOf.Identifier != suite.Identifier() || suiteOf.Mode != int(oprf.PartialObliviousMode) || len(suiteOf.Vectors) != 3 {
		t.Fatalf("%s, mode %d, %d vectors", suiteOf.Identifier, suiteOf.Mode, len(suiteOf.Vectors))
	}
	derived, err := oprf.DeriveKey(suite, oprf.PartialObliviousMode, bytesOf(t, suiteOf.Seed)[0], bytesOf(t, suiteOf.KeyInfo)[0])
	if err != nil {
		t.Fatal(err)
	}
	private, err := ParsePrivateKey(bytesOf(t, suiteOf.SkSm)[0])
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKey(bytesOf(t, suiteOf.PkSm)[0])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(private.Bytes(), PrivateKey{derived}.Bytes()) || !bytes.Equal(private.Public().Bytes(), public.Bytes()) {
		t.Fatal("the key isn't the vector's")
	}
	for _, v := range suiteOf.Vectors {
		var blinds []oprf.Blind
		for _, b := range bytesOf(t, v.Blind) {
			s := suite.Group().NewScalar()
			if err := s.UnmarshalBinary(b); err != nil {
				t.Fatal(err)
			}
			blinds = append(blinds, s)
		}
		info := bytesOf(t, v.Info)[0]
		b, err := blind(public, bytesOf(t, v.Input), blinds)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "blinded", b.Elements(), bytesOf(t, v.BlindedElement))
		e, err := private.evaluate(info, b.Elements())
		if err != nil {
			t.Fatal(err)
		}
		same(t, "evaluated", e.Elements, bytesOf(t, v.EvaluationElement))
		// The vector's own proof, made with other randomness, holds as well as ours.
		for _, proof := range [][]byte{e.Proof, bytesOf(t, v.Proof.Proof)[0]} {
			outputs, err := b.finalise(info, Evaluation{e.Elements, proof})
			if err != nil {
				t.Fatal(err)
			}
			var got [][]byte
			for _, o := range outputs {
				got = append(got, o)
			}
			same(t, "output", got, bytesOf(t, v.Output))
		}
	}
}

func bytesOf(t *testing.T, list string) (out [][]byte) {
	for _, s := range strings.Split(list, ",") {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func same(t *testing.T, what string, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d of %d", what, len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s %d is %x, want %x", what, i, got[i], want[i])
		}
	}
}

// The whole way with fixed keys and outputs: the format of a handle never changes unnoticed.
func TestTheVectorOfAHandle(t *testing.T) {
	share := func(msp string, fill byte) Share { return Share{msp, bytes.Repeat([]byte{fill}, 64)} }
	got, err := Combine(Relation{"yitong", "HospitalA", "Insurer", 7}, []Share{share("Regulator", 2), share("HospitalA", 1)})
	if err != nil {
		t.Fatal(err)
	}
	const want = "7-1b7744e830c9b0adc65812f83e4069975cc8ed1e3eb3c9fb119ff34b8314dabb" // computed by another implementation too
	if got != want {
		t.Errorf("%s", got)
	}
}
