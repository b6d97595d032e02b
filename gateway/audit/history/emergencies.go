package history

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/audit/projection"
)

// ReviewState is how the review of an emergency stands.
type ReviewState string

// The states. An overdue one is unreviewed as well, an unresolved one rejected.
const (
	Unreviewed ReviewState = "unreviewed"
	Overdue    ReviewState = "overdue"
	Accepted   ReviewState = "accepted"
	Rejected   ReviewState = "rejected"
	Unresolved ReviewState = "unresolved" // rejected, and not resolved
)

// ReviewStates lists all states.
var ReviewStates = []ReviewState{Unreviewed, Overdue, Accepted, Rejected, Unresolved}

var stateConditions = map[ReviewState]string{
	Unreviewed: "m.verdict = ''",
	Overdue:    "m.verdict = '' AND m.due <= ?",
	Accepted:   "m.verdict = 'accepted'",
	Rejected:   "m.verdict = 'rejected'",
	Unresolved: "m.verdict = 'rejected' AND m.resolved < 0",
}

// EmergencyFilter says which emergencies are wanted; a zero field leaves all.
type EmergencyFilter struct {
	Custodian, Requester string // MSP ids
	State                ReviewState
	Time                 record.Period // when the glass was broken
}

// Emergency is a break-glass access and its review.
type Emergency struct {
	access.Access
	Number      int64 // entry of the request
	Block       uint64
	Transaction string
	Review      *access.Review // nil until it is reviewed
	// Names of the two members as they are now.
	CustodianName, RequesterName string
}

// Overdue reports whether the review is, at an instant.
func (e Emergency) Overdue(at record.Instant) bool {
	return e.Review == nil && at >= e.At+access.ReviewTerm
}

// Emergencies lists break-glass accesses; at is the instant by which a review is overdue.
func (h History) Emergencies(ctx context.Context, f EmergencyFilter, at record.Instant, p Page) (list []Emergency, next string, asOf AsOf, err error) {
	var c clause
	c.equal("m.custodian", f.Custodian)
	c.equal("m.requester", f.Requester)
	c.within("m.asked", f.Time)
	switch condition, known := stateConditions[f.State]; {
	case f.State == "":
	case !known:
		return nil, "", asOf, refusal.New(refusal.Malformed, fmt.Sprintf("there is no state %.40q of a review", f.State), projection.Codes(ReviewStates))
	case f.State == Overdue:
		c.add(condition, int64(at))
	default:
		c.add(condition)
	}
	return paged(ctx, h, p, func(e Emergency) int64 { return e.Number }, func(s *snapshot, in stretch) ([]Emergency, error) {
		return along(s, `SELECT m.entry, t.block, t.id, a.document, m.review FROM emergencies m
			JOIN accesses a ON a.custodian = m.custodian AND a.requester = m.requester AND a.id = m.id
			JOIN entries e ON e.number = m.entry JOIN transactions t ON t.number = e.tx`, "m.entry", in, c, s.emergency)
	})
}

func (s *snapshot) emergency(rows *sql.Rows) (e Emergency, err error) {
	var block int64
	var asked, review []byte
	if err := rows.Scan(&e.Number, &block, &e.Transaction, &asked, &review); err != nil {
		return e, err
	}
	e.Block = uint64(block)
	a, err := document[access.Access](asked)
	if err != nil || a == nil {
		return e, err
	}
	e.Access = *a
	e.CustodianName, e.RequesterName = s.members.name(a.Custodian), s.members.name(a.Requester)
	e.Review, err = document[access.Review](review)
	return e, err
}

// EmergencyRate is how often one member broke the glass in a period.
type EmergencyRate struct {
	Member      string // MSP id
	Emergencies int64
	Overdue     int64
	Rejected    int64
	Days        []Change // on which it did so unlike in the days before
}

// EmergencyRates tells for a period how often each member broke the glass and what its
// reviews found, and the days on which it did so unlike in its own days before: by the
// measure of Changes. at is the instant by which a review is overdue.
func (h History) EmergencyRates(ctx context.Context, time record.Period, at record.Instant, members ...string) (rates []EmergencyRate, asOf AsOf, err error) {
	first := int64(time.Start) / secondsOfDay
	var c clause
	c.add("asked >= ?", max(0, first-Baseline)*secondsOfDay)
	c.within("asked", record.Period{End: time.End})
	among(&c, "requester", members)
	query := `SELECT requester, asked / 86400, COUNT(*), SUM(CASE WHEN verdict = '' AND due <= ? THEN 1 ELSE 0 END), SUM(CASE WHEN verdict = 'rejected' THEN 1 ELSE 0 END)
		FROM emergencies` + c.where() + ` GROUP BY requester, asked / 86400 ORDER BY 1, 2`
	counts, of := map[string]map[int64]int64{}, map[string]*EmergencyRate{}
	last := first - 1
	asOf, err = h.read(ctx, func(s *snapshot) error {
		return s.each(query, append([]any{int64(at)}, c.args...), func(rows *sql.Rows) error {
			var member string
			var day, n, overdue, rejected int64
			if err := rows.Scan(&member, &day, &n, &overdue, &rejected); err != nil {
				return err
			}
			if counts[member] == nil {
				counts[member], of[member] = map[int64]int64{}, &EmergencyRate{Member: member}
			}
			counts[member][day] = n
			last = max(last, day)
			if day >= first {
				r := of[member]
				r.Emergencies, r.Overdue, r.Rejected = r.Emergencies+n, r.Overdue+overdue, r.Rejected+rejected
			}
			return nil
		})
	})
	if err != nil {
		return nil, asOf, err
	}
	for _, member := range sortedKeys(of) {
		r := of[member]
		begun := slices.Min(sortedDays(counts[member]))
		for day := max(first, begun); day <= last; day++ {
			if c, unlike := change(member, counts[member], begun, day); unlike {
				r.Days = append(r.Days, c)
			}
		}
		if r.Emergencies > 0 || len(r.Days) > 0 {
			rates = append(rates, *r)
		}
	}
	return rates, asOf, nil
}

func sortedDays(counts map[int64]int64) []int64 {
	var days []int64
	for day := range counts {
		days = append(days, day)
	}
	slices.Sort(days)
	return days
}

// change compares a member's day with the days before it, from the first that counts
// against it on, and says whether it is unlike them.
func change(member string, counts map[int64]int64, begun, day int64) (c Change, unlike bool) {
	var before []float64
	for n := max(begun, day-Baseline); n < day; n++ {
		before = append(before, float64(counts[n]))
	}
	if len(before) < 7 {
		return c, false
	}
	c = Change{Member: member, Day: record.Instant(day * secondsOfDay), Requests: counts[day]}
	c.Usual, c.Spread = usual(before)
	c.Score = (float64(c.Requests) - c.Usual) / c.Spread
	return c, math.Abs(c.Score) >= Unusual
}
