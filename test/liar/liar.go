// Package liar is a chaincode server that lies as it is told to: what a member
// that changed its own copy of the program could have its peer endorse.
//
// It is the honest chaincode (package chaincode/contract) behind a stub that
// deceives it about who calls, what time it is and what the consents say, and
// that drops what it should write. So a lie is as consistent as the real thing,
// and two liars with the same orders agree with each other. On top of that the
// function liar:Write writes whatever it is given.
//
// The orders lie in a file beside the server's certificates and are read at each
// call: a test changes what a member's server does without starting it again.
// Without the file the server is honest.
package liar

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/google/renameio/v2"
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
)

// Orders say how to lie. The zero Orders are honesty.
type Orders struct {
	// ClockAhead is how far the server's clock is ahead of the machine's.
	ClockAhead time.Duration `json:"clockAhead,omitempty"`
	// Caller is who the chaincode is told to have called: an MSP id.
	Caller string `json:"caller,omitempty"`
	// Creator is the identity that the chaincode is told to have signed, serialized as
	// Fabric does (msp.SerializedIdentity).
	Creator []byte `json:"creator,omitempty"`
	// Permit shows to every decision a consent that permits everything.
	Permit bool `json:"permit,omitempty"`
	// Forget names kinds of state key that are not written.
	Forget []string `json:"forget,omitempty"`
	// NoPolicies writes no key-level endorsement policies.
	NoPolicies bool `json:"noPolicies,omitempty"`
	// Endless never answers, until there are other orders.
	Endless bool `json:"endless,omitempty"`
}

// Give leaves orders in a file.
func Give(file string, o Orders) error {
	raw, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("giving orders: %w", err)
	}
	return renameio.WriteFile(file, raw, 0o600)
}

func read(file string) (Orders, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Orders{}, nil
	}
	var o Orders
	if err == nil {
		err = json.Unmarshal(raw, &o)
	}
	if err != nil {
		return o, fmt.Errorf("reading orders: %w", err)
	}
	return o, nil
}

// Chaincode lies by the orders in a file.
type Chaincode struct {
	honest shim.Chaincode
	file   string
}

// New makes a chaincode that lies by the orders in a file.
func New(file string) (*Chaincode, error) {
	c := &Chaincode{file: file}
	honest, err := contract.New(func() record.Instant {
		o, err := read(file)
		if err != nil {
			panic(err)
		}
		return record.At(time.Now().Add(o.ClockAhead))
	})
	c.honest = honest
	return c, err
}

// Init implements shim.Chaincode.
func (c *Chaincode) Init(stub shim.ChaincodeStubInterface) *peer.Response { return c.honest.Init(stub) }

// Invoke implements shim.Chaincode.
func (c *Chaincode) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	orders, err := read(c.file)
	for err == nil && orders.Endless {
		time.Sleep(time.Millisecond)
		orders, err = read(c.file)
	}
	if err != nil {
		return shim.Error(err.Error())
	}
	if function, args := stub.GetFunctionAndParameters(); function == WriteFunction {
		return write(stub, args)
	}
	return c.honest.Invoke(&deceived{stub, orders})
}
