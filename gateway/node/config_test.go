package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/registry"
	"yitong/gateway/node"
	"yitong/network/fabric/authority"
)

// folder makes every file that a configuration names, and the configuration.
func folder(t *testing.T) (dir string, c node.Config) {
	t.Helper()
	dir = t.TempDir()
	cert, key := pem(t)
	for name, content := range map[string][]byte{
		"passphrase": []byte("x"), "cert.pem": cert, "key.pem": key, "ca.pem": cert, "trust/HospitalA.pem": cert,
	} {
		write(t, filepath.Join(dir, name), content)
	}
	return dir, node.Config{
		Member:  node.Member{MSP: "HospitalA", Name: "hospital-a", Kind: registry.Hospital, Gateway: "127.0.0.1:7056"},
		Channel: "health", Chaincode: "yitong", Listen: "127.0.0.1:7056", State: "state", Passphrase: "passphrase",
		Identity: node.Pair{Cert: "cert.pem", Key: "key.pem"}, TLS: node.Pair{Cert: "cert.pem", Key: "key.pem"},
		Trust: "trust", Peers: []node.Peer{{Address: "127.0.0.1:7051", CA: "ca.pem"}}, Candidate: "candidate.json", LogLevel: "info",
	}
}

// pem is a certificate with its key.
func pem(t *testing.T) (cert, key []byte) {
	t.Helper()
	a, err := authority.New("hospital-a", "test")
	if err != nil {
		t.Fatal(err)
	}
	return a.Pair().Cert, a.Pair().Key
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestAConfigurationIsReadAsItWasWritten(t *testing.T) {
	dir, want := folder(t)
	path := filepath.Join(dir, "node.yaml")
	if err := node.WriteConfig(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := node.ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != filepath.Join(dir, "state") || got.Peers[0].CA != filepath.Join(dir, "ca.pem") {
		t.Errorf("relative paths became %s and %s, not paths under %s", got.State, got.Peers[0].CA, dir)
	}
	if got.Vault != filepath.Join(got.State, "vault") {
		t.Errorf("the vault is by default at %s", got.Vault)
	}
	if diff := cmp.Diff(want.Member, got.Member); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAVaultIsAFolderOrAStore(t *testing.T) {
	dir, c := folder(t)
	for _, test := range []struct{ given, want string }{
		{"sealed", filepath.Join(dir, "sealed")},
		{"/srv/sealed", "/srv/sealed"},
		{"s3://bucket?region=x", "s3://bucket?region=x"},
	} {
		path := filepath.Join(dir, "node.yaml")
		c.Vault = test.given
		if err := node.WriteConfig(path, c); err != nil {
			t.Fatal(err)
		}
		if got, err := node.ReadConfig(path); err != nil || got.Vault != test.want {
			t.Errorf("%s is read as %s, %v", test.given, got.Vault, err)
		}
	}
}

func TestEveryProblemOfAConfigurationIsNamedAtOnce(t *testing.T) {
	cases := map[string]struct {
		change func(*node.Config)
		want   []string
	}{
		"nothing is there": {
			change: func(c *node.Config) { *c = node.Config{} },
			want: []string{"channel is missing", "chaincode is missing", "state is missing", "candidate is missing", "member.name is missing",
				"member.msp", "member.kind", "member.gateway", "listen", "peers is empty", "passphrase is missing", "identity.cert is missing",
				"identity.key is missing", "tls.cert is missing", "tls.key is missing", "trust is missing"},
		},
		"a kind that doesn't exist":  {func(c *node.Config) { c.Member.Kind = "clinic" }, []string{"hospital, insurer or regulator"}},
		"a file that doesn't exist":  {func(c *node.Config) { c.TLS.Key = "gone.pem" }, []string{"tls.key", "gone.pem"}},
		"a peer without an address":  {func(c *node.Config) { c.Peers[0].Address = "" }, []string{"peers[0].address is missing"}},
		"an address without a port":  {func(c *node.Config) { c.Listen = "127.0.0.1" }, []string{"listen", "host:port"}},
		"a log level nobody knows":   {func(c *node.Config) { c.LogLevel = "loud" }, []string{"debug, info, warn or error"}},
		"a retention of no class":    {func(c *node.Config) { c.Retention = map[string]string{"selfies": "1y", "imaging": "long"} }, []string{"selfies", "retention of imaging"}},
		"a warning that is too long": {func(c *node.Config) { c.RetentionWarning = "5y" }, []string{"retention_warning", "1d to 1y"}},
		"a sweep too often":          {func(c *node.Config) { c.RetentionSweep = "1s" }, []string{"retention_sweep", "1m to 24h"}},
		"an insurer's retention": {func(c *node.Config) { c.Member.Kind, c.Retention = registry.Insurer, map[string]string{"claim": "5y"} },
			[]string{"retention is for hospitals"}},
		"an address with a word for a port": {func(c *node.Config) { c.Operations = "127.0.0.1:metrics" }, []string{"operations", "host:port"}},
		"a peer without a port":             {func(c *node.Config) { c.Peers[0].Address = "peer.example" }, []string{"peers[0].address", "host:port"}},
		"a policy that isn't there":         {func(c *node.Config) { c.Policy = "gone.cedar" }, []string{"policy", "gone.cedar"}},
		"a policy that can't be read":       {func(c *node.Config) { c.Policy = "passphrase" }, []string{"policy", "passphrase"}},
		"a key for a certificate":           {func(c *node.Config) { c.TLS.Cert = "key.pem" }, []string{"tls: ", "no certificate with its key"}},
		"a certificate that is none, twice": {func(c *node.Config) { c.Peers[0].CA, c.Identity.Cert = "passphrase", "passphrase" },
			[]string{"peers[0].ca", "identity: "}},
		"an authority of others alone": {func(c *node.Config) { c.Member.MSP = "HospitalB" }, []string{"trust: ", "HospitalB.pem"}},
		"two things wrong with it":     {func(c *node.Config) { c.Channel, c.Listen = "", "x" }, []string{"channel is missing", "listen"}},
		"an MSP id with a separator":   {func(c *node.Config) { c.Member.MSP = "a/b" }, []string{"member.msp"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir, c := folder(t)
			tc.change(&c)
			path := filepath.Join(dir, "node.yaml")
			if err := node.WriteConfig(path, c); err != nil {
				t.Fatal(err)
			}
			_, err := node.ReadConfig(path)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in:\n%v", want, err)
				}
			}
		})
	}
}

func TestAnUnknownKeyIsAnErrorThatNamesIt(t *testing.T) {
	dir, c := folder(t)
	path := filepath.Join(dir, "node.yaml")
	if err := node.WriteConfig(path, c); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(raw, "pasphrase: here\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.ReadConfig(path); err == nil || !strings.Contains(err.Error(), "pasphrase") {
		t.Errorf("got %v", err)
	}
}
