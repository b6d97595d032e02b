package authority_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"net"
	"testing"

	"yitong/network/fabric/authority"
)

func newAuthority(t *testing.T) *authority.Authority {
	t.Helper()
	a, err := authority.New("HospitalA", "hospital-a authority")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func parse(t *testing.T, p authority.Pair) *x509.Certificate {
	t.Helper()
	c, err := authority.ParseCert(p.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(p.Cert, p.Key); err != nil {
		t.Fatalf("key and certificate don't belong together: %v", err)
	}
	return c
}

func roots(t *testing.T, a *authority.Authority) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(parse(t, a.Pair()))
	return pool
}

func TestAnEnrolmentCertificateTellsItsRoleAndAttributes(t *testing.T) {
	a := newAuthority(t)
	pair, err := a.Enrol("gateway.hospital-a", authority.Client, map[string]string{"role": "gateway"})
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, pair)
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots(t, a), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Error(err)
	}
	if got := c.Subject.String(); got != "CN=gateway.hospital-a,OU=client,O=HospitalA" {
		t.Errorf("subject %s", got)
	}
	var found string
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 2, 3, 4, 5, 6, 7, 8, 1}) {
			found = string(e.Value)
		}
	}
	if found != `{"attrs":{"role":"gateway"}}` {
		t.Errorf("attributes %q", found)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots(t, newAuthority(t)), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		t.Error("another authority vouches for it too")
	}
}

func TestATLSCertificateServesItsHostsAndBothEnds(t *testing.T) {
	a := newAuthority(t)
	pair, err := a.TLS("peer.hospital-a", authority.Peer, "127.0.0.1", "peer.hospital-a.example")
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, pair)
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		for _, host := range []string{"127.0.0.1", "peer.hospital-a.example"} {
			if _, err := c.Verify(x509.VerifyOptions{Roots: roots(t, a), DNSName: host, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
				t.Errorf("use %v at %s: %v", use, host, err)
			}
		}
	}
	if err := c.VerifyHostname("other.example"); err == nil {
		t.Error("it serves any host")
	}
	if len(c.IPAddresses) != 1 || !c.IPAddresses[0].Equal(net.IPv4(127, 0, 0, 1)) {
		t.Errorf("addresses %v", c.IPAddresses)
	}
}

func TestAClientWithoutHostsCantServe(t *testing.T) {
	a := newAuthority(t)
	pair, err := a.TLS("client.hospital-a", authority.Client)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parse(t, pair).Verify(x509.VerifyOptions{Roots: roots(t, a), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err == nil {
		t.Error("a client's certificate passes for a server's")
	}
}

func TestSignaturesHaveALowS(t *testing.T) {
	a := newAuthority(t)
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	for range 40 { // half of all signatures would have a high one
		pair, err := a.Enrol("x", authority.Client, nil)
		if err != nil {
			t.Fatal(err)
		}
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(parse(t, pair).Signature, &sig); err != nil {
			t.Fatal(err)
		}
		if sig.S.Cmp(half) > 0 {
			t.Fatal("a signature with a high S")
		}
	}
}

func TestAnAuthorityReadBackIssuesTheSame(t *testing.T) {
	a := newAuthority(t)
	b, err := authority.Load(a.Pair())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := b.Enrol("late", authority.Admin, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse(t, pair).Verify(x509.VerifyOptions{Roots: roots(t, a), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Error(err)
	}
}

func TestWhatIsntAnAuthorityIsRefused(t *testing.T) {
	a := newAuthority(t)
	leaf, err := a.Enrol("x", authority.Admin, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]authority.Pair{
		"a leaf":         leaf,
		"another's key":  {Cert: a.Pair().Cert, Key: newAuthority(t).Pair().Key},
		"no certificate": {Cert: a.Pair().Key, Key: a.Pair().Key},
		"no key":         {Cert: a.Pair().Cert, Key: a.Pair().Cert},
		"nothing":        {},
	} {
		if _, err := authority.Load(p); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestALoneCertificateIsTrustedAlone(t *testing.T) {
	pair, err := authority.Lone("HospitalA", "peer-to-chaincode", authority.Peer)
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, pair)
	pool := x509.NewCertPool()
	pool.AddCert(c)
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if c.IsCA {
		t.Error("it can issue others")
	}
	if k, ok := c.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("key %T", c.PublicKey)
	}
}
