package topology

import (
	"errors"
	"math/rand/v2"
	"net"
)

// Rebase moves every port to start at base. Each member gets a block of ten
// ports (gateway, peer, chaincode, operations; the gateway's operations, its HTTPS and the
// sign-in provider from the eighth on), and the ordering nodes follow
// in the block of their member: base+4 is the default's first ordering node.
// Ordering nodes beyond a member's first come after all members.
func (t *Topology) Rebase(base int) {
	hosted := map[string]bool{}
	extra := base + portsPerMember*len(t.Members)
	for i := range t.Members {
		first := base + portsPerMember*i
		t.Members[i].Ports = Ports{Gateway: first, Peer: first + 1, Chaincode: first + 2, Operations: first + 3, GatewayOperations: first + 7, HTTP: first + 8, Provider: first + 9}
	}
	for i := range t.Orderers {
		o := &t.Orderers[i]
		first := extra
		if m := t.index(o.Member); m >= 0 && !hosted[o.Member] {
			hosted[o.Member] = true
			first = base + portsPerMember*m + 4
		} else {
			extra += 3
		}
		o.Ports = OrdererPorts{Orderer: first, Admin: first + 1, Operations: first + 2}
	}
}

// FreePorts moves the topology onto ports that nobody listens on now.
//
// They lie below the range that systems hand out to outgoing connections:
// a port of that range could be taken by a client while its owner restarts.
func (t *Topology) FreePorts() error {
	const lowest, highest, attempts = 10_000, 30_000, 200
	span := len(t.Ports()) + portsPerMember*len(t.Members)
	for range attempts {
		t.Rebase(lowest + rand.IntN(highest-lowest-span))
		if t.free() {
			return nil
		}
	}
	return errors.New("no block of free ports found between 10000 and 30000")
}

func (t *Topology) free() bool {
	for _, p := range t.Ports() {
		l, err := net.Listen("tcp", p.Address())
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

func (t *Topology) index(member string) int {
	for i := range t.Members {
		if t.Members[i].Name == member {
			return i
		}
	}
	return -1
}
