package ledgertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/attrmgr"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
)

// Identity is somebody who proposes transactions.
type Identity struct {
	MSP     string
	Creator []byte // serialized msp.SerializedIdentity with a certificate of its own
}

// authority is a member's certificate authority.
type authority struct {
	msp  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(mspID string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "ca." + mspID, Organization: []string{mspID}},
		NotBefore:             time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{msp: mspID, key: key, cert: cert}, err
}

// enrol issues a client certificate as Fabric's node OUs want it: OU=client.
// Attributes lie in the extension in which Fabric's chaincode library looks for them.
func (a *authority) enrol(name string, attributes map[string]string) (Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Identity{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: name, OrganizationalUnit: []string{"client"}},
		NotBefore:    a.cert.NotBefore,
		NotAfter:     a.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	if attributes != nil {
		value, err := json.Marshal(map[string]any{"attrs": attributes})
		if err != nil {
			return Identity{}, err
		}
		template.ExtraExtensions = []pkix.Extension{{Id: attrmgr.AttrOID, Value: value}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return Identity{}, err
	}
	creator, err := proto.Marshal(&msp.SerializedIdentity{
		Mspid:   a.msp,
		IdBytes: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	})
	return Identity{MSP: a.msp, Creator: creator}, err
}
