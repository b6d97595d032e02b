package api

import (
	"context"
	"crypto/x509"
	"slices"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/attrmgr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"yitong/chaincode/access"
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

// caller is who is on the other end of a connection.
type caller struct {
	msp   string
	units []string     // the certificate's organisational units
	user  share.Person // who it is; nobody where the member's own software calls
	cert  *x509.Certificate
}

func (c caller) is(unit string) bool { return slices.Contains(c.units, unit) }

// callerOf reads the caller from the connection's verified certificate.
func (t Trust) callerOf(ctx context.Context) (caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return caller{}, status.Error(codes.Unauthenticated, "the call has no connection")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return caller{}, status.Error(codes.Unauthenticated, "show a client certificate of a member")
	}
	msp := t.memberOf(info.State.VerifiedChains)
	if msp == "" {
		return caller{}, status.Error(codes.Unauthenticated, "the client certificate belongs to no member")
	}
	cert := info.State.PeerCertificates[0]
	user, err := personOf(cert)
	if err != nil {
		return caller{}, err
	}
	return caller{msp: msp, units: cert.Subject.OrganizationalUnit, user: user, cert: cert}, nil
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
	return c.user
}
