package node

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"yitong/chaincode/access"
	"yitong/gateway/api"
	"yitong/gateway/identity"
	"yitong/gateway/identity/scope"
	"yitong/gateway/keys"
	"yitong/gateway/operations"
)

// Tokens says who may show a token instead of a client certificate, or beside one.
// Without it nobody may.
type Tokens struct {
	// URL is the address of the HTTPS door as callers write it, https://host:port. By
	// default it is made of listen_http.
	URL string `yaml:"url,omitempty"`
	// People are the OpenID providers at which the member's people sign in.
	People []People `yaml:"people,omitempty"`
	// Services are the member's systems that get tokens for less than the member may
	// (SMART's backend services). Tokens come from URL/oauth/token.
	Services []Service `yaml:"services,omitempty"`
	// Lifetime is how long a service's token lasts: 1m to 5m, by default 5m.
	Lifetime string `yaml:"lifetime,omitempty"`
}

// People is one OpenID provider.
type People struct {
	// Issuer is its address; its discovery document is below it.
	Issuer string `yaml:"issuer"`
	// Audience is the client id that people sign in with, or the name of the API that the
	// provider makes access tokens for.
	Audience string `yaml:"audience"`
	// CA is the authority of its TLS certificate, a PEM file; by default the system's.
	CA string `yaml:"ca,omitempty"`
	// Algorithms it may sign with; by default all that need a private key.
	Algorithms []string `yaml:"algorithms,omitempty"`
	// Name is the claim with the person's name, by default sub; a JSON Pointer where it
	// begins with a slash.
	Name string `yaml:"name,omitempty"`
	// Prefix goes before the person's name; two providers need one each.
	Prefix string `yaml:"prefix,omitempty"`
	// Role is the claim with what the person is, by default roles; a JSON Pointer where it
	// begins with a slash.
	Role string `yaml:"role,omitempty"`
	// Roles lists, for clinician, records-officer, claims-handler, auditor, operator and
	// patient, the values of that claim that make somebody one; by default these words
	// themselves.
	Roles map[access.Role][]string `yaml:"roles,omitempty"`
}

// Service is one system that gets tokens.
type Service struct {
	// ID is its client id.
	ID string `yaml:"id"`
	// JWKS is a file with its public keys (RFC 7517).
	JWKS string `yaml:"jwks,omitempty"`
	// JWKSURL is an https address that has its public keys, in place of jwks.
	JWKSURL string `yaml:"jwks_url,omitempty"`
	// CA is the authority of that address's certificate, a PEM file; by default the system's.
	CA string `yaml:"ca,omitempty"`
	// Scopes are the most that it may have: system/Consent.rs, …
	Scopes []string `yaml:"scopes"`
}

func (t *Tokens) resolve(folder string) {
	for n := range t.People {
		t.People[n].CA = below(folder, t.People[n].CA)
	}
	for n := range t.Services {
		t.Services[n].JWKS, t.Services[n].CA = below(folder, t.Services[n].JWKS), below(folder, t.Services[n].CA)
	}
}

func below(folder, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}

// url is where callers reach the HTTPS door; "" where it isn't open.
func (t Tokens) url(listenHTTP string) string {
	host, port, err := net.SplitHostPort(listenHTTP)
	if t.URL != "" || err != nil || port == "0" {
		return t.URL
	}
	return "https://" + net.JoinHostPort(host, port)
}

// lifetime is that of a service's token.
func (t Tokens) lifetime() (time.Duration, error) {
	return time.ParseDuration(cmp.Or(t.Lifetime, "5m"))
}

// check names every problem at once.
func (t Tokens) check(listenHTTP string) (problems []error) {
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("  - tokens."+format, args...))
	}
	issuers, prefixes := map[string]bool{}, map[string]bool{}
	for n, p := range t.People {
		one, err := p.provider()
		for _, err := range append(one.Check(), err) {
			if err != nil {
				problem("people[%d].%w", n, err)
			}
		}
		if issuers[p.Issuer] {
			problem("people[%d].issuer: %s stands twice", n, p.Issuer)
		}
		if prefixes[p.Prefix] {
			problem("people[%d].prefix: two providers need a prefix each, so that one's people don't pass for the other's", n)
		}
		issuers[p.Issuer], prefixes[p.Prefix] = true, true
	}
	ids := map[string]bool{}
	for n, s := range t.Services {
		one, err := s.client()
		for _, err := range append(one.Check(), err) {
			if err != nil {
				problem("services[%d].%w", n, err)
			}
		}
		if ids[s.ID] {
			problem("services[%d].id: %q stands twice", n, s.ID)
		}
		ids[s.ID] = true
	}
	if d, err := t.lifetime(); err != nil || d < time.Minute || d > 5*time.Minute {
		problem("lifetime is %q; it must be a time from 1m to 5m", t.Lifetime)
	}
	host, _, _ := net.SplitHostPort(listenHTTP)
	ip := net.ParseIP(host)
	switch url := t.url(listenHTTP); {
	case len(t.Services) > 0 && listenHTTP == "":
		problem("services get their tokens over HTTPS: set listen_http")
	case t.URL == "" && listenHTTP != "" && len(t.Services) > 0 && (host == "" || ip != nil && ip.IsUnspecified()):
		problem("url is missing: listen_http is %q, which no caller can write; say how they do, as https://gateway.example", listenHTTP)
	case url != "":
		if err := identity.CheckURL(url); err != nil {
			problem("url: %w", err)
		}
	}
	return problems
}

