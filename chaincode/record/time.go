package record

import (
	"fmt"
	"time"
)

// Instant is a moment in seconds since 1970-01-01T00:00:00Z, leap seconds ignored; 0 is none.
// Its JSON is RFC 3339 in UTC to the second, "2026-11-21T07:00:00Z"; none is "".
type Instant int64

// The first and last instants that RFC 3339's four-digit years can write.
const (
	minInstant Instant = -62135596800 // 0001-01-01T00:00:00Z
	maxInstant Instant = 253402300799 // 9999-12-31T23:59:59Z
)

const layout = "2006-01-02T15:04:05Z"

// At is t to the second, rounded down.
func At(t time.Time) Instant { return Instant(t.Unix()) }

// ParseInstant reads RFC 3339 in UTC to the second, or "" for none.
func ParseInstant(s string) (Instant, error) {
	var i Instant
	err := i.UnmarshalText([]byte(s))
	return i, err
}

// Time is the instant as a time.Time in UTC.
func (i Instant) Time() time.Time { return time.Unix(int64(i), 0).UTC() }

// Minute counts whole minutes since 1970, rounded down: the epoch that is closed on the ledger.
func (i Instant) Minute() int64 {
	m := int64(i) / 60
	if int64(i)%60 < 0 {
		m--
	}
	return m
}

// IsZero reports none.
func (i Instant) IsZero() bool { return i == 0 }

// String is the RFC 3339 form; "" for none.
func (i Instant) String() string {
	if i == 0 {
		return ""
	}
	return i.Time().Format(layout)
}

// MarshalText writes RFC 3339; an error if the year has more than four digits.
func (i Instant) MarshalText() ([]byte, error) {
	if i < minInstant || i > maxInstant {
		return nil, fmt.Errorf("instant %d is outside the years 0001 to 9999", int64(i))
	}
	return []byte(i.String()), nil
}

// UnmarshalText reads exactly what MarshalText writes. 1970-01-01T00:00:00Z itself is refused: it
// is the number that means none.
func (i *Instant) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*i = 0
		return nil
	}
	t, err := time.Parse(layout, string(text))
	if err != nil || t.Unix() == 0 || t.Format(layout) != string(text) {
		return fmt.Errorf("%q is not an instant: want RFC 3339 in UTC to the second, as 2026-11-21T07:00:00Z", text)
	}
	*i = Instant(t.Unix())
	return nil
}

// Period is the half-open time [Start, End). A zero side is unbounded; the zero Period is all time,
// which for data also means that nobody knows when it is from.
type Period struct {
	Start Instant `json:"start,omitzero"`
	End   Instant `json:"end,omitzero"` // exclusive; FHIR R4 Period.end is inclusive
}

// IsZero reports a period without bounds.
func (p Period) IsZero() bool { return p == Period{} }

// Valid reports that the period holds at least one second.
func (p Period) Valid() bool { return p.Start == 0 || p.End == 0 || p.Start < p.End }

// Contains reports whether i lies in the period.
func (p Period) Contains(i Instant) bool {
	return (p.Start == 0 || i >= p.Start) && (p.End == 0 || i < p.End)
}

// Overlaps reports whether the two share a moment.
func (p Period) Overlaps(o Period) bool {
	return (p.Start == 0 || o.End == 0 || p.Start < o.End) && (o.Start == 0 || p.End == 0 || o.Start < p.End)
}

// Within reports whether all of p lies in o. A side of p that is unbounded lies in o only if o's is.
func (p Period) Within(o Period) bool {
	return (o.Start == 0 || p.Start != 0 && p.Start >= o.Start) && (o.End == 0 || p.End != 0 && p.End <= o.End)
}

// Intersect is the time in both; it may hold nothing, and then isn't Valid.
func (p Period) Intersect(o Period) Period {
	if p.Start == 0 || o.Start != 0 && o.Start > p.Start {
		p.Start = o.Start
	}
	if p.End == 0 || o.End != 0 && o.End < p.End {
		p.End = o.End
	}
	return p
}
