package consortium

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"yitong/chaincode/access"
	"yitong/chaincode/registry"
	"yitong/cmd/yitong/client"
	"yitong/gateway/node"
	"yitong/network/fabric"
	"yitong/network/fabric/authority"
	"yitong/network/topology"
)

// prepare writes a member's gateway configuration and client profile, anew at
// each start: both hold addresses and absolute paths. Only the passphrase is
// made once.
func (c *Consortium) prepare(m *fabric.Member) (err error) {
	folder := filepath.Join(m.Dir(), "gateway")
	passphrase := filepath.Join(folder, "passphrase")
	if err := makePassphrase(passphrase); err != nil {
		return err
	}
	id := m.Gateway()
	config := node.Config{
		Member:  node.Member{MSP: m.MSP, Name: m.Name, Kind: registry.Kind(m.Kind), Gateway: m.GatewayAddress()},
		Channel: c.network.Topology().Channel, Chaincode: Chaincode,
		Listen: m.GatewayAddress(), ListenHTTP: m.HTTPAddress(), State: filepath.Join(folder, "state"), Passphrase: passphrase,
		Identity: node.Pair{Cert: id.Cert, Key: id.Key}, TLS: node.Pair{Cert: id.TLSCert, Key: id.TLSKey},
		Trust: m.TrustDir(), Candidate: candidate(m), LogLevel: "info",
		Operations: m.GatewayOperationsAddress(),
		// Whoever tries it has a receiver on this machine.
		Events:    node.Events{Webhooks: node.Webhooks{Allow: []string{"127.0.0.0/8", "::1"}}},
		Evaluator: slices.Contains(c.network.Topology().Evaluating(), m.Name),
	}
	if m.Kind == topology.Hospital {
		if config.Clinicians, err = clinicians(m); err != nil {
			return err
		}
	}
	config.Peers = append(config.Peers, peer(m))
	for _, other := range c.network.Members() {
		if other.Name != m.Name {
			config.Peers = append(config.Peers, peer(other))
		}
	}
	if m.Name == c.founder().Name {
		for _, member := range c.network.Members() {
			config.Found = append(config.Found, candidate(member))
		}
	}
	own := m.Client()
	profile := client.Profile{
		Member: m.Name, MSP: m.MSP, Kind: string(m.Kind), Gateway: m.GatewayAddress(), HTTP: m.HTTPAddress(), CA: m.TLSCA(), Cert: own.TLSCert, Key: own.TLSKey,
		Users: map[string]client.User{},
	}
	if err := takeTokens(m, &config, &profile); err != nil {
		return err
	}
	if err := node.WriteConfig(configPath(m), config); err != nil {
		return err
	}
	for _, role := range people[m.Kind] {
		person, err := m.Person(string(role), map[string]string{access.RoleAttribute: string(role)})
		if err != nil {
			return err
		}
		profile.Users[string(role)] = client.User{Cert: person.TLSCert, Key: person.TLSKey}
	}
	c.profiles = append(c.profiles, profile)
	return client.WriteProfile(c.network.Dir(), profile)
}

// clinicians is the identity that signs a hospital's break-glass requests, made once. Its
// name says nothing of who they are: the ledger has it for ever.
func clinicians(m *fabric.Member) (*node.Pair, error) {
	id, err := m.Identity("clinicians")
	if errors.Is(err, fs.ErrNotExist) {
		id, err = m.Issue("clinicians", authority.Client, map[string]string{access.RoleAttribute: string(access.Clinician)})
	}
	if err != nil {
		return nil, err
	}
	return &node.Pair{Cert: id.Cert, Key: id.Key}, nil
}

// people are the roles that one person each is given a certificate for, to work with a
// member's gateway. A member gives its own people theirs.
var people = map[topology.Kind][]access.Role{
	topology.Hospital:  {access.Clinician, access.RecordsOfficer},
	topology.Insurer:   {access.ClaimsHandler},
	topology.Regulator: {access.Auditor},
}

// founder is the member whose gateway founds the registry: the first regulator,
// or the first member where there is none.
func (c *Consortium) founder() *fabric.Member {
	for _, m := range c.network.Members() {
		if m.Kind == topology.Regulator {
			return m
		}
	}
	return c.network.Members()[0]
}

func candidate(m *fabric.Member) string { return filepath.Join(m.Dir(), "gateway", "candidate.json") }

func peer(m *fabric.Member) node.Peer {
	host, _, _ := net.SplitHostPort(m.PeerAddress())
	return node.Peer{Address: m.PeerAddress(), ServerName: host, CA: m.TLSCA()}
}

func makePassphrase(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	var secret [32]byte
	rand.Read(secret[:]) // never fails (crypto/rand)
	return renameio.WriteFile(path, append(hex.AppendEncode(nil, secret[:]), '\n'), 0o600)
}
