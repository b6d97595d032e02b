package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// Motion is a change of membership: exactly one of the three.
type Motion struct {
	Admit     *Candidate     `json:"admit,omitempty"`
	Suspend   *Suspension    `json:"suspend,omitempty"`
	Reinstate *Reinstatement `json:"reinstate,omitempty"`
}

// Suspension takes from a member every right, until it is reinstated.
type Suspension struct {
	MSP    string `json:"msp"`
	Reason string `json:"reason"` // code, 1 to 64 of [A-Za-z0-9.-]
}

// Reinstatement gives a suspended member its rights back.
type Reinstatement struct {
	MSP string `json:"msp"`
}

// Ballot counts who has moved a motion that hasn't taken effect.
type Ballot struct {
	Motion Motion         `json:"motion"`
	Votes  []string       `json:"votes"` // MSP ids, ascending
	Opened record.Instant `json:"opened"`
}

// Check refuses a motion that isn't exactly one well-formed change: code malformed.
func (m Motion) Check() error {
	switch {
	case m.Admit != nil && m.Suspend == nil && m.Reinstate == nil:
		return m.Admit.Check()
	case m.Admit == nil && m.Suspend != nil && m.Reinstate == nil:
		if err := CheckCode(m.Suspend.Reason); err != nil {
			return err
		}
		return CheckMSP(m.Suspend.MSP)
	case m.Admit == nil && m.Suspend == nil && m.Reinstate != nil:
		return CheckMSP(m.Reinstate.MSP)
	}
	return refusal.New(refusal.Malformed, "a motion changes one thing", "exactly one of admit, suspend, reinstate")
}

// Target is the MSP id of the member the motion is about.
func (m Motion) Target() string {
	switch {
	case m.Admit != nil:
		return m.Admit.MSP
	case m.Suspend != nil:
		return m.Suspend.MSP
	case m.Reinstate != nil:
		return m.Reinstate.MSP
	}
	return ""
}

// ID names the motion by its content, 64 hex digits: members that move the same
// thing vote for one motion.
func (m Motion) ID() string {
	text, err := json.Marshal(m)
	if err != nil { // strings and bytes always marshal
		panic(fmt.Sprintf("registry: marshal motion: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Standing is what a motion meets on the ledger.
type Standing struct {
	Roster Roster
	Target *Member // nil if there is no such member
	Keys   *Keys   // the target's, nil likewise
	Ballot *Ballot // nil if nobody has moved it yet
}

// Result of a motion moved once more.
type Result struct {
	Ballot  Ballot  // votes with this one; meaningless if Carried
	Needed  int     // votes needed
	Carried bool    // the change is in effect
	Changed bool    // this vote changed something: false for a retry
	Roster  Roster  // after it, if Carried and Changed
	Member  *Member // the target after it, likewise
	Keys    *Keys   // of a member just admitted
}

// Move counts voter's vote for m at the instant given.
//
// A motion whose effect already holds is answered as carried, and a vote given twice
// counts once; neither changes anything, so a retry is safe. Refused are: a voter
// that isn't active (member-suspended, member-unknown), the accused voting on its own
// suspension (not-entitled), a target that doesn't exist (not-found), an admission
// of an MSP that is a member under other particulars (exists), a full roster (too-large).
func Move(s Standing, m Motion, voter string, at record.Instant) (Result, error) {
	if err := m.Check(); err != nil {
		return Result{}, err
	}
	if !s.Roster.active(voter) {
		return Result{}, s.Roster.cannotVote(voter)
	}
	settled, err := s.settled(m)
	if err != nil {
		return Result{}, err
	}
	if settled {
		return Result{Carried: true, Needed: s.Roster.needed(m)}, nil
	}
	if m.Suspend != nil && m.Suspend.MSP == voter {
		return Result{}, refusal.New(NotEntitled, voter+" has no vote on its own suspension", "a vote of another active member")
	}

	ballot := Ballot{Motion: m, Opened: at}
	if s.Ballot != nil {
		ballot = *s.Ballot
	}
	needed := s.Roster.needed(m)
	i, voted := slices.BinarySearch(ballot.Votes, voter)
	if !voted {
		ballot.Votes = slices.Insert(slices.Clone(ballot.Votes), i, voter)
	}
	if s.Roster.count(ballot.Votes, m) < needed {
		return Result{Ballot: ballot, Needed: needed, Changed: !voted}, nil
	}

	r := Result{Ballot: ballot, Needed: needed, Carried: true, Changed: true}
	switch {
	case m.Admit != nil:
		member := m.Admit.admitted(at)
		keys := m.Admit.Keys.from(at)
		r.Member, r.Keys, r.Roster = &member, &keys, s.Roster.seated(member.MSP, Active)
	case m.Suspend != nil:
		member := *s.Target
		member.Status, member.Since = Suspended, at
		member.Suspensions++
		r.Member, r.Roster = &member, s.Roster.seated(member.MSP, Suspended)
	default:
		member := *s.Target
		member.Status, member.Since = Active, at
		r.Member, r.Roster = &member, s.Roster.seated(member.MSP, Active)
	}
	return r, nil
}

// settled reports whether what m would bring about already holds.
func (s Standing) settled(m Motion) (bool, error) {
	if m.Admit == nil {
		if s.Target == nil {
			return false, refusal.New(refusal.NotFound, m.Target()+" is not a member", "a motion about a member")
		}
		if m.Suspend != nil {
			return s.Target.Status == Suspended, nil
		}
		return s.Target.Status == Active, nil
	}
	if s.Target != nil {
		if s.Target.saysOf(m.Admit.admitted(0)) && s.Keys != nil && s.Keys.equal(m.Admit.Keys) {
			return true, nil
		}
		return false, refusal.New(refusal.Exists, m.Admit.MSP+" is a member already", "an MSP that is not a member, or the same particulars")
	}
	if len(s.Roster) >= MaxMembers {
		return false, refusal.New(refusal.TooLarge, "the consortium is full", "up to 64 members")
	}
	return false, nil
}

// needed is the majority of active members; in a suspension never more than there
// are members besides the accused, or two could not suspend one of them.
func (r Roster) needed(m Motion) int {
	active := 0
	for _, s := range r {
		if s.Status == Active {
			active++
		}
	}
	majority := active/2 + 1
	if m.Suspend != nil && r.active(m.Suspend.MSP) {
		return max(1, min(majority, active-1))
	}
	return majority
}

// count counts the votes that count now: of members active still, the accused's never.
func (r Roster) count(votes []string, m Motion) int {
	n := 0
	for _, v := range votes {
		if r.active(v) && !(m.Suspend != nil && m.Suspend.MSP == v) {
			n++
		}
	}
	return n
}

func (r Roster) cannotVote(msp string) error {
	if _, ok := r.find(msp); ok {
		return refusal.New(refusal.MemberSuspended, msp+" is suspended", "reinstatement by a majority of the active members")
	}
	return refusal.New(refusal.MemberUnknown, msp+" is not a member", "admission by a majority of the active members")
}
