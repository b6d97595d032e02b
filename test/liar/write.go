package liar

import (
	"encoding/json"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/statebased"
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
)

// WriteFunction does what a Write says; the honest chaincode has no such function.
const WriteFunction = "liar:Write"

// Write changes one composite key of the state past every rule.
type Write struct {
	Kind       string   `json:"kind"`
	Attributes []string `json:"attributes"`
	Value      string   `json:"value,omitempty"`
	Delete     bool     `json:"delete,omitempty"`
	// Endorsers are set as the key's own endorsement policy, in place of a value.
	Endorsers []string `json:"endorsers,omitempty"`
}

func write(stub shim.ChaincodeStubInterface, args []string) *peer.Response {
	var w Write
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &w) != nil {
		return shim.Error("one Write, please")
	}
	if err := w.do(stub); err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success([]byte("{}"))
}

func (w Write) do(stub shim.ChaincodeStubInterface) error {
	key, err := stub.CreateCompositeKey(w.Kind, w.Attributes)
	switch {
	case err != nil:
		return err
	case w.Delete:
		return stub.DelState(key)
	case len(w.Endorsers) == 0:
		return stub.PutState(key, []byte(w.Value))
	}
	policy, err := statebased.NewStateEP(nil)
	if err != nil {
		return err
	}
	if err := policy.AddOrgs(statebased.RoleTypePeer, w.Endorsers...); err != nil {
		return err
	}
	raw, err := policy.Policy()
	if err != nil {
		return err
	}
	return stub.SetStateValidationParameter(key, raw)
}
