package replay_test

import (
	"testing"

	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/replaytest"
)

func run(t testing.TB, c *replaytest.Chain, raw [][]byte) *replay.Report {
	t.Helper()
	r, err := replay.Run(t.Context(), replaytest.Each(raw), replay.Options{Genesis: c.Genesis(), Chaincode: replaytest.ChaincodeName})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAGenuineChainDivergesNowhere(t *testing.T) {
	for name, o := range map[string]replaytest.Options{"BFT": {Seed: 1}, "raft": {Seed: 2, Raft: true}} {
		t.Run(name, func(t *testing.T) {
			c := replaytest.New(t, o)
			c.History(400)
			r := run(t, c, c.Encoded())
			for _, d := range r.Divergences {
				t.Error(d)
			}
			t.Logf("%+v", r)
		})
	}
}
