package fhir

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/fhir/profiletest"
)

// The members that consents here are about.
var people = roster{
	{MspId: "HospitalA", Name: "hospital-a", Kind: "hospital"}, {MspId: "HospitalB", Name: "hospital-b", Kind: "hospital"},
	{MspId: "Insurer", Name: "insurer", Kind: "insurer"}, {MspId: "Regulator", Name: "regulator", Kind: "regulator"},
}

// aConsent is a Consent as an institution would send it, with changes: a path of names and what to
// put there, nil to take it away.
func aConsent(changes ...any) string {
	doc := map[string]any{}
	err := json.Unmarshal([]byte(`{
		"resourceType": "Consent", "status": "active",
		"identifier": [{"system": "https://hospital-a.example/consents", "value": "2026-0001"}],
		"scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
		"category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
		"patient": {"identifier": {"system": "https://hospital-a.example/mrn", "value": "p-1"}},
		"dateTime": "2026-11-20", "performer": [{"reference": "Patient/p-1"}],
		"organization": [{"identifier": {"system": "urn:yitong:member", "value": "hospital-a"}}],
		"sourceAttachment": {"contentType": "application/pdf", "data": "c2lnbmVk"},
		"policy": [{"uri": "https://hospital-a.example/policies/1"}],
		"provision": {
			"type": "permit", "period": {"start": "2026-11-20", "end": "2027-11-19"},
			"actor": [{"role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}, "reference": {"identifier": {"system": "urn:yitong:member", "value": "insurer"}}}],
			"purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HPAYMT"}],
			"class": [{"system": "urn:yitong:data-class", "code": "laboratory"}, {"system": "urn:yitong:data-class", "code": "claim"}],
			"provision": [{"type": "deny", "securityLabel": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSY"}]}]
		}}`), &doc)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(changes); i += 2 {
		place, names := doc, strings.Split(changes[i].(string), ".")
		for _, name := range names[:len(names)-1] {
			place = place[name].(map[string]any)
		}
		if last := names[len(names)-1]; changes[i+1] == nil {
			delete(place, last)
		} else {
			var value any
			if err := json.Unmarshal([]byte(changes[i+1].(string)), &value); err != nil {
				panic(fmt.Sprint(changes[i], ": ", err))
			}
			place[last] = value
		}
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func read(doc string) (directive, error) {
	e, err := parse([]byte(doc), "Consent")
	if err != nil {
		return directive{}, err
	}
	if err := validate(e, "Consent"); err != nil {
		return directive{}, err
	}
	return readConsent(e, people, "HospitalA")
}

func TestAConsentIsReadAsItIsMeant(t *testing.T) {
	d, err := read(aConsent())
	if err != nil {
		t.Fatal(err)
	}
	p := d.provision
	if d.requester != "Insurer" || d.patient.GetValue() != "p-1" || string(d.form) != "signed" || d.identifiers[0].GetValue() != "2026-0001" ||
		p.GetType() != "permit" || !slices.Equal(p.GetPurposes(), []string{"HPAYMT"}) || !slices.Equal(p.GetClasses(), []string{"laboratory", "claim"}) ||
		p.GetProvisions()[0].GetType() != "deny" || !slices.Equal(p.GetProvisions()[0].GetLabels(), []string{"PSY"}) || p.GetActors()[0].GetMember() != "Insurer" {
		t.Errorf("got %v", d)
	}
	// FHIR's end of a period is inclusive, to the precision that it is given in.
	if got := d.period.GetEnd().AsTime(); !got.Equal(time.Date(2027, 11, 20, 0, 0, 0, 0, time.UTC)) || p.GetPeriod() != nil {
		t.Errorf("the period ends %v", got)
	}
}

// The Consent that docs/fhir.md shows is one that is taken.
func TestTheDocumentedConsentIsTaken(t *testing.T) {
	text, err := os.ReadFile("../../docs/fhir.md")
	if err != nil {
		t.Fatal(err)
	}
	_, doc, ok := strings.Cut(string(text), "$fhir/Consent <<'JSON'\n")
	doc, _, ended := strings.Cut(doc, "    JSON\n")
	if !ok || !ended {
		t.Fatal("docs/fhir.md shows no Consent any more")
	}
	d, err := read(doc)
	if err != nil || d.requester != "Insurer" || d.form == nil {
		t.Errorf("it is read as %v, %v", d, err)
	}
}

func TestPeriodsEndWithTheLastMomentThatTheyName(t *testing.T) {
	for given, want := range map[string]string{
		"2027":                      "2028-01-01T00:00:00Z",
		"2027-02":                   "2027-03-01T00:00:00Z",
		"2027-02-28":                "2027-03-01T00:00:00Z",
		"2027-02-28T23:59:59Z":      "2027-03-01T00:00:00Z",
		"2027-03-01T07:59:59+08:00": "2027-03-01T00:00:00Z",
	} {
		d, err := read(aConsent("provision.period", `{"end":"`+given+`"}`))
		if err != nil || instant(timeOf(d.period.GetEnd())) != want {
			t.Errorf("%s ends before %s, want %s (%v)", given, instant(timeOf(d.period.GetEnd())), want, err)
		}
	}
}

// What can't be kept without changing what is meant is refused, and the fault names the element.
func TestWhatAConsentCannotSayHereIsRefusedWithItsElement(t *testing.T) {
	root := "Consent.provision"
	actor := func(system, value string) string {
		return `[{"role":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"IRCP"}]},"reference":{"identifier":{"system":"` + system + `","value":"` + value + `"}}}]`
	}
	two := strings.TrimSuffix(actor("urn:yitong:member", "insurer"), "]") + "," + strings.TrimPrefix(actor("urn:yitong:member", "hospital-b"), "[")
	for _, c := range []struct {
		name    string
		changes []any
		where   string
	}{
		{"another scope", []any{"scope", `{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"research"}]}`}, "Consent.scope"},
		{"a patient by address", []any{"patient", `{"reference":"Patient/1"}`}, "Consent.patient"},
		{"a patient by handle", []any{"patient", `{"identifier":{"system":"urn:yitong:handle","value":"1-ab"}}`}, "Consent.patient.identifier"},
		{"another custodian", []any{"organization", `[{"identifier":{"system":"urn:yitong:member","value":"hospital-b"}}]`}, "Consent.organization[0]"},
		{"an organization by address", []any{"organization", `[{"reference":"Organization/1"}]`}, "Consent.organization[0]"},
		{"something contained", []any{"contained", `[{"resourceType":"Patient"}]`}, "Consent.contained"},
		{"a modifier", []any{"modifierExtension", `[{"url":"https://example.org/x","valueBoolean":true}]`}, "Consent.modifierExtension"},
		{"implicit rules", []any{"implicitRules", `"https://example.org/rules"`}, "Consent.implicitRules"},
		{"no base decision", []any{"provision.type", nil}, root + ".type"},
		{"a base policy beside it", []any{"policyRule", `{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"OPTOUT"}]}`}, "Consent.policyRule"},
		{"a base policy in words", []any{"policyRule", `{"text":"as agreed"}`}, "Consent.policyRule"},
		{"no recipient", []any{"provision.actor", nil}, root + ".actor"},
		{"two recipients", []any{"provision.actor", two}, root + ".actor"},
		{"a kind of recipients", []any{"provision.actor", actor("urn:yitong:kind", "insurer")}, root + ".actor[0]"},
		{"a stranger", []any{"provision.actor", actor("urn:yitong:member", "nobody")}, root + ".actor[0].reference.identifier.value"},
		{"a recipient of another system", []any{"provision.actor", actor("https://example.org/orgs", "insurer")}, root + ".actor[0].reference"},
		{"a custodian as actor", []any{"provision.actor", strings.Replace(actor("urn:yitong:member", "insurer"), "IRCP", "CST", 1)}, root + ".actor[0].role"},
		{"a recipient in an exception", []any{"provision.provision", `[{"type":"deny","actor":` + actor("urn:yitong:member", "hospital-b") + `}]`}, root + ".provision[0].actor[0]"},
		{"an exception without a type", []any{"provision.provision", `[{"purpose":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"TREAT"}]}]`}, root + ".provision[0].type"},
		{"a code in the data", []any{"provision.code", `[{"text":"x"}]`}, root + ".code"},
		{"single resources, deep inside", []any{"provision.provision", `[{"type":"permit","provision":[{"type":"deny","data":[{"meaning":"instance","reference":{"reference":"Task/1"}}]}]}]`}, root + ".provision[0].provision[0].data"},
		{"five levels", []any{"provision.provision", `[{"type":"deny","provision":[{"type":"permit","provision":[{"type":"deny","provision":[{"type":"permit"}]}]}]}]`}, root + ".provision[0].provision[0].provision[0].provision"},
		{"an unknown purpose", []any{"provision.purpose", `[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"FUN"}]`}, root + ".purpose[0]"},
		{"a purpose of another system", []any{"provision.purpose", `[{"system":"https://example.org","code":"TREAT"}]`}, root + ".purpose[0]"},
		{"an unknown action", []any{"provision.action", `[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentaction","code":"sell"}]}]`}, root + ".action[0]"},
		{"a resource type", []any{"provision.class", `[{"system":"http://hl7.org/fhir/resource-types","code":"Observation"}]`}, root + ".class[0]"},
		{"a media type among others of its form", []any{"provision.class", `[{"system":"urn:ietf:bcp:13","code":"image/png"}]`}, root + ".class[0]"},
		{"an unknown data class", []any{"provision.class", `[{"system":"urn:yitong:data-class","code":"dreams"}]`}, root + ".class[0]"},
		{"data classes and forms", []any{"provision.class", `[{"system":"urn:yitong:data-class","code":"claim"},{"system":"urn:yitong:record-type","code":"pdf"}]`}, root + ".class"},
		{"an unknown label", []any{"provision.provision", `[{"type":"deny","securityLabel":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"LOUD"}]}]`}, root + ".provision[0].securityLabel[0]"},
		{"a grade as a sensitivity", []any{"provision.provision", `[{"type":"deny","securityLabel":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"R"}]}]`}, root + ".provision[0].securityLabel[0]"},
		{"a denial of what is normal", []any{"provision.provision", `[{"type":"deny","securityLabel":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"N"}]}]`}, root + ".provision[0].securityLabel[0]"},
		{"half a second", []any{"provision.period", `{"start":"2026-11-20T00:00:00.5Z"}`}, root + ".period.start"},
		{"a period that is none", []any{"provision.dataPeriod", `{"start":"2026-11-20","end":"2026-11-19"}`}, root + ".dataPeriod"},
		{"a side of a period that isn't said", []any{"provision.dataPeriod", `{"_start":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]},"end":"2026"}`}, root + ".dataPeriod"},
		{"a period of no side", []any{"provision.dataPeriod", `{"extension":[{"url":"https://example.org/x","valueCode":"y"}]}`}, root + ".dataPeriod"},
		{"a purpose without a code", []any{"provision.purpose", `[{"display":"payment"}]`}, root + ".purpose[0]"},
		{"a label without a code", []any{"provision.securityLabel", `[{"display":"secret"}]`}, root + ".securityLabel[0]"},
		{"a class without a code", []any{"provision.class", `[{"system":"urn:yitong:data-class","display":"laboratory"}]`}, root + ".class[0]"},
		{"an action in words", []any{"provision.action", `[{"text":"access"}]`}, root + ".action[0]"},
		{"a modifier of an actor", []any{"provision.actor", strings.Replace(actor("urn:yitong:member", "insurer"), `{"role"`, `{"modifierExtension":[{"url":"https://example.org/x","valueBoolean":true}],"role"`, 1)}, root + ".actor[0].modifierExtension"},
		{"the second that means none", []any{"provision.dataPeriod", `{"start":"1970-01-01"}`}, root + ".dataPeriod.start"},
		{"an identifier without a system", []any{"identifier", `[{"value":"1"}]`}, "Consent.identifier[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(aConsent(c.changes...))
			if err == nil {
				t.Fatal("it was taken")
			}
			f := faultOf(err)
			if f.Expression != c.where || f.Status != 422 || f.Allowed == "" {
				t.Errorf("refused at %s: %s (%s)", f.Expression, f.Message, f.Allowed)
			}
			if strings.Contains(f.Message+f.Allowed, "p-1") {
				t.Error("the fault names the patient")
			}
		})
	}
}

// An empty list restricts nothing, and says that it does: R4 has none.
func TestEmptyListsAreRefused(t *testing.T) {
	for _, name := range []string{"purpose", "class", "securityLabel", "action", "actor", "provision"} {
		for _, value := range []string{"[]", "null", "[null]", "{}", `""`} {
			if _, err := read(aConsent("provision."+name, value)); err == nil {
				t.Errorf("%s: %s was taken", name, value)
			}
		}
	}
}

// Everything that is wrong is told at once.
func TestAllFaultsAreToldAtOnce(t *testing.T) {
	_, err := read(aConsent("provision.type", nil, "provision.actor", nil, "organization", `[{"reference":"Organization/1"}]`))
	if f := faultOf(err); len(f.More) != 2 {
		t.Errorf("%d faults besides the first", len(f.More))
	}
}

func TestTheFormIsWhatWasSigned(t *testing.T) {
	elsewhere := aConsent("sourceAttachment", `{"url":"https://hospital-a.example/scans/1"}`)
	for name, c := range map[string]struct{ doc, form string }{
		"the attachment":         {aConsent(), "signed"},
		"the Consent, for a url": {elsewhere, elsewhere},
		"nothing":                {aConsent("sourceAttachment", nil), ""},
		"nothing new":            {aConsent("sourceAttachment", nil, "sourceReference", `{"identifier":{"system":"urn:yitong:evidence","value":"ab"}}`), ""},
	} {
		d, err := read(c.doc)
		if err != nil || string(d.form) != c.form {
			t.Errorf("%s: got %q, %v", name, d.form, err)
		}
	}
}

// Confidentiality N is a permit of what has no label (IHE PCF, advanced).
func TestNormalIsWhatHasNoLabel(t *testing.T) {
	label := func(codes ...string) string {
		var all []string
		for _, c := range codes {
			system := actCodes
			if c == "N" || c == "R" || c == "V" {
				system = confidentiality
			}
			all = append(all, `{"system":"`+system+`","code":"`+c+`"}`)
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	part := func(labels ...record.Label) record.Part {
		return record.Part{Class: record.Laboratory, MediaType: "application/pdf", Labels: record.LabelsOf(labels...)}
	}
	for name, c := range map[string]struct {
		labels string
		covers []record.Part
		keeps  []record.Part
	}{
		"normal":                    {label("N"), []record.Part{part()}, []record.Part{part(record.R), part(record.PSY), part(record.R, record.HIV)}},
		"normal and restricted":     {label("N", "R"), []record.Part{part(), part(record.R)}, []record.Part{part(record.PSY), part(record.R, record.HIV)}},
		"restricted, and no others": {label("R"), []record.Part{part(record.R)}, []record.Part{part(), part(record.PSY)}},
	} {
		d, err := read(aConsent("provision.securityLabel", c.labels, "provision.provision", nil, "provision.period", nil))
		if err != nil {
			t.Fatal(err)
		}
		scope := decide(t, d.provision, d.period, "Insurer", consent.Request{
			Requester: "Insurer", Kind: "insurer", Action: consent.Access, Purpose: consent.HPAYMT, Classes: record.ClassesOf(record.Laboratory),
		}, 1000).Scope
		for _, p := range c.covers {
			if !scope.Covers(p) {
				t.Errorf("%s doesn't cover %v", name, p.Labels.Codes())
			}
		}
		for _, p := range c.keeps {
			if scope.Covers(p) {
				t.Errorf("%s covers %v", name, p.Labels.Codes())
			}
		}
	}
}

type failing interface {
	Helper()
	Fatal(...any)
}

// decide evaluates a consent in the ledger's own terms.
func decide(t failing, p *yitongv1.Provision, period *yitongv1.Period, requester string, r consent.Request, at record.Instant) consent.Decision {
	t.Helper()
	provision, err := api.Provision(p)
	if err != nil {
		t.Fatal(err)
	}
	c := consent.Consent{ID: strings.Repeat("a", 32), Version: 1, Status: consent.Active, Period: api.Period(period), Provision: provision}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return consent.Evaluate([]consent.Consent{c}, r, at)
}

func some[T any](t *rapid.T, of int, label string, from []T) (out []T) {
	if rapid.IntRange(1, of).Draw(t, label+"?") == 1 {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 1, 2, func(v T) string { return fmt.Sprint(v) }).Draw(t, label)
	}
	return nil
}

func drawSpan(t *rapid.T, label string) *yitongv1.Period {
	if rapid.IntRange(1, 3).Draw(t, label+"?") > 1 {
		return nil
	}
	start := rapid.Int64Range(1, 8).Draw(t, label+" from")
	p := &yitongv1.Period{Start: &timestamppb.Timestamp{Seconds: start}, End: &timestamppb.Timestamp{Seconds: rapid.Int64Range(start+1, 10).Draw(t, label+" until")}}
	switch rapid.IntRange(1, 4).Draw(t, label+" sides") {
	case 1:
		p.Start = nil
	case 2:
		p.End = nil
	}
	return p
}

func drawProvision(t *rapid.T, depth int) *yitongv1.Provision {
	p := &yitongv1.Provision{
		Type: rapid.SampledFrom([]string{"permit", "deny"}).Draw(t, "type"), Period: drawSpan(t, "period"), DataPeriod: drawSpan(t, "data"),
		Actions: some(t, 5, "actions", []string{"access", "disclose"}), Purposes: some(t, 3, "purposes", []string{"HPAYMT", "CLMATTCH", "TREAT"}),
		Classes: some(t, 3, "classes", []string{"laboratory", "claim", "genomics"}), Labels: some(t, 3, "labels", []string{"PSY", "HIV", "R"}),
		RecordTypes: some(t, 4, "types", []string{"pdf", "fhir"}),
	}
	for _, a := range some(t, 4, "actors", []string{"Insurer", "HospitalB", "kind insurer", "kind hospital"}) {
		if kind, ok := strings.CutPrefix(a, "kind "); ok {
			p.Actors = append(p.Actors, &yitongv1.Actor{Kind: kind})
		} else if depth == 1 || a == "Insurer" {
			p.Actors = append(p.Actors, &yitongv1.Actor{Member: a})
		}
	}
	if depth < consent.MaxDepth {
		for range rapid.IntRange(0, 2).Draw(t, "exceptions") {
			p.Provisions = append(p.Provisions, drawProvision(t, depth+1))
		}
		if rapid.IntRange(0, 3).Draw(t, "only what has no label") == 0 { // as confidentiality N is kept, or nearly
			labelled := &yitongv1.Provision{Type: "deny", Labels: record.AllLabels.Codes()}
			for i := rapid.IntRange(0, 2).Draw(t, "of what has"); i > 0 && depth < consent.MaxDepth-1; i-- {
				labelled.Provisions = append(labelled.Provisions, drawProvision(t, depth+2))
			}
			p.Provisions = append(p.Provisions, labelled)
		}
	}
	return p
}

// A consent that went out as a Consent and came back decides as it did before, of every request and
// every part.
func TestAConsentThatComesBackDecidesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, of := drawProvision(t, 1), drawSpan(t, "consent")
		sent := consentOut(&yitongv1.Directive{
			Consent:   &yitongv1.Consent{Id: strings.Repeat("a", 32), Version: 1, Status: "active", Period: of, Provision: p, Evidence: strings.Repeat("b", 64), Assurance: "attested", Recorded: timestamppb.Now()},
			Custodian: "HospitalA", Requester: "Insurer", Patient: &yitongv1.Patient{System: "https://hospital-a.example/mrn", Value: "p-1"},
		}, people)
		back, err := read(string(marshal(sent)))
		if err != nil {
			t.Fatalf("%v in %s", err, marshal(sent))
		}
		if back.form != nil || back.requester != "Insurer" {
			t.Fatal("it came back about something else")
		}
		if !sameProvision(back.provision, p, back.period, of, people, "Insurer") {
			t.Fatalf("it says the same in other words: %s", marshal(sent))
		}
		request := consent.Request{
			Requester: "Insurer", Kind: "insurer", Action: consent.Access, Purpose: rapid.SampledFrom([]consent.Purpose{consent.CLMATTCH, consent.HPAYMT, consent.TREAT}).Draw(t, "purpose"),
			Classes: record.ClassesOf(record.Laboratory, record.Claim, record.Genomics),
		}
		at := record.Instant(rapid.IntRange(1, 11).Draw(t, "at"))
		before, after := decide(t, p, of, "Insurer", request, at), decide(t, back.provision, back.period, "Insurer", request, at)
		if before.Outcome != after.Outcome {
			t.Fatalf("it was %v and is %v: %s", before.Outcome, after.Outcome, marshal(sent))
		}
		for _, class := range []record.Class{record.Laboratory, record.Claim, record.Genomics} {
			for _, labels := range []record.Labels{0, record.LabelsOf(record.PSY), record.LabelsOf(record.HIV, record.R)} {
				for _, form := range []string{"application/pdf", "application/fhir+json", "image/png"} {
					for start := record.Instant(0); start < 10; start += 3 {
						part := record.Part{Class: class, Labels: labels, MediaType: form, Period: record.Period{Start: start}}
						if start > 0 {
							part.Period.End = start + 2
						}
						if before.Scope.Covers(part) != after.Scope.Covers(part) {
							t.Fatalf("of %+v it covered %v: %s", part, before.Scope.Covers(part), marshal(sent))
						}
					}
				}
			}
		}
	})
}

