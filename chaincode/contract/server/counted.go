package server

import (
	"sync"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
)

// counted is a chaincode that knows how many transactions are under way.
type counted struct {
	shim.Chaincode
	idle chan struct{} // closed when stopped and nothing is under way

	mu      sync.Mutex
	running int
	stopped bool
}

func (c *counted) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	if !c.begin() {
		return shim.Error("the chaincode is shutting down; try again")
	}
	defer c.end()
	return c.Chaincode.Invoke(stub)
}

func (c *counted) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return false
	}
	c.running++
	return true
}

func (c *counted) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	c.settle()
}

func (c *counted) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.settle()
}

func (c *counted) settle() {
	if c.stopped && c.running == 0 {
		close(c.idle)
	}
}
