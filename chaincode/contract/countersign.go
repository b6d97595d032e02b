package contract

import (
	"fmt"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/registry"
)

// countersigned marks an invocation as one that needs the custodian's endorsement: the
// key written has carried countersign(custodian) since the custodian was admitted. Its
// value says nothing and nobody reads it, so these writes never conflict.
func (c *call) countersigned() { c.put(custodianKey(c.msp), true) }

// countersign is the key-level policy "custodian AND majority-1 of the others". It
// replaces the chaincode's for its key, hence the majority within it.
func countersign(roster registry.Roster, custodian string) ([]byte, error) {
	others := roster.Others(custodian)
	principals := make([]*msp.MSPPrincipal, 0, len(others)+1)
	for _, id := range append([]string{custodian}, others...) {
		role, err := proto.Marshal(&msp.MSPRole{MspIdentifier: id, Role: msp.MSPRole_PEER})
		if err != nil {
			return nil, fmt.Errorf("make endorsement policy: %w", err)
		}
		principals = append(principals, &msp.MSPPrincipal{PrincipalClassification: msp.MSPPrincipal_ROLE, Principal: role})
	}
	rule := signedBy(0)
	if needed := roster.Majority() - 1; needed > 0 {
		signatures := make([]*common.SignaturePolicy, len(others))
		for i := range others {
			signatures[i] = signedBy(i + 1)
		}
		rule = outOf(2, rule, outOf(needed, signatures...))
	}
	policy, err := proto.MarshalOptions{Deterministic: true}.Marshal(&common.SignaturePolicyEnvelope{Rule: rule, Identities: principals})
	if err != nil {
		return nil, fmt.Errorf("make endorsement policy: %w", err)
	}
	return policy, nil
}

func signedBy(principal int) *common.SignaturePolicy {
	return &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: int32(principal)}}
}

func outOf(n int, rules ...*common.SignaturePolicy) *common.SignaturePolicy {
	return &common.SignaturePolicy{Type: &common.SignaturePolicy_NOutOf_{
		NOutOf: &common.SignaturePolicy_NOutOf{N: int32(n), Rules: rules},
	}}
}
