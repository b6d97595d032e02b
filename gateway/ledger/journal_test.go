package ledger_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/gateway/ledger"
)

// notes is a journal in memory; it outlives the ledgers that write to it, as a file would.
type notes struct {
	mu   sync.Mutex
	all  []ledger.Kept
	full error // Keep keeps and then fails: the process dies before it hands over
	lost bool  // Settled and Forget are lost
}

func (n *notes) Kept(_ context.Context, function string, argument []byte) (found []ledger.Kept, _ error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.all {
		if t.Same = string(t.Argument) == string(argument); t.Function == function && t.Same {
			found = append(found, t)
		}
	}
	return found, nil
}

func (n *notes) Keep(_ context.Context, t ledger.Kept) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, t)
	return n.full
}

func (n *notes) Settled(ctx context.Context, id string) error { return n.Forget(ctx, id) }

func (n *notes) Forget(_ context.Context, id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.lost {
		var rest []ledger.Kept
		for _, t := range n.all {
			if t.TxID != id {
				rest = append(rest, t)
			}
		}
		n.all = rest
	}
	return nil
}

// F3, F4: what was kept is asked for by its id before anything is proposed.
func TestAfterACrashNothingIsProposedAnewThatMayHaveBeenHandedOver(t *testing.T) {
	dead := errors.New("the process is dead")
	for name, c := range map[string]struct {
		crash     func(*consortium, *notes)
		after     func(*consortium, *notes)
		journal   bool
		ordered   int // envelopes that got into blocks
		proposals int
	}{
		"dead before it is handed over":  {crash: func(_ *consortium, n *notes) { n.full = dead }, journal: true, ordered: 1, proposals: 1},
		"dead once it is committed":      {crash: func(_ *consortium, n *notes) { n.lost = true }, journal: true, ordered: 1, proposals: 1},
		"the control, without a journal": {crash: func(*consortium, *notes) {}, ordered: 2, proposals: 2},
		"it was invalid: proposed anew": {journal: true, ordered: 2, proposals: 2,
			crash: func(c *consortium, n *notes) {
				n.full = dead
				c.chain.judge = codesInTurn(peer.TxValidationCode_MVCC_READ_CONFLICT, peer.TxValidationCode_VALID)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := newConsortium(t, 1), &notes{}
			if c.journal {
				f.cfg.Journal = n
			}
			c.crash(f, n)
			_, _ = f.dial(t).Submit(t.Context(), "record:Anchor", document{ID: "42"}, nil)
			n.full, n.lost = nil, false // a new process
			var out document
			commit, err := f.dial(t).Submit(t.Context(), "record:Anchor", document{ID: "42"}, &out)
			if err != nil || out.ID != "42" || commit.TxID == "" {
				t.Fatalf("after the crash: %+v, %+v, %v", out, commit, err)
			}
			if got := len(f.chain.ordered()); got != c.ordered {
				t.Errorf("%d envelopes were ordered, want %d", got, c.ordered)
			}
			if asked, _, _ := f.peers[0].counts(); asked != c.proposals {
				t.Errorf("%d proposals, want %d", asked, c.proposals)
			}
			if c.journal && len(n.all) != 0 {
				t.Errorf("%d transactions are kept still", len(n.all))
			}
		})
	}
}

