package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/handle"
	"yitong/gateway/seal"
	"yitong/gateway/share"
)

// Counterparts reaches the other members' gateways at the addresses that the
// registry gives, over mutual TLS. It accepts only a gateway certificate of the
// very member it means to reach: a member can't stand in for another.
type Counterparts struct {
	trust       Trust
	revocations Revocations
	certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

	mu    sync.Mutex
	conns map[destination]*grpc.ClientConn
}

// destination is where a member's gateway is reached, and after how many changes of what
// the member has revoked: one more, and it is reached anew.
type destination struct {
	msp, address string
	revocations  int
}

// lastCalls is how long calls may go on over a connection that was given up.
const lastCalls = time.Minute

var _ share.Exchange = (*Counterparts)(nil)

// NewCounterparts makes the client side of Exchange. certificate is what this
// gateway shows. Close ends the connections.
func NewCounterparts(trust Trust, revocations Revocations, certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) *Counterparts {
	return &Counterparts{trust: trust, revocations: orNone(revocations), certificate: certificate, conns: map[destination]*grpc.ClientConn{}}
}

// Close ends all connections.
func (c *Counterparts) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	for _, conn := range c.conns {
		err = errors.Join(err, conn.Close())
	}
	clear(c.conns)
	return err
}

func (c *Counterparts) client(m registry.Member) (yitongv1.ExchangeClient, error) {
	conn, err := c.conn(m)
	if err != nil {
		return nil, err
	}
	return yitongv1.NewExchangeClient(conn), nil
}

func (c *Counterparts) conn(m registry.Member) (*grpc.ClientConn, error) {
	at := destination{m.MSP, m.Gateway, c.revocations.Changes(m.MSP)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn, ok := c.conns[at]; ok {
		return conn, nil
	}
	for other, conn := range c.conns {
		if other.msp == at.msp && other.revocations != at.revocations {
			delete(c.conns, other)
			time.AfterFunc(lastCalls, func() { conn.Close() })
		}
	}
	config, err := c.trust.Reach(m.MSP, c.certificate)
	if err != nil {
		return nil, err
	}
	gateway, revoked := config.VerifyConnection, c.trust.knocks(c.revocations)
	config.VerifyConnection = func(s tls.ConnectionState) error { return errors.Join(revoked(s), gateway(s)) }
	conn, err := Dial(m.Gateway, config)
	if err != nil {
		return nil, fmt.Errorf("reaching the gateway of %s: %w", m.MSP, err)
	}
	c.conns[at] = conn
	return conn, nil
}

// Reach is the TLS configuration for reaching one member's gateway and nobody
// else's.
func (t Trust) Reach(msp string, certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) (*tls.Config, error) {
	ca, ok := t[msp]
	if !ok {
		return nil, fmt.Errorf("there is no TLS authority of %s in the trust folder", msp)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: Trust{msp: ca}.Pool(), GetClientCertificate: certificate,
		VerifyConnection: func(s tls.ConnectionState) error {
			if (caller{units: s.PeerCertificates[0].Subject.OrganizationalUnit}).is("gateway") {
				return nil
			}
			return fmt.Errorf("what answers for %s shows no gateway certificate (OU=gateway)", msp)
		},
	}, nil
}

// Dial connects to a gateway. It returns at once; the connection is made, and made
// again, when it is needed.
func Dial(address string, config *tls.Config) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithUnaryInterceptor(onwardUnary), grpc.WithStreamInterceptor(onwardStream),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
}

// Evaluate implements share.Exchange.
func (c *Counterparts) Evaluate(ctx context.Context, evaluator registry.Member, r handle.Relation, blinded [][]byte) (handle.Evaluation, error) {
	conn, err := c.conn(evaluator)
	if err != nil {
		return handle.Evaluation{}, err
	}
	out, err := yitongv1.NewEvaluatorClient(conn).Evaluate(ctx, &yitongv1.EvaluateRequest{
		Channel: r.Channel, Custodian: r.Custodian, Requester: r.Requester, Epoch: int32(r.Epoch), Blinded: blinded,
	})
	return handle.Evaluation{Elements: out.GetEvaluated(), Proof: out.GetProof()}, remote(err)
}

