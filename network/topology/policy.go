package topology

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Shorthands for an endorsement policy over all members.
const (
	Majority = "majority" // more than half of the members
	Any      = "any"      // any one member
	All      = "all"      // every member
)

// Policy is an endorsement policy: Need of the Rules must hold. A Policy with a
// MSP is a leaf: that member's peer endorsed.
//
// Written out it is Fabric's signature policy language, restricted to peers:
// AND(a, b), OR(a, b), OutOf(n, a, b, …) over 'MSP.peer'.
type Policy struct {
	Need  int
	Rules []Policy
	MSP   string
}

// ParsePolicy reads majority, any, all or a signature policy such as
// OutOf(2, 'HospitalA.peer', 'Insurer.peer', 'Regulator.peer'), for a
// consortium of these MSP ids.
func ParsePolicy(s string, msps []string) (Policy, error) {
	everyone := make([]Policy, len(msps))
	for i, id := range msps {
		everyone[i] = Policy{MSP: id}
	}
	switch strings.TrimSpace(s) {
	case Majority:
		return Policy{Need: len(msps)/2 + 1, Rules: everyone}, nil
	case Any:
		return Policy{Need: 1, Rules: everyone}, nil
	case All:
		return Policy{Need: len(msps), Rules: everyone}, nil
	}
	p := policyParser{tokens: policyToken.FindAllString(s, -1), msps: msps}
	if strings.Join(p.tokens, "") != strings.Join(strings.Fields(s), "") {
		return Policy{}, fmt.Errorf("endorsement policy %q: want majority, any, all or a signature policy such as OutOf(2, 'HospitalA.peer', 'Insurer.peer')", s)
	}
	policy, err := p.rule(0)
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("unexpected %q after the end", p.tokens[0])
	}
	if err != nil {
		return Policy{}, fmt.Errorf("endorsement policy %q: %w", s, err)
	}
	return policy, nil
}

var policyToken = regexp.MustCompile(`[(),]|'[^']*'|[A-Za-z]+|[0-9]+`)

const policyDepth = 8

type policyParser struct {
	tokens []string
	msps   []string
}

func (p *policyParser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *policyParser) expect(want string) error {
	if got := p.next(); got != want {
		return fmt.Errorf("want %q, found %q", want, got)
	}
	return nil
}

func (p *policyParser) rule(depth int) (Policy, error) {
	if depth > policyDepth {
		return Policy{}, fmt.Errorf("nested deeper than %d", policyDepth)
	}
	word := p.next()
	if strings.HasPrefix(word, "'") {
		return p.leaf(strings.Trim(word, "'"))
	}
	operator := strings.ToUpper(word)
	if operator != "AND" && operator != "OR" && operator != "OUTOF" {
		return Policy{}, fmt.Errorf("want AND, OR, OutOf or 'MSP.peer', found %q", word)
	}
	if err := p.expect("("); err != nil {
		return Policy{}, err
	}
	var policy Policy
	if operator == "OUTOF" {
		n, err := strconv.Atoi(p.next())
		if err != nil {
			return Policy{}, fmt.Errorf("OutOf starts with a number: %w", err)
		}
		policy.Need = n
		if err := p.expect(","); err != nil {
			return Policy{}, err
		}
	}
	for {
		r, err := p.rule(depth + 1)
		if err != nil {
			return Policy{}, err
		}
		policy.Rules = append(policy.Rules, r)
		switch sep := p.next(); sep {
		case ",":
			continue
		case ")":
		default:
			return Policy{}, fmt.Errorf("want , or ), found %q", sep)
		}
		break
	}
	switch operator {
	case "AND":
		policy.Need = len(policy.Rules)
	case "OR":
		policy.Need = 1
	}
	if policy.Need < 1 || policy.Need > len(policy.Rules) {
		return Policy{}, fmt.Errorf("OutOf(%d, …) over %d rules: the number must lie between 1 and %d", policy.Need, len(policy.Rules), len(policy.Rules))
	}
	return policy, nil
}

func (p *policyParser) leaf(principal string) (Policy, error) {
	// MSP ids may hold dots, so the role is what follows the last one.
	dot := strings.LastIndexByte(principal, '.')
	if dot < 0 || principal[dot+1:] != "peer" {
		return Policy{}, fmt.Errorf("'%s': want 'MSP.peer'", principal)
	}
	msp := principal[:dot]
	for _, id := range p.msps {
		if id == msp {
			return Policy{MSP: msp}, nil
		}
	}
	return Policy{}, fmt.Errorf("'%s': no member has the MSP id %q; there are %s", principal, msp, strings.Join(p.msps, ", "))
}

// MSPs lists the members' MSP ids in the order of the file.
func (t *Topology) MSPs() []string {
	ids := make([]string, len(t.Members))
	for i, m := range t.Members {
		ids[i] = m.MSP
	}
	return ids
}
