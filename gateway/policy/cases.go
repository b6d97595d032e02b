package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/record"
)

// Case is one thing that a member expects of its policy.
type Case struct {
	// Name is a sentence: "a claims handler submits no records".
	Name     string `yaml:"name"`
	Question `yaml:",inline"`
	// Allow is what is expected. It must be there, so that a forgotten one doesn't
	// pass for "no".
	Allow *bool `yaml:"allow"`
}

// Result is a case, run.
type Result struct {
	Case
	Answer
}

// Passed says whether the policy answered as expected.
func (r Result) Passed() bool { return r.Answer.Allowed == *r.Case.Allow }

// ReadCases reads a YAML list of cases. Every problem is named at once.
func ReadCases(r io.Reader) ([]Case, error) {
	raw, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the cases: %w", err)
	}
	var cases []Case
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&cases); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the cases: %w", err)
	}
	if len(cases) == 0 {
		return nil, errors.New("there are no cases: write a list of name, kind, role, method and allow")
	}
	var problems []error
	for i, c := range cases {
		switch {
		case c.Name == "":
			problems = append(problems, fmt.Errorf("case %d has no name", i+1))
		case c.Method == "" || c.Kind == "":
			problems = append(problems, fmt.Errorf("case %q needs a kind and a method", c.Name))
		case c.Allow == nil:
			problems = append(problems, fmt.Errorf("case %q doesn't say what it expects: allow: true or allow: false", c.Name))
		}
		for _, what := range c.Check() {
			problems = append(problems, fmt.Errorf("case %q: %w", c.Name, what))
		}
	}
	return cases, errors.Join(problems...)
}

// Check names every word of a question that nobody knows. A gateway never asks such a
// question, so an answer to it tells nothing; a "no" least of all. Scopes aren't looked at:
// one that isn't known gives nothing, which may be what is to be shown.
func (q Question) Check() (problems []error) {
	if q.Method != "" && !knownMethod(q.Method) {
		problems = append(problems, fmt.Errorf("the API has no method %q: name one as Service.Method, for example Records.Submit", q.Method))
	}
	if q.Kind != "" && !q.Kind.Known() {
		problems = append(problems, fmt.Errorf("%q is no kind of member: hospital, insurer or regulator", q.Kind))
	}
	if role := q.Role; role != "" && role != Software && role != Service && !access.Role(role).Known() {
		problems = append(problems, fmt.Errorf("there is no role %q: clinician, records-officer, claims-handler, auditor, operator, patient, %s or %s", role, Software, Service))
	}
	if q.Purpose != "" {
		if _, err := consent.ParsePurpose(q.Purpose); err != nil {
			problems = append(problems, fmt.Errorf("purpose: %w", err))
		}
	}
	for _, code := range q.Classes {
		if _, err := record.ParseClass(code); err != nil {
			problems = append(problems, fmt.Errorf("classes: %w", err))
		}
	}
	return problems
}

// Run asks the policy every case.
func (p *Policies) Run(cases []Case) []Result {
	results := make([]Result, len(cases))
	for i, c := range cases {
		results[i] = Result{c, p.Decide(c.Question)}
	}
	return results
}
