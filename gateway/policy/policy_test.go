package policy_test

import (
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yitong/chaincode/registry"
	"yitong/gateway/policy"
)

// What the default policy is for, in sentences. testdata/default.yaml is also the example
// of a member's own cases.
func TestTheDefaultPolicy(t *testing.T) {
	f, err := os.Open("testdata/default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cases, err := policy.ReadCases(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range policy.Default().Run(cases) {
		t.Run(r.Name, func(t *testing.T) {
			if !r.Passed() {
				t.Errorf("allowed: %v, because: %s", r.Answer.Allowed, r.Why())
			}
			if len(r.Broken) > 0 {
				t.Errorf("rules that can't be evaluated: %v", r.Broken)
			}
		})
	}
}

func TestEveryRuleOfTheDefaultPolicyIsNeeded(t *testing.T) {
	// Each rule taken out must change the answer of some case: a rule that no case
	// rests on is a rule that nobody looks at.
	text := string(policy.DefaultText())
	f, err := os.ReadFile("testdata/default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := policy.ReadCases(strings.NewReader(string(f)))
	if err != nil {
		t.Fatal(err)
	}
	rules := strings.Split(text, "@id(")
	for i := 1; i < len(rules); i++ {
		id := strings.SplitN(rules[i], `"`, 3)[1]
		without, err := policy.Parse("without", []byte(rules[0]+joined(rules, i)))
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, r := range without.Run(cases) {
			if !r.Passed() {
				failed++
			}
		}
		if failed == 0 {
			t.Errorf("no case notices when rule %q is taken out", id)
		}
	}
}

func joined(rules []string, without int) string {
	var b strings.Builder
	for i := 1; i < len(rules); i++ {
		if i != without {
			b.WriteString("@id(" + rules[i])
		}
	}
	return b.String()
}

func TestAnAnswerSaysWhy(t *testing.T) {
	for _, test := range []struct {
		name, rules string
		want        string
	}{
		{"nothing permits", `permit (principal, action == Action::"Keys.List", resource);`, "denied: no rule permits it"},
		{"a permit", `@id("all") permit (principal, action, resource);`, "allowed by all (own.cedar:1)"},
		{"a forbid beats a permit", "permit (principal, action, resource);\n@id(\"night\")\nforbid (principal, action in Action::\"Records\", resource);",
			"forbidden by night (own.cedar:2)"},
		{"a broken rule doesn't count", "permit (principal, action, resource);\nforbid (principal, action, resource) when { 9223372036854775807 + 1 > 0 };", "policy1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := policy.Parse("own.cedar", []byte(test.rules))
			if err != nil {
				t.Fatal(err)
			}
			a := p.Decide(policy.Question{Kind: registry.Hospital, Method: "Records.Submit"})
			if got := a.Why(); !strings.Contains(got, test.want) {
				t.Errorf("%q doesn't say %q", got, test.want)
			}
		})
	}
}

// Whoever is asked about, a role nobody knows may do no more than see the standing.
func TestAnUnknownRoleIsDenied(t *testing.T) {
	p := policy.Default()
	known := []string{"", "software", "clinician", "records-officer", "claims-handler", "auditor", "operator", "patient"}
	rapid.Check(t, func(t *rapid.T) {
		q := policy.Question{
			Kind:    rapid.SampledFrom([]registry.Kind{registry.Hospital, registry.Insurer, registry.Regulator}).Draw(t, "kind"),
			Role:    rapid.StringMatching(`[A-Za-z-]{1,12}`).Draw(t, "role"),
			Method:  rapid.SampledFrom([]string{"Records.Submit", "Accesses.Open", "Audit.Entries", "Emergencies.Open", "Keys.Rotate"}).Draw(t, "method"),
			Purpose: rapid.SampledFrom([]string{"", "TREAT", "HPAYMT"}).Draw(t, "purpose"),
		}
		for _, k := range known {
			if q.Role == k {
				t.Skip("a role that is known")
			}
		}
		if a := p.Decide(q); a.Allowed {
			t.Fatalf("%+v %s", q, a.Why())
		}
	})
}

