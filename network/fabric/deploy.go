package fabric

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"yitong/network/fabric/authority"
	"yitong/network/fabric/supervisor"
)

// Chaincode is one to run on the channel, as a service of every member.
type Chaincode struct {
	Name    string
	Version string // another version is another package and another server
	// Policy is who must endorse, as topology.ParsePolicy reads it; empty is the
	// channel's policy, which is the topology's.
	Policy string
	// Command is what a member runs to serve it. It must serve on
	// CHAINCODE_SERVER_ADDRESS as CHAINCODE_ID with the certificate and key in
	// CHAINCODE_TLS_CERT and CHAINCODE_TLS_KEY (paths), and ask its client for a
	// certificate under CHAINCODE_CLIENT_CA_CERT. Those four are added to its
	// environment. That members may differ is for tests of a member that lies.
	Command func(*Member) Command
	// Probe is a function evaluated at every member before Deploy returns; any
	// answer of the chaincode will do, a refusal too. Default: the metadata
	// function of fabric-contract-api.
	Probe string
}

// Command is a program to run.
type Command struct {
	Path string // empty is the network's own Executable
	Args []string
	Env  []string // whole; PATH, HOME and TMPDIR are added
}

// chaincodeServer is one member's server of one label, and what it listens on.
type chaincodeServer struct {
	label, id, address, dir string
	member                  *Member
}

var (
	chaincodeName    = regexp.MustCompile(`^[a-zA-Z0-9]+([-_][a-zA-Z0-9]+)*$`)
	chaincodeVersion = regexp.MustCompile(`^[A-Za-z0-9_.+-]+$`)
)

// Deploy runs a chaincode's servers and has all members agree on it, and
// returns when it answers at every member. It may be called again with the same
// chaincode (nothing happens), with another policy (the definition's next
// sequence) or with another version (the same, with new servers; those of the
// old version end when the new one answers).
func (n *Network) Deploy(ctx context.Context, c Chaincode) error {
	began := time.Now()
	if !chaincodeName.MatchString(c.Name) || !chaincodeVersion.MatchString(c.Version) || c.Command == nil {
		return fmt.Errorf("chaincode %q version %q: needs a name and a version of letters, digits, hyphens and underscores, and a command", c.Name, c.Version)
	}
	n.report.say("deploying chaincode " + c.Name)
	validation, err := n.validation(c.Policy)
	if err != nil {
		return fmt.Errorf("chaincode %s: %w", c.Name, err)
	}
	label := c.Name + "_" + c.Version
	id, content, err := pack(label)
	if err != nil {
		return err
	}
	servers, err := n.servers(label, id)
	if err != nil {
		return err
	}
	d := &definition{name: c.Name, version: c.Version, validation: validation, packageID: id, content: content}
	both, group := errgroup.WithContext(ctx)
	for _, s := range servers {
		both.Go(func() error { return n.serve(group, s, c) })
	}
	both.Go(func() error { return n.agree(group, d) })
	if err := both.Wait(); err != nil {
		return fmt.Errorf("deploying chaincode %s: %w", c.Name, err)
	}
	if err := n.probe(ctx, c); err != nil {
		return err
	}
	n.retire(c.Name, label)
	n.report.done("chaincode "+c.Name+" answers at every member", began)
	return nil
}

// servers gives every member's server of a label its address, the same for as
// long as the directory lives, and its TLS material.
func (n *Network) servers(label, id string) ([]*chaincodeServer, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ports, err := n.chaincodePorts(label)
	if err != nil {
		return nil, err
	}
	servers := make([]*chaincodeServer, len(n.members))
	for i, m := range n.members {
		s := &chaincodeServer{label: label, id: id, member: m, dir: filepath.Join(m.dir, "chaincode", label)}
		s.address = net.JoinHostPort(m.Host, strconv.Itoa(ports[m.Name]))
		if err := s.prepare(); err != nil {
			return nil, fmt.Errorf("preparing chaincode server of %s: %w", m.Name, err)
		}
		servers[i] = s
	}
	return servers, nil
}

