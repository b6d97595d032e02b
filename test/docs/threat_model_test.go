// Package docs_test holds what the documents claim to what is in the code.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const docs = "../../docs"

// A claim of the threat model names the test that shows it: [TestName](../folder/file_test.go).
var claim = regexp.MustCompile(`\[(Test[A-Za-z0-9_]+)\]\(([^)]+)\)`)

// adversaries are those that the threat model must answer.
var adversaries = []string{
	"A curious insurer", "A hospital's administrator", "Colluding members", "A storage provider", "A network observer",
	"A stolen gateway disk", "A quantum archivist", "An over-reaching regulator",
}

func TestEveryTestThatTheThreatModelNamesExists(t *testing.T) {
	text := read(t, filepath.Join(docs, "threat-model.md"))
	named := 0
	for _, section := range strings.Split(text, "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		claims := claim.FindAllStringSubmatch(body, -1)
		named += len(claims)
		if slices.ContainsFunc(adversaries, func(a string) bool { return strings.HasPrefix(title, a) }) && len(claims) < 3 {
			t.Errorf("%q: %d tests show what it can't do", title, len(claims))
		}
		for _, c := range claims {
			if !declares(t, filepath.Join(docs, c[2]), c[1]) {
				t.Errorf("%q: %s declares no %s", title, c[2], c[1])
			}
		}
		// A name that isn't linked isn't checked.
		for _, word := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(claim.ReplaceAllString(body, ""), -1) {
			t.Errorf("%q names %s without a link to its file", title, word)
		}
	}
	if named < 40 {
		t.Errorf("%d tests are named", named)
	}
}

func TestTheThreatModelAnswersEveryAdversary(t *testing.T) {
	text := read(t, filepath.Join(docs, "threat-model.md"))
	for _, a := range adversaries {
		_, section, ok := strings.Cut(text, "\n## "+a)
		if !ok {
			t.Errorf("there is no section %q", a)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for _, want := range []string{"**Has:**", "**Can:**", "**Can't:**"} {
			if !strings.Contains(section, want) {
				t.Errorf("%q doesn't say what it %s", a, strings.Trim(want, "*:"))
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func declares(t *testing.T, path, name string) bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("%v", err)
		return false
	}
	return slices.ContainsFunc(file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Recv == nil && f.Name.Name == name
	})
}
