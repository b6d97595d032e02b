package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"yitong/chaincode/contract"
	"yitong/chaincode/contract/server"
)

// identity writes a self-signed certificate and its key as PEM files.
func identity(t *testing.T, name string) (cert, key string, pair tls.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	dir := t.TempDir()
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem")
	for path, content := range map[string][]byte{cert: certPEM, key: keyPEM} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err = tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pair
}

func TestOnlyThePeerIsLetInOverTLS(t *testing.T) {
	chaincode, err := contract.New(contract.SystemClock)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, own := identity(t, "server")
	peerCert, _, peerPair := identity(t, "peer")
	_, _, strangerPair := identity(t, "stranger")
	ctx, cancel := context.WithCancel(t.Context())
	address, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, server.Config{ID: "yitong:1", Address: "127.0.0.1:0", Cert: cert, Key: key, ClientCA: peerCert},
			chaincode, slog.New(slog.DiscardHandler), func(a net.Addr) { address <- a })
	}()
	var at net.Addr
	select {
	case at = <-address:
	case err := <-ended:
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(own.Leaf)
	for _, test := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{
		{"the peer", []tls.Certificate{peerPair}, true},
		{"somebody with a certificate of his own", []tls.Certificate{strangerPair}, false},
		{"somebody without a certificate", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := grpc.NewClient(at.String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: test.certs})))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			stream, err := peer.NewChaincodeClient(conn).Connect(t.Context())
			if err == nil {
				_, err = stream.Recv()
			}
			if (err == nil) != test.ok {
				t.Errorf("error %v", err)
			}
		})
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestFilesThatCantBeReadAreNamed(t *testing.T) {
	chaincode, err := contract.New(contract.SystemClock)
	if err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "none.pem")
	err = server.Run(t.Context(), server.Config{ID: "y:1", Address: "127.0.0.1:0", Cert: missing, Key: missing, ClientCA: missing},
		chaincode, slog.New(slog.DiscardHandler), nil)
	if err == nil {
		t.Fatal("served without its certificate")
	}
}
