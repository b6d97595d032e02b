package registry

import (
	"fmt"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// MaxSkew is how far, in seconds, a transaction's timestamp may lie from the clock of
// an endorser, either way.
const MaxSkew = 90

// MaxClosings bounds the minutes closed by one transaction.
const MaxClosings = 256

// Clock is the consortium's agreed time: every minute up to Latest is closed.
type Clock struct {
	Latest int64          `json:"latest"` // minutes since 1970 UTC
	Closed record.Instant `json:"closed"` // the end of that minute
}

// ClockAt is the clock whose newest closed minute is the one given.
func ClockAt(minute int64) Clock {
	return Clock{Latest: minute, Closed: record.Instant((minute + 1) * 60)}
}

// CheckSkew refuses (stale-clock) a timestamp more than MaxSkew from now, the
// endorser's own clock. It only refuses, so endorsers that pass it still agree.
func CheckSkew(at, now record.Instant) error {
	if at < now-MaxSkew || at > now+MaxSkew {
		return refusal.New(refusal.StaleClock,
			fmt.Sprintf("the transaction's timestamp is %d s off this endorser's clock", int64(at-now)),
			"a new transaction, dated within 90 s of now")
	}
	return nil
}

// Close returns the first and the last minute to close so that all up to through are
// closed; first > last means that they are already. Minutes are closed in order and
// none before it and the skew are over by the endorser's clock, or a transaction
// still welcome would be cut off. Refusals: minute-open, too-large.
func (c Clock) Close(through int64, now record.Instant) (first, last int64, err error) {
	if through <= c.Latest {
		return c.Latest + 1, c.Latest, nil
	}
	// Compared before any arithmetic on through, which is the caller's and may be huge.
	if ripe := (int64(now)-MaxSkew)/60 - 1; through > ripe {
		return 0, 0, refusal.New(MinuteOpen, fmt.Sprintf("minute %d is not over", through),
			fmt.Sprintf("closing through minute %d", ripe))
	}
	if through-c.Latest > MaxClosings {
		return 0, 0, refusal.New(refusal.TooLarge, "too many minutes at once",
			fmt.Sprintf("closing through minute %d, then on", c.Latest+MaxClosings))
	}
	return c.Latest + 1, through, nil
}
