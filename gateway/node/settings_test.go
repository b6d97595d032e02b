package node_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"yitong/gateway/api"
	"yitong/gateway/node"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

func TestSettingsSayWhereTheyAreFrom(t *testing.T) {
	dir, c := folder(t)
	c.Limits.Rate = 12.5
	c.Audit = "postgres://auditor:s3cret@db/audit"
	path := filepath.Join(dir, "node.yaml")
	if err := node.WriteConfig(path, c); err != nil {
		t.Fatal(err)
	}
	settings, err := node.Settings(path)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range settings {
		got[s.Name] = fmt.Sprint(s.Value, " ", s.From)
		if strings.Contains(fmt.Sprint(s.Value), "s3cret") {
			t.Errorf("%s shows a password: %v", s.Name, s.Value)
		}
	}
	for name, want := range map[string]string{
		"member.msp": "HospitalA file", "limits.rate": "12.5 file", "limits.burst": "25 default", "limits.body": "64MiB default", "limits.answer": "1m0s default",
		"peers[0].address": "127.0.0.1:7051 file", "vault": filepath.Join(dir, "state", "vault") + " default", "clinicians": "<nil> unset", "operations": " unset",
		"log_level": "info file", "passphrase": filepath.Join(dir, "passphrase") + " file", "audit": "postgres://auditor:xxxxx@db/audit file",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, not %q", name, got[name], want)
		}
	}
}

