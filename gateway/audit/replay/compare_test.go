package replay_test

import (
	"bytes"
	"context"
	"iter"
	"testing"

	"yitong/chaincode/ledgertest"
	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/replaytest"
)

func TestAPeerThatAnswersOtherwiseThanItsBlocksIsFound(t *testing.T) {
	c := replaytest.New(t, replaytest.Options{Seed: 31})
	c.History(150)
	for name, tt := range map[string]struct {
		member string
		spoil  func(function string, answer []byte) []byte
		rule   string
	}{
		"the regulator's peer, honest": {"Regulator", nil, ""},
		"a hospital's peer, honest":    {"HospitalA", nil, ""},
		"an insurer's peer, honest":    {"Insurer", nil, ""},
		"a denial became a permit": {"Regulator", func(_ string, a []byte) []byte {
			return bytes.Replace(a, []byte(`"outcome":"deny"`), []byte(`"outcome":"permit"`), 1)
		}, "access:Accesses"},
		"a withdrawn consent is active": {"Regulator", func(_ string, a []byte) []byte {
			return bytes.Replace(a, []byte(`"withdrawn"`), []byte(`"active"`), 1)
		}, "consent:List"},
		"a record is another": {"Regulator", func(f string, a []byte) []byte {
			if f != "record:Records" {
				return a
			}
			return bytes.Replace(a, []byte(`"parts":`), []byte(`"parts":1`), 1)
		}, "record:Records"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &replay.Peer{Member: tt.member, Ask: func(ctx context.Context, function string, argument []byte) ([]byte, error) {
				who := ledgertest.Identity{MSP: tt.member, Creator: c.Org(tt.member).Gateway.Serialized}
				answer, err := c.Ledger.Evaluate(ctx, who, tt.member, function, string(argument))
				if err == nil && tt.spoil != nil {
					answer = tt.spoil(function, answer)
				}
				return answer, err
			}}
			r, err := replay.Run(t.Context(), replaytest.Each(c.Encoded()), replay.Options{Genesis: c.Genesis(), Chaincode: replaytest.ChaincodeName, Peer: p})
			must(t, err)
			switch {
			case tt.rule == "" && (!r.Sound() || r.Compared == 0):
				t.Errorf("%d answers compared, %v", r.Compared, r.Divergences)
			case tt.rule != "" && (r.Sound() || r.Divergences[0].Check != replay.State || r.Divergences[0].Rule != tt.rule):
				t.Errorf("got %v, want %s at %s", r.Divergences, replay.State, tt.rule)
			}
		})
	}
}

// A peer that gets blocks while it is asked is compared at the height it answers from.
func TestAPeerIsComparedWhileItGrows(t *testing.T) {
	c := replaytest.New(t, replaytest.Options{Seed: 32, PerBlock: 2})
	c.History(60)
	begin := len(c.Blocks)
	asked := 0
	for name, spoilt := range map[string]bool{"honest": false, "lying": true} {
		t.Run(name, func(t *testing.T) {
			p := &replay.Peer{
				Member: "Regulator",
				Height: func(context.Context) (uint64, error) { return uint64(len(c.Blocks)), nil },
				Blocks: func(_ context.Context, from, until uint64) iter.Seq2[[]byte, error] {
					return replaytest.Each(c.Encoded()[from:until])
				},
				Ask: func(ctx context.Context, function string, argument []byte) ([]byte, error) {
					if asked++; asked%3 == 0 {
						c.History(2) // before it answers, and after it was asked for its height
					}
					who := ledgertest.Identity{MSP: "Regulator", Creator: c.Org("Regulator").Gateway.Serialized}
					answer, err := c.Ledger.Evaluate(ctx, who, "Regulator", function, string(argument))
					if spoilt {
						answer = bytes.Replace(answer, []byte(`"withdrawn"`), []byte(`"active"`), 1)
					}
					return answer, err
				},
			}
			raw := c.Encoded()
			r, err := replay.Run(t.Context(), replaytest.Each(raw), replay.Options{Genesis: c.Genesis(), Chaincode: replaytest.ChaincodeName, Peer: p})
			must(t, err)
			if r.Height <= uint64(len(raw)) || len(c.Blocks) <= begin {
				t.Errorf("height %d: nothing was caught up", r.Height)
			}
			if r.Sound() == spoilt {
				t.Errorf("%v", r.Divergences)
			}
		})
	}
}