// So is a purpose nobody knows; the control is one that is known.
func TestAnUnknownPurposeIsNone(t *testing.T) {
	for purpose, want := range map[string]bool{"CLMATTCH": true, "PAYME": false} {
		q := policy.Question{Kind: registry.Insurer, Role: "claims-handler", Method: "Accesses.Request", Purpose: purpose}
		if a := policy.Default().Decide(q); a.Allowed != want {
			t.Errorf("%s: %s", purpose, a.Why())
		}
	}
}

func TestAPolicyThatCantBeReadSaysWhere(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"a typo", "permit (principal, action, resource)\nwhen { principal.role = \"x\" };", "own.cedar"},
		{"nothing", "// only a comment", "no rule"},
		{"one id twice", "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);", "line 2"},
		{"a method that isn't there", "permit (principal, action, resource);\n@id(\"night\") forbid (principal, action == Action::\"Record.Submit\", resource);", `rule "night" in line 2: unrecognized action`},
		{"a service that isn't there", `forbid (principal, action in Action::"Record", resource);`, `Action::"Record"`},
		{"an attribute that isn't there", `forbid (principal, action, resource) when { principal.rol == "clinician" };`, "rol"},
		{"a text for a set", `permit (principal, action, resource) when { context.classes == "imaging" };`, "String"},
		{"the second of two slips", "forbid (principal, action, resource) when { principal.rol == \"clinician\" };\nforbid (principal, action, resource) when { context.purpos == \"TREAT\" };", "purpos"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := policy.Parse("own.cedar", []byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v doesn't say %q", err, test.want)
			}
		})
	}
}

func TestCasesThatCantBeReadSayWhy(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "no cases"},
		{"no expectation", "- {name: a, kind: hospital, method: Records.List}", "allow: true or allow: false"},
		{"a misspelt field", "- {name: a, kind: hospital, methode: Records.List, allow: true}", "methode"},
		{"no name", "- {kind: hospital, method: Records.List, allow: true}", "case 1 has no name"},
		// Each of these would be denied, whatever the policy says: a "no" that tells nothing.
		{"a method that isn't there", "- {name: a, kind: hospital, role: clinician, method: Record.Submit, allow: false}", `no method "Record.Submit"`},
		{"a kind that isn't there", "- {name: a, kind: clinic, method: Records.Submit, allow: false}", `"clinic" is no kind of member`},
		{"a role that isn't there", "- {name: a, kind: hospital, role: doctor, method: Records.Submit, allow: false}", `no role "doctor"`},
		{"a purpose that isn't there", "- {name: a, kind: hospital, role: clinician, method: Accesses.Request, purpose: TREATMENT, allow: false}", "TREATMENT"},
		{"a class that isn't there", "- {name: a, kind: hospital, role: clinician, method: Accesses.Request, purpose: TREAT, classes: [lab], allow: false}", "lab"},
		{"the second of two slips", "- {name: a, kind: hospital, role: doctor, method: Record.Submit, allow: false}", `no role "doctor"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := policy.ReadCases(strings.NewReader(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v doesn't say %q", err, test.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(policy.DefaultText())
	f.Add([]byte(`permit (principal, action, resource) when { context.classes.contains("x") };`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.Parse("f", text)
		if err == nil {
			p.Decide(policy.Question{Kind: registry.Insurer, Role: "clinician", Method: "Records.Submit"})
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	p := policy.Default()
	q := policy.Question{Member: "Insurer", Kind: registry.Insurer, User: "li", Role: "claims-handler", Method: "Accesses.Request", Purpose: "CLMATTCH"}
	for b.Loop() {
		if !p.Decide(q).Allowed {
			b.Fatal("denied")
		}
	}
}
