package fabric_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer/etcdraft"
	"google.golang.org/protobuf/proto"

	"yitong/network/fabric"
	"yitong/network/fabric/authority"
	"yitong/network/topology"
)

// unstarted opens a network without Fabric's programs.
func unstarted(t *testing.T, dir string, top *topology.Topology) (*fabric.Network, error) {
	t.Helper()
	b, err := fabric.Unstarted(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n, err := fabric.Open(dir, top, fabric.Options{Binaries: b, Executable: self})
	if err == nil {
		t.Cleanup(func() { n.Close() })
	}
	return n, err
}

func created(t *testing.T, dir string, top *topology.Topology) *fabric.Network {
	t.Helper()
	n, err := unstarted(t, dir, top)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func unmarshal[T proto.Message](t *testing.T, b []byte, into T) T {
	t.Helper()
	if err := proto.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
	return into
}

func channelGroup(t *testing.T, dir string) *common.ConfigGroup {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "genesis.block"))
	if err != nil {
		t.Fatal(err)
	}
	block := unmarshal(t, raw, new(common.Block))
	payload := unmarshal(t, unmarshal(t, block.Data.Data[0], new(common.Envelope)).Payload, new(common.Payload))
	return unmarshal(t, payload.Data, new(common.ConfigEnvelope)).Config.ChannelGroup
}

func TestTheFirstBlockSaysWhatTheTopologySays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	top := topology.Default()
	created(t, dir, top)
	g := channelGroup(t, dir)

	for _, m := range top.Members {
		ordering, application := g.Groups["Orderer"].Groups[m.MSP], g.Groups["Application"].Groups[m.MSP]
		if ordering == nil || application == nil {
			t.Fatalf("%s isn't in both groups", m.MSP)
		}
		if !bytes.Equal(ordering.Values["MSP"].Value, application.Values["MSP"].Value) {
			t.Errorf("%s is another member as it orders", m.MSP)
		}
		if got := unmarshal(t, ordering.Values["Endpoints"].Value, new(common.OrdererAddresses)).Addresses; len(got) != 1 {
			t.Errorf("%s has endpoints %v", m.MSP, got)
		}
		conf := unmarshal(t, unmarshal(t, application.Values["MSP"].Value, new(msp.MSPConfig)).Config, new(msp.FabricMSPConfig))
		if conf.Name != m.MSP || !conf.FabricNodeOus.Enable || len(conf.RootCerts) != 1 || conf.SigningIdentity != nil {
			t.Errorf("MSP of %s: %v", m.MSP, conf)
		}
	}
	consenters := unmarshal(t, g.Groups["Orderer"].Values["Orderers"].Value, new(common.Orderers)).ConsenterMapping
	if len(consenters) != 4 || consenters[0].Id != 1 || consenters[3].MspId != "Regulator" {
		t.Errorf("consenters %v", consenters)
	}
	policy := unmarshal(t, g.Groups["Orderer"].Policies["BlockValidation"].Policy.Value, new(common.SignaturePolicyEnvelope))
	if n := policy.Rule.GetNOutOf(); n.GetN() != 3 || len(n.GetRules()) != 4 {
		t.Errorf("a block is valid with %d of %d signatures, want 3 of 4", n.GetN(), len(n.GetRules()))
	}
	batch := unmarshal(t, g.Groups["Orderer"].Values["BatchSize"].Value, new(orderer.BatchSize))
	if batch.MaxMessageCount != 500 || batch.PreferredMaxBytes != 2<<20 {
		t.Errorf("batch %v", batch)
	}
	endorsement := unmarshal(t, g.Groups["Application"].Policies["Endorsement"].Policy.Value, new(common.ImplicitMetaPolicy))
	if endorsement.Rule != common.ImplicitMetaPolicy_MAJORITY || endorsement.SubPolicy != "Endorsement" {
		t.Errorf("endorsement %v", endorsement)
	}
}

