package consent

import "yitong/chaincode/record"

// Reason says in one code why a rule decided as it did.
type Reason string

// The reasons. Those from NothingSaid on explain a silence: they say how near the nearest permit came.
const (
	Permitted   Reason = "permitted"               // a provision permits
	Denied      Reason = "denied"                  // a provision denies
	NothingSaid Reason = "nothing-said"            // there is no permit at all
	NotPurpose  Reason = "purpose-not-covered"     // the nearest permit is for other purposes
	NotAction   Reason = "action-not-covered"      // … for other actions
	NotClass    Reason = "class-not-covered"       // … for other data classes
	NotType     Reason = "record-type-not-covered" // … for other record types
	NotData     Reason = "data-period-not-covered" // … for data from another time
	NotActor    Reason = "actor-not-covered"       // … for other members
	NotYet      Reason = "period-not-begun"        // … not in force yet
	IsOver      Reason = "period-over"             // … no longer in force
	IsWithdrawn Reason = "withdrawn"               // … withdrawn
	NotSure     Reason = "assurance-too-low"       // … of a lower assurance than demanded
)

// The reasons of a permit that doesn't rest on consents (see BreakGlass).
const (
	GlassBroken  Reason = "break-glass"             // an emergency
	DenialBroken Reason = "break-glass-over-denial" // an emergency, and the rule is a denial that it went over
)

// Rule names the provision that made a decision or, where consents are silent, came nearest to it.
type Rule struct {
	Consent string `json:"consent,omitempty"` // id; empty when there is none
	Version int    `json:"version,omitzero"`
	Path    Path   `json:"path,omitzero"` // of the provision in the consent
	Reason  Reason `json:"reason"`
}

// Basis names a consent a decision rests on.
type Basis struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
}

// Refused says which of the requested classes one rule keeps back.
type Refused struct {
	Classes record.Classes `json:"classes"`
	Rule    Rule           `json:"rule"`
}

// Decision is what Evaluate says, whole: it is written on the ledger as it is.
type Decision struct {
	Outcome Outcome   `json:"outcome"`
	Rule    Rule      `json:"rule"`
	Scope   Scope     `json:"scope,omitzero"`    // of a permit; zero of a denial
	Refused []Refused `json:"refused,omitempty"` // denials first, then silences, by consent; no class twice
	Basis   []Basis   `json:"basis,omitempty"`   // the consents that had a say, by id

	// Until is the first instant at which time alone may change the decision: before it, the same
	// consents and request give the same decision. None: it stands as long as the consents do.
	Until record.Instant `json:"until,omitzero"`
}
