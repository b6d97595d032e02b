package node

import (
	"strings"
)

// checkLimits names what is wrong with the limits; `yitong config` prints those in force.
func (c Config) checkLimits(problem func(string, ...any)) {
	checked(c.Limits.Check(), problem)
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
