package fabric

import "time"

// Step is progress as a person would tell it. Took is 0 while it goes on.
type Step struct {
	Text string
	Took time.Duration
}

// Report receives progress; nil is silent. It is called from several
// goroutines, so it must be safe for that, and quick.
type Report func(Step)

func (r Report) say(text string) {
	if r != nil {
		r(Step{Text: text})
	}
}

// done reports a finished step that began at the given time.
func (r Report) done(text string, began time.Time) {
	if r != nil {
		r(Step{Text: text, Took: time.Since(began)})
	}
}
