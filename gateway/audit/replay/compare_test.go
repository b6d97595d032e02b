package replay_test

import (
	"bytes"
	"context"
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
			case tt.rule == "" && !r.Sound():
				t.Errorf("%v", r.Divergences)
			case tt.rule != "" && (r.Sound() || r.Divergences[0].Check != replay.State || r.Divergences[0].Rule != tt.rule):
				t.Errorf("got %v, want %s at %s", r.Divergences, replay.State, tt.rule)
			}
		})
	}
}
