package consent_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"

	strict "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
)

// rapid's own default of 100 tries rarely makes three rules meet.
func init() {
	if err := flag.Set("rapid.checks", "2000"); err != nil {
		panic(err)
	}
}

// Small worlds, so that rules meet: two members, three classes, three labels, two record types, times from 1 to 9.

var (
	someClasses  = []record.Class{record.Laboratory, record.Genomics, record.Claim}
	someLabels   = []record.Label{record.HIV, record.PSY, record.R}
	someTypes    = []record.Type{record.FHIR, record.PDF}
	somePurposes = []consent.Purpose{consent.TREAT, consent.ETREAT, consent.BTG, consent.HPAYMT, consent.CLMATTCH, consent.ELIGVER, consent.HRESCH}
	someActors   = []consent.Actor{{Member: insurer}, {Member: hospitalB}, {Kind: "insurer"}, {Kind: "hospital"}}
)

func maybe(t *rapid.T, of int, do func()) {
	if rapid.IntRange(1, of).Draw(t, "maybe") == 1 {
		do()
	}
}

func drawClasses(t *rapid.T) record.Classes {
	return record.ClassesOf(rapid.SliceOfN(rapid.SampledFrom(someClasses), 1, 3).Draw(t, "classes")...)
}

func drawLabels(t *rapid.T) record.Labels {
	return record.LabelsOf(rapid.SliceOfN(rapid.SampledFrom(someLabels), 1, 2).Draw(t, "labels")...)
}

func drawTypes(t *rapid.T) record.Types {
	return record.TypesOf(rapid.SliceOfN(rapid.SampledFrom(someTypes), 1, 2).Draw(t, "record types")...)
}

func drawPeriod(t *rapid.T) record.Period {
	start := record.Instant(rapid.IntRange(0, 8).Draw(t, "start"))
	end := record.Instant(rapid.IntRange(int(start)+1, 10).Draw(t, "end"))
	if end == 10 {
		end = 0
	}
	return record.Period{Start: start, End: end}
}

func drawProvision(t *rapid.T, depth int, types ...consent.Outcome) consent.Provision {
	p := consent.Provision{Type: rapid.SampledFrom(types).Draw(t, "type")}
	maybe(t, 4, func() { p.Period = drawPeriod(t) })
	maybe(t, 3, func() { p.DataPeriod = drawPeriod(t) })
	maybe(t, 4, func() { p.Actors = rapid.SliceOfN(rapid.SampledFrom(someActors), 1, 2).Draw(t, "actors") })
	maybe(t, 6, func() {
		p.Actions = consent.ActionsOf(rapid.SampledFrom([]consent.Action{consent.Access, consent.Disclose}).Draw(t, "action"))
	})
	maybe(t, 3, func() {
		p.Purposes = consent.PurposesOf(rapid.SliceOfN(rapid.SampledFrom(somePurposes), 1, 2).Draw(t, "purposes")...)
	})
	maybe(t, 3, func() { p.Classes = drawClasses(t) })
	maybe(t, 3, func() { p.Labels = drawLabels(t) })
	maybe(t, 4, func() { p.Types = drawTypes(t) })
	if depth < consent.MaxDepth-1 {
		for range rapid.IntRange(0, 2).Draw(t, "exceptions") {
			p.Provisions = append(p.Provisions, drawProvision(t, depth+1, types...))
		}
	}
	return p
}

var both = []consent.Outcome{consent.Permit, consent.Deny}

