package channel

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"google.golang.org/protobuf/proto"
)

// Identity is who signed: a certificate of an organisation.
type Identity struct {
	MSP  string
	Name string // subject common name
	Role string // client, peer, admin or orderer; "" if the organisation doesn't tell roles
	// Invalid says why the certificate isn't one of the organisation's, nil if it is.
	Invalid error

	cert  *x509.Certificate
	chain []*x509.Certificate
	admin bool // named in the configuration
}

// key tells identities apart. The certificate's own signature is left out: it can be
// altered without its key and must not make a second signer of one.
func (i *Identity) key() string { return i.MSP + "\x00" + string(i.cert.RawTBSCertificate) }

// HeldAt says whether the certificate was within its validity.
func (i *Identity) HeldAt(t time.Time) bool {
	return !t.Before(i.cert.NotBefore) && !t.After(i.cert.NotAfter)
}

// Certificate is the certificate, DER.
func (i *Identity) Certificate() []byte { return i.cert.Raw }

// Verify reports whether the signature is the identity's over the message. ECDSA
// signatures must have the lower of the two possible S, as Fabric demands.
func (i *Identity) Verify(message, signature []byte) bool {
	switch pub := i.cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		return verifyECDSA(pub, digest[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(pub, message, signature)
	}
	return false
}

func verifyECDSA(pub *ecdsa.PublicKey, digest, signature []byte) bool {
	if s, ok := sOf(signature); ok {
		return lowS(pub, s) && ecdsa.VerifyASN1(pub, digest, signature)
	}
	// Fabric's parser is more lenient than DER; what it accepts is in blocks for ever.
	var parsed struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &parsed); err != nil || parsed.R.Sign() <= 0 || parsed.S.Sign() <= 0 {
		return false
	}
	return lowS(pub, parsed.S.Bytes()) && ecdsa.Verify(pub, digest, parsed.R, parsed.S)
}

// sOf reads S from a signature in DER.
func sOf(signature []byte) ([]byte, bool) {
	var r, s []byte
	var inner cryptobyte.String
	input := cryptobyte.String(signature)
	ok := input.ReadASN1(&inner, cryptobyteasn1.SEQUENCE) && input.Empty() &&
		inner.ReadASN1Integer(&r) && inner.ReadASN1Integer(&s) && inner.Empty()
	return s, ok
}

func lowS(pub *ecdsa.PublicKey, s []byte) bool {
	half := halfOrders[pub.Curve.Params().BitSize]
	s = bytes.TrimLeft(s, "\x00")
	return half != nil && (len(s) < len(half) || len(s) == len(half) && bytes.Compare(s, half) <= 0)
}

// organisation is a member as the configuration describes it.
type organisation struct {
	name          string
	roots         *x509.CertPool
	intermediates *x509.CertPool
	admins        [][]byte // DER
	revoked       []*x509.RevocationList
	roles         []role
	units         []role // organisational units that every certificate must have one of
}

// role is an organisational unit with the authority that may grant it.
type role struct {
	name, unit string
	issuer     []byte // DER; nil for any
}

func newOrganisation(raw []byte) (*organisation, error) {
	outer, c := &msp.MSPConfig{}, &msp.FabricMSPConfig{}
	if err := proto.Unmarshal(raw, outer); err != nil {
		return nil, fmt.Errorf("organisation: %w", err)
	}
	if outer.Type != 0 {
		return nil, fmt.Errorf("organisation: MSP type %d is not X.509", outer.Type)
	}
	if err := proto.Unmarshal(outer.Config, c); err != nil {
		return nil, fmt.Errorf("organisation: %w", err)
	}
	o := &organisation{name: c.Name, roots: x509.NewCertPool(), intermediates: x509.NewCertPool()}
	for _, set := range []struct {
		pool  *x509.CertPool
		certs [][]byte
	}{{o.roots, c.RootCerts}, {o.intermediates, c.IntermediateCerts}} {
		for _, raw := range set.certs {
			cert, err := parseCertificate(raw)
			if err != nil {
				return nil, fmt.Errorf("authority of %s: %w", o.name, err)
			}
			set.pool.AddCert(cert)
		}
	}
	for _, raw := range c.Admins {
		cert, err := parseCertificate(raw)
		if err != nil {
			return nil, fmt.Errorf("administrator of %s: %w", o.name, err)
		}
		o.admins = append(o.admins, cert.RawTBSCertificate)
	}
	for _, raw := range c.RevocationList {
		if block, _ := pem.Decode(raw); block != nil {
			raw = block.Bytes
		}
		list, err := x509.ParseRevocationList(raw)
		if err != nil {
			return nil, fmt.Errorf("revocation list of %s: %w", o.name, err)
		}
		o.revoked = append(o.revoked, list)
	}
	return o, o.readUnits(c)
}

