package replay_test

import (
	"testing"

	"yitong/chaincode/contract"
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

func TestErasuresAndHoldsReplay(t *testing.T) {
	c := replaytest.New(t, replaytest.Options{Seed: 4})
	c.History(40)
	c.Erasures()
	c.History(40)
	for _, d := range run(t, c, c.Encoded()).Divergences {
		t.Error(d)
	}
	for function, want := range map[string]int{contract.RecordErase: 2, contract.RecordHold: 1, contract.RecordUnhold: 1, contract.RecordAcknowledge: 1} {
		c.Find(function, want-1) // or it fails
	}
}
