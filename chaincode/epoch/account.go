package epoch

import (
	"time"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// maxDays is how many days back an evaluator accounts for.
const maxDays = 31

// Tally is how often an evaluator evaluated for a member on one day (UTC).
type Tally struct {
	Count int64          `json:"count"`
	At    record.Instant `json:"at"` // when it last grew
}

// CheckDay refuses (malformed) what isn't a day, and one in the future or too long ago.
func CheckDay(day string, at record.Instant) error {
	d, err := time.Parse(time.DateOnly, day)
	if err != nil || d.Format(time.DateOnly) != day {
		return refusal.New(refusal.Malformed, "that is not a day", "YYYY-MM-DD, by UTC")
	}
	if begin := record.At(d); begin > at || begin < at-maxDays*24*60*60 {
		return refusal.New(refusal.Malformed, "evaluations of "+day+" are not accounted for now", "today, or one of the 30 days before")
	}
	return nil
}

// Account is the tally with a new count; changed is false where it is the count recorded.
// A count never shrinks (malformed): who had evaluated had evaluated.
func Account(recorded *Tally, count int64, at record.Instant) (t Tally, changed bool, err error) {
	switch {
	case count < 1 || recorded != nil && count < recorded.Count:
		return Tally{}, false, refusal.New(refusal.Malformed, "the count is less than what is recorded", "how often it evaluated that day, from the first time on")
	case recorded != nil && count == recorded.Count:
		return *recorded, false, nil
	}
	return Tally{Count: count, At: at}, true, nil
}
