package ledger_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/ledger"
)

// four is a consortium of four members, whose first reads elsewhere when its peer is away.
func four(t *testing.T) *consortium {
	t.Helper()
	c := newConsortium(t, 4)
	for i, p := range c.peers {
		c.cfg.Peers[i].Member = p.msp
	}
	c.cfg.Failover = ledger.Failover{
		Verifier: func(*common.Block) (ledger.Verifier, error) { return signed{}, nil },
		Away:     50 * time.Millisecond, Lag: 300 * time.Millisecond, Look: 10 * time.Millisecond,
	}
	return c
}

// following reads blocks as they come, and hands them over.
type following struct {
	blocks chan ledger.Block
	err    chan error
}

func follow(t *testing.T, l *ledger.Ledger, from uint64) following {
	t.Helper()
	f := following{make(chan ledger.Block, 1000), make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for b, err := range l.Blocks(ctx, from) {
			if err != nil {
				f.err <- err
				return
			}
			f.blocks <- b
		}
	})
	t.Cleanup(reading.Wait)
	t.Cleanup(cancel)
	return f
}

func (f following) next(t *testing.T, n int) (blocks []ledger.Block) {
	t.Helper()
	for len(blocks) < n {
		select {
		case b := <-f.blocks:
			blocks = append(blocks, b)
		case err := <-f.err:
			t.Fatal(err)
		case <-time.After(time.Minute):
			t.Fatalf("%d of %d blocks came", len(blocks), n)
		}
	}
	return blocks
}

// none says that nothing comes for a while.
func (f following) none(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case b := <-f.blocks:
		t.Fatalf("block %d came", b.Number)
	case err := <-f.err:
		t.Fatal(err)
	case <-time.After(within):
	}
}

// extend orders n transactions past any gateway.
func (c *consortium) extend(n int) {
	c.chain.mu.Lock()
	defer c.chain.mu.Unlock()
	for range n {
		c.chain.add(marshal(&common.Envelope{Payload: []byte("of somebody else")}), peer.TxValidationCode_BAD_PAYLOAD)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s in a minute", what)
		}
	}
}

func count(from, n uint64) []uint64 {
	out := []uint64{}
	for i := range n {
		out = append(out, from+i)
	}
	return out
}

// The own peer dies under load and comes back: no block is missed or comes twice.
func TestBlocksAreReadElsewhereWhileTheOwnPeerIsAway(t *testing.T) {
	c := four(t)
	l := c.dial(t)
	f := follow(t, l, 0)
	c.extend(5)
	got := f.next(t, 6)
	until(t, "looked at", func() bool { return l.Standing().Blocks == 6 })
	for range 3 {
		until(t, "back", func() bool { s := l.Standing(); return s.Away == 0 && !s.Elsewhere })
		c.peers[0].stop()
		c.extend(30)
		got = append(got, f.next(t, 30)...)
		if s := l.Standing(); !s.Elsewhere || s.Away == 0 {
			t.Errorf("while it was away: %+v", s)
		}
		c.peers[0].start()
		until(t, "back", func() bool { s := l.Standing(); return s.Away == 0 && !s.Elsewhere })
		c.extend(3)
		got = append(got, f.next(t, 3)...)
	}
	if diff := cmp.Diff(count(0, 6+3*33), numbers(got)); diff != "" {
		t.Error(diff)
	}
	if n := l.Standing().Switches; n != 6 {
		t.Errorf("%d switches were counted, want 6", n)
	}
}

// A peer that is stopped, not dead, takes connections and says nothing.
func TestAPeerThatHangsIsAway(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a look at a peer to time out")
	}
	c := four(t)
	var hangs sync.Mutex
	hung := make(chan struct{})
	c.peers[0].onSeek = func(ctx context.Context) error {
		hangs.Lock()
		defer hangs.Unlock()
		select {
		case <-hung:
			<-ctx.Done()
			return ctx.Err()
		default:
			return nil
		}
	}
	l := c.dial(t)
	f := follow(t, l, 0)
	f.next(t, 1)
	until(t, "looked at", func() bool { return l.Standing().Blocks == 1 })
	c.peers[0].serves.Store(1) // the open stream goes on and brings nothing more
	close(hung)
	c.extend(4)
	if diff := cmp.Diff(count(1, 4), numbers(f.next(t, 4))); diff != "" {
		t.Error(diff)
	}
}

