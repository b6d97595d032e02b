package chaincode

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheVersionIsOfFabricsForm(t *testing.T) {
	if !regexp.MustCompile(`^r[0-9a-f]{16}$`).MatchString(Version()) || !Known(Version()) || Known("1") {
		t.Error(Version())
	}
}

// Whatever folder of rules is added later, its source is in the version.
func TestEveryRuleIsInTheVersion(t *testing.T) {
	if err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		folder, _, deep := strings.Cut(name, "/")
		if err != nil || !deep || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || slices.Contains(besides, folder) || strings.HasPrefix(name, "contract/server/") {
			return err
		}
		if _, err := source.ReadFile(name); err != nil {
			t.Errorf("%s isn't in the version: name its folder where the source is embedded", name)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyWhatDecidesChangesTheVersion(t *testing.T) {
	of := func(text string) [32]byte {
		sum := sha256.New()
		tokens(sum, []byte(text))
		return [32]byte(sum.Sum(nil))
	}
	base := of("package a\n\nfunc f(n int) bool { return n > 3 }\n")
	for name, tt := range map[string]struct {
		text string
		same bool
	}{
		"a comment":        {"package a\n\n// f says.\nfunc f(n int) bool { return n > 3 }\n", true},
		"layout":           {"package a\nfunc f(n int) bool {\n\treturn n > 3\n}\n", false}, // a line's end is a semicolon
		"a bound":          {"package a\n\nfunc f(n int) bool { return n > 4 }\n", false},
		"a comparison":     {"package a\n\nfunc f(n int) bool { return n >= 3 }\n", false},
		"blanks":           {"package a\n\n\n\nfunc f(n int) bool { return   n > 3 }\n", true},
		"a name exchanged": {"package a\n\nfunc g(n int) bool { return n > 3 }\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := of(tt.text) == base; got != tt.same {
				t.Errorf("same version: %v", got)
			}
		})
	}
}
