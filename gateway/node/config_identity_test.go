package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yitong/chaincode/access"
	"yitong/gateway/node"
)

// Whatever is wrong about tokens is named at once, with what would be right.
func TestTokensAreChecked(t *testing.T) {
	people := node.People{Issuer: "https://login.example", Audience: "yitong"}
	service := node.Service{ID: "engine", JWKS: "jwks.json", Scopes: []string{"system/Consent.rs"}}
	for _, test := range []struct {
		name   string
		listen string
		tokens node.Tokens
		want   []string // parts of the problems; none is none
	}{
		{"nothing", "", node.Tokens{}, nil},
		{"people", "", node.Tokens{People: []node.People{people}}, nil},
		{"both", "127.0.0.1:7058", node.Tokens{People: []node.People{people}, Services: []node.Service{service}}, nil},
		{"a name for the door", ":7058", node.Tokens{URL: "https://gateway.example", Services: []node.Service{service}}, nil},
		{"an issuer in the open", "", node.Tokens{People: []node.People{{Issuer: "http://login.example"}}}, []string{"people[0].issuer: ", "not https", "people[0].audience"}},
		{"HMAC", "", node.Tokens{People: []node.People{{Issuer: people.Issuer, Audience: "x", Algorithms: []string{"HS256", "none"}}}}, []string{`"HS256"`, `"none"`}},
		{"a role that isn't one", "", node.Tokens{People: []node.People{{Issuer: people.Issuer, Audience: "x", Roles: map[access.Role][]string{"boss": {"x"}}}}}, []string{`"boss" is no role; the roles are clinician`}},
		{"one value for two roles", "", node.Tokens{People: []node.People{{Issuer: people.Issuer, Audience: "x", Roles: map[access.Role][]string{"auditor": {"x"}, "operator": {"x"}}}}}, []string{"both auditor and operator"}},
		{"two providers alike", "", node.Tokens{People: []node.People{people, people}}, []string{"stands twice", "prefix"}},
		{"a CA that isn't there", "", node.Tokens{People: []node.People{{Issuer: people.Issuer, Audience: "x", CA: "nowhere.pem"}}}, []string{"people[0].ca"}},
		{"services without HTTPS", "", node.Tokens{Services: []node.Service{service}}, []string{"set listen_http"}},
		{"an address that nobody can write", "0.0.0.0:7058", node.Tokens{Services: []node.Service{service}}, []string{"url is missing"}},
		{"an empty service", "127.0.0.1:7058", node.Tokens{Services: []node.Service{{}}}, []string{"services[0].id", "jwks (a file) or jwks_url", "scopes is empty"}},
		{"scopes that aren't", "127.0.0.1:7058", node.Tokens{Services: []node.Service{{ID: "x", JWKS: "jwks.json", Scopes: []string{"patient/*.rs", "system/Consent.sr"}}}}, []string{"patient/*.rs", "system/Consent.sr"}},
		{"keys that aren't", "127.0.0.1:7058", node.Tokens{Services: []node.Service{{ID: "x", JWKS: "key.pem", Scopes: service.Scopes}}}, []string{"services[0].jwks"}},
		{"tokens for an hour", "", node.Tokens{Lifetime: "1h"}, []string{"lifetime", "1m to 5m"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, c := folder(t)
			if err := os.WriteFile(filepath.Join(dir, "jwks.json"), []byte(`{"keys":[]}`), 0o600); err != nil {
				t.Fatal(err)
			}
			c.ListenHTTP, c.Tokens = test.listen, test.tokens
			path := filepath.Join(dir, "node.yaml")
			if err := node.WriteConfig(path, c); err != nil {
				t.Fatal(err)
			}
			_, err := node.ReadConfig(path)
			if (err == nil) != (len(test.want) == 0) {
				t.Fatalf("got %v", err)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v doesn't say %q", err, part)
				}
			}
		})
	}
}
