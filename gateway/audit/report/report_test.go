package report_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"iter"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yitong/gateway/audit/auditevent"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/audit/report"
	"yitong/gateway/seal"
)

var update = flag.Bool("update", false, "write the golden files anew")

// trail is the entries of a generated history, and what they stand on.
func trail(t testing.TB) ([]history.Entry, history.AsOf) {
	t.Helper()
	d, err := projection.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "audit.db"), projectiontest.Chaincode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Apply(t.Context(), projectiontest.Blocks(31, 600)...); err != nil {
		t.Fatal(err)
	}
	all, _, asOf, err := history.History{Database: d}.Entries(t.Context(), history.Filter{}, history.Page{Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return all, asOf
}

func sequence(entries []history.Entry) iter.Seq2[history.Entry, error] {
	return func(yield func(history.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func write(t testing.TB, format, language string, entries []history.Entry, asOf history.AsOf) []byte {
	t.Helper()
	r := report.Report{
		Source: auditevent.Source{Member: "RegulatorMSP", Channel: "consortium"}, Name: "regulator", AsOf: asOf, Made: time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC),
		Language: language, Wanted: [][2]string{{"filter-member", "HospitalAMSP"}}, Names: map[string]string{"InsurerMSP": "insurer"},
		Gateways: map[string]string{"InsurerMSP": "127.0.0.1:7004", "MutualMSP": "127.0.0.1:7005", "HospitalAMSP": "127.0.0.1:7002", "HospitalBMSP": "127.0.0.1:7003", "ClinicMSP": "127.0.0.1:7001"},
		Entries:  sequence(entries),
	}
	var out bytes.Buffer
	if err := report.Write(&out, format, r); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAuditEventsFollowTheirProfiles(t *testing.T) {
	entries, asOf := trail(t)
	profiles := map[string]int{}
	for i, line := range bytes.Split(bytes.TrimSpace(write(t, "fhir-ndjson", "", entries, asOf)), []byte("\n")) {
		var v auditevent.Event
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		e := entries[i]
		if problems := profiled(v); len(problems) > 0 {
			t.Errorf("entry %+v\n%s\n%v", e, line, problems)
		}
		for _, p := range profilesOf(v) {
			profiles[p]++
		}
		patient := slices.ContainsFunc(v.Entity, func(x auditevent.Entity) bool {
			return x.Role != nil && x.Role.Code == "1" && x.What.Identifier.Value == e.Handle
		})
		if patient != (e.Handle != "") {
			t.Errorf("entry about %q has a patient: %v", e.Handle, patient)
		}
	}
	for _, want := range []string{"AuthZconsent", "PrivacyDisclosure.Source", "PrivacyDisclosure.Recipient"} {
		if profiles["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."+want] == 0 {
			t.Errorf("no event follows %s: %v", want, profiles)
		}
	}
}

// A golden AuditEvent of each kind: what is exported changes only on purpose.
func TestAuditEventsAreWhatTheyWere(t *testing.T) {
	entries, asOf := trail(t)
	seen := map[string]bool{}
	var some []history.Entry
	for _, e := range entries {
		if key := fmt.Sprint(e.Kind, e.Action, e.Outcome); !seen[key] {
			seen[key] = true
			some = append(some, e)
		}
	}
	golden(t, "events.ndjson", write(t, "fhir-ndjson", "", some, asOf))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; look at `go test -update` and `git diff`", path)
	}
}

func TestTheBundleIsOneResourceWithEveryEvent(t *testing.T) {
	entries, asOf := trail(t)
	for _, some := range [][]history.Entry{nil, entries[:1], entries} {
		var b struct {
			ResourceType, Type string
			Entry              []struct {
				FullURL  string `json:"fullUrl"`
				Resource auditevent.Event
			}
		}
		doc := write(t, "fhir-bundle", "", some, asOf)
		if err := json.Unmarshal(doc, &b); err != nil {
			t.Fatalf("%v in %.300s", err, doc)
		}
		if b.ResourceType != "Bundle" || b.Type != "collection" || len(b.Entry) != len(some) {
			t.Errorf("%s %s of %d, want %d", b.ResourceType, b.Type, len(b.Entry), len(some))
		}
		if len(some) == 0 && bytes.Contains(doc, []byte("entry\":[")) {
			t.Error("an empty list stands in it, which FHIR doesn't know")
		}
	}
}

func TestCSVIsInertAndHasEveryField(t *testing.T) {
	entries, asOf := trail(t)
	evil := entries[len(entries)-1]
	evil.Function, evil.Reason, evil.Agent, evil.Transaction = "=HYPERLINK(\"x\")", "+1", "-1", "@x,\"\n\ty"
	rows, err := csv.NewReader(bytes.NewReader(write(t, "csv", "", append(entries, evil), asOf))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(entries)+2 {
		t.Fatalf("%d rows for %d entries", len(rows), len(entries)+1)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") {
				t.Errorf("a spreadsheet takes %q for a formula", cell)
			}
		}
	}
	if last := rows[len(rows)-1]; last[slices.Index(rows[0], "function")] != "'=HYPERLINK(\"x\")" || last[slices.Index(rows[0], "ledger_height")] != fmt.Sprint(asOf.Blocks) {
		t.Errorf("last row %q", last)
	}
}

func TestTheReportSaysItInBothLanguagesAndEscapes(t *testing.T) {
	entries, asOf := trail(t)
	entries[5].Reason = `<script>alert("x")</script>`
	for language, words := range map[string][]string{"en": {"Audit report", "By outcome", "denied", "Requests by member"}, "zh": {"审计报告", "按结果", "拒绝", "检验"}} {
		page := string(write(t, "html", language, entries, asOf))
		for _, want := range append(words, fmt.Sprintf("%x", asOf.Hash), `lang="`+language+`"`, "@media print", "@page", "default-src 'none'", "insurer") {
			if !strings.Contains(page, want) && !strings.Contains(page, html.EscapeString(want)) {
				t.Errorf("%s: it lacks %q", language, want)
			}
		}
		if strings.Contains(page, "<script") || strings.Contains(page, "ZgotmplZ") {
			t.Errorf("%s: something unescaped or refused by the template stands in it", language)
		}
		// Who the ledger knows behind an entry stands in it; who is only a member's software doesn't.
		people := regexp.MustCompile(`<span class="note">\S[^<]* <code>[0-9a-f]+</code></span>`)
		persons := 0
		for _, e := range entries {
			if e.User != "" && e.UserRole != projection.Software {
				persons++
			}
		}
		if n := len(people.FindAllString(page, -1)); n != persons || n == 0 || n == len(entries) {
			t.Errorf("%s: %d of %d entries name a person, want %d", language, n, len(entries), persons)
		}
		// Every figure counts what it says: bars are as long as their numbers, columns hold
		// every entry once.
		figures := strings.Split(page, `<div class="figure`)[2:] // the list of them, and the first
		if len(figures) < 3 {
			t.Errorf("%s: %d figures", language, len(figures))
		}
		bars := regexp.MustCompile(`<td class="label">[^<]+</td><td class="bar"><div style="width: ([\d.]+)%"></div></td><td class="n">(\d+)</td>`)
		columns := regexp.MustCompile(`<rect [^>]*><title>[^<]+: (\d+)</title></rect>`)
		for _, figure := range figures {
			most, sum := 0.0, 0
			for _, m := range bars.FindAllStringSubmatch(figure, -1) {
				width, _ := strconv.ParseFloat(m[1], 64)
				n, _ := strconv.ParseFloat(m[2], 64)
				if most = max(most, n); math.Abs(width-100*n/most) > 0.06 {
					t.Errorf("%s: a bar for %v of %v is %v%% wide", language, n, most, width)
				}
			}
			for _, m := range columns.FindAllStringSubmatch(figure, -1) {
				n, _ := strconv.Atoi(m[1])
				sum += n
			}
			if most == 0 && sum != len(entries) {
				t.Errorf("%s: the columns count %d of %d entries", language, sum, len(entries))
			}
		}
		if rows := strings.Count(page, "<code>"); rows < len(entries) {
			t.Errorf("%s: %d entries listed of %d", language, rows, len(entries))
		}
	}
	if err := report.Write(&bytes.Buffer{}, "html", report.Report{Language: "tlh", Entries: sequence(nil)}); err == nil {
		t.Error("a report in a language that isn't there")
	}
}

func TestASignedExportIsCheckedAgainstEveryByte(t *testing.T) {
	entries, asOf := trail(t)
	export := write(t, "csv", "", entries, asOf)
	digest := report.NewDigester()
	digest.Write(export)
	statement, err := digest.Statement("csv", "consortium", "RegulatorMSP", asOf, time.Unix(1.8e9, 0)).Canonical()
	if err != nil {
		t.Fatal(err)
	}
	key := seal.GenerateSigningKey()
	signature := key.SignStatement(report.Label, statement)
	s, err := report.Verify(export, statement, signature, key.Public())
	if err != nil || s.Height != asOf.Blocks || s.BlockHash != fmt.Sprintf("%x", asOf.Hash) || s.Member != "RegulatorMSP" {
		t.Fatalf("%+v, %v", s, err)
	}
	flip := func(b []byte, i int) []byte {
		c := slices.Clone(b)
		c[i] ^= 1
		return c
	}
	for i := 0; i < len(export); i += len(export)/50 + 1 {
		if _, err := report.Verify(flip(export, i), statement, signature, key.Public()); err == nil {
			t.Errorf("byte %d of the export was changed and nobody noticed", i)
		}
	}
	for i := range statement {
		if _, err := report.Verify(export, flip(statement, i), signature, key.Public()); err == nil {
			t.Errorf("byte %d of the statement was changed and nobody noticed", i)
		}
	}
	for i := range signature {
		if _, err := report.Verify(export, statement, flip(signature, i), key.Public()); err == nil {
			t.Errorf("byte %d of the signature was changed and nobody noticed", i)
		}
	}
	if _, err := report.Verify(export, statement, signature, seal.GenerateSigningKey().Public()); err == nil {
		t.Error("another's key was taken")
	}
	if _, err := report.Verify(export, statement, key.SignStatement("another label", statement), key.Public()); err == nil {
		t.Error("a signature under another label was taken")
	}
}

// A25: no cell of the CSV begins as a formula does, whichever text of an entry it is from.
// docs/formats/export.md, by nothing but the standard library.
func TestTheSignatureIsWhatTheFormatSays(t *testing.T) {
	key := seal.GenerateSigningKey()
	digest := report.NewDigester()
	fmt.Fprint(digest, "an export")
	statement, err := digest.Statement("csv", "yitong", "Regulator", history.AsOf{Blocks: 7, Hash: [32]byte{1}}, time.Unix(1.8e9, 0)).Canonical()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("an export"))
	want := fmt.Sprintf(`{"format":"csv","sha256":"%x","bytes":9,"channel":"yitong","height":7,"blockHash":"01%s","member":"Regulator","made":"2027-01-15T08:00:00Z"}`, sum, strings.Repeat("00", 31))
	if string(statement) != want {
		t.Errorf("the statement is %s\nwant %s", statement, want)
	}
	public, signature := key.Public().Bytes(), key.SignStatement(report.Label, statement)
	signed := func(label string) []byte { return []byte("yitong statement v1\x00" + label + "\x00" + want) }
	if !ed25519.Verify(public, signed("22:yitong audit export v1"), signature) {
		t.Error("the signature isn't over what the format says")
	}
	if ed25519.Verify(public, signed("22:yitong audit export v2"), signature) {
		t.Error("control: a signature under another label is good")
	}
	id := sha256.Sum256(slices.Concat([]byte{0, 0, 0, 21}, []byte("yitong signing key v1"), []byte{0, 0, 0, 32}, public))
	if got := hex.EncodeToString(id[:16]); got != key.Public().ID() {
		t.Errorf("the key's id is %s, not %s", key.Public().ID(), got)
	}
}

func TestNoCellBeginsAFormula(t *testing.T) {
	for _, first := range []string{"=cmd|'/c calc'!A1", "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠1"} {
		entries, asOf := trail(t)
		e := &entries[len(entries)-1]
		for _, field := range []*string{
			&e.Reason, &e.Member, &e.Agent, &e.Role, &e.AccessPoint, &e.Function, &e.Validation, &e.User, &e.UserRole,
			&e.Custodian, &e.Requester, &e.Handle, &e.Object, &e.Purpose, &e.Policy.Consent, &e.Policy.Path, &e.Transaction,
		} {
			*field = first
		}
		e.Kind, e.Action, e.Outcome, e.Endorsers, e.Classes = projection.Kind(first), projection.Action(first), projection.Outcome(first), []string{first}, []string{first}
		rows, err := csv.NewReader(bytes.NewReader(write(t, "csv", "", entries, asOf))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		quoted := 0
		for i, cell := range rows[len(rows)-1] {
			if strings.HasPrefix(cell, first) {
				t.Errorf("%q stands in column %s", cell, rows[0][i])
			}
			if strings.HasPrefix(cell, "'") {
				quoted++
			}
		}
		if quoted < 15 {
			t.Errorf("control: only %d cells hold %q", quoted, first)
		}
	}
}
