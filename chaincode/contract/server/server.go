// Package server runs a chaincode as a service: a process that a member's peer connects
// to, instead of a container that the peer starts.
//
// Whoever connects is believed to be the peer and is told every proposal, so the server
// listens in the clear on loopback only; anywhere else it wants a certificate of its own
// and a CA that the peer's must come from.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// The environment that FromEnvironment reads.
const (
	IDVariable       = "CHAINCODE_ID"             // package id, label:sha256, as the peer installed it
	AddressVariable  = "CHAINCODE_SERVER_ADDRESS" // host:port to listen on
	CertVariable     = "CHAINCODE_TLS_CERT"       // PEM file, this server's certificate
	KeyVariable      = "CHAINCODE_TLS_KEY"        // PEM file, its private key
	ClientCAVariable = "CHAINCODE_CLIENT_CA_CERT" // PEM file, the CA of the peer's certificate
)

// drain is how long transactions under way may take to end once the server is to stop.
const drain = 5 * time.Second

// The largest message, and the keepalive, that Fabric's own chaincode server has.
const (
	maxMessage        = 100 << 20
	keepaliveInterval = time.Minute
	keepaliveTimeout  = 20 * time.Second
)

// Config says what to serve and where.
type Config struct {
	ID       string // package id
	Address  string // host:port; port 0 picks one
	Cert     string // PEM file; empty, as the two below, for loopback in the clear
	Key      string // PEM file
	ClientCA string // PEM file
}

// FromEnvironment reads the configuration by a lookup such as os.LookupEnv. Its error names
// every variable that is missing.
func FromEnvironment(lookup func(string) (string, bool)) (Config, error) {
	get := func(name string) string { v, _ := lookup(name); return v }
	c := Config{
		ID: get(IDVariable), Address: get(AddressVariable),
		Cert: get(CertVariable), Key: get(KeyVariable), ClientCA: get(ClientCAVariable),
	}
	return c, c.check()
}

func (c Config) check() error {
	var errs []error
	if c.ID == "" {
		errs = append(errs, errors.New("set "+IDVariable+" to the package id, label:sha256"))
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		errs = append(errs, errors.New("set "+AddressVariable+" to the host:port to listen on"))
	}
	some := c.Cert != "" || c.Key != "" || c.ClientCA != ""
	all := c.Cert != "" && c.Key != "" && c.ClientCA != ""
	switch {
	case some && !all:
		errs = append(errs, fmt.Errorf("set all of %s, %s and %s, or none", CertVariable, KeyVariable, ClientCAVariable))
	case !some && err == nil && !loopback(host):
		errs = append(errs, fmt.Errorf("set %s, %s and %s, or listen on loopback: %s is neither", CertVariable, KeyVariable, ClientCAVariable, host))
	}
	return errors.Join(errs...)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Run serves a chaincode until the context is done, then lets the transactions under way
// end and returns nil. ready, if not nil, is told the address once connections are taken.
func Run(ctx context.Context, c Config, cc shim.Chaincode, log *slog.Logger, ready func(net.Addr)) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("configure chaincode server: %w", err)
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveInterval, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveInterval, PermitWithoutStream: true}),
	}
	if c.Cert != "" {
		config, err := c.tls()
		if err != nil {
			return fmt.Errorf("configure chaincode server: %w", err)
		}
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Address)
	if err != nil {
		return fmt.Errorf("listen for the peer: %w", err)
	}
	running := &counted{Chaincode: cc, idle: make(chan struct{})}
	server := grpc.NewServer(options...)
	peer.RegisterChaincodeServer(server, &shim.ChaincodeServer{CCID: c.ID, Address: c.Address, CC: running})

	log.Info("chaincode serves", "address", listener.Addr().String(), "id", c.ID, "mutual_tls", c.Cert != "")
	if ready != nil {
		ready(listener.Addr())
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve chaincode: %w", err)
	case <-ctx.Done():
	}
	running.stop()
	select {
	case <-running.idle:
	case <-time.After(drain):
		log.Warn("chaincode stops with transactions under way")
	}
	server.Stop() // the peer's stream never ends by itself
	log.Info("chaincode has stopped")
	return nil
}

func (c Config) tls() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("load certificate and key: %w", err)
	}
	pem, err := os.ReadFile(c.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("load the peer's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load the peer's CA: no certificate in %s", c.ClientCA)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}, nil
}
