package fabric

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
)

// Connection is an identity's connection to its member's own peer.
type Connection struct {
	*client.Gateway
	conn *grpc.ClientConn
	id   identity.Identity
	sign identity.Sign
}

// Connect opens a connection to the member's peer as one of its identities that
// signs (Admin, Gateway, or one of Issue). It doesn't wait for the peer.
func (m *Member) Connect(id Identity) (*Connection, error) {
	conn, err := m.dial(id)
	if err != nil {
		return nil, err
	}
	c := &Connection{conn: conn}
	if c.id, c.sign, err = signer(id); err != nil {
		conn.Close()
		return nil, err
	}
	fingerprint, err := certificateHash(id.TLSCert)
	if err != nil {
		conn.Close()
		return nil, err
	}
	c.Gateway, err = client.Connect(c.id,
		client.WithSign(c.sign), client.WithHash(hash.SHA256), client.WithClientConnection(conn),
		// Peers that ask for a TLS certificate bind event requests to it.
		client.WithTLSClientCertificateHash(fingerprint),
		client.WithEvaluateTimeout(10*time.Second), client.WithEndorseTimeout(15*time.Second),
		client.WithSubmitTimeout(10*time.Second), client.WithCommitStatusTimeout(time.Minute),
	)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting to the peer of %s: %w", m.Name, err)
	}
	return c, nil
}

// Close ends the connection.
func (c *Connection) Close() error {
	return errors.Join(c.Gateway.Close(), c.conn.Close())
}

func (m *Member) dial(id Identity) (*grpc.ClientConn, error) {
	config, err := id.TLSConfig(m.TLSCA())
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+m.PeerAddress(),
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithNoProxy(),
		// The peer is on this machine: ask again soon, gRPC's default waits long.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(100<<20)),
	)
	if err != nil {
		return nil, fmt.Errorf("dialling the peer of %s: %w", m.Name, err)
	}
	return conn, nil
}

func signer(id Identity) (*identity.X509Identity, identity.Sign, error) {
	certPEM, err := os.ReadFile(id.Cert)
	if err != nil {
		return nil, nil, fmt.Errorf("loading identity: %w", err)
	}
	cert, err := identity.CertificateFromPEM(certPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("loading identity %s: %w", id.Cert, err)
	}
	who, err := identity.NewX509Identity(id.MSP, cert)
	if err != nil {
		return nil, nil, fmt.Errorf("loading identity %s: %w", id.Cert, err)
	}
	keyPEM, err := os.ReadFile(id.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("loading identity: %w", err)
	}
	key, err := identity.PrivateKeyFromPEM(keyPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("loading key of %s: %w", id.Cert, err)
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return nil, nil, fmt.Errorf("loading key of %s: %w", id.Cert, err)
	}
	return who, sign, nil
}

func certificateHash(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("loading TLS certificate: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("loading TLS certificate: no PEM in %s", file)
	}
	sum := sha256.Sum256(block.Bytes)
	return sum[:], nil
}

func poolOf(pems ...[]byte) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, p := range pems {
		pool.AppendCertsFromPEM(p)
	}
	return pool
}
