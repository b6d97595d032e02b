package contract_test

import (
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/contract"
	"yitong/chaincode/registry"
)

// bare is the least that a chaincode can do: one PutState, straight on the shim.
type bare struct{}

func (bare) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }
func (bare) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	_, args := stub.GetFunctionAndParameters()
	if err := stub.PutState(args[0], []byte(args[1])); err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success(nil)
}

// Bare is the same through the contract API.
type Bare struct{ contractapi.Contract }

// Put writes one key.
func (Bare) Put(ctx *contractapi.TransactionContext, key, value string) error {
	return ctx.GetStub().PutState(key, []byte(value))
}

// BenchmarkEndorsement is the simulation of one transaction at one endorser, without the
// peer around it: the floor (one PutState on the shim), what the contract API adds to it,
// and a whole access:Request. A real peer spends about 3.9 ms of CPU per transaction
// besides (fabric.md), which is what these microseconds are to be compared with.
func BenchmarkEndorsement(b *testing.B) {
	api, err := contractapi.NewChaincode(&Bare{contractapi.Contract{Name: "bare"}})
	if err != nil {
		b.Fatal(err)
	}
	value := strings.Repeat("x", 100)
	b.Run("bare PutState, shim", func(b *testing.B) {
		w := newWorld(b)
		w.Install(bare{})
		benchmark(b, w, hospitalA, "Put", "key", value)
	})
	b.Run("bare PutState, contract API as it comes", func(b *testing.B) {
		w := newWorld(b)
		w.Install(api)
		benchmark(b, w, hospitalA, "bare:Put", "key", value)
	})
	b.Run("registry:Clock", func(b *testing.B) {
		benchmark(b, newWorld(b), hospitalA, contract.RegistryClock, "{}")
	})
	for _, consents := range []int{1, 8, 64} {
		b.Run("access:Request, "+map[int]string{1: "1 consent", 8: "8 consents", 64: "64 consents"}[consents], func(b *testing.B) {
			w := newWorld(b)
			for range consents {
				w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
			}
			benchmark(b, w, insurer, contract.AccessRequest, text(b, w.requestFor(insurer, patient)))
		})
	}
	b.Run("consent:Grant, attested", func(b *testing.B) {
		w := newWorld(b)
		benchmark(b, w, hospitalA, contract.ConsentGrant, text(b, w.grantFor(insurer, patient)))
	})
	b.Run("consent:Direct, a grant signed by a wallet", func(b *testing.B) {
		w := newWorld(b)
		benchmark(b, w, hospitalA, contract.ConsentDirect, text(b, newPatient("alice").sign(w.signedGrant(patient))))
	})
	b.Run("consent:Direct, a grant signed by a passkey", func(b *testing.B) {
		w := newWorld(b)
		w.must(hospitalA, contract.RegistryUpdate, registry.Update{Policy: &registry.Policy{RelyingParties: []registry.RelyingParty{{ID: "a.example", Origins: []string{"https://a.example"}}}}})
		benchmark(b, w, hospitalA, contract.ConsentDirect, text(b, newPasskey(b, "a.example").sign(w.signedGrant(patient))))
	})
	b.Run("access:Release, batch of 64", func(b *testing.B) {
		w := newWorld(b)
		w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
		var batch contract.Releasing
		for range contract.MaxBatch {
			batch.Releases = append(batch.Releases, releaseOf(w.permit(patient)).Releases...)
		}
		benchmark(b, w, hospitalA, contract.AccessRelease, text(b, batch))
	})
}

func benchmark(b *testing.B, w *world, who, function string, args ...string) {
	p := w.Propose(w.Client(who), function, args...)
	tx, err := w.EndorseProposal(b.Context(), p, hospitalA)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.EndorseProposal(b.Context(), p, hospitalA); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(tx.RWSetBytes())), "rwset-B")
}
