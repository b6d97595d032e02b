package registry_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

func candidate(msp string) registry.Candidate {
	return registry.Candidate{
		MSP: msp, Name: "The " + msp, Kind: registry.Hospital, Gateway: "localhost:7443",
		Keys: registry.Keys{
			HPKE:    registry.Key{ID: "h", Public: make([]byte, registry.HPKEKeySize)},
			Signing: registry.Key{ID: "s", Public: make([]byte, registry.SigningKeySize)},
		},
	}
}

func codeOf(err error) refusal.Code {
	var r *refusal.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func TestCandidates(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*registry.Candidate)
		ok     bool
	}{
		{"a good one", func(*registry.Candidate) {}, true},
		{"a Chinese name", func(c *registry.Candidate) { c.Name = "协和医院" }, true},
		{"an IPv6 gateway", func(c *registry.Candidate) { c.Gateway = "[::1]:1" }, true},
		{"no MSP id", func(c *registry.Candidate) { c.MSP = "" }, false},
		{"an MSP id with a slash", func(c *registry.Candidate) { c.MSP = "a/b" }, false},
		{"an MSP id that starts with a dot", func(c *registry.Candidate) { c.MSP = ".a" }, false},
		{"no name", func(c *registry.Candidate) { c.Name = "" }, false},
		{"a name with a line break", func(c *registry.Candidate) { c.Name = "a\nb" }, false},
		{"a name with a text-direction override", func(c *registry.Candidate) { c.Name = "a\u202eb" }, false},
		{"a name of invalid UTF-8", func(c *registry.Candidate) { c.Name = "a\xff" }, false},
		{"no kind", func(c *registry.Candidate) { c.Kind = "" }, false},
		{"a gateway without a port", func(c *registry.Candidate) { c.Gateway = "host" }, false},
		{"a key without an id", func(c *registry.Candidate) { c.Keys.HPKE.ID = "" }, false},
		{"a signing key that is too long", func(c *registry.Candidate) { c.Keys.Signing.Public = make([]byte, 33) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := candidate("A")
			test.change(&c)
			if got := codeOf(c.Check()); (got == "") != test.ok || !test.ok && got != refusal.Malformed {
				t.Errorf("refusal %q", got)
			}
		})
	}
}

func TestClosing(t *testing.T) {
	clock := registry.ClockAt(100)
	// Minute 101 ends at 6120 s; with the skew it may be closed from 6210 s on.
	for _, test := range []struct {
		name        string
		through     int64
		now         record.Instant
		first, last int64
		want        refusal.Code
	}{
		{"the next minute as soon as it may be", 101, 6210, 101, 101, ""},
		{"a second too early", 101, 6209, 0, 0, registry.MinuteOpen},
		{"several at once", 103, 6210 + 120, 101, 103, ""},
		{"one that is closed", 100, 6210, 101, 100, ""},
		{"one long closed", -5, 6210, 101, 100, ""},
		{"as many as allowed", 356, 1e9, 101, 356, ""},
		{"one more", 357, 1e9, 0, 0, refusal.TooLarge},
		{"the end of time", 1<<63 - 1, 1e9, 0, 0, registry.MinuteOpen},
	} {
		t.Run(test.name, func(t *testing.T) {
			first, last, err := clock.Close(test.through, test.now)
			if codeOf(err) != test.want || first != test.first || last != test.last {
				t.Errorf("%d to %d, %v", first, last, err)
			}
		})
	}
}

// Whatever a transaction still welcome is dated, its minute isn't closed: the skew check
// and the closing rule fit together for any two clocks no further apart than they may be.
func TestNoMinuteIsClosedUnderAWelcomeTransaction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := record.Instant(rapid.Int64Range(1e6, 1e10).Draw(t, "clock"))
		at := now + record.Instant(rapid.Int64Range(-200, 200).Draw(t, "claim"))
		if registry.CheckSkew(at, now) != nil {
			t.Skip("not welcome")
		}
		if _, last, err := registry.ClockAt(at.Minute()-1).Close(at.Minute(), now); err == nil && last >= at.Minute() {
			t.Fatalf("minute %d was closed at %d while a transaction of %d was welcome", at.Minute(), now, at)
		}
	})
}

