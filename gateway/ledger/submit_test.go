package ledger_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/refusal"
	"yitong/gateway/ledger"
)

type document struct {
	ID string `json:"id"`
}

const arg = `{"id":"42"}`

var (
	lostAnswer  = status.Error(codes.Unavailable, "error reading from server: EOF")
	notInQuorum = status.Error(codes.Unavailable, "insufficient number of orderers could successfully process transaction to satisfy quorum requirement")
	no          = "chaincode response 500, " + refusal.New("not-custodian", "only its custodian may", "").Error()
)

// fails makes a hook that fails the first n calls.
func fails(n int, err error) func(int, *gateway.EndorseRequest) error {
	return func(call int, _ *gateway.EndorseRequest) error {
		if call <= n {
			return err
		}
		return nil
	}
}

// codesInTurn judges transactions by the given codes, the last one for ever.
func codesInTurn(c ...peer.TxValidationCode) func(int) peer.TxValidationCode {
	return func(n int) peer.TxValidationCode { return c[min(n, len(c))-1] }
}

func TestSubmitHasOneEffectWhateverFails(t *testing.T) {
	const (
		valid    = peer.TxValidationCode_VALID
		mvcc     = peer.TxValidationCode_MVCC_READ_CONFLICT
		phantom  = peer.TxValidationCode_PHANTOM_READ_CONFLICT
		policy   = peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE
		expired  = peer.TxValidationCode_EXPIRED_CHAINCODE
		dup      = peer.TxValidationCode_DUPLICATE_TXID
		patience = 300 * time.Millisecond
		soon     = 40 * time.Millisecond
	)
	unlike := failure(codes.Aborted, "failed to collect enough transaction endorsements, see attached details for more info", "BMSP", "ProposalResponsePayloads do not match")
	someRefuse := failure(codes.Aborted, "failed to collect enough transaction endorsements, see attached details for more info", "BMSP", no)
	refuse := failure(codes.Aborted, "failed to endorse transaction, see attached details for more info", "AMSP", no)
	tests := []struct {
		name      string
		peers     int // default 1
		fault     func(*consortium)
		ordered   int // transactions that went into blocks
		proposals int // endorsements asked of all peers
		ok        bool
		foreign   bool // another member's peer told of the commit
		code      peer.TxValidationCode
		check     func(*testing.T, error)
	}{
		{name: "nothing fails", ok: true, ordered: 1, proposals: 1},
		{name: "chaincode refuses", proposals: 1, check: refused, fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(99, refuse)
		}},
		{name: "chaincode breaks without a refusal", proposals: 1, check: not(ledger.ErrUnavailable), fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(99, failure(codes.Aborted, "failed to endorse transaction", "AMSP", "chaincode response 500, function not found"))
		}},
		{name: "the peer's clock is too far off", proposals: 1, check: is(refusal.New(refusal.StaleClock, "", "")), fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(99, failure(codes.Aborted, "failed to endorse transaction, see attached details for more info", "AMSP", "request unauthorized due to incorrect timestamp 2026-11-21T07:08:19Z, peer time 2026-11-21T08:08:23Z"))
		}},
		{name: "the channel doesn't let the member write", proposals: 1, check: not(ledger.ErrUnavailable), fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(99, failure(codes.Aborted, "failed to endorse transaction, see attached details for more info", "AMSP", "error validating proposal: access denied: channel [yitong] creator org [AMSP]"))
		}},
		{name: "an endorser lags and refuses twice", ok: true, ordered: 1, proposals: 3, fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(2, someRefuse)
		}},
		{name: "the other endorsers refuse for ever", proposals: 5, check: refused, fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(99, someRefuse)
		}},
		{name: "endorsers see different states once", ok: true, ordered: 1, proposals: 2, fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(1, unlike)
		}},
		{name: "endorsers differ for ever", proposals: 5, check: is(ledger.ErrUnavailable), fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(99, unlike)
		}},
		{name: "no endorsers are known yet", ok: true, ordered: 1, proposals: 3, fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(2, status.Error(codes.FailedPrecondition, "no combination of peers can be derived which satisfy the endorsement policy"))
		}},
		{name: "the peer is overloaded", ok: true, ordered: 1, proposals: 2, fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(1, status.Error(codes.ResourceExhausted, "too many requests for /gateway.Gateway"))
		}},
		{name: "the member may not propose", proposals: 1, check: not(ledger.ErrUnavailable), fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(99, status.Error(codes.PermissionDenied, "access denied"))
		}},
		{name: "another is faster twice", ok: true, ordered: 3, proposals: 3, fault: func(c *consortium) {
			c.chain.judge = codesInTurn(mvcc, mvcc, valid)
		}},
		{name: "a range changes once", ok: true, ordered: 2, proposals: 2, fault: func(c *consortium) {
			c.chain.judge = codesInTurn(phantom, valid)
		}},
		{name: "another is always faster", ordered: 5, proposals: 5, code: mvcc, fault: func(c *consortium) {
			c.chain.judge = codesInTurn(mvcc)
		}},
		{name: "the endorsement policy isn't met", ordered: 1, proposals: 1, code: policy, fault: func(c *consortium) {
			c.chain.judge = codesInTurn(policy)
		}},
		{name: "the chaincode was upgraded meanwhile", ordered: 1, proposals: 1, code: expired, fault: func(c *consortium) {
			c.chain.judge = codesInTurn(expired)
		}},
		{name: "submit fails before the orderers have it", ok: true, ordered: 1, proposals: 1, fault: func(c *consortium) {
			c.cfg.Settle = soon
			c.peers[0].onSubmit = func(_ context.Context, n int, order func()) error {
				if n == 1 {
					return notInQuorum
				}
				order()
				return nil
			}
		}},
		{name: "the answer to submit is lost, the transaction commits", ok: true, ordered: 1, proposals: 1, fault: func(c *consortium) {
			c.peers[0].onSubmit = func(_ context.Context, _ int, order func()) error { order(); return lostAnswer }
		}},
		{name: "the answer is lost and another was faster", ok: true, ordered: 2, proposals: 2, fault: func(c *consortium) {
			c.chain.judge = codesInTurn(mvcc, valid)
			c.peers[0].onSubmit = func(_ context.Context, _ int, order func()) error { order(); return lostAnswer }
		}},
		{name: "the orderers say they have it already", ok: true, ordered: 1, proposals: 1, fault: func(c *consortium) {
			c.peers[0].onSubmit = func(_ context.Context, n int, order func()) error {
				order()
				return failure(codes.Unavailable, notInQuorum.Error(), "OrdererMSP", "received unsuccessful response from orderer: status=SERVICE_UNAVAILABLE, info=request already processed")
			}
		}},
		{name: "the answer is lost and the transaction too", ok: true, ordered: 1, proposals: 1, fault: func(c *consortium) {
			c.cfg.Settle = soon
			c.peers[0].onSubmit = func(_ context.Context, n int, order func()) error {
				if n <= 2 {
					return lostAnswer
				}
				order()
				return nil
			}
		}},
		{name: "the orderers never have it", proposals: 1, check: unknown, fault: func(c *consortium) {
			c.cfg.Patience = patience
			c.peers[0].onSubmit = func(context.Context, int, func()) error { return notInQuorum }
		}},
		{name: "the orderers have it and no block comes", proposals: 1, check: unknown, fault: func(c *consortium) {
			c.cfg.Patience = patience
			c.peers[0].onSubmit = func(context.Context, int, func()) error { return nil }
		}},
		{name: "a late first copy and a second both arrive", ok: true, ordered: 2, proposals: 1, fault: func(c *consortium) {
			c.cfg.Settle = soon
			var late func()
			c.peers[0].onSubmit = func(_ context.Context, n int, order func()) error {
				if n == 1 {
					late = order
					return lostAnswer
				}
				late()
				order()
				return nil
			}
		}},
		{name: "the peer tells of the duplicate first", ok: true, ordered: 1, proposals: 1, fault: func(c *consortium) {
			c.peers[0].onStatus = func(_ context.Context, n int) (peer.TxValidationCode, error) {
				if n == 1 {
					return dup, nil
				}
				return valid, nil
			}
		}},
		{name: "the own peer is down", peers: 2, ok: true, foreign: true, ordered: 1, proposals: 1, fault: func(c *consortium) {
			c.peers[0].stop()
		}},
		{name: "the own peer's chaincode is down", peers: 2, ok: true, ordered: 1, proposals: 2, fault: func(c *consortium) {
			c.peers[0].onEndorse = fails(99, failure(codes.Aborted, "failed to endorse transaction", "AMSP", "could not launch chaincode: connection refused"))
		}},
		{name: "the own peer dies with the answer", peers: 2, ok: true, foreign: true, ordered: 1, proposals: 1, fault: func(c *consortium) {
			own := c.peers[0]
			own.onSubmit = func(ctx context.Context, _ int, order func()) error {
				order()
				own.kill()
				<-ctx.Done()
				return ctx.Err()
			}
		}},
		{name: "the own peer dies before it hands over", peers: 2, ok: true, foreign: true, ordered: 1, proposals: 1, fault: func(c *consortium) {
			c.cfg.Settle = soon
			own := c.peers[0]
			own.onSubmit = func(ctx context.Context, _ int, _ func()) error {
				own.kill()
				<-ctx.Done()
				return ctx.Err()
			}
		}},
		{name: "the only peer dies with the answer and comes back", ok: true, ordered: 1, proposals: 1, fault: func(c *consortium) {
			own := c.peers[0]
			own.onSubmit = func(ctx context.Context, _ int, order func()) error {
				order()
				go func() {
					own.stop()
					own.start()
				}()
				<-ctx.Done()
				return ctx.Err()
			}
		}},
		{name: "the own peer hangs after it handed over", peers: 2, ok: true, foreign: true, ordered: 1, proposals: 1, fault: func(c *consortium) {
			c.cfg.Patience, c.cfg.Settle = 20*time.Second, soon // a quarter of it at most is the own peer's
			c.peers[0].onStatus = func(ctx context.Context, _ int) (peer.TxValidationCode, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			}
		}},
		{name: "every peer is down", proposals: 0, check: is(ledger.ErrUnavailable), fault: func(c *consortium) {
			c.peers[0].stop()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newConsortium(t, max(tt.peers, 1))
			// Time enough to be told a fate on a busy machine: what is asked too soon is sent
			// again, which is harmless, and counted here. Where it is to be sent again, soon.
			c.cfg.Patience, c.cfg.Settle = time.Minute, 20*time.Second
			if tt.fault != nil {
				tt.fault(c)
			}
			var out document
			commit, err := c.dial(t).Submit(t.Context(), "record:Anchor", document{ID: "42"}, &out)

			if got := len(c.chain.ordered()); got != tt.ordered {
				t.Errorf("%d transactions were ordered, want %d", got, tt.ordered)
			}
			proposals := 0
			for _, p := range c.peers {
				n, _, _ := p.counts()
				proposals += n
			}
			if proposals != tt.proposals {
				t.Errorf("%d proposals were made, want %d", proposals, tt.proposals)
			}
			effects := 0
			if tt.ok {
				effects = 1
			}
			if got := c.chain.tookEffect(arg); got != effects {
				t.Errorf("it took effect %d times, want %d", got, effects)
			}
			if tt.code != valid {
				var invalid *ledger.Invalid
				if !errors.As(err, &invalid) || invalid.Code != tt.code || invalid.TxID == "" || invalid.Block == 0 {
					t.Errorf("got %v, want invalid by %s with transaction id and block", err, tt.code)
				}
				return
			}
			if tt.check != nil {
				if err == nil {
					t.Fatal("no error")
				}
				tt.check(t, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if out.ID != "42" {
				t.Errorf("the answer is %+v", out)
			}
			if commit.Own == tt.foreign || commit.Block == 0 || !slices.Contains(c.chain.ordered(), commit.TxID) {
				t.Errorf("commit is %+v", commit)
			}
		})
	}
}

