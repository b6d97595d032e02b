package fhir

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
)

// examples is the folder of HL7's own examples of R4: npm's hl7.fhir.r4.examples 4.0.1.
func examples(t *testing.T, pattern string) (docs map[string]map[string]any) {
	t.Helper()
	docs = map[string]map[string]any{}
	for _, dir := range filepath.SplitList(os.Getenv("NODE_PATH")) {
		files, err := filepath.Glob(filepath.Join(dir, "hl7.fhir.r4.examples", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			doc := map[string]any{}
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatal(err)
			}
			docs[strings.TrimSuffix(filepath.Base(file), ".json")] = doc
		}
	}
	if len(docs) == 0 {
		t.Skip("HL7's examples aren't here: npm install hl7.fhir.r4.examples@4.0.1, and name its node_modules in NODE_PATH")
	}
	return docs
}

func value0(t *testing.T, doc string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// here puts an example into this consortium: its patient by an identifier, its organisation this
// hospital, its recipient the insurer, and the base decision where R4 leaves it to the policy rule.
func here(t *testing.T, doc map[string]any, base string) {
	t.Helper()
	doc["patient"] = value0(t, `{"identifier":{"system":"https://hospital-a.example/mrn","value":"p-1"}}`)
	doc["organization"] = value0(t, `[{"identifier":{"system":"urn:yitong:member","value":"hospital-a"}}]`)
	p := doc["provision"].(map[string]any)
	if base != "" {
		p["type"] = base
	}
	var actors func(map[string]any)
	actors = func(p map[string]any) {
		p["actor"] = value0(t, `[{"role":{"coding":[{"system":"`+participationTypes+`","code":"IRCP"}]},"reference":{"identifier":{"system":"urn:yitong:member","value":"Insurer"}}}]`)
		nested, _ := p["provision"].([]any)
		for _, n := range nested {
			actors(n.(map[string]any))
		}
	}
	actors(p)
}

func places(err error) (all []string) {
	if err == nil {
		return nil
	}
	f := faultOf(err)
	for _, one := range append([]Fault{*f}, f.More...) {
		all = append(all, strings.TrimPrefix(one.Expression, "Consent."))
	}
	return all
}

// HL7's own examples leave the base decision to a policy rule and to the reader: each is taken once
// that is said and its parties are members, or refused with the elements that the ledger can't keep.
func TestHL7sExampleConsents(t *testing.T) {
	docs := examples(t, "Consent-*.json")
	for name, c := range map[string]struct {
		base string   // what the example means, by its policy rule
		left []string // what is refused even so
	}{
		"Consent-consent-example-basic":       {"permit", nil},
		"Consent-consent-example-Emergency":   {"deny", nil},
		"Consent-consent-example-Out":         {"deny", nil},
		"Consent-consent-example-grantor":     {"deny", nil},
		"Consent-consent-example-notAuthor":   {"permit", nil},
		"Consent-consent-example-notThem":     {"permit", nil},
		"Consent-consent-example-notTime":     {"permit", nil},
		"Consent-consent-example-notOrg":      {"", []string{"policyRule"}}, // opt-in, and a base decision that denies
		"Consent-consent-example-notThis":     {"permit", []string{"provision.data"}},
		"Consent-consent-example-signature":   {"permit", []string{"provision.provision[0].code"}},
		"Consent-consent-example-smartonfhir": {"permit", []string{"provision.provision[0].class[0]"}},
		"Consent-consent-example-pkb": {"deny", []string{"provision.securityLabel[0]", "provision.provision[0].type", "provision.provision[1].type", "provision.provision[1].securityLabel[0]",
			"provision.provision[2].type", "provision.provision[3].type", "provision.provision[4].type", "provision.provision[4].securityLabel[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			doc, ok := docs[name]
			if !ok {
				t.Fatal("HL7 has no such example any more")
			}
			if _, err := read(string(marshal(doc))); !slices.Contains(places(err), "patient") || !slices.Contains(places(err), "organization[0]") {
				t.Errorf("as it is, it is refused for %v", places(err))
			}
			here(t, doc, "")
			if _, err := read(string(marshal(doc))); c.base != "" && !slices.Contains(places(err), "provision.type") {
				t.Errorf("without a base decision it is refused for %v", places(err))
			}
			here(t, doc, c.base)
			d, err := read(string(marshal(doc)))
			left := places(err)
			if name == "Consent-consent-example-pkb" { // and so on, exception by exception
				left = left[:min(len(left), len(c.left))]
			}
			if !slices.Equal(left, c.left) {
				t.Fatalf("refused for %v, want %v", left, c.left)
			}
			if err == nil && (d.requester != "Insurer" || d.provision.GetType() != c.base) {
				t.Errorf("it is read as %v", d)
			}
			delete(docs, name)
		})
	}
	for name := range docs {
		t.Errorf("%s is not looked at", name)
	}
}

// Tasks, AuditEvents and the other examples ask for nothing that there is here, and each says so in
// words, never by a failure.
func TestHL7sOtherExamplesAreRefusedWithTheirElements(t *testing.T) {
	for name, doc := range examples(t, "Task-*.json") {
		_, err := readAsk(string(marshal(doc)))
		if err == nil {
			t.Errorf("%s was taken", name)
			continue
		}
		for _, f := range append([]Fault{*faultOf(err)}, faultOf(err).More...) {
			if f.Status/100 != 4 || !strings.HasPrefix(f.Expression, "Task") || f.Message == "" {
				t.Errorf("%s is refused with %d at %q", name, f.Status, f.Expression)
			}
		}
	}
}

// What IHE PCF's own examples mean (profiles.ihe.net/ITI/PCF, 1.1: their facts, for one recipient) is
// what the ledger decides of them. Those about single resources, authors and encounters can't be kept.
func TestPCFsExamplesMeanHereWhatTheyMean(t *testing.T) {
	purposes := func(codes ...string) string {
		var all []string
		for _, c := range codes {
			all = append(all, `{"system":"`+reasonCodes+`","code":"`+c+`"}`)
		}
		return `"purpose":[` + strings.Join(all, ",") + `]`
	}
	label := func(code string) string {
		system := actCodes
		if code == "N" || code == "R" {
			system = confidentiality
		}
		return `{"system":"` + system + `","code":"` + code + `"}`
	}
	tpo := purposes("TREAT", "HPAYMT", "HOPERAT")
	y2022 := `"dataPeriod":{"start":"2022-01","end":"2022-12"}`
	at := record.Instant(1_800_000_000)
	in := func(year int) record.Period {
		start := record.Instant(1640995200 + (year-2022)*365*86400 + 86400)
		return record.Period{Start: start, End: start + 86400}
	}
	part := func(p record.Period, labels ...record.Label) record.Part {
		return record.Part{Class: record.Laboratory, MediaType: "application/fhir+json", Period: p, Labels: record.LabelsOf(labels...)}
	}
	any := record.Period{}
	actor := `"actor":[{"role":{"coding":[{"system":"` + participationTypes + `","code":"IRCP"}]},"reference":{"identifier":{"system":"urn:yitong:member","value":"Insurer"}}}]`
	for _, c := range []struct {
		name, provision string
		purpose         consent.Purpose
		covers, keeps   []record.Part
		refused         string
	}{
		{"basic-treat", `"type":"permit",` + tpo, consent.HPAYMT, []record.Part{part(any)}, nil, ""},
		{"basic-treat, for research", `"type":"permit",` + tpo, consent.HRESCH, nil, []record.Part{part(any)}, ""},
		{"expired-treat", `"type":"permit","period":{"end":"2022-12-31"},` + tpo, consent.HPAYMT, nil, []record.Part{part(any)}, ""},
		{"basic-reject", `"type":"deny",` + tpo, consent.HPAYMT, nil, []record.Part{part(any)}, ""},
		{"basic-research", `"type":"permit",` + purposes("HRESCH"), consent.CLINTRCH, []record.Part{part(any)}, nil, ""},
		{"intermediate-timeframe", `"type":"permit",` + tpo + `,` + y2022, consent.HPAYMT, []record.Part{part(in(2022))}, []record.Part{part(in(2023)), part(any)}, ""},
		{"intermediate-not-timeframe", `"type":"permit",` + tpo + `,"provision":[{"type":"deny",` + y2022 + `}]`, consent.HPAYMT, []record.Part{part(in(2023))}, []record.Part{part(in(2022)), part(any)}, ""},
		{"intermediate-purpose", `"type":"permit",` + purposes("DSRCH"), consent.DSRCH, []record.Part{part(any)}, nil, ""},
		{"dissent-intermediate-break-glass", `"type":"deny",` + tpo + `,"provision":[{"type":"permit",` + purposes("BTG") + `}]`, consent.BTG, []record.Part{part(any)}, nil, ""},
		{"dissent-intermediate-break-glass, without", `"type":"deny",` + tpo + `,"provision":[{"type":"permit",` + purposes("BTG") + `}]`, consent.TREAT, nil, []record.Part{part(any)}, ""},
		{"advanced-normal", `"type":"permit",` + tpo + `,"securityLabel":[` + label("N") + `]`, consent.HPAYMT, []record.Part{part(any)}, []record.Part{part(any, record.R), part(any, record.PSY)}, ""},
		{"advanced-normal-restricted", `"type":"permit",` + tpo + `,"securityLabel":[` + label("N") + `,` + label("R") + `]`, consent.HPAYMT, []record.Part{part(any), part(any, record.R)}, []record.Part{part(any, record.PSY)}, ""},
		{"advanced-normal-not-restricted", `"type":"permit",` + tpo + `,"securityLabel":[` + label("N") + `],"provision":[{"type":"deny","securityLabel":[` + label("R") + `]}]`, consent.HPAYMT, []record.Part{part(any)}, []record.Part{part(any, record.R)}, ""},
		{"advanced-normal-focused-restricted", `"type":"permit",` + tpo + `,"securityLabel":[` + label("N") + `],"provision":[{"type":"permit","securityLabel":[` + label("R") + `],` + actor + `}]`, consent.HPAYMT, []record.Part{part(any), part(any, record.R)}, []record.Part{part(any, record.PSY)}, ""},
		{"advanced-normal-focused-psy-or-sdv", `"type":"permit",` + tpo + `,"securityLabel":[` + label("N") + `],"provision":[{"type":"permit","securityLabel":[` + label("PSY") + `,` + label("SDV") + `],` + actor + `}]`, consent.HPAYMT, []record.Part{part(any), part(any, record.PSY), part(any, record.SDV)}, []record.Part{part(any, record.HIV), part(any, record.R)}, ""},
		{"advanced-normal-break-glass-restricted, without", `"type":"permit",` + tpo + `,"securityLabel":[` + label("N") + `],"provision":[{"type":"permit",` + purposes("BTG") + `,"securityLabel":[` + label("R") + `],` + actor + `}]`, consent.HPAYMT, []record.Part{part(any)}, []record.Part{part(any, record.R)}, ""},
		{"advanced-normal-break-glass-restricted", `"type":"permit",` + tpo + `,"securityLabel":[` + label("N") + `],"provision":[{"type":"permit",` + purposes("BTG") + `,"securityLabel":[` + label("R") + `],` + actor + `}]`, consent.BTG, []record.Part{part(any, record.R)}, []record.Part{part(any, record.PSY)}, ""},
		{"advanced-not-sensitive", `"type":"permit",` + tpo + `,"provision":[{"type":"deny","securityLabel":[` + label("PSY") + `,` + label("HIV") + `]}]`, consent.HPAYMT, []record.Part{part(any), part(any, record.R)}, []record.Part{part(any, record.HIV)}, ""},
		{"intermediate-authoredby", `"type":"permit",` + tpo + `,"data":[{"meaning":"authoredby","reference":{"reference":"Practitioner/1"}}]`, 0, nil, nil, "provision.data"},
		{"intermediate-not-encounter", `"type":"permit",` + tpo + `,"provision":[{"type":"deny","data":[{"meaning":"related","reference":{"reference":"Encounter/1"}}]}]`, 0, nil, nil, "provision.provision[0].data"},
		{"intermediate-data", `"type":"permit",` + tpo + `,"data":[{"meaning":"instance","reference":{"reference":"Observation/1"}}]`, 0, nil, nil, "provision.data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := read(aConsent("provision", `{`+c.provision+`,`+actor+`}`))
			if c.refused != "" {
				if !slices.Equal(places(err), []string{c.refused}) {
					t.Errorf("refused for %v, want %s", places(err), c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			scope := decide(t, d.provision, d.period, "Insurer", consent.Request{
				Requester: "Insurer", Kind: "insurer", Action: consent.Access, Purpose: c.purpose, Classes: record.ClassesOf(record.Laboratory),
			}, at).Scope
			for _, p := range c.covers {
				if !scope.Covers(p) {
					t.Errorf("it doesn't cover %v", p)
				}
			}
			for _, p := range c.keeps {
				if scope.Covers(p) {
					t.Errorf("it covers %v", p)
				}
			}
		})
	}
}