func (p People) provider() (identity.Provider, error) {
	roots, err := authorities(p.CA)
	return identity.Provider{
		Issuer: p.Issuer, Audience: p.Audience, Roots: roots, Algorithms: p.Algorithms,
		Name: p.Name, Prefix: p.Prefix, Role: p.Role, Roles: p.Roles,
	}, err
}

func (s Service) client() (identity.Client, error) {
	roots, err := authorities(s.CA)
	if s.JWKS != "" {
		doc, ferr := os.ReadFile(s.JWKS)
		if ferr == nil {
			_, ferr = identity.ParseKeys(doc)
		}
		if ferr != nil {
			err = errors.Join(err, fmt.Errorf("jwks: %w", ferr))
		}
	}
	c := identity.Client{ID: s.ID, KeysFile: s.JWKS, KeysURL: s.JWKSURL, Roots: roots}
	for _, text := range s.Scopes {
		one, serr := scope.Parse(text)
		if serr != nil {
			err = errors.Join(err, fmt.Errorf("scopes: %w", serr))
			continue
		}
		c.Scopes = append(c.Scopes, one)
	}
	return c, err
}

// authorities reads a PEM file; nil, the system's, where there is none.
func authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(doc) {
		return nil, fmt.Errorf("ca: %s holds no PEM certificate", path)
	}
	return pool, nil
}

// bearers are those who come with a token.
type bearers struct {
	verifier *identity.Verifier
	services *identity.Services // nil without any
	replays  *identity.Replays
}

// openIdentity opens what verifying tokens takes. No provider is asked for anything.
func openIdentity(config Config, store *keys.Store) (b bearers, err error) {
	var people []identity.Provider
	for _, p := range config.Tokens.People {
		one, err := p.provider()
		if err != nil {
			return b, err
		}
		people = append(people, one)
	}
	if len(config.Tokens.Services) > 0 {
		c := identity.ServicesConfig{URL: config.Tokens.url(config.ListenHTTP), Store: store}
		for _, s := range config.Tokens.Services {
			one, err := s.client()
			if err != nil {
				return b, err
			}
			c.Clients = append(c.Clients, one)
		}
		if c.Lifetime, err = config.Tokens.lifetime(); err != nil {
			return b, err
		}
		if b.replays, err = identity.OpenReplays(filepath.Join(config.State, "assertions.db")); err != nil {
			return b, err
		}
		c.Replays = b.replays
		if b.services, err = identity.NewServices(c); err != nil {
			return b, errors.Join(err, b.Close())
		}
	}
	if b.verifier, err = identity.New(people, b.services); err != nil {
		return b, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close closes the memory of assertions.
func (b bearers) Close() error {
	if b.replays == nil {
		return nil
	}
	return b.replays.Close()
}

// keep keeps the providers' keys fresh until ctx ends. A provider that is away is told of,
// and keeps nothing else from working.
func (b bearers) keep(ctx context.Context, log *slog.Logger) {
	b.verifier.Keep(ctx, func(issuer string, err error) {
		if err != nil {
			log.Warn("the identity provider can't be reached: people with its tokens can't be let in", "issuer", issuer, "error", err)
			return
		}
		log.Info("the identity provider answers", "issuer", issuer)
	})
}

// tell gives operators a figure of the providers. Readiness doesn't depend on them: systems
// go on with their certificates.
func (b bearers) tell(o *operations.Operations) {
	o.Gauge("yitong_identity_providers_unreachable", "OpenID providers whose keys are not to be had: their people can't be let in.", func() float64 {
		away := 0
		for _, err := range b.verifier.Providers() {
			if err != nil {
				away++
			}
		}
		return float64(away)
	})
}

// mounts are the token endpoint and what describes it.
func (b bearers) mounts() (mounts []api.Mount) {
	if b.services == nil {
		return nil
	}
	for _, path := range identity.Paths {
		mounts = append(mounts, api.Mount{
			Path: path, Public: []string{path},
			New: func(grpc.ClientConnInterface) http.Handler { return b.services.Handler() },
		})
	}
	return mounts
}
