package directive

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"
)

type vectors struct {
	TestGroups []struct {
		PublicKey struct {
			PK           string `json:"pk"`
			Uncompressed string `json:"uncompressed"`
		} `json:"publicKey"`
		Tests []struct {
			ID      int `json:"tcId"`
			Comment string
			Msg     string
			Sig     string
			Result  string
		} `json:"tests"`
	} `json:"testGroups"`
}

// Project Wycheproof's cases, against the very functions that verify directives.
func TestWycheproof(t *testing.T) {
	for _, test := range []struct {
		file   string
		least  int // valid and invalid cases there must be, or nothing was tested
		key    func(pk, point []byte) Key
		verify func(Key, []byte, []byte) bool
	}{
		{"ed25519_test.json", 50,
			func(pk, _ []byte) Key { return Key{Algorithm: Ed25519, Public: pk} },
			func(k Key, message, signature []byte) bool { return verifyEd25519(k.Public, message, signature) }},
		{"ecdsa_secp256r1_sha256_test.json", 100,
			func(_, point []byte) Key { return Key{Algorithm: ES256, Public: point} }, verifyES256},
	} {
		t.Run(test.file, func(t *testing.T) {
			raw, err := fs.ReadFile(wycheproof.TestVectors, test.file)
			if err != nil {
				t.Fatal(err)
			}
			var v vectors
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
			valid, invalid := 0, 0
			for _, g := range v.TestGroups {
				key := test.key(unhex(t, g.PublicKey.PK), unhex(t, g.PublicKey.Uncompressed))
				for _, c := range g.Tests {
					got := test.verify(key, unhex(t, c.Msg), unhex(t, c.Sig))
					if want := c.Result == "valid"; got != want {
						t.Errorf("case %d (%s): verified %v, want %v", c.ID, c.Comment, got, want)
					}
					if got {
						valid++
					} else {
						invalid++
					}
				}
			}
			if valid < test.least || invalid < test.least {
				t.Errorf("only %d valid and %d invalid cases", valid, invalid)
			}
		})
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
