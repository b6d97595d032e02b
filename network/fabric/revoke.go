package fabric

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"yitong/network/fabric/authority"
	"yitong/network/topology"
)

// revocationList is the file of an authority's list, beside its certificate.
const revocationList = "crl.pem"

// RevocationFile is where a gateway looks for the revocation list of a member's TLS
// authority, beside the authority's certificate in the trust folder.
func RevocationFile(trust, mspID string) string { return filepath.Join(trust, mspID+".crl") }

// CertificateInUse says that certificates to be revoked are what the member's own daemons show.
type CertificateInUse struct{ Uses []string }

func (e *CertificateInUse) Error() string {
	return fmt.Sprintf("the certificate is in use as %v", e.Uses)
}

// Revoke puts certificates on the revocation lists of the member's authorities, by their
// serial numbers, and publishes the lists:
//
//   - the enrolment authority's in the channel's configuration, by an update that the
//     member's administrator signs; from that block on peers and ordering nodes refuse
//     everything that is signed under a revoked certificate
//   - the TLS authority's in the trust folder of every member of this directory, where
//     gateways look
//
// A serial number alone doesn't tell which authority it is of; it goes on both lists. A
// certificate that lies in the member's directory as one in use is refused
// (*CertificateInUse), unless inUse says that it is meant: renew it first. The lists are
// kept before they are published: the same call again completes what was cut off.
func (m *Member) Revoke(ctx context.Context, t *topology.Topology, inUse bool, serials ...*big.Int) error {
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.mayRevoke(inUse, serials); err != nil {
		return err
	}
	ca, tlsCA, err := m.authorities()
	if err != nil {
		return err
	}
	enrolment, err := m.addToList("ca", ca, serials)
	if err != nil {
		return err
	}
	tls, err := m.addToList("tlsca", tlsCA, serials)
	if err != nil {
		return err
	}
	trusts, err := filepath.Glob(filepath.Join(filepath.Dir(m.dir), "*", "trust"))
	if err != nil {
		return err
	}
	for _, trust := range trusts {
		if err := renameio.WriteFile(RevocationFile(trust, m.MSP), tls, 0o644); err != nil {
			return fmt.Errorf("publishing the revocation list of %s: %w", m.MSP, err)
		}
	}
	return m.publish(ctx, t, enrolment)
}

// mayRevoke refuses to revoke what the member's daemons show.
func (m *Member) mayRevoke(inUse bool, serials []*big.Int) error {
	certs, err := m.Certificates()
	if err != nil {
		return err
	}
	var uses []string
	for _, c := range certs {
		n, ok := new(big.Int).SetString(c.Serial, 16)
		for _, s := range serials {
			if !ok || n.Cmp(s) != 0 {
				continue
			}
			if c.Authority == "" {
				return fmt.Errorf("%s is an authority of %s: a list of its own can't revoke it", c.Use, m.Name)
			}
			uses = append(uses, c.Use)
		}
	}
	if len(uses) > 0 && !inUse {
		return &CertificateInUse{Uses: uses}
	}
	return nil
}

// addToList keeps an authority's list with the serial numbers on it, and returns it.
func (m *Member) addToList(dir string, a *authority.Authority, serials []*big.Int) ([]byte, error) {
	file := filepath.Join(m.dir, dir, revocationList)
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the revocation list of %s: %w", m.Name, err)
	}
	list, err := a.Revoke(before, serials...)
	if err != nil {
		return nil, err
	}
	if err := renameio.WriteFile(file, list, 0o644); err != nil {
		return nil, fmt.Errorf("keeping the revocation list of %s: %w", m.Name, err)
	}
	return list, nil
}

// lists are those of the enrolment and the TLS authority, nil where there is none.
func (m *Member) lists() (lists [2]*x509.RevocationList, err error) {
	for i, dir := range []string{"ca", "tlsca"} {
		raw, err := os.ReadFile(filepath.Join(m.dir, dir, revocationList))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return lists, fmt.Errorf("reading the revocation list of %s: %w", m.Name, err)
		}
		if lists[i], err = authority.ParseList(raw); err != nil {
			return lists, err
		}
	}
	return lists, nil
}
