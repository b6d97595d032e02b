package record_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	strict "github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"yitong/chaincode/record"
)

func TestSetsAreSortedCodesInJSON(t *testing.T) {
	cs := record.ClassesOf(record.VitalSigns, record.Allergy, record.Laboratory)
	ls := record.LabelsOf(record.V, record.HIV, record.ETH)
	for _, encode := range []func(any) ([]byte, error){json.Marshal, func(v any) ([]byte, error) { return strict.Marshal(v) }} {
		if doc, err := encode(cs); err != nil || string(doc) != `["allergy","laboratory","vital-signs"]` {
			t.Errorf("%s, %v", doc, err)
		}
		if doc, err := encode(ls); err != nil || string(doc) != `["ETH","HIV","V"]` {
			t.Errorf("%s, %v", doc, err)
		}
	}
	var seen []string
	for c := range cs.All() {
		seen = append(seen, c.String())
	}
	if !slices.Equal(seen, cs.Codes()) {
		t.Errorf("All yields %v", seen)
	}
}

func TestEveryCodeSurvivesItsText(t *testing.T) {
	for c := range record.AllClasses.All() {
		if got, err := record.ParseClass(c.String()); err != nil || got != c {
			t.Errorf("%v came back as %v, %v", c, got, err)
		}
	}
	for l := range record.AllLabels.All() {
		if got, err := record.ParseLabel(l.String()); err != nil || got != l {
			t.Errorf("%v came back as %v, %v", l, got, err)
		}
	}
	for f := range record.AllTypes.All() {
		if got, err := record.ParseType(f.String()); err != nil || got != f {
			t.Errorf("%v came back as %v, %v", f, got, err)
		}
	}
	if n := len(record.AllClasses.Codes()); n != 18 {
		t.Errorf("%d classes, want 18", n)
	}
}

func TestTheMediaTypeTellsTheRecordType(t *testing.T) {
	for mediaType, want := range map[string]record.Type{
		"application/fhir+json":                   record.FHIR,
		"Application/FHIR+JSON; fhirVersion=4.0":  record.FHIR,
		"application/hl7-cda+xml":                 record.CDA,
		"x-application/hl7-v2+er7":                record.HL7v2,
		"application/dicom":                       record.DICOM,
		"application/pdf":                         record.PDF,
		"image/jpeg":                              record.Image,
		"image/dicom-rle":                         record.DICOM,
		"audio/ogg":                               record.Audio,
		"video/mp4":                               record.Video,
		"text/plain;charset=utf-8":                record.Text,
		"application/xml":                         record.Text,
		"application/octet-stream":                record.OtherType,
		"application/vnd.something-of-the-future": record.OtherType,
		"":                 record.OtherType,
		"fhir":             record.OtherType,
		"application/pdf2": record.OtherType,
	} {
		if got := (record.Part{MediaType: mediaType}).Type(); got != want {
			t.Errorf("%q is of type %s, want %s", mediaType, got, want)
		}
	}
}

// docs/formats/consent.md states the table; whoever maps a FHIR consent reads it there.
func TestTheFormatDocumentStatesTheRecordTypes(t *testing.T) {
	doc, err := os.ReadFile("../../docs/formats/consent.md")
	if err != nil {
		t.Fatal(err)
	}
	stated := record.Types(0)
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			continue
		}
		want, err := record.ParseType(strings.Trim(cells[1], " `"))
		if err != nil {
			continue
		}
		stated = stated.With(want)
		for i, name := range strings.Split(cells[2], "`") {
			name = strings.Replace(name, "…", "anything", 1)
			if i%2 == 1 && record.TypeOf(name) != want {
				t.Errorf("%s is stated to be %s, and is %s", name, want, record.TypeOf(name))
			}
		}
	}
	if stated != record.AllTypes {
		t.Errorf("it states %v of %v", stated.Codes(), record.AllTypes.Codes())
	}
}

func TestSetsOfRecordTypes(t *testing.T) {
	some := record.TypesOf(record.PDF, record.FHIR, 0, 200)
	doc, err := json.Marshal(some)
	if err != nil || string(doc) != `["fhir","pdf"]` {
		t.Errorf("%s, %v", doc, err)
	}
	var got record.Types
	if err := json.Unmarshal(doc, &got); err != nil || got != some || got.Has(0) || got.Has(record.CDA) {
		t.Errorf("%s came back as %v, %v", doc, got.Codes(), err)
	}
	if err := json.Unmarshal([]byte(`["docx"]`), &got); err == nil || !strings.Contains(err.Error(), "known are audio, cda, dicom, fhir") {
		t.Errorf("an unknown record type: %v", err)
	}
}

func TestSetsRefuse(t *testing.T) {
	for _, c := range []struct{ name, doc, says string }{
		{"an unknown code, naming it", `["blood"]`, `"blood"`},
		{"an unknown code, listing the known", `["blood"]`, "laboratory"},
		{"a code twice", `["claim","claim"]`, "twice"},
		{"an empty list", `[]`, "empty"},
		{"null", `null`, "array"},
		{"a number", `[3]`, "array"},
		{"an object", `{}`, "array"},
		{"an endless code, cut short", `["` + strings.Repeat("x", 5000) + `"]`, "known are"},
	} {
		var s record.Classes
		err := json.Unmarshal([]byte(c.doc), &s)
		if err == nil || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 500 {
			t.Errorf("%s: error is %v, want one about %q", c.name, err, c.says)
		}
	}
}

func TestSetsAreSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) record.Classes {
			return record.Classes(rapid.Uint32().Draw(t, name)).Intersect(record.AllClasses)
		}
		a, b := draw("a"), draw("b")
		for c := range record.AllClasses.All() {
			switch {
			case a.Union(b).Has(c) != (a.Has(c) || b.Has(c)),
				a.Intersect(b).Has(c) != (a.Has(c) && b.Has(c)),
				a.Without(b).Has(c) != (a.Has(c) && !b.Has(c)),
				!a.With(c).Has(c):
				t.Fatalf("%v of %v and %v", c, a.Codes(), b.Codes())
			}
		}
		if a.Empty() {
			return
		}
		doc, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var got record.Classes
		if err := json.Unmarshal(doc, &got); err != nil || got != a {
			t.Fatalf("%s came back as %v, %v", doc, got.Codes(), err)
		}
	})
}

func TestNoClassAndNoLabelAreInNoSet(t *testing.T) {
	if record.AllClasses.Has(0) || record.AllClasses.Has(200) || record.AllLabels.Has(0) || record.AllLabels.Has(200) {
		t.Error("a code that isn't one is in a set")
	}
	if !record.ClassesOf(0, 200).Empty() || !record.LabelsOf(0, 200).Empty() {
		t.Error("a code that isn't one can be put in a set")
	}
	if record.Class(0).String() != "" || record.Class(200).String() != "" {
		t.Error("a class that isn't one has a code")
	}
}

func TestInstants(t *testing.T) {
	for _, s := range []string{"2026-11-21T07:00:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", ""} {
		i, err := record.ParseInstant(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if text, err := i.MarshalText(); err != nil || string(text) != s {
			t.Errorf("%q came back as %q, %v", s, text, err)
		}
	}
	for _, s := range []string{
		"2026-11-21", "2026-11-21T07:00:00", "2026-11-21T07:00:00+00:00", "2026-11-21T07:00:00.5Z", "2026-11-21t07:00:00z",
		"2026-02-30T07:00:00Z", "1970-01-01T00:00:00Z", "12026-11-21T07:00:00Z", "2026-11-21T24:00:00Z", " 2026-11-21T07:00:00Z",
	} {
		if i, err := record.ParseInstant(s); err == nil {
			t.Errorf("%q is taken for %d", s, i)
		}
	}
	for _, i := range []record.Instant{1 << 60, -1 << 60} {
		if text, err := i.MarshalText(); err == nil {
			t.Errorf("%d is written as %q", i, text)
		}
	}
	if got := record.At(time.Date(2026, 11, 21, 7, 0, 59, 999, time.FixedZone("", 8*3600))); got.String() != "2026-11-20T23:00:59Z" {
		t.Errorf("a time with a zone became %v", got)
	}
}

func TestMinuteRoundsDown(t *testing.T) {
	for i, want := range map[record.Instant]int64{0: 0, 59: 0, 60: 1, 119: 1, -1: -1, -60: -1, -61: -2} {
		if got := i.Minute(); got != want {
			t.Errorf("minute of %d is %d, want %d", i, got, want)
		}
	}
}

// A period is the set of its instants; its questions must answer as that set does.
func TestPeriodsAreSetsOfInstants(t *testing.T) {
	draw := func(t *rapid.T, name string) record.Period {
		p := record.Period{Start: record.Instant(rapid.IntRange(0, 9).Draw(t, name+" start")), End: record.Instant(rapid.IntRange(0, 9).Draw(t, name+" end"))}
		if !p.Valid() {
			t.Skip("holds nothing")
		}
		return p
	}
	in := func(p record.Period, i record.Instant) bool {
		return (p.Start == 0 || i >= p.Start) && (p.End == 0 || i < p.End)
	}
	rapid.Check(t, func(t *rapid.T) {
		p, o := draw(t, "p"), draw(t, "o")
		overlaps, within := false, true
		for i := record.Instant(-20); i < 30; i++ {
			if p.Contains(i) != in(p, i) {
				t.Fatalf("%v contains %d", p, i)
			}
			overlaps = overlaps || in(p, i) && in(o, i)
			within = within && (!in(p, i) || in(o, i))
			if p.Intersect(o).Contains(i) != (in(p, i) && in(o, i)) {
				t.Fatalf("%v ∩ %v is %v", p, o, p.Intersect(o))
			}
		}
		if p.Overlaps(o) != overlaps {
			t.Fatalf("%v overlaps %v: want %v", p, o, overlaps)
		}
		if p.Within(o) != within {
			t.Fatalf("%v within %v: want %v", p, o, within)
		}
	})
}

func TestHashesAreLowerCaseHex(t *testing.T) {
	h := record.Hash{0xab, 1}
	if got, err := record.ParseHash(h.String()); err != nil || got != h {
		t.Errorf("%v came back as %v, %v", h, got, err)
	}
	for _, s := range []string{"", "ab", strings.ToUpper(h.String()), h.String() + "00", strings.Repeat("g", 64)} {
		if _, err := record.ParseHash(s); err == nil {
			t.Errorf("%q is taken for a hash", s)
		}
	}
	var s record.Salt
	if err := json.Unmarshal([]byte(`"`+strings.Repeat("0f", 16)+`"`), &s); err != nil || s[15] != 0x0f || s.IsZero() {
		t.Errorf("salt is %v, %v", s, err)
	}
}
