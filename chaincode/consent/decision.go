package consent

import "yitong/chaincode/record"

// Reason says in one code why a rule decided as it did.
type Reason string

// The reasons. Those after Denied say how near the nearest consent came.
const (
	Permitted   Reason = "permitted"    // a provision permits
	Denied      Reason = "denied"       // a provision denies
	NothingSaid Reason = "nothing-said" // there is no consent about this requester
	IsWithdrawn Reason = "withdrawn"    // a consent would have permitted, but is withdrawn
	IsOver      Reason = "period-over"  // a consent would have applied, but its period is over
	NotYet      Reason = "period-not-begun"
	NotClass    Reason = "class-not-covered"
	NotData     Reason = "data-period-not-covered"
	NotPurpose  Reason = "purpose-not-covered"
	NotAction   Reason = "action-not-covered"
	NotActor    Reason = "actor-not-covered"
)

// Rule names the provision that made a decision, or the one that came nearest.
type Rule struct {
	Consent string `json:"consent,omitempty"` // id; empty when there is none
	Version int    `json:"version,omitempty"`
	Path    Path   `json:"path,omitzero"` // of the provision in the consent
	Reason  Reason `json:"reason"`
}

// Basis names a consent a decision rests on.
type Basis struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
}

// Refused says which of the requested classes were not granted, and by which rule.
type Refused struct {
	Classes record.Classes `json:"classes"`
	Rule    Rule           `json:"rule"`
}

// Decision is what Evaluate says, whole: it is written on the ledger as it is.
type Decision struct {
	Outcome Outcome        `json:"outcome"`
	Rule    Rule           `json:"rule"`
	Scope   Scope          `json:"scope,omitzero"`
	Refused []Refused      `json:"refused,omitempty"` // by rule, in the order of consent and path
	Basis   []Basis        `json:"basis,omitempty"`   // sorted by id
	Until   record.Instant `json:"until,omitzero"`    // the first instant at which time alone may change it; none: never
}

// Scope is what remains of the consents once requester, action, purpose and time are fixed: enough
// to say of any part whether the permit covers it, without the consents.
type Scope struct {
	Classes record.Classes `json:"classes"`
	Period  record.Period  `json:"period,omitzero"` // of the data asked for
	Rules   []Residual     `json:"rules,omitempty"`
}

// Residual is what remains of one provision. Rules list them in pre-order: those that follow with a
// greater depth are its exceptions.
type Residual struct {
	Depth      uint8          `json:"depth,omitempty"` // 0: a consent's root
	Type       Outcome        `json:"type"`
	Lapsed     bool           `json:"lapsed,omitempty"` // a permit of a withdrawn consent: says nothing any more
	Classes    record.Classes `json:"classes"`
	Labels     record.Labels  `json:"labels,omitzero"`
	DataPeriod record.Period  `json:"dataPeriod,omitzero"`
}

// Evaluate decides a request by the consents of one relationship at an instant.
func Evaluate(consents []Consent, r Request, at record.Instant) Decision {
	panic("consent: not written yet")
}

// Covers reports whether the permit covers a part of this class, these labels and this data period.
func (s Scope) Covers(class record.Class, labels record.Labels, data record.Period) bool {
	panic("consent: not written yet")
}

// Equal reports that both cover the same parts by the same rules.
func (s Scope) Equal(o Scope) bool { panic("consent: not written yet") }

// IsZero reports the scope of a denial.
func (s Scope) IsZero() bool { return s.Classes.Empty() && len(s.Rules) == 0 && s.Period.IsZero() }

// Validate refuses a consent that breaks its schema; the error is a *refusal.Refusal.
func (c Consent) Validate() error { panic("consent: not written yet") }

// Validate refuses a provision that breaks its schema; the error is a *refusal.Refusal.
func (p Provision) Validate() error { panic("consent: not written yet") }

// Validate refuses a request that breaks its schema; the error is a *refusal.Refusal.
func (r Request) Validate() error { panic("consent: not written yet") }
