package attack_test

import (
	"errors"
	"testing"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/refusal"
	"yitong/gateway/ledger"
	"yitong/test/consortium"
	"yitong/test/liar"
	"yitong/test/patient"
)

// A12: the time of a transaction is its sender's claim.
func TestAProposalOutOfItsTimeIsRefused(t *testing.T) {
	c := consortium.Shared(t)
	of := handle(t, c, patient.Synthetic(t, 310))
	insurer := c.Ledger(t, consortium.Insurer, consortium.Chaincode)
	for _, off := range []time.Duration{-365 * 24 * time.Hour, -3 * time.Minute, -100 * time.Second, 100 * time.Second, 3 * time.Minute, 365 * 24 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			_, err := insurer.Prepare(t.Context(), contract.AccessRequest, demand(of), ledger.ClaimedAt(time.Now().Add(off)))
			wantRefusal(t, err, refusal.StaleClock)
		})
	}
	for _, off := range []time.Duration{-60 * time.Second, 60 * time.Second} {
		t.Run("control: "+off.String(), func(t *testing.T) {
			prepared, err := insurer.Prepare(t.Context(), contract.AccessRequest, demand(of), ledger.ClaimedAt(time.Now().Add(off)))
			if err != nil {
				t.Fatal(err)
			}
			submit(t, insurer, prepared, valid)
		})
	}
}

// A12: a permit that is endorsed while the consent holds, and kept for the time
// after. The members' servers, their clocks 91 s ahead, close the minute in
// which it was endorsed; honest ones would after as long a wait.
func TestWhatIsHeldBackUntilItsMinuteIsClosedIsInvalid(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 311)
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	of := handle(t, c, p)
	insurer, regulator := c.Ledger(t, consortium.Insurer, consortium.Chaincode), c.Ledger(t, consortium.Regulator, consortium.Chaincode)

	// The last second of the minute before this one: within the skew, and over.
	then := time.Now().Truncate(time.Minute).Add(-time.Second)
	prepare := func() *ledger.Prepared {
		prepared, err := insurer.Prepare(t.Context(), contract.AccessRequest, demand(of), ledger.ClaimedAt(then))
		if err != nil {
			t.Fatal(err)
		}
		return prepared
	}
	control, held := prepare(), prepare()
	other := patient.Synthetic(t, 312)
	c.Ask(t, other, "laboratory") // blocks pass meanwhile
	c.Ask(t, other, "laboratory")
	t.Run("control: with the minute open it commits, however old", func(t *testing.T) {
		submit(t, insurer, control, valid)
	})

	c.Order(t, consortium.Chaincode, liar.Orders{ClockAhead: 91 * time.Second}, others...)
	closeMinute(t, regulator, then.Unix()/60)
	c.Order(t, consortium.Chaincode, liar.Orders{}, others...)
	t.Run("with the minute closed it doesn't", func(t *testing.T) {
		submit(t, insurer, held, conflict)
	})
	t.Run("and nothing more is endorsed for that minute", func(t *testing.T) {
		_, err := insurer.Prepare(t.Context(), contract.AccessRequest, demand(of), ledger.ClaimedAt(then))
		wantRefusal(t, err, refusal.MinuteClosed, refusal.StaleClock) // stale where the test itself took long
	})
}

// closeMinute closes minutes through one, endorsed by the members whose clocks are
// ahead and claimed at a time that both they and the peers take.
func closeMinute(t *testing.T, l *ledger.Ledger, minute int64) {
	t.Helper()
	for range 5 { // a gateway may be closing an earlier minute just now
		prepared, err := l.Prepare(t.Context(), contract.RegistryClose, contract.Closing{Through: minute},
			ledger.ClaimedAt(time.Now().Add(45*time.Second)), ledger.EndorsedBy(withoutCustodian...))
		if err != nil {
			t.Fatal(err)
		}
		_, err = prepared.Submit(t.Context())
		var invalid *ledger.Invalid
		switch {
		case err == nil:
			return
		case !errors.As(err, &invalid) || !invalid.Conflict():
			t.Fatal(err)
		}
	}
	t.Fatal("the minute can't be closed")
}
