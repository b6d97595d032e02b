package consent_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	strict "github.com/go-json-experiment/json"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

func TestValidateRefusesAConsent(t *testing.T) {
	good := say("a", permit())
	nested := func(levels int) consent.Provision {
		p := permit()
		for range levels - 1 {
			p = permit(except(p))
		}
		return p
	}
	many := func(n int) consent.Provision {
		p := permit()
		for range n - 1 {
			p.Provisions = append(p.Provisions, deny())
		}
		return p
	}
	for _, c := range []struct {
		name   string
		change func(*consent.Consent)
		code   refusal.Code
		says   string // in the message; "" if it is fine
	}{
		{"none: all is well", func(*consent.Consent) {}, "", ""},
		{"an id that isn't hex", func(c *consent.Consent) { c.ID = "patient-1" }, refusal.Malformed, "id"},
		{"an id in capitals", func(c *consent.Consent) { c.ID = strings.Repeat("A", 32) }, refusal.Malformed, "id"},
		{"version 0", func(c *consent.Consent) { c.Version = 0 }, refusal.Malformed, "version"},
		{"a status nobody knows", func(c *consent.Consent) { c.Status = "draft" }, refusal.Malformed, `"draft"`},
		{"a period that ends before it starts", func(c *consent.Consent) { c.Period = days("2026-02-01", "2026-01-01") }, refusal.Malformed, "period"},
		{"a period of no time at all", func(c *consent.Consent) { c.Period = days("2026-01-01", "2026-01-01") }, refusal.Malformed, "period"},
		{"evidence that is no digest", func(c *consent.Consent) { c.Evidence = "signed.pdf" }, refusal.Malformed, "evidence"},
		{"a provision without a type", func(c *consent.Consent) { c.Provision.Type = 0 }, refusal.Malformed, "provision.type"},
		{"an exception without a type, by its path", func(c *consent.Consent) { c.Provision = permit(except(deny(), permit(except(consent.Provision{})))) }, refusal.Malformed, "provision.provision[1].provision[0].type"},
		{"a data period that ends before it starts", func(c *consent.Consent) { c.Provision.DataPeriod = days("2026-02-01", "2026-01-01") }, refusal.Malformed, "provision.dataPeriod"},
		{"an actor that is nobody", func(c *consent.Consent) { c.Provision.Actors = []consent.Actor{{}} }, refusal.Malformed, "provision.actors[0]"},
		{"an actor that is both member and kind", func(c *consent.Consent) { c.Provision.Actors = []consent.Actor{{Member: insurer, Kind: "insurer"}} }, refusal.Malformed, "provision.actors[0]"},
		{"a member id with a blank", func(c *consent.Consent) { c.Provision.Actors = []consent.Actor{{Member: "Insurer MSP"}} }, refusal.Malformed, "actors[0].member"},
		{"a kind nobody knows", func(c *consent.Consent) { c.Provision.Actors = []consent.Actor{{Kind: "pharmacy"}} }, refusal.Malformed, `"pharmacy"`},
		{"actors listed as none", func(c *consent.Consent) { c.Provision.Actors = []consent.Actor{} }, refusal.Malformed, "provision.actors"},
		{"a class that isn't one", func(c *consent.Consent) { c.Provision.Classes = 1 << 31 }, refusal.Malformed, "classes"},
		{"a record type that isn't one", func(c *consent.Consent) { c.Provision.Types = 1 << 15 }, refusal.Malformed, "recordTypes"},
		{"a label that isn't one", func(c *consent.Consent) { c.Provision.Labels = 1 }, refusal.Malformed, "labels"},
		{"a purpose that isn't one", func(c *consent.Consent) { c.Provision.Purposes = 1 }, refusal.Malformed, "purposes"},
		{"an action that isn't one", func(c *consent.Consent) { c.Provision.Actions = 1 << 7 }, refusal.Malformed, "actions"},
		{"an assurance nobody knows", func(c *consent.Consent) { c.Assurance = 9 }, refusal.Malformed, "assurance"},
		{"a wallet's assurance without a signer", func(c *consent.Consent) { c.Assurance = consent.Wallet }, refusal.Malformed, "assurance"},
		{"a signer that is no key's id", func(c *consent.Consent) { c.Signer = "patient" }, refusal.Malformed, "signer"},
		{"none: a signed consent", func(c *consent.Consent) { c.Assurance, c.Signer = consent.Passkey, strings.Repeat("5", 32) }, "", ""},
		{"none: four levels are fine", func(c *consent.Consent) { c.Provision = nested(4) }, "", ""},
		{"five levels", func(c *consent.Consent) { c.Provision = nested(5) }, refusal.TooLarge, "nested"},
		{"none: 64 provisions are fine", func(c *consent.Consent) { c.Provision = many(64) }, "", ""},
		{"65 provisions", func(c *consent.Consent) { c.Provision = many(65) }, refusal.TooLarge, "provisions"},
		{"65 actors", func(c *consent.Consent) { c.Provision.Actors = make([]consent.Actor, 65) }, refusal.TooLarge, "actors"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := good
			c.change(&x)
			wantRefusal(t, x.Validate(), c.code, c.says)
		})
	}
}