// The own peer is there and cut off from the others: what it doesn't know is read elsewhere,
// and nothing that releases data is decided on what it holds.
func TestAnOwnPeerThatLagsIsNotBelieved(t *testing.T) {
	c := four(t)
	c.cfg.Failover.Lag = 300 * time.Millisecond
	l := c.dial(t)
	f := follow(t, l, 0)
	f.next(t, 1)
	until(t, "looked at", func() bool { return l.Standing().Blocks == 1 })
	ask := func() error {
		return l.Evaluate(t.Context(), "consent:Consents", document{ID: "42"}, nil, ledger.OwnPeerOnly())
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	c.peers[0].serves.Store(1)
	c.extend(5) // a withdrawal among them
	f.next(t, 5)
	if err := ask(); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("from an own peer that lags got %v", err)
	}
	if err := l.Evaluate(t.Context(), "consent:Consents", document{ID: "42"}, nil); err != nil {
		t.Errorf("what releases nothing: %v", err)
	}
	c.peers[0].serves.Store(0)
	until(t, "caught up", func() bool { return ask() == nil && !l.Standing().Elsewhere })
	c.extend(2)
	if diff := cmp.Diff(count(6, 2), numbers(f.next(t, 2))); diff != "" {
		t.Error(diff)
	}
}

// Negative control: a head that the orderers didn't sign makes nobody doubt the own peer.
func TestAHeadThatIsMadeUpIsNotBelieved(t *testing.T) {
	c := four(t)
	l := c.dial(t)
	for _, p := range c.peers[1:] {
		p.deliver(func(_ int, b *common.Block) (*peer.DeliverResponse, error) {
			made := proto.CloneOf(b)
			made.Header.Number += 100
			return &peer.DeliverResponse{Type: &peer.DeliverResponse_Block{Block: made}}, nil
		})
	}
	until(t, "looked at", func() bool { return l.Standing().Blocks == 1 })
	time.Sleep(600 * time.Millisecond) // twice the lag that is allowed
	if s := l.Standing(); s.Head != 1 || s.Lags != 0 {
		t.Errorf("it is believed: %+v", s)
	}
	if err := l.Evaluate(t.Context(), "consent:Consents", document{ID: "42"}, nil, ledger.OwnPeerOnly()); err != nil {
		t.Error(err)
	}
}

// verdicts changes the validation code of what a peer serves.
func verdicts(code peer.TxValidationCode) func(int, *common.Block) (*peer.DeliverResponse, error) {
	return func(_ int, b *common.Block) (*peer.DeliverResponse, error) {
		if b.GetHeader().GetNumber() == 0 {
			return nil, nil
		}
		lie := proto.CloneOf(b)
		lie.Metadata.Metadata[common.BlockMetadataIndex_TRANSACTIONS_FILTER] = []byte{byte(code)}
		return &peer.DeliverResponse{Type: &peer.DeliverResponse_Block{Block: lie}}, nil
	}
}

// What one member says of a transaction's validity counts for nothing against the others.
func TestOneMemberThatLiesAboutValidityHoldsUpAndChangesNothing(t *testing.T) {
	c := four(t)
	l := c.dial(t)
	f := follow(t, l, 0)
	f.next(t, 1)
	until(t, "looked at", func() bool { return l.Standing().Blocks == 1 })
	c.peers[1].deliver(verdicts(peer.TxValidationCode_VALID))
	c.peers[0].stop()
	c.extend(2)
	f.none(t, time.Second) // three have to agree, and only two do
	c.peers[1].deliver(nil)
	c.peers[1].stop()
	c.peers[1].start()
	for _, b := range f.next(t, 2) {
		if code := b.Transactions[0].Code; code != peer.TxValidationCode_BAD_PAYLOAD {
			t.Errorf("block %d came with %s", b.Number, code)
		}
	}
}

