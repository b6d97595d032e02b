package exactlyonce_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/patient"
)

// under gives a call an idempotency key.
func under(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "idempotency-key", key)
}

// loser is a proxy that loses what the other side answers while it is told to: the answer is
// read, thrown away, and the connection broken.
type loser struct {
	net.Listener
	to   string
	lose atomic.Bool
	lost atomic.Int64
}

func newLoser(t *testing.T, to string) *loser {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &loser{Listener: l, to: to}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(in)
		}
	}()
	return p
}

func (p *loser) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() { io.Copy(out, in); out.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := out.Read(buffer)
		if err != nil {
			return
		}
		if p.lose.Load() && n > 60 { // no mere acknowledgement of a frame: an answer
			p.lost.Add(1)
			return
		}
		if _, err := in.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// connect connects to a member's gateway through a proxy, as software that repeats nothing by
// itself.
func connect(t *testing.T, c *consortium.Consortium, member, address string) *grpc.ClientConn {
	t.Helper()
	_, config := c.Door(t, member)
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithDisableRetry(),
		grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// F4: the answer is lost after the ledger has the entry.
func TestALostAnswerIsGivenAgain(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 7500)
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	proxy := newLoser(t, c.Member(t, consortium.Insurer).GatewayAddress())
	conn := connect(t, c, consortium.Insurer, proxy.Addr().String())
	accesses, node := yitongv1.NewAccessesClient(conn), yitongv1.NewNodeClient(conn)
	demand := func() *yitongv1.AccessRequest {
		in := consortium.Demand(p, "laboratory")
		in.Id = "" // the caller leaves it to the gateway: only the key names the call
		return in
	}
	// repeated calls until it is answered, the first answer being lost.
	repeated := func(t *testing.T, key func(context.Context) context.Context) *yitongv1.AccessResponse {
		t.Helper()
		before := proxy.lost.Load()
		if _, err := node.Status(t.Context(), &yitongv1.StatusRequest{}, grpc.WaitForReady(true)); err != nil { // connected
			t.Fatal(err)
		}
		proxy.lose.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), recovery)
		defer cancel()
		_, err := accesses.Request(key(ctx), demand())
		proxy.lose.Store(false)
		if status.Code(err) != codes.Unavailable || proxy.lost.Load() == before {
			t.Fatalf("the answer was not lost: %v", err)
		}
		for end := time.Now().Add(recovery); ; time.Sleep(20 * time.Millisecond) {
			a, err := accesses.Request(key(t.Context()), demand(), grpc.WaitForReady(true))
			if err == nil {
				return a
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	count := func(handle string) (n int) {
		for _, tx := range transactions(t, c) {
			for _, w := range tx.Writes {
				if tx.Valid() && w.ObjectType == "access" && bytes.Contains(w.Value, []byte(handle)) {
					n++
				}
			}
		}
		return n
	}
	key := client.NewID()
	first := repeated(t, func(ctx context.Context) context.Context { return under(ctx, key) })
	handle := first.GetAccess().GetHandle()
	time.Sleep(300 * time.Millisecond) // what a second attempt would need to get to the ledger
	if n := count(handle); n != 1 {
		t.Errorf("a lost answer and its repeat under the same key are %d accesses", n)
	}
	second, err := accesses.Request(under(t.Context(), key), demand())
	if err != nil || !proto.Equal(first, second) {
		t.Errorf("asked a third time: %v, %v", second, err)
	}
	// The control: without a key each call names itself, and the ledger has a duplicate.
	repeated(t, func(ctx context.Context) context.Context { return ctx })
	for end := time.Now().Add(recovery); count(handle) < 3 && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	if n := count(handle); n != 3 {
		t.Errorf("the control: a lost answer and its repeat without a key are %d accesses, not 2", n-1)
	}
}

// F5, A13, A14 at the gateway.
func TestAHundredCallsUnderOneKeyAreOneEntry(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 7501)
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	insurer, key := c.Client(t, consortium.Insurer), client.NewID()
	in := consortium.Demand(p, "laboratory")
	in.Id = ""
	answers := make([]*yitongv1.AccessResponse, 100)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			a, err := insurer.Accesses.Request(under(t.Context(), key), in)
			if err != nil {
				t.Error(err)
				return
			}
			answers[i] = a
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for _, a := range answers {
		if !proto.Equal(a, answers[0]) {
			t.Fatal("two answers differ")
		}
	}
	w := write{id: answers[0].GetAccess().GetId(), function: "access:Request", kinds: []string{"access"}}
	for _, problem := range w.problems(transactions(t, c)) {
		t.Error(problem)
	}

	other := consortium.Demand(p, "claim")
	other.Id = ""
	_, err := insurer.Accesses.Request(under(t.Context(), key), other)
	if r, ok := client.Refusal(err); !ok || r.Code != "key-reused" {
		t.Errorf("another request under the same key: %v", err)
	}
	// The controls: the same body under another key, and another's under this one, are others.
	a, err := insurer.Accesses.Request(under(t.Context(), client.NewID()), in)
	if err != nil || a.GetAccess().GetId() == w.id {
		t.Errorf("another key: %v, %v", a, err)
	}
	b, err := c.User(t, consortium.Insurer, "claims-handler").Accesses.Request(under(t.Context(), key), in)
	if err != nil || b.GetAccess().GetId() == w.id {
		t.Errorf("another person's key: %v, %v", b, err)
	}
}
