// Package identity says who shows a bearer token (RFC 6750) at this gateway.
//
//	person  ─▶ the institution's OpenID provider ─▶ token ─┐
//	service ─▶ POST /oauth/token, private_key_jwt ─▶ token ─┴─Verify─▶ Bearer ─▶ policy
//
// People sign in at a provider of their institution (OpenID Connect, found by discovery).
// Which claim holds a person's name, which the role, and what its values mean here is said by
// the gateway's configuration; whoever has none of these roles is refused, and so is who has
// two. Software of the institution that is to do less than all that the institution may
// authenticates as SMART Backend Services do (SMART App Launch 2.2): it signs an assertion
// with a key that is registered here, and gets a token of five minutes for the scopes it
// may have.
//
// A token speaks for its bearer and for nobody else: it never makes anybody a member. The
// issuers are this member's own, so a token of another's provider says nothing here.
//
// # Threats it answers
//
// A token that the bearer made up or changed: signatures are verified with the keys that
// the issuer publishes at the address that its discovery document names, never with what a
// token brings along (jku, jwk, x5u and x5c are refused) and never by an algorithm that
// isn't listed (none and HMAC never are). A token for somebody else's software (audience), of
// another issuer, of another time, or whose claims two readers would read differently
// (duplicate names): refused. An assertion that is sent twice: refused, also after a
// restart. Tokens with keys that nobody knows, to have the gateway ask the issuer each time:
// it asks every ten seconds at most.
package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"yitong/chaincode/access"
	"yitong/gateway/identity/scope"
)

// Bearer is who a token was given to. It is a person, or a service of this member.
type Bearer struct {
	Name string      // of a person, as the ledger's digest has it
	Role access.Role // of a person
	// Service is the client id of a backend service, and Scopes are what it may do.
	Service string
	Scopes  []scope.Scope
	Issuer  string
	Expires time.Time
}

// Refusal is why a token isn't taken. Its text is for whoever shows it, and quotes nothing of
// the token but names of claims.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return r.Reason }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// ErrUnavailable says that a token can't be verified now: its issuer's keys aren't to be had.
var ErrUnavailable = errors.New("the identity provider can't be reached: try again later, or show a client certificate")

// leeway is how far clocks may be apart.
const leeway = 30 * time.Second

// issuer verifies tokens of one issuer.
type issuer interface {
	// verify is given a token that was read, whose issuer claim is this one's.
	verify(ctx context.Context, t token) (Bearer, error)
}

// Verifier verifies tokens of the issuers that a gateway knows. It is safe for concurrent use.
type Verifier struct {
	issuers   map[string]issuer
	providers []*provider
}

// New makes a verifier of people's tokens and, where services isn't nil, of those that
// services were given. No provider has to answer for that.
func New(people []Provider, services *Services) (*Verifier, error) {
	v := &Verifier{issuers: map[string]issuer{}}
	for _, p := range people {
		one, err := newProvider(p)
		if err != nil {
			return nil, err
		}
		if v.issuers[p.Issuer] != nil {
			return nil, fmt.Errorf("the issuer %s stands twice", p.Issuer)
		}
		v.issuers[p.Issuer] = one
		v.providers = append(v.providers, one)
	}
	if services != nil {
		if v.issuers[services.issuer] != nil {
			return nil, fmt.Errorf("the issuer %s is this gateway itself", services.issuer)
		}
		v.issuers[services.issuer] = services
	}
	return v, nil
}

// Verify returns who a token was given to: a Refusal if it isn't taken, ErrUnavailable if
// that can't be said now.
func (v *Verifier) Verify(ctx context.Context, text string) (Bearer, error) {
	t, err := read(text)
	if err != nil {
		return Bearer{}, err
	}
	from, ok := v.issuers[t.issuer]
	if !ok {
		return Bearer{}, refuse("the token's issuer is none that this gateway knows: sign in at the provider of this member")
	}
	return from.verify(ctx, t)
}

// Still is a bearer whose token was taken before, as he would be taken by now; that his token
// is over since doesn't matter. A Refusal where his issuer, or the service, isn't registered
// any more; and a service has no scope that it may have no longer.
func (v *Verifier) Still(b Bearer) (Bearer, error) {
	from, ok := v.issuers[b.Issuer]
	if !ok {
		return Bearer{}, refuse("the issuer of the token that was shown is none that this gateway knows any more")
	}
	if services, ok := from.(*Services); ok {
		return services.registered(b)
	}
	return b, nil
}

// Keep keeps the providers' keys fresh until ctx ends, so that the first person of the day
// doesn't wait for them, and tells when a provider can't be reached and when it can again.
func (v *Verifier) Keep(ctx context.Context, tell func(issuer string, err error)) {
	for _, p := range v.providers {
		p.tells(tell)
	}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		for _, p := range v.providers {
			p.refresh(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Providers tells of each provider by its issuer whether its keys are known and fresh: nil,
// or why not.
func (v *Verifier) Providers() map[string]error {
	out := map[string]error{}
	for _, p := range v.providers {
		out[p.Issuer] = p.problem()
	}
	return out
}
