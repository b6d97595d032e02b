package node

import (
	"strings"
	"time"
)

// checkLimits names what is wrong with the limits; `yitong config` prints those in force.
func (c Config) checkLimits(problem func(string, ...any)) {
	checked(c.Limits.Check(), problem)
	if c.Drain < 0 || c.Drain > time.Minute {
		problem("drain is %s; it must be 0s to 1m", c.Drain)
	}
}

// checked passes on every line of an error.
func checked(err error, problem func(string, ...any)) {
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		problem("%s", strings.TrimSuffix(line, "\n"))
	}
}

// drainTime is how long a gateway that is told to stop goes on taking calls, so that load
// balancers see first that it isn't ready. By default it doesn't.
func (c Config) drainTime() time.Duration { return c.Drain }
