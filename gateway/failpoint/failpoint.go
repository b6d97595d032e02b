// Package failpoint names the moments at which a test may have the process die.
//
// In a gateway that people run nothing is armed, nothing can arm it from outside (no
// variable of the environment, no file, no flag), and Reach does nothing: only a test
// binary calls Arm (test/consortium).
package failpoint

import "sync/atomic"

var armed atomic.Pointer[func(at string)]

// Reach says that a moment is there.
func Reach(at string) {
	if f := armed.Load(); f != nil {
		(*f)(at)
	}
}

// Arm has f called at every moment. It is for test binaries.
func Arm(f func(at string)) { armed.Store(&f) }
