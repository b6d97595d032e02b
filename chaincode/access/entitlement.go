package access

import (
	"yitong/chaincode/consent"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// The codes of this package's own refusals.
const (
	PurposeNotAllowed refusal.Code = "purpose-not-allowed" // the purpose is foreign to the requester's kind
	Lapsed            refusal.Code = "lapsed"              // a suspension since ended the permit
	NotReleased       refusal.Code = "not-released"        // there is no release to receive
	ManifestMismatch  refusal.Code = "manifest-mismatch"   // receipt and release name different manifests
	RoleNotAllowed    refusal.Code = "role-not-allowed"    // who signs isn't of the role that may do this
	EmergencyBlocked  refusal.Code = "emergency-blocked"   // earlier break-glass is overdue for review or was rejected
	ReviewRejected    refusal.Code = "review-rejected"     // the break-glass was found to be none
)

// MayAsk refuses a pair of members between which there is no access: of anyone but a
// hospital, by a regulator, by a stranger (requester is nil), or by the custodian itself.
// Codes not-found, kind-not-allowed.
func MayAsk(requester *registry.Member, custodian registry.Member) error {
	switch {
	case requester == nil:
		return refusal.New(refusal.NotFound, "the requester is not a member", "the MSP id of a member")
	case custodian.Kind != registry.Hospital:
		return refusal.New(refusal.KindNotAllowed, custodian.MSP+" holds no records", "access to a hospital's records")
	case requester.MSP == custodian.MSP:
		return refusal.New(refusal.KindNotAllowed, "a custodian doesn't ask itself", "access to another hospital's records")
	case requester.Kind != registry.Hospital && requester.Kind != registry.Insurer:
		return refusal.New(refusal.KindNotAllowed, "a "+string(requester.Kind)+" doesn't request access", "requests by hospitals and insurers")
	}
	return nil
}

// checkPurpose refuses (purpose-not-allowed) a purpose foreign to the requester's kind,
// whatever the consents say.
func checkPurpose(p consent.Purpose, requester registry.Member) error {
	family := consent.TREAT
	if requester.Kind == registry.Insurer {
		family = consent.HPAYMT
	}
	if p.Under(family) {
		return nil
	}
	return refusal.New(PurposeNotAllowed, "that is not a purpose of a "+string(requester.Kind), family.String()+" or a purpose under it")
}

func bothActive(members ...registry.Member) error {
	for _, m := range members {
		if !m.Active() {
			return refusal.New(refusal.MemberSuspended, m.MSP+" is suspended", "reinstatement by a majority of the active members")
		}
	}
	return nil
}
