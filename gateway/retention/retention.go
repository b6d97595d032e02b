// Package retention says when parts of records have been kept long enough.
//
// A policy gives data classes a span, for example 15 years for laboratory results.
// It begins with the end of the time that a part's data is of, or with the
// submission where that isn't known. A part falls due when the span is over; it is
// warned of a while before, and erased only once the warning has stood that long,
// however late it came:
//
//	end of the data ───── span ─────▶ due ──▶ erased, if warned long enough ago
//	                     warned ─ warning ─▶
//
// A class without a span is kept for ever: nothing is erased that nobody has
// decided on. The package is pure: no clock, no I/O.
package retention

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"yitong/chaincode/record"
)

// Span is a length of time by the calendar: a year from 29 February ends on 1 March.
type Span struct{ Years, Months, Days int }

// Bounds of a policy.
var (
	Shortest = Span{Days: 1}
	Longest  = Span{Years: 150}

	shortestWarning = Span{Days: 1}
	longestWarning  = Span{Years: 1}
	defaultWarning  = Span{Days: 30}
)

// ParseSpan reads a number and a unit: 15y, 18mo, 6w, 30d.
func ParseSpan(s string) (Span, error) {
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	n, err := strconv.Atoi(s[:digits])
	if err == nil && n > 0 && n <= 100_000 {
		switch s[digits:] {
		case "y":
			return Span{Years: n}, nil
		case "mo":
			return Span{Months: n}, nil
		case "w":
			return Span{Days: 7 * n}, nil
		case "d":
			return Span{Days: n}, nil
		}
	}
	return Span{}, fmt.Errorf("%.40q is not a span of time: want a number and y, mo, w or d, as 15y or 30d", s)
}

// String writes what ParseSpan reads.
func (s Span) String() string {
	switch {
	case s.Years > 0:
		return strconv.Itoa(s.Years) + "y"
	case s.Months > 0:
		return strconv.Itoa(s.Months) + "mo"
	}
	return strconv.Itoa(s.Days) + "d"
}

// After is the end of the span that begins at an instant.
func (s Span) After(i record.Instant) record.Instant {
	return record.At(i.Time().AddDate(s.Years, s.Months, s.Days))
}

// Before is the begin of the span that ends at an instant.
func (s Span) Before(i record.Instant) record.Instant {
	return record.At(i.Time().AddDate(-s.Years, -s.Months, -s.Days))
}

// days is about how long the span is, to compare spans by.
func (s Span) days() int { return s.Years*365 + s.Months*30 + s.Days }

// Policy is how long one member keeps what.
type Policy struct {
	Spans   map[record.Class]Span
	Warning Span // the zero Span is 30 days
}

// Parse reads a policy as a configuration has it: data class codes and spans. Every problem is
// named at once.
func Parse(spans map[string]string, warning string) (Policy, error) {
	p := Policy{Spans: map[record.Class]Span{}}
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if warning != "" {
		var err error
		if p.Warning, err = ParseSpan(warning); err != nil {
			problem("retention_warning: %w", err)
		} else if d := p.Warning.days(); d < shortestWarning.days() || d > longestWarning.days() {
			problem("retention_warning is %s; it must be %s to %s", warning, shortestWarning, longestWarning)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(spans)) {
		class, err := record.ParseClass(code)
		if err != nil {
			problem("retention: %w", err)
			continue
		}
		span, err := ParseSpan(spans[code])
		switch {
		case err != nil:
			problem("retention of %s: %w", code, err)
		case span.days() < Shortest.days() || span.days() > Longest.days():
			problem("retention of %s is %s; it must be %s to %s", code, span, Shortest, Longest)
		case span.days() < p.warning().days():
			problem("retention of %s is %s, shorter than the warning of %s before its end", code, span, p.warning())
		}
		p.Spans[class] = span
	}
	return p, errors.Join(problems...)
}

func (p Policy) warning() Span {
	if p.Warning == (Span{}) {
		return defaultWarning
	}
	return p.Warning
}

// Due is when a part has been kept long enough; false if it is kept for ever.
func (p Policy) Due(part record.Part, submitted record.Instant) (record.Instant, bool) {
	span, ok := p.Spans[part.Class]
	if !ok {
		return 0, false
	}
	if part.Period.End != 0 {
		return span.After(part.Period.End), true
	}
	return span.After(submitted), true
}

// Warn is from when on the end of a part's retention is warned of.
func (p Policy) Warn(due record.Instant) record.Instant { return p.warning().Before(due) }

// Erase is when a part that falls due is erased, if it was warned of at an instant.
func (p Policy) Erase(due, warned record.Instant) record.Instant {
	return max(due, p.warning().After(warned))
}
