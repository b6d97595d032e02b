package topology

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"
)

// MinBFT is the smallest number of ordering nodes that tolerates one liar.
const MinBFT = 4

var (
	nameShape    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	mspShape     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.-]{0,62}$`)
	channelShape = regexp.MustCompile(`^[a-z][a-z0-9.-]{0,248}$`) // Fabric's configtx validator
	hostShape    = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
)

// Problems is every fault of a topology at once.
type Problems []string

func (p Problems) Error() string {
	if len(p) == 1 {
		return p[0]
	}
	return fmt.Sprintf("%d problems:\n  - %s", len(p), strings.Join(p, "\n  - "))
}

// Validate names every problem at once, as a Problems, each with the key in the
// file and what to do.
func (t *Topology) Validate() error {
	v := validator{t: t}
	v.names()
	v.settings()
	v.members()
	v.evaluators()
	v.orderers()
	v.ports()
	if len(v.problems) == 0 {
		return nil
	}
	return v.problems
}

type validator struct {
	t        *Topology
	problems Problems
}

func (v *validator) add(format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

func (v *validator) names() {
	if !nameShape.MatchString(v.t.Name) {
		v.add("name %q: use 1 to 32 lower-case letters, digits and hyphens", v.t.Name)
	}
	if !channelShape.MatchString(v.t.Channel) {
		v.add("channel %q: start with a lower-case letter, then lower-case letters, digits, dots and hyphens", v.t.Channel)
	}
}

func (v *validator) settings() {
	t := v.t
	if _, err := ParsePolicy(t.Endorsement, t.MSPs()); err != nil {
		v.add("endorsement: %v", err)
	}
	if t.Batch.Timeout < time.Millisecond || t.Batch.Timeout > time.Minute {
		v.add("batch.timeout %v: use 1ms to 1m; 100ms is the default", t.Batch.Timeout)
	}
	if t.Batch.Messages < 1 {
		v.add("batch.messages 0: a block holds at least 1 transaction; 500 is the default")
	}
	if t.Batch.Preferred < 1<<10 || t.Batch.Preferred > t.Batch.Absolute {
		v.add("batch.preferred: must lie between 1KB and batch.absolute; 2MB is the default")
	}
	if t.Batch.Absolute > 90<<20 {
		v.add("batch.absolute: Fabric's messages end at 100 MB, so use at most 90MB; 10MB is the default")
	}
	if t.Database != "goleveldb" {
		v.add("database %q: only goleveldb, the state database inside the peer, is supported", t.Database)
	}
	switch t.LogLevel {
	case "debug", "info", "warning", "error":
	default:
		v.add("log-level %q: use debug, info, warning or error", t.LogLevel)
	}
}

func (v *validator) members() {
	if len(v.t.Members) == 0 {
		v.add("members: list at least one")
	}
	names, msps := map[string]int{}, map[string]int{}
	for i, m := range v.t.Members {
		at := fmt.Sprintf("members[%d]", i)
		if !nameShape.MatchString(m.Name) {
			v.add("%s.name %q: use 1 to 32 lower-case letters, digits and hyphens", at, m.Name)
		}
		if first, taken := names[m.Name]; taken {
			v.add("%s.name %q: members[%d] has it already; give each member its own", at, m.Name, first)
		} else {
			names[m.Name] = i
		}
		if !mspShape.MatchString(m.MSP) {
			v.add("%s.msp %q: start with a letter, then up to 62 letters, digits, dots and hyphens", at, m.MSP)
		}
		// Two MSP ids that differ by case would share a file on some systems.
		if first, taken := msps[strings.ToLower(m.MSP)]; taken {
			v.add("%s.msp %q: members[%d] has it already (case aside); give each member its own", at, m.MSP, first)
		} else {
			msps[strings.ToLower(m.MSP)] = i
		}
		switch m.Kind {
		case Hospital, Insurer, Regulator:
		default:
			v.add("%s.kind %q: use hospital, insurer or regulator", at, m.Kind)
		}
		v.host(at+".host", m.Host)
	}
}

func (v *validator) evaluators() {
	listed := map[string]bool{}
	for i, name := range v.t.Evaluators {
		m, ok := v.t.Member(name)
		switch {
		case !ok || m.Name != name:
			v.add("evaluators[%d] %q: there is no such member; use a member's name", i, name)
		case listed[name]:
			v.add("evaluators[%d] %q: listed twice", i, name)
		}
		listed[name] = true
	}
	if len(v.t.Evaluators) == 1 && len(v.t.Members) > 1 {
		v.add("evaluators: one stolen key would open every patient's handle; list at least two, or none for the default")
	}
}

func (v *validator) orderers() {
	t := v.t
	switch n := len(t.Orderers); {
	case t.Consensus != BFT && t.Consensus != Raft:
		v.add("consensus %q: use bft or raft", t.Consensus)
	case n == 0:
		v.add("orderers: list at least one (bft: at least %d)", MinBFT)
	case t.Consensus == BFT && n < MinBFT:
		v.add("consensus bft needs at least %d ordering nodes to survive one that fails or lies, there are %d: add %d, or use consensus: raft", MinBFT, n, MinBFT-n)
	}
	names := map[string]int{}
	for i, o := range t.Orderers {
		at := fmt.Sprintf("orderers[%d]", i)
		if !nameShape.MatchString(o.Name) {
			v.add("%s.name %q: use 1 to 32 lower-case letters, digits and hyphens", at, o.Name)
		}
		if first, taken := names[o.Name]; taken {
			v.add("%s.name %q: orderers[%d] has it already; give each ordering node its own", at, o.Name, first)
		} else {
			names[o.Name] = i
		}
		if t.index(o.Member) < 0 {
			v.add("%s.member %q: no member has this name", at, o.Member)
		}
		v.host(at+".host", o.Host)
	}
}

func (v *validator) host(at, host string) {
	if ip := net.ParseIP(host); ip != nil {
		if ip.IsUnspecified() {
			v.add("%s %q: others must be able to reach it, so name one address, e.g. 127.0.0.1", at, host)
		}
		return
	}
	if len(host) > 253 || !hostShape.MatchString(host) {
		v.add("%s %q: use an IP address or a host name, e.g. 127.0.0.1", at, host)
	}
}

func (v *validator) ports() {
	taken := map[string]Port{}
	for _, p := range v.t.Ports() {
		if p.Port < 1024 || p.Port > 65535 {
			v.add("%s %d (%s): use a port from 1024 to 65535", p.at, p.Port, p.Owner)
			continue
		}
		if first, dup := taken[p.Address()]; dup {
			v.add("%s %d (%s): taken by %s (%s); give each its own port", p.at, p.Port, p.Owner, first.at, first.Owner)
			continue
		}
		taken[p.Address()] = p
	}
}

// AsProblems finds the problems in an error of Parse or Validate.
func AsProblems(err error) (Problems, bool) {
	var p Problems
	ok := errors.As(err, &p)
	return p, ok
}