// Release implements share.Exchange.
func (c *Counterparts) Release(ctx context.Context, custodian registry.Member, q share.ReleaseQuery) (share.Delivery, error) {
	client, err := c.client(custodian)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	in := &yitongv1.ReleaseRequest{Permit: q.Permit, Height: q.Height, Keys: share.Expected(ctx)}
	if q.Whom != nil {
		in.Patient = patientMessage(*q.Whom)
	}
	held := map[place]int64{}
	for _, h := range q.Held {
		in.Held = append(in.Held, &yitongv1.HeldPart{RecordId: h.Record, Part: int32(h.Part), Bytes: h.Bytes})
		held[place{h.Record, int32(h.Part)}] = h.Bytes
	}
	stream, err := client.Release(ctx, in)
	if err != nil {
		cancel()
		return nil, remote(err)
	}
	first, err := stream.Recv()
	if err != nil {
		cancel()
		return nil, remote(err)
	}
	d := &delivery{cancel: cancel, chunk: func() (*yitongv1.SealedChunk, error) {
		m, err := stream.Recv()
		return m.GetChunk(), err
	}}
	if err := d.begin(first.GetManifest().GetManifest(), held); err != nil {
		cancel()
		return nil, err
	}
	return d, nil
}

// Disclose implements share.Exchange.
func (c *Counterparts) Disclose(ctx context.Context, holder registry.Member, order string, height uint64) (share.Disclosed, error) {
	client, err := c.client(holder)
	if err != nil {
		return share.Disclosed{}, err
	}
	out, err := client.Disclose(ctx, &yitongv1.DiscloseRequest{Order: order, Height: height})
	return share.Disclosed{Content: out.GetContent(), Salt: out.GetSalt()}, remote(err)
}

// Erased implements share.Exchange.
func (c *Counterparts) Erased(ctx context.Context, requester registry.Member, n share.Notice) error {
	conn, err := c.conn(requester)
	if err != nil {
		return err
	}
	_, err = yitongv1.NewTombstonesClient(conn).Erased(ctx, &yitongv1.ErasedRequest{RecordId: n.Record, Erasure: int32(n.Erasure), Height: n.Height})
	return remote(err)
}

// remote turns the status of another gateway into the error it stands for, so that
// a refusal there is a refusal here.
func remote(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := RefusalOf(err); ok {
		if after, ok := retryOf(err); ok {
			return &share.Exceeded{Refusal: refused, Retry: after}
		}
		return refused
	}
	switch status.Code(err) {
	case codes.Unavailable:
		return fmt.Errorf("%w: %s", share.ErrUnavailable, status.Convert(err).Message())
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Canceled:
		return context.Canceled
	}
	return fmt.Errorf("the other member's gateway failed: %s", status.Convert(err).Message())
}

// delivery reads what a custodian sends for a permit.
type delivery struct {
	chunk    func() (*yitongv1.SealedChunk, error) // the next message's
	cancel   context.CancelFunc
	manifest *seal.Manifest
	next     []pending // in order
}

// place is a part of the manifest.
type place struct {
	record string
	part   int32
}

// pending is a part that is to come, and how many bytes of it.
type pending struct {
	place
	size int64
}

// maxManifestParts bounds what a custodian can make this gateway keep track of.
const maxManifestParts = 1 << 16

func (d *delivery) begin(manifest []byte, held map[place]int64) error {
	d.manifest = &seal.Manifest{}
	if err := readDocument(manifest, d.manifest); err != nil {
		return errors.New("the custodian's first message is no manifest")
	}
	for _, r := range d.manifest.Records {
		for _, p := range r.Parts {
			at := place{r.Anchor, int32(p.Part.Index)}
			d.next = append(d.next, pending{at, p.Part.SealedSize - held[at]})
		}
	}
	if len(d.next) > maxManifestParts {
		return fmt.Errorf("the custodian's manifest names %d parts; at most %d are taken", len(d.next), maxManifestParts)
	}
	return nil
}

func (d *delivery) Manifest() *seal.Manifest { return d.manifest }

func (d *delivery) Close() error {
	d.cancel()
	return nil
}

// Part reads the chunks of the next part; it ends where the next one begins.
func (d *delivery) Part() (io.Reader, error) {
	if len(d.next) == 0 {
		return nil, io.EOF
	}
	at := d.next[0]
	d.next = d.next[1:]
	left := at.size
	return &messageReader{next: func() ([]byte, error) {
		if left <= 0 {
			return nil, io.EOF
		}
		chunk, err := d.chunk()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, remote(err)
		}
		if chunk.GetRecordId() != at.record || chunk.GetPart() != at.part {
			return nil, fmt.Errorf("the custodian sent part %d of record %s out of turn", chunk.GetPart(), chunk.GetRecordId())
		}
		left -= int64(len(chunk.GetSealed()))
		return chunk.GetSealed(), nil
	}}, nil
}
