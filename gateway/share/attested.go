package share

import (
	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
)

// attested refuses (not-permitted) a permit that rests on a consent whose signed
// form isn't here. The consents of a relationship can't be changed without this
// custodian's endorsement, but the first write of a key answers to the chaincode's
// policy alone: a majority of members whose chaincode lies could begin a
// relationship with a consent of their own making. On such a one no key goes.
func (g *Gateway) attested(permit access.Access) error {
	of, _, err := load[whose](g.Keys, bucketHandles, permit.Handle)
	if err != nil {
		return err
	}
	for _, b := range permit.Decision.Basis {
		known := false
		for _, version := range []int{b.Version, b.Version - 1} { // a withdrawal makes a version without a form
			form, ok, err := load[evidence](g.Keys, bucketConsents, evidenceName(b.ID, version))
			if err != nil {
				return err
			}
			known = known || ok && form.Patient == of.Patient && form.Requester == permit.Requester
		}
		if !known {
			return refusal.New(refusal.NotPermitted, "the permit rests on consent "+b.ID+", which this custodian didn't put on the ledger",
				"a permit by consents whose signed forms the custodian keeps")
		}
	}
	return nil
}
