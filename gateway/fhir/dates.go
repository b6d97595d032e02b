package fhir

import (
	"strings"
	"time"
)

// A span is the time that a date of FHIR covers, its end exclusive: a year, a month, a day, a
// minute, a second or less.
type span struct{ start, end time.Time }

// parseDate reads a date, dateTime or instant; without a zone it counts in UTC.
func parseDate(s string) (span, bool) {
	for _, f := range []struct {
		layout              string
		years, months, days int
	}{{"2006", 1, 0, 0}, {"2006-01", 0, 1, 0}, {"2006-01-02", 0, 0, 1}} {
		if t, err := time.Parse(f.layout, s); err == nil {
			return span{t, t.AddDate(f.years, f.months, f.days)}, true
		}
	}
	for _, f := range []struct {
		layout string
		covers time.Duration
	}{{"2006-01-02T15:04Z07:00", time.Minute}, {"2006-01-02T15:04", time.Minute}, {time.RFC3339, time.Second}, {"2006-01-02T15:04:05", time.Second}} {
		if t, err := time.Parse(f.layout, s); err == nil {
			if t.Nanosecond() != 0 {
				return span{t, t.Add(time.Millisecond)}, true
			}
			return span{t, t.Add(f.covers)}, true
		}
	}
	return span{}, false
}

// bound reads a value of a date search: a prefix and a date
// (hl7.org/fhir/R4/search.html#prefix).
func bound(value string) (prefix string, s span, ok bool) {
	prefix = "eq"
	if len(value) > 2 && strings.Contains(" eq ne gt lt ge le sa eb ap ", " "+value[:2]+" ") {
		prefix, value = value[:2], value[2:]
	}
	s, ok = parseDate(strings.ReplaceAll(value, " ", "+")) // a + that was not encoded
	return prefix, s, ok
}

// checkDates refuses what isn't a date.
func (c criterion) checkDates() error {
	for _, v := range c.values {
		if _, _, ok := bound(v); !ok {
			return invalid("http."+c.param.name, "this is no date", "yyyy, yyyy-mm, yyyy-mm-dd or yyyy-mm-ddThh:mm:ssZ, with eq, ne, gt, lt, ge, le, sa, eb or ap before it")
		}
	}
	return nil
}

// covers reports whether any value of the criterion holds of a time that something is of: it
// starts and ends then, either of them zero where that is open.
func (c criterion) covers(start, end time.Time) bool {
	for _, v := range c.values {
		prefix, s, ok := bound(v)
		if ok && holds(prefix, s, start, end) {
			return true
		}
	}
	return false
}

// holds is the table of hl7.org/fhir/R4/search.html#prefix; an open end is infinitely far.
func holds(prefix string, s span, start, end time.Time) bool {
	before := func(a, b time.Time) bool { return a.Before(b) }
	startsFrom := func(t time.Time) bool { return !start.IsZero() && !before(start, t) }
	endsBy := func(t time.Time) bool { return !end.IsZero() && !end.After(t) }
	switch prefix {
	case "eq":
		return startsFrom(s.start) && endsBy(s.end)
	case "ne":
		return !(startsFrom(s.start) && endsBy(s.end))
	case "gt":
		return end.IsZero() || end.After(s.end)
	case "lt":
		return start.IsZero() || before(start, s.start)
	case "ge":
		return end.IsZero() || end.After(s.end) || startsFrom(s.start)
	case "le":
		return start.IsZero() || before(start, s.start) || endsBy(s.end)
	case "sa":
		return startsFrom(s.end)
	case "eb":
		return endsBy(s.start)
	case "ap":
		return (end.IsZero() || end.After(s.start)) && (start.IsZero() || before(start, s.end))
	}
	return false
}
