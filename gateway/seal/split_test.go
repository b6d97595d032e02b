package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/record"
	"yitong/gateway/seal"
)

func bundle(entries ...string) []byte {
	return []byte(`{"resourceType":"Bundle","type":"collection","entry":[` + strings.Join(entries, ",") + `]}`)
}

func resource(body string) string { return `{"resource":{` + body + `}}` }

func at(s string) record.Instant {
	i, err := record.ParseInstant(s)
	if err != nil {
		panic(err)
	}
	return i
}

func TestAnEntryGoesWhereItsCodesSay(t *testing.T) {
	coding := func(system, code string) string { return fmt.Sprintf(`{"system":%q,"code":%q}`, system, code) }
	const (
		category = "http://terminology.hl7.org/CodeSystem/observation-category"
		v2       = "http://terminology.hl7.org/CodeSystem/v2-0074"
		act      = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
		conf     = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
		sct      = "http://snomed.info/sct"
		icd      = "http://hl7.org/fhir/sid/icd-10-cm"
	)
	observation := func(cats ...string) string {
		var list []string
		for _, c := range cats {
			list = append(list, `{"coding":[`+coding(category, c)+`]}`)
		}
		return `"resourceType":"Observation","category":[` + strings.Join(list, ",") + `]`
	}
	l := record.LabelsOf
	cases := []struct {
		name, body string
		class      record.Class
		labels     record.Labels
	}{
		{"a patient", `"resourceType":"Patient"`, record.Demographics, 0},
		{"an encounter", `"resourceType":"Encounter"`, record.Encounter, 0},
		{"a condition", `"resourceType":"Condition"`, record.Condition, 0},
		{"an allergy", `"resourceType":"AllergyIntolerance"`, record.Allergy, 0},
		{"a prescription", `"resourceType":"MedicationRequest"`, record.Medication, 0},
		{"an immunization", `"resourceType":"Immunization"`, record.Immunization, 0},
		{"an imaging study", `"resourceType":"ImagingStudy"`, record.Imaging, 0},
		{"a procedure", `"resourceType":"Procedure"`, record.Procedure, 0},
		{"a family history", `"resourceType":"FamilyMemberHistory"`, record.Genomics, 0},
		{"a care plan", `"resourceType":"CarePlan"`, record.CarePlan, 0},
		{"a document", `"resourceType":"DocumentReference"`, record.Document, 0},
		{"a device", `"resourceType":"Device"`, record.Device, 0},
		{"a claim", `"resourceType":"Claim"`, record.Claim, 0},
		{"an explanation of benefit", `"resourceType":"ExplanationOfBenefit"`, record.Claim, 0},
		{"an organisation", `"resourceType":"Organization"`, record.Administrative, 0},
		{"a type nobody knows", `"resourceType":"Horoscope"`, record.Other, 0},
		{"a type in another case", `"resourceType":"patient"`, record.Other, 0},
		{"a laboratory observation", observation("laboratory"), record.Laboratory, 0},
		{"vital signs", observation("vital-signs"), record.VitalSigns, 0},
		{"vital signs as older Synthea writes it", observation("vital-sign"), record.VitalSigns, 0},
		{"an imaging observation", observation("imaging"), record.Imaging, 0},
		{"an observation of a procedure", observation("procedure"), record.Procedure, 0},
		{"social history", observation("social-history"), record.SocialHistory, 0},
		{"a survey", observation("survey"), record.Other, 0},
		{"an observation in two categories: the one fewer permits name", observation("laboratory", "social-history"), record.SocialHistory, 0},
		{"the same the other way round", observation("social-history", "laboratory"), record.SocialHistory, 0},
		{"an observation without category, its code a vital sign", `"resourceType":"Observation","code":{"coding":[` + coding("http://loinc.org", "8867-4") + `]}`, record.VitalSigns, 0},
		{"a survey about tobacco", observation("survey") + `,"code":{"coding":[` + coding("http://loinc.org", "72166-2") + `]}`, record.SocialHistory, 0},
		{"an observation that says nothing", `"resourceType":"Observation"`, record.Other, 0},
		{"a laboratory report", `"resourceType":"DiagnosticReport","category":[{"coding":[` + coding(v2, "LAB") + `]}]`, record.Laboratory, 0},
		{"a radiology report", `"resourceType":"DiagnosticReport","category":{"coding":[` + coding(v2, "RAD") + `]}`, record.Imaging, 0},
		{"a genetics report", `"resourceType":"DiagnosticReport","category":[{"coding":[` + coding(v2, "GE") + `]}]`, record.Genomics, 0},
		{"a report without category", `"resourceType":"DiagnosticReport"`, record.Other, 0},

		{"a sensitivity label", `"resourceType":"Condition","meta":{"security":[` + coding(act, "PSY") + `]}`, record.Condition, l(record.PSY, record.MH, record.BH)},
		{"a confidentiality label", `"resourceType":"Condition","meta":{"security":[` + coding(conf, "R") + `]}`, record.Condition, l(record.R)},
		{"normal confidentiality is no label", `"resourceType":"Condition","meta":{"security":[` + coding(conf, "N") + `]}`, record.Condition, 0},
		{"two labels", `"resourceType":"Condition","meta":{"security":[` + coding(conf, "V") + `,` + coding(act, "HIV") + `]}`, record.Condition, l(record.V, record.R, record.HIV)},
		{"a sensitivity nobody here knows is restricted", `"resourceType":"Condition","meta":{"security":[` + coding(act, "NEWONE") + `]}`, record.Condition, l(record.R)},
		{"the same code as an encounter's class is no label", `"resourceType":"Encounter","class":` + coding(act, "AMB"), record.Encounter, 0},
		{"a label on a contained resource", `"resourceType":"CarePlan","contained":[{"meta":{"security":[` + coding(act, "SDV") + `]}}]`, record.CarePlan, l(record.SDV)},
		{"a document's security label", `"resourceType":"DocumentReference","securityLabel":[{"coding":[` + coding(conf, "V") + `]}]`, record.Document, l(record.V, record.R)},
		{"a composition's confidentiality", `"resourceType":"Composition","confidentiality":"R"`, record.Document, l(record.R)},
		{"a sensitive SNOMED code", `"resourceType":"Condition","code":{"coding":[` + coding(sct, "86406008") + `]}`, record.Condition, l(record.HIV)},
		{"alcohol: a substance use disorder, and behavioural health", `"resourceType":"Condition","code":{"coding":[` + coding(icd, "F10.20") + `]}`, record.Condition, l(record.ETHUD, record.SUD, record.ETH, record.BH)},
		{"the same digits in another system", `"resourceType":"Condition","code":{"coding":[` + coding("http://example.org", "86406008") + `]}`, record.Condition, 0},
		{"a sensitive ICD-10 code below its category", `"resourceType":"Condition","code":{"coding":[` + coding(icd, "F32.1") + `]}`, record.Condition, l(record.PSY, record.MH, record.BH)},
		{"an ICD-10 code in lower case", `"resourceType":"Condition","code":{"coding":[` + coding(icd, "b20") + `]}`, record.Condition, l(record.HIV)},
		{"an ICD-10 code that only begins alike", `"resourceType":"Condition","code":{"coding":[` + coding(icd, "J20.9") + `]}`, record.Condition, 0},
		{"a sensitive code as reason of an encounter", `"resourceType":"Encounter","reasonCode":[{"coding":[` + coding(sct, "58214004") + `]}]`, record.Encounter, l(record.PSY, record.MH, record.BH)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			drafts, err := seal.Split(bundle(resource(c.body)))
			if err != nil || len(drafts) != 1 {
				t.Fatal(len(drafts), err)
			}
			if d := drafts[0]; d.Class != c.class || d.Labels != c.labels {
				t.Errorf("got %s %v, want %s %v", d.Class, d.Labels.Codes(), c.class, c.labels.Codes())
			}
		})
	}
}

