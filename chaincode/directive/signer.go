package directive

import (
	"fmt"
	"slices"
	"strings"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Signer is who speaks for the patient in one relationship.
type Signer struct {
	Key     Key            `json:"key"`
	Version int            `json:"version"` // of the binding, from 1
	Since   record.Instant `json:"since"`

	// Recovered is set while a recovery is all that the key rests on: what it signs is attested.
	Recovered bool `json:"recovered,omitzero"`
	// Prior is the key before the recovery. It may still withdraw, and rebind.
	Prior *Key `json:"prior,omitempty"`

	Delegations []Delegation `json:"delegations,omitempty"` // by consent
}

// Standing is what a directive meets on the ledger.
type Standing struct {
	Signer   *Signer           // nil if no key is bound yet
	Consents []consent.Consent // of the relationship, as they stand
}

// Verdict is what a directive comes to.
type Verdict struct {
	Assurance consent.Assurance // of what it says
	Delegate  bool              // a delegate signed it
	Signer    Signer            // after it
	Changed   bool              // whether the signer is another than before
}

// Admit decides whether a key may sign a directive at an instant. The signature is verified, the
// directive valid and checked, and the version of its consent known to be the next.
//
// Refusals: no-signer, not-signer, beyond-delegation, signed-too-early, signature-required,
// version-conflict, too-large.
func (s Standing) Admit(d Directive, key Key, at record.Instant) (Verdict, error) {
	if err := s.follows(d); err != nil {
		return Verdict{}, err
	}
	if s.Signer == nil {
		return s.bind(d, key, at)
	}
	v, err := s.authorise(d, key, at)
	if err != nil {
		return v, err
	}
	if d.Act == Rebind {
		return v.rebound(d, key, at)
	}
	if d.Act == Amend && v.Assurance == consent.Attested && s.present(d.Consent).Assurance > consent.Attested {
		return Verdict{}, refusal.New(SignatureRequired, "the key rests on a recovery, and can't amend what another signed", "withdrawing it and granting anew, or a rebind by the key before")
	}
	return v.delegating(d), nil
}

// follows refuses (signed-too-early) a directive that was signed before the version that it follows
// was on the ledger, the skew of clocks aside. Nobody can have meant to alter what wasn't there yet.
// A withdrawal may be as old as it likes: it only ever takes away.
func (s Standing) follows(d Directive) error {
	var since record.Instant
	switch d.Act {
	case Amend:
		since = s.present(d.Consent).At
	case Rebind:
		if s.Signer == nil {
			break
		}
		since = s.Signer.Since
		if d.Version != s.Signer.Version+1 {
			return refusal.New(refusal.VersionConflict, fmt.Sprintf("the present binding is version %d", s.Signer.Version), fmt.Sprintf("version %d", s.Signer.Version+1))
		}
	}
	if d.Signed < since-registry.MaxSkew {
		return refusal.New(SignedTooEarly, "the directive was signed before what it follows", "one signed after "+since.String())
	}
	return nil
}

func (s Standing) present(id string) consent.Consent {
	for _, c := range s.Consents {
		if c.ID == id {
			return c
		}
	}
	return consent.Consent{}
}

// bind makes the first key that signs a grant or an amendment the patient's.
func (s Standing) bind(d Directive, key Key, at record.Instant) (Verdict, error) {
	if d.Act != Grant && d.Act != Amend {
		return Verdict{}, refusal.New(NoSigner, "no key speaks for the patient in this relationship", "a withdrawal by the custodian; a key is bound by the first signed grant")
	}
	v := Verdict{Assurance: key.Assurance(), Signer: Signer{Key: key, Version: 1, Since: at}, Changed: true}
	return v.delegating(d), nil
}

// authorise says in whose name the key signs.
func (s Standing) authorise(d Directive, key Key, at record.Instant) (Verdict, error) {
	v := Verdict{Assurance: key.Assurance(), Signer: *s.Signer}
	switch {
	case key.Equal(s.Signer.Key):
		if s.Signer.Recovered {
			v.Assurance = consent.Attested
		}
		return v, nil
	case s.Signer.Prior != nil && key.Equal(*s.Signer.Prior) && (d.Act == Withdraw || d.Act == Rebind):
		return v, nil
	}
	v.Delegate = true
	refused := refusal.New(NotSigner, "another key speaks for the patient here", "the key bound to this relationship, or a delegate's in its period")
	var beyond error
	for _, named := range s.Signer.Delegations {
		sure, stands := named.standing(s.Consents, at)
		if !stands {
			continue
		}
		for _, g := range named.Delegates {
			if !g.Key.Equal(key) || !g.may(d.Act) || !g.Period.Contains(at) {
				continue
			}
			if beyond = g.allows(d, named.Consent, s.Signer.delegates(d.Consent)); beyond == nil {
				v.Assurance = min(v.Assurance, sure)
				return v, nil
			}
		}
	}
	if beyond != nil {
		return Verdict{}, beyond
	}
	return Verdict{}, refused
}

// delegates are those that a consent names.
func (s *Signer) delegates(id string) []Delegate {
	if i, ok := s.find(id); ok {
		return s.Delegations[i].Delegates
	}
	return nil
}

func (s *Signer) find(id string) (int, bool) {
	return slices.BinarySearchFunc(s.Delegations, id, func(d Delegation, id string) int { return strings.Compare(d.Consent, id) })
}

// delegating notes whom a grant or an amendment names.
func (v Verdict) delegating(d Directive) Verdict {
	if d.Act != Grant && d.Act != Amend || len(difference(d.Delegates, v.Signer.delegates(d.Consent))) == 0 {
		return v
	}
	v.Changed = true
	v.Signer.Delegations = slices.Clone(v.Signer.Delegations)
	i, ok := v.Signer.find(d.Consent)
	if ok {
		v.Signer.Delegations = slices.Delete(v.Signer.Delegations, i, i+1)
	}
	if len(d.Delegates) > 0 {
		v.Signer.Delegations = slices.Insert(v.Signer.Delegations, i, Delegation{Consent: d.Consent, Delegates: d.Delegates})
	}
	return v
}

// rebound puts another key in the place of the one that signed.
func (v Verdict) rebound(d Directive, key Key, at record.Instant) (Verdict, error) {
	if v.Delegate {
		return Verdict{}, refusal.New(NotSigner, "a delegate can't say which key is the patient's", "a rebind by the key bound to this relationship")
	}
	if prior := v.Signer.Prior; prior != nil && key.Equal(*prior) {
		v.Signer.Recovered, v.Signer.Prior = false, nil // the patient is back
	}
	if v.Signer.Recovered && d.Version >= MaxVersion {
		return Verdict{}, refusal.New(refusal.TooLarge, "the key was replaced too often", fmt.Sprintf("%d keys; a rebind by the key before the recoveries", MaxVersion-1))
	}
	v.Signer.Key, v.Signer.Version, v.Signer.Since = *d.Key, d.Version, at
	v.Changed = true
	return v, nil
}

// Recover puts a key in the place of a lost one, on the custodian's word. The same key again, while
// it rests on a recovery, changes nothing.
//
// Refusals: malformed, too-large.
func (s Signer) Recover(key Key, at record.Instant) (after Signer, changed bool, err error) {
	if err := key.Check(); err != nil {
		return s, false, err
	}
	if key.Equal(s.Key) {
		return s, false, nil
	}
	if s.Version >= MaxVersion-1 { // the last is for the patient to come back by
		return s, false, refusal.New(refusal.TooLarge, "the key was replaced too often", fmt.Sprintf("%d keys; a rebind by the key before the recoveries", MaxVersion-1))
	}
	if !s.Recovered {
		lost := s.Key
		s.Prior = &lost
	}
	s.Key, s.Version, s.Since, s.Recovered = key, s.Version+1, at, true
	return s, true, nil
}

// Attestable refuses (signature-required) that a custodian attests the next version of a consent
// that was signed, or whose withdrawal was: withdrawer is the id of the key that signed it.
func Attestable(present consent.Consent, withdrawer string) error {
	if present.Signer == "" && withdrawer == "" {
		return nil
	}
	return refusal.New(SignatureRequired, "consent "+present.ID+" is the patient's own word, and an attestation can't alter it",
		"an amendment that the patient signs, or a withdrawal")
}
