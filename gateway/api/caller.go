package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/attrmgr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"yitong/chaincode/access"
	"yitong/gateway/identity"
	"yitong/gateway/share"
)

// Trust maps MSP ids to the TLS certificate authorities of the members. A
// caller belongs to the member whose authority its certificate chains to; what
// a request says about its sender is never believed.
type Trust map[string]*x509.Certificate

// Pool returns every member's authority, for the handshake.
func (t Trust) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, ca := range t {
		pool.AddCert(ca)
	}
	return pool
}

// memberOf returns the MSP id of the member whose authority ends one of the
// verified chains, or "".
func (t Trust) memberOf(chains [][]*x509.Certificate) string {
	for _, chain := range chains {
		root := chain[len(chain)-1]
		for msp, ca := range t {
			if root.Equal(ca) {
				return msp
			}
		}
	}
	return ""
}

// Tokens verify bearer tokens (identity.Verifier).
type Tokens interface {
	// Verify returns who a token was given to. An error is an [identity.Refusal], or says
	// that it can't be told now.
	Verify(ctx context.Context, token string) (identity.Bearer, error)
	// Still is who was let in by a token before, as he would be now: a service with the
	// scopes that are left to it, or an [identity.Refusal].
	Still(before identity.Bearer) (identity.Bearer, error)
}

// caller is who is on the other end of a connection, by a client certificate, a token of
// this member's own, or both. A token beside the certificate of the member's software says
// for whom of the member it calls: what it does must be allowed to both.
type caller struct {
	msp    string
	cert   *x509.Certificate // nil where a token alone was shown
	units  []string          // the certificate's organisational units
	holder share.Person      // whom the certificate is of; nobody where it is of software
	bearer *identity.Bearer  // whom the token is of; nil without one
}

func (c caller) is(unit string) bool { return slices.Contains(c.units, unit) }

// user is the person who calls; nobody where software does.
func (c caller) user() share.Person {
	if c.bearer != nil {
		return share.Person{Name: c.bearer.Name, Role: c.bearer.Role}
	}
	return c.holder
}

// subject names the caller among those of this member: a person by name and role, a service by
// its id, other software by its certificate's name, so that a renewed certificate is the same caller.
func (c caller) subject() string {
	p, service := c.user(), ""
	switch {
	case c.bearer != nil:
		service = c.bearer.Service
	case c.cert != nil && p == (share.Person{}):
		return "software\x00" + c.cert.Subject.CommonName
	}
	return strings.Join([]string{string(p.Role), p.Name, service}, "\x00")
}

// knock is how an HTTP request asks to be let in. It is looked at once, however many calls
// the request makes.
type knock struct {
	tls           tls.ConnectionState
	authorization []string
	look          sync.Once
	caller        caller
	err           error
}

type knockKey struct{}

// callerOf is who calls, by what the connection and the call show. What a request says about
// its sender in any other way is never believed.
func (d door) callerOf(ctx context.Context) (caller, error) {
	if k, ok := ctx.Value(knockKey{}).(*knock); ok {
		k.look.Do(func() { k.caller, k.err = d.identify(ctx, k.tls, k.authorization) })
		if k.err == nil {
			return k.caller, k.caller.revoked(d.revocations)
		}
		return k.caller, k.err
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return caller{}, status.Error(codes.Unauthenticated, "the call has no connection")
	}
	info, _ := p.AuthInfo.(credentials.TLSInfo)
	if len(info.State.VerifiedChains) == 0 {
		return caller{}, status.Error(codes.Unauthenticated, "show a client certificate of a member")
	}
	shown, _ := metadata.FromIncomingContext(ctx)
	c, err := d.identify(ctx, info.State, shown.Get("authorization"))
	if err != nil {
		return c, err
	}
	return c, c.revoked(d.revocations)
}

// identify reads a verified certificate and a token, of which there must be one.
func (d door) identify(ctx context.Context, conn tls.ConnectionState, authorization []string) (c caller, err error) {
	if len(conn.VerifiedChains) > 0 {
		if c, err = d.trust.certified(conn); err != nil {
			return caller{}, err
		}
	}
	text, shown, err := bearerToken(authorization)
	switch {
	case err != nil:
		return caller{}, err
	case !shown && c.cert == nil:
		return caller{}, status.Error(codes.Unauthenticated, "show a client certificate of this member, or a token (Authorization: Bearer)")
	case !shown:
		return c, nil
	case d.tokens == nil:
		return caller{}, status.Error(codes.Unauthenticated, "this gateway takes no tokens: its configuration (tokens) names no provider")
	case c.holder != (share.Person{}):
		return caller{}, status.Error(codes.Unauthenticated, "show the certificate of a person or a token, not both: who calls is one person")
	}
	b, err := d.tokens.Verify(ctx, text)
	var refused *identity.Refusal
	switch {
	case errors.As(err, &refused):
		return caller{}, status.Error(codes.Unauthenticated, refused.Reason)
	case err != nil:
		return caller{}, status.Error(codes.Unavailable, err.Error())
	}
	c.bearer = &b
	if c.cert == nil {
		c.msp = d.self // the issuers are this member's own
	}
	return c, nil
}

// bearerToken is the token of an Authorization header (RFC 6750, section 2.1), the only
// place where one is looked for.
func bearerToken(authorization []string) (token string, shown bool, err error) {
	if len(authorization) == 0 {
		return "", false, nil
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	if len(authorization) > 1 || !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", true, status.Error(codes.Unauthenticated, "Authorization is there once, as Bearer and a token")
	}
	return token, true, nil
}

// certified reads the caller from the connection's verified certificate.
func (t Trust) certified(conn tls.ConnectionState) (caller, error) {
	msp := t.memberOf(conn.VerifiedChains)
	if msp == "" {
		return caller{}, status.Error(codes.Unauthenticated, "the client certificate belongs to no member")
	}
	cert := conn.PeerCertificates[0]
	holder, err := personOf(cert)
	if err != nil {
		return caller{}, err
	}
	return caller{msp: msp, units: cert.Subject.OrganizationalUnit, holder: holder, cert: cert}, nil
}

// personOf is the person that a certificate with a role is of: its common name, in that
// role. A certificate without one is the member's own software.
func personOf(cert *x509.Certificate) (share.Person, error) {
	attributes, err := attrmgr.New().GetAttributesFromCert(cert)
	if err != nil {
		return share.Person{}, status.Error(codes.Unauthenticated, "the attributes of the client certificate can't be read")
	}
	role, ok, err := attributes.Value(access.RoleAttribute)
	if err != nil || !ok {
		return share.Person{}, err
	}
	p := share.Person{Name: cert.Subject.CommonName, Role: access.Role(role)}
	if !p.Role.Known() || p.Name == "" {
		return share.Person{}, status.Errorf(codes.Unauthenticated, "the client certificate has the role %.40q and the name %.40q; show one with a name and a role that is known", role, p.Name)
	}
	return p, nil
}

type callerKey struct{}

// requester is the member behind a call that the door let in.
func requester(ctx context.Context) string {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.msp
}

// user is the person behind a call that the door let in; nobody where the member's own
// software calls.
func user(ctx context.Context) share.Person {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.user()
}
