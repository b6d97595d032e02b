package consortium

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/renameio/v2"

	"yitong/chaincode/access"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/provider"
	"yitong/gateway/node"
	"yitong/network/fabric"
	"yitong/network/topology"
)

// signingIn are the roles of the people that a member's sign-in provider makes up.
var signingIn = map[topology.Kind][]access.Role{
	topology.Hospital:  {access.Clinician, access.RecordsOfficer, access.Auditor, access.Operator, access.PatientRole},
	topology.Insurer:   {access.ClaimsHandler, access.Auditor, access.Operator, access.PatientRole},
	topology.Regulator: {access.Auditor, access.Operator, access.PatientRole},
}

// exampleService is a backend service that only reads.
const (
	exampleService = "example"
	exampleScope   = "system/*.rs"
)

func providerFolder(m *fabric.Member) string { return filepath.Join(m.Dir(), "provider") }

// signInAddress is where a member's provider serves; "" where it has none, and where the
// member isn't on this machine's own addresses: it is for trying.
func signInAddress(m *fabric.Member) string {
	address := m.ProviderAddress()
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return ""
	}
	return address
}

// startProvider has people sign in for a member, on this machine itself.
func (c *Consortium) startProvider(m *fabric.Member) error {
	address := signInAddress(m)
	if address == "" {
		return nil
	}
	var roles []string
	for _, r := range signingIn[m.Kind] {
		roles = append(roles, string(r))
	}
	p, err := provider.Start(address, providerFolder(m), m.Name, roles)
	if err != nil {
		return fmt.Errorf("the sign-in provider of %s: %w", m.Name, err)
	}
	c.providers = append(c.providers, p)
	return nil
}

// takeTokens has a gateway take the tokens of its member's sign-in provider, and of an
// example of a backend service.
func takeTokens(m *fabric.Member, config *node.Config, profile *client.Profile) error {
	if address := signInAddress(m); address != "" {
		issuer := "http://" + address
		config.Tokens.People = []node.People{{Issuer: issuer, Audience: provider.ClientID, Name: provider.NameClaim, Role: provider.RoleClaim}}
		profile.Login = &client.Login{Issuer: issuer, Client: provider.ClientID}
	}
	if m.HTTPAddress() == "" {
		return nil
	}
	folder := filepath.Join(m.Dir(), "service")
	key, public := filepath.Join(folder, "key.json"), filepath.Join(folder, "jwks.json")
	if err := makeServiceKey(folder, key, public); err != nil {
		return fmt.Errorf("the key of the example service: %w", err)
	}
	config.Tokens.Services = []node.Service{{ID: exampleService, JWKS: public, Scopes: []string{exampleScope}}}
	profile.Service = &client.Service{ID: exampleService, Key: key, URL: "https://" + m.HTTPAddress()}
	return nil
}

// makeServiceKey makes a key pair once. The public half comes first: what a crash left of
// the first half is made anew.
func makeServiceKey(folder, key, public string) error {
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return err
	}
	pair := jose.JSONWebKey{Key: private, KeyID: client.NewID(), Algorithm: string(jose.ES384), Use: "sig"}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	doc, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{pair.Public()}})
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(public, doc, 0o644); err != nil {
		return err
	}
	if doc, err = pair.MarshalJSON(); err != nil {
		return err
	}
	return renameio.WriteFile(key, doc, 0o600)
}
