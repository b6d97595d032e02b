package ledgertest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"pgregory.net/rapid"

	"yitong/chaincode/ledgertest"
)

func TestFabricSemantics(t *testing.T) {
	ledgertest.RunCases(t, ledgertest.New(t, "A", "B", "C", "D").Network(), "")
}

func TestEndorsersThatDifferAreNotCommitted(t *testing.T) {
	l := ledgertest.New(t, "A", "B")
	l.Install(ledgertest.Probe{})
	l.InstallAt("B", liar{})
	_, err := l.Endorse(t.Context(), l.Client("A"), l.Members(), "run", ledgertest.Script(ledgertest.Step{Do: "put", Key: "k", Value: "1"}))
	var diverged *ledgertest.DivergedError
	if !errors.As(err, &diverged) {
		t.Fatalf("error %v, want a DivergedError", err)
	}
}

// liar writes something else than it was asked to.
type liar struct{ ledgertest.Probe }

func (liar) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	if err := stub.PutState("k", []byte("lie")); err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success([]byte(`[""]`))
}

func TestUnsupportedCallsPanic(t *testing.T) {
	l := ledgertest.New(t, "A")
	l.Install(private{})
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "not supported") {
			t.Errorf("recovered %v", r)
		}
	}()
	_, _ = l.Invoke(t.Context(), l.Client("A"), "run")
}

type private struct{ ledgertest.Probe }

func (private) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	_, _ = stub.GetPrivateData("c", "k")
	return shim.Success(nil)
}

// Blocks of random transactions leave what one transaction after the other would leave,
// if each that read something stale is left out.
func TestCommitEqualsSerialExecution(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := ledgertest.New(t, "A")
		l.Install(ledgertest.Probe{})
		model, writer := map[string]string{}, map[string]int{}
		serial := 0
		for range rapid.IntRange(1, 5).Draw(r, "blocks") {
			type planned struct {
				tx           *ledgertest.Tx
				reads, write string
				seen         int
			}
			var block []planned
			for range rapid.IntRange(1, 6).Draw(r, "transactions") {
				p := planned{
					reads: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "reads"),
					write: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "writes"),
				}
				serial++
				p.seen = writer[p.reads]
				tx, err := l.Endorse(t.Context(), l.Client("A"), []string{"A"}, "run", ledgertest.Script(
					ledgertest.Step{Do: "get", Key: p.reads}, ledgertest.Step{Do: "put", Key: p.write, Value: fmt.Sprint(serial)}))
				if err != nil {
					r.Fatal(err)
				}
				p.tx = tx
				block = append(block, p)
			}
			block = rapid.Permutation(block).Draw(r, "order")
			var txs []*ledgertest.Tx
			for _, p := range block {
				txs = append(txs, p.tx)
			}
			for i, code := range l.Commit(txs...) {
				p := block[i]
				fresh := writer[p.reads] == p.seen
				if fresh != (code == peer.TxValidationCode_VALID) {
					r.Fatalf("transaction %d of the block: fresh %v, code %v", i, fresh, code)
				}
				if fresh {
					serial++
					writer[p.write] = serial
					model[p.write] = string(p.tx.RWSet.Writes[0].Value)
				}
			}
		}
		for _, k := range []string{"a", "b", "c"} {
			got, err := l.Evaluate(t.Context(), l.Client("A"), "A", "run", ledgertest.Script(ledgertest.Step{Do: "get", Key: k}))
			if err != nil {
				r.Fatal(err)
			}
			if string(got) != fmt.Sprintf("[%q]", model[k]) {
				r.Fatalf("%s is %s, want %q", k, got, model[k])
			}
		}
	})
}

func TestWhatAProposalSays(t *testing.T) {
	l := ledgertest.New(t, "A", "B")
	l.Install(ledgertest.Probe{})
	p := l.Propose(l.Client("B"), "run", ledgertest.Script(ledgertest.Step{Do: "transient", Key: "secret"}))
	p.Transient = map[string][]byte{"secret": []byte("s")}
	tx, err := l.EndorseProposal(t.Context(), p, "A", "B")
	if err != nil {
		t.Fatal(err)
	}
	if string(tx.Response) != `["s"]` || tx.Creator.MSP != "B" || !slices.Equal(tx.Endorsers, []string{"A", "B"}) {
		t.Errorf("transaction %+v", tx)
	}
}
