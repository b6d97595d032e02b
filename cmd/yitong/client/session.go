package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/renameio/v2"
	"golang.org/x/oauth2"
)

// Session is a person who signed in at the member's OpenID provider. It lies beside the
// member's profile, for its owner's eyes, until the person signs out. Calls made with it show
// the ID token beside the certificate of the member's software. It is safe for concurrent use.
type Session struct {
	Issuer  string    `json:"issuer"`
	Client  string    `json:"client"`
	Token   string    `json:"token"` // the ID token
	Refresh string    `json:"refresh,omitempty"`
	Expires time.Time `json:"expires"`

	mu   sync.Mutex
	path string
}

// ErrNoSession says that nobody is signed in.
var ErrNoSession = errors.New("nobody is signed in")

// ErrSessionOver says that whoever was signed in has to sign in again.
var ErrSessionOver = errors.New("the session is over")

// providerTime is how long a provider may take for an answer.
const providerTime = 10 * time.Second

func sessionPath(dir, member string) string {
	return filepath.Join(dir, "members", member, "session.json")
}

// ReadSession reads who signed in for a member; ErrNoSession if nobody did.
func ReadSession(dir, member string) (*Session, error) {
	s := &Session{path: sessionPath(dir, member)}
	doc, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoSession
	}
	if err != nil {
		return nil, fmt.Errorf("reading who is signed in: %w", err)
	}
	if err := json.Unmarshal(doc, s); err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.path, err)
	}
	return s, nil
}

// EndSession signs out: the file is gone, and the provider is told where it can be.
func EndSession(ctx context.Context, dir, member string) error {
	s, err := ReadSession(dir, member)
	if errors.Is(err, ErrNoSession) {
		return err
	}
	if rerr := os.Remove(sessionPath(dir, member)); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		return fmt.Errorf("signing out: %w", rerr)
	}
	if err != nil || s.Refresh == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	p, err := oidc.NewProvider(ctx, s.Issuer)
	if err != nil {
		return nil // it is away; its session ends by itself
	}
	var at struct {
		Revocation string `json:"revocation_endpoint"`
	}
	if p.Claims(&at) != nil || at.Revocation == "" {
		return nil
	}
	form := url.Values{"token": {s.Refresh}, "token_type_hint": {"refresh_token"}, "client_id": {s.Client}}
	ask, err := http.NewRequestWithContext(ctx, http.MethodPost, at.Revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return nil
	}
	ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if answer, err := http.DefaultClient.Do(ask); err == nil {
		answer.Body.Close()
	}
	return nil
}

// SignIn is the way to a session: the address to open, and what the provider sends back.
type SignIn struct {
	URL string // for the person's browser

	config   oauth2.Config
	provider *oidc.Provider
	state    string
	nonce    string
	verifier string
}

// Begin begins to sign in; redirect is where the browser comes back to (RFC 8252).
func (l Login) Begin(ctx context.Context, redirect string) (*SignIn, error) {
	ctx, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	p, err := oidc.NewProvider(ctx, l.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the provider %s can't be reached: %w", l.Issuer, err)
	}
	s := &SignIn{
		provider: p, state: NewID(), nonce: NewID(), verifier: oauth2.GenerateVerifier(),
		config: oauth2.Config{ClientID: l.Client, Endpoint: p.Endpoint(), RedirectURL: redirect, Scopes: []string{oidc.ScopeOpenID, "profile", oidc.ScopeOfflineAccess}},
	}
	s.URL = s.config.AuthCodeURL(s.state, oidc.Nonce(s.nonce), oauth2.S256ChallengeOption(s.verifier))
	return s, nil
}

// End takes what the browser brought back, and keeps the session for a member.
func (s *SignIn) End(ctx context.Context, brought url.Values, dir, member string) (*Session, error) {
	if brought.Get("state") != s.state {
		return nil, errors.New("what came back belongs to no sign-in of ours")
	}
	if code := brought.Get("error"); code != "" {
		return nil, fmt.Errorf("the provider refuses: %.60q %.200q", code, brought.Get("error_description"))
	}
	ctx, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	token, err := s.config.Exchange(ctx, brought.Get("code"), oauth2.VerifierOption(s.verifier))
	if err != nil {
		return nil, fmt.Errorf("getting the token: %w", err)
	}
	var issuer struct {
		Issuer string `json:"issuer"`
	}
	if err := s.provider.Claims(&issuer); err != nil {
		return nil, err
	}
	out := &Session{Issuer: issuer.Issuer, Client: s.config.ClientID, path: sessionPath(dir, member)}
	return out, out.take(ctx, s.provider, token, s.nonce)
}

