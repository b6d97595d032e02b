package attack_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/gateway/ledger"
	"yitong/test/consortium"
	"yitong/test/patient"
)

// A9: many at once about one patient.
func TestSixtyFourRequestsAtOnceAboutOnePatientAllCommit(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 320)
	of := c.Grant(t, p, consortium.ForPayment("laboratory")).GetConsent().GetHandle()
	insurer := c.Ledger(t, consortium.Insurer, consortium.Chaincode)
	from, err := insurer.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const crowd = 64
	var all sync.WaitGroup
	for range crowd {
		all.Go(func() {
			answer, err := c.Client(t, consortium.Insurer).Accesses.Request(t.Context(), consortium.Demand(p, "laboratory"))
			if err != nil {
				t.Errorf("a request failed: %v", err)
			} else if answer.GetAccess().GetOutcome() != "permit" {
				t.Errorf("the decision is %s", answer.GetAccess().GetOutcome())
			}
		})
	}
	all.Wait()
	requests := 0
	end, err := insurer.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tx := range until(t, insurer, from, end) {
		if decided, ok := requestAbout(t, tx, of); ok {
			requests++
			if !tx.Valid() || !decided.Permitted() {
				t.Errorf("a request in block %d is %s", tx.Block, tx.Code)
			}
		}
	}
	if requests != crowd {
		t.Errorf("%d transactions for %d requests: some were sent twice", requests, crowd)
	}
}

// A10: a withdrawal while requests about the same patient pour in.
func TestAWithdrawalInAFloodOfRequestsCommitsSoonAndBeatsAllAfterIt(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 321)
	granted := c.Grant(t, p, consortium.ForPayment("laboratory")).GetConsent()
	hospital := c.Ledger(t, consortium.HospitalA, consortium.Chaincode)
	from, err := hospital.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	var flood sync.WaitGroup
	var permits, denials atomic.Int64
	pouring, stop := make(chan struct{}), make(chan struct{})
	var begun sync.Once
	for range 48 {
		flood.Go(func() {
			for {
				answer, err := c.Client(t, consortium.Insurer).Accesses.Request(t.Context(), consortium.Demand(p, "laboratory"))
				switch {
				case err != nil:
					t.Errorf("a request failed: %v", err)
					return
				case answer.GetAccess().GetOutcome() == "permit":
					if permits.Add(1) == 96 {
						begun.Do(func() { close(pouring) })
					}
				default:
					denials.Add(1)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	<-pouring
	prepared, err := hospital.Prepare(t.Context(), contract.ConsentWithdraw, contract.Withdrawal{
		ID: granted.GetId(), Requester: consortium.InsurerMSP, Handle: granted.GetHandle(), Reason: "patient-request",
	})
	if err != nil {
		t.Fatal(err)
	}
	sent := ordered(t, c)
	withdrawn, err := prepared.Submit(t.Context())
	if err != nil {
		t.Fatalf("the withdrawal: %v", err)
	}
	close(stop)
	flood.Wait()
	end, err := c.Ledger(t, consortium.Insurer, consortium.Chaincode).Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("withdrawn in block %d; the ledger had %d blocks when it was sent", withdrawn.Block, sent)
	// The blocks sent, sent+1, … were yet to come when it was sent.
	if n := withdrawn.Block - sent + 1; n > 3 {
		t.Errorf("the withdrawal took %d blocks", n)
	}

	after, conflicts, seen := 0, 0, false
	for _, tx := range until(t, hospital, from, end) {
		if tx.ID == withdrawn.TxID {
			seen = true
			continue
		}
		decided, ok := requestAbout(t, tx, granted.GetHandle())
		switch {
		case !ok:
		case !tx.Valid() && !seen:
			t.Errorf("before the withdrawal a request is %s", tx.Code)
		case !tx.Valid():
			conflicts++
		case seen && decided.Permitted():
			t.Errorf("a permit in block %d, after the withdrawal in block %d, is valid", tx.Block, withdrawn.Block)
		case seen:
			after++
		}
	}
	t.Logf("%d permits before; after it %d were invalid and %d decided deny", permits.Load(), conflicts, after)
	if after == 0 || int64(after) != denials.Load() {
		t.Errorf("%d denials on the ledger, %d answered: the flood proves nothing", after, denials.Load())
	}
}

// ordered is how many blocks the ordering nodes have; peers may be behind.
func ordered(t *testing.T, c *consortium.Consortium) (height uint64) {
	t.Helper()
	for _, o := range c.Network().Topology().Orderers {
		m := c.Member(t, o.Member)
		config, err := m.Admin().TLSConfig(m.TLSCA())
		if err != nil {
			t.Fatal(err)
		}
		admin := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		answer, err := admin.Get("https://" + o.AdminAddress() + "/participation/v1/channels/" + c.Network().Topology().Channel)
		if err != nil {
			t.Fatal(err)
		}
		var channel struct{ Height uint64 }
		if err := errors.Join(json.NewDecoder(answer.Body).Decode(&channel), answer.Body.Close()); err != nil {
			t.Fatal(err)
		}
		admin.CloseIdleConnections()
		height = max(height, channel.Height)
	}
	return height
}

// until reads all transactions from a block to before another, for which it waits.
func until(t *testing.T, l *ledger.Ledger, from, end uint64) []ledger.Transaction {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all []ledger.Transaction
	for b, err := range l.Blocks(ctx, from) {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		all = append(all, b.Transactions...)
		if b.Number+1 >= end {
			break
		}
	}
	return all
}

// requestAbout decodes the decision that a transaction took about a handle.
func requestAbout(t *testing.T, tx ledger.Transaction, handle string) (access.Access, bool) {
	t.Helper()
	var decided access.Access
	if tx.Chaincode != consortium.Chaincode || tx.Function != contract.AccessRequest || len(tx.Writes) != 1 {
		return decided, false
	}
	if err := json.Unmarshal(tx.Writes[0].Value, &decided); err != nil {
		t.Fatal(err)
	}
	return decided, decided.Handle == handle && decided.Decision.Outcome != consent.Outcome(0)
}
