// Package authority is a member's certificate authority: X.509 certificates as
// Fabric wants them, made with crypto/x509.
//
// Each member has two authorities, one for enrolment certificates (who signs on
// the ledger) and one for TLS certificates (who may open a connection), so that
// neither kind of key is worth anything in the other's place. Authorities keep
// their keys on disk, mode 0600, because identities are issued later too.
//
// Keys are ECDSA P-256, as PKCS #8: the one kind that every part of Fabric
// accepts. Signatures have a low S, which Fabric demands of enrolment
// certificates' signatures as well.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Lifetimes. Certificates start in the past so that members whose clocks
// disagree accept each other's.
const (
	caLifetime   = 15 * 365 * 24 * time.Hour
	leafLifetime = 5 * 365 * 24 * time.Hour
	backdate     = time.Hour
)

// Role is the organisational unit of a certificate. Fabric's NodeOUs tell a
// client, peer, admin and orderer apart by it; a gateway is a role of ours, on
// TLS certificates only, by which gateways of different members know each other.
type Role string

const (
	Client  Role = "client"
	Peer    Role = "peer"
	Admin   Role = "admin"
	Orderer Role = "orderer"
	Gateway Role = "gateway"
)

// attributes is the extension in which Fabric's chaincode library looks for
// attributes of the caller: a JSON object {"attrs":{name: value}}.
var attributes = asn1.ObjectIdentifier{1, 2, 3, 4, 5, 6, 7, 8, 1}

// Pair is a certificate with its private key, both PEM.
type Pair struct {
	Cert []byte // X.509
	Key  []byte // PKCS #8
}

// Authority issues certificates of one member and one use.
type Authority struct {
	pair Pair
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes a self-signed authority for an organisation. The common name tells
// people which of the organisation's authorities it is.
func New(organisation, commonName string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of %s: %w", commonName, err)
	}
	template, err := base(pkix.Name{CommonName: commonName, Organization: []string{organisation}}, caLifetime)
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	template.SubjectKeyId = keyID(&key.PublicKey)
	return sealed(template, template, key, key)
}

func sealed(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*Authority, error) {
	pair, err := sign(template, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return Load(pair)
}

// Load reads an authority back.
func Load(p Pair) (*Authority, error) {
	cert, err := ParseCert(p.Cert)
	if err != nil {
		return nil, err
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("certificate of %s isn't an authority's", cert.Subject.CommonName)
	}
	key, err := parseKey(p.Key)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("key and certificate of %s don't belong together", cert.Subject.CommonName)
	}
	return &Authority{pair: p, cert: cert, key: key}, nil
}

// Pair is the authority's own certificate and key.
func (a *Authority) Pair() Pair { return a.pair }

// Enrol issues an enrolment certificate: who signs on the ledger. Attributes
// may be nil; chaincode reads them from the caller's certificate.
func (a *Authority) Enrol(name string, role Role, attrs map[string]string) (Pair, error) {
	template, err := base(a.subject(name, role), leafLifetime)
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if err := attach(template, attrs); err != nil {
		return Pair{}, err
	}
	return a.issue(template)
}

// attach writes attributes into a certificate to be.
func attach(template *x509.Certificate, attrs map[string]string) error {
	if len(attrs) == 0 {
		return nil
	}
	value, err := json.Marshal(map[string]any{"attrs": attrs})
	if err != nil {
		return fmt.Errorf("writing attributes of %s: %w", template.Subject.CommonName, err)
	}
	template.ExtraExtensions = []pkix.Extension{{Id: attributes, Value: value}}
	return nil
}

// Person issues a client's TLS certificate for somebody who works with the member's
// gateway: the name is the common name, the attributes say in which role.
func (a *Authority) Person(name string, attrs map[string]string) (Pair, error) {
	template, err := base(a.subject(name, Client), leafLifetime)
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if err := attach(template, attrs); err != nil {
		return Pair{}, err
	}
	return a.issue(template)
}

// TLS issues a certificate for both ends of a connection. Hosts are IP
// addresses and DNS names; a pure client has none.
func (a *Authority) TLS(name string, role Role, hosts ...string) (Pair, error) {
	template, err := base(a.subject(name, role), leafLifetime)
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	return a.issue(template)
}

// Lone makes a client's TLS certificate that no authority stands behind: it
// vouches for itself, and a server that trusts it trusts nobody else.
func Lone(organisation, name string, role Role) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("making the key of %s: %w", name, err)
	}
	template, err := base(pkix.Name{CommonName: name, Organization: []string{organisation}, OrganizationalUnit: []string{string(role)}}, leafLifetime)
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return sign(template, template, key, key)
}

func (a *Authority) subject(name string, role Role) pkix.Name {
	return pkix.Name{CommonName: name, Organization: a.cert.Subject.Organization, OrganizationalUnit: []string{string(role)}}
}

func (a *Authority) issue(template *x509.Certificate) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("making the key of %s: %w", template.Subject.CommonName, err)
	}
	template.SubjectKeyId = keyID(&key.PublicKey)
	return sign(template, a.cert, key, a.key)
}

func base(subject pkix.Name, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choosing a serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               subject,
		NotBefore:             now.Add(-backdate).UTC(),
		NotAfter:              now.Add(lifetime).UTC(),
		BasicConstraintsValid: true,
	}, nil
}

// keyID is the subject key identifier of RFC 7093, method 1.
func keyID(k *ecdsa.PublicKey) []byte {
	raw, err := k.Bytes()
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(raw)
	return sum[:20]
}

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (Pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, lowS{signer})
	if err != nil {
		return Pair{}, fmt.Errorf("signing the certificate of %s: %w", template.Subject.CommonName, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("writing the key of %s: %w", template.Subject.CommonName, err)
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}, nil
}

// ParseCert reads one PEM certificate.
func ParseCert(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM certificate found")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading certificate: %w", err)
	}
	return cert, nil
}

func parseKey(b []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PKCS #8 PEM key found")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading key: %w", err)
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key is a %T, want ECDSA", k)
	}
	return key, nil
}