// DeviceSignIn is the way to a session without a browser on this machine (RFC 8628): the
// person opens URL wherever there is one, and types Code.
type DeviceSignIn struct {
	URL, Code string

	asked    *oauth2.DeviceAuthResponse
	config   oauth2.Config
	provider *oidc.Provider
}

// BeginDevice begins to sign in without a browser on this machine.
func (l Login) BeginDevice(ctx context.Context) (*DeviceSignIn, error) {
	ctx, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	p, err := oidc.NewProvider(ctx, l.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the provider %s can't be reached: %w", l.Issuer, err)
	}
	if p.Endpoint().DeviceAuthURL == "" {
		return nil, fmt.Errorf("the provider %s knows no device codes", l.Issuer)
	}
	s := &DeviceSignIn{provider: p, config: oauth2.Config{ClientID: l.Client, Endpoint: p.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "profile", oidc.ScopeOfflineAccess}}}
	if s.asked, err = s.config.DeviceAuth(ctx); err != nil {
		return nil, fmt.Errorf("asking %s for a code: %w", l.Issuer, err)
	}
	s.URL, s.Code = s.asked.VerificationURI, s.asked.UserCode
	return s, nil
}

// End waits until the person has signed in, and keeps the session for a member.
func (s *DeviceSignIn) End(ctx context.Context, issuer, dir, member string) (*Session, error) {
	token, err := s.config.DeviceAccessToken(ctx, s.asked)
	if err != nil {
		return nil, fmt.Errorf("getting the token: %w", err)
	}
	out := &Session{Issuer: issuer, Client: s.config.ClientID, path: sessionPath(dir, member)}
	return out, out.take(ctx, s.provider, token, "")
}

// take keeps what a provider gave. The caller holds mu, or the only reference.
func (s *Session) take(ctx context.Context, p *oidc.Provider, token *oauth2.Token, nonce string) error {
	text, _ := token.Extra("id_token").(string)
	if text == "" {
		return fmt.Errorf("the provider gave no ID token: %w", ErrSessionOver)
	}
	id, err := p.VerifierContext(ctx, &oidc.Config{ClientID: s.Client}).Verify(ctx, text)
	if err != nil {
		return fmt.Errorf("the provider's token: %w", err)
	}
	if nonce != "" && id.Nonce != nonce {
		return errors.New("the provider's token is for another sign-in (nonce)")
	}
	s.Token, s.Expires = text, id.Expiry
	if token.RefreshToken != "" {
		s.Refresh = token.RefreshToken
	}
	doc, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return renameio.WriteFile(s.path, append(doc, '\n'), 0o600)
}

// Current is a token that is good for a while yet: a new one where the old one ends and the
// provider gives another. ErrSessionOver if the person has to sign in again.
func (s *Session) Current(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Until(s.Expires) > 30*time.Second {
		return s.Token, nil
	}
	if s.Refresh == "" {
		return "", ErrSessionOver
	}
	ctx, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	p, err := oidc.NewProvider(ctx, s.Issuer)
	if err != nil {
		return "", fmt.Errorf("the provider %s can't be reached: %w", s.Issuer, err)
	}
	config := oauth2.Config{ClientID: s.Client, Endpoint: p.Endpoint()}
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: s.Refresh}).Token()
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) {
			return s.renewedElsewhere()
		}
		return "", fmt.Errorf("staying signed in: %w", err)
	}
	if err := s.take(ctx, p, token, ""); err != nil {
		return "", err
	}
	return s.Token, nil
}

// renewedElsewhere is the token that another command got meanwhile: refresh tokens are good
// once.
func (s *Session) renewedElsewhere() (string, error) {
	doc, err := os.ReadFile(s.path)
	var other Session
	if err != nil || json.Unmarshal(doc, &other) != nil || time.Until(other.Expires) < 0 {
		return "", ErrSessionOver
	}
	s.Token, s.Refresh, s.Expires = other.Token, other.Refresh, other.Expires
	return s.Token, nil
}

// GetRequestMetadata implements [google.golang.org/grpc/credentials.PerRPCCredentials].
func (s *Session) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := s.Current(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity implements the same: a token never goes in the open.
func (s *Session) RequireTransportSecurity() bool { return true }