// The control: were fewer to agree than could decide it, the liars would be believed, until
// the own peer is back and tells.
func TestTheOwnPeersReturnShowsALie(t *testing.T) {
	c := four(t)
	c.cfg.Failover.Agree = 1
	l := c.dial(t)
	f := follow(t, l, 0)
	f.next(t, 1)
	until(t, "looked at", func() bool { return l.Standing().Blocks == 1 })
	for _, p := range c.peers[1:] {
		p.deliver(verdicts(peer.TxValidationCode_VALID))
	}
	c.peers[0].stop()
	c.extend(2)
	for _, b := range f.next(t, 2) {
		if code := b.Transactions[0].Code; code != peer.TxValidationCode_VALID {
			t.Fatalf("the liars aren't believed (%s): this shows nothing", code)
		}
	}
	c.peers[0].start()
	select {
	case err := <-f.err:
		var broken *ledger.BrokenChain
		if !errors.As(err, &broken) || broken.Block != 1 {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("nobody noticed")
	}
}

// Blocks that the orderers didn't sign, or that don't follow, are taken from nobody, however
// many serve them.
func TestOtherBlocksCanNotBeSlippedIn(t *testing.T) {
	for name, spoil := range map[string]func(*common.Block){
		"made up":                        func(b *common.Block) { b.Data.Data[0] = []byte("x"); rehash(b) },
		"signed, and of another history": func(b *common.Block) { b.Header.PreviousHash = make([]byte, 32); orderersSign(b) },
	} {
		t.Run(name, func(t *testing.T) {
			c := four(t)
			l := c.dial(t)
			f := follow(t, l, 0)
			f.next(t, 1)
			until(t, "looked at", func() bool { return l.Standing().Blocks == 1 })
			for _, p := range c.peers[1:] {
				p.deliver(func(_ int, b *common.Block) (*peer.DeliverResponse, error) {
					if b.GetHeader().GetNumber() == 0 {
						return nil, nil
					}
					other := proto.CloneOf(b)
					spoil(other)
					return &peer.DeliverResponse{Type: &peer.DeliverResponse_Block{Block: other}}, nil
				})
			}
			c.peers[0].stop()
			c.extend(1)
			select {
			case b := <-f.blocks:
				t.Errorf("block %d was taken", b.Number)
			case err := <-f.err:
				var broken *ledger.BrokenChain
				if !errors.As(err, &broken) || broken.Block != 1 {
					t.Errorf("got %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("nothing happened")
			}
		})
	}
}

func rehash(b *common.Block) {
	hash := sha256.Sum256(b.Data.Data[0])
	b.Header.DataHash = hash[:]
}

// A peer is used for what the configuration says, and nothing else.
func TestAPeerIsUsedForWhatItMayBe(t *testing.T) {
	c := four(t)
	var log strings.Builder
	c.cfg.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(&log), nil))
	c.cfg.Peers[1].Uses = ledger.Blocks
	c.cfg.Peers[2].Uses = ledger.Evaluating
	c.cfg.Peers[3].Uses = ledger.Submitting
	l := c.dial(t)
	until(t, "looked at", func() bool { return l.Standing().Blocks == 1 })
	c.peers[0].stop()
	fill(t, l, 1)
	if endorsed, _, _ := c.peers[3].counts(); endorsed == 0 {
		t.Error("the peer for submitting wasn't used")
	}
	if err := l.Evaluate(t.Context(), "consent:Consents", document{ID: "42"}, nil); err != nil {
		t.Error(err)
	}
	for i, want := range []struct{ endorsed, evaluated bool }{1: {}, 2: {evaluated: true}, 3: {endorsed: true}} {
		p := c.peers[i]
		p.mu.Lock()
		if i > 0 && (p.endorsed > 0 != want.endorsed || p.evaluated > 0 != want.evaluated) {
			t.Errorf("peer %d endorsed %d and evaluated %d times", i, p.endorsed, p.evaluated)
		}
		p.mu.Unlock()
	}
	if err := l.Evaluate(t.Context(), "consent:Consents", document{ID: "42"}, nil, ledger.OwnPeerOnly()); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("what releases data was answered by another: %v", err)
	}
}
