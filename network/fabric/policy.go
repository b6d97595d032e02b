package fabric

import (
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"yitong/network/topology"
)

// principal is everyone of a member who has a role.
func principal(mspID string, role msp.MSPRole_MSPRoleType) *msp.MSPPrincipal {
	// Two scalar fields: marshalling them can't fail.
	raw, _ := proto.MarshalOptions{Deterministic: true}.Marshal(&msp.MSPRole{MspIdentifier: mspID, Role: role})
	return &msp.MSPPrincipal{PrincipalClassification: msp.MSPPrincipal_ROLE, Principal: raw}
}

// outOf asks for the signatures of so many of the principals.
func outOf(need int, who ...*msp.MSPPrincipal) *common.SignaturePolicyEnvelope {
	rules := make([]*common.SignaturePolicy, len(who))
	for i := range who {
		rules[i] = signedBy(i)
	}
	return &common.SignaturePolicyEnvelope{Rule: nOutOf(need, rules), Identities: who}
}

func signedBy(identity int) *common.SignaturePolicy {
	return &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: int32(identity)}}
}

func nOutOf(n int, rules []*common.SignaturePolicy) *common.SignaturePolicy {
	return &common.SignaturePolicy{Type: &common.SignaturePolicy_NOutOf_{
		NOutOf: &common.SignaturePolicy_NOutOf{N: int32(n), Rules: rules},
	}}
}

// signaturePolicy writes an endorsement policy in Fabric's terms, each member
// named once.
func signaturePolicy(p topology.Policy) *common.SignaturePolicyEnvelope {
	e := &common.SignaturePolicyEnvelope{}
	index := map[string]int{}
	var rule func(topology.Policy) *common.SignaturePolicy
	rule = func(p topology.Policy) *common.SignaturePolicy {
		if p.MSP != "" {
			i, known := index[p.MSP]
			if !known {
				i = len(e.Identities)
				index[p.MSP] = i
				e.Identities = append(e.Identities, principal(p.MSP, msp.MSPRole_PEER))
			}
			return signedBy(i)
		}
		rules := make([]*common.SignaturePolicy, len(p.Rules))
		for i, r := range p.Rules {
			rules[i] = rule(r)
		}
		return nOutOf(p.Need, rules)
	}
	e.Rule = rule(p)
	return e
}
