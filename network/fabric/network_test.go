package fabric_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/network/fabric"
	"yitong/network/fabric/supervisor"
	"yitong/network/topology"
)

// binaries are Fabric's; tests that need them don't run with -short.
func binaries(t *testing.T) fabric.Binaries {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Fabric's peer and orderer")
	}
	b, err := fabric.Install(t.Context(), func(s fabric.Step) { t.Logf("%s %v", s.Text, s.Took) })
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// scene is an open network and the events it told.
type scene struct {
	*fabric.Network
	t      *testing.T
	mu     sync.Mutex
	events []supervisor.Event
}

func open(t *testing.T, dir string, top *topology.Topology, chaincodes ...fabric.Chaincode) *scene {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t}
	began := time.Now()
	s.Network, err = fabric.Open(dir, top, fabric.Options{
		Binaries: binaries(t), Executable: self, Chaincodes: chaincodes,
		Report:  func(step fabric.Step) { t.Logf("%7.3fs %s (%v)", time.Since(began).Seconds(), step.Text, step.Took) },
		OnEvent: s.note,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			s.showLogs()
		}
	})
	return s
}

func (s *scene) note(e supervisor.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *scene) saw(process string, kind supervisor.EventKind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Process == process && e.Kind == kind {
			return true
		}
	}
	return false
}

