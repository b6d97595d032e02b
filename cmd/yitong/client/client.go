package client

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/credential"
)

// Client is a connection to one member's gateway. Its services are those of the
// API; Close it when done. It is safe for concurrent use.
type Client struct {
	Profile     Profile
	Records     yitongv1.RecordsClient
	Consents    yitongv1.ConsentsClient
	Patients    yitongv1.PatientsClient
	Policies    yitongv1.PoliciesClient
	Accesses    yitongv1.AccessesClient
	Members     yitongv1.MembersClient
	Emergencies yitongv1.EmergenciesClient
	Lodgings    yitongv1.LodgingsClient
	Audit       yitongv1.AuditClient
	Node        yitongv1.NodeClient
	Heights     yitongv1.HeightsClient
	Keys        yitongv1.KeysClient
	Erasures    yitongv1.ErasuresClient
	Handles     yitongv1.HandlesClient
	Uploads     yitongv1.UploadsClient
	Contents    yitongv1.ContentsClient
	Events      yitongv1.EventsClient
	Outbox      yitongv1.OutboxClient
	Backups     yitongv1.BackupsClient
	Callers     yitongv1.CallersClient

	conn *grpc.ClientConn
}

// retries repeats a call whose outcome is unknown. That is safe because every
// call that writes names itself by an id chosen here (see NewID).
const retries = `{"methodConfig":[{"name":[{}],"retryPolicy":{
	"maxAttempts":3,"initialBackoff":"0.2s","maxBackoff":"2s","backoffMultiplier":2,
	"retryableStatusCodes":["UNAVAILABLE"]}}]}`

// Dial prepares a connection; the first call makes it.
func Dial(p Profile) (*Client, error) {
	conf, err := p.TLS()
	if err != nil {
		return nil, fmt.Errorf("using the profile of %s: %w", p.Member, err)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(conf)), grpc.WithDefaultServiceConfig(retries),
		// gRPC's own backoff grows to two minutes: too long after a gateway's restart.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		})}
	if p.Session != nil {
		options = append(options, grpc.WithPerRPCCredentials(p.Session))
	}
	conn, err := grpc.NewClient("passthrough:///"+p.Gateway, options...)
	if err != nil {
		return nil, fmt.Errorf("preparing the connection to the gateway of %s: %w", p.Member, err)
	}
	return &Client{
		Profile:     p,
		Records:     yitongv1.NewRecordsClient(conn),
		Consents:    yitongv1.NewConsentsClient(conn),
		Patients:    yitongv1.NewPatientsClient(conn),
		Policies:    yitongv1.NewPoliciesClient(conn),
		Accesses:    yitongv1.NewAccessesClient(conn),
		Members:     yitongv1.NewMembersClient(conn),
		Emergencies: yitongv1.NewEmergenciesClient(conn),
		Lodgings:    yitongv1.NewLodgingsClient(conn),
		Audit:       yitongv1.NewAuditClient(conn),
		Node:        yitongv1.NewNodeClient(conn),
		Heights:     yitongv1.NewHeightsClient(conn),
		Keys:        yitongv1.NewKeysClient(conn),
		Erasures:    yitongv1.NewErasuresClient(conn),
		Handles:     yitongv1.NewHandlesClient(conn),
		Uploads:     yitongv1.NewUploadsClient(conn),
		Contents:    yitongv1.NewContentsClient(conn),
		Events:      yitongv1.NewEventsClient(conn),
		Outbox:      yitongv1.NewOutboxClient(conn),
		Backups:     yitongv1.NewBackupsClient(conn),
		Callers:     yitongv1.NewCallersClient(conn),
		conn:        conn,
	}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// TLS is how a profile's holder and its gateway recognise each other, at each of its doors.
func (p Profile) TLS() (*tls.Config, error) {
	authority, err := os.ReadFile(p.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate", p.CA)
	}
	certPEM, keyPEM, err := credential.Files{Cert: p.Cert, Key: p.Key}.Read() // they may be being replaced
	if err != nil {
		return nil, err
	}
	own, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	name := p.ServerName
	if name == "" {
		if name, _, err = net.SplitHostPort(p.Gateway); err != nil {
			return nil, fmt.Errorf("the gateway's address %q is not host:port", p.Gateway)
		}
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{own}, ServerName: name,
	}, nil
}

// NewID draws the id of a record, consent or access: 16 random bytes as 32
// hexadecimal characters. Whoever repeats a call repeats it under the same id.
func NewID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	return hex.EncodeToString(id[:])
}
