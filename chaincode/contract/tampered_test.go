package contract_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/ledgertest"
)

// permissive is a chaincode tampered with: it writes the permit that a consent would have
// given, whatever the consents say.
type permissive struct {
	shim.Chaincode
	permit []byte
}

func (p permissive) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	function, _ := stub.GetFunctionAndParameters()
	if function != contract.AccessRequest {
		return p.Chaincode.Invoke(stub)
	}
	if err := stub.PutState("\x00access\x00"+hospitalA+"\x00"+insurer+"\x00"+permitID+"\x00", p.permit); err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success(p.permit)
}

const permitID = "0123456789abcdef0123456789abcdef"

func tampered(t *testing.T) *world {
	honest := newWorld(t)
	forged := honest.permitted(patient)
	forged.ID = permitID
	cc, err := contract.New(honest.clock)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.InstallAt(insurer, permissive{Chaincode: cc, permit: []byte(text(t, forged))})
	return w
}

func TestALoneTamperedChaincodeGetsNoPermitOntoTheLedger(t *testing.T) {
	w := tampered(t)
	r := w.requestFor(insurer, patient)
	r.ID = permitID
	_, err := w.Endorse(t.Context(), w.Client(insurer), w.Members(), contract.AccessRequest, text(t, r))
	var diverged *ledgertest.DivergedError
	if !errors.As(err, &diverged) {
		t.Fatalf("endorsed by the honest too: %v", err)
	}
	alone, err := w.Endorse(t.Context(), w.Client(insurer), []string{insurer}, contract.AccessRequest, text(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if a := into[access.Access](t, alone.Response); !a.Permitted() {
		t.Fatal("the tampered chaincode should have forged a permit")
	}
	if code := w.Commit(alone)[0]; code != peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE {
		t.Errorf("code %v", code)
	}
}

// The control: where one endorsement is enough, the same forgery passes, so the majority
// is what stops it.
func TestWhereOneEndorsementIsEnoughTheForgeryPasses(t *testing.T) {
	w := tampered(t)
	w.Require(1)
	r := w.requestFor(insurer, patient)
	r.ID = permitID
	alone, err := w.Endorse(t.Context(), w.Client(insurer), []string{insurer}, contract.AccessRequest, text(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if code := w.Commit(alone)[0]; code != valid {
		t.Errorf("code %v", code)
	}
}

// Whatever chaincode the others run, a key that is countersigned stays as it is without
// the custodian; the control keys, which a majority answers for, don't.
func TestCountersignedKeysHoldAgainstAMajorityOfTamperedChaincodes(t *testing.T) {
	w := newWorld(t)
	g, d := w.grantFor(insurer, patient), w.draft()
	w.must(hospitalA, contract.ConsentGrant, g)
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{d}})
	w.must(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: g.ID, Requester: insurer, Handle: patient, Reason: "patient"})
	for _, msp := range []string{hospitalB, insurer, regulator} {
		w.InstallAt(msp, ledgertest.Probe{})
	}
	relationship := []string{hospitalA, insurer, patient}
	for _, test := range []struct {
		kind       string
		attributes []string
		want       peer.TxValidationCode
	}{
		{"directives", relationship, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
		{"consent", append(slices.Clone(relationship), g.ID, "1"), peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
		{"consent", append(slices.Clone(relationship), g.ID, "2"), peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
		{"record", []string{hospitalA, d.ID}, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
		{"custodian", []string{hospitalA}, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
		{"withdrawn", relationship, valid},
		{"member", []string{insurer}, valid},
	} {
		tx, err := w.Endorse(t.Context(), w.Client(insurer), []string{hospitalB, insurer, regulator}, "run",
			ledgertest.Script(ledgertest.Step{Do: "put-composite", Key: test.kind, Names: test.attributes, Value: "forged"}))
		if err != nil {
			t.Fatal(err)
		}
		if code := w.Commit(tx)[0]; code != test.want {
			t.Errorf("%s: %v, want %v", test.kind, code, test.want)
		}
	}
}