// PCF's profiles are claimed where they are kept, and only there.
func TestProfilesAreClaimedWhereTheyAreKept(t *testing.T) {
	of := func(p *yitongv1.Provision, signer string) string {
		out := consentOut(&yitongv1.Directive{
			Consent: &yitongv1.Consent{Id: strings.Repeat("a", 32), Version: 1, Status: "active", Provision: p, Evidence: strings.Repeat("b", 64), Signer: signer, Recorded: timestamppb.Now()}, Requester: "Insurer",
		}, people)
		if len(out.Meta.Profile) == 0 {
			return ""
		}
		if _, lacks := profiletest.Check(marshal(out)); len(lacks) > 0 {
			t.Errorf("%v: %v", p, lacks)
		}
		return strings.TrimPrefix(out.Meta.Profile[0], pcfProfiles)
	}
	deny := func(p *yitongv1.Provision) *yitongv1.Provision {
		p.Type = "deny"
		return &yitongv1.Provision{Type: "permit", Provisions: []*yitongv1.Provision{p}}
	}
	span := &yitongv1.Period{Start: timestamppb.Now()}
	for want, list := range map[string][]*yitongv1.Provision{
		"Basic":        {{Type: "permit"}, {Type: "permit", Purposes: []string{"HPAYMT"}}},
		"Intermediate": {{Type: "permit", Purposes: []string{"HRESCH"}}, {Type: "permit", Purposes: []string{"TREAT", "BTG"}}, {Type: "permit", DataPeriod: span}, deny(&yitongv1.Provision{DataPeriod: span})},
		"Advanced":     {{Type: "permit", Labels: []string{"R"}}, deny(&yitongv1.Provision{Labels: []string{"PSY"}}), deny(&yitongv1.Provision{Labels: []string{"SDV"}}), deny(&yitongv1.Provision{Labels: record.AllLabels.Codes()})},
		"":             {{Type: "permit", Actions: []string{"access"}}, {Type: "permit", Classes: []string{"claim"}}, deny(&yitongv1.Provision{Labels: []string{"SEX"}}), deny(deny(&yitongv1.Provision{}))},
	} {
		for _, p := range list {
			if got := of(p, ""); got != want {
				t.Errorf("%v claims %q, want %q", p, got, want)
			}
			if got := of(p, strings.Repeat("c", 32)); got != "" {
				t.Errorf("a verified one claims %q", got)
			}
		}
	}
}

