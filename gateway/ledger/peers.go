package ledger

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	fabric "github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"yitong/gateway/credential"
)

// Bounds of one call at one peer. Fabric's own defaults are 30 s for an
// endorsement; a peer that is stopped rather than dead must not hold up longer.
const (
	endorseTimeout  = 15 * time.Second
	submitTimeout   = 10 * time.Second
	evaluateTimeout = 10 * time.Second
	goneTimeout     = 2 * time.Second // of an own peer that is known not to answer
)

// maxMessage is what a Fabric peer itself takes in one message, in bytes.
const maxMessage = 100 << 20

// peerConn is a connection to a peer, and who makes it.
type peerConn struct {
	creator []byte // serialized identity
	sign    identity.Sign
	tlsHash []byte // of the client certificate; nil without one
	address string
	own     bool
	member  string // MSP id; empty if it isn't known
	uses    Uses
	conn    *grpc.ClientConn
	gateway *client.Gateway
	network *client.Network
	deliver fabric.DeliverClient
}

func connect(cfg Config, p Peer, id identity.Identity, sign identity.Sign) (*peerConn, error) {
	conf, hash, err := tlsConfig(cfg, p)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+p.Address,
		grpc.WithTransportCredentials(credentials.NewTLS(conf)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		// gRPC's own backoff grows to two minutes: too long after a peer's restart.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
		// A Fabric peer drops clients that ping more often than once a minute.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 70 * time.Second, Timeout: 10 * time.Second}),
	)
	if err != nil {
		return nil, err
	}
	opts := []client.ConnectOption{client.WithSign(sign), client.WithClientConnection(conn)}
	if hash != nil {
		// With mutual TLS a peer serves blocks only to a request bound to the client's certificate.
		opts = append(opts, client.WithTLSClientCertificateHash(hash))
	}
	gw, err := client.Connect(id, opts...)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &peerConn{
		address: p.Address,
		tlsHash: hash,
		member:  p.Member,
		uses:    p.Uses,
		own:     p.Address == cfg.Peers[0].Address,
		conn:    conn,
		gateway: gw,
		network: gw.GetNetwork(cfg.Channel),
		deliver: fabric.NewDeliverClient(conn),
	}, nil
}

// signed is a signature over a message.
func (p *peerConn) signed(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return p.sign(digest[:])
}

func (p *peerConn) close() error {
	return errors.Join(p.gateway.Close(), p.conn.Close())
}

// tlsConfig also returns the SHA-256 of the client certificate, nil without one.
func tlsConfig(cfg Config, p Peer) (*tls.Config, []byte, error) {
	host, _, err := net.SplitHostPort(p.Address)
	if err != nil {
		return nil, nil, fmt.Errorf("address is not host:port: %w", err)
	}
	if p.ServerName != "" {
		host = p.ServerName
	}
	pem, err := os.ReadFile(p.TLSCA)
	if err != nil {
		return nil, nil, fmt.Errorf("reading its TLS CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("no certificate in %s", p.TLSCA)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: host}
	if cfg.TLSCert == "" {
		return conf, nil, nil
	}
	certPEM, keyPEM, err := credential.Files{Cert: cfg.TLSCert, Key: cfg.TLSKey}.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("TLS client certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("TLS client certificate: %w", err)
	}
	conf.Certificates = []tls.Certificate{cert}
	hash := sha256.Sum256(cert.Certificate[0])
	return conf, hash[:], nil
}
