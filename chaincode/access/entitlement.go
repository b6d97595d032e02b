package access

import (
	"yitong/chaincode/consent"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// The codes of this package's own refusals.
const (
	PurposeNotAllowed refusal.Code = "purpose-not-allowed" // the purpose is foreign to the requester's kind
	NotReleased       refusal.Code = "not-released"        // there is no release to receive
	ManifestMismatch  refusal.Code = "manifest-mismatch"   // receipt and release name different manifests
)

// mayAsk refuses a request that the requester's kind rules out whatever the consents say.
func mayAsk(r Request, requester, custodian registry.Member) error {
	if custodian.MSP != r.Custodian || custodian.Kind != registry.Hospital {
		return refusal.New(refusal.KindNotAllowed, r.Custodian+" holds no records", "a request to a hospital")
	}
	if requester.MSP == custodian.MSP {
		return refusal.New(refusal.KindNotAllowed, "a custodian doesn't ask itself", "a request to another hospital")
	}
	var family consent.Purpose
	switch requester.Kind {
	case registry.Insurer:
		family = consent.HPAYMT
	case registry.Hospital:
		family = consent.TREAT
	default:
		return refusal.New(refusal.KindNotAllowed, "a "+string(requester.Kind)+" doesn't request access", "requests by hospitals and insurers")
	}
	if !r.Purpose.Under(family) {
		return refusal.New(PurposeNotAllowed, "that is not a purpose of a "+string(requester.Kind), family.String()+" or a purpose under it")
	}
	return nil
}

func bothActive(members ...registry.Member) error {
	for _, m := range members {
		if !m.Active() {
			return refusal.New(refusal.MemberSuspended, m.MSP+" is suspended", "reinstatement by a majority of the active members")
		}
	}
	return nil
}
