package contract

import (
	"fmt"
	"reflect"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
	"github.com/hyperledger/fabric-contract-api-go/v2/metadata"
)

// New makes the chaincode. The clock is the endorser's own.
func New(clock Clock) (*contractapi.ContractChaincode, error) {
	cc, err := contractapi.NewChaincode(
		&registryContract{Contract: named("registry"), clock: clock},
		&recordContract{Contract: named("record"), clock: clock},
		&consentContract{Contract: named("consent"), clock: clock},
		&accessContract{Contract: named("access"), clock: clock},
		&disclosureContract{Contract: named("disclosure"), clock: clock},
		&handleContract{Contract: named("handle"), clock: clock},
	)
	if err != nil {
		return nil, fmt.Errorf("make chaincode: %w", err)
	}
	cc.Info.Title, cc.Info.Version = "yitong", "1"
	cc.TransactionSerializer = verbatim{}
	return cc, nil
}

func named(name string) contractapi.Contract { return contractapi.Contract{Name: name} }

// verbatim hands strings through. Arguments and answers are checked where they are read
// and made; the contract API's own serializer would put each through JSON schema again.
type verbatim struct{}

func (verbatim) FromString(s string, _ reflect.Type, _ *metadata.ParameterMetadata, _ *metadata.ComponentMetadata) (reflect.Value, error) {
	return reflect.ValueOf(s), nil
}

func (verbatim) ToString(v reflect.Value, _ reflect.Type, _ *metadata.ReturnMetadata, _ *metadata.ComponentMetadata) (string, error) {
	return v.String(), nil
}