func drawConsent(t *rapid.T, n int, types ...consent.Outcome) consent.Consent {
	c := consent.Consent{ID: fmt.Sprintf("%032x", n), Version: 1, Status: consent.Active, Provision: drawProvision(t, 0, types...)}
	maybe(t, 4, func() { c.Status = consent.Withdrawn })
	maybe(t, 3, func() { c.Period = drawPeriod(t) })
	maybe(t, 3, func() { c.Assurance, c.Signer = drawAssurance(t), strings.Repeat("5", 32) })
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func drawConsents(t *rapid.T, types ...consent.Outcome) []consent.Consent {
	cs := make([]consent.Consent, rapid.IntRange(0, 4).Draw(t, "consents"))
	for i := range cs {
		cs[i] = drawConsent(t, i, types...)
	}
	return cs
}

func drawRequest(t *rapid.T) consent.Request {
	r := rapid.SampledFrom([]consent.Request{
		{Requester: insurer, Kind: "insurer"}, {Requester: hospitalB, Kind: "hospital"}, {Requester: "OtherMSP", Kind: "insurer"},
	}).Draw(t, "requester")
	r.Action = consent.Access
	r.Purpose = rapid.SampledFrom(somePurposes).Draw(t, "purpose")
	r.Classes = drawClasses(t)
	maybe(t, 3, func() { r.Period = drawPeriod(t) })
	maybe(t, 3, func() { r.Assurance = drawAssurance(t) })
	maybe(t, 4, func() { r.Types = drawTypes(t) })
	return r
}

func drawAssurance(t *rapid.T) consent.Assurance {
	return rapid.SampledFrom([]consent.Assurance{consent.Attested, consent.Passkey, consent.Wallet}).Draw(t, "assurance")
}

func drawInstant(t *rapid.T) record.Instant {
	return record.Instant(rapid.IntRange(1, 10).Draw(t, "at"))
}

// everyPart is every part that can be told apart in the small world.
func everyPart(yield func(part) bool) {
	var labels []record.Labels
	for set := range 1 << len(someLabels) {
		var l record.Labels
		for i, label := range someLabels {
			if set&(1<<i) != 0 {
				l = l.With(label)
			}
		}
		labels = append(labels, l)
	}
	for _, class := range someClasses {
		for _, l := range labels {
			for start := record.Instant(0); start < 10; start += 2 {
				for _, end := range []record.Instant{0, start + 1, start + 3} {
					for _, form := range someTypes {
						if !yield(part{class: class, labels: l, data: record.Period{Start: start, End: end}, form: form}) {
							return
						}
					}
				}
			}
		}
	}
}

// narrower fails unless all that is covered after was covered before.
func narrower(t *rapid.T, before, after consent.Decision) {
	t.Helper()
	for p := range everyPart {
		if after.Scope.Covers(p.whole()) && !before.Scope.Covers(p.whole()) {
			t.Fatalf("%v is covered now and wasn't before\nbefore %+v\nafter %+v", p, before, after)
		}
	}
	if after.Outcome == consent.Permit && before.Outcome != consent.Permit {
		t.Fatalf("permitted now and wasn't before\nbefore %+v\nafter %+v", before, after)
	}
}

func TestScopeCoversWhatEvaluatingPartByPartPermits(t *testing.T) {
	permits, coveredParts := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		d := consent.Evaluate(cs, r, at)
		for p := range everyPart {
			want := covered(cs, r, at, p)
			if got := d.Scope.Covers(p.whole()); got != want {
				t.Fatalf("%v: covered is %v, want %v\n%+v", p, got, want, d)
			}
			if want {
				coveredParts++
			}
		}
		if d.Outcome == consent.Permit {
			permits++
		}
	})
	if permits == 0 || coveredParts == 0 {
		t.Errorf("%d permits and %d covered parts: the property was tested on nothing", permits, coveredParts)
	}
}

