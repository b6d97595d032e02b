package history_test

import (
	"testing"

	"yitong/chaincode/access"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
	"yitong/gateway/audit/projection/projectiontest"
)

// ISO 27789 wants user and role on every event. Only what no certificate of a member's
// stands behind has none: a configuration is signed by orderers.
func TestEveryEntryHasAUserAndARole(t *testing.T) {
	persons := map[projection.Kind]map[string]int{}
	for seed := uint64(61); seed < 64; seed++ {
		for _, e := range everything(t, made(t, projectiontest.Blocks(seed, 3000)), history.Filter{}, 1000, false) {
			if persons[e.Kind] == nil {
				persons[e.Kind] = map[string]int{}
			}
			persons[e.Kind][e.UserRole]++
			switch {
			case e.Kind == projection.KindConfiguration && e.Agent == "":
			case e.User == "" || e.UserRole == "":
				t.Fatalf("entry %d, a %s %s by %q, has the user %q and the role %q", e.Number, e.Kind, e.Action, e.Agent, e.User, e.UserRole)
			case (e.UserRole == projection.Software) != (e.User == e.Agent):
				t.Fatalf("entry %d is by %q as %s, signed by %q", e.Number, e.User, e.UserRole, e.Agent)
			}
		}
	}
	for kind, role := range map[projection.Kind]access.Role{
		projection.KindRecord: access.RecordsOfficer, projection.KindConsent: access.RecordsOfficer, projection.KindReview: access.Auditor,
		projection.KindRequest: access.ClaimsHandler, projection.KindReceipt: access.ClaimsHandler,
		projection.KindOrder: access.Auditor, projection.KindConclusion: access.Auditor,
	} {
		if persons[kind][string(role)] == 0 || persons[kind][projection.Software] == 0 {
			t.Errorf("the histories have no %s by a person and by software each: %v", kind, persons[kind])
		}
	}
}
