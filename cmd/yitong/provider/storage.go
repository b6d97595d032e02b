package provider

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// How long things last.
const (
	tokenTime   = time.Hour
	sessionTime = 12 * time.Hour // a refresh token
	signInTime  = 10 * time.Minute
)

// Bounds of what is kept in memory.
const (
	maxRequests = 1000
	maxSessions = 1000
)

// storage is what the protocol keeps, in memory.
type storage struct {
	people map[string]Person
	key    signing

	mu       sync.Mutex
	requests map[string]*request // by id
	codes    map[string]string   // id of the request, by code
	sessions map[string]*session // by refresh token
	devices  map[string]*device  // by device code
	failed   map[string]failures // by person
}

type failures struct {
	count int
	last  time.Time
}

func newStorage(people []Person, key jose.JSONWebKey) *storage {
	s := &storage{
		people: map[string]Person{}, key: signing{key}, requests: map[string]*request{},
		codes: map[string]string{}, sessions: map[string]*session{}, devices: map[string]*device{}, failed: map[string]failures{},
	}
	for _, p := range people {
		s.people[p.Name] = p
	}
	return s
}

// request is somebody signing in. It implements [op.AuthRequest].
type request struct {
	id    string
	asked oidc.AuthRequest
	began time.Time
	as    string // the person, once signed in
	at    time.Time
}

func (r *request) GetID() string          { return r.id }
func (r *request) GetACR() string         { return "" }
func (r *request) GetAMR() []string       { return []string{"pwd"} }
func (r *request) GetAudience() []string  { return []string{ClientID} }
func (r *request) GetAuthTime() time.Time { return r.at }
func (r *request) GetClientID() string    { return ClientID }
func (r *request) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: r.asked.CodeChallenge, Method: r.asked.CodeChallengeMethod}
}
func (r *request) GetNonce() string                   { return r.asked.Nonce }
func (r *request) GetRedirectURI() string             { return r.asked.RedirectURI }
func (r *request) GetResponseType() oidc.ResponseType { return r.asked.ResponseType }
func (r *request) GetResponseMode() oidc.ResponseMode { return r.asked.ResponseMode }
func (r *request) GetScopes() []string                { return r.asked.Scopes }
func (r *request) GetState() string                   { return r.asked.State }
func (r *request) GetSubject() string                 { return r.as }
func (r *request) Done() bool                         { return r.as != "" }

// session is somebody who stays signed in. It implements [op.RefreshTokenRequest].
type session struct {
	as     string
	scopes []string
	since  time.Time
	until  time.Time
}

func (s *session) GetAMR() []string                 { return []string{"pwd"} }
func (s *session) GetAudience() []string            { return []string{ClientID} }
func (s *session) GetAuthTime() time.Time           { return s.since }
func (s *session) GetClientID() string              { return ClientID }
func (s *session) GetScopes() []string              { return s.scopes }
func (s *session) GetSubject() string               { return s.as }
func (s *session) SetCurrentScopes(scopes []string) { s.scopes = scopes }

// signIn marks a request as that of a person. After five wrong passwords the person waits a
// minute.
func (s *storage) signIn(id, name, password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	r, ok := s.requests[id]
	if !ok || r.Done() {
		return errGone
	}
	if err := s.known(name, password); err != nil {
		return err
	}
	r.as, r.at = name, time.Now()
	return nil
}

// known refuses who isn't, and a wrong password. The caller holds mu.
func (s *storage) known(name, password string) error {
	p, known := s.people[name]
	f := s.failed[name]
	if known && f.count >= 5 && time.Since(f.last) < time.Minute {
		return errWait
	}
	if !p.is(password) || !known {
		if known {
			s.failed[name] = failures{f.count + 1, time.Now()}
		}
		return errWrong
	}
	delete(s.failed, name)
	return nil
}

// device is something without a browser that somebody signs in for (RFC 8628).
type device struct {
	code  string // that the person types
	state op.DeviceAuthorizationState
}

