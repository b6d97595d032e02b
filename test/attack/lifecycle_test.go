package attack_test

import (
	"strings"
	"testing"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer/lifecycle"
	"google.golang.org/protobuf/proto"

	"yitong/test/consortium"
)

// A3: an insurer that wants another chaincode definition, under which it needs
// nobody's endorsement but its own.
func TestOneMemberCantTakeTheChaincodeOver(t *testing.T) {
	c := consortium.Shared(t)
	insurer := c.Member(t, consortium.Insurer)
	admin, err := insurer.Connect(insurer.Admin())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	own := admin.GetNetwork(c.Network().Topology().Channel).GetContract("_lifecycle")
	before := definition(t, own)
	policy := alone(t, consortium.InsurerMSP)
	next := before.GetSequence() + 1

	_, err = own.Submit("ApproveChaincodeDefinitionForMyOrg", client.WithEndorsingOrganizations(consortium.InsurerMSP),
		client.WithBytesArguments(message(t, &lifecycle.ApproveChaincodeDefinitionForMyOrgArgs{
			Name: consortium.Chaincode, Version: before.GetVersion(), Sequence: next,
			EndorsementPlugin: "escc", ValidationPlugin: "vscc", ValidationParameter: policy,
		})))
	if err != nil {
		t.Fatalf("a member may approve what it likes: %v", err)
	}
	definitive := message(t, &lifecycle.CommitChaincodeDefinitionArgs{
		Name: consortium.Chaincode, Version: before.GetVersion(), Sequence: next,
		EndorsementPlugin: "escc", ValidationPlugin: "vscc", ValidationParameter: policy,
	})
	propose := func(t *testing.T, endorsers ...string) (*client.Transaction, error) {
		t.Helper()
		p, err := own.NewProposal("CommitChaincodeDefinition", client.WithBytesArguments(definitive), client.WithEndorsingOrganizations(endorsers...))
		if err != nil {
			t.Fatal(err)
		}
		return p.Endorse()
	}
	t.Run("endorsed by itself it is invalid", func(t *testing.T) {
		tx, err := propose(t, consortium.InsurerMSP)
		if err != nil {
			t.Fatal(err)
		}
		sent, err := tx.Submit()
		if err != nil {
			t.Fatal(err)
		}
		status, err := sent.Status()
		if err != nil {
			t.Fatal(err)
		}
		if status.Code != peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE {
			t.Errorf("the commit is %s", status.Code)
		}
	})
	t.Run("the others, who didn't approve it, endorse nothing", func(t *testing.T) {
		if _, err := propose(t, consortium.InsurerMSP, consortium.RegulatorMSP, consortium.HospitalBMSP); err == nil {
			t.Error("they endorsed it")
		}
	})
	if after := definition(t, own); after.GetSequence() != before.GetSequence() || string(after.GetValidationParameter()) != string(before.GetValidationParameter()) {
		t.Errorf("the definition is now sequence %d", after.GetSequence())
	}
	t.Run("control: what a majority approved is committed", func(t *testing.T) {
		loosen(t, c) // by all members, in the same way
		raw, err := own.Evaluate("QueryChaincodeDefinition", client.WithBytesArguments(message(t, &lifecycle.QueryChaincodeDefinitionArgs{Name: loose})))
		if err != nil || !strings.Contains(string(raw), "vscc") {
			t.Errorf("the definition of %s: %v", loose, err)
		}
	})
}

func definition(t *testing.T, own *client.Contract) *lifecycle.QueryChaincodeDefinitionResult {
	t.Helper()
	raw, err := own.Evaluate("QueryChaincodeDefinition", client.WithBytesArguments(message(t, &lifecycle.QueryChaincodeDefinitionArgs{Name: consortium.Chaincode})))
	if err != nil {
		t.Fatal(err)
	}
	d := new(lifecycle.QueryChaincodeDefinitionResult)
	if err := proto.Unmarshal(raw, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// alone is an endorsement policy of one member.
func alone(t *testing.T, mspID string) []byte {
	t.Helper()
	return message(t, &peer.ApplicationPolicy{Type: &peer.ApplicationPolicy_SignaturePolicy{SignaturePolicy: &common.SignaturePolicyEnvelope{
		Rule: &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: 0}},
		Identities: []*msp.MSPPrincipal{{
			PrincipalClassification: msp.MSPPrincipal_ROLE, Principal: message(t, &msp.MSPRole{MspIdentifier: mspID, Role: msp.MSPRole_PEER}),
		}},
	}}})
}

func message(t *testing.T, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