func (o *organisation) readUnits(c *msp.FabricMSPConfig) error {
	add := func(to *[]role, name string, ou *msp.FabricOUIdentifier) error {
		if ou == nil {
			return nil
		}
		r := role{name: name, unit: ou.OrganizationalUnitIdentifier}
		if len(ou.Certificate) > 0 {
			cert, err := parseCertificate(ou.Certificate)
			if err != nil {
				return fmt.Errorf("authority of a unit of %s: %w", o.name, err)
			}
			r.issuer = cert.RawTBSCertificate
		}
		*to = append(*to, r)
		return nil
	}
	for _, ou := range c.OrganizationalUnitIdentifiers {
		if err := add(&o.units, "", ou); err != nil {
			return err
		}
	}
	n := c.FabricNodeOus
	if !n.GetEnable() {
		return nil
	}
	return errors.Join(
		add(&o.roles, "client", n.ClientOuIdentifier), add(&o.roles, "peer", n.PeerOuIdentifier),
		add(&o.roles, "admin", n.AdminOuIdentifier), add(&o.roles, "orderer", n.OrdererOuIdentifier),
	)
}

// identify reads a certificate (PEM) of the organisation. An error is a certificate that
// can't be read; one that isn't the organisation's is read and Invalid.
func (o *organisation) identify(raw []byte) (*Identity, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("the certificate is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	switch cert.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("a key of type %s can't sign here", cert.PublicKeyAlgorithm)
	}
	i := &Identity{MSP: o.name, Name: cert.Subject.CommonName, cert: cert}
	for _, admin := range o.admins {
		i.admin = i.admin || bytes.Equal(admin, cert.RawTBSCertificate)
	}
	i.Invalid = o.validate(i)
	return i, nil
}

// validate follows Fabric's msp.validateIdentity: chain, revocation, units.
func (o *organisation) validate(i *Identity) error {
	if i.cert.IsCA {
		return errors.New("an authority's certificate can't be used as an identity")
	}
	chains, err := i.cert.Verify(x509.VerifyOptions{
		Roots: o.roots, Intermediates: o.intermediates,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, CurrentTime: i.cert.NotBefore.Add(time.Second),
	})
	if err != nil {
		return fmt.Errorf("it doesn't chain to the authority of %s: %w", o.name, err)
	}
	if len(chains) != 1 || len(chains[0]) < 2 {
		return fmt.Errorf("it chains to the authority of %s in %d ways", o.name, len(chains))
	}
	i.chain = chains[0]
	for _, list := range o.revoked {
		if !bytes.Equal(list.AuthorityKeyId, i.chain[1].SubjectKeyId) || list.CheckSignatureFrom(i.chain[1]) != nil {
			continue
		}
		for _, entry := range list.RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(i.cert.SerialNumber) == 0 {
				return errors.New("it is revoked")
			}
		}
	}
	if len(o.units) > 0 && i.match(o.units) == nil {
		return fmt.Errorf("it has no unit that %s recognises", o.name)
	}
	return o.assign(i)
}

// assign gives the one role that the certificate names.
func (o *organisation) assign(i *Identity) error {
	if len(o.roles) == 0 {
		return nil
	}
	for _, unit := range i.cert.Subject.OrganizationalUnit {
		for _, r := range o.roles {
			if r.unit != unit {
				continue
			}
			if !r.by(i.chain) {
				return fmt.Errorf("its role %s is granted by another authority", r.name)
			}
			if i.Role != "" {
				return errors.New("it has more than one role")
			}
			i.Role = r.name
		}
	}
	if i.Role == "" {
		return errors.New("it has no role: its unit is none of client, peer, admin, orderer")
	}
	return nil
}

func (i *Identity) match(roles []role) *role {
	for _, unit := range i.cert.Subject.OrganizationalUnit {
		for n := range roles {
			if roles[n].unit == unit && roles[n].by(i.chain) {
				return &roles[n]
			}
		}
	}
	return nil
}

func (r role) by(chain []*x509.Certificate) bool {
	return r.issuer == nil || bytes.Equal(r.issuer, chain[1].RawTBSCertificate)
}

func parseCertificate(raw []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("the certificate is not PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