// prepare writes connection.json, which the builder hands to the peer, and the
// server's files. Each end knows the other by its very certificate, so that no
// other holder of a certificate of the member can be either.
func (s *chaincodeServer) prepare() error {
	if exists(filepath.Join(s.dir, "connection.json")) {
		return nil
	}
	if _, err := s.member.IssueTLS(filepath.Join(s.dir, "server"), "chaincode", authority.Peer); err != nil {
		return err
	}
	client, err := authority.Lone(s.member.MSP, "peer-to-chaincode."+s.member.Name, authority.Peer)
	if err != nil {
		return err
	}
	if err := writePair(filepath.Join(s.dir, "client"), "tls-", client); err != nil {
		return err
	}
	connection := map[string]any{
		"address": s.address, "dial_timeout": "5s", "tls_required": true, "client_auth_required": true,
	}
	for key, file := range map[string]string{
		"root_cert": "server/tls-cert.pem", "client_cert": "client/tls-cert.pem", "client_key": "client/tls-key.pem",
	} {
		b, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(file)))
		if err != nil {
			return fmt.Errorf("reading back %s: %w", file, err)
		}
		connection[key] = string(b)
	}
	content, err := json.Marshal(connection)
	if err != nil {
		return err
	}
	aside := filepath.Join(s.dir, "connection.json.new")
	if err := writeFile(aside, content, 0o600); err != nil {
		return err
	}
	return os.Rename(aside, filepath.Join(s.dir, "connection.json"))
}

func (s *chaincodeServer) process() string { return "chaincode-" + s.label + "-" + s.member.Name }

func (n *Network) serve(ctx context.Context, s *chaincodeServer, c Chaincode) error {
	if n.supervisor.Has(s.process()) {
		return nil
	}
	command := c.Command(s.member)
	if command.Path == "" {
		command.Path = n.Executable()
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(s.dir, "client", "tls-cert.pem"), filepath.Join(s.dir, "client", "tls-key.pem"))
	if err != nil {
		return fmt.Errorf("loading TLS certificate: %w", err)
	}
	root, err := os.ReadFile(filepath.Join(s.dir, "server", "tls-cert.pem"))
	if err != nil {
		return fmt.Errorf("loading TLS certificate: %w", err)
	}
	return n.supervisor.Start(ctx, supervisor.Spec{
		Name: s.process(), Stage: stageChaincode, Path: command.Path, Args: command.Args,
		Env: append(baseEnvironment(command.Env),
			"CHAINCODE_ID="+s.id,
			"CHAINCODE_SERVER_ADDRESS="+s.address,
			"CHAINCODE_TLS_CERT="+filepath.Join(s.dir, "server", "tls-cert.pem"),
			"CHAINCODE_TLS_KEY="+filepath.Join(s.dir, "server", "tls-key.pem"),
			"CHAINCODE_CLIENT_CA_CERT="+filepath.Join(s.dir, "client", "tls-cert.pem"),
		),
		Ready: answers(s.address, &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: poolOf(root), MinVersion: tls.VersionTLS12}),
	})
}

// probe asks the chaincode at every member until it answers.
func (n *Network) probe(ctx context.Context, c Chaincode) error {
	function := c.Probe
	if function == "" {
		function = "org.hyperledger.fabric:GetMetadata"
	}
	all, each := errgroup.WithContext(ctx)
	for _, m := range n.members {
		all.Go(func() error {
			admin, err := n.admin(m)
			if err != nil {
				return err
			}
			contract := admin.GetNetwork(n.topology.Channel).GetContract(c.Name)
			return retry(each, "asking chaincode "+c.Name+" at "+m.Name, func() error {
				definition, err := n.definitionAt(each, m, c.Name)
				if err != nil {
					return err
				}
				if definition == nil || definition.Version != c.Version {
					return fmt.Errorf("the peer hasn't seen version %s yet", c.Version)
				}
				_, err = contract.EvaluateWithContext(each, function)
				if err = explain(err); err != nil && !strings.Contains(err.Error(), "chaincode response") {
					return err
				}
				return nil
			})
		})
	}
	return all.Wait()
}

// retire ends the servers of a chaincode's other versions.
func (n *Network) retire(name, label string) {
	for _, s := range n.supervisor.Status() {
		if strings.HasPrefix(s.Name, "chaincode-"+name+"_") && !strings.HasPrefix(s.Name, "chaincode-"+label+"-") {
			_ = n.supervisor.Remove(s.Name)
		}
	}
}