// A machine of motions beside the simplest model of them: who voted for what since it was
// last decided.
func TestMotionsStateMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"A", "B", "C", "D", "E", "F"}
		n := rapid.IntRange(1, 4).Draw(t, "founders")
		var founders []registry.Candidate
		for _, m := range names[:n] {
			founders = append(founders, candidate(m))
		}
		roster, members, _, err := registry.Found(founders, "A", 1)
		if err != nil {
			t.Fatal(err)
		}
		state, ballots := map[string]registry.Member{}, map[string]registry.Ballot{}
		for _, m := range members {
			state[m.MSP] = m
		}
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			target := rapid.SampledFrom(names).Draw(t, "target")
			voter := rapid.SampledFrom(names).Draw(t, "voter")
			c := candidate(target)
			m := []registry.Motion{
				{Admit: &c}, {Suspend: &registry.Suspension{MSP: target, Reason: "audit"}}, {Reinstate: &registry.Reinstatement{MSP: target}},
			}[rapid.IntRange(0, 2).Draw(t, "motion")]

			s := registry.Standing{Roster: roster}
			if member, ok := state[target]; ok {
				s.Target, s.Keys = &member, &c.Keys
			}
			if b, ok := ballots[m.ID()]; ok {
				s.Ballot = &b
			}
			before := slices.Clone(roster)
			r, err := registry.Move(s, m, voter, record.Instant(step+2))
			if !slices.Equal(before, roster) {
				t.Fatal("the roster given was changed")
			}
			v, isMember := state[voter]
			switch {
			case !isMember:
				wantCode(t, err, refusal.MemberUnknown)
				continue
			case !v.Active():
				wantCode(t, err, refusal.MemberSuspended)
				continue
			case s.Target == nil && m.Admit == nil:
				wantCode(t, err, refusal.NotFound)
				continue
			case err != nil:
				if m.Suspend == nil || target != voter {
					t.Fatalf("refused: %v", err)
				}
				wantCode(t, err, registry.NotEntitled)
				continue
			}
			if !r.Changed {
				continue
			}
			if !r.Carried {
				ballots[m.ID()] = r.Ballot
				continue
			}
			// Carried: more than half of those who were active, the accused aside, had voted.
			active, votes := 0, 0
			for _, seat := range before {
				if seat.Status != registry.Active {
					continue
				}
				active++
				if slices.Contains(r.Ballot.Votes, seat.MSP) && !(m.Suspend != nil && seat.MSP == target) {
					votes++
				}
			}
			if 2*votes <= active && !(m.Suspend != nil && votes >= active-1) {
				t.Fatalf("%d of %d carried %+v", votes, active, m)
			}
			delete(ballots, m.ID())
			roster = r.Roster
			state[target] = *r.Member
			if len(roster) != len(state) || !slices.IsSortedFunc(roster, func(a, b registry.Seat) int { return compare(a.MSP, b.MSP) }) {
				t.Fatalf("roster %v", roster)
			}
			for _, seat := range roster {
				if state[seat.MSP].Status != seat.Status {
					t.Fatalf("seat %v and member %v disagree", seat, state[seat.MSP])
				}
			}
		}
	})
}

func wantCode(t *rapid.T, err error, code refusal.Code) {
	if codeOf(err) != code {
		t.Fatalf("error %v, want refusal %s", err, code)
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestVotesNeeded(t *testing.T) {
	for _, test := range []struct{ members, admit, suspend int }{
		{1, 1, 0}, {2, 2, 1}, {3, 2, 2}, {4, 3, 3}, {5, 3, 3}, {6, 4, 4}, {64, 33, 33},
	} {
		t.Run(fmt.Sprintf("%d members", test.members), func(t *testing.T) {
			var list []registry.Candidate
			for i := range test.members {
				list = append(list, candidate(fmt.Sprintf("M%02d", i)))
			}
			roster, members, _, err := registry.Found(list, "M00", 1)
			if err != nil {
				t.Fatal(err)
			}
			if test.members < registry.MaxMembers {
				c := candidate("New")
				r, err := registry.Move(registry.Standing{Roster: roster}, registry.Motion{Admit: &c}, "M00", 2)
				if err != nil || r.Needed != test.admit {
					t.Errorf("admission needs %d, %v", r.Needed, err)
				}
			}
			if test.suspend > 0 {
				m := registry.Motion{Suspend: &registry.Suspension{MSP: "M01", Reason: "audit"}}
				r, err := registry.Move(registry.Standing{Roster: roster, Target: &members[1]}, m, "M00", 2)
				if err != nil || r.Needed != test.suspend {
					t.Errorf("suspension needs %d, %v", r.Needed, err)
				}
			}
		})
	}
	full := registry.Roster{}
	for i := range registry.MaxMembers {
		full = append(full, registry.Seat{MSP: fmt.Sprintf("M%02d", i), Status: registry.Active})
	}
	c := candidate("New")
	if _, err := registry.Move(registry.Standing{Roster: full}, registry.Motion{Admit: &c}, "M00", 2); codeOf(err) != refusal.TooLarge {
		t.Errorf("a full consortium admits: %v", err)
	}
}