// A lying peer could have the member sign what it never proposed.
func TestOnlyWhatWasProposedIsSigned(t *testing.T) {
	swap := func(env *common.Envelope, change func(*common.Payload)) *common.Envelope {
		payload := &common.Payload{}
		must(proto.Unmarshal(env.GetPayload(), payload))
		change(payload)
		return &common.Envelope{Payload: marshal(payload)}
	}
	calls := func(env *common.Envelope, args ...string) *common.Envelope {
		return swap(env, func(p *common.Payload) { p.Data = transactionCalling(p.GetHeader(), args...) })
	}
	for name, tamper := range map[string]func(*common.Envelope) *common.Envelope{
		"another argument": func(e *common.Envelope) *common.Envelope { return calls(e, "record:Anchor", "{}") },
		"another function": func(e *common.Envelope) *common.Envelope { return calls(e, "record:Retract", arg) },
		"another chaincode or id": func(e *common.Envelope) *common.Envelope {
			return swap(e, func(p *common.Payload) {
				p.Header.ChannelHeader = marshal(&common.ChannelHeader{ChannelId: "yitong", TxId: "other"})
			})
		},
		"another nonce": func(e *common.Envelope) *common.Envelope {
			return swap(e, func(p *common.Payload) { p.Header.SignatureHeader = nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t, 2)
			c.peers[0].onPrepared = tamper
			if _, err := c.dial(t).Submit(t.Context(), "record:Anchor", document{ID: "42"}, nil); err != nil {
				t.Errorf("the honest peer wasn't turned to: %v", err)
			}
			if _, submitted, _ := c.peers[0].counts(); submitted != 0 || len(c.chain.ordered()) != 1 {
				t.Errorf("%d submitted at the lying peer, ordered %v", submitted, c.chain.ordered())
			}
		})
	}
}

