package topology_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"yitong/network/topology"
)

func TestTheDefaultIsValidAndItsFileReadsBackTheSame(t *testing.T) {
	d := topology.Default()
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	b, err := d.YAML()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "topology.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	back, err := topology.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if diff := cmp.Diff(d, back); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	for _, comment := range []string{"# A block is cut", "# hospital, insurer or regulator.", "timeout: 100ms", "preferred: 2MB"} {
		if !strings.Contains(string(b), comment) {
			t.Errorf("the file lacks %q:\n%s", comment, b)
		}
	}
	if len(d.Orderers) != 4 || d.Consensus != topology.BFT {
		t.Errorf("want four SmartBFT ordering nodes, got %d %s", len(d.Orderers), d.Consensus)
	}
}

func TestAShortFileIsFilledIn(t *testing.T) {
	got, err := topology.Parse([]byte(`
name: small
consensus: raft
members:
  - {name: a, msp: A, kind: hospital, host: 127.0.0.2}
orderers:
  - {member: a}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := topology.Default()
	want.Name, want.Consensus = "small", topology.Raft
	want.Members = []topology.Member{{Name: "a", MSP: "A", Kind: topology.Hospital, Host: "127.0.0.2"}}
	want.Orderers = []topology.Orderer{{Name: "a", Member: "a", Host: "127.0.0.2"}}
	want.Rebase(topology.DefaultPort)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAFileThatCantBeReadIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"nothing in it":             {"", "empty"},
		"an unknown key":            {"name: x\nendorsment: any\n", `line 2: unknown key "endorsment"`},
		"an unknown nested key":     {"members:\n  - name: a\n    prots: {}\n", `line 3: unknown key "prots"`},
		"a key given twice":         {"name: a\nname: b\n", "already defined at line 1"},
		"two documents":             {"name: a\n---\nname: b\n", "more than one YAML document"},
		"a size that isn't one":     {"batch: {preferred: much}\n", `line 1: size "much"`},
		"a size beyond any message": {"batch: {preferred: 4000MB}\n", "up to 2048MB"},
		"a time that isn't one":     {"batch: {timeout: soon}\n", "line 1"},
		"not YAML":                  {"\t- {", "yaml:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := topology.Parse([]byte(c.file))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestValidateNamesTheProblemAndTheCure(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*topology.Topology)
		want   []string // each in a problem of its own
	}{
		"three ordering nodes can't do BFT": {
			func(t *topology.Topology) { t.Orderers = t.Orderers[:3] },
			[]string{"at least 4 ordering nodes to survive one that fails or lies, there are 3: add 1, or use consensus: raft"},
		},
		"no ordering node": {
			func(t *topology.Topology) { t.Orderers, t.Consensus = nil, topology.Raft },
			[]string{"orderers: list at least one"},
		},
		"one port for two processes": {
			func(t *topology.Topology) { t.Members[1].Ports.Peer = t.Members[0].Ports.Gateway },
			[]string{"members[1].ports.peer 7050 (peer of hospital-b): taken by members[0].ports.gateway (gateway of hospital-a)"},
		},
		"ports that aren't": {
			func(t *topology.Topology) { t.Members[0].Ports.Peer = 80; t.Orderers[0].Ports.Admin = 70000 },
			[]string{"members[0].ports.peer 80", "orderers[0].ports.admin 70000"},
		},
		"an MSP id with a slash": {
			func(t *topology.Topology) { t.Members[2].MSP = "In/surer" },
			[]string{`members[2].msp "In/surer"`},
		},
		"MSP ids that differ by case only": {
			func(t *topology.Topology) { t.Members[1].MSP = "HOSPITALA" },
			[]string{`members[1].msp "HOSPITALA": members[0] has it already`},
		},
		"two members of one name": {
			func(t *topology.Topology) { t.Members[1].Name = "hospital-a"; t.Orderers[1].Member = "hospital-a" },
			[]string{`members[1].name "hospital-a": members[0] has it already`},
		},
		"a member name that climbs out of its directory": {
			func(t *topology.Topology) { t.Members[0].Name = "../x"; t.Orderers[0].Member = "../x" },
			[]string{`members[0].name "../x"`},
		},
		"a kind that isn't": {
			func(t *topology.Topology) { t.Members[3].Kind = "ministry" },
			[]string{`members[3].kind "ministry": use hospital, insurer or regulator`},
		},
		"an ordering node of nobody": {
			func(t *topology.Topology) { t.Orderers[0].Member = "stranger" },
			[]string{`orderers[0].member "stranger": no member has this name`},
		},
		"a host nobody can call": {
			func(t *topology.Topology) { t.Members[0].Host = "0.0.0.0"; t.Orderers[1].Host = "a b" },
			[]string{`members[0].host "0.0.0.0"`, `orderers[1].host "a b"`},
		},
		"a policy that names a stranger": {
			func(t *topology.Topology) { t.Endorsement = "OR('Stranger.peer')" },
			[]string{`no member has the MSP id "Stranger"`},
		},
		"settings out of range": {
			func(t *topology.Topology) {
				t.Batch = topology.Batch{}
				t.Database, t.LogLevel, t.Consensus, t.Channel, t.Name = "couchdb", "loud", "solo", "Big", ""
			},
			[]string{"batch.timeout", "batch.messages", "batch.preferred", "database", "log-level", "consensus \"solo\"", "channel \"Big\"", "name \"\""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := topology.Default()
			c.change(top)
			problems, ok := topology.AsProblems(top.Validate())
			if !ok || len(problems) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%s", len(problems), len(c.want), problems)
			}
			for _, want := range c.want {
				if !strings.Contains(problems.Error(), want) {
					t.Errorf("no problem says %q:\n%s", want, problems)
				}
			}
		})
	}
}

func TestPolicies(t *testing.T) {
	msps := []string{"A", "B.x", "C", "D"}
	leaf := func(id string) topology.Policy { return topology.Policy{MSP: id} }
	all := []topology.Policy{leaf("A"), leaf("B.x"), leaf("C"), leaf("D")}
	for policy, want := range map[string]topology.Policy{
		"majority":                   {Need: 3, Rules: all},
		"any":                        {Need: 1, Rules: all},
		"all":                        {Need: 4, Rules: all},
		"OR('A.peer', 'B.x.peer')":   {Need: 1, Rules: []topology.Policy{leaf("A"), leaf("B.x")}},
		"AND( 'A.peer' , 'C.peer' )": {Need: 2, Rules: []topology.Policy{leaf("A"), leaf("C")}},
		"OutOf(1, 'A.peer', AND('C.peer', 'D.peer'))": {Need: 1, Rules: []topology.Policy{
			leaf("A"), {Need: 2, Rules: []topology.Policy{leaf("C"), leaf("D")}},
		}},
	} {
		got, err := topology.ParsePolicy(policy, msps)
		if err != nil {
			t.Errorf("%s: %v", policy, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", policy, diff)
		}
	}
	for _, bad := range []string{
		"", "most", "OR()", "OR('A.peer'", "OR('A.peer'))", "OutOf('A.peer')", "OutOf(0, 'A.peer')",
		"OutOf(3, 'A.peer', 'C.peer')", "OR('A.admin')", "OR('A')", "XOR('A.peer')", "OR('A.peer';'C.peer')",
		strings.Repeat("AND(", 30) + "'A.peer'" + strings.Repeat(")", 30),
	} {
		if p, err := topology.ParsePolicy(bad, msps); err == nil {
			t.Errorf("%q was read as %+v", bad, p)
		}
	}
}

func TestRebaseNeverGivesAPortTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		top := topology.Default()
		for range rapid.IntRange(0, 5).Draw(t, "further ordering nodes") {
			n := len(top.Orderers)
			top.Orderers = append(top.Orderers, topology.Orderer{
				Name: "extra-" + string(rune('a'+n)), Host: "127.0.0.1",
				Member: top.Members[rapid.IntRange(0, 3).Draw(t, "host")].Name,
			})
		}
		top.Rebase(rapid.IntRange(1024, 60000).Draw(t, "base"))
		if err := top.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFreePortsAvoidsPortsInUse(t *testing.T) {
	top := topology.Default()
	if err := top.FreePorts(); err != nil {
		t.Fatal(err)
	}
	for _, p := range top.Ports() {
		l, err := net.Listen("tcp", p.Address())
		if err != nil {
			t.Errorf("%s: %v", p.Owner, err)
			continue
		}
		l.Close()
	}
}

func TestDifferencesNamesTheSettings(t *testing.T) {
	a, b := topology.Default(), topology.Default()
	b.Batch.Timeout = time.Second
	b.Members = b.Members[:3]
	got, err := topology.Differences(a, b)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{"batch.timeout: there 100ms, here 1s", "members[3].name: there regulator, here absent"} {
		if !strings.Contains(text, want) {
			t.Errorf("no difference says %q:\n%s", want, text)
		}
	}
	if same, err := topology.Differences(a, topology.Default()); err != nil || len(same) != 0 {
		t.Errorf("two defaults differ: %v %v", same, err)
	}
}

func FuzzParse(f *testing.F) {
	b, err := topology.Default().YAML()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("members: [{name: a}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		top, err := topology.Parse(b)
		if err != nil {
			return
		}
		written, err := top.YAML()
		if err != nil {
			t.Fatal(err)
		}
		back, err := topology.Parse(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		if diff := cmp.Diff(top, back); diff != "" {
			t.Errorf("(-written +read)\n%s", diff)
		}
	})
}

// Who is dead must not be needed for what is asked when it is dead: by default no hospital is
// an evaluator where there is a regulator and an insurer.
func TestWhoEvaluates(t *testing.T) {
	members := func(kinds ...topology.Kind) (list []topology.Member) {
		for i, k := range kinds {
			list = append(list, topology.Member{Name: fmt.Sprintf("%s-%d", k, i), Kind: k})
		}
		return list
	}
	const h, i, r = topology.Hospital, topology.Insurer, topology.Regulator
	for name, test := range map[string]struct {
		members []topology.Member
		listed  []string
		want    []string
	}{
		"the default":            {topology.Default().Members, nil, []string{"regulator", "insurer"}},
		"several of a kind":      {members(h, i, i, r, r), nil, []string{"regulator-3", "insurer-1"}},
		"no insurer":             {members(h, h, r), nil, []string{"regulator-2", "hospital-0"}},
		"no regulator":           {members(h, h, i), nil, []string{"insurer-2", "hospital-0"}},
		"hospitals only":         {members(h, h, h), nil, []string{"hospital-0", "hospital-1"}},
		"one member":             {members(h), nil, []string{"hospital-0"}},
		"those that are listed":  {members(h, i, r), []string{"hospital-0", "insurer-1"}, []string{"hospital-0", "insurer-1"}},
		"two regulators, no one": {members(r, r), nil, []string{"regulator-0", "regulator-1"}},
	} {
		if got := (&topology.Topology{Members: test.members, Evaluators: test.listed}).Evaluating(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v evaluate, want %v", name, got, test.want)
		}
	}
}
