package attack_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/patient"
)

// A34: over a real consortium an insurer is answered alike about a patient whom the hospital doesn't
// know and one who gave no consent, and as fast: what each takes is measured in turn, and told.
func TestARefusalIsAlikeOverTheWire(t *testing.T) {
	c := consortium.Shared(t)
	patients := map[string]patient.Patient{
		"unknown": patient.Synthetic(t, 350), "no consent": patient.Synthetic(t, 351), "withdrawn": patient.Synthetic(t, 352),
	}
	c.Submit(t, patients["no consent"])
	c.Submit(t, patients["withdrawn"])
	granted := c.Grant(t, patients["withdrawn"], consortium.ForPayment("laboratory")).GetConsent().GetId()
	if a := c.Ask(t, patients["withdrawn"], "laboratory"); a.GetOutcome() != "permit" {
		t.Fatalf("control: with a consent it is %s", a.GetOutcome())
	}
	if _, err := c.Client(t, consortium.HospitalA).Consents.Withdraw(t.Context(), &yitongv1.WithdrawRequest{
		Id: granted, Patient: patients["withdrawn"].ID, Requester: consortium.Insurer, Reason: "patient-request",
	}); err != nil {
		t.Fatal(err)
	}
	// bare is an answer without what is every request's own.
	bare := func(a *yitongv1.Access) *yitongv1.Access {
		a = proto.CloneOf(a)
		a.Id, a.Handle, a.Requested = "", "", nil
		return a
	}
	order := []string{"unknown", "no consent", "withdrawn"}
	answers, took := map[string]*yitongv1.Access{}, map[string][]time.Duration{}
	for _, name := range order {
		answers[name] = bare(c.Ask(t, patients[name], "laboratory")) // the first one derives the handle
	}
	turns := rand.New(rand.NewPCG(3, 4))
	for range 15 {
		for _, k := range turns.Perm(len(order)) { // blocks are cut by a clock: no order must fall into step with it
			name := order[k]
			begun := time.Now()
			a := c.Ask(t, patients[name], "laboratory")
			took[name] = append(took[name], time.Since(begun))
			if !proto.Equal(bare(a), answers[name]) {
				t.Errorf("%s is answered %v, and was %v", name, bare(a), answers[name])
			}
		}
	}
	if !proto.Equal(answers["unknown"], answers["no consent"]) {
		t.Errorf("a patient whom the hospital doesn't know: %v, one without a consent: %v", answers["unknown"], answers["no consent"])
	}
	if w := answers["withdrawn"]; w.GetOutcome() != answers["no consent"].GetOutcome() || proto.Equal(w, answers["no consent"]) {
		t.Errorf("of a withdrawal the ledger tells its parties %v; this shows nothing", w)
	}
	median := map[string]time.Duration{}
	for name, all := range took {
		slices.Sort(all)
		median[name] = all[len(all)/2]
	}
	for _, name := range order {
		t.Logf("%s: median %s, %+.1f %% of no consent", name, median[name].Round(time.Millisecond), 100*(float64(median[name])/float64(median["no consent"])-1))
	}
}
