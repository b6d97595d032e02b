package liar

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/consent"
)

// deceived is the stub that the honest chaincode gets to see.
type deceived struct {
	shim.ChaincodeStubInterface
	Orders
}

// GetCreator is whom the orders name.
func (d *deceived) GetCreator() ([]byte, error) {
	if d.Creator != nil {
		return d.Creator, nil
	}
	raw, err := d.ChaincodeStubInterface.GetCreator()
	if err != nil || d.Caller == "" {
		return raw, err
	}
	var id msp.SerializedIdentity
	if err := proto.Unmarshal(raw, &id); err != nil {
		return nil, err
	}
	id.Mspid = d.Caller
	return proto.Marshal(&id)
}

// GetMultipleStates reads what is there, so that the read set is an honest one,
// and puts the consent that permits everything in place of the patient's.
func (d *deceived) GetMultipleStates(keys ...string) ([][]byte, error) {
	values, err := d.ChaincodeStubInterface.GetMultipleStates(keys...)
	if err != nil || !d.Permit {
		return values, err
	}
	for i, key := range keys {
		if kind(key) == "directives" {
			if values[i], err = json.Marshal(anything()); err != nil {
				return nil, err
			}
		}
	}
	return values, nil
}

func anything() []consent.Consent {
	return []consent.Consent{{
		ID: strings.Repeat("f", 32), Version: 1, Status: consent.Active, Provision: consent.Provision{Type: consent.Permit},
		Evidence: strings.Repeat("0", 64), At: 1,
	}}
}

// PutState forgets the kinds that the orders name.
func (d *deceived) PutState(key string, value []byte) error {
	if slices.Contains(d.Forget, kind(key)) {
		return nil
	}
	return d.ChaincodeStubInterface.PutState(key, value)
}

// SetStateValidationParameter does nothing where the orders say so.
func (d *deceived) SetStateValidationParameter(key string, policy []byte) error {
	if d.NoPolicies || slices.Contains(d.Forget, kind(key)) {
		return nil
	}
	return d.ChaincodeStubInterface.SetStateValidationParameter(key, policy)
}

// kind is the object type of a composite key.
func kind(key string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(key, "\x00"), "\x00")
	return first
}
