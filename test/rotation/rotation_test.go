// Package rotation_test replaces and revokes keys of a consortium that works meanwhile.
package rotation_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/registry"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/channel"
	"yitong/gateway/ledger"
	"yitong/network/fabric"
	"yitong/network/fabric/authority"
	"yitong/test/consortium"
	"yitong/test/patient"
)

// TestKeysAreReplacedAndRevokedWhileEverythingWorks is one story, for one consortium.
func TestKeysAreReplacedAndRevokedWhileEverythingWorks(t *testing.T) {
	c := consortium.Start(t)
	p := patient.Synthetic(t, 1)
	c.Submit(t, p)
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	stolen := take(t, c.Member(t, consortium.HospitalA))

	ok := t.Run("every key of two members is replaced under load", func(t *testing.T) { replaceAll(t, c, p) }) &&
		t.Run("what is revoked is refused, by everybody, and the rest goes on", func(t *testing.T) { revoke(t, c, p, stolen) }) &&
		t.Run("a suspension ends a permit for good", func(t *testing.T) { suspend(t, c, p) }) &&
		t.Run("the replay follows the revocation", func(t *testing.T) { replayed(t, c) })
	if !ok {
		return
	}
	t.Run("the next start goes on with the new keys", func(t *testing.T) {
		c.Stop(t)
		c.Resume(t)
		open(t, c, c.Ask(t, p, "laboratory").GetId())
	})
}

// load asks and opens until it is told to stop.
type load struct {
	working errgroup.Group
	stop    context.CancelFunc
	done    atomic.Int64 // accesses that were opened
	again   atomic.Int64 // calls that were repeated, because the gateway's own peer was away
	patient bool         // whether calls may be repeated
}

func (l *load) run(t *testing.T, c *consortium.Consortium, p patient.Patient, workers int) {
	ctx, stop := context.WithCancel(t.Context())
	l.stop = stop
	asking := c.Client(t, consortium.Insurer)
	for range workers {
		l.working.Go(func() error {
			for ctx.Err() == nil {
				demand := consortium.Demand(p, "laboratory")
				var permit string
				err := l.call(func() error {
					answer, err := asking.Accesses.Request(t.Context(), demand)
					permit = answer.GetAccess().GetId()
					return err
				})
				if err != nil {
					return fmt.Errorf("requesting: %w", err)
				}
				err = l.call(func() error {
					_, err := asking.Open(t.Context(), permit, consortium.HospitalA, func(*yitongv1.Part) (io.Writer, error) { return io.Discard, nil })
					return err
				})
				if err != nil {
					return fmt.Errorf("opening: %w", err)
				}
				l.done.Add(1)
			}
			return nil
		})
	}
}

// call repeats a call that its answer says may be repeated.
func (l *load) call(do func() error) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := do()
		if err == nil {
			return nil
		}
		s, _ := client.Status(err)
		if !l.patient || s.Code() != codes.Unavailable && s.Code() != codes.Aborted && s.Code() != codes.DeadlineExceeded || time.Now().After(deadline) {
			return err
		}
		l.again.Add(1)
	}
}

// more waits until so many accesses more were opened.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	want := l.done.Load() + n
	for deadline := time.Now().Add(time.Minute); l.done.Load() < want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d accesses of %d were opened", l.done.Load(), want)
		}
	}
}

func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	if err := l.working.Wait(); err != nil {
		t.Error(err)
	}
}

func replaceAll(t *testing.T, c *consortium.Consortium, p patient.Patient) {
	var quiet load // nothing may fail
	quiet.run(t, c, p, 2)
	quiet.more(t, 2)
	for range 3 {
		for member, use := range map[string]string{consortium.Insurer: registry.UseHPKE, consortium.HospitalA: registry.UseSigning} {
			if _, err := c.Client(t, member).Keys.Rotate(t.Context(), &yitongv1.RotateKeyRequest{Use: use}); err != nil {
				t.Errorf("%s of %s: %v", use, member, err)
			}
			quiet.more(t, 2)
		}
	}
	for _, key := range []string{fabric.GatewayTLS, fabric.GatewayEnrolment, fabric.ClientTLS} {
		for _, member := range []string{consortium.HospitalA, consortium.Insurer} {
			renew(t, c, member, key)
		}
		quiet.more(t, 2)
	}
	shows(t, c.Member(t, consortium.HospitalA))
	quiet.more(t, 2)
	quiet.end(t)

	restarts := func() int { return c.Processes("peer-" + consortium.HospitalA)[0].Restarts }
	before := restarts()
	loud := load{patient: true} // its own peer is away for a moment: what is repeated completes
	loud.run(t, c, p, 2)
	renew(t, c, consortium.HospitalA, fabric.PeerKeys)
	for deadline := time.Now().Add(time.Minute); restarts() == before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the peer wasn't started again")
		}
	}
	loud.more(t, 4)
	loud.end(t)
	t.Logf("%d accesses opened while keys were replaced, none failed; %d more while a peer was started again, %d calls repeated",
		quiet.done.Load(), loud.done.Load(), loud.again.Load())

	keys, err := c.Client(t, consortium.HospitalA).Keys.List(t.Context(), &yitongv1.ListKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]int{}
	for _, k := range keys.GetKeys() {
		states[k.GetUse()+" "+k.GetState()]++
	}
	if states["signing present"] != 1 || states["signing replaced"] != 3 || states["tls present"] != 1 || states["enrolment present"] != 1 {
		t.Errorf("the gateway lists %v", states)
	}
}

