package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/gateway/ledger"
)

func TestCancelWhileWaitingForTheCommitLeavesTheOutcomeUnknownUntilItIsLookedUp(t *testing.T) {
	c := newConsortium(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var order func()
	c.peers[0].onSubmit = func(_ context.Context, _ int, do func()) error { order = do; return nil }
	c.peers[0].onStatus = func(ctx context.Context, n int) (peer.TxValidationCode, error) {
		cancel()
		<-ctx.Done()
		return 0, ctx.Err()
	}
	l := c.dial(t)
	_, err := l.Submit(ctx, "record:Anchor", document{ID: "42"}, nil)
	var u *ledger.Unknown
	if !errors.As(err, &u) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want an unknown outcome by cancellation", err)
	}
	if _, err := l.Outcome(t.Context(), u.TxID); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("before it commits the outcome is %v, want not found", err)
	}
	order()
	commit, err := l.Outcome(t.Context(), u.TxID)
	if want := (ledger.Commit{TxID: u.TxID, Block: 1, Own: true}); err != nil || commit != want {
		t.Errorf("once committed the outcome is %+v, %v, want %+v", commit, err, want)
	}
}

func TestCancelDuringEndorsementHandsNothingOver(t *testing.T) {
	c := newConsortium(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	c.peers[0].onEndorse = func(int, *gateway.EndorseRequest) error {
		cancel()
		return status.Error(codes.Unavailable, "going away")
	}
	_, err := c.dial(t).Submit(ctx, "record:Anchor", document{ID: "42"}, nil)
	var u *ledger.Unknown
	if !errors.Is(err, context.Canceled) || errors.As(err, &u) {
		t.Errorf("got %v, want the cancellation alone", err)
	}
	if n := len(c.chain.ordered()); n != 0 {
		t.Errorf("%d transactions were ordered", n)
	}
}

func TestOutcomeOfAnInvalidTransactionIsItsCode(t *testing.T) {
	c := newConsortium(t, 1)
	c.chain.judge = codesInTurn(peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE)
	l := c.dial(t)
	p, err := l.Prepare(t.Context(), "record:Anchor", document{ID: "42"})
	if err != nil {
		t.Fatal(err)
	}
	_, submitted := p.Submit(t.Context())
	_, lookedUp := l.Outcome(t.Context(), p.TxID())
	for _, err := range []error{submitted, lookedUp} {
		var invalid *ledger.Invalid
		if !errors.As(err, &invalid) || *invalid != (ledger.Invalid{TxID: p.TxID(), Code: 10, Block: 1}) {
			t.Errorf("got %v", err)
		}
	}
}

func TestPreparedIsHeldBackUntilItIsSubmitted(t *testing.T) {
	c := newConsortium(t, 1)
	at := time.Date(2025, 11, 21, 7, 0, 0, 0, time.UTC)
	c.peers[0].onEndorse = func(_ int, in *gateway.EndorseRequest) error {
		if got := in.GetEndorsingOrganizations(); !slices.Equal(got, []string{"CMSP", "DMSP"}) {
			t.Errorf("endorsers asked for are %v", got)
		}
		if got := channelHeader(proposalHeader(in.GetProposedTransaction())).GetTimestamp().AsTime(); !got.Equal(at) {
			t.Errorf("the proposal claims %v", got)
		}
		return nil
	}
	l := c.dial(t)
	p, err := l.Prepare(t.Context(), "record:Anchor", document{ID: "42"}, ledger.EndorsedBy("CMSP", "DMSP"), ledger.ClaimedAt(at))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.chain.ordered()); n != 0 {
		t.Fatalf("%d transactions were ordered before Submit", n)
	}
	var out document
	if err := p.Result(&out); err != nil || out.ID != "42" {
		t.Errorf("the answer is %+v, %v", out, err)
	}
	commit, err := p.Submit(t.Context())
	if err != nil || commit.TxID != p.TxID() || !slices.Equal(c.chain.ordered(), []string{p.TxID()}) {
		t.Errorf("commit is %+v, %v; ordered %v", commit, err, c.chain.ordered())
	}
	got, err := l.Transaction(t.Context(), p.TxID())
	if err != nil || !got.Timestamp.Equal(at) {
		t.Errorf("the ledger shows %+v, %v", got, err)
	}
}

func TestARefusalByAnEndorserTheCallerChoseIsFinal(t *testing.T) {
	c := newConsortium(t, 1)
	c.peers[0].onEndorse = fails(99, failure(codes.Aborted, "failed to collect enough transaction endorsements, see attached details for more info", "BMSP", no))
	_, err := c.dial(t).Prepare(t.Context(), "record:Anchor", nil, ledger.EndorsedBy("BMSP"))
	refused(t, err)
	if n, _, _ := c.peers[0].counts(); n != 1 {
		t.Errorf("%d proposals were made", n)
	}
}

// Whatever mix of faults strikes, a success is one effect, an unknown outcome at
// most one, and any other error none.
func TestManySubmitsUnderRandomFaults(t *testing.T) {
	c := newConsortium(t, 2)
	c.cfg.Patience, c.cfg.Settle, c.cfg.Tries = 20*time.Second, 15*time.Millisecond, 4
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := &safeRand{r: rand.New(rand.NewPCG(seed, 1))}
	c.chain.judge = func(int) peer.TxValidationCode {
		return [...]peer.TxValidationCode{0, 0, 0, peer.TxValidationCode_MVCC_READ_CONFLICT, peer.TxValidationCode_PHANTOM_READ_CONFLICT, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE}[dice.n(6)]
	}
	for _, p := range c.peers {
		p.onEndorse = func(int, *gateway.EndorseRequest) error {
			return [...]error{nil, nil, lostAnswer, failure(codes.Aborted, "failed to collect enough", "BMSP", "ProposalResponsePayloads do not match")}[dice.n(4)]
		}
		p.onSubmit = func(_ context.Context, _ int, order func()) error {
			switch dice.n(4) {
			case 0:
				return notInQuorum
			case 1:
				order()
				return lostAnswer
			case 2:
				time.AfterFunc(time.Duration(dice.n(30))*time.Millisecond, order)
				return lostAnswer
			}
			order()
			return nil
		}
		p.onStatus = func(context.Context, int) (peer.TxValidationCode, error) {
			return 0, [...]error{nil, nil, lostAnswer}[dice.n(3)]
		}
	}
	l := c.dial(t)
	const n = 100
	results := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			_, results[i] = l.Submit(t.Context(), "record:Anchor", document{ID: fmt.Sprint(i)}, nil)
		})
	}
	all.Wait()
	succeeded := 0
	for i, err := range results {
		effects := c.chain.tookEffect(fmt.Sprintf(`{"id":"%d"}`, i))
		var u *ledger.Unknown
		switch {
		case err == nil:
			succeeded++
			if effects != 1 {
				t.Errorf("submit %d succeeded with %d effects", i, effects)
			}
		case errors.As(err, &u):
			if effects > 1 {
				t.Errorf("submit %d is unknown with %d effects", i, effects)
			}
		case effects != 0:
			t.Errorf("submit %d failed with %d effects: %v", i, effects, err)
		}
	}
	if succeeded == 0 {
		t.Error("not one submit succeeded: the faults leave nothing to test")
	}
	t.Logf("%d of %d succeeded, %d transactions ordered", succeeded, n, len(c.chain.ordered()))
}

type safeRand struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (s *safeRand) n(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.IntN(n)
}
