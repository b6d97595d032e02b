package ledgertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/statebased"
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// Probe is the chaincode that Cases runs: its function "run" does, one after the other,
// the steps of a script given as JSON, and answers with what each said.
type Probe struct{}

// Step is one call of the stub.
type Step struct {
	Do    string   `json:"do"`              // get, gets, put, put-composite, delete, policy, policy-of, range, partial, page, history, transient, fail
	Key   string   `json:"key,omitempty"`   // for partial and page the object type of composite keys
	Value string   `json:"value,omitempty"` // for range the end key
	Names []string `json:"names,omitempty"` // keys of gets, attributes, or MSP ids of a policy
	Size  int32    `json:"size,omitempty"`
}

// Script makes the argument of the probe.
func Script(steps ...Step) string {
	b, err := json.Marshal(steps)
	if err != nil {
		panic(fmt.Sprintf("ledgertest: marshal script: %v", err))
	}
	return string(b)
}

// Init does nothing.
func (Probe) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

// Invoke runs the script.
func (Probe) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	_, args := stub.GetFunctionAndParameters()
	var steps []Step
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &steps) != nil {
		return shim.Error("probe: one script, please")
	}
	said := []string{}
	for _, s := range steps {
		word, err := s.run(stub)
		if err != nil {
			return shim.Error(err.Error())
		}
		said = append(said, word)
	}
	answer, err := json.Marshal(said)
	if err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success(answer)
}

func (s Step) run(stub shim.ChaincodeStubInterface) (string, error) {
	switch s.Do {
	case "get":
		v, err := stub.GetState(s.Key)
		return string(v), err
	case "gets":
		vs, err := stub.GetMultipleStates(s.Names...)
		words := make([]string, len(vs))
		for i, v := range vs {
			words[i] = string(v)
		}
		return strings.Join(words, ","), err
	case "put":
		return "", stub.PutState(s.Key, []byte(s.Value))
	case "put-composite":
		key, err := stub.CreateCompositeKey(s.Key, s.Names)
		if err != nil {
			return "", err
		}
		return "", stub.PutState(key, []byte(s.Value))
	case "delete":
		return "", stub.DelState(s.Key)
	case "policy-of":
		policy, err := allOf(s.Names)
		if err != nil {
			return "", err
		}
		return "", stub.SetStateValidationParameter(s.Key, policy)
	case "policy":
		ep, err := statebased.NewStateEP(nil)
		if err != nil {
			return "", err
		}
		if err := ep.AddOrgs(statebased.RoleTypePeer, s.Names...); err != nil {
			return "", err
		}
		policy, err := ep.Policy()
		if err != nil {
			return "", err
		}
		return "", stub.SetStateValidationParameter(s.Key, policy)
	case "range":
		return drainStates(stub.GetStateByRange(s.Key, s.Value))
	case "partial":
		return drainStates(stub.GetStateByPartialCompositeKey(s.Key, s.Names))
	case "page":
		it, meta, err := stub.GetStateByPartialCompositeKeyWithPagination(s.Key, s.Names, s.Size, s.Value)
		if err != nil {
			return "", err
		}
		values, err := drainStates(it, nil)
		return values + "|" + meta.GetBookmark(), err
	case "history":
		return drainHistory(stub.GetHistoryForKey(s.Key))
	case "transient":
		t, err := stub.GetTransient()
		return string(t[s.Key]), err
	case "fail":
		return "", errors.New(s.Value)
	}
	return "", fmt.Errorf("probe: unknown step %q", s.Do)
}

// allOf is the policy that asks for one signature per name, the same name twice for two.
func allOf(names []string) ([]byte, error) {
	all := &common.SignaturePolicy_NOutOf{N: int32(len(names))}
	envelope := &common.SignaturePolicyEnvelope{Rule: &common.SignaturePolicy{Type: &common.SignaturePolicy_NOutOf_{NOutOf: all}}}
	for i, name := range names {
		role, err := proto.Marshal(&msp.MSPRole{MspIdentifier: name, Role: msp.MSPRole_PEER})
		if err != nil {
			return nil, err
		}
		envelope.Identities = append(envelope.Identities, &msp.MSPPrincipal{PrincipalClassification: msp.MSPPrincipal_ROLE, Principal: role})
		all.Rules = append(all.Rules, &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: int32(i)}})
	}
	return proto.Marshal(envelope)
}

func drainStates(it shim.StateQueryIteratorInterface, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer it.Close() //nolint:errcheck // only read
	var values []string
	for it.HasNext() {
		kv, err := it.Next()
		if err != nil {
			return "", err
		}
		values = append(values, string(kv.Value))
	}
	return strings.Join(values, ","), nil
}

func drainHistory(it shim.HistoryQueryIteratorInterface, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer it.Close() //nolint:errcheck // only read
	var values []string
	for it.HasNext() {
		m, err := it.Next()
		if err != nil {
			return "", err
		}
		word := string(m.Value)
		if m.IsDelete {
			word = "deleted"
		}
		values = append(values, word)
	}
	return strings.Join(values, ","), nil
}
