package replay_test

import (
	"strings"
	"testing"

	"yitong/chaincode"
	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/replaytest"
)

// Under rules that this program hasn't, nothing is called wrong, and nothing right.
func TestOtherRulesAreNamedAndNotJudgedBy(t *testing.T) {
	for version, known := range map[string]bool{chaincode.Version(): true, "r0123456789abcdef": false, "1": false} {
		c := replaytest.New(t, replaytest.Options{Seed: 5, Version: version})
		c.History(60)
		r := run(t, c, c.Encoded())
		if len(r.Definitions) != 1 || r.Definitions[0].Version != version || r.Definitions[0].Sequence != 1 || r.Definitions[0].Known != known {
			t.Fatalf("%s: it was agreed on %+v", version, r.Definitions)
		}
		if known {
			if !r.Sound() || r.Recomputed["access:Request"] == 0 || r.Definitions[0].Unjudged != 0 {
				t.Errorf("%s: %v, %v", version, r.Divergences, r.Recomputed)
			}
			continue
		}
		if len(r.Divergences) != 1 || r.Divergences[0].Check != replay.UnknownRules || r.Divergences[0].Block != 2 || !strings.Contains(r.Divergences[0].Detail, version) {
			t.Errorf("%s: %v", version, r.Divergences)
		}
		if len(r.Recomputed) != 0 || r.Definitions[0].Unjudged < 40 {
			t.Errorf("%s: %v were run again, %d not judged", version, r.Recomputed, r.Definitions[0].Unjudged)
		}
	}
}
