package attack_test

import (
	"os"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	"yitong/gateway/ledger"
	"yitong/test/consortium"
	"yitong/test/liar"
)

// clinicians is the identity of a hospital's clinicians as its peers see it.
func clinicians(t *testing.T, c *consortium.Consortium, hospital string) []byte {
	t.Helper()
	m := c.Member(t, hospital)
	id, err := m.Identity("clinicians")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := os.ReadFile(id.Cert)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(&msp.SerializedIdentity{Mspid: m.MSP, IdBytes: cert})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A hospital whose gateway and chaincode are altered breaks the glass without a clinician:
// its software signs, and its own chaincode is told that a clinician did.
func TestAHospitalThatLiesAboutItsClinicianBreaksNoGlass(t *testing.T) {
	c := consortium.Shared(t)
	doctor := clinicians(t, c, consortium.HospitalB)
	in := access.Request{
		ID: client.NewID(), Custodian: consortium.HospitalAMSP, Handle: "1-" + strings.Repeat("ab", 32), Purpose: consent.ETREAT, Action: consent.Access,
		Classes: record.ClassesOf(record.Laboratory), Actor: access.Actor{User: strings.Repeat("0f", 32), Role: access.Clinician}, Emergency: access.Emergency{Reason: access.Unconscious},
	}
	software := c.Ledger(t, consortium.HospitalB, consortium.Chaincode) // signs with the gateway's certificate

	t.Run("its software asks honest members", func(t *testing.T) {
		_, err := software.Submit(t.Context(), contract.AccessRequest, in, nil)
		wantRefusal(t, err, access.RoleNotAllowed)
	})
	c.Order(t, consortium.Chaincode, liar.Orders{Creator: doctor}, consortium.HospitalB)
	t.Run("its own chaincode endorses, alone", func(t *testing.T) {
		commit(t, software, contract.AccessRequest, in, []string{consortium.HospitalBMSP}, policyFailure)
	})
	t.Run("an honest member doesn't join", func(t *testing.T) {
		if _, err := software.Prepare(t.Context(), contract.AccessRequest, in, ledger.EndorsedBy(consortium.HospitalBMSP, consortium.RegulatorMSP)); err == nil {
			t.Error("it endorsed what the liar did")
		}
	})
	t.Run("control: where any one member's endorsement does, the same is a permit", func(t *testing.T) {
		loosen(t, c)
		c.Order(t, loose, liar.Orders{Creator: doctor, NoPolicies: true}, consortium.HospitalB)
		commit(t, c.Ledger(t, consortium.HospitalB, loose), contract.AccessRequest, in, []string{consortium.HospitalBMSP}, valid)
		var got contract.AccessList
		q := contract.AccessQuery{Custodian: consortium.HospitalAMSP, Requester: consortium.HospitalBMSP, IDs: []string{in.ID}}
		if err := c.Ledger(t, consortium.HospitalA, loose).Evaluate(t.Context(), contract.AccessAccess, q, &got); err != nil {
			t.Fatal(err)
		}
		if a := got.Accesses[0].Access; a == nil || !a.Permitted() || !a.BreakGlass() {
			t.Errorf("the access is %+v", a)
		}
	})
}
