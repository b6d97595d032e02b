package ledger_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"yitong/gateway/ledger"
	"yitong/test/port"
)

// consortium is a chain, the peers that serve it, and a member's way in.
type consortium struct {
	chain *chain
	peers []*fakePeer // the member's own first
	cfg   ledger.Config
}

// newConsortium starts n peers that ask for client certificates, as ours do.
func newConsortium(t *testing.T, n int) *consortium {
	t.Helper()
	dir := t.TempDir()
	ca := newAuthority(t, "TLS CA")
	caFile := write(t, dir, "tlsca.pem", "CERTIFICATE", ca.cert.Raw)
	c := &consortium{chain: newChain(t), cfg: ledger.Config{
		Channel: "yitong", Chaincode: "yitong", MSP: "AMSP",
		Patience: 20 * time.Second, Settle: 40 * time.Millisecond, Tries: 5,
	}}
	c.cfg.Cert, c.cfg.Key = ca.issue(t, dir, "gateway.a")
	c.cfg.TLSCert, c.cfg.TLSKey = ca.issue(t, dir, "client.a")
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for i := range n {
		cert, err := tls.LoadX509KeyPair(ca.issue(t, dir, "peer"+string(rune('0'+i))))
		if err != nil {
			t.Fatal(err)
		}
		p := &fakePeer{chain: c.chain, msp: string(rune('A'+i)) + "MSP", address: port.Reserved(t), tls: &tls.Config{
			Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		}}
		p.start()
		t.Cleanup(p.stop)
		c.peers = append(c.peers, p)
		c.cfg.Peers = append(c.cfg.Peers, ledger.Peer{Address: p.address, TLSCA: caFile})
	}
	return c
}

func (c *consortium) dial(t *testing.T) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Dial(t.Context(), c.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key := newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	return authority{sign(t, tmpl, tmpl, key, key), key}
}

// issue writes a certificate and its key to dir and returns their paths.
func (a authority) issue(t *testing.T, dir, name string) (string, string) {
	t.Helper()
	key := newKey(t)
	cert := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, name+".pem", "CERTIFICATE", cert.Raw), write(t, dir, name+".key", "PRIVATE KEY", der)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, tmpl, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func write(t *testing.T, dir, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
