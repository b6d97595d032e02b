package contract

import (
	"time"

	"yitong/chaincode/record"
)

// Clock tells an endorser the time. It is asked in order to refuse, never in order to
// write: endorsers whose clocks differ must still write the same. This file is the only
// one of the package that knows of time.
type Clock func() record.Instant

// SystemClock is the clock of the machine.
func SystemClock() record.Instant { return record.At(time.Now()) }
