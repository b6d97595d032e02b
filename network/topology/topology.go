// Package topology describes a consortium in one YAML file: its members, what
// each of them runs and where, who orders transactions, and how many members
// must endorse one.
//
// It only describes. Nothing here starts a process or makes a key; package
// fabric turns a Topology into a running network, and the same file will drive
// deployments over several hosts.
//
// A topology is trusted input of an operator, but a typo in it must not become
// a network that looks right: Parse refuses unknown keys with their line, and
// Validate names every problem at once, each with what to do about it.
package topology

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"
)

// Consensus is the way the ordering nodes agree on the next block.
type Consensus string

const (
	// BFT is SmartBFT: n ordering nodes tolerate (n-1)/3 that lie or are down.
	BFT Consensus = "bft"
	// Raft tolerates (n-1)/2 ordering nodes that are down and none that lies.
	Raft Consensus = "raft"
)

// Kind says what a member is, and so what it may do on the ledger.
type Kind string

const (
	Hospital  Kind = "hospital"
	Insurer   Kind = "insurer"
	Regulator Kind = "regulator"
)

// Topology is the whole consortium.
type Topology struct {
	Name        string    `yaml:"name"`
	Channel     string    `yaml:"channel"`
	Consensus   Consensus `yaml:"consensus"`
	Endorsement string    `yaml:"endorsement"` // see Policy
	Batch       Batch     `yaml:"batch"`
	Database    string    `yaml:"database"`
	LogLevel    string    `yaml:"log-level"`
	Members     []Member  `yaml:"members"`
	Orderers    []Orderer `yaml:"orderers"`
	// Evaluators names the members whose keys every patient's handle is derived from; see
	// Evaluating.
	Evaluators []string `yaml:"evaluators,omitempty"`
}

// Batch says when the ordering nodes cut a block: at the first limit reached.
type Batch struct {
	Timeout   time.Duration `yaml:"timeout"`   // since the first transaction of the block
	Messages  uint32        `yaml:"messages"`  // transactions in a block
	Preferred Bytes         `yaml:"preferred"` // size of a block, soft limit; SmartBFT has only the hard one
	Absolute  Bytes         `yaml:"absolute"`  // size of a block, hard limit
}

// Member is one organisation: one MSP, one peer, one gateway.
type Member struct {
	Name  string `yaml:"name"` // directory and CLI name, e.g. hospital-a
	MSP   string `yaml:"msp"`  // identity on the ledger, e.g. HospitalA
	Kind  Kind   `yaml:"kind"`
	Host  string `yaml:"host"` // where its processes listen
	Ports Ports  `yaml:"ports"`
}

// Ports are the TCP ports of a member's processes.
type Ports struct {
	Gateway    int `yaml:"gateway"`
	Peer       int `yaml:"peer"`
	Chaincode  int `yaml:"chaincode"`
	Operations int `yaml:"operations"` // the peer's health and metrics
	// GatewayOperations is the gateway's health and metrics; 0 is none.
	GatewayOperations int `yaml:"gateway-operations,omitempty"`
	// HTTP is where the gateway answers questions over HTTPS; 0 if it doesn't.
	HTTP int `yaml:"http,omitempty"`
	// Provider is where people sign in to try that (cmd/yitong/provider); 0 is nowhere.
	Provider int `yaml:"provider,omitempty"`
}

// Orderer is one ordering node.
type Orderer struct {
	Name   string       `yaml:"name"`
	Member string       `yaml:"member"` // name of the member that runs it
	Host   string       `yaml:"host"`
	Ports  OrdererPorts `yaml:"ports"`
}

// OrdererPorts are the TCP ports of one ordering node.
type OrdererPorts struct {
	Orderer    int `yaml:"orderer"`
	Admin      int `yaml:"admin"`
	Operations int `yaml:"operations"`
}

// DefaultPort is the first port of the default topology.
const DefaultPort = 7050

// portsPerMember is the stride between two members' ports in Default.
const portsPerMember = 10

// Default is two hospitals, one insurer and one regulator on this machine, each
// with one peer, one gateway and one of four SmartBFT ordering nodes, so that
// no single member runs the ledger. Its ports start at DefaultPort.
func Default() *Topology {
	t := &Topology{
		Name:        "yitong",
		Channel:     "yitong",
		Consensus:   BFT,
		Endorsement: Majority,
		Batch:       Batch{Timeout: 100 * time.Millisecond, Messages: 500, Preferred: 2 << 20, Absolute: 10 << 20},
		Database:    "goleveldb",
		LogLevel:    "warning",
		Members: []Member{
			{Name: "hospital-a", MSP: "HospitalA", Kind: Hospital},
			{Name: "hospital-b", MSP: "HospitalB", Kind: Hospital},
			{Name: "insurer", MSP: "Insurer", Kind: Insurer},
			{Name: "regulator", MSP: "Regulator", Kind: Regulator},
		},
	}
	for i := range t.Members {
		t.Members[i].Host = "127.0.0.1"
		t.Orderers = append(t.Orderers, Orderer{
			Name: t.Members[i].Name, Member: t.Members[i].Name, Host: "127.0.0.1",
		})
	}
	t.Rebase(DefaultPort)
	return t
}