func TestValidateRefusesARequest(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*consent.Request)
		says   string
	}{
		{"none: all is well", func(*consent.Request) {}, ""},
		{"no requester", func(r *consent.Request) { r.Requester = "" }, "requester"},
		{"a kind nobody knows", func(r *consent.Request) { r.Kind = "admin" }, "kind"},
		{"no action", func(r *consent.Request) { r.Action = 0 }, "action"},
		{"an action that isn't one", func(r *consent.Request) { r.Action = 200 }, "action"},
		{"no purpose", func(r *consent.Request) { r.Purpose = 0 }, "purpose"},
		{"a purpose that isn't one", func(r *consent.Request) { r.Purpose = 255 }, "purpose"},
		{"no class", func(r *consent.Request) { r.Classes = 0 }, "classes"},
		{"a class that isn't one", func(r *consent.Request) { r.Classes |= 1 << 31 }, "classes"},
		{"a record type that isn't one", func(r *consent.Request) { r.Types = 1 }, "recordTypes"},
		{"a period that ends before it starts", func(r *consent.Request) { r.Period = days("2026-02-01", "2026-01-01") }, "period"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := claim(lab)
			c.change(&r)
			code := refusal.Malformed
			if c.says == "" {
				code = ""
			}
			wantRefusal(t, r.Validate(), code, c.says)
		})
	}
}

func wantRefusal(t *testing.T, err error, code refusal.Code, says string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatal("refused:", err)
		}
		return
	}
	var r *refusal.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("%v is no refusal", err)
	}
	if r.Code != code || !strings.Contains(r.Message, says) || r.Allowed == "" {
		t.Errorf("refused as %s %q, allowing %q; want %s about %q, and what is allowed", r.Code, r.Message, r.Allowed, code, says)
	}
}

func TestJSONRefusesWhatIsntACriterion(t *testing.T) {
	for _, c := range []struct{ name, doc, says string }{
		{"an unknown purpose, listing the known", `{"type":"permit","purposes":["BILLING"]}`, "CLMATTCH"},
		{"an unknown action, listing the known", `{"type":"permit","actions":["peek"]}`, "access, collect"},
		{"an unknown class, listing the known", `{"type":"permit","classes":["blood"]}`, "laboratory"},
		{"an unknown record type, listing the known", `{"type":"permit","recordTypes":["docx"]}`, "dicom, fhir"},
		{"an unknown label, listing the known", `{"type":"permit","labels":["SECRET"]}`, "PSYTHPN"},
		{"a code in the wrong case", `{"type":"permit","purposes":["treat"]}`, "treat"},
		{"an unknown type", `{"type":"allow"}`, "deny, permit"},
		{"an empty list, which would restrict nothing", `{"type":"permit","labels":[]}`, "empty"},
		{"null for a list", `{"type":"permit","purposes":null}`, "array"},
		{"a code twice", `{"type":"permit","classes":["claim","claim"]}`, "twice"},
		{"a bare code for a list", `{"type":"permit","classes":"claim"}`, "array"},
		{"a local time", `{"type":"permit","period":{"start":"2026-01-01T00:00:00+08:00"}}`, "RFC 3339 in UTC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for decoder, err := range map[string]error{
				"encoding/json": json.Unmarshal([]byte(c.doc), new(consent.Provision)),
				"strict":        strict.Unmarshal([]byte(c.doc), new(consent.Provision), strict.RejectUnknownMembers(true)),
			} {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: error is %v, want one about %q", decoder, err, c.says)
				}
			}
		})
	}
}