// StoreDeviceAuthorization implements [op.DeviceAuthorizationStorage].
func (s *storage) StoreDeviceAuthorization(_ context.Context, id, code, typed string, expires time.Time, scopes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	if len(s.devices) >= maxRequests {
		return oidc.ErrServerError().WithDescription("too many people sign in at once")
	}
	for _, d := range s.devices {
		if d.code == typed {
			return op.ErrDuplicateUserCode
		}
	}
	s.devices[code] = &device{typed, op.DeviceAuthorizationState{ClientID: id, Audience: []string{ClientID}, Scopes: scopes, Expires: expires}}
	return nil
}

// GetDeviceAuthorizatonState implements [op.DeviceAuthorizationStorage].
func (s *storage) GetDeviceAuthorizatonState(_ context.Context, id, code string) (*op.DeviceAuthorizationState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.devices[code]
	if !ok || d.state.ClientID != id {
		return nil, errGone
	}
	copied := d.state
	if copied.Done {
		delete(s.devices, code) // a device code is good once
	}
	return &copied, nil
}

// signInDevice signs a person in for the device that shows a code.
func (s *storage) signInDevice(typed, name, password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	typed = strings.ToUpper(strings.TrimSpace(typed))
	for _, d := range s.devices {
		if d.code != typed || d.state.Done {
			continue
		}
		if err := s.known(name, password); err != nil {
			return err
		}
		d.state.Subject, d.state.AMR, d.state.AuthTime, d.state.Done = name, []string{"pwd"}, time.Now(), true
		return nil
	}
	return errGone
}

var (
	errGone  = errors.New("this sign-in is over: begin again where you came from")
	errWait  = errors.New("too many wrong passwords: try again in a minute")
	errWrong = errors.New("the name or the password is wrong")
)

// forget drops what is over. The caller holds mu.
func (s *storage) forget() {
	for id, r := range s.requests {
		if time.Since(r.began) > signInTime {
			s.drop(id)
		}
	}
	for code, d := range s.devices {
		if time.Now().After(d.state.Expires) {
			delete(s.devices, code)
		}
	}
	for token, one := range s.sessions {
		if time.Now().After(one.until) {
			delete(s.sessions, token)
		}
	}
}

func (s *storage) drop(id string) {
	delete(s.requests, id)
	for code, of := range s.codes {
		if of == id {
			delete(s.codes, code)
		}
	}
}

// CreateAuthRequest implements [op.Storage]; PKCE is required.
func (s *storage) CreateAuthRequest(_ context.Context, asked *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if asked.CodeChallenge == "" || asked.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("send a code_challenge with the method S256 (PKCE)")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	if len(s.requests) >= maxRequests {
		return nil, oidc.ErrServerError().WithDescription("too many people sign in at once")
	}
	r := &request{id: random(), asked: *asked, began: time.Now()}
	s.requests[r.id] = r
	copied := *r
	return &copied, nil
}

// AuthRequestByID implements [op.Storage].
func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.requests[id]; ok {
		copied := *r
		return &copied, nil
	}
	return nil, errGone
}

// AuthRequestByCode implements [op.Storage].
func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id, ok := s.codes[code]
	s.mu.Unlock()
	if !ok {
		return nil, errGone
	}
	return s.AuthRequestByID(ctx, id)
}

// SaveAuthCode implements [op.Storage].
func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.requests[id]; !ok || !r.Done() {
		return errGone
	}
	s.codes[code] = id
	return nil
}

// DeleteAuthRequest implements [op.Storage].
func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(id)
	return nil
}

// CreateAccessToken implements [op.Storage]. Access tokens say all themselves, so none is kept.
func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return random(), time.Now().Add(tokenTime), nil
}

// CreateAccessAndRefreshTokens implements [op.Storage]. A refresh token is good once.
func (s *storage) CreateAccessAndRefreshTokens(_ context.Context, asked op.TokenRequest, current string) (string, string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	now := time.Now()
	next := &session{as: asked.GetSubject(), scopes: asked.GetScopes(), since: now, until: now.Add(sessionTime)}
	if current != "" {
		old, ok := s.sessions[current]
		if !ok {
			return "", "", time.Time{}, op.ErrInvalidRefreshToken
		}
		next.since, next.until = old.since, old.until
		delete(s.sessions, current)
	}
	if len(s.sessions) >= maxSessions {
		return "", "", time.Time{}, oidc.ErrServerError().WithDescription("too many people are signed in")
	}
	token := random()
	s.sessions[token] = next
	return random(), token, now.Add(tokenTime), nil
}