func FuzzConsent(f *testing.F) {
	f.Add(aConsent())
	f.Add(aConsent("provision.class", `[{"system":"urn:ietf:bcp:13","code":"application/pdf"}]`, "provision.securityLabel", `[{"system":"`+confidentiality+`","code":"N"}]`))
	f.Add(aConsent("provision.modifierExtension", `[{"url":"`+recordTypeExtension+`","valueCode":"pdf"}]`, "sourceAttachment", `{"data":"`+base64.StdEncoding.EncodeToString([]byte{0})+`"}`))
	f.Fuzz(func(t *testing.T, doc string) {
		d, err := read(doc)
		if err != nil || d.provision == nil {
			return
		}
		// What was taken goes out, and says the same when it comes back.
		sent := consentOut(&yitongv1.Directive{
			Consent: &yitongv1.Consent{Id: strings.Repeat("a", 32), Status: "active", Period: d.period, Provision: d.provision, Recorded: timestamppb.Now(), Assurance: "attested"}, Requester: d.requester, Custodian: "HospitalA", Patient: d.patient,
		}, people)
		back, err := read(string(marshal(sent)))
		if err != nil {
			t.Fatalf("what was taken is refused when it comes back: %v\n%s", err, marshal(sent))
		}
		if !sameProvision(d.provision, back.provision, d.period, back.period, people, d.requester) {
			t.Fatalf("it says something else when it comes back: %s", marshal(sent))
		}
		if _, err := api.Provision(d.provision); err != nil {
			t.Fatalf("the gateway refuses what was taken: %v", err)
		}
	})
}
