package fabric

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
)

// chaincodePorts is the port of each member's server of a label. The first
// label has the topology's ports; later ones get free ports, which are kept in
// chaincodes.json because a peer remembers the address for good.
func (n *Network) chaincodePorts(label string) (map[string]int, error) {
	known, err := n.knownPorts()
	if err != nil {
		return nil, err
	}
	if ports, ok := known[label]; ok {
		return ports, nil
	}
	ports := map[string]int{}
	if len(known) == 0 {
		for _, m := range n.members {
			ports[m.Name] = m.Ports.Chaincode
		}
	} else {
		spare := *n.topology
		spare.Orderers = nil
		spare.Members = append(spare.Members[:0:0], spare.Members...)
		if err := spare.FreePorts(); err != nil {
			return nil, fmt.Errorf("choosing ports for chaincode %s: %w", label, err)
		}
		for _, m := range spare.Members {
			ports[m.Name] = m.Ports.Chaincode
		}
	}
	known[label] = ports
	b, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("keeping chaincode ports: %w", err)
	}
	if err := renameio.WriteFile(n.portsFile(), append(b, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("keeping chaincode ports: %w", err)
	}
	return ports, nil
}

func (n *Network) portsFile() string { return filepath.Join(n.dir, "chaincodes.json") }

// knownPorts is the content of chaincodes.json: by label, by member name.
func (n *Network) knownPorts() (map[string]map[string]int, error) {
	known := map[string]map[string]int{}
	b, err := os.ReadFile(n.portsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &known)
	}
	if err != nil {
		return nil, fmt.Errorf("reading chaincode ports: %w", err)
	}
	return known, nil
}

// PortsTaken is every port of the topology that somebody else listens on.
type PortsTaken []string

func (p PortsTaken) Error() string {
	return "ports in use: " + strings.Join(p, ", ") + "; stop what listens there, or choose other ports"
}

// checkPorts looks at all ports before anything starts.
func (n *Network) checkPorts() error {
	owners := map[string]string{} // by address
	var order []string
	for _, p := range n.topology.Ports() {
		owners[p.Address()] = p.Owner
		order = append(order, p.Address())
	}
	known, err := n.knownPorts()
	if err != nil {
		return err
	}
	for _, label := range slices.Sorted(maps.Keys(known)) {
		for _, m := range n.members {
			address := net.JoinHostPort(m.Host, strconv.Itoa(known[label][m.Name]))
			if _, listed := owners[address]; !listed {
				owners[address] = "chaincode " + label + " of " + m.Name
				order = append(order, address)
			}
		}
	}
	var taken PortsTaken
	for _, address := range order {
		l, err := net.Listen("tcp", address)
		if err != nil {
			taken = append(taken, fmt.Sprintf("%s (%s: %v)", address, owners[address], reason(err)))
			continue
		}
		l.Close()
	}
	if len(taken) > 0 {
		return taken
	}
	return nil
}

// reason is the cause of a failed listen, without the address it repeats.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}