// Member finds a member by name or MSP id.
func (t *Topology) Member(name string) (*Member, bool) {
	for i := range t.Members {
		if t.Members[i].Name == name || t.Members[i].MSP == name {
			return &t.Members[i], true
		}
	}
	return nil, false
}

// Evaluating is the names of the members that evaluate patients' handles from the founding
// on: those listed or, where none is, the first regulator and the first insurer. There are
// two, so that one stolen key opens nothing. They are members that hold no records, because
// every evaluator is needed for a handle: were a hospital one and dead, no other hospital
// could find the handle of a patient it never asked about, just when it has to break the
// glass for what that hospital holds. Only where there is no insurer the second one is the
// first hospital; and where there is no regulator, whoever comes first of the others.
func (t *Topology) Evaluating() []string {
	if len(t.Evaluators) > 0 {
		return t.Evaluators
	}
	var names []string
	take := func(fits func(Kind) bool) {
		for _, m := range t.Members {
			if len(names) < 2 && fits(m.Kind) && !slices.Contains(names, m.Name) {
				names = append(names, m.Name)
				return
			}
		}
	}
	take(func(k Kind) bool { return k == Regulator })
	take(func(k Kind) bool { return k == Insurer })
	take(func(k Kind) bool { return k == Hospital })
	for range 2 {
		take(func(Kind) bool { return true })
	}
	return names
}

// PeerAddress is host:port of the member's peer.
func (m *Member) PeerAddress() string { return address(m.Host, m.Ports.Peer) }

// GatewayAddress is host:port of the member's gateway.
func (m *Member) GatewayAddress() string { return address(m.Host, m.Ports.Gateway) }

// HTTPAddress is where the gateway answers questions over HTTPS, "" if it doesn't.
func (m *Member) HTTPAddress() string {
	if m.Ports.HTTP == 0 {
		return ""
	}
	return address(m.Host, m.Ports.HTTP)
}

// ProviderAddress is where people sign in to try that, "" if they can't.
func (m *Member) ProviderAddress() string {
	if m.Ports.Provider == 0 {
		return ""
	}
	return address(m.Host, m.Ports.Provider)
}

// ChaincodeAddress is host:port of the member's first chaincode server.
func (m *Member) ChaincodeAddress() string { return address(m.Host, m.Ports.Chaincode) }

// OperationsAddress is host:port of the peer's health and metrics.
func (m *Member) OperationsAddress() string { return address(m.Host, m.Ports.Operations) }

// GatewayOperationsAddress is host:port of the gateway's health and metrics; "" is none.
func (m *Member) GatewayOperationsAddress() string {
	if m.Ports.GatewayOperations == 0 {
		return ""
	}
	return address(m.Host, m.Ports.GatewayOperations)
}

// Address is host:port of the ordering node for peers and other ordering nodes.
func (o *Orderer) Address() string { return address(o.Host, o.Ports.Orderer) }

// AdminAddress is host:port of the channel participation API.
func (o *Orderer) AdminAddress() string { return address(o.Host, o.Ports.Admin) }

// OperationsAddress is host:port of the ordering node's health and metrics.
func (o *Orderer) OperationsAddress() string { return address(o.Host, o.Ports.Operations) }

func address(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// Port is one TCP port of the consortium and who owns it.
type Port struct {
	Host  string
	Port  int
	Owner string // for people: "peer of hospital-a"
	at    string // the key in the file: members[0].ports.peer
	set   *int
}

// Address is host:port.
func (p Port) Address() string { return address(p.Host, p.Port) }

// Ports lists every port of the consortium, in the order of the file.
func (t *Topology) Ports() []Port {
	var ports []Port
	for i := range t.Members {
		m := &t.Members[i]
		add := func(role, key string, set *int) {
			ports = append(ports, Port{m.Host, *set, role + " of " + m.Name, fmt.Sprintf("members[%d].ports.%s", i, key), set})
		}
		add("gateway", "gateway", &m.Ports.Gateway)
		add("peer", "peer", &m.Ports.Peer)
		add("chaincode server", "chaincode", &m.Ports.Chaincode)
		add("peer operations", "operations", &m.Ports.Operations)
		if m.Ports.GatewayOperations != 0 {
			add("gateway operations", "gateway-operations", &m.Ports.GatewayOperations)
		}
		if m.Ports.HTTP != 0 {
			add("gateway's questions over HTTPS", "http", &m.Ports.HTTP)
		}
		if m.Ports.Provider != 0 {
			add("sign-in provider", "provider", &m.Ports.Provider)
		}
	}
	for i := range t.Orderers {
		o := &t.Orderers[i]
		add := func(role, key string, set *int) {
			ports = append(ports, Port{o.Host, *set, role + " " + o.Name, fmt.Sprintf("orderers[%d].ports.%s", i, key), set})
		}
		add("ordering node", "orderer", &o.Ports.Orderer)
		add("admin port of ordering node", "admin", &o.Ports.Admin)
		add("operations port of ordering node", "operations", &o.Ports.Operations)
	}
	return ports
}
