// Package attack_test tries what members that don't play by the rules could try,
// on a real consortium, by the numbers of the attack catalogue in the project's
// design: each attack beside a control in which the same thing passes, because
// what should stop it is taken away.
package attack_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/ledger"
	"yitong/test/consortium"
	"yitong/test/liar"
	"yitong/test/patient"
)

func TestMain(m *testing.M) { consortium.Main(m) }

// everyone and the three members other than the custodian, by name.
var (
	everyone = []string{consortium.HospitalA, consortium.HospitalB, consortium.Insurer, consortium.Regulator}
	others   = everyone[1:]
)

// withoutCustodian are the MSP ids of others.
var withoutCustodian = []string{consortium.HospitalBMSP, consortium.InsurerMSP, consortium.RegulatorMSP}

const (
	valid         = peer.TxValidationCode_VALID
	policyFailure = peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE
	conflict      = peer.TxValidationCode_MVCC_READ_CONFLICT
)

// commit has a transaction endorsed by these members alone, ordered, and looks
// into the block for what became of it.
func commit(t *testing.T, l *ledger.Ledger, function string, in any, endorsers []string, want peer.TxValidationCode) ledger.Transaction {
	t.Helper()
	height, err := l.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range endorsers {
		reached(t, member, height-1)
	}
	prepared, err := l.Prepare(t.Context(), function, in, ledger.EndorsedBy(endorsers...))
	if err != nil {
		t.Fatalf("%s endorsed by %v: %v", function, endorsers, err)
	}
	return submit(t, l, prepared, want)
}

// reached waits until a member's own peer has a block: peers commit each in its own
// time, and one that is behind refuses for another reason than a test is about.
func reached(t *testing.T, member string, block uint64) {
	t.Helper()
	for _, err := range consortium.Shared(t).Ledger(t, member, consortium.Chaincode).Blocks(t.Context(), block) {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
}

func submit(t *testing.T, l *ledger.Ledger, prepared *ledger.Prepared, want peer.TxValidationCode) ledger.Transaction {
	t.Helper()
	_, err := prepared.Submit(t.Context())
	var invalid *ledger.Invalid
	if err != nil && !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	tx, err := l.Transaction(t.Context(), prepared.TxID())
	if err != nil {
		t.Fatal(err)
	}
	if tx.Code != want {
		t.Errorf("%s endorsed by %v is %s in block %d, want %s", tx.Function, tx.Endorsers, tx.Code, tx.Block, want)
	}
	return tx
}

// loose is the name of a second definition of the same chaincode, under which any
// one member's endorsement will do and no key has a policy of its own.
const loose = "loose"

var loosened bool

// loosen deploys it and founds its registry, once for all tests. Until the test
// ends no key gets a policy there.
func loosen(t *testing.T, c *consortium.Consortium) {
	t.Helper()
	if !loosened {
		c.Deploy(t, loose, "any")
	}
	c.Order(t, loose, liar.Orders{NoPolicies: true}, everyone...)
	if loosened {
		return
	}
	var founding contract.Founding
	for _, name := range everyone {
		raw, err := os.ReadFile(filepath.Join(c.Member(t, name).Dir(), "gateway", "candidate.json"))
		if err != nil {
			t.Fatal(err)
		}
		var one registry.Candidate
		if err := json.Unmarshal(raw, &one); err != nil {
			t.Fatal(err)
		}
		founding.Members = append(founding.Members, one)
	}
	if _, err := c.Ledger(t, consortium.Regulator, loose).Submit(t.Context(), contract.RegistryFound, founding, nil); err != nil {
		t.Fatal(err)
	}
	loosened = true
}

// handle is a patient's between hospital-a and the insurer, which both have derived.
func handle(t *testing.T, c *consortium.Consortium, p patient.Patient) string {
	t.Helper()
	_, err := c.Client(t, consortium.HospitalA).Consents.List(t.Context(), &yitongv1.ListConsentsRequest{Patient: p.ID, Requester: consortium.Insurer})
	if err != nil {
		t.Fatal(err)
	}
	return c.Ask(t, p, "laboratory").GetHandle()
}

// demand is the insurer's request as it goes to the chaincode.
func demand(handle string) access.Request {
	return access.Request{
		ID: client.NewID(), Custodian: consortium.HospitalAMSP, Handle: handle,
		Purpose: consent.CLMATTCH, Action: consent.Access, Classes: record.ClassesOf(record.Laboratory),
	}
}

func wantRefusal(t *testing.T, err error, codes ...refusal.Code) {
	t.Helper()
	var r *refusal.Refusal
	if !errors.As(err, &r) || !slices.Contains(codes, r.Code) {
		t.Errorf("got %v, want a refusal with code %v", err, codes)
	}
}
