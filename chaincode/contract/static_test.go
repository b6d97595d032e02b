package contract_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"yitong/chaincode/contract"
)

// pure are the packages whose code runs inside a transaction.
var pure = []string{".", "../access", "../directive", "../disclosure", "../registry", "../consent", "../record", "../record/vocabulary", "../refusal"}

// clockFile is the one file that may read a clock.
const clockFile = "clock.go"

func parse(t *testing.T, dir string) (*token.FileSet, []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no Go files in %s: %v", dir, err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return fset, files
}

// No clock, no chance, no outside world. Formatting and parsing an instant is not reading
// a clock, so the one package of instants may know of time, but not call time.Now.
func TestNothingInATransactionKnowsTheWorldOutside(t *testing.T) {
	banned := []string{"time", "math/rand", "math/rand/v2", "crypto/rand", "os", "os/exec", "net", "net/http", "runtime", "unsafe", "sync", "sync/atomic", "io/fs", "syscall"}
	for _, dir := range pure {
		fset, files := parse(t, dir)
		for _, f := range files {
			name := fset.Position(f.Pos()).Filename
			for _, i := range f.Imports {
				path, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				allowed := path == "time" && (filepath.Base(name) == clockFile && dir == "." || strings.HasPrefix(name, "../record/")) ||
					path == "sync" && strings.HasPrefix(name, "../consent/")
				if slices.Contains(banned, path) && !allowed {
					t.Errorf("%s imports %s", name, path)
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt, *ast.SelectStmt:
					t.Errorf("%s: concurrency", fset.Position(n.Pos()))
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until"}, n.Sel.Name) && filepath.Base(name) != clockFile {
						t.Errorf("%s: reads a clock", fset.Position(n.Pos()))
					}
				case *ast.Ident:
					if n.Name == "float64" || n.Name == "float32" || n.Name == "complex128" {
						t.Errorf("%s: a float", fset.Position(n.Pos()))
					}
				case *ast.BasicLit:
					if n.Kind == token.FLOAT {
						t.Errorf("%s: a float", fset.Position(n.Pos()))
					}
				}
				return true
			})
		}
	}
}

// No range over a map, whose order is chance.
func TestNothingIsInTheOrderOfAMap(t *testing.T) {
	lookup := exports(t)
	for _, dir := range pure {
		fset, files := parse(t, dir)
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
		config := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup), Error: func(error) {}}
		_, _ = config.Check(dir, fset, files, info) // incomplete is enough: unknown types fail below
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				r, ok := n.(*ast.RangeStmt)
				if !ok {
					return true
				}
				switch typ := info.Types[r.X].Type; {
				case typ == nil || typ == types.Typ[types.Invalid]:
					t.Errorf("%s: range over something of unknown type", fset.Position(r.Pos()))
				default:
					if _, isMap := typ.Underlying().(*types.Map); isMap {
						t.Errorf("%s: range over a map", fset.Position(r.Pos()))
					}
				}
				return true
			})
		}
	}
}

// Functions that write reach no range query, no page, no rich query and no history. Calls
// are followed by name alone, so a method of the same name counts too: too strict at worst.
func TestFunctionsThatWriteMakeNoQueries(t *testing.T) {
	_, files := parse(t, ".")
	calls := map[string]map[string]bool{} // by the name of the function
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if calls[fn.Name.Name] == nil {
				calls[fn.Name.Name] = map[string]bool{}
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					calls[fn.Name.Name][callee(call.Fun)] = true
				}
				return true
			})
		}
	}
	queries := func(function string) []string {
		seen, found := map[string]bool{}, []string{}
		var visit func(string)
		visit = func(name string) {
			if seen[name] {
				return
			}
			seen[name] = true
			if strings.HasPrefix(name, "GetStateBy") || strings.HasPrefix(name, "GetQueryResult") || strings.HasPrefix(name, "GetHistory") ||
				strings.HasPrefix(name, "GetPrivate") || strings.HasPrefix(name, "GetAllStates") || name == "InvokeChaincode" {
				found = append(found, name)
			}
			for callee := range calls[name] {
				if _, ours := calls[callee]; ours || strings.HasPrefix(callee, "Get") || callee == "InvokeChaincode" {
					visit(callee)
				}
			}
		}
		visit(function)
		return found
	}
	for _, function := range slices.Sorted(maps.Keys(writes)) {
		_, name, _ := strings.Cut(function, ":")
		if calls[name] == nil {
			t.Errorf("%s isn't in the source", function)
		}
		if found := queries(name); len(found) > 0 {
			t.Errorf("%s reaches %q", function, found)
		}
	}
	if found := queries("Records"); len(found) == 0 {
		t.Error("the control: record:Records should reach a page")
	}
}

// callee is the name that a call calls.
func callee(fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.IndexExpr:
		return callee(f.X)
	}
	return ""
}

// exports opens what the compiler exports of a package.
func exports(t *testing.T) importer.Lookup {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", "./...", "../access", "../directive", "../disclosure").Output()
	if err != nil {
		t.Skipf("the go command can't list packages here: %v", err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}

// The door has no side entrance: what the chaincode answers to is what the constants name.
func TestOnlyTheNamedFunctionsAreThere(t *testing.T) {
	w := newWorld(t)
	metadata, err := w.Evaluate(t.Context(), w.Client(insurer), insurer, "org.hyperledger.fabric:GetMetadata")
	if err != nil {
		t.Fatal(err)
	}
	type doc struct {
		Contracts map[string]struct {
			Transactions []struct{ Name string }
		}
	}
	n := 0
	for name, c := range into[doc](t, metadata).Contracts {
		if strings.HasPrefix(name, "org.") {
			continue
		}
		for _, f := range c.Transactions {
			if _, ok := may[name+":"+f.Name]; !ok && name+":"+f.Name != contract.RegistryFound {
				t.Errorf("%s:%s is callable and not named", name, f.Name)
			}
			n++
		}
	}
	if n != len(may)+1 {
		t.Errorf("%d functions, want %d", n, len(may)+1)
	}
	if _, err := os.Stat("contract-metadata"); err == nil {
		t.Error("a metadata file would override what is checked here")
	}
}
