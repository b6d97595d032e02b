package directive

import (
	"fmt"
	"slices"
	"strings"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// Delegate may act for the patient in a relationship, as long as the consent that names it is
// active and its period lasts.
type Delegate struct {
	Key      Key           `json:"key"`
	Grant    bool          `json:"grant,omitzero"`    // and amend
	Withdraw bool          `json:"withdraw,omitzero"` //
	Period   record.Period `json:"period"`            // both sides are bounded
}

func checkDelegates(delegates []Delegate) error {
	if delegates != nil && len(delegates) == 0 {
		return malformed("its list of delegates is empty", "leaving it out for none")
	}
	if len(delegates) > MaxDelegates {
		return refusal.New(refusal.TooLarge, "the directive names too many delegates", fmt.Sprintf("at most %d", MaxDelegates))
	}
	for i, d := range delegates {
		if err := d.Key.Check(); err != nil {
			return err
		}
		switch {
		case i > 0 && delegates[i-1].Key.ID() >= d.Key.ID():
			return malformed("its delegates are not in order", "each once, by the id of its key")
		case !d.Grant && !d.Withdraw:
			return malformed("a delegate may do nothing", "grant, withdraw or both")
		case d.Period.Start == 0 || d.Period.End == 0 || !d.Period.Valid():
			return malformed("a delegate's period isn't bounded", "a start before an end")
		}
	}
	return nil
}

func (d Delegate) may(act Act) bool {
	return d.Grant && (act == Grant || act == Amend) || d.Withdraw && act == Withdraw
}

func (d Delegate) equal(o Delegate) bool {
	return d.Key.Equal(o.Key) && d.Grant == o.Grant && d.Withdraw == o.Withdraw && d.Period == o.Period
}

// covers reports that o may do nothing, and at no time, that d mayn't.
func (d Delegate) covers(o Delegate) bool {
	return (d.Grant || !o.Grant) && (d.Withdraw || !o.Withdraw) && o.Period.Within(d.Period)
}

// allows refuses (beyond-delegation) of what a delegate signs a consent that outlasts the delegate,
// and a change of delegates that it covers not: it adds and takes away only what it could have
// given itself. It does so in the consent that names it and in no other: whoever takes that one
// away takes away all that follows from it, and a delegate that names itself elsewhere would stay.
func (d Delegate) allows(act Directive, by string, before []Delegate) error {
	if act.Act == Withdraw {
		return nil
	}
	if act.Period.End == 0 || act.Period.End > d.Period.End {
		return refusal.New(BeyondDelegation, "the consent would outlast the delegate that signs it", "a period that ends by "+d.Period.End.String())
	}
	for _, changed := range difference(act.Delegates, before) {
		if act.Consent != by {
			return refusal.New(BeyondDelegation, "a delegate names delegates in another consent than the one that names itself", "naming them by an amendment of consent "+by)
		}
		if !d.covers(changed) {
			return refusal.New(BeyondDelegation, "a delegate gives or takes rights that it hasn't itself", "delegates with no more rights, and for no longer, than its own")
		}
	}
	return nil
}

// difference lists what is in one of the two lists and not in the other.
func difference(a, b []Delegate) []Delegate {
	var list []Delegate
	for _, pair := range [2][2][]Delegate{{a, b}, {b, a}} {
		for _, d := range pair[0] {
			if !slices.ContainsFunc(pair[1], d.equal) {
				list = append(list, d)
			}
		}
	}
	return list
}

// Delegation is whom a consent names. It counts as long as the consent is active.
type Delegation struct {
	Consent   string     `json:"consent"` // id
	Delegates []Delegate `json:"delegates"`
}

// standing reports whether the consent that names delegates is active and in its period, and how
// sure it is.
func (d Delegation) standing(consents []consent.Consent, at record.Instant) (consent.Assurance, bool) {
	for _, c := range consents {
		if c.ID == d.Consent {
			return c.Assurance, c.Status == consent.Active && c.Period.Contains(at)
		}
	}
	return consent.Attested, false
}

// Sort puts delegates in the order that a directive has them in.
func Sort(delegates []Delegate) {
	slices.SortFunc(delegates, func(a, b Delegate) int { return strings.Compare(a.Key.ID(), b.Key.ID()) })
}