func TestDecisionAccountsForEveryRequestedClassOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		d := consent.Evaluate(cs, r, at)
		seen := d.Scope.Classes
		for _, refused := range d.Refused {
			if refused.Classes.Empty() || !seen.Intersect(refused.Classes).Empty() {
				t.Fatalf("a class is refused twice, or granted and refused: %+v", d)
			}
			seen = seen.Union(refused.Classes)
		}
		if seen != r.Classes {
			t.Fatalf("accounted for %v of %v", seen.Codes(), r.Classes.Codes())
		}
		for _, rule := range d.Scope.Rules {
			if rule.Classes.Empty() || !rule.Classes.Without(d.Scope.Classes).Empty() {
				t.Fatalf("a rule of the scope is about classes that aren't granted: %+v", d)
			}
		}
		if (d.Outcome == consent.Permit) == d.Scope.IsZero() || d.Rule.Reason == "" {
			t.Fatalf("outcome, scope and rule don't go together: %+v", d)
		}
	})
}

func TestRuleNamesAProvisionOfTheDecisionsType(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		d := consent.Evaluate(cs, r, at)
		rules := []consent.Rule{d.Rule}
		for _, refused := range d.Refused {
			rules = append(rules, refused.Rule)
		}
		for _, rule := range rules {
			p := provisionAt(t, cs, rule)
			switch {
			case rule.Reason == consent.Permitted && p.Type != consent.Permit, rule.Reason == consent.Denied && p.Type != consent.Deny:
				t.Fatalf("%+v names a provision of type %s", rule, p.Type)
			}
		}
	})
}

// provisionAt follows a rule's path the way a reader would.
func provisionAt(t *rapid.T, cs []consent.Consent, r consent.Rule) consent.Provision {
	for _, c := range cs {
		if c.ID != r.Consent {
			continue
		}
		p, path := c.Provision, "provision"
	step:
		for path != r.Path.String() {
			for i, x := range p.Provisions {
				below := fmt.Sprintf("%s.provision[%d]", path, i)
				if rest := r.Path.String(); len(rest) >= len(below) && rest[:len(below)] == below {
					p, path = x, below
					continue step
				}
			}
			t.Fatalf("consent has no %s", r.Path)
		}
		return p
	}
	if r.Consent != "" {
		t.Fatalf("there is no consent %s", r.Consent)
	}
	return consent.Provision{}
}

func TestWithdrawingNeverWidens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		if len(cs) == 0 {
			t.Skip("nothing to withdraw")
		}
		before := consent.Evaluate(cs, r, at)
		cs[rapid.IntRange(0, len(cs)-1).Draw(t, "which")].Status = consent.Withdrawn
		narrower(t, before, consent.Evaluate(cs, r, at))
	})
}

func TestDemandingMoreAssuranceNeverWidens(t *testing.T) {
	narrowed := 0
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		before := consent.Evaluate(cs, r, at)
		r.Assurance = max(r.Assurance, drawAssurance(t))
		after := consent.Evaluate(cs, r, at)
		narrower(t, before, after)
		if before.Outcome == consent.Permit && after.Outcome == consent.Deny {
			narrowed++
		}
	})
	if narrowed == 0 {
		t.Error("no demand ever made a difference")
	}
}

func TestGainingAssuranceNeverNarrows(t *testing.T) {
	widened := 0
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		if len(cs) == 0 {
			t.Skip("nothing to be surer of")
		}
		before := consent.Evaluate(cs, r, at)
		c := &cs[rapid.IntRange(0, len(cs)-1).Draw(t, "which")]
		c.Assurance = max(c.Assurance, drawAssurance(t))
		after := consent.Evaluate(cs, r, at)
		narrower(t, after, before)
		if before.Outcome == consent.Deny && after.Outcome == consent.Permit {
			widened++
		}
	})
	if widened == 0 {
		t.Error("no assurance ever made a difference")
	}
}

func TestWhatIsTooUnsureIsAsGoodAsWithdrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		withdrawn := append([]consent.Consent(nil), cs...)
		for i := range withdrawn {
			if withdrawn[i].Assurance < r.Assurance {
				withdrawn[i].Status = consent.Withdrawn
			}
		}
		a, b := consent.Evaluate(cs, r, at), consent.Evaluate(withdrawn, r, at)
		if a.Outcome != b.Outcome || !a.Scope.Equal(b.Scope) {
			t.Fatalf("unsure %+v\nwithdrawn %+v", a, b)
		}
	})
}

