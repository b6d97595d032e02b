package share

import (
	"context"
	"encoding/hex"
	"fmt"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/refusal"
	"yitong/gateway/ledger"
)

// attested refuses (not-permitted) a permit that rests on a consent whose signed
// form isn't here, or that says something else than the patient signed here. The
// consents of a relationship can't be changed without this custodian's endorsement,
// but the first write of a key answers to the chaincode's policy alone: a majority of
// members whose chaincode lies could begin a relationship with a consent of their own
// making. On such a one no key goes.
func (g *Gateway) attested(ctx context.Context, permit access.Access) error {
	of, _, err := load[whose](g.Keys, bucketWhose, permit.Handle)
	if err != nil {
		return err
	}
	var signed []consent.Basis
	for _, b := range permit.Decision.Basis {
		form, err := g.formOf(b, of, permit.Requester)
		switch {
		case err != nil:
			return err
		case form == nil:
			return refusal.New(refusal.NotPermitted, "the permit rests on consent "+b.ID+", which this custodian didn't put on the ledger",
				"a permit by consents whose signed forms the custodian keeps")
		case form.Signed != nil:
			signed = append(signed, b)
		}
	}
	return g.asSigned(ctx, permit, of, signed)
}

// formOf is what this custodian keeps for a consent of a patient's; nil if nothing.
func (g *Gateway) formOf(b consent.Basis, of whose, requester string) (*evidence, error) {
	for _, version := range []int{b.Version, b.Version - 1} { // a withdrawal makes a version without a form
		form, ok, err := load[evidence](g.Keys, bucketConsents, evidenceName(b.ID, version))
		if err != nil {
			return nil, err
		}
		if ok && form.Patient == of.Patient && form.Requester == requester {
			return &form, nil
		}
	}
	return nil, nil
}

// asSigned holds the consents on the own peer, as they are by now, against the directives
// that were signed here. The ledger names a directive by its digest, and the digest by what it says.
func (g *Gateway) asSigned(ctx context.Context, permit access.Access, of whose, signed []consent.Basis) error {
	if len(signed) == 0 {
		return nil
	}
	var out contract.ConsentSet
	in := contract.Relationship{Custodian: permit.Custodian, Requester: permit.Requester}
	var err error
	if in.Handle, err = g.standsUnder(ctx, relation{in.Custodian, in.Requester}, permit.Handle); err != nil {
		return err
	}
	if err := g.Ledger.Evaluate(ctx, contract.ConsentConsents, in, &out, ledger.OwnPeerOnly()); err != nil {
		return fmt.Errorf("reading the consents: %w", err)
	}
	for _, b := range signed {
		for _, c := range out.Consents { // it may have been amended since the permit
			if c.ID == b.ID {
				b.Version = c.Version
			}
		}
		form, err := g.formOf(b, of, permit.Requester)
		switch {
		case err != nil:
			return err
		case form == nil:
			return notAsSigned(b.ID)
		case form.Signed == nil: // amended at the desk
			continue
		}
		if err := sameAsSigned(*form.Signed, out.Consents); err != nil {
			return err
		}
	}
	return nil
}

func sameAsSigned(signed directive.Signed, consents []consent.Consent) error {
	d, err := directive.Parse([]byte(signed.Document))
	if err != nil {
		return fmt.Errorf("reading the directive kept: %w", err)
	}
	digest := directive.Digest([]byte(signed.Document))
	for _, c := range consents {
		if c.ID != d.Consent {
			continue
		}
		want := d.Consented(signed.Key.ID(), c.Assurance)
		want.Version, want.Status, want.At, want.Evidence = c.Version, c.Status, c.At, hex.EncodeToString(digest[:])
		if c.Assurance <= signed.Key.Assurance() && c.Equal(want) {
			return nil
		}
	}
	return notAsSigned(d.Consent)
}

func notAsSigned(id string) error {
	return refusal.New(refusal.NotPermitted, "consent "+id+" on the ledger isn't what the patient signed here",
		"a permit by consents as they were signed; have the regulator replay the ledger (`yitong audit replay`)")
}
