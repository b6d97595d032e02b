package identifier_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"yitong/chaincode/refusal"
	"yitong/gateway/identifier"
)

func TestVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Name, System, Value, Spelled string } // Spelled "": refused
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			got, err := identifier.Normalise(v.System, v.Value)
			if v.Spelled == "" {
				if !errors.Is(err, &refusal.Refusal{Code: refusal.Malformed}) {
					t.Fatalf("%q, %v; want it refused as malformed", got, err)
				}
				if len(strings.TrimSpace(v.Value)) > 3 && strings.Contains(err.Error(), strings.TrimSpace(v.Value)) {
					t.Error("the refusal quotes the identifier")
				}
				return
			}
			if err != nil || got.String() != v.Spelled {
				t.Errorf("%q, %v; want %q", got, err, v.Spelled)
			}
		})
	}
}

// GB 11643's check digit finds every single digit mistyped and every swap of neighbours.
func TestTheCheckDigitFindsMistypedDigits(t *testing.T) {
	const good = "11010519491231002X"
	accepted := func(s string) bool {
		_, err := identifier.Normalise(identifier.ResidentID, s)
		return err == nil
	}
	if !accepted(good) {
		t.Fatal("the good one is refused")
	}
	for i := range 18 {
		for _, d := range "0123456789X" {
			bad := good[:i] + string(d) + good[i+1:]
			if bad != good && accepted(bad) {
				t.Errorf("%s is accepted", bad)
			}
		}
		if i < 17 && good[i] != good[i+1] {
			if swapped := good[:i] + good[i+1:i+2] + good[i:i+1] + good[i+2:]; accepted(swapped) {
				t.Errorf("%s is accepted", swapped)
			}
		}
	}
}

// To normalise twice is to normalise once, and what comes out can be taken apart.
func FuzzNormalise(f *testing.F) {
	f.Add("urn:oid:2.16.156.10011.1.3", "11010519491231002x")
	f.Add("HTTP://hl7.org/fhir/sid/passport-chn", "e1234")
	f.Add("https://User@H.example/mrn", " 1 ")
	f.Add("2.16", "\u00e9")
	f.Add("urn:uuid", "ｘ")
	f.Fuzz(func(t *testing.T, system, value string) {
		once, err := identifier.Normalise(system, value)
		if err != nil {
			return
		}
		twice, err := identifier.Normalise(once.System, once.Value)
		if err != nil || twice != once {
			t.Fatalf("%q, then %q, %v", once, twice, err)
		}
		if strings.Count(once.String(), "|") != 1 || len(once.System) > identifier.Max || len(once.Value) > identifier.Max {
			t.Fatalf("%q", once)
		}
	})
}
