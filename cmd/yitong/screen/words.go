package screen

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Short is an id or digest cut for a table; --json has it whole.
func Short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// Time is a moment for a table, in UTC; "-" for none.
func Time(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Format("2006-01-02 15:04:05Z")
}

// Span is a half-open period for a table; a side that is unbounded is left out.
func Span(p *yitongv1.Period) string {
	if p.GetStart() == nil && p.GetEnd() == nil {
		return "any time"
	}
	side := func(t *timestamppb.Timestamp) string {
		switch {
		case t == nil:
			return ""
		case t.AsTime().Equal(t.AsTime().Truncate(24 * time.Hour)):
			return t.AsTime().Format(time.DateOnly)
		}
		return t.AsTime().Format("2006-01-02T15:04:05Z")
	}
	return side(p.GetStart()) + ".." + side(p.GetEnd())
}

// List joins codes; "-" for none.
func List(codes []string) string { return Or(strings.Join(codes, ","), "-") }

// Or is s, or else when s is empty.
func Or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Rule says which provision of which consent decided, and why.
func Rule(r *yitongv1.Rule) string {
	if r.GetConsentId() == "" {
		return Or(r.GetReason(), "-")
	}
	text := r.GetReason() + " by consent " + Short(r.GetConsentId())
	if p := r.GetProvision(); p != "" {
		text += " at " + p
	}
	return text
}
