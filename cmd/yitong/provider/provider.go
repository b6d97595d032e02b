// Package provider is a small OpenID provider for `yitong up`, so that signing in can be
// tried without one of one's own. It is not for production, and refuses to be: it serves on
// this machine itself only, its people are made up, one for each role, and whoever can read
// its folder is all of them.
//
//	FOLDER/people.yaml   who there is; passwords made at random, mode 0600
//	FOLDER/key.json      signs tokens, mode 0600
//
// The protocol is zitadel/oidc's, a certified implementation: authorization code flow with
// PKCE (RFC 7636), required, for one public client whose redirects go to this machine
// (RFC 8252), device codes (RFC 8628) where there is no browser, and refresh tokens. Sessions are kept in memory: after a restart people sign
// in again.
package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/renameio/v2"
	"github.com/zitadel/oidc/v3/pkg/op"
	"go.yaml.in/yaml/v3"
)

// ClientID is that of the one client, and the audience of all tokens.
const ClientID = "yitong"

// The claims that say who somebody is.
const (
	NameClaim = "preferred_username"
	RoleClaim = "roles"
)

// Person is somebody who can sign in.
type Person struct {
	Name     string `yaml:"name"`
	Role     string `yaml:"role"`
	Password string `yaml:"password"`
}

const peopleName, keyName = "people.yaml", "key.json"

// PeopleFile is where the people of a folder and their passwords are.
func PeopleFile(folder string) string { return filepath.Join(folder, peopleName) }

// People reads who can sign in.
func People(folder string) ([]Person, error) {
	doc, err := os.ReadFile(PeopleFile(folder))
	if err != nil {
		return nil, fmt.Errorf("reading who can sign in: %w", err)
	}
	var people []Person
	return people, yaml.Unmarshal(doc, &people)
}

// Provider is one that serves. Close ends it.
type Provider struct {
	issuer string
	server *http.Server
}

// Start serves at an address of this machine itself, host:port; any other is refused. The
// first time it makes a person for each role, of the role's name.
func Start(address, folder, member string, roles []string) (*Provider, error) {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("the provider of `yitong up` is for trying: it serves on this machine itself only, never on %q", address)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("making the provider's folder: %w", err)
	}
	if err := makePeople(folder, roles); err != nil {
		return nil, err
	}
	people, err := People(folder)
	if err != nil {
		return nil, err
	}
	key, err := signingKey(filepath.Join(folder, keyName))
	if err != nil {
		return nil, err
	}
	p := &Provider{issuer: "http://" + address}
	store := newStorage(people, key)
	var secret [32]byte
	rand.Read(secret[:]) // never fails (crypto/rand)
	protocol, err := op.NewProvider(&op.Config{
		CryptoKey: secret, CodeMethodS256: true, GrantTypeRefreshToken: true,
		DeviceAuthorization: op.DeviceAuthorizationConfig{Lifetime: signInTime, PollInterval: time.Second, UserFormPath: devicePath, UserCode: op.UserCodeBase20},
		SupportedScopes:     []string{"openid", "profile", "offline_access"}, SupportedClaims: []string{"sub", NameClaim, RoleClaim},
	}, store, op.StaticIssuer(p.issuer), op.WithAllowInsecure(), op.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	if err != nil {
		return nil, fmt.Errorf("making the provider: %w", err)
	}
	mux := http.NewServeMux()
	pages := &pages{member: member, storage: store, done: op.AuthCallbackURL(protocol)}
	mux.HandleFunc("GET "+signInPath, pages.show)
	mux.Handle("POST "+signInPath, op.NewIssuerInterceptor(protocol.IssuerFromRequest).HandlerFunc(pages.check))
	mux.HandleFunc("GET "+devicePath, pages.showDevice)
	mux.HandleFunc("POST "+devicePath, pages.checkDevice)
	mux.Handle("/", protocol)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the provider can't listen: %w", err)
	}
	p.server = &http.Server{
		Handler: onlyAs(address, mux), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

// Issuer is its address.
func (p *Provider) Issuer() string { return p.issuer }

// Close ends it at once: it keeps nothing that could be lost.
func (p *Provider) Close() error { return p.server.Close() }

// onlyAs refuses requests for another host, so that no page of another site gets answers by
// having its own name resolve to this machine (DNS rebinding).
func onlyAs(host string, to http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if in.Host != host {
			http.Error(out, "this is http://"+host, http.StatusMisdirectedRequest)
			return
		}
		in.Body = http.MaxBytesReader(out, in.Body, 64<<10)
		to.ServeHTTP(out, in)
	})
}

func makePeople(folder string, roles []string) error {
	if _, err := os.Stat(PeopleFile(folder)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var people []Person
	for _, role := range roles {
		people = append(people, Person{Name: role, Role: role, Password: random()})
	}
	doc, err := yaml.Marshal(people)
	if err != nil {
		return err
	}
	return renameio.WriteFile(PeopleFile(folder), append([]byte("# Made up, for trying. Change, add and remove people as you like, and start again.\n"), doc...), 0o600)
}

// random is 128 bits, in hexadecimal digits.
func random() string {
	var secret [16]byte
	rand.Read(secret[:]) // never fails (crypto/rand)
	return hex.EncodeToString(secret[:])
}

// signingKey is made the first time.
func signingKey(path string) (key jose.JSONWebKey, err error) {
	doc, err := os.ReadFile(path)
	if err == nil {
		return key, key.UnmarshalJSON(doc)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return key, err
	}
	key = jose.JSONWebKey{Key: private, KeyID: random(), Algorithm: string(jose.ES256), Use: "sig"}
	if doc, err = key.MarshalJSON(); err != nil {
		return key, err
	}
	return key, renameio.WriteFile(path, doc, 0o600)
}

// is compares a password in constant time.
func (p Person) is(password string) bool {
	return subtle.ConstantTimeCompare([]byte(p.Password), []byte(password)) == 1
}

var _ op.Storage = (*storage)(nil)