// shows waits until a gateway shows the TLS certificate that lies in its directory: it looks
// there once a second.
func shows(t *testing.T, m *fabric.Member) {
	t.Helper()
	want := mustSerial(t, m.Gateway().TLSCert)
	config, err := m.Client().TLSConfig(m.TLSCA())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := tls.Dial("tcp", m.GatewayAddress(), config)
		if err != nil {
			t.Fatal(err)
		}
		shown := conn.ConnectionState().PeerCertificates[0].SerialNumber
		conn.Close()
		if shown.Cmp(want) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the gateway shows its old certificate")
		}
	}
}

func renew(t *testing.T, c *consortium.Consortium, member, key string) {
	t.Helper()
	if _, err := c.Member(t, member).Renew(key); err != nil {
		t.Errorf("%s of %s: %v", key, member, err)
	}
}

func open(t *testing.T, c *consortium.Consortium, permit string) {
	t.Helper()
	if parts, _, err := c.Open(t.Context(), t, permit); err != nil || len(parts) == 0 {
		t.Errorf("%d parts, %v", len(parts), err)
	}
}

// loot is what somebody took from a member's gateway while it was good.
type loot struct {
	id      fabric.Identity
	serials []*big.Int
}

func take(t *testing.T, m *fabric.Member) loot {
	t.Helper()
	dir := t.TempDir()
	l := loot{id: fabric.Identity{MSP: m.MSP}}
	for from, to := range map[string]*string{
		m.Gateway().Cert: &l.id.Cert, m.Gateway().Key: &l.id.Key, m.Gateway().TLSCert: &l.id.TLSCert, m.Gateway().TLSKey: &l.id.TLSKey,
	} {
		raw, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		*to = filepath.Join(dir, filepath.Base(from))
		if err := os.WriteFile(*to, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if cert, err := authority.ParseCert(raw); err == nil {
			l.serials = append(l.serials, cert.SerialNumber)
		}
	}
	if len(l.serials) != 2 {
		t.Fatalf("%d certificates were taken", len(l.serials))
	}
	return l
}

// ledger is the network as the thief sees it.
func (l loot) ledger(t *testing.T, c *consortium.Consortium, m *fabric.Member) *ledger.Ledger {
	t.Helper()
	chain, err := ledger.Dial(t.Context(), ledger.Config{
		Channel: c.Network().Topology().Channel, Chaincode: consortium.Chaincode, MSP: l.id.MSP,
		Cert: l.id.Cert, Key: l.id.Key, TLSCert: l.id.TLSCert, TLSKey: l.id.TLSKey,
		Peers: []ledger.Peer{{Address: m.PeerAddress(), TLSCA: m.TLSCA()}},
		Tries: 2, Patience: 5 * time.Second, Settle: time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { chain.Close() })
	return chain
}

func revoke(t *testing.T, c *consortium.Consortium, p patient.Patient, stolen loot) {
	m := c.Member(t, consortium.HospitalA)
	chain := stolen.ledger(t, c, m)
	gateway := m.GatewayAddress()
	same := registry.Update{Gateway: &gateway}
	if _, err := chain.Submit(t.Context(), contract.RegistryUpdate, same, nil); err != nil {
		t.Fatalf("before the revocation: %v", err)
	}
	held, err := chain.Prepare(t.Context(), contract.RegistryUpdate, same) // endorsed, and kept for later
	if err != nil {
		t.Fatal(err)
	}
	knock := func() codes.Code {
		config, err := stolen.id.TLSConfig(c.Member(t, consortium.Insurer).TLSCA())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := dial(c.Member(t, consortium.Insurer).GatewayAddress(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = yitongv1.NewExchangeClient(conn).Disclose(t.Context(), &yitongv1.DiscloseRequest{})
		return status.Code(err)
	}
	if got := knock(); got == codes.Unauthenticated || got == codes.Unavailable {
		t.Fatalf("another member's gateway before the revocation: %v", got)
	}

	if err := m.Revoke(t.Context(), c.Network().Topology(), false, mustSerial(t, m.Gateway().Cert)); !inUse(err) {
		t.Errorf("what the gateway uses was revoked: %v", err)
	}
	if err := m.Revoke(t.Context(), c.Network().Topology(), false, stolen.serials...); err != nil {
		t.Fatal(err)
	}
	if err := m.Revoke(t.Context(), c.Network().Topology(), false, stolen.serials...); err != nil {
		t.Errorf("the same once more: %v", err)
	}

	if _, err := chain.Submit(t.Context(), contract.RegistryUpdate, same, nil); err == nil {
		t.Error("the peers endorse under a revoked certificate")
	}
	if commit, err := held.Submit(t.Context()); err == nil {
		t.Errorf("what was endorsed before is committed after: %+v", commit)
	} else {
		t.Logf("what was held back: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if got := knock(); got == codes.Unavailable || got == codes.Unauthenticated {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("another member's gateway lets the revoked certificate in: %v", got)
		}
	}
	// The member itself, under the certificates that took their place.
	if _, err := c.Client(t, consortium.HospitalA).Keys.Rotate(t.Context(), &yitongv1.RotateKeyRequest{Use: registry.UseHPKE}); err != nil {
		t.Errorf("the member itself: %v", err)
	}
	open(t, c, c.Ask(t, p, "laboratory").GetId())
}

func mustSerial(t *testing.T, file string) *big.Int {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.ParseCert(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert.SerialNumber
}

func inUse(err error) bool {
	var used *fabric.CertificateInUse
	return errors.As(err, &used)
}

func suspend(t *testing.T, c *consortium.Consortium, p patient.Patient) {
	permit := c.Ask(t, p, "laboratory").GetId()
	move := func(m *yitongv1.MoveRequest) {
		t.Helper()
		for _, voter := range []string{consortium.HospitalA, consortium.HospitalB, consortium.Regulator} {
			if _, err := c.Client(t, voter).Members.Move(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	move(&yitongv1.MoveRequest{Motion: &yitongv1.MoveRequest_Suspend{Suspend: &yitongv1.SuspendMotion{Member: consortium.Insurer, Reason: "inquiry"}}})
	if _, _, err := c.Open(t.Context(), t, permit); err == nil {
		t.Error("a suspended member opens")
	}
	move(&yitongv1.MoveRequest{Motion: &yitongv1.MoveRequest_Reinstate{Reinstate: &yitongv1.ReinstateMotion{Member: consortium.Insurer}}})
	// The gateways' knowledge of members is seconds old.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		_, _, err := c.Open(t.Context(), t, permit)
		if err == nil {
			t.Fatal("a permit from before the suspension opens")
		}
		if r, ok := client.Refusal(err); ok && r.Code == access.Lapsed {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("refused as %v", err)
		}
	}
	open(t, c, c.Ask(t, p, "laboratory").GetId())
}

// replayed has every decision worked out again from the blocks, the revocation among them.
func replayed(t *testing.T, c *consortium.Consortium) {
	l := c.Ledger(t, consortium.Regulator, consortium.Chaincode)
	height, err := l.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var raw [][]byte
	for one, err := range replay.Encoded(l.RawBlocks(t.Context(), 0)) {
		if err != nil {
			t.Fatal(err)
		}
		if raw = append(raw, one); uint64(len(raw)) == height {
			break
		}
	}
	var first common.Block
	if err := proto.Unmarshal(raw[0], &first); err != nil {
		t.Fatal(err)
	}
	each := func(yield func([]byte, error) bool) {
		for _, one := range raw {
			if !yield(one, nil) {
				return
			}
		}
	}
	r, err := replay.Run(t.Context(), each, replay.Options{Genesis: channel.Hash(first.Header), Chaincode: consortium.Chaincode})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Sound() || r.Sequence != 1 {
		t.Errorf("configuration %d, %v", r.Sequence, r.Divergences)
	}
}

func dial(address string, config *tls.Config) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
}
