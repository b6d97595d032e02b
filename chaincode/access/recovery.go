package access

import (
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Recovery is a regulator's word that what a break-glass permit covers goes to its
// requester out of escrow, the custodian being out of reach. It is committed before
// anything goes, and no holder gives its share without it.
type Recovery struct {
	Permit    string         `json:"permit"`    // id of the request
	Manifest  string         `json:"manifest"`  // 64 hex digits: salted digest of the off-chain manifest
	Regulator string         `json:"regulator"` // MSP id
	At        record.Instant `json:"at"`
}

// Recover recovers what a break-glass permit covers, once. prior, receipt and review are
// what is recorded of each, nil if nothing; the same manifest by the same regulator again
// answers with prior. caller is the regulator that calls.
//
// Refusals: malformed, kind-not-allowed, member-suspended, exists, not-permitted (not a
// break-glass permit), expired, review-rejected.
func (a Access) Recover(manifest string, prior *Recovery, receipt *Receipt, review *Review, caller, custodian, requester registry.Member, at record.Instant) (Recovery, error) {
	if err := CheckManifest(manifest); err != nil {
		return Recovery{}, err
	}
	if caller.Kind != registry.Regulator || caller.MSP == a.Requester {
		return Recovery{}, refusal.New(refusal.KindNotAllowed, caller.MSP+" may not recover what is in escrow", "a regulator that didn't ask for it")
	}
	if err := bothActive(caller, requester); err != nil {
		return Recovery{}, err
	}
	if prior != nil {
		if prior.Manifest == manifest && prior.Regulator == caller.MSP {
			return *prior, nil
		}
		return Recovery{}, refusal.New(refusal.Exists, "the permit is recovered: "+prior.Regulator+" recorded another manifest", "the recorded recovery again, or a new request")
	}
	if !a.Permitted() || !a.BreakGlass() {
		return Recovery{}, refusal.New(refusal.NotPermitted, "what is in escrow is opened under break-glass permits only", "a break-glass request by a hospital's clinician")
	}
	if receipt != nil {
		return Recovery{}, refusal.New(refusal.Exists, "the permit is used: what it covers was opened", "a new break-glass request")
	}
	if err := a.Standing(review, custodian, requester, at); err != nil {
		return Recovery{}, err
	}
	return Recovery{Permit: a.ID, Manifest: manifest, Regulator: caller.MSP, At: at}, nil
}

// Release is what a receipt answers to in the place of a custodian's release; nil of nil.
func (r *Recovery) Release() *Release {
	if r == nil {
		return nil
	}
	return &Release{Permit: r.Permit, Manifest: r.Manifest, At: r.At}
}
