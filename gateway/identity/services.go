package identity

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"yitong/gateway/identity/scope"
	"yitong/gateway/keys"
)

// Client is a backend service that may get tokens.
type Client struct {
	ID string
	// KeysFile or KeysURL is where its public keys are (a JSON Web Key Set); one of both.
	KeysFile, KeysURL string
	Roots             *x509.CertPool // authorities of the URL's certificate; nil are the system's
	Scopes            []scope.Scope  // the most that it may have
}

// Check names everything that is wrong, one error each.
func (c Client) Check() (problems []error) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.ID == "" || len(c.ID) > maxName || strings.ContainsFunc(c.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		problem("id: write 1 to %d printable ASCII characters without spaces", maxName)
	}
	if (c.KeysFile == "") == (c.KeysURL == "") {
		problem("name its public keys by jwks (a file) or jwks_url, one of both")
	}
	if c.KeysURL != "" {
		if err := CheckURL(c.KeysURL); err != nil {
			problem("jwks_url: %v", err)
		}
	}
	if len(c.Scopes) == 0 {
		problem("scopes is empty: say what it may do, as system/Consent.rs")
	}
	return problems
}

// Store keeps the key that signs tokens (keys.Store).
type Store interface {
	Get(bucket, name string) ([]byte, error)
	Put(bucket, name string, value []byte) error
}

// ServicesConfig is what Services are made of.
type ServicesConfig struct {
	URL      string // of this gateway's HTTPS door, as its callers write it
	Clients  []Client
	Lifetime time.Duration // of a token; 0 is five minutes, and no more than that
	Store    Store
	Replays  *Replays
}

// Services give tokens to the member's backend services, and verify them. They are safe for
// concurrent use.
type Services struct {
	issuer   string
	clients  map[string]*client
	lifetime time.Duration
	key      jose.JSONWebKey // private
	signer   jose.Signer
	replays  *Replays
	now      func() time.Time
}

type client struct {
	Client
	keys *keyset
}

// What assertions of clients may be signed with (SMART App Launch 2.2), what our own tokens
// are, and how long they last.
var assertionAlgorithms = []string{"RS384", "ES384"}

const (
	tokenAlgorithm   = jose.ES256
	tokenType        = "at+jwt" // RFC 9068
	longestToken     = 5 * time.Minute
	longestAssertion = 5 * time.Minute
	keyBucket        = "identity"
	keyName          = "token-key"
)

// NewServices makes the key that signs tokens, the first time.
func NewServices(c ServicesConfig) (*Services, error) {
	if err := CheckURL(c.URL); err != nil {
		return nil, fmt.Errorf("this gateway's own address: %w", err)
	}
	s := &Services{
		issuer: strings.TrimSuffix(c.URL, "/"), clients: map[string]*client{}, lifetime: min(cmp.Or(c.Lifetime, longestToken), longestToken),
		replays: c.Replays, now: time.Now,
	}
	for _, one := range c.Clients {
		if err := errors.Join(one.Check()...); err != nil {
			return nil, fmt.Errorf("the service %q: %w", one.ID, err)
		}
		if s.clients[one.ID] != nil {
			return nil, fmt.Errorf("the service %q stands twice", one.ID)
		}
		fetch := fetchFile(one.KeysFile)
		if one.KeysURL != "" {
			fetch = fetchURL(newClient(one.Roots), one.KeysURL)
		}
		s.clients[one.ID] = &client{one, newKeyset(fetch, func() time.Time { return s.now() })}
	}
	var err error
	if s.key, err = signingKey(c.Store); err != nil {
		return nil, fmt.Errorf("the key that signs tokens: %w", err)
	}
	s.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: tokenAlgorithm, Key: s.key}, (&jose.SignerOptions{}).WithType(tokenType))
	return s, err
}

func signingKey(store Store) (jose.JSONWebKey, error) {
	var key jose.JSONWebKey
	doc, err := store.Get(keyBucket, keyName)
	if err == nil {
		defer clear(doc)
		return key, key.UnmarshalJSON(doc)
	}
	if !errors.Is(err, keys.ErrNotFound) {
		return key, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return key, err
	}
	key = jose.JSONWebKey{Key: private, Algorithm: string(tokenAlgorithm), Use: "sig"}
	print, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return key, err
	}
	key.KeyID = base64.RawURLEncoding.EncodeToString(print)
	if doc, err = key.MarshalJSON(); err != nil {
		return key, err
	}
	defer clear(doc)
	return key, store.Put(keyBucket, keyName, doc)
}

// Issued is a token that a service was given.
type Issued struct {
	Token   string
	Expires time.Duration // from now
	Scopes  []scope.Scope
}

