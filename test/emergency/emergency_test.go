// Package emergency_test breaks the glass on a real consortium: who may, who sees it, and
// what happens until it is reviewed.
package emergency_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/access"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/channel"
	"yitong/gateway/seal"
	"yitong/test/consortium"
	"yitong/test/patient"
)

func TestMain(m *testing.M) { consortium.Main(m) }

// patience bounds what should take a block.
const patience = 30 * time.Second

func emergencyOf(p patient.Patient) *yitongv1.OpenEmergencyRequest {
	return &yitongv1.OpenEmergencyRequest{
		Id: client.NewID(), Custodian: consortium.HospitalA, Patient: p.ID, Reason: string(access.Unconscious), Note: "found on the street",
	}
}

// watch begins to watch as a member and returns what tells the next notice.
func watch(t *testing.T, c *client.Client) func() *yitongv1.EmergencyNotice {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := c.Emergencies.Watch(ctx, &yitongv1.WatchEmergenciesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil { // it watches now
		t.Fatal(err)
	}
	notices := make(chan *yitongv1.EmergencyNotice)
	go func() {
		defer close(notices)
		for {
			n, err := stream.Recv()
			if err != nil {
				return
			}
			notices <- n
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range notices { // until the stream has ended
		}
	})
	return func() *yitongv1.EmergencyNotice {
		t.Helper()
		select {
		case n := <-notices:
			return n
		case <-time.After(patience):
			t.Fatal("nothing is seen")
			return nil
		}
	}
}

func refusedWith(t *testing.T, err error, code string) {
	t.Helper()
	if r, ok := client.Refusal(err); !ok || string(r.Code) != code {
		t.Errorf("got %v, want a refusal with code %s", err, code)
	}
}

func TestAnEmergencyFromTheStreetToItsReview(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 700)
	c.Submit(t, p)
	drafts, err := seal.Split(p.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	doctor := c.User(t, consortium.HospitalB, "clinician")
	regulator := c.User(t, consortium.Regulator, "auditor")

	t.Run("nobody but a hospital's clinician", func(t *testing.T) {
		_, err := c.Client(t, consortium.HospitalB).Emergencies.Open(t.Context(), emergencyOf(p))
		refusedWith(t, err, string(access.RoleNotAllowed))
		for member, user := range map[string]string{consortium.HospitalB: "records-officer", consortium.Insurer: "claims-handler"} {
			if _, err := c.User(t, member, user).Emergencies.Open(t.Context(), emergencyOf(p)); status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s of %s: %v", user, member, err)
			}
		}
		_, err = regulator.Emergencies.Open(t.Context(), emergencyOf(p)) // whom the policy lets near it
		refusedWith(t, err, string(access.RoleNotAllowed))
	})

	custodianSees, regulatorSees := watch(t, c.Client(t, consortium.HospitalA)), watch(t, c.Client(t, consortium.Regulator))
	first := emergencyOf(p)
	opened, err := doctor.Emergencies.Open(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if a := opened.GetAccess(); a.GetOutcome() != "permit" || a.GetRule().GetReason() != "break-glass" || a.GetRole() != "clinician" || len(a.GetUser()) != 64 ||
		a.GetExpires().AsTime().Sub(a.GetRequested().AsTime()) != 4*time.Hour {
		t.Errorf("the access is %v", a)
	}
	for who, sees := range map[string]func() *yitongv1.EmergencyNotice{"the custodian": custodianSees, "the regulator": regulatorSees} {
		if n := sees(); n.GetWhat() != "opened" || n.GetEmergency().GetId() != first.GetId() || n.GetReason() != "unconscious" || n.GetCommit().GetBlock() != opened.GetCommit().GetBlock() {
			t.Errorf("%s sees %v", who, n)
		}
	}

	t.Run("the clinician opens all that is held of the patient", func(t *testing.T) {
		parts := 0
		summary, err := doctor.Open(t.Context(), first.GetId(), consortium.HospitalA, func(*yitongv1.Part) (io.Writer, error) { parts++; return io.Discard, nil })
		if err != nil || parts != len(drafts) || summary.GetReceipt().GetTransactionId() == "" {
			t.Errorf("%d parts of %d, receipt %v, %v", parts, len(drafts), summary.GetReceipt(), err)
		}
	})

	for _, what := range []string{"user", "reader"} {
		t.Run("the regulator has opened who it was: "+what, func(t *testing.T) {
			answer, err := regulator.Audit.OrderDisclosure(t.Context(), &yitongv1.OrderDisclosureRequest{
				Subject: &yitongv1.Subject{What: what, Id: first.GetId(), Custodian: consortium.HospitalA, Requester: consortium.HospitalB}, Reason: "review",
			})
			if err != nil || answer.GetOrder().GetOutcome() != "disclosed" || string(answer.GetContent()) != `{"user":"clinician.hospital-b","role":"clinician","member":"HospitalB"}` {
				t.Errorf("%v: %s, %v", answer.GetOrder(), answer.GetContent(), err)
			}
		})
	}

	_, err = regulator.Emergencies.Review(t.Context(), &yitongv1.ReviewEmergencyRequest{
		Id: first.GetId(), Custodian: consortium.HospitalA, Requester: consortium.HospitalB, Outcome: "rejected", Reason: "no-emergency",
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := custodianSees(); n.GetWhat() != "rejected" {
		t.Errorf("the custodian sees %v", n)
	}
	t.Run("rejected, it blocks and opens no more", func(t *testing.T) {
		_, err := doctor.Emergencies.Open(t.Context(), emergencyOf(p))
		refusedWith(t, err, string(access.EmergencyBlocked))
		_, err = doctor.Open(t.Context(), first.GetId(), consortium.HospitalA, func(*yitongv1.Part) (io.Writer, error) { return io.Discard, nil })
		refusedWith(t, err, string(access.ReviewRejected))
	})
	_, err = regulator.Emergencies.Resolve(t.Context(), &yitongv1.ResolveEmergencyRequest{
		Id: first.GetId(), Custodian: consortium.HospitalA, Requester: consortium.HospitalB, Reason: "staff-retrained",
	})
	if err != nil {
		t.Fatal(err)
	}
	second := emergencyOf(p)
	if _, err := doctor.Emergencies.Open(t.Context(), second, grpc.WaitForReady(true)); err != nil {
		t.Fatalf("resolved, the glass may be broken again: %v", err)
	}

	t.Run("the past has both, with their reviews", func(t *testing.T) {
		answer, err := regulator.Emergencies.History(t.Context(), &yitongv1.EmergencyHistoryRequest{Requester: consortium.HospitalB})
		if err != nil || len(answer.GetEmergencies()) != 2 {
			t.Fatalf("%v, %v", answer, err)
		}
		if e := answer.GetEmergencies(); e[0].GetAccess().GetReview() != "resolved" || e[1].GetAccess().GetReview() != "open" {
			t.Errorf("%v", e)
		}
	})
	t.Run("the replay recomputes it, and nobody's name or word is on the ledger", func(t *testing.T) {
		l := c.Ledger(t, consortium.Regulator, consortium.Chaincode)
		height, err := l.Height(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var digest [32]byte
		for b, err := range l.RawBlocks(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			digest = channel.Hash(b.Header)
			break
		}
		blocks := func(yield func([]byte, error) bool) {
			n := uint64(0)
			for raw, err := range replay.Encoded(l.RawBlocks(t.Context(), 0)) {
				for _, secret := range []string{"clinician.hospital-b", "found on the street", p.ID.GetValue()} {
					if bytes.Contains(raw, []byte(secret)) {
						t.Errorf("block %d holds %q", n, secret)
					}
				}
				if n++; !yield(raw, err) || n == height {
					return
				}
			}
		}
		report, err := replay.Run(t.Context(), blocks, replay.Options{Genesis: digest, Chaincode: consortium.Chaincode})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range report.Divergences {
			t.Error(d)
		}
		if report.Recomputed["access:Review"] != 1 || report.Recomputed["access:Resolve"] != 1 {
			t.Errorf("run again: %v", report.Recomputed)
		}
	})
}
