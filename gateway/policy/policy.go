// Package policy says which of a member's people may do what at its gateway.
//
//	certificate, token ─▶ Caller ┐
//	method, purpose, … ──────────┴─Decide─▶ allowed, or not, and by which rule of which line
//
// The rules are Cedar (cedarpolicy.com), in one file that a member's privacy officer can
// read: deny unless a rule permits, and a forbid wins. Each method of the gateway's API is
// an action, in the group of its service, so a method that is added is denied to people
// until a rule names it. The default file is default.cedar beside this one.
//
// It answers a member's own people overstepping: a claims handler submitting records, a
// clinician asking under a payment purpose. What patients allow is no matter of it; that
// is decided on the ledger, for every member alike, by chaincode/consent.
package policy

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"yitong/chaincode/consent"
	"yitong/chaincode/registry"
	"yitong/gateway/identity/scope"
)

// Roles of callers that are no persons.
const (
	Software = "software" // one of the member's own systems, which may all that the member may
	Service  = "service"  // one that got a token for less: a SMART backend service
)

// Question is who wants to do what.
type Question struct {
	Member string        `yaml:"member"` // MSP id of the gateway's member
	Kind   registry.Kind `yaml:"kind"`   // of the member
	User   string        `yaml:"user"`   // the person; "" of software
	Role   string        `yaml:"role"`   // the person's; "" counts as Software
	// Method is of the API, Service.Method: "Accesses.Request".
	Method  string   `yaml:"method"`
	Purpose string   `yaml:"purpose"` // HL7 v3 PurposeOfUse; "" where the call names none
	Classes []string `yaml:"classes"` // data classes; nil where the call names none
	Scopes  []string `yaml:"scopes"`  // of a Service, as in its token: "system/Consent.rs"
}

// Answer is what the rules say.
type Answer struct {
	Allowed bool
	// Rules made the answer: the permits of an allowed call, the forbids of a denied
	// one. A denial that rests on no forbid has none: nothing permits.
	Rules []Rule
	// Broken are rules that could not be evaluated and therefore didn't count.
	Broken []Rule
}

// Rule names one rule.
type Rule struct {
	ID   string // its @id annotation, or "policy" and its number from 0
	File string
	Line int
	// Problem is why a broken one could not be evaluated.
	Problem string
}

func (r Rule) String() string {
	s := fmt.Sprintf("%s (%s:%d)", r.ID, r.File, r.Line)
	if r.Problem != "" {
		s += ": " + r.Problem
	}
	return s
}

// Policies is a policy file, read.
type Policies struct {
	file string
	set  *cedar.PolicySet
}

//go:embed default.cedar
var defaultText []byte

// Default is the policy that a gateway has when its configuration names no other.
func Default() *Policies {
	p, err := Parse("default.cedar", defaultText)
	if err != nil {
		panic("the default policy can't be read: " + err.Error()) // a test reads it
	}
	return p
}

// DefaultText is the default policy file, to start one's own from.
func DefaultText() []byte { return slices.Clone(defaultText) }

