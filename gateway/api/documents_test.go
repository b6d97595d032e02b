package api_test

import (
	stdjson "encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/record"
	"yitong/gateway/api"
	"yitong/gateway/escrow"
	"yitong/gateway/seal"
)

// manifest is one as a custodian sends it.
func manifest(t testing.TB) (seal.Manifest, []byte) {
	t.Helper()
	m := seal.NewManifest(strings.Repeat("ab", 16), "HospitalA", "Insurer", 1_800_000_000)
	part := record.Part{Index: 0, Class: record.Laboratory, SealedSize: 4096}
	m.Add(strings.Repeat("cd", 16), []record.Part{part}, []int{0})
	raw, err := stdjson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return *m, raw
}

// A18: documents between gateways are read one way only.
func TestGatewaysDocumentsAreReadAsTheyWereWritten(t *testing.T) {
	want, raw := manifest(t)
	good := string(raw)
	var got seal.Manifest
	if err := api.ReadDocument(raw, &got); err != nil {
		t.Fatalf("control: %v", err)
	}
	if diff := cmp.Diff(want.Digest(), got.Digest()); diff != "" {
		t.Errorf("control: %s", diff)
	}
	if again, err := stdjson.Marshal(&got); err != nil || string(again) != good {
		t.Errorf("control: it is written again as\n%s, %v, and was\n%s", again, err, good)
	}
	for name, bad := range map[string]string{
		"a name twice":               strings.Replace(good, `{"permit":`, `{"permit":"00","permit":`, 1),
		"a name twice, once escaped": strings.Replace(good, `{"permit":`, `{"\u0070ermit":"00","permit":`, 1),
		"something after it":         good + `{}`,
		"half a surrogate pair":      strings.Replace(good, `"Insurer"`, `"\ud800"`, 1),
		"invalid UTF-8":              strings.Replace(good, `"Insurer"`, "\"\xc3\x28\"", 1),
		"a number without bound":     strings.Replace(good, `4096`, `1e400`, 1),
		"not a number":               strings.Replace(good, `4096`, `NaN`, 1),
		"a trailing comma":           good[:len(good)-1] + ",}",
	} {
		if bad == good {
			t.Fatalf("%s: the test changes nothing of %s", name, good)
		}
		if err := api.ReadDocument([]byte(bad), &seal.Manifest{}); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	var other seal.Manifest
	if err := api.ReadDocument([]byte(strings.Replace(good, `"permit"`, `"Permit"`, 1)), &other); err == nil && other.Permit != "" {
		t.Error("a name in capitals is read as the name")
	}
}

// What is read is what the standard library's parser, an independent second, reads too.
func FuzzDocument(f *testing.F) {
	_, raw := manifest(f)
	f.Add(raw)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"permit":"00","permit":"11"}`))
	f.Add([]byte(`{"Permit":"00"}`))
	f.Add([]byte(`{"records":[{"parts":[{}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		agree[seal.Manifest](t, raw)
		agree[escrow.Package](t, raw)
		agree[[]record.Part](t, raw)
	})
}

func agree[T any](t *testing.T, raw []byte) {
	var strict, lax T
	if api.ReadDocument(raw, &strict) != nil {
		return
	}
	once, err := stdjson.Marshal(strict)
	if err != nil {
		return // a value of the type that has no form
	}
	if err := stdjson.Unmarshal(once, &lax); err != nil {
		return // something that the type demands was missing
	}
	if twice, err := stdjson.Marshal(lax); err != nil || string(once) != string(twice) {
		t.Fatalf("written again it differs: %v\n%s\n%s", err, once, twice)
	}
}
