// Package consortium runs the real thing for tests: Fabric's peers and ordering
// nodes, chaincode servers and gateways as processes of their own, on free ports,
// in a directory that goes away with them.
//
// Shared is one consortium for all tests of a package, for those that leave it
// as they find it; Start is one of the test's own. Both are what `yitong up`
// runs, except that the chaincode servers are those of package liar: honest,
// unless a test gives one of them orders.
//
// The tests skip with -short. When one fails, the ends of the gateways' and the
// chaincode servers' logs are in its output.
package consortium

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	rules "yitong/chaincode"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/consortium"
	"yitong/gateway/ledger"
	"yitong/network/fabric"
	"yitong/network/fabric/supervisor"
	"yitong/network/topology"
	"yitong/test/liar"
)

// The members of the default topology, by name.
const (
	HospitalA = "hospital-a"
	HospitalB = "hospital-b"
	Insurer   = "insurer"
	Regulator = "regulator"
)

// MSP ids of the same.
const (
	HospitalAMSP = "HospitalA"
	HospitalBMSP = "HospitalB"
	InsurerMSP   = "Insurer"
	RegulatorMSP = "Regulator"
)

// Consortium is one that runs.
type Consortium struct {
	*consortium.Consortium

	mu      sync.Mutex
	clients map[string]*client.Client
}

// startTime bounds the start of a consortium: seconds by themselves, more beside
// other tests, minutes where Fabric has to be built first.
const startTime = 8 * time.Minute

var shared sharing

type sharing struct {
	once sync.Once
	dir  string
	c    *Consortium
	err  error
}

func (s *sharing) end() {
	if s.c != nil {
		if err := s.c.close(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the consortium:", err)
		}
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// Shared is the consortium of the package's tests, started by the first of them.
func Shared(t *testing.T) *Consortium {
	t.Helper()
	skip(t)
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "yitong-test-"); shared.err == nil {
			shared.c, shared.err = start(shared.dir)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	shared.c.tellOnFailure(t)
	return shared.c
}

// Start starts a consortium for one test.
func Start(t *testing.T) *Consortium {
	t.Helper()
	skip(t)
	c, err := start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Errorf("stopping the consortium: %v", err)
		}
	})
	c.tellOnFailure(t)
	return c
}

func skip(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("this test runs a real consortium: leave out -short")
	}
}

// Binaries are Fabric's daemons, built if need be.
func Binaries(ctx context.Context) (fabric.Binaries, error) {
	var mu sync.Mutex
	return fabric.Install(ctx, func(s fabric.Step) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(os.Stderr, s.Text)
	})
}

func start(dir string) (*Consortium, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	binaries, err := Binaries(ctx)
	if err != nil {
		return nil, err
	}
	// Another test may take a port between the look and the start: look again.
	for try := 1; ; try++ {
		t := topology.Default()
		if err := t.FreePorts(); err != nil {
			return nil, err
		}
		c, err := consortium.Start(ctx, consortium.Options{Dir: filepath.Join(dir, fmt.Sprint(try)), Topology: t, Binaries: binaries})
		var taken fabric.PortsTaken
		if errors.As(err, &taken) && try < 5 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("starting a consortium: %w", err)
		}
		return &Consortium{Consortium: c, clients: map[string]*client.Client{}}, nil
	}
}

func (c *Consortium) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.clients {
		one.Close()
	}
	clear(c.clients)
	return c.Consortium.Close()
}

// Stop stops everything, so that a test can look at what lies on the disk.
func (c *Consortium) Stop(t *testing.T) {
	t.Helper()
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
}

// Resume starts again what Stop stopped, as the next `yitong up` does.
func (c *Consortium) Resume(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	binaries, err := Binaries(ctx)
	if err != nil {
		t.Fatal(err)
	}
	resumed, err := consortium.Start(ctx, consortium.Options{Dir: c.Dir(), Binaries: binaries})
	if err != nil {
		t.Fatal(err)
	}
	c.Consortium = resumed
}

