package command

import (
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// periodFlags are two flags that bound a period.
type periodFlags struct {
	fromName, untilName string
	from, until         string
}

func (p *periodFlags) add(f *pflag.FlagSet, from, until, what string) {
	p.fromName, p.untilName = from, until
	f.StringVar(&p.from, from, "", what+" from this date or RFC 3339 time on")
	f.StringVar(&p.until, until, "", what+" through this date, or before this RFC 3339 time")
}

// period reads the flags; nil when neither is given. Dates are whole days in
// UTC, both included, as in FHIR R4 Period; the API's period is half-open.
func (p periodFlags) period() (*yitongv1.Period, error) {
	start, err := moment(p.from, p.fromName, false)
	if err != nil {
		return nil, err
	}
	end, err := moment(p.until, p.untilName, true)
	if err != nil {
		return nil, err
	}
	if start == nil && end == nil {
		return nil, nil
	}
	if start != nil && end != nil && !start.AsTime().Before(end.AsTime()) {
		return nil, usage("--%s must lie before --%s", p.fromName, p.untilName)
	}
	return &yitongv1.Period{Start: start, End: end}, nil
}

func moment(s, flag string, end bool) (*timestamppb.Timestamp, error) {
	if s == "" {
		return nil, nil
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		if end {
			day = day.AddDate(0, 0, 1)
		}
		return timestamppb.New(day), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil, usage("--%s %q is neither a date (2026-11-21) nor an RFC 3339 time (2026-11-21T07:00:00Z)", flag, s)
	}
	return timestamppb.New(at.Truncate(time.Second)), nil
}
