// Package api is the gateway's gRPC door: it lets callers in by their
// certificates, turns messages into use cases (gateway/share) and answers with
// what they return. It holds no rule of its own beyond who may knock where.
//
// The messages are in yitong/v1/yitong.proto, which is the API's manual.
package api

import (
	"crypto/tls"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit"
	"yitong/gateway/audit/height"
	"yitong/gateway/audit/projection"
	"yitong/gateway/events"
	"yitong/gateway/outbox"
	"yitong/gateway/policy"
	"yitong/gateway/share"
)

// Limits of the door.
const (
	maxMessage = 4 << 20 // bytes of one message that this gateway takes from another
	maxStreams = 512     // calls at once on one connection
	chunkSize  = 1 << 20 // bytes of content in one message of a stream
)

// Decider says who of the member's own may do what; *policy.Policies is one.
type Decider interface {
	Decide(policy.Question) policy.Answer
}

// Config is what a server serves.
type Config struct {
	Gateway     *share.Gateway
	Chain       audit.Blocks
	Channel     string
	Chaincode   string
	Projection  *projection.Database // of the chain; nil answers no question of history
	Patience    time.Duration        // how long a question waits for the projection to have what the peer has; 0 is 2 s
	Scratch     string               // folder that a rebuild works in
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Trust       Trust
	Revocations Revocations    // nil: none
	Tokens      Tokens         // of the member's people and services; nil takes none
	Shown       []Shown        // the gateway\'s certificates
	Policy      Decider        // of the member's own people; nil is policy.Default
	Heights     *height.Keeper // nil exchanges none
	Events      *events.Feed   // nil keeps none
	Version     string
	Called      func(method, code string, took time.Duration)              // told of each call; nil of none
	Asked       func(route, method string, status int, took time.Duration) // told of each HTTP request; nil of none
	Limits      *Limiter                                                   // of both doors; nil is one with the defaults
	Tracer      trace.TracerProvider                                       // nil traces nothing
	Outbox      *outbox.Outbox                                             // has every write happen once; nil leaves that to who calls
	Stopping    <-chan struct{}                                            // closed when streams without an end are to end; nil never is
	Backup      Backup                                                     // writes backups; nil makes none
	Log         *slog.Logger
}

func newDoor(c Config) door {
	d := door{self: c.Gateway.Self.MSP, kind: c.Gateway.Self.Kind, trust: c.Trust, tokens: c.Tokens, policy: c.Policy, revocations: orNone(c.Revocations), called: c.Called, asked: c.Asked, limits: c.Limits, outbox: c.Outbox, tracer: tracerOf(c.Tracer), stopping: c.Stopping, log: c.Log}
	if d.limits == nil {
		d.limits = NewLimiter(Limits{})
	}
	if d.policy == nil {
		d.policy = policy.Default()
	}
	return d
}

// NewServer makes the gRPC server of a member's gateway: TLS 1.3, a client
// certificate of a member required.
func NewServer(c Config) *grpc.Server {
	d := newDoor(c)
	limits := d.limits.Limits()
	s := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, GetCertificate: c.Certificate,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.Trust.Pool(),
			VerifyConnection: c.Trust.knocks(orNone(c.Revocations)),
		})),
		grpc.UnaryInterceptor(d.unary), grpc.StreamInterceptor(d.stream),
		grpc.MaxRecvMsgSize(int(limits.Message)), grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(webHeader),
		grpc.ConnectionTimeout(limits.Header),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Minute, Timeout: 20 * time.Second, MaxConnectionIdle: max(limits.Idle, 2*time.Minute)}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}),
	)
	register(s, c)
	return s
}

// register adds every service of a member's gateway.
func register(s grpc.ServiceRegistrar, c Config) {
	yitongv1.RegisterRecordsServer(s, records{gateway: c.Gateway})
	yitongv1.RegisterContentsServer(s, contents{gateway: c.Gateway})
	yitongv1.RegisterUploadsServer(s, uploads{gateway: c.Gateway})
	yitongv1.RegisterConsentsServer(s, consents{gateway: c.Gateway})
	yitongv1.RegisterDirectivesServer(s, directives{auditing: newAuditing(c)})
	yitongv1.RegisterRequestsServer(s, requests{auditing: newAuditing(c)})
	yitongv1.RegisterPatientsServer(s, patients{gateway: c.Gateway})
	yitongv1.RegisterPoliciesServer(s, policies{gateway: c.Gateway})
	yitongv1.RegisterAccessesServer(s, accesses{gateway: c.Gateway})
	yitongv1.RegisterEmergenciesServer(s, emergencies{gateway: c.Gateway, chain: c.Chain, chaincode: c.Chaincode, audit: newAuditing(c)})
	yitongv1.RegisterMembersServer(s, members{gateway: c.Gateway})
	yitongv1.RegisterAuditServer(s, newAuditing(c))
	yitongv1.RegisterNodeServer(s, node{gateway: c.Gateway, projection: c.Projection, version: c.Version})
	yitongv1.RegisterEvaluatorServer(s, evaluator{gateway: c.Gateway})
	yitongv1.RegisterHandlesServer(s, handles{gateway: c.Gateway})
	yitongv1.RegisterExchangeServer(s, exchange{gateway: c.Gateway, heights: c.Heights})
	yitongv1.RegisterErasuresServer(s, erasures{gateway: c.Gateway})
	yitongv1.RegisterTombstonesServer(s, tombstones{gateway: c.Gateway})
	yitongv1.RegisterKeysServer(s, keyring{gateway: c.Gateway, shown: c.Shown, revocations: orNone(c.Revocations)})
	yitongv1.RegisterEscrowServer(s, keeping{gateway: c.Gateway})
	yitongv1.RegisterLodgingsServer(s, lodgings{gateway: c.Gateway})
	yitongv1.RegisterCallersServer(s, callers{door: newDoor(c), name: c.Gateway.Self.Name})
	yitongv1.RegisterHeightsServer(s, heights{keeper: c.Heights})
	yitongv1.RegisterBackupsServer(s, backups{write: c.Backup})
	yitongv1.RegisterEventsServer(s, feed{feed: c.Events})
	yitongv1.RegisterOutboxServer(s, writes{outbox: c.Outbox})
}
