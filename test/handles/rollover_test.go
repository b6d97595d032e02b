// Package handles_test replaces the evaluators' keys of a consortium on a real network, and
// looks at what becomes of what stood under the old handles.
package handles_test

import (
	"strings"
	"testing"
	"time"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/patient"
)

func TestARolloverOnARealNetwork(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 701)
	c.Submit(t, p)
	granted := c.Grant(t, p, consortium.ForPayment("laboratory")).GetConsent()
	old := c.Ask(t, p, "laboratory")
	if old.GetHandle() != granted.GetHandle() || !strings.HasPrefix(old.GetHandle(), "1-") {
		t.Fatalf("the hospital finds %s, the insurer %s", granted.GetHandle(), old.GetHandle())
	}
	overlap := int64(20)
	for i, evaluator := range []string{consortium.Insurer, consortium.Regulator} {
		answer, err := c.Client(t, evaluator).Handles.Roll(t.Context(), &yitongv1.RollRequest{OverlapSeconds: &overlap})
		if err != nil {
			t.Fatal(err)
		}
		if (answer.GetOpened() != nil) != (i == 1) {
			t.Fatalf("announcement %d: %v", i+1, answer)
		}
	}
	// The hospital's gateway carries by itself; the insurer follows.
	var now *yitongv1.Access
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if now = c.Ask(t, p, "laboratory"); strings.HasPrefix(now.GetHandle(), "2-") && now.GetOutcome() == old.GetOutcome() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the insurer names %s still, decided %s", now.GetHandle(), now.GetOutcome())
		}
		time.Sleep(500 * time.Millisecond) // what waits is another process's clock
	}
	for _, a := range []*yitongv1.Access{old, now} {
		if parts, _, err := c.Open(t.Context(), t, a.GetId()); err != nil || len(parts) == 0 {
			t.Errorf("under %s %d parts were opened, %v", a.GetHandle(), len(parts), err)
		}
	}
	list, err := c.Client(t, consortium.HospitalA).Consents.List(t.Context(), &yitongv1.ListConsentsRequest{Patient: p.ID, Requester: consortium.Insurer})
	if err != nil || len(list.GetConsents()) != 1 || list.GetConsents()[0].GetId() != granted.GetId() || list.GetConsents()[0].GetHandle() != now.GetHandle() {
		t.Errorf("the consents are %v, %v", list, err)
	}
	epochs, err := c.Client(t, consortium.Insurer).Handles.Epochs(t.Context(), &yitongv1.EpochsRequest{})
	if err != nil || epochs.GetLatest() != 2 {
		t.Errorf("the epochs are %v, %v", epochs, err)
	}
}
