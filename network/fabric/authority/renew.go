package authority

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Issued says whether the authority issued a certificate.
func (a *Authority) Issued(cert *x509.Certificate) bool {
	return cert.CheckSignatureFrom(a.cert) == nil
}

// Renew issues a certificate that says what another of the authority's says (name, role,
// hosts, attributes), under a new key, a new serial number and a lifetime that begins now.
func (a *Authority) Renew(old *x509.Certificate) (Pair, error) {
	if old.IsCA || !a.Issued(old) {
		return Pair{}, fmt.Errorf("certificate of %s wasn't issued by this authority", old.Subject.CommonName)
	}
	template, err := base(old.Subject, leafLifetime)
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage, template.ExtKeyUsage = old.KeyUsage, old.ExtKeyUsage
	template.DNSNames, template.IPAddresses = old.DNSNames, old.IPAddresses
	for _, e := range old.Extensions {
		if e.Id.Equal(attributes) {
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	return a.issue(template)
}

// listLifetime is how long a revocation list says it is good for. Lists reach those who
// check them when they change, and none asks for a newer one by itself.
const listLifetime = leafLifetime

// Revoke makes the authority's next revocation list (RFC 5280, PEM): what the previous one
// lists, nil for none, and the serial numbers given, as of now. It returns the previous one
// as it is where that lists them all.
func (a *Authority) Revoke(previous []byte, serials ...*big.Int) ([]byte, error) {
	list := &x509.RevocationList{Number: big.NewInt(1)}
	if previous != nil {
		before, err := ParseList(previous)
		if err != nil {
			return nil, err
		}
		if err := before.CheckSignatureFrom(a.cert); err != nil {
			return nil, fmt.Errorf("the revocation list before is another authority's: %w", err)
		}
		list.Number.Add(before.Number, list.Number)
		for _, e := range before.RevokedCertificateEntries {
			list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
				x509.RevocationListEntry{SerialNumber: e.SerialNumber, RevocationTime: e.RevocationTime})
		}
	}
	now := time.Now().UTC()
	news := 0
	for _, s := range serials {
		if Lists(list, s) {
			continue
		}
		news++
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: now})
	}
	if news == 0 && previous != nil {
		return previous, nil
	}
	list.ThisUpdate, list.NextUpdate = now.Add(-backdate), now.Add(listLifetime)
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, lowS{a.key})
	if err != nil {
		return nil, fmt.Errorf("signing a revocation list: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

// Lists says whether a revocation list names a serial number.
func Lists(list *x509.RevocationList, serial *big.Int) bool {
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(serial) == 0 {
			return true
		}
	}
	return false
}

// ParseList reads one PEM revocation list.
func ParseList(b []byte) (*x509.RevocationList, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "X509 CRL" {
		return nil, errors.New("no PEM revocation list found")
	}
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading revocation list: %w", err)
	}
	return list, nil
}
