package api

import (
	"context"
	"crypto/x509"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
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
	roles []string // the certificate's organisational units
}

func (c caller) is(role string) bool { return slices.Contains(c.roles, role) }

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
	return caller{msp: msp, roles: info.State.PeerCertificates[0].Subject.OrganizationalUnit}, nil
}

type callerKey struct{}

// requester is the member behind a call that the door let in.
func requester(ctx context.Context) string {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.msp
}