// Client is a member's own software, connected to the member's gateway.
func (c *Consortium) Client(t *testing.T, member string) *client.Client {
	t.Helper()
	return c.User(t, member, "")
}

// User is a person of a member, by the name in the member's profile, connected to the
// member's gateway.
func (c *Consortium) User(t *testing.T, member, user string) *client.Client {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if one, ok := c.clients[member+"/"+user]; ok {
		return one
	}
	p, err := client.ReadProfile(c.Dir(), member)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = p.For(user); err != nil {
		t.Fatal(err)
	}
	one, err := client.Dial(p)
	if err != nil {
		t.Fatal(err)
	}
	c.clients[member+"/"+user] = one
	return one
}

// Door is where a member's own software finds its gateway, and how the two recognise each other.
func (c *Consortium) Door(t *testing.T, member string) (client.Profile, *tls.Config) {
	t.Helper()
	p, err := client.ReadProfile(c.Dir(), member)
	if err != nil {
		t.Fatal(err)
	}
	config, err := p.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return p, config
}

// Member is a member's part of the network.
func (c *Consortium) Member(t *testing.T, name string) *fabric.Member {
	t.Helper()
	m, err := c.Network().Member(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Ledger speaks to a member's own peer past its gateway, with the gateway's identity.
func (c *Consortium) Ledger(t *testing.T, member, chaincode string) *ledger.Ledger {
	t.Helper()
	l, err := Dial(c.Network(), c.Member(t, member), chaincode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Dial opens a member's ledger on any network.
func Dial(n *fabric.Network, m *fabric.Member, chaincode string) (*ledger.Ledger, error) {
	id := m.Gateway()
	return ledger.Dial(context.Background(), ledger.Config{
		Channel: n.Topology().Channel, Chaincode: chaincode, MSP: m.MSP,
		Cert: id.Cert, Key: id.Key, TLSCert: id.TLSCert, TLSKey: id.TLSKey,
		Peers: []ledger.Peer{{Address: m.PeerAddress(), TLSCA: m.TLSCA()}},
		Tries: 3, Logger: slog.New(slog.DiscardHandler),
	})
}

// Order has the chaincode servers of members lie until the test ends, or until
// other orders are given.
func (c *Consortium) Order(t *testing.T, chaincode string, o liar.Orders, members ...string) {
	t.Helper()
	for _, name := range members {
		file := filepath.Join(c.Member(t, name).Dir(), "chaincode", chaincode+"_"+rules.Version(), ordersName)
		if err := liar.Give(file, o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(file) })
	}
}

// Deploy runs the same chaincode once more, under another name and policy.
func (c *Consortium) Deploy(t *testing.T, name, policy string) {
	t.Helper()
	err := c.Network().Deploy(t.Context(), fabric.Chaincode{
		Name: name, Version: rules.Version(), Policy: policy,
		Command: func(*fabric.Member) fabric.Command {
			return fabric.Command{Path: c.Network().Executable(), Args: []string{consortium.ServeChaincode}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Chaincode is the name under which the gateways' chaincode runs.
const Chaincode = consortium.Chaincode

// Processes lists the processes whose name begins so: gateway-, peer-, orderer-, chaincode-.
func (c *Consortium) Processes(prefix string) []supervisor.Status {
	var found []supervisor.Status
	for _, s := range c.Network().Supervisor().Status() {
		if strings.HasPrefix(s.Name, prefix) {
			found = append(found, s)
		}
	}
	return found
}

// logTail is how much of each log a failed test shows, in bytes.
const logTail = 1500

func (c *Consortium) tellOnFailure(t *testing.T) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, s := range append(c.Processes("gateway-"), c.Processes("chaincode-")...) {
			raw, err := os.ReadFile(s.Log)
			if err != nil || len(raw) == 0 {
				continue
			}
			t.Logf("%s (%s, %d restarts):\n%s", s.Name, s.State, s.Restarts, raw[max(0, len(raw)-logTail):])
		}
	})
}
