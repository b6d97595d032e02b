package exactlyonce_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/patient"
)

// Operators see how writes stand, and nothing of whom they are about.
func TestOperatorsSeeHowWritesStandAndNoPatient(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 7700)
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	operator := c.Client(t, consortium.HospitalA).Outbox
	page, err := operator.List(t.Context(), &yitongv1.ListOutboxRequest{All: true})
	if err != nil {
		t.Fatal(err)
	}
	var last *yitongv1.OutboxEntry
	for _, e := range page.GetEntries() {
		if strings.Contains(e.String(), p.ID.GetValue()) {
			t.Errorf("an entry names a patient: %v", e)
		}
		if e.GetMethod() == "Consents.Grant" {
			last = e
		}
	}
	if last == nil {
		t.Fatal("the grant isn't listed")
	}
	shown, err := operator.Show(t.Context(), &yitongv1.ShowOutboxRequest{Number: last.GetNumber()})
	if err != nil || shown.GetOutcome() != "OK" && shown.GetState() != "under-way" || !strings.HasPrefix(shown.GetStep(), "consent:Grant ") {
		t.Errorf("it is shown as %v, %v", shown, err)
	}
	if _, err := operator.Retry(t.Context(), &yitongv1.RetryOutboxRequest{Number: 1 << 40}); status.Code(err) != codes.NotFound {
		t.Errorf("an entry that isn't there: %v", err)
	}
	if _, err := operator.Drop(t.Context(), &yitongv1.DropOutboxRequest{Number: last.GetNumber()}); err != nil {
		t.Error(err)
	}
	// The control: who isn't an operator sees nothing.
	if _, err := c.User(t, consortium.HospitalA, "clinician").Outbox.List(t.Context(), &yitongv1.ListOutboxRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a clinician: %v", err)
	}
}