// Issue gives a service a token for what it asks and may have, for an assertion of its own
// (RFC 7523 as SMART Backend Services profile it). The error is a Refusal, ErrReplayed or
// ErrUnavailable, or that no scope is left.
func (s *Services) Issue(ctx context.Context, assertion string, asked []scope.Scope) (Issued, error) {
	c, err := s.authenticate(ctx, assertion)
	if err != nil {
		return Issued{}, err
	}
	scopes := scope.Within(asked, c.Scopes)
	if len(scopes) == 0 {
		return Issued{}, errNoScope
	}
	now := s.now()
	var id [16]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	text, err := jwt.Signed(s.signer).Claims(map[string]any{
		"iss": s.issuer, "aud": s.issuer, "sub": c.ID, "client_id": c.ID, "scope": scope.List(scopes),
		"iat": now.Unix(), "exp": now.Add(s.lifetime).Unix(), "jti": hex.EncodeToString(id[:]),
	}).Serialize()
	return Issued{text, s.lifetime, scopes}, err
}

var errNoScope = errors.New("none of the scopes asked for is one that this client may have")

// authenticate returns the client whose assertion this is.
func (s *Services) authenticate(ctx context.Context, assertion string) (*client, error) {
	t, err := read(assertion)
	if err != nil {
		return nil, err
	}
	if err := t.typed("jwt"); err != nil {
		return nil, err
	}
	subject, _ := t.claims["sub"].(string)
	c, ok := s.clients[subject]
	if !ok || t.issuer != subject {
		return nil, refuse("iss and sub are not both the id of a client that is registered here")
	}
	switch {
	case !slices.Contains(assertionAlgorithms, t.header.Algorithm):
		return nil, refuse("assertions signed by %.20q are not taken: %s", t.header.Algorithm, strings.Join(assertionAlgorithms, " or "))
	case t.header.Key == "":
		return nil, refuse("the assertion doesn't name its key (kid)")
	case t.header.KeysAt != "" && t.header.KeysAt != c.KeysURL:
		return nil, refuse("the assertion's jku is not the address that is registered for this client")
	}
	// Audiences that others would take too would let them pass an assertion on to us.
	if to := t.audiences(); len(to) != 1 || to[0] != s.issuer+tokenPath {
		return nil, refuse("the assertion's audience is not %s alone", s.issuer+tokenPath)
	}
	if _, err := c.keys.verify(ctx, assertion, assertionAlgorithms); err != nil {
		if errors.Is(err, ErrUnavailable) {
			return nil, ErrUnavailable
		}
		return nil, refuse("the assertion's signature is none of this client's keys")
	}
	now := s.now()
	expires, ok := t.time("exp")
	switch {
	case !ok:
		return nil, refuse("the assertion doesn't say when it expires (exp)")
	case !now.Before(expires.Add(leeway)):
		return nil, refuse("the assertion has expired")
	case expires.After(now.Add(longestAssertion + leeway)):
		return nil, refuse("the assertion expires more than %s from now", longestAssertion)
	}
	for _, claim := range []string{"iat", "nbf"} {
		if _, there := t.claims[claim]; !there {
			continue
		}
		if at, ok := t.time(claim); !ok || now.Add(leeway).Before(at) {
			return nil, refuse("the assertion's %s is a time to come, or none", claim)
		}
	}
	id, _ := t.claims["jti"].(string)
	if id == "" || len(id) > 256 {
		return nil, refuse("the assertion has no jti of 1 to 256 characters")
	}
	return c, s.replays.Take(c.ID, id, expires.Add(2*leeway), now)
}

// verify implements issuer, for our own tokens.
func (s *Services) verify(_ context.Context, t token) (Bearer, error) {
	if err := t.typed(tokenType); err != nil {
		return Bearer{}, err
	}
	signed, err := jose.ParseSignedCompact(t.text, []jose.SignatureAlgorithm{tokenAlgorithm})
	if err != nil || t.header.KeysAt != "" {
		return Bearer{}, refuse("the token's signature is none of this gateway's")
	}
	if _, err := signed.Verify(s.key.Public().Key); err != nil {
		return Bearer{}, refuse("the token's signature is none of this gateway's")
	}
	if !t.isFor(s.issuer) {
		return Bearer{}, refuse("the token is for another audience than %s", s.issuer)
	}
	expires, err := t.current(s.now(), longestToken)
	if err != nil {
		return Bearer{}, err
	}
	id, _ := t.claims["client_id"].(string)
	had, _ := t.claims["scope"].(string)
	return s.registered(Bearer{Service: id, Scopes: scope.ParseList(had), Issuer: s.issuer, Expires: expires})
}

// registered leaves a service those of its scopes that it may have now.
func (s *Services) registered(b Bearer) (Bearer, error) {
	c, ok := s.clients[b.Service]
	if !ok {
		return Bearer{}, refuse("the client that the token was given to is not registered here any more")
	}
	b.Scopes = scope.Within(b.Scopes, c.Scopes)
	return b, nil
}

// published is the public key that verifies our tokens, as a JSON Web Key Set.
func (s *Services) published() ([]byte, error) {
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.key.Public()}})
}
