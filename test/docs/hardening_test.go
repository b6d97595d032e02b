package docs_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// row is a line of the table of docs/hardening.md: number, attack, what must happen, tests, control.
var row = regexp.MustCompile(`(?m)^\| (A\d+) \|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$`)

// shown also matches fuzz targets and benchmarks.
var shown = regexp.MustCompile(`\[((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)\]\(([^)]+)\)`)

func TestEveryRowOfTheHardeningHasATestAndAControl(t *testing.T) {
	text := read(t, filepath.Join(docs, "hardening.md"))
	found := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		if found[m[1]] != nil {
			t.Errorf("%s stands there twice", m[1])
		}
		found[m[1]] = m[2:]
	}
	for n := 13; n <= 38; n++ {
		id := fmt.Sprintf("A%d", n)
		if n == 33 { // about the ledger's metadata: the threat model
			continue
		}
		cells := found[id]
		if cells == nil {
			t.Errorf("%s has no row", id)
			continue
		}
		if len(shown.FindAllString(cells[2], -1)) == 0 {
			t.Errorf("%s names no test", id)
		}
		if len(strings.Fields(cells[3])) == 0 {
			t.Errorf("%s names no control", id)
		}
	}
}

func TestEveryTestThatTheHardeningNamesExists(t *testing.T) {
	text := read(t, filepath.Join(docs, "hardening.md"))
	all := shown.FindAllStringSubmatch(text, -1)
	if len(all) < 100 {
		t.Errorf("%d tests are named", len(all))
	}
	for _, c := range all {
		if !declares(t, filepath.Join(docs, c[2]), c[1]) {
			t.Errorf("%s declares no %s", c[2], c[1])
		}
	}
	for _, word := range regexp.MustCompile(`\b(Test|Fuzz|Benchmark)[A-Z]\w+`).FindAllString(shown.ReplaceAllString(strings.ReplaceAll(text, "^FuzzDocument$", ""), ""), -1) {
		t.Errorf("%s is named without a link to its file", word)
	}
}