// What isn't a setting, what has the wrong form and what can't be are told together.
func TestSlipsOfThePenAreToldWithTheRest(t *testing.T) {
	dir, c := folder(t)
	c.Listen = "nowhere"
	path := filepath.Join(dir, "node.yaml")
	if err := node.WriteConfig(path, c); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, "log_levle: debug\nlimits:\n  rate: many\n  burst: -1\n  bodies: 3 cats")
	f.Close()
	_, err = node.ReadConfig(path)
	for _, want := range []string{"there is no setting log_levle", "`many` isn't a number", "3 cats", "limits.burst is -1", `listen is "nowhere"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.ReadConfig(path); err == nil || !strings.Contains(err.Error(), "config example") {
		t.Errorf("an empty file: %v", err)
	}
}

func FuzzReadConfig(f *testing.F) {
	f.Add([]byte(node.Example))
	f.Add([]byte("limits: {body: 9999999TiB}\npeers: [1, {address: x}]\n"))
	f.Add([]byte("retention: {laboratory: [1]}\nlimits: null\nclinicians: {}\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		path := filepath.Join(t.TempDir(), "node.yaml")
		if err := os.WriteFile(path, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := node.ReadConfig(path); err == nil {
			t.Skip("it can be used")
		}
	})
}

// The example lacks nothing but its files.
func TestTheExampleIsAConfiguration(t *testing.T) {
	dir := t.TempDir()
	cert, key := pem(t)
	for file, content := range map[string][]byte{
		"secrets/passphrase": []byte("x"), "identity/cert.pem": cert, "identity/key.pem": key, "tls/cert.pem": cert, "tls/key.pem": key,
		"trust/HospitalA.pem": cert, "trust/HospitalB.pem": cert,
	} {
		write(t, filepath.Join(dir, file), content)
	}
	path := filepath.Join(dir, "node.yaml")
	if err := os.WriteFile(path, []byte(node.Example), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.ReadConfig(path); err != nil {
		t.Error(err)
	}
	// What is commented out is right too.
	var with strings.Builder
	for line := range strings.Lines(node.Example) {
		if rest, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(rest, ": ") && !strings.HasPrefix(rest, "The ") && !strings.HasPrefix(rest, "Every") && !strings.HasPrefix(rest, "from") {
			line = rest
		}
		with.WriteString(line)
	}
	d := yaml.NewDecoder(strings.NewReader(with.String()))
	d.KnownFields(true)
	var c node.Config
	if err := d.Decode(&c); err != nil || c.Tracing.Endpoint == "" || c.Drain != 5*time.Second {
		t.Errorf("%v\n%s", err, with.String())
	}
}

// docs/configuration.md is made of the structs' own comments: go test ./gateway/node -update
func TestTheManualHasEverySetting(t *testing.T) {
	about := comments(t)
	var doc bytes.Buffer
	fmt.Fprint(&doc, manual)
	defaults := reflect.ValueOf(api.DefaultLimits)
	var describe func(reflect.Type, string)
	describe = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if !f.IsExported() || name == "-" || name == "" {
				continue
			}
			at := strings.TrimPrefix(path+"."+name, ".")
			text := strings.TrimSpace(about[typ.Name()+"."+f.Name])
			if text == "" {
				t.Errorf("%s.%s has no comment: the manual says nothing of %s", typ.Name(), f.Name, at)
			}
			text = asInTheFile(text, f.Name, typ)
			inner := f.Type
			for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
				if inner.Kind() == reflect.Slice {
					at += "[]"
				}
				inner = inner.Elem()
			}
			if typ == defaults.Type() {
				text += fmt.Sprintf(" Default: %v.", defaults.Field(i).Interface())
			}
			fmt.Fprintf(&doc, "| `%s` | %s |\n", at, strings.ReplaceAll(text, "|", `\|`))
			if inner.Kind() == reflect.Struct && strings.HasPrefix(inner.PkgPath(), "yitong/") {
				describe(inner, at)
			}
		}
	}
	describe(reflect.TypeFor[node.Config](), "")
	path := filepath.Join("..", "..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(path, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, doc.Bytes()) {
		t.Error("docs/configuration.md is behind the settings: write it anew by `go test ./gateway/node -run Manual -update`")
	}
}

const manual = `# Configuration

A gateway has one configuration file, YAML: ` + "`yitong-gateway --config node.yaml`" + `. Relative paths are taken
from its folder. What isn't known is an error, and all that is wrong is told at once, at the start and by

    yitong config check node.yaml       # exit code 0: a gateway can start with it
    yitong config node.yaml             # every setting in force, and where it is from (-o json|yaml)
    yitong config example > node.yaml   # one to begin with

Secrets are files that it names; nothing secret stands in it, and passwords in a database's URL aren't shown.
The environment changes nothing, but OTEL_EXPORTER_OTLP_ENDPOINT for traces and the usual variables of
S3 and PostgreSQL clients for credentials.

At SIGHUP the file is read anew: policy, limits (but ` + "`message` and `header`" + `) and log level are in force at once,
and the log names what else changed and takes a restart. A file that can't be used changes nothing.
Certificates, keys and revocation lists are followed without that.

This list is made of the program's own comments (gateway/node).

| setting | what it is |
|---|---|
`

// asInTheFile is a field's comment with what fields are called in the file.
func asInTheFile(text, field string, of reflect.Type) string {
	if rest, ok := strings.CutPrefix(text, field+" is "); ok {
		text = strings.ToUpper(rest[:1]) + rest[1:]
	}
	for i := range of.NumField() {
		f := of.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); f.Name != strings.ToUpper(f.Name) {
			text = regexp.MustCompile(`\b`+f.Name+`\b`).ReplaceAllString(text, "`"+name+"`")
		}
	}
	return text
}

// comments are those of the fields of every struct that a configuration is made of, by Type.Field.
func comments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range []string{".", "../api", "../share", "../events", "../identity", "../outbox", "../ledger"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if s, ok := spec.Type.(*ast.StructType); ok {
					fields(s, spec.Name.Name, out)
				}
				return true
			})
		}
	}
	return out
}

func fields(s *ast.StructType, of string, out map[string]string) {
	before := "" // "Streams is the same of …" is said of more than one
	for _, f := range s.Fields.List {
		text := strings.Join(strings.Fields(f.Doc.Text()), " ")
		if text == "" {
			text = strings.Join(strings.Fields(f.Comment.Text()), " ")
		}
		if text == "" && before != "" {
			text = before
		}
		before = text
		for _, name := range f.Names {
			if _, taken := out[of+"."+name.Name]; !taken || slices.Contains([]string{"Config", "Limits"}, of) && text != "" && out[of+"."+name.Name] == "" {
				out[of+"."+name.Name] = text
			}
		}
	}
}
