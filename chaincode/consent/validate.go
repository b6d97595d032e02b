package consent

import (
	"fmt"
	"strings"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// Bounds of a consent, so that a decision's cost is bounded.
const (
	MaxConsents   = 64 // of one relationship
	MaxProvisions = 64 // of one consent, the root counted
	MaxActors     = 64 // of one provision
	MaxDepth      = 4  // of nested provisions, the root counted
)

// Validate refuses a consent that breaks its schema or a bound. The error is a *refusal.Refusal.
func (c Consent) Validate() error {
	switch {
	case !isHex(c.ID, 32):
		return malformed("id", "it isn't a consent id", "32 lower-case hex digits")
	case c.Version < 1:
		return malformed("version", "it isn't a version", "1 for a new consent, one more with every change")
	case c.Status != Active && c.Status != Withdrawn:
		return malformed("status", fmt.Sprintf("unknown status %.40q", string(c.Status)), "active or withdrawn")
	case !c.Period.Valid():
		return malformed("period", "it doesn't start before its end", "start < end; leave a side out for no bound")
	case !c.Assurance.Known():
		return malformed("assurance", "unknown assurance", "one of "+assurances.Known())
	case c.Signer != "" && !isHex(c.Signer, 32):
		return malformed("signer", "it isn't the id of a key", "32 lower-case hex digits")
	case c.Signer == "" && c.Assurance != Attested:
		return malformed("assurance", "nobody signed it", "attested")
	case c.Evidence != "" && !isHex(c.Evidence, 64):
		return malformed("evidence", "it isn't a SHA-256 digest", "64 lower-case hex digits")
	}
	return c.Provision.Validate()
}

// Validate refuses a provision that breaks its schema or a bound, naming the one at fault by its
// path. The error is a *refusal.Refusal.
func (p Provision) Validate() error {
	left := MaxProvisions
	return p.check(root, 0, &left)
}

func (p *Provision) check(path Path, depth int, left *int) error {
	if *left--; *left < 0 {
		return refusal.New(refusal.TooLarge, "too many provisions", fmt.Sprintf("at most %d in one consent", MaxProvisions))
	}
	at := func(element string) string { return path.String() + "." + element }
	switch {
	case p.Type != Permit && p.Type != Deny:
		return malformed(at("type"), "it is missing", "permit or deny")
	case !p.Period.Valid():
		return malformed(at("period"), "it doesn't start before its end", "start < end; leave a side out for no bound")
	case !p.DataPeriod.Valid():
		return malformed(at("dataPeriod"), "it doesn't start before its end", "start < end; leave a side out for no bound")
	case p.Actors != nil && len(p.Actors) == 0:
		return malformed(at("actors"), "it is empty", "leave it out for anyone, or name members or kinds")
	case len(p.Actors) > MaxActors:
		return refusal.New(refusal.TooLarge, at("actors")+": too many", fmt.Sprintf("at most %d in one provision", MaxActors))
	case depth == MaxDepth-1 && len(p.Provisions) > 0:
		return refusal.New(refusal.TooLarge, at("provisions")+": nested too deep", fmt.Sprintf("at most %d levels, the root counted", MaxDepth))
	case uint64(p.Actions)&^actions.All() != 0:
		return malformed(at("actions"), "unknown action", "any of "+actions.Known())
	case uint64(p.Purposes)&^purposes.All() != 0:
		return malformed(at("purposes"), "unknown purpose", "any of "+purposes.Known())
	case !p.Classes.Without(record.AllClasses).Empty():
		return malformed(at("classes"), "unknown data class", "codes of known data classes")
	case !p.Labels.Without(record.AllLabels).Empty():
		return malformed(at("labels"), "unknown sensitivity label", "codes of known labels")
	case !p.Types.Without(record.AllTypes).Empty():
		return malformed(at("recordTypes"), "unknown record type", "any of "+strings.Join(record.AllTypes.Codes(), ", "))
	}
	for i, a := range p.Actors {
		if err := a.check(at(fmt.Sprintf("actors[%d]", i))); err != nil {
			return err
		}
	}
	for i := range p.Provisions {
		if err := p.Provisions[i].check(path.child(depth, i), depth+1, left); err != nil {
			return err
		}
	}
	return nil
}

func (a Actor) check(at string) error {
	switch {
	case (a.Member == "") == (a.Kind == ""):
		return malformed(at, "it names both or neither of member and kind", "exactly one of the two")
	case a.Member != "" && !isMSP(a.Member):
		return malformed(at+".member", "it isn't an MSP id", allowedMSP)
	case a.Kind != "" && !isKind(a.Kind):
		return malformed(at+".kind", fmt.Sprintf("unknown kind %.40q", a.Kind), allowedKind)
	}
	return nil
}

// Validate refuses a request that breaks its schema. The error is a *refusal.Refusal.
func (r Request) Validate() error {
	switch {
	case !isMSP(r.Requester):
		return malformed("requester", "it isn't an MSP id", allowedMSP)
	case !isKind(r.Kind):
		return malformed("kind", fmt.Sprintf("unknown kind %.40q", r.Kind), allowedKind)
	case r.Action.String() == "":
		return malformed("action", "it is missing", "one of "+actions.Known())
	case r.Purpose.String() == "":
		return malformed("purpose", "it is missing", "one of "+purposes.Known())
	case r.Classes.Empty() || !r.Classes.Without(record.AllClasses).Empty():
		return malformed("classes", "none, or an unknown one", "at least one known data class")
	case !r.Types.Without(record.AllTypes).Empty():
		return malformed("recordTypes", "unknown record type", "any of "+strings.Join(record.AllTypes.Codes(), ", "))
	case !r.Period.Valid():
		return malformed("period", "it doesn't start before its end", "start < end; leave a side out for no bound")
	case !r.Assurance.Known():
		return malformed("assurance", "unknown assurance", "one of "+assurances.Known())
	}
	return nil
}

const (
	allowedMSP  = "1 to 64 letters, digits, dots and dashes"
	allowedKind = "hospital, insurer or regulator"
)

func malformed(element, fault, allowed string) error {
	return refusal.New(refusal.Malformed, element+": "+fault, allowed)
}

// isMSP reports what Fabric allows for an MSP id's characters, within a bound.
func isMSP(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-') {
			return false
		}
	}
	return true
}

func isKind(s string) bool { return s == "hospital" || s == "insurer" || s == "regulator" }

// isHex reports exactly n lower-case hex digits.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