// Parse reads a policy file. file is how rules are cited. Every problem is named at once, with
// its line: two rules of one id, and methods, attributes and types that there aren't here. A
// file without any rule is an error too: it would deny everything.
func Parse(file string, text []byte) (*Policies, error) {
	list, err := cedar.NewPolicyListFromBytes(file, text)
	if err != nil {
		return nil, fmt.Errorf("reading the policy %s: %w", file, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("the policy %s has no rule: nobody could do anything", file)
	}
	set := cedar.NewPolicySet()
	var problems []error
	for i, rule := range list {
		id := string(rule.Annotations()["id"])
		if id == "" {
			id = fmt.Sprintf("policy%d", i)
		}
		if !set.Add(cedar.PolicyID(id), rule) {
			problems = append(problems, fmt.Errorf("two rules have the id %q, the second in line %d", id, rule.Position().Line))
		}
		for _, what := range misspelt(rule) {
			problems = append(problems, fmt.Errorf("rule %q in line %d: %s", id, rule.Position().Line, what))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("the policy %s can't be used:\n%w", file, errors.Join(problems...))
	}
	return &Policies{file: file, set: set}, nil
}

// Decide answers a question. It never fails: what can't be evaluated permits nothing,
// and is named in the answer.
func (p *Policies) Decide(q Question) Answer {
	role := q.Role
	if role == "" {
		role = Software
	}
	caller := cedar.NewEntityUID("Caller", cedar.String(q.User))
	gateway := cedar.NewEntityUID("Gateway", cedar.String(q.Member))
	action := cedar.NewEntityUID("Action", cedar.String(q.Method))
	service, _, _ := strings.Cut(q.Method, ".")
	entities := cedar.EntityMap{
		caller: {UID: caller, Attributes: cedar.NewRecord(cedar.RecordMap{
			"role": cedar.String(role), "kind": cedar.String(q.Kind), "member": cedar.String(q.Member),
		})},
		gateway: {UID: gateway, Attributes: cedar.NewRecord(cedar.RecordMap{"kind": cedar.String(q.Kind)})},
		action:  {UID: action, Parents: cedar.NewEntityUIDSet(cedar.NewEntityUID("Action", cedar.String(service)))},
	}
	decision, why := cedar.Authorize(p.set, entities, cedar.Request{
		Principal: caller, Action: action, Resource: gateway,
		Context: cedar.NewRecord(cedar.RecordMap{
			"purpose": cedar.String(q.Purpose), "purposes": family(q.Purpose),
			"classes": setOf(q.Classes), "scopes": setOf(scope.Permissions(scope.ParseList(strings.Join(q.Scopes, " ")))),
		}),
	})
	a := Answer{Allowed: decision == cedar.Allow}
	for _, r := range why.Reasons {
		a.Rules = append(a.Rules, Rule{ID: string(r.PolicyID), File: p.file, Line: r.Position.Line})
	}
	for _, e := range why.Errors {
		a.Broken = append(a.Broken, Rule{ID: string(e.PolicyID), File: p.file, Line: e.Position.Line, Problem: e.Message})
	}
	// The order of evaluation is not defined; the file's is what a reader expects.
	byLine := func(x, y Rule) int { return x.Line - y.Line }
	slices.SortFunc(a.Rules, byLine)
	slices.SortFunc(a.Broken, byLine)
	return a
}

// families are, for each purpose of use, its code and those of all above it: CLMATTCH is also
// HPAYMT. The hierarchy is the rules' own, so that a member's policy needs no copy of it.
var families = func() map[string]cedar.Set {
	var all []consent.Purpose
	for p := consent.Purpose(1); p.String() != ""; p++ {
		all = append(all, p)
	}
	of := make(map[string]cedar.Set, len(all))
	for _, p := range all {
		var codes []string
		for _, head := range all {
			if p.Under(head) {
				codes = append(codes, head.String())
			}
		}
		of[p.String()] = setOf(codes)
	}
	return of
}()

// family is empty for a code that nobody knows.
func family(purpose string) cedar.Set {
	if s, ok := families[purpose]; ok {
		return s
	}
	return setOf(nil)
}

func setOf(texts []string) cedar.Set {
	values := make([]cedar.Value, len(texts))
	for i, t := range texts {
		values[i] = cedar.String(t)
	}
	return cedar.NewSet(values...)
}

// Why tells an answer in one sentence.
func (a Answer) Why() string {
	names := make([]string, len(a.Rules))
	for i, r := range a.Rules {
		names[i] = r.String()
	}
	var s string
	switch {
	case a.Allowed:
		s = "allowed by " + strings.Join(names, ", ")
	case len(names) > 0:
		s = "forbidden by " + strings.Join(names, ", ")
	default:
		s = "denied: no rule permits it"
	}
	for _, b := range a.Broken {
		s += "; not counted: " + b.String()
	}
	return s
}
