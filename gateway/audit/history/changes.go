package history

import (
	"context"
	"database/sql"
	"math"
	"slices"

	"yitong/chaincode/record"
	"yitong/gateway/audit/projection"
)

// Day is what members did in one day, counted.
type Day struct {
	Begin   record.Instant // 00:00 UTC
	Member  string
	Kind    projection.Kind
	Outcome projection.Outcome
	Count   int64
}

// Days counts what valid transactions did, by day, member, kind and outcome, in order.
func (h History) Days(ctx context.Context, time record.Period, members ...string) (days []Day, asOf AsOf, err error) {
	var c clause
	c.add("hour >= ?", int64(time.Start)/3600)
	if time.End != 0 {
		c.add("hour < ?", (int64(time.End)+3599)/3600)
	}
	among(&c, "member", members)
	query := `SELECT hour / 24 AS day, member, kind, outcome, SUM(n) FROM tallies` + c.where() + ` GROUP BY hour / 24, member, kind, outcome ORDER BY 1, 2, 3, 4`
	asOf, err = h.read(ctx, func(s *snapshot) error {
		return s.each(query, c.args, func(rows *sql.Rows) error {
			var d Day
			var day int64
			err := rows.Scan(&day, &d.Member, &d.Kind, &d.Outcome, &d.Count)
			d.Begin = record.Instant(day * secondsOfDay)
			days = append(days, d)
			return err
		})
	})
	return days, asOf, err
}

const secondsOfDay = 24 * 60 * 60

// Change is a member's day that is unlike its days before.
type Change struct {
	Member   string
	Day      record.Instant // 00:00 UTC
	Requests int64          // that day
	Denied   int64          // of them
	Usual    float64        // requests of a day: the median of the days before
	Spread   float64        // of those days; see Changes
	Score    float64        // how many spreads the day lies above (or below) the usual
}

// Baseline is how many days a day is compared with.
const Baseline = 28

// Unusual is the score from which a day is told, either way.
const Unusual = 4.0

// Changes tells for every day of a period which members asked for access unlike in the
// 28 days before. The usual is their median, so that one odd day doesn't hide the next.
// The spread is 1.4826 times the median absolute deviation (which estimates a standard
// deviation), at least the square root of the median (what chance alone gives counts),
// at least 1. A day is told from four spreads on. Days before a member's first request
// are not counted against it, and with fewer than 7 days to compare nothing is told.
func (h History) Changes(ctx context.Context, time record.Period, members ...string) (changes []Change, asOf AsOf, err error) {
	first := int64(time.Start) / secondsOfDay
	wider := record.Period{Start: record.Instant(max(0, first-Baseline) * secondsOfDay), End: time.End}
	days, asOf, err := h.Days(ctx, wider, members...)
	if err != nil {
		return nil, asOf, err
	}
	asked, denied, begun := map[string]map[int64]int64{}, map[string]map[int64]int64{}, map[string]int64{}
	last := first - 1
	if len(days) > 0 {
		first = max(first, int64(days[0].Begin)/secondsOfDay) // before there is nothing to tell
	}
	for _, d := range days {
		if d.Kind != projection.KindRequest {
			continue
		}
		n := int64(d.Begin) / secondsOfDay
		if asked[d.Member] == nil {
			asked[d.Member], denied[d.Member], begun[d.Member] = map[int64]int64{}, map[int64]int64{}, n
		}
		asked[d.Member][n] += d.Count
		if d.Outcome == projection.Denied {
			denied[d.Member][n] += d.Count
		}
		last = max(last, n)
	}
	for day := first; day <= last; day++ {
		for _, member := range sortedKeys(asked) {
			if c, unlike := change(member, asked[member], begun[member], day); unlike {
				c.Denied = denied[member][day]
				changes = append(changes, c)
			}
		}
	}
	return changes, asOf, nil
}

// usual is the median of counts and their spread.
func usual(counts []float64) (middle, spread float64) {
	middle = median(counts)
	off := make([]float64, len(counts))
	for i, n := range counts {
		off[i] = math.Abs(n - middle)
	}
	return middle, max(1.4826*median(off), math.Sqrt(middle), 1)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Reason is how often one rule denied.
type Reason struct {
	Reason string
	Count  int64
}

// Denials counts the requests denied, by the reason of the rule that denied, the most
// frequent first.
func (h History) Denials(ctx context.Context, requester, custodian string, time record.Period) (reasons []Reason, asOf AsOf, err error) {
	var c clause
	c.add("outcome = 'denied'") // as the partial index has it
	c.equal("requester", requester)
	c.equal("custodian", custodian)
	c.within("claimed", time)
	asOf, err = h.read(ctx, func(s *snapshot) error {
		return s.each(`SELECT reason, COUNT(*) FROM entries`+c.where()+` GROUP BY reason ORDER BY 2 DESC, 1`, c.args, func(rows *sql.Rows) error {
			var r Reason
			err := rows.Scan(&r.Reason, &r.Count)
			reasons = append(reasons, r)
			return err
		})
	})
	return reasons, asOf, err
}
