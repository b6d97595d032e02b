package consent

import (
	"slices"

	"yitong/chaincode/record"
)

// BreakGlass is the decision on a request in an emergency: a permit for all that is asked
// for, sensitive labels included, whatever the consents say. What they say is told all the
// same, for whoever reviews it: the basis lists those that had a say, and where one of
// them denies anything that was asked for, the reason is DenialBroken and the rule names
// it. HL7 calls the purpose BTG; a break-glass policy that patients may opt out of would
// leave the unconscious without treatment, so a denial doesn't stop it.
func BreakGlass(consents []Consent, r Request, at record.Instant) Decision {
	said := Evaluate(consents, r, at)
	d := Decision{
		Outcome: Permit, Rule: Rule{Reason: GlassBroken}, Basis: said.Basis,
		Scope: Scope{Classes: r.Classes, Types: r.Types, Period: r.Period, Rules: []Residual{{Type: Permit, Classes: r.Classes}}},
	}
	if said.Rule.Reason == Denied {
		d.Rule = said.Rule
	}
	for _, refused := range said.Refused {
		if refused.Rule.Reason == Denied && d.Rule.Consent == "" {
			d.Rule = refused.Rule
		}
	}
	if d.Rule.Consent != "" || slices.ContainsFunc(said.Scope.Rules, func(r Residual) bool { return r.Type == Deny }) {
		d.Rule.Reason = DenialBroken
	}
	return d
}
