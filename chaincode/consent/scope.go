package consent

import (
	"slices"

	"yitong/chaincode/record"
)

// Scope is what remains of the consents once requester, action, purpose and time are fixed: enough
// to say of any part whether the permit covers it, without the consents. It goes on the ledger.
// IHE PCF calls this the residual of an authorisation decision.
type Scope struct {
	Classes record.Classes `json:"classes,omitzero"`     // granted: not wholly denied
	Types   record.Types   `json:"recordTypes,omitzero"` // asked for; none is any
	Period  record.Period  `json:"period,omitzero"`      // of the data asked for
	Rules   []Residual     `json:"rules,omitempty"`      // in pre-order, consents by id
}

// Residual is what remains of one provision. Those that follow with a greater depth are its
// exceptions.
type Residual struct {
	Depth      uint8          `json:"depth,omitzero"` // 0: the root of a consent
	Type       Outcome        `json:"type"`
	Withdrawn  bool           `json:"withdrawn,omitzero"` // on a root: what the consent permits doesn't count, for it is withdrawn or not sure enough
	Classes    record.Classes `json:"classes"`
	Labels     record.Labels  `json:"labels,omitzero"`
	Types      record.Types   `json:"recordTypes,omitzero"`
	DataPeriod record.Period  `json:"dataPeriod,omitzero"`
}

// Covers reports whether the permit covers a part. Its class, labels, record type and data period
// decide, and nothing else of it does. A part is covered whole or not at all, so its data must lie
// wholly within the time asked for.
func (s Scope) Covers(part record.Part) bool {
	f := facts{part.Class, part.Type(), part.Labels, part.Period}
	if !s.Classes.Has(f.class) || !s.Types.Empty() && !s.Types.Has(f.form) || !f.data.Within(s.Period) {
		return false
	}
	permitted := false
	for i := 0; i < len(s.Rules); {
		withdrawn := s.Rules[i].Withdrawn
		var says Outcome
		says, i = judge(s.Rules, i, f)
		switch {
		case says == Deny:
			return false
		case says == Permit && !withdrawn:
			permitted = true
		}
	}
	return permitted
}

// facts are what rules look at in a part.
type facts struct {
	class  record.Class
	form   record.Type
	labels record.Labels
	data   record.Period
}

// judge says what the rule at i, with its exceptions, says of a part: 0 if it is silent. It also
// returns where the next rule that is no exception to this one begins.
func judge(rules []Residual, i int, f facts) (says Outcome, next int) {
	rule := &rules[i]
	for next = i + 1; next < len(rules) && rules[next].Depth > rule.Depth; {
		var exception Outcome
		exception, next = judge(rules, next, f)
		if says != Deny && exception != 0 {
			says = exception
		}
	}
	switch {
	case !rule.hits(f):
		return 0, next
	case says != 0:
		return says, next
	case rule.Type == Permit:
		return Permit, next
	default:
		return Deny, next
	}
}

// hits reports whether the rule's criteria match a part. In doubt a denial hits and a permit
// doesn't: a denial needs to touch the part, a permit to hold all of it.
func (r *Residual) hits(f facts) bool {
	switch {
	case !r.Classes.Has(f.class), !r.Types.Empty() && !r.Types.Has(f.form):
		return false
	case r.Type == Permit:
		specific := f.labels.Specific()
		return (r.Labels.Empty() || !specific.Empty() && specific.Without(r.Labels).Empty()) && f.data.Within(r.DataPeriod)
	default:
		return (r.Labels.Empty() || !f.labels.Intersect(r.Labels).Empty()) && f.data.Overlaps(r.DataPeriod)
	}
}

// Equal reports that both say the same by the same rules.
func (s Scope) Equal(o Scope) bool {
	return s.Classes == o.Classes && s.Types == o.Types && s.Period == o.Period && slices.Equal(s.Rules, o.Rules)
}

// IsZero reports the scope of a denial.
func (s Scope) IsZero() bool {
	return s.Classes.Empty() && s.Types.Empty() && len(s.Rules) == 0 && s.Period.IsZero()
}
