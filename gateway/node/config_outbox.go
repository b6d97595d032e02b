package node

import "time"

// Outbox is where the gateway keeps the writes that it is asked for, and for how long
// (gateway/outbox).
type Outbox struct {
	// URL is its database: sqlite:PATH or postgres://…; by default a file in the state folder. It belongs to the key
	// store: what is in it is sealed by a key from there. Back up both, the outbox first.
	URL string `yaml:"url,omitempty"`
	// Keep is how long answers are kept to be asked for again, 1h to 8760h; by default 168h,
	// a week.
	Keep string `yaml:"keep,omitempty"`
	// Patience is how long a write is tried that doesn't end, 1m to 720h; by default 24h.
	Patience string `yaml:"patience,omitempty"`
	// Limit is how many entries there may be, 1000 or more; by default 1000000. When it is
	// full, writes are refused.
	Limit int64 `yaml:"limit,omitempty"`
}

func (o Outbox) keep() (time.Duration, error)     { return durationOr(o.Keep, 7*24*time.Hour) }
func (o Outbox) patience() (time.Duration, error) { return durationOr(o.Patience, 24*time.Hour) }

func durationOr(text string, by time.Duration) (time.Duration, error) {
	if text == "" {
		return by, nil
	}
	return time.ParseDuration(text)
}

func (o Outbox) check(problem func(format string, args ...any)) {
	if d, err := o.keep(); err != nil || d < time.Hour || d > 8760*time.Hour {
		problem("outbox.keep is %q; it must be a time from 1h to 8760h, as 168h", o.Keep)
	}
	if d, err := o.patience(); err != nil || d < time.Minute || d > 720*time.Hour {
		problem("outbox.patience is %q; it must be a time from 1m to 720h, as 24h", o.Patience)
	}
	if o.Limit != 0 && o.Limit < 1000 {
		problem("outbox.limit is %d; it must be 1000 or more", o.Limit)
	}
}
