package registry

import (
	"slices"
	"strings"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// MaxMembers bounds the consortium, and with it every list of members.
const MaxMembers = 64

// Seat is a member's line in the roster.
type Seat struct {
	MSP    string `json:"msp"`
	Status Status `json:"status"`
}

// Roster lists all members, suspended ones too, by MSP id in ascending order. It is
// one state key, so that a vote and an endorsement policy are computed from one read.
type Roster []Seat

// Found makes the first members of a consortium, in the order of their MSP ids.
// It refuses (codes malformed, exists, too-large, member-unknown) a list with a bad
// candidate or one MSP twice, an empty or overlong one, and one without the caller.
func Found(candidates []Candidate, caller string, at record.Instant) (Roster, []Member, []Keys, error) {
	if len(candidates) == 0 {
		return nil, nil, nil, refusal.New(refusal.Malformed, "nobody can't found a consortium", "one to 64 members")
	}
	if len(candidates) > MaxMembers {
		return nil, nil, nil, refusal.New(refusal.TooLarge, "too many founding members", "one to 64 members")
	}
	sorted := slices.Clone(candidates)
	slices.SortFunc(sorted, func(a, b Candidate) int { return strings.Compare(a.MSP, b.MSP) })
	var roster Roster
	var members []Member
	var keys []Keys
	for _, c := range sorted {
		if err := c.Check(); err != nil {
			return nil, nil, nil, err
		}
		if _, listed := roster.find(c.MSP); listed {
			return nil, nil, nil, refusal.New(refusal.Malformed, c.MSP+" is listed twice", "each member once")
		}
		roster = append(roster, Seat{MSP: c.MSP, Status: Active})
		members = append(members, c.admitted(at))
		keys = append(keys, c.Keys.from(at))
	}
	if _, listed := roster.find(caller); !listed {
		return nil, nil, nil, refusal.New(refusal.MemberUnknown, caller+" is not among the founding members", "founding by one of the members listed")
	}
	return roster, members, keys, nil
}

// Others lists the members but msp: those whose endorsement backs a custodian's own.
func (r Roster) Others(msp string) []string {
	others := make([]string, 0, len(r))
	for _, s := range r {
		if s.MSP != msp {
			others = append(others, s.MSP)
		}
	}
	return others
}

// Majority is the smallest number of members that is more than half of all: the
// endorsements Fabric's MAJORITY policy asks for, suspended members counted.
func (r Roster) Majority() int { return len(r)/2 + 1 }

// find returns where msp sits, or would sit.
func (r Roster) find(msp string) (int, bool) {
	return slices.BinarySearchFunc(r, msp, func(s Seat, msp string) int { return strings.Compare(s.MSP, msp) })
}

// Seated reports whether msp is a member, active or suspended.
func (r Roster) Seated(msp string) bool {
	_, ok := r.find(msp)
	return ok
}

// Active reports whether msp is an active member.
func (r Roster) Active(msp string) bool { return r.active(msp) }

// active reports whether msp is an active member.
func (r Roster) active(msp string) bool {
	i, ok := r.find(msp)
	return ok && r[i].Status == Active
}

// seated returns the roster with msp in the given status.
func (r Roster) seated(msp string, status Status) Roster {
	i, ok := r.find(msp)
	next := slices.Clone(r)
	if ok {
		next[i].Status = status
		return next
	}
	return slices.Insert(next, i, Seat{MSP: msp, Status: status})
}

// Founded is a founding member as it stands on the ledger; nil where it doesn't.
type Founded struct {
	Member *Member
	Keys   *Keys
}

// FoundAgain answers a founding given once more: with the members recorded if the list
// says what they say still, and otherwise with a refusal, code exists. The members are
// those that Found made of the list, standing is what the ledger holds of each.
func FoundAgain(roster Roster, members []Member, keys []Keys, standing []Founded) ([]Member, error) {
	var recorded []Member
	for i, m := range members {
		s := standing[i]
		if s.Member == nil || s.Keys == nil || len(roster) != len(members) ||
			!s.Member.saysOf(m) || !s.Keys.equal(keys[i]) {
			return nil, refusal.New(refusal.Exists, "the consortium is founded already", "a motion to admit a member")
		}
		recorded = append(recorded, *s.Member)
	}
	return recorded, nil
}