// TokenRequestByRefreshToken implements [op.Storage].
func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	if one, ok := s.sessions[token]; ok {
		copied := *one
		return &copied, nil
	}
	return nil, op.ErrInvalidRefreshToken
}

// TerminateSession implements [op.Storage].
func (s *storage) TerminateSession(_ context.Context, user, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, one := range s.sessions {
		if one.as == user {
			delete(s.sessions, token)
		}
	}
	return nil
}

// RevokeToken implements [op.Storage].
func (s *storage) RevokeToken(_ context.Context, token, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, token)
	return nil
}

// GetRefreshTokenInfo implements [op.Storage].
func (s *storage) GetRefreshTokenInfo(_ context.Context, _, token string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.sessions[token]; ok {
		return one.as, token, nil
	}
	return "", "", op.ErrInvalidRefreshToken
}

// signing is the key as [op.SigningKey].
type signing struct{ jose.JSONWebKey }

func (k signing) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k signing) Key() any                                    { return k.JSONWebKey.Key }
func (k signing) ID() string                                  { return k.KeyID }

// verifying is its public half as [op.Key].
type verifying struct{ jose.JSONWebKey }

func (k verifying) ID() string                         { return k.KeyID }
func (k verifying) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k verifying) Use() string                        { return "sig" }
func (k verifying) Key() any                           { return k.JSONWebKey.Key.(*ecdsa.PrivateKey).Public() }

// SigningKey implements [op.Storage].
func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }

// SignatureAlgorithms implements [op.Storage].
func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

// KeySet implements [op.Storage].
func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{verifying{s.key.JSONWebKey}}, nil
}

// GetClientByClientID implements [op.Storage].
func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != ClientID {
		return nil, errors.New("the client is " + ClientID)
	}
	return client{}, nil
}

// AuthorizeClientIDSecret implements [op.Storage]. The client is public.
func (s *storage) AuthorizeClientIDSecret(context.Context, string, string) error {
	return errors.New("the client has no secret")
}

// SetUserinfoFromScopes implements [op.Storage].
func (s *storage) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, user, _ string, scopes []string) error {
	return s.tell(info, user, scopes)
}

// SetUserinfoFromToken implements [op.Storage].
func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, _, user, _ string) error {
	return s.tell(info, user, []string{oidc.ScopeProfile})
}

func (s *storage) tell(info *oidc.UserInfo, user string, scopes []string) error {
	p, ok := s.people[user]
	if !ok {
		return errGone
	}
	info.Subject = p.Name
	if slices.Contains(scopes, oidc.ScopeProfile) {
		info.PreferredUsername = p.Name
		info.AppendClaims(RoleClaim, []string{p.Role})
	}
	return nil
}

// GetPrivateClaimsFromScopes implements [op.Storage], for access tokens.
func (s *storage) GetPrivateClaimsFromScopes(_ context.Context, user, _ string, _ []string) (map[string]any, error) {
	p, ok := s.people[user]
	if !ok {
		return nil, errGone
	}
	return map[string]any{NameClaim: p.Name, RoleClaim: []string{p.Role}}, nil
}

var errNotHere = errors.New("this provider doesn't do that")

// SetIntrospectionFromToken implements [op.Storage].
func (s *storage) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errNotHere
}

// GetKeyByIDAndClientID implements [op.Storage].
func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errNotHere
}

// ValidateJWTProfileScopes implements [op.Storage].
func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errNotHere
}

// Health implements [op.Storage].
func (s *storage) Health(context.Context) error { return nil }

// client is the one client: software of whoever sits at this machine.
type client struct{}

func (client) GetID() string { return ClientID }
func (client) RedirectURIs() []string {
	return []string{"http://127.0.0.1/callback", "http://[::1]/callback"}
}
func (client) PostLogoutRedirectURIs() []string    { return nil }
func (client) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }
func (client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodNone }
func (client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeDeviceCode}
}
func (client) LoginURL(id string) string           { return signInPath + "?id=" + id }
func (client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
func (client) IDTokenLifetime() time.Duration      { return tokenTime }
func (client) DevMode() bool                       { return false }
func (client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
func (client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
func (client) IsScopeAllowed(string) bool           { return false }
func (client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (client) ClockSkew() time.Duration             { return 0 }
