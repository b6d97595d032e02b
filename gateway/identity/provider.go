package identity

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"yitong/chaincode/access"
)

// Provider is an OpenID provider of this member's people.
type Provider struct {
	// Issuer is its address, https, or http on this machine itself.
	Issuer string
	// Audience is whom its tokens are for here: the client id, or the name of the API.
	Audience string
	// Roots are the authorities of its own TLS certificate; nil are the system's.
	Roots *x509.CertPool
	// Algorithms it may sign with; by default all of Algorithms.
	Algorithms []string
	// Name is the claim with the person's name: the claim's own name, or a JSON Pointer
	// (RFC 6901) that begins with a slash. By default sub. Prefix comes before it.
	Name, Prefix string
	// Role is the claim with what the person is: a string, or an array of them. By default
	// roles. Roles are the values that make somebody a role here; nil takes the roles' own
	// names.
	Role  string
	Roles map[access.Role][]string
}

// Algorithms are those that tokens of people may be signed with (RFC 7518, RFC 8037): none
// without a private key.
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Roles are those that a token can give.
var Roles = []access.Role{access.Clinician, access.RecordsOfficer, access.ClaimsHandler, access.Auditor, access.Operator, access.PatientRole}

// How long things are believed, and asked for.
const (
	longestSession = 24 * time.Hour   // from a token's issue
	keepEvery      = 15 * time.Minute // keys are fetched again
	keysHold       = time.Hour        // they are believed without having been fetched again
	askEvery       = 10 * time.Second // an issuer is asked at most
	askTime        = 5 * time.Second  // one answer
)

// Check names everything that is wrong, one error each.
func (p Provider) Check() (problems []error) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if err := CheckURL(p.Issuer); err != nil {
		problem("issuer: %v", err)
	}
	if p.Audience == "" {
		problem("audience is missing: the client id under which this gateway's people sign in")
	}
	for _, a := range p.Algorithms {
		if !slices.Contains(Algorithms, a) {
			problem("algorithms: %q can't be one; choose of %s", a, strings.Join(Algorithms, ", "))
		}
	}
	if len(p.Prefix) > 64 {
		problem("prefix is longer than 64 bytes")
	}
	means := map[string]access.Role{}
	for role, values := range p.Roles {
		if !role.Known() {
			problem("roles: %q is no role; the roles are %s", role, roleNames())
		}
		for _, v := range values {
			if other, twice := means[v]; twice && other != role {
				problem("roles: %q can't mean both %s and %s", v, min(role, other), max(role, other))
			}
			means[v] = role
		}
	}
	return problems
}