func TestARaftTopologyAndAnExplicitPolicyReachTheFirstBlock(t *testing.T) {
	top := topology.Default()
	top.Consensus, top.Orderers = topology.Raft, top.Orderers[:1]
	top.Endorsement = "OutOf(2, 'HospitalA.peer', 'Insurer.peer', 'Regulator.peer')"
	dir := filepath.Join(t.TempDir(), "net")
	created(t, dir, top)
	g := channelGroup(t, dir)
	kind := unmarshal(t, g.Groups["Orderer"].Values["ConsensusType"].Value, new(orderer.ConsensusType))
	raft := unmarshal(t, kind.Metadata, new(etcdraft.ConfigMetadata))
	if kind.Type != "etcdraft" || len(raft.Consenters) != 1 || raft.Consenters[0].Port != uint32(top.Orderers[0].Ports.Orderer) {
		t.Errorf("%s %v", kind.Type, raft)
	}
	policy := unmarshal(t, g.Groups["Application"].Policies["Endorsement"].Policy.Value, new(common.SignaturePolicyEnvelope))
	if policy.Rule.GetNOutOf().GetN() != 2 || len(policy.Identities) != 3 {
		t.Errorf("endorsement %v", policy)
	}
	if len(g.Groups["Orderer"].Groups) != 1 {
		t.Error("members without an ordering node are in the ordering group")
	}
}

func TestKeysAreForTheOwnerOnlyAndNothingIsLeftAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	n := created(t, dir, nil)
	keys := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "key.pem") {
			return err
		}
		keys++
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil || keys < 4*9 {
		t.Errorf("%d keys, %v", keys, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".new")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the directory of the creation is still there")
	}
	m, err := n.Member("HospitalA")
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := os.ReadDir(m.TrustDir())
	if err != nil || len(trusted) != 4 || trusted[0].Name() != "HospitalA.pem" {
		t.Errorf("trust: %v %v", trusted, err)
	}
	gateway, err := os.ReadFile(m.Gateway().TLSCert)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := authority.ParseCert(gateway); err != nil || c.Subject.OrganizationalUnit[0] != "gateway" {
		t.Errorf("the gateway's TLS certificate: %v %v", c.Subject, err)
	}
}

func TestIdentitiesAreIssuedLaterAndOnlyOnce(t *testing.T) {
	n := created(t, filepath.Join(t.TempDir(), "net"), nil)
	m, err := n.Member("insurer")
	if err != nil {
		t.Fatal(err)
	}
	id, err := m.Issue("clerk-1", authority.Client, map[string]string{"role": "clerk"})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.Identity("clerk-1"); err != nil || again != id {
		t.Errorf("read back %v %v", again, err)
	}
	if _, err := id.TLSConfig(m.TLSCA()); err != nil {
		t.Error(err)
	}
	if _, err := m.Issue("clerk-1", authority.Client, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("issued twice: %v", err)
	}
	if _, err := m.Issue("../admin", authority.Admin, nil); err == nil {
		t.Error("a name with a path in it was taken")
	}
}

func TestADirectoryIsOpenOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	n := created(t, dir, nil)
	_, err := unstarted(t, dir, nil)
	var inUse *fabric.InUse
	if !errors.As(err, &inUse) || inUse.PID == "" || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("got %v", err)
	}
	if err := fabric.RemoveAll(dir); !errors.As(err, &inUse) {
		t.Errorf("removed while open: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if again := created(t, dir, nil); !again.Resumed() {
		t.Error("it wasn't resumed")
	}
}

func TestADirectoryOfSomebodyElseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(file, []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := unstarted(t, dir, nil); err == nil || !strings.Contains(err.Error(), "holds no network") {
		t.Errorf("got %v", err)
	}
	if err := fabric.RemoveAll(dir); err == nil {
		t.Error("it was removed")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestAnotherTopologyIsRefusedWithWhatDiffers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	if err := created(t, dir, nil).Close(); err != nil {
		t.Fatal(err)
	}
	other := topology.Default()
	other.Batch.Messages, other.Members[2].Ports.Peer = 9, 9999
	_, err := unstarted(t, dir, other)
	var changed *fabric.Changed
	if !errors.As(err, &changed) {
		t.Fatalf("got %v", err)
	}
	want := []string{"batch.messages: there 500, here 9", "members[2].ports.peer: there 7071, here 9999"}
	if diff := cmp.Diff(want, changed.Differences); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	louder := topology.Default()
	louder.LogLevel = "debug"
	if n, err := unstarted(t, dir, louder); err != nil || n.Topology().LogLevel != "debug" {
		t.Errorf("another log level was refused: %v", err)
	}
}

func TestACreationThatWasCutOffIsDoneAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	if err := created(t, dir, nil).Close(); err != nil {
		t.Fatal(err)
	}
	// As after a crash just before the end: all there but topology.yaml, and
	// what is there isn't whole.
	for _, name := range []string{"topology.yaml", "members/insurer/tlsca/key.pem"} {
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	n := created(t, dir, nil)
	if n.Resumed() {
		t.Error("half a network was resumed")
	}
	m, err := n.Member("insurer")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Issue("proof", authority.Client, nil); err != nil {
		t.Error(err)
	}
}

func TestALedgerWithoutItsTopologyIsNeverThrownAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	if err := created(t, dir, nil).Close(); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "members", "insurer", "peer", "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "topology.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := unstarted(t, dir, nil); err == nil || !strings.Contains(err.Error(), "put the file back") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(data); err != nil {
		t.Error(err)
	}
}

func TestPortsInUseAreNamedBeforeAnythingStarts(t *testing.T) {
	top := topology.Default()
	if err := top.FreePorts(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", top.Members[2].PeerAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := created(t, filepath.Join(t.TempDir(), "net"), top)
	err = n.Start(t.Context())
	var taken fabric.PortsTaken
	if !errors.As(err, &taken) || len(taken) != 1 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{top.Members[2].PeerAddress(), "peer of insurer", "in use"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v doesn't say %q", err, want)
		}
	}
	if len(n.Supervisor().Status()) != 0 {
		t.Error("something was started")
	}
}

func TestThePackageIDDependsOnTheLabelAlone(t *testing.T) {
	a, content, err := fabric.Pack("notes_1")
	if err != nil {
		t.Fatal(err)
	}
	b, again, err := fabric.Pack("notes_1")
	if err != nil {
		t.Fatal(err)
	}
	if a != b || !bytes.Equal(content, again) || !strings.HasPrefix(a, "notes_1:") {
		t.Errorf("%s and %s", a, b)
	}
}

// The builder's programs are run as a peer runs them.
func TestTheBuilderGivesThePeerItsMembersConnection(t *testing.T) {
	n := created(t, filepath.Join(t.TempDir(), "net"), nil)
	bin := filepath.Join(n.Dir(), "builder", "bin")
	work := t.TempDir()
	for _, d := range []string{"source", "metadata", "output", "release", "connections/notes_1"} {
		if err := os.MkdirAll(filepath.Join(work, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(program string, dirs ...string) error {
		for i := range dirs {
			dirs[i] = filepath.Join(work, dirs[i])
		}
		cmd := exec.Command(filepath.Join(bin, program), dirs...)
		cmd.Env = []string{"YITONG_CHAINCODE_CONNECTIONS=" + filepath.Join(work, "connections")}
		out, err := cmd.CombinedOutput()
		t.Logf("%s: %s", program, out)
		return err
	}
	write("metadata/metadata.json", `{"type":"ccaas","label":"notes_1"}`)
	write("connections/notes_1/connection.json", `{"address":"127.0.0.1:1"}`)
	for _, step := range [][]string{{"detect", "source", "metadata"}, {"build", "source", "metadata", "output"}, {"release", "output", "release"}} {
		if err := run(step[0], step[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(work, "release", "chaincode", "server", "connection.json"))
	var got map[string]string
	if err != nil || json.Unmarshal(b, &got) != nil || got["address"] != "127.0.0.1:1" {
		t.Errorf("%s %v", b, err)
	}
	for name, metadata := range map[string]string{
		"another type": `{"type":"golang","label":"notes_1"}`, "a label that climbs": `{"type":"ccaas","label":"../x"}`, "no JSON": "",
	} {
		write("metadata/metadata.json", metadata)
		if run("detect", "source", "metadata") == nil {
			t.Errorf("%s was detected", name)
		}
	}
	if handled, _ := fabric.Builder("/usr/bin/yitong", nil); handled {
		t.Error("the program's own name was taken for the builder's")
	}
}