func (s *scene) showLogs() {
	files, _ := filepath.Glob(filepath.Join(s.Dir(), "logs", "*.log"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		s.t.Logf("%s\n%s", f, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
}

func (s *scene) start(ctx context.Context) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// as connects to a member's peer with its gateway's identity.
func (s *scene) as(member string) *fabric.Connection {
	s.t.Helper()
	m, err := s.Member(member)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := m.Connect(m.Gateway())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func notesChaincode() fabric.Chaincode {
	return fabric.Chaincode{
		Name: "notes", Version: "1",
		Command: func(*fabric.Member) fabric.Command {
			return fabric.Command{Args: []string{"serve-notes"}}
		},
	}
}

func free(t *testing.T, top *topology.Topology) *topology.Topology {
	t.Helper()
	if err := top.FreePorts(); err != nil {
		t.Fatal(err)
	}
	return top
}

// put writes a note and, when told to insist, tries again with the same content
// until it is committed: putting is idempotent, so that is safe.
func put(ctx context.Context, c *fabric.Connection, key, value string) error {
	_, err := c.GetNetwork("yitong").GetContract("notes").SubmitWithContext(ctx, "put", client.WithArguments(key, value))
	return err
}

// insist puts until it is committed. A transaction that got lost with the node that had
// it is not waited for longer than it could take.
func insist(t *testing.T, c *fabric.Connection, key, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, 20*time.Second)
		err := put(try, c, key, value)
		done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("putting %s: %v", key, err)
		case <-time.After(100 * time.Millisecond): // refusals come at once
		}
	}
}

func get(t *testing.T, c *fabric.Connection, key string) string {
	t.Helper()
	v, err := c.GetNetwork("yitong").GetContract("notes").EvaluateTransaction("get", key)
	if err != nil {
		t.Fatalf("getting %s: %v", key, err)
	}
	return string(v)
}

func TestABFTNetworkCommitsSurvivesCrashesAndResumes(t *testing.T) {
	dir, top := t.TempDir(), free(t, topology.Default())
	began := time.Now()
	s := open(t, dir, top, notesChaincode())
	s.start(t.Context())
	hospital := s.as("hospital-a")
	insist(t, hospital, "first", "1")
	t.Logf("from nothing to the first committed transaction: %v", time.Since(began))

	for _, process := range []string{"peer-hospital-b", "orderer-regulator"} {
		if err := s.Supervisor().Kill(process); err != nil {
			t.Fatal(err)
		}
		insist(t, hospital, "while "+process+" is down", "2")
		if err := s.Supervisor().Await(t.Context(), process); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []supervisor.EventKind{supervisor.Died, supervisor.Restarted} {
			if !s.saw(process, kind) {
				t.Errorf("no event tells that %s %s", process, kind)
			}
		}
	}
	for _, h := range s.Health(t.Context()) {
		if h.Err != nil {
			t.Errorf("%s doesn't answer: %v", h.Name, h.Err)
		}
	}
	stopping := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %v", time.Since(stopping))

	began = time.Now()
	s = open(t, dir, top, notesChaincode())
	if !s.Resumed() {
		t.Error("the second Open created the network anew")
	}
	s.start(t.Context())
	insurer := s.as("insurer")
	insist(t, insurer, "after", "3")
	t.Logf("from resuming to the first committed transaction: %v", time.Since(began))
	for key, want := range map[string]string{"first": "1", "while peer-hospital-b is down": "2", "while orderer-regulator is down": "2", "after": "3"} {
		if got := get(t, insurer, key); got != want {
			t.Errorf("note %q is %q, want %q", key, got, want)
		}
	}
}

func TestARaftNetworkCommitsAndSurvivesTheCrashOfItsOrderer(t *testing.T) {
	top := topology.Default()
	top.Consensus, top.Orderers = topology.Raft, top.Orderers[:3]
	s := open(t, t.TempDir(), free(t, top), notesChaincode())
	s.start(t.Context())
	insurer := s.as("insurer")
	insist(t, insurer, "first", "1")
	if err := s.Supervisor().Hold("orderer-hospital-a"); err != nil {
		t.Fatal(err)
	}
	insist(t, insurer, "second", "2")
	if got := get(t, insurer, "second"); got != "2" {
		t.Errorf("got %q", got)
	}
}

// A follower that comes back must catch up before it can lead. It once couldn't:
// its requests for blocks were refused, and the ledger stood still for good.
func TestABFTNetworkOutlivesAFollowerAndThenItsLeader(t *testing.T) {
	s := open(t, t.TempDir(), free(t, topology.Default()), notesChaincode())
	s.start(t.Context())
	insurer := s.as("insurer")
	// hospital-a's leads first, and when it is gone hospital-b's.
	for _, node := range []string{"orderer-hospital-b", "orderer-hospital-a"} {
		if err := s.Supervisor().Hold(node); err != nil {
			t.Fatal(err)
		}
		insist(t, insurer, "without "+node, "committed")
		if err := s.Supervisor().Release(node); err != nil {
			t.Fatal(err)
		}
		if err := s.Supervisor().Await(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		insist(t, insurer, "with "+node, "committed")
	}
}

// A process that is killed can't stop its network. Nothing may be left running,
// and nothing acknowledged may be lost.
func TestANetworkWhoseOwnerIsKilledResumesWithAllThatWasCommitted(t *testing.T) {
	binaries(t)
	dir := filepath.Join(t.TempDir(), "net")
	if err := created(t, dir, free(t, topology.Default())).Close(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.Command(self, "run-network", dir)
	owner.Stderr = os.Stderr
	said, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil || line != "committed\n" {
		t.Errorf("the owner said %q, %v", line, err)
	}
	_, err = unstarted(t, dir, nil)
	if inUse := new(fabric.InUse); !errors.As(err, &inUse) || inUse.PID != strconv.Itoa(owner.Process.Pid) {
		t.Errorf("while the owner lives: %v", err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()

	s := open(t, dir, nil, notesChaincode())
	s.start(t.Context())
	if got := get(t, s.as("regulator"), "before the kill"); got != "kept" {
		t.Errorf("got %q", got)
	}
}

// Every door is tried with no certificate and with one that isn't for it.
func TestDoorsOpenOnlyToTheCertificatesTheyAreFor(t *testing.T) {
	top := topology.Default()
	top.Consensus, top.Orderers = topology.Raft, top.Orderers[:1]
	s := open(t, t.TempDir(), free(t, top), notesChaincode())
	s.start(t.Context())
	hospital, _ := s.Member("hospital-a")
	insurer, _ := s.Member("insurer")
	orderer := top.Orderers[0]
	serverCA := filepath.Join(hospital.Dir(), "chaincode", "notes_1", "server", "tls-cert.pem")
	for _, door := range []struct {
		name, address, authority string
		in, out                  []fabric.Identity
	}{
		{"peer", hospital.PeerAddress(), hospital.TLSCA(), []fabric.Identity{hospital.Gateway(), insurer.Client()}, nil},
		{"ordering node", orderer.Address(), hospital.TLSCA(), []fabric.Identity{hospital.Gateway(), insurer.Gateway()}, nil},
		{"ordering node's admin port", orderer.AdminAddress(), hospital.TLSCA(), []fabric.Identity{hospital.Admin()}, []fabric.Identity{hospital.Gateway(), insurer.Admin()}},
		{"chaincode server", hospital.ChaincodeAddress(), serverCA,
			[]fabric.Identity{{TLSCert: filepath.Join(hospital.Dir(), "chaincode", "notes_1", "client", "tls-cert.pem"), TLSKey: filepath.Join(hospital.Dir(), "chaincode", "notes_1", "client", "tls-key.pem")}},
			[]fabric.Identity{hospital.Gateway(), insurer.Gateway(), hospital.Admin()}},
	} {
		for _, id := range door.in {
			if err := enter(t, door.address, door.authority, &id); err != nil {
				t.Errorf("%s: shut to %s: %v", door.name, id.TLSCert, err)
			}
		}
		for _, id := range door.out {
			if err := enter(t, door.address, door.authority, &id); err == nil {
				t.Errorf("%s: open to %s", door.name, id.TLSCert)
			}
		}
		if err := enter(t, door.address, door.authority, nil); err == nil {
			t.Errorf("%s: open to anyone", door.name)
		}
	}
}

// enter opens a TLS connection and says whether the server keeps it: with TLS
// 1.3 the server's refusal comes after the client's handshake is done.
func enter(t *testing.T, address, authority string, id *fabric.Identity) error {
	t.Helper()
	anyone := fabric.Identity{TLSCert: filepath.Join(filepath.Dir(authority), "..", "client", "tls-cert.pem"), TLSKey: filepath.Join(filepath.Dir(authority), "..", "client", "tls-key.pem")}
	if id != nil {
		anyone = *id
	}
	config, err := anyone.TLSConfig(authority)
	if err != nil {
		t.Fatal(err)
	}
	if id == nil {
		config.GetClientCertificate = nil
	}
	config.NextProtos = []string{"h2", "http/1.1"}
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		return err
	}
	defer c.Close()
	// A server that keeps the connection sends its settings (HTTP/2), or waits
	// for a request (HTTP/1.1) until the deadline.
	if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err = c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// One member serves a chaincode that lies. Alone it can't write; where any one
// member may endorse, it can: so it is the policy that stops it.
func TestALoneLiarIsStoppedByThePolicyAndByNothingElse(t *testing.T) {
	tampered := notesChaincode()
	tampered.Command = func(m *fabric.Member) fabric.Command {
		c := notesChaincode().Command(m)
		if m.Name == "insurer" {
			c.Env = []string{"NOTES_SUFFIX=, and a million"}
		}
		return c
	}
	loose := tampered
	loose.Name, loose.Policy = "loose", topology.Any
	dir := filepath.Join(t.TempDir(), "a directory, 医通")
	s := open(t, dir, free(t, topology.Default()), tampered, loose)
	s.start(t.Context())
	insurer := s.as("insurer")
	lie := func(chaincode string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		b, err := insurer.GetNetwork("yitong").GetContract(chaincode).SubmitWithContext(ctx, "put",
			client.WithArguments("claim", "1"), client.WithEndorsingOrganizations("Insurer"))
		return string(b), err
	}
	var invalid *client.CommitError
	if _, err := lie("notes"); !errors.As(err, &invalid) || invalid.Code != peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE {
		t.Errorf("under the majority's policy: %v", err)
	}
	if got, err := lie("loose"); err != nil || got != "1, and a million" {
		t.Errorf("under a loose policy: %q %v", got, err)
	}

	// The same chaincode under the majority's policy again: the next sequence.
	loose.Policy = ""
	if err := s.Deploy(t.Context(), loose); err != nil {
		t.Fatal(err)
	}
	if _, err := lie("loose"); !errors.As(err, &invalid) {
		t.Errorf("after the policy was tightened: %v", err)
	}
	// A new version, by servers that don't lie.
	honest := notesChaincode()
	honest.Name, honest.Version = "loose", "2"
	if err := s.Deploy(t.Context(), honest); err != nil {
		t.Fatal(err)
	}
	b, err := insurer.GetNetwork("yitong").GetContract("loose").SubmitTransaction("put", "claim", "1")
	if err != nil || string(b) != "1" {
		t.Errorf("after the upgrade: %q %v", b, err)
	}
	for _, p := range s.Supervisor().Status() {
		if strings.HasPrefix(p.Name, "chaincode-loose_1-") {
			t.Errorf("%s of the old version still runs", p.Name)
		}
	}
}