func roleNames() string {
	names := make([]string, len(Roles))
	for i, r := range Roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

// CheckURL refuses an address that isn't https, except on this machine itself, and one with
// a query, a fragment or a password in it.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return fmt.Errorf("%q is no address; write it as https://login.example", text)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fmt.Errorf("%q has a query, a fragment or a user in it; leave them out", text)
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%q is not https; only on this machine itself (127.0.0.1, ::1, localhost) may it be http", text)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// provider verifies the tokens of one.
type provider struct {
	Provider
	client *http.Client
	means  map[string]access.Role
	now    func() time.Time
	tell   func(issuer string, err error)

	mu   sync.Mutex
	keys *keyset // nil until the provider was discovered
	err  error   // of the last try to reach it
	told bool    // what err is
}

func newProvider(p Provider) (*provider, error) {
	if err := errors.Join(p.Check()...); err != nil {
		return nil, fmt.Errorf("the provider %s: %w", p.Issuer, err)
	}
	p.Name, p.Role = cmp.Or(p.Name, "sub"), cmp.Or(p.Role, "roles")
	if len(p.Algorithms) == 0 {
		p.Algorithms = Algorithms
	}
	one := &provider{Provider: p, client: newClient(p.Roots), means: map[string]access.Role{}, now: time.Now, tell: func(string, error) {}}
	for role, values := range p.Roles {
		for _, v := range values {
			one.means[v] = role
		}
	}
	if p.Roles == nil {
		for _, role := range Roles {
			one.means[string(role)] = role
		}
	}
	return one, nil
}

// newClient asks issuers: soon, over TLS 1.2 or better, and without being sent elsewhere.
func newClient(roots *x509.CertPool) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	t.MaxResponseHeaderBytes = 64 << 10
	return &http.Client{
		Transport: bounded{t}, Timeout: askTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// found returns the provider's keys, discovering it the first time.
func (p *provider) found(ctx context.Context) (*keyset, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys != nil {
		return p.keys, nil
	}
	// Callers wait for each other here, and for askTime at most: who comes after a failure
	// within askEvery is given the same answer.
	if p.err != nil && p.told {
		var failed *discoveryFailure
		if errors.As(p.err, &failed) && p.now().Sub(failed.at) < askEvery {
			return nil, p.err
		}
	}
	discovered, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.Issuer)
	var document struct {
		KeysAt string `json:"jwks_uri"`
	}
	if err == nil {
		err = discovered.Claims(&document)
	}
	if err == nil {
		err = CheckURL(document.KeysAt)
	}
	if err != nil {
		p.note(&discoveryFailure{err, p.now()})
		return nil, p.err
	}
	p.keys = newKeyset(fetchURL(p.client, document.KeysAt), p.now)
	return p.keys, nil
}

type discoveryFailure struct {
	error
	at time.Time
}

func (f *discoveryFailure) Unwrap() error { return f.error }

func (p *provider) tells(tell func(issuer string, err error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell = tell
}

// note keeps how it went, and tells of a change. The caller holds mu.
func (p *provider) note(err error) {
	if !p.told || (err == nil) != (p.err == nil) {
		p.tell(p.Issuer, err)
	}
	p.err, p.told = err, true
}

// refresh discovers the provider and fetches its keys.
func (p *provider) refresh(ctx context.Context) {
	keys, err := p.found(ctx)
	if err != nil {
		return // noted
	}
	err = keys.refresh(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(err)
}

// problem is why tokens of this provider can't be verified; nil where they can.
func (p *provider) problem() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys == nil && p.err == nil {
		return errors.New("not asked yet")
	}
	return p.err
}

// verify implements issuer, by OpenID Connect Core 1.0, section 3.1.3.7.
func (p *provider) verify(ctx context.Context, t token) (Bearer, error) {
	if err := t.typed("", "jwt", "at+jwt"); err != nil {
		return Bearer{}, err
	}
	if t.header.KeysAt != "" {
		return Bearer{}, refuse("the token's header has jku: keys are taken from the issuer only")
	}
	if !slices.Contains(p.Algorithms, t.header.Algorithm) {
		return Bearer{}, refuse("tokens signed by %.20q are not taken: %s", t.header.Algorithm, strings.Join(p.Algorithms, ", "))
	}
	keys, err := p.found(ctx)
	if err != nil {
		return Bearer{}, ErrUnavailable
	}
	// Times are compared below, with less leeway for the beginning and some for the end.
	verifier := oidc.NewVerifier(p.Issuer, keys.accepting(p.Algorithms), &oidc.Config{ClientID: p.Audience, SupportedSigningAlgs: p.Algorithms, SkipExpiryCheck: true})
	if _, err := verifier.Verify(ctx, t.text); err != nil {
		switch {
		case keys.stale():
			return Bearer{}, ErrUnavailable
		case !t.isFor(p.Audience):
			return Bearer{}, refuse("the token is for another audience than %s", p.Audience)
		}
		return Bearer{}, refuse("the token's signature is none of its issuer's")
	}
	if !t.isFor(p.Audience) { // as we read it
		return Bearer{}, refuse("the token is for another audience than %s", p.Audience)
	}
	expires, err := t.current(p.now(), longestSession)
	if err != nil {
		return Bearer{}, err
	}
	b := Bearer{Issuer: p.Issuer, Expires: expires}
	if b.Name, err = p.nameIn(t); err != nil {
		return Bearer{}, err
	}
	b.Role, err = p.roleIn(t)
	return b, err
}
