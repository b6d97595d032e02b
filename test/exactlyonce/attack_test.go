package exactlyonce_test

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/patient"
)

// A13: the same envelope twice.
func TestAReplayedTransactionHasOneEffect(t *testing.T) {
	c := consortium.Shared(t)
	l := c.Ledger(t, consortium.HospitalA, consortium.Chaincode)
	anchor := func() string {
		id := client.NewID()
		leaves := record.Leaves([]record.Part{{Class: record.Laboratory, SealedSize: 1}})
		p, err := l.Prepare(t.Context(), contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{{ID: id, Root: record.Root(leaves), Parts: 1, Bytes: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		first, err := p.Submit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		again, err := p.Submit(t.Context())
		if err != nil || again != first {
			t.Errorf("handed over again: %+v, %v; the first was %+v", again, err, first)
		}
		return id
	}
	id := anchor()
	time.Sleep(500 * time.Millisecond) // what the orderers would need for another block
	w := write{id: id, function: contract.RecordAnchor, kinds: []string{"record"}}
	for _, problem := range w.problems(transactions(t, c)) {
		t.Error(problem)
	}
	for _, tx := range transactions(t, c) {
		if bytes.Contains(tx.Argument, []byte(id)) && !tx.Valid() && tx.Code != peer.TxValidationCode_DUPLICATE_TXID {
			t.Errorf("the replay is %s", tx.Code)
		}
	}
	// The control: a record of its own is a second effect.
	if other := anchor(); other == id {
		t.Error("the control names the same record")
	}
}

// A13: a permit again, by another member, and for another record.
func TestAPermitIsOneReleaseToOneMemberForOnePatient(t *testing.T) {
	c := consortium.Shared(t)
	p, other := patient.Synthetic(t, 7600), patient.Synthetic(t, 7601)
	mine, theirs := c.Submit(t, p).GetRecord().GetId(), c.Submit(t, other).GetRecord().GetId()
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	permit := c.Ask(t, p, "laboratory").GetId()

	insurer := c.Exchange(t, consortium.Insurer, consortium.HospitalA)
	first, sealed, err := consortium.Manifest(t.Context(), insurer, permit)
	if err != nil || sealed == 0 || !bytes.Contains(first, []byte(mine)) {
		t.Fatalf("the control: %d bytes, %v", sealed, err)
	}
	if bytes.Contains(first, []byte(theirs)) {
		t.Error("the permit releases another patient's record")
	}
	if _, _, err := consortium.Manifest(t.Context(), insurer, permit); err != nil {
		t.Errorf("the same permit again while it holds: %v", err)
	}
	w := write{id: permit, function: contract.AccessRelease, batched: true, kinds: []string{"release"}}
	for _, problem := range w.problems(transactions(t, c)) {
		t.Error(problem)
	}
	manifest, sealed, err := consortium.Manifest(t.Context(), c.Exchange(t, consortium.HospitalB, consortium.HospitalA), permit)
	if err == nil || len(manifest)+sealed != 0 {
		t.Errorf("another member got %d bytes under the permit, %v", len(manifest)+sealed, err)
	}
}

// A37: whatever the gateway must note before it acts can't be noted: nothing goes out.
func TestNothingIsReleasedThatCantBeNoted(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 7610)
	c.Submit(t, p)
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	permit := c.Ask(t, p, "laboratory").GetId()

	db, err := sql.Open("sqlite", filepath.Join(c.Member(t, consortium.HospitalA).Dir(), "gateway", "state", "outbox.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	blocked, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer blocked.Close()
	if _, err := blocked.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	parts, _, err := c.Open(ctx, t, permit)
	if err == nil || len(parts) != 0 {
		t.Errorf("%d parts were released while nothing could be noted, %v", len(parts), err)
	}
	granted := make(chan error, 1)
	go func() {
		_, err := c.Client(t, consortium.HospitalA).Consents.Grant(ctx, &yitongv1.GrantRequest{
			Id: client.NewID(), Patient: p.ID, Requester: consortium.Insurer, Provision: consortium.ForPayment("claim"), Form: []byte("signed"),
		})
		granted <- err
	}()
	if err := <-granted; err == nil {
		t.Error("a consent was granted while nothing could be noted")
	}
	if w := (write{id: permit, function: contract.AccessRelease, batched: true}); len(w.problems(transactions(t, c))) == 0 {
		t.Error("the ledger has a release")
	}
	// The control: it can be noted again.
	if _, err := blocked.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	w := write{call: func(ctx context.Context) (answer, error) {
		parts, _, err := c.Open(ctx, t, permit)
		return answer{parts: parts}, err
	}}
	if got := again(t, w); len(got.parts) == 0 {
		t.Error("the control: nothing was released")
	}
}

// A38: yesterday's key store, vault and outbox are put back.
func TestAConsentThatWasWithdrawnIsNotHonouredByAnOlderCopy(t *testing.T) {
	c := consortium.Shared(t)
	p, standing := patient.Synthetic(t, 7620), patient.Synthetic(t, 7621)
	var permits []string
	var consent string
	for _, one := range []patient.Patient{p, standing} {
		c.Submit(t, one)
		id := c.Grant(t, one, consortium.ForPayment("laboratory")).GetConsent().GetId()
		if consent == "" {
			consent = id
		}
		permits = append(permits, c.Ask(t, one, "laboratory").GetId())
	}
	state := filepath.Join(c.Member(t, consortium.HospitalA).Dir(), "gateway", "state")
	yesterday := filepath.Join(t.TempDir(), "yesterday")
	whileDown(t, c, "gateway-hospital-a", func() {
		if err := os.CopyFS(yesterday, os.DirFS(state)); err != nil {
			t.Fatal(err)
		}
	})
	_, err := c.Client(t, consortium.HospitalA).Consents.Withdraw(t.Context(), &yitongv1.WithdrawRequest{Id: consent, Patient: p.ID, Requester: consortium.Insurer, Reason: "patient-request"})
	if err != nil {
		t.Fatal(err)
	}
	whileDown(t, c, "gateway-hospital-a", func() {
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(state, os.DirFS(yesterday)); err != nil {
			t.Fatal(err)
		}
	})
	parts, _, err := c.Open(t.Context(), t, permits[0])
	if r, ok := client.Refusal(err); !ok || len(parts) != 0 {
		t.Errorf("yesterday's permit releases %d parts, %v", len(parts), err)
	} else if !slices.Contains([]string{"consent-changed", "not-permitted"}, string(r.Code)) {
		t.Errorf("it is refused for another reason: %v", r)
	}
	if got := c.Ask(t, p, "laboratory"); got.GetOutcome() == "permit" {
		t.Error("the consent that was withdrawn permits")
	}
	// The control: the older copy does release where the consent stands.
	w := write{call: func(ctx context.Context) (answer, error) {
		parts, _, err := c.Open(ctx, t, permits[1])
		return answer{parts: parts}, err
	}}
	if got := again(t, w); len(got.parts) == 0 {
		t.Error("the control: nothing was released")
	}
}

// whileDown does something while a process is down, and waits for it to be back.
func whileDown(t *testing.T, c *consortium.Consortium, name string, do func()) {
	t.Helper()
	s := c.Network().Supervisor()
	if err := s.Hold(name); err != nil {
		t.Fatal(err)
	}
	do()
	if err := s.Release(name); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	if err := s.Await(ctx, name); err != nil {
		t.Fatal(err)
	}
}