func TestAddingAConsentThatOnlyDeniesNeverWidens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		narrower(t, consent.Evaluate(cs, r, at), consent.Evaluate(append(cs, drawConsent(t, len(cs), consent.Deny)), r, at))
	})
}

func TestAddingADenyingExceptionNeverWidens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		if len(cs) == 0 {
			t.Skip("nothing to except from")
		}
		before := consent.Evaluate(cs, r, at)
		p, depth := &cs[rapid.IntRange(0, len(cs)-1).Draw(t, "which")].Provision, 1
		for len(p.Provisions) > 0 && depth < consent.MaxDepth-1 && rapid.Bool().Draw(t, "deeper") {
			p, depth = &p.Provisions[rapid.IntRange(0, len(p.Provisions)-1).Draw(t, "exception")], depth+1
		}
		p.Provisions = append(p.Provisions, drawProvision(t, depth, consent.Deny))
		narrower(t, before, consent.Evaluate(cs, r, at))
	})
}

func TestOrderOfConsentsNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		want := consent.Evaluate(cs, r, at)
		if diff := cmp.Diff(want, consent.Evaluate(rapid.Permutation(cs).Draw(t, "order"), r, at)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAConsentWhosePeriodIsOverIsAsGoodAsAbsent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		over := drawConsent(t, len(cs), both...)
		over.Period = record.Period{End: record.Instant(rapid.IntRange(1, int(at)).Draw(t, "end"))}
		with, without := consent.Evaluate(append(cs, over), r, at), consent.Evaluate(cs, r, at)
		if with.Outcome != without.Outcome || !with.Scope.Equal(without.Scope) || !cmp.Equal(with.Basis, without.Basis) {
			t.Fatalf("with it %+v\nwithout %+v", with, without)
		}
	})
}

func TestWithoutDenialsAndLateStartsTimeOnlyNarrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, consent.Permit), drawRequest(t), drawInstant(t)
		for i := range cs {
			cs[i].Period.Start = 0
			dropStarts(&cs[i].Provision)
		}
		later := at + record.Instant(rapid.IntRange(1, 10).Draw(t, "later"))
		narrower(t, consent.Evaluate(cs, r, at), consent.Evaluate(cs, r, later))
	})
}

func dropStarts(p *consent.Provision) {
	p.Period.Start = 0
	for i := range p.Provisions {
		dropStarts(&p.Provisions[i])
	}
}

func TestBeforeUntilTimeAloneChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		now := consent.Evaluate(cs, r, at)
		last := now.Until - 1
		if now.Until == 0 {
			last = 20
		}
		later := record.Instant(rapid.IntRange(int(at), int(last)).Draw(t, "later"))
		if diff := cmp.Diff(now, consent.Evaluate(cs, r, later)); diff != "" {
			t.Fatalf("at %d it isn't what it was at %d\n%s", later, at, diff)
		}
	})
}

func TestDecisionSurvivesItsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r, at := drawConsents(t, both...), drawRequest(t), drawInstant(t)
		want := consent.Evaluate(cs, r, at)
		doc, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got, gotStrictly consent.Decision
		if err := json.Unmarshal(doc, &got); err != nil {
			t.Fatal(err)
		}
		if err := strict.Unmarshal(doc, &gotStrictly, strict.RejectUnknownMembers(true)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(want, gotStrictly); diff != "" {
			t.Fatal(diff)
		}
		if !got.Scope.Equal(want.Scope) {
			t.Fatal("scope isn't equal to itself read back")
		}
		again, err := strict.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != string(doc) {
			t.Fatalf("JSON isn't stable: %s then %s", doc, again)
		}
	})
}

func TestConsentSurvivesItsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawConsent(t, 1, both...)
		doc, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got consent.Consent
		if err := strict.Unmarshal(doc, &got, strict.RejectUnknownMembers(true)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