func TestATransactionThatOrderersTurnDownIsNotSentAgain(t *testing.T) {
	c := newConsortium(t, 1)
	c.peers[0].onSubmit = func(context.Context, int, func()) error {
		return status.Error(codes.Aborted, "received unsuccessful response from orderer: status=BAD_REQUEST")
	}
	c.cfg.Settle = time.Minute
	c.peers[0].onStatus = func(context.Context, int) (peer.TxValidationCode, error) {
		return 0, status.Error(codes.DeadlineExceeded, "not committed yet") // as after that minute
	}
	_, err := c.dial(t).Submit(t.Context(), "record:Anchor", document{ID: "42"}, nil)
	unknown(t, err) // another orderer may have taken it before this one's no
	if _, submitted, asked := c.peers[0].counts(); submitted != 1 || asked != 1 {
		t.Errorf("submitted %d times, asked %d times", submitted, asked)
	}
}

func refused(t *testing.T, err error) {
	t.Helper()
	var outer *ledger.Refused
	var inner *refusal.Refusal
	if !errors.As(err, &outer) || outer.TxID == "" || !errors.As(err, &inner) || inner.Code != "not-custodian" {
		t.Errorf("got %v, want a refusal with its code and transaction id", err)
	}
}

func unknown(t *testing.T, err error) {
	t.Helper()
	var u *ledger.Unknown
	if !errors.As(err, &u) || u.TxID == "" {
		t.Errorf("got %v, want an unknown outcome with its transaction id", err)
	}
}

func is(target error) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		if !errors.Is(err, target) {
			t.Errorf("got %v, want %v", err, target)
		}
	}
}

func not(target error) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var u *ledger.Unknown
		if errors.Is(err, target) || errors.As(err, &u) {
			t.Errorf("got %v, which is another kind of error", err)
		}
	}
}