func TestPathSurvivesItsText(t *testing.T) {
	for _, s := range []string{"", "provision", "provision.provision[0]", "provision.provision[63].provision[5].provision[12]"} {
		var p consent.Path
		if err := p.UnmarshalText([]byte(s)); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if p.String() != s {
			t.Errorf("%q came back as %q", s, p)
		}
	}
	for _, s := range []string{"x", "provision.", "provision.provision", "provision.provision[-1]", "provision.provision[01]", "provision[0]", "provision.provision[0].provision[0].provision[0].provision[0]", "provision.provision[999]"} {
		if err := new(consent.Path).UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q is taken for a path", s)
		}
	}
}

func TestPurposesFollowTheHierarchy(t *testing.T) {
	for _, c := range []struct {
		purpose, head consent.Purpose
		want          bool
	}{
		{consent.CLMATTCH, consent.HPAYMT, true},
		{consent.ELIGVER, consent.COVERAGE, true},
		{consent.ELIGVER, consent.HPAYMT, true},
		{consent.BTG, consent.TREAT, true},
		{consent.TREAT, consent.TREAT, true},
		{consent.TREAT, consent.ETREAT, false},
		{consent.HPAYMT, consent.TREAT, false},
		{consent.HTEST, consent.HOPERAT, true},
		{consent.PRECLINTRCH, consent.HRESCH, true},
		{consent.SUPNWK, consent.PATRQT, true},
		{consent.THREAT, consent.PUBHLTH, true},
		{consent.HMARKT, consent.HOPERAT, false},
		{0, consent.TREAT, false},
		{200, consent.TREAT, false},
	} {
		if got := c.purpose.Under(c.head); got != c.want {
			t.Errorf("%v under %v is %v", c.purpose, c.head, got)
		}
	}
}

func TestEvaluateOfABrokenConsentPermitsNothing(t *testing.T) {
	deep := permit(except(permit(except(permit(except(permit(except(deny()))))))))
	for name, p := range map[string]consent.Provision{
		"a type that is neither":                   {},
		"exceptions deeper than any valid one":     deep,
		"an actor that is nobody":                  {Type: consent.Permit, Actors: []consent.Actor{{}}},
		"classes that aren't any":                  {Type: consent.Permit, Classes: 1},
		"purposes that aren't any":                 {Type: consent.Permit, Purposes: 1},
		"record types that aren't any":             {Type: consent.Permit, Types: 1},
		"labels that aren't any":                   {Type: consent.Permit, Labels: 1},
		"a data period that ends before it starts": {Type: consent.Permit, DataPeriod: days("2026-02-01", "2026-01-01")},
	} {
		d := consent.Evaluate(all(say("a", p)), claim(lab), day(today))
		for x := range everyPart {
			if d.Scope.Covers(x.whole()) {
				t.Errorf("%s: %v is covered", name, x)
				break
			}
		}
	}
}

func FuzzConsentJSON(f *testing.F) {
	for _, s := range situations() {
		for _, c := range s.consents {
			doc, err := json.Marshal(c)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(doc, uint8(s.request.Purpose), uint32(s.request.Classes), int64(day(today)))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte, purpose uint8, classes uint32, at int64) {
		var c consent.Consent
		if err := strict.Unmarshal(doc, &c, strict.RejectUnknownMembers(true)); err != nil {
			return
		}
		valid := c.Validate() == nil
		r := ask(insurer, "insurer", consent.Purpose(purpose), record.Laboratory)
		r.Classes = record.Classes(classes)
		d := consent.Evaluate(all(c, c), r, record.Instant(at)) // valid or not, it mustn't panic
		for x := range everyPart {
			got := d.Scope.Covers(x.whole())
			if want := covered(all(c), r, record.Instant(at), x); valid && got != want {
				t.Fatalf("%v: covered is %v, want %v", x, got, want)
			}
		}
		if _, err := json.Marshal(d); err != nil && valid {
			t.Fatal(err)
		}
	})
}
