package seal_test

import (
	"errors"
	"testing"

	"yitong/gateway/seal"
)

func TestAMessageOpensInItsPlaceOnly(t *testing.T) {
	priv, other := pair(t), pair(t)
	place := seal.Place{Label: "a sort of message", Fields: []string{"HospitalAMSP", "record", "InsurerMSP"}}
	m, err := seal.SealTo(priv.Public(), place, []byte("shares"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seal.OpenFrom(priv, place, m); err != nil || string(got) != "shares" {
		t.Fatalf("in its own place: %q, %v", got, err)
	}
	moved := map[string]seal.Place{
		"another label":                 {Label: "another", Fields: place.Fields},
		"another field":                 {Label: place.Label, Fields: []string{"HospitalAMSP", "recorD", "InsurerMSP"}},
		"a field fewer":                 {Label: place.Label, Fields: place.Fields[:2]},
		"an empty field more":           {Label: place.Label, Fields: append([]string{}, "HospitalAMSP", "record", "InsurerMSP", "")},
		"a byte moved to the neighbour": {Label: place.Label, Fields: []string{"HospitalAMSPr", "ecord", "InsurerMSP"}},
	}
	for name, at := range moved {
		if _, err := seal.OpenFrom(priv, at, m); !errors.Is(err, seal.ErrUnwrap) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := seal.OpenFrom(other, place, m); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("another member's key: %v", err)
	}
	m.Ciphertext[0] ^= 1
	if _, err := seal.OpenFrom(priv, place, m); !errors.Is(err, seal.ErrUnwrap) {
		t.Errorf("a flipped bit: %v", err)
	}
}