func TestAPartKnowsWhenItsDataIsFrom(t *testing.T) {
	cases := []struct {
		name   string
		bodies []string
		want   record.Period
	}{
		{"a second", []string{`"effectiveDateTime":"2020-02-03T10:00:00+01:00"`}, record.Period{Start: at("2020-02-03T09:00:00Z"), End: at("2020-02-03T09:00:01Z")}},
		{"a fraction of a second", []string{`"effectiveInstant":"2020-02-03T10:00:00.250Z"`}, record.Period{Start: at("2020-02-03T10:00:00Z"), End: at("2020-02-03T10:00:01Z")}},
		{"a day", []string{`"onsetDateTime":"2020-02-28"`}, record.Period{Start: at("2020-02-28T00:00:00Z"), End: at("2020-02-29T00:00:00Z")}},
		{"a month", []string{`"onsetDateTime":"2020-02"`}, record.Period{Start: at("2020-02-01T00:00:00Z"), End: at("2020-03-01T00:00:00Z")}},
		{"a year", []string{`"onsetDateTime":"2020"`}, record.Period{Start: at("2020-01-01T00:00:00Z"), End: at("2021-01-01T00:00:00Z")}},
		{"a period, its end counted in", []string{`"performedPeriod":{"start":"2020-01-01","end":"2020-01-03"}`}, record.Period{Start: at("2020-01-01T00:00:00Z"), End: at("2020-01-04T00:00:00Z")}},
		{"a period without end", []string{`"period":{"start":"2020-01-01"}`}, record.Period{Start: at("2020-01-01T00:00:00Z")}},
		{"a period without start", []string{`"period":{"end":"2020-01-01"}`}, record.Period{End: at("2020-01-02T00:00:00Z")}},
		{"onset and abatement", []string{`"onsetDateTime":"2019-05-01","abatementDateTime":"2020-06-30","recordedDate":"2024-01-01"`}, record.Period{Start: at("2019-05-01T00:00:00Z"), End: at("2020-07-01T00:00:00Z")}},
		{"when recorded, where nothing else is known", []string{`"recordedDate":"2024-01-01"`}, record.Period{Start: at("2024-01-01T00:00:00Z"), End: at("2024-01-02T00:00:00Z")}},
		{"the earliest to the latest", []string{`"onsetDateTime":"2020"`, `"onsetDateTime":"1950-01-01"`, `"onsetDateTime":"2019"`}, record.Period{Start: at("1950-01-01T00:00:00Z"), End: at("2021-01-01T00:00:00Z")}},
		{"one that goes on makes all go on", []string{`"onsetDateTime":"2020"`, `"onsetPeriod":{"start":"2021"}`}, record.Period{Start: at("2020-01-01T00:00:00Z")}},
		{"1970 itself", []string{`"onsetDateTime":"1970-01-01"`}, record.Period{Start: -1, End: 86400}},
		{"no date", []string{`"code":{}`}, record.Period{}},
		{"a date that can't be read", []string{`"onsetDateTime":"last year"`}, record.Period{}},
		{"a date that can't be read beside one that can", []string{`"onsetDateTime":"2020","abatementDateTime":"soon"`}, record.Period{}},
		{"a period that ends before it starts", []string{`"onsetPeriod":{"start":"2021","end":"2019"}`}, record.Period{}},
		{"an empty period", []string{`"onsetPeriod":{}`}, record.Period{}},
		{"a date that isn't a text", []string{`"onsetDateTime":2020`}, record.Period{}},
		{"a time zone that leads out of the calendar", []string{`"onsetDateTime":"9999-12-31T23:59:59-12:00"`}, record.Period{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var entries []string
			for _, b := range c.bodies {
				entries = append(entries, resource(`"resourceType":"Condition",`+b))
			}
			drafts, err := seal.Split(bundle(entries...))
			if err != nil || len(drafts) != 1 {
				t.Fatal(len(drafts), err)
			}
			if d := cmp.Diff(c.want, drafts[0].Period); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAnUndatedResourceGetsAPartOfItsOwn(t *testing.T) {
	drafts, err := seal.Split(bundle(
		resource(`"resourceType":"Condition","onsetDateTime":"2020"`),
		resource(`"resourceType":"Condition","id":"undated"`)))
	if err != nil || len(drafts) != 2 {
		t.Fatal(len(drafts), err)
	}
	for _, d := range drafts {
		if d.Period.IsZero() != bytes.Contains(d.Content, []byte("undated")) {
			t.Errorf("%v: %s", d.Period, d.Content)
		}
	}
}

func TestWhatIsBesideTheEntriesIsKept(t *testing.T) {
	doc := `{"type" : "document","timestamp":"2020-01-01T00:00:00Z","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"V"}]},
		"entry":[{"resource":{"resourceType":"Patient"}}],"resourceType":"Bundle"}`
	drafts, err := seal.Split([]byte(doc))
	if err != nil || len(drafts) != 2 {
		t.Fatal(len(drafts), err)
	}
	for _, d := range drafts {
		if d.Labels != record.LabelsOf(record.V, record.R) {
			t.Errorf("%s: the Bundle's label is lost", d.Class)
		}
	}
	if d := drafts[1]; d.Class != record.Other || !strings.Contains(string(d.Content), `"type":"document","timestamp":"2020-01-01T00:00:00Z"`) {
		t.Errorf("%s: %s", d.Class, d.Content)
	}
}

func TestSplitRefusesAndNamesTheElement(t *testing.T) {
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	cases := []struct{ name, doc, element, what string }{
		{"nothing", ``, "", "ends too early"},
		{"not JSON", `<Bundle/>`, "", ""},
		{"an array", `[]`, "", "object"},
		{"another resource", `{"resourceType":"Patient"}`, "/resourceType", "not a Bundle"},
		{"no resource type", `{"entry":[{"resource":{"resourceType":"Patient"}}]}`, "/resourceType", "missing"},
		{"no entries", `{"resourceType":"Bundle"}`, "/entry", "nothing"},
		{"entries that are no array", `{"resourceType":"Bundle","entry":{}}`, "/entry", "array"},
		{"entries in another case", `{"resourceType":"Bundle","Entry":[{}]}`, "/Entry", "FHIR writes"},
		{"entries in two cases", `{"resourceType":"Bundle","entry":[{}],"ENTRY":[{}]}`, "/ENTRY", "FHIR writes"},
		{"entries twice, once escaped", `{"resourceType":"Bundle","entry":[{}],"\u0065ntry":[{}]}`, "/entry", "duplicate"},
		{"an entry that is no object", `{"resourceType":"Bundle","entry":[1]}`, "/entry/0", "object"},
		{"a resource without type", `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient"}},{"resource":{}}]}`, "/entry/1", "resourceType"},
		{"a name twice at the top", `{"resourceType":"Bundle","entry":[],"entry":[]}`, "/entry", "duplicate"},
		{"a name twice deep inside", `{"resourceType":"Bundle","entry":[{},{"resource":{"resourceType":"Patient","name":{"family":"a","family":"b"}}}]}`, "/entry/1/resource/name/family", "duplicate"},
		{"a name twice, once escaped", `{"resourceType":"Bundle","entry":[{"resource":{"id":1,"i\u0064":2}}]}`, "/entry/0/resource/id", "duplicate"},
		{"invalid UTF-8", "{\"resourceType\":\"Bundle\",\"entry\":[{\"resource\":{\"resourceType\":\"Patient\",\"gender\":\"\xff\"}}]}", "/entry/0/resource/gender", "UTF-8"},
		{"half a surrogate", `{"resourceType":"Bundle","entry":[{"resource":{"gender":"\ud800"}}]}`, "/entry/0/resource/gender", ""},
		{"something after the end", `{"resourceType":"Bundle","entry":[{}]} {}`, "", ""},
		{"cut short", `{"resourceType":"Bundle","entry":[{"resource":{`, "", ""},
		{"too deep", `{"resourceType":"Bundle","entry":[{"resource":` + deep + `}]}`, "", "levels"},
		{"a byte order mark", "\ufeff" + `{"resourceType":"Bundle","entry":[{}]}`, "", ""},
		{"too many entries", `{"resourceType":"Bundle","entry":[{}` + strings.Repeat(",{}", seal.MaxEntries) + `]}`, "/entry", "more than"},
		{"too large", strings.Repeat(" ", seal.MaxBundle+1), "", "at most"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := seal.Split([]byte(c.doc))
			var b *seal.BundleError
			if !errors.As(err, &b) {
				t.Fatalf("got %v", err)
			}
			if !strings.HasPrefix(b.Element, c.element) || !strings.Contains(b.What, c.what) {
				t.Errorf("got %q %q", b.Element, b.What)
			}
		})
	}
}

func TestBracketsInTextsAreNotDepth(t *testing.T) {
	if _, err := seal.Split(bundle(resource(`"resourceType":"Patient","text":"` + strings.Repeat(`[{\"`, 200) + `"`))); err != nil {
		t.Error(err)
	}
}

// rawEntries reads a Bundle's entries by encoding/json: another parser than ours.
func rawEntries(t testing.TB, doc []byte) []string {
	var b map[string]json.RawMessage // a struct would take "Entry" for "entry"
	if err := json.Unmarshal(doc, &b); err != nil {
		t.Fatal(err)
	}
	var entries []json.RawMessage
	if raw, ok := b["entry"]; ok {
		if err := json.Unmarshal(raw, &entries); err != nil {
			t.Fatal(err)
		}
	}
	var raws []string
	for _, e := range entries {
		raws = append(raws, string(e))
	}
	return raws
}

// holdsEverything checks that the drafts' entries are the input's, byte for byte.
func holdsEverything(t testing.TB, doc []byte, drafts []seal.Draft) {
	t.Helper()
	var got []string
	for _, d := range drafts {
		entries, err := seal.Entries(d.Content)
		if err != nil {
			t.Fatalf("a draft isn't a Bundle: %v", err)
		}
		for i, raw := range rawEntries(t, d.Content) {
			if raw != string(entries[i]) {
				t.Fatal("Entries and encoding/json disagree")
			}
			got = append(got, raw)
		}
	}
	want := rawEntries(t, doc)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d entries went in, %d came out, or their bytes changed", len(want), len(got))
	}
}

func TestAnEscapedNameIsTheSameName(t *testing.T) {
	doc := []byte(`{"resource\u0054ype":"Bundle","\u0065ntry":[{"resource":{"resourceType":"Patient"}}]}`)
	drafts, err := seal.Split(doc)
	if err != nil || len(drafts) != 1 || drafts[0].Class != record.Demographics {
		t.Error(drafts, err)
	}
}

func TestBytesAreKept(t *testing.T) {
	doc := bundle(
		"{ \"fullUrl\" : \"urn:uuid:1\",\n\t\"resource\":{\"resourceType\":\"Patient\",  \"_birthDate\":{\"extension\":[]}}}",
		`{"resource":{"resourceType":"Claim","total":{"value":10.00,"big":9007199254740993,"e":1E400}}}`,
		`{"resource":{"resourceType":"Patient","name":"\u674e \/ 李 <&>"}}`,
		`{"request":{"method":"DELETE","url":"Patient/1"}}`)
	drafts, err := seal.Split(doc)
	if err != nil {
		t.Fatal(err)
	}
	holdsEverything(t, doc, drafts)
	again, _ := seal.Split(doc)
	if !cmp.Equal(drafts, again) {
		t.Error("two splits differ")
	}
}

// TestSyntheticPatients splits the Synthea bundles where they are: in
// YITONG_SYNTHEA, or in shared/data/synthea beside the repository.
func TestSyntheticPatients(t *testing.T) {
	dir := os.Getenv("YITONG_SYNTHEA")
	if dir == "" {
		dir = "../../../shared/data/synthea"
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	if len(files) == 0 {
		t.Skipf("no Synthea bundles in %s: set YITONG_SYNTHEA to a folder of them", dir)
	}
	for _, file := range files {
		t.Run(strings.SplitN(filepath.Base(file), "_", 2)[0], func(t *testing.T) {
			doc, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			drafts, err := seal.Split(doc)
			if err != nil {
				t.Fatal(err)
			}
			holdsEverything(t, doc, drafts)
			for _, d := range drafts {
				t.Logf("%-14s %-20s %s – %s %8d bytes", d.Class, strings.Join(d.Labels.Codes(), " "), d.Period.Start, d.Period.End, len(d.Content))
			}
		})
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(bundle(resource(`"resourceType":"Patient"`), resource(`"resourceType":"Condition","onsetDateTime":"2020"`)))
	f.Add([]byte(`{"resourceType":"Bundle","type":"document","identifier":{"value":"1"},"entry":[ {} , {"resource":{"resourceType":"X","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]}}}]}`))
	f.Add([]byte(`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation","category":[{"coding":[{"code":"laboratory"}]}],"effectivePeriod":{"start":"2020-01-01T00:00:00Z"}}}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		drafts, err := seal.Split(doc)
		if err != nil {
			var b *seal.BundleError
			if !errors.As(err, &b) {
				t.Errorf("not a *BundleError: %v", err)
			}
			return
		}
		holdsEverything(t, doc, drafts)
		for _, d := range drafts {
			if !d.Period.Valid() || d.Class == 0 {
				t.Errorf("%s %+v", d.Class, d.Period)
			}
		}
	})
}