// A13: the same envelope again has no effect, and is no failure.
func TestTheSameEnvelopeHandedOverAgainHasOneEffect(t *testing.T) {
	f, n := newConsortium(t, 1), &notes{lost: true}
	f.cfg.Journal = n
	l := f.dial(t)
	first, err := l.Submit(t.Context(), "record:Anchor", document{ID: "42"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Again(t.Context(), n.all[0])
	if err != nil || p != first {
		t.Errorf("the same envelope: %+v, %v; the first was %+v", p, err, first)
	}
	if got := f.chain.tookEffect(arg); got != 1 {
		t.Errorf("%d effects", got)
	}
	if got := len(f.chain.ordered()); got != 2 {
		t.Errorf("%d envelopes were ordered, want the first and its duplicate", got)
	}
	// The control: another envelope that says the same is a second effect.
	if _, err := l.Submit(t.Context(), "record:Retract", document{ID: "42"}, nil); err != nil {
		t.Fatal(err)
	}
	if got := f.chain.tookEffect(arg); got != 2 {
		t.Errorf("the control: %d effects", got)
	}
}

// A37, F10: a transaction that can't be kept isn't handed over.
func TestATransactionThatCantBeKeptIsNotHandedOver(t *testing.T) {
	f, n := newConsortium(t, 1), &notes{full: errors.New("no space left on device")}
	f.cfg.Journal = n
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := f.dial(t).Submit(ctx, "access:Release", document{ID: "42"}, nil); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("it ends with %v", err)
	}
	if got := len(f.chain.ordered()); got != 0 {
		t.Errorf("%d envelopes were ordered", got)
	}
	n.full, n.all = nil, nil // the control: there is room again
	if _, err := f.dial(t).Submit(ctx, "access:Release", document{ID: "42"}, nil); err != nil || len(f.chain.ordered()) != 1 {
		t.Errorf("with room: %v, %d ordered", err, len(f.chain.ordered()))
	}
}

// A transaction that nobody takes any more doesn't hold up its caller for ever, and one that
// may yet commit does.
func TestAnOldTransactionThatNobodyTakesIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		age     time.Duration
		ordered int
	}{"long ago": {2 * time.Hour, 1}, "just now, the control": {time.Second, 0}} {
		t.Run(name, func(t *testing.T) {
			f, n := newConsortium(t, 1), &notes{full: errors.New("dead")}
			f.cfg.Journal = n
			_, _ = f.dial(t).Submit(t.Context(), "record:Anchor", document{ID: "42"}, nil)
			n.full = nil
			n.all[0].Since = time.Now().Add(-c.age)
			f.peers[0].onSubmit = func(_ context.Context, n int, order func()) error {
				if n == 1 {
					return status.Error(codes.PermissionDenied, "the certificate is revoked")
				}
				order()
				return nil
			}
			_, err := f.dial(t).Submit(t.Context(), "record:Anchor", document{ID: "42"}, nil)
			if got := len(f.chain.ordered()); got != c.ordered || (err == nil) != (c.ordered == 1) {
				t.Errorf("%d were ordered, %v", got, err)
			}
		})
	}
}

// The same holds at a start, of what nobody waits for: else each start waits for it anew.
func TestAStartGivesUpWhatNobodyTakes(t *testing.T) {
	for name, c := range map[string]struct {
		age  time.Duration
		left int
	}{"long ago": {2 * time.Hour, 0}, "just now, the control": {time.Second, 1}} {
		t.Run(name, func(t *testing.T) {
			f, n := newConsortium(t, 1), &notes{full: errors.New("dead")}
			f.cfg.Journal = n
			_, _ = f.dial(t).Submit(t.Context(), "record:Anchor", document{ID: "42"}, nil)
			n.all[0].Since = time.Now().Add(-c.age)
			f.peers[0].onSubmit = func(context.Context, int, func()) error {
				return status.Error(codes.PermissionDenied, "the certificate is revoked")
			}
			if left := f.dial(t).Settle(t.Context(), n.all); len(left) != c.left || len(n.all) != c.left {
				t.Errorf("%d are left, %d kept", len(left), len(n.all))
			}
		})
	}
}

// However many there are, a start asks after them together, and waits no longer than it is given.
func TestWhatWasLeftIsSettledTogetherAndInTime(t *testing.T) {
	f, n := newConsortium(t, 1), &notes{full: errors.New("dead")}
	f.cfg.Journal = n
	for _, id := range []string{"1", "2", "3"} {
		_, _ = f.dial(t).Submit(t.Context(), "record:Anchor", document{ID: id}, nil)
	}
	n.full = nil
	left := slices.Clone(n.all)
	if len(left) != 3 {
		t.Fatalf("%d are kept", len(left))
	}
	waiting, hold := make(chan struct{}, 100), make(chan struct{}) // what takes long is handed over again
	f.peers[0].onSubmit = func(ctx context.Context, _ int, order func()) error {
		waiting <- struct{}{}
		select {
		case <-hold:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
		order()
		return nil
	}
	short, cancel := context.WithCancel(t.Context())
	defer cancel()
	settled := make(chan []ledger.Kept)
	go func() { settled <- f.dial(t).Settle(short, left) }()
	for range 3 { // one after the other, the second would wait for the first
		select {
		case <-waiting:
		case <-time.After(time.Minute):
			t.Fatal("they aren't asked after together")
		}
	}
	cancel()
	if left = <-settled; len(left) != 3 {
		t.Errorf("%d are left of 3 that nobody could tell of in time", len(left))
	}
	close(hold)
	if left = f.dial(t).Settle(t.Context(), left); len(left) != 0 || len(n.all) != 0 { // the control
		t.Errorf("with time %d are left, %d kept", len(left), len(n.all))
	}
}
