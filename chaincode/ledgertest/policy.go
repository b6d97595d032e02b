package ledgertest

import (
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
)

// satisfied reports whether one signature of a peer of each endorser meets a signature
// policy. As in common/cauthdsl, a signature counts once: what has met one principal is
// used up for the others.
func satisfied(policy []byte, endorsers []string) bool {
	var envelope common.SignaturePolicyEnvelope
	if proto.Unmarshal(policy, &envelope) != nil || envelope.Rule == nil {
		return false
	}
	endorsers = distinct(endorsers)
	return met(envelope.Rule, envelope.Identities, endorsers, make([]bool, len(endorsers)))
}

func met(rule *common.SignaturePolicy, principals []*msp.MSPPrincipal, endorsers []string, used []bool) bool {
	switch r := rule.Type.(type) {
	case *common.SignaturePolicy_SignedBy:
		if r.SignedBy < 0 || int(r.SignedBy) >= len(principals) {
			return false
		}
		for i, endorser := range endorsers {
			if !used[i] && is(endorser, principals[r.SignedBy]) {
				used[i] = true
				return true
			}
		}
	case *common.SignaturePolicy_NOutOf_:
		n := int32(0)
		for _, sub := range r.NOutOf.Rules {
			trial := slices.Clone(used)
			if met(sub, principals, endorsers, trial) {
				n++
				copy(used, trial)
			}
		}
		return n >= r.NOutOf.N
	}
	return false
}

// is reports whether a peer of the endorser is the principal.
func is(endorser string, principal *msp.MSPPrincipal) bool {
	var role msp.MSPRole
	if principal.PrincipalClassification != msp.MSPPrincipal_ROLE || proto.Unmarshal(principal.Principal, &role) != nil {
		return false
	}
	return role.MspIdentifier == endorser && (role.Role == msp.MSPRole_PEER || role.Role == msp.MSPRole_MEMBER)
}

func distinct(endorsers []string) []string {
	sorted := slices.Sorted(slices.Values(endorsers))
	return slices.Compact(sorted)
}
