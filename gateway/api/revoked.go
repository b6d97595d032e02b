package api

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Revocations know which certificates the members' TLS authorities have revoked.
type Revocations interface {
	// Revoked says whether a member's authority has revoked a certificate.
	Revoked(msp string, cert *x509.Certificate) bool
	// Changes counts how often what a member has revoked has changed.
	Changes(msp string) int
}

// none revokes nothing.
type none struct{}

func (none) Revoked(string, *x509.Certificate) bool { return false }
func (none) Changes(string) int                     { return 0 }

// orNone is for a configuration without revocations.
func orNone(r Revocations) Revocations {
	if r == nil {
		return none{}
	}
	return r
}

// knocks refuses a revoked certificate in the handshake. A connection that was there before
// is refused at its next call (door.admit).
func (t Trust) knocks(r Revocations) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		msp := t.memberOf(s.VerifiedChains)
		if msp != "" && r.Revoked(msp, s.PeerCertificates[0]) {
			return fmt.Errorf("%s has revoked the certificate of %s", msp, s.PeerCertificates[0].Subject.CommonName)
		}
		return nil
	}
}

// revoked refuses a caller whose certificate is revoked by now.
func (c caller) revoked(r Revocations) error {
	if c.cert == nil || !r.Revoked(c.msp, c.cert) {
		return nil
	}
	return status.Errorf(codes.Unauthenticated, "%s has revoked this certificate; show the one that took its place", c.msp)
}
