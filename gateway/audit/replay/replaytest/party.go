package replaytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
)

// Party is somebody who signs: an authority, an ordering node, a peer, a client.
type Party struct {
	MSP        string
	Cert       []byte // PEM
	Serialized []byte // msp.SerializedIdentity

	key  *ecdsa.PrivateKey
	x509 *x509.Certificate
}

// The certificates' time.
var (
	notBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
)

// deriveKey is a P-256 key out of a seed and a name.
func deriveKey(seed uint64, name string) *ecdsa.PrivateKey {
	for n := 0; ; n++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "yitong replaytest key %d %s %d", seed, name, n))
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:]); err == nil {
			return key
		}
	}
}

// steady signs the same message with the same signature always (RFC 6979), and with the
// lower S, as Fabric demands.
type steady struct{ key *ecdsa.PrivateKey }

func (s steady) Public() crypto.PublicKey { return s.key.Public() }

func (s steady) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	raw, err := s.key.Sign(nil, digest, opts)
	if err != nil {
		return nil, err
	}
	return lower(raw), nil
}

func lower(raw []byte) []byte {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(raw, &sig); err != nil {
		panic(err)
	}
	n := elliptic.P256().Params().N
	if sig.S.Cmp(new(big.Int).Rsh(n, 1)) > 0 {
		sig.S.Sub(n, sig.S)
	}
	out, err := asn1.Marshal(sig)
	if err != nil {
		panic(err)
	}
	return out
}

// Sign signs a message.
func (p *Party) Sign(message []byte) []byte {
	digest := sha256.Sum256(message)
	sig, err := steady{p.key}.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return sig
}

// Revoke is the authority's list of revoked certificates (RFC 5280), DER.
func (p *Party) Revoke(revoked ...*Party) []byte {
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: notBefore, NextUpdate: notAfter, SignatureAlgorithm: x509.ECDSAWithSHA256}
	for _, one := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: one.x509.SerialNumber, RevocationTime: notBefore})
	}
	der, err := x509.CreateRevocationList(nothing{}, list, p.x509, steady{p.key})
	if err != nil {
		panic(err)
	}
	return der
}

func newAuthority(seed uint64, mspID string) *Party {
	return issue(seed, mspID, "ca", "", nil, notAfter)
}

// issue makes a party of an organisation; unit is its role. Without an authority it is one.
func issue(seed uint64, mspID, name, unit string, by *Party, until time.Time) *Party {
	p := &Party{MSP: mspID, key: deriveKey(seed, mspID+"/"+name)}
	serial := sha256.Sum256([]byte(mspID + "/" + name))
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:16]), NotBefore: notBefore, NotAfter: until,
		Subject:  pkix.Name{CommonName: name + "." + mspID, Organization: []string{mspID}},
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	parent, signer := template, p.key
	if by == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	} else {
		template.Subject.OrganizationalUnit = []string{unit}
		parent, signer = by.x509, by.key
	}
	der, err := x509.CreateCertificate(nothing{}, template, parent, p.key.Public(), steady{signer})
	if err != nil {
		panic(err)
	}
	if p.x509, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	p.Cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.Serialized = marshal(&msp.SerializedIdentity{Mspid: mspID, IdBytes: p.Cert})
	return p
}

// nothing is a source of chance for those who must not need any.
type nothing struct{}

func (nothing) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func marshal(m proto.Message) []byte {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return raw
}
