package access

import (
	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Release is the custodian's word that the keys for a permit go to its requester. It is
// committed before they go.
type Release struct {
	Permit   string         `json:"permit"`   // id of the request
	Manifest string         `json:"manifest"` // 64 hex digits: salted digest of the off-chain manifest
	At       record.Instant `json:"at"`
}

// Release releases a permit, once, at the given instant. prior is the release already
// recorded, nil if none; the same manifest again answers with it. caller is the custodian
// that calls, consents are all of the relationship as they stand now. A break-glass permit
// doesn't rest on consents: it must stand (see Standing) by its review, nil if there is none.
//
// Refusals: not-custodian, exists, not-permitted (the decision was deny), expired,
// member-suspended, lapsed (either was suspended since the permit), consent-changed (the
// consents no longer give the same scope), review-rejected.
func (a Access) Release(manifest string, prior *Release, review *Review, custodian, requester registry.Member, consents []consent.Consent, at record.Instant) (Release, error) {
	if err := CheckManifest(manifest); err != nil {
		return Release{}, err
	}
	if custodian.MSP != a.Custodian {
		return Release{}, refusal.New(refusal.NotCustodian, custodian.MSP+" is not the custodian of this permit", "release by "+a.Custodian)
	}
	if err := bothActive(custodian, requester); err != nil {
		return Release{}, err
	}
	if a.Suspensions != suspensions(requester, custodian) {
		return Release{}, refusal.New(Lapsed, "the permit ended when one of the two members was suspended", "a new request, decided anew")
	}
	if prior != nil {
		if prior.Manifest == manifest {
			return *prior, nil
		}
		return Release{}, refusal.New(refusal.Exists, "the permit is used: it was released with another manifest", "the recorded release again, or a new request")
	}
	if !a.Permitted() {
		return Release{}, refusal.New(refusal.NotPermitted, "the decision on this request is deny", "a new request, once a consent permits it")
	}
	if at >= a.Expires {
		return Release{}, refusal.New(refusal.Expired, "the permit expired at "+a.Expires.String(), "a new request")
	}
	if a.BreakGlass() {
		if err := a.Standing(review, custodian, requester, at); err != nil {
			return Release{}, err
		}
		return Release{Permit: a.ID, Manifest: manifest, At: at}, nil
	}
	now := consent.Evaluate(consents, a.question(requester, custodian), at)
	if now.Outcome != consent.Permit || !now.Scope.Equal(a.Decision.Scope) {
		return Release{}, refusal.New(refusal.ConsentChanged, "the consents no longer give what this permit gave", "a new request, decided on the consents as they are")
	}
	return Release{Permit: a.ID, Manifest: manifest, At: at}, nil
}
