package share_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/share"
)

// inEscrow is a consortium whose evaluators hold no records, as by default, and in which
// hospital A's record of Chen lies in escrow. Hospital B has never asked about Chen.
func inEscrow(t *testing.T) (*consortium, share.Record) {
	t.Helper()
	c := newConsortiumBy(t, share.Quota{}, insurer, regulator)
	c.tick()
	r := c.submit(bundle(6))
	if err := c.gateways[hospitalA].Lodge(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, r
}

// lose takes a member's gateway away for good.
func (c *consortium) lose(msp string) { c.cut = map[string]bool{msp: true} }

// opensInEmergency breaks the glass under a handle of an epoch, and opens the laboratory's.
func (c *consortium) opensInEmergency(epoch int) {
	c.t.Helper()
	a := c.emergencyOver(record.Laboratory)
	if got := access.Epoch(a.Handle); got != epoch {
		c.t.Errorf("the request names a handle of epoch %d, want %d", got, epoch)
	}
	if parts, _, err := c.openInEmergency(a); err != nil || len(parts) != 1 {
		c.t.Errorf("opened %v: %v", parts, err)
	}
}

// reindex has hospital A's records found under the handles of the present epoch.
func (c *consortium) reindex(want int) {
	c.t.Helper()
	if n, err := c.gateways[hospitalA].Reindex(c.t.Context()); err != nil || n != want {
		c.t.Fatalf("indexed %d records anew, %v; want %d", n, err, want)
	}
}

// indexed says how many handles of an epoch the regulator has in its index.
func (c *consortium) indexed(epoch int) (n int) {
	c.t.Helper()
	index, err := stores[regulator].List(share.BucketEscrowIndex)
	if err != nil {
		c.t.Fatal(err)
	}
	for name := range index {
		if access.Epoch(name[strings.LastIndex(name, "/")+1:]) == epoch {
			n++
		}
	}
	return n
}

func TestAPatientNeverAskedAboutIsServedWhereNoDeadMemberEvaluates(t *testing.T) {
	c, _ := inEscrow(t)
	c.lose(hospitalA)
	c.opensInEmergency(1)

	t.Run("control: the dead hospital is an evaluator", func(t *testing.T) {
		c := newConsortiumBy(t, share.Quota{}, hospitalA, regulator)
		c.tick()
		c.submit(bundle(6))
		if err := c.gateways[hospitalA].Lodge(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.lose(hospitalA)
		if _, _, err := c.gateways[hospitalB].BreakGlass(t.Context(), emergencyBy(doctor)); !errors.Is(err, share.ErrUnavailable) {
			t.Errorf("the handle was found: %v", err)
		}
	})
}

func TestWhatIsInEscrowIsFoundUnderTheHandlesOfTheNextEpoch(t *testing.T) {
	for _, reindexed := range []bool{true, false} {
		c, _ := inEscrow(t)
		c.roll(time.Hour)
		if _, err := c.gateways[hospitalA].Carry(t.Context()); err != nil {
			t.Fatal(err)
		}
		if reindexed {
			c.reindex(1)
			c.reindex(0)
		}
		c.lose(hospitalA)
		c.ledger.Advance(time.Hour) // the first epoch is over
		c.tick()
		if err := c.gateways[regulator].DropEnded(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.indexed(1) != 0 {
			t.Error("the index has handles of an epoch that is over")
		}
		if reindexed {
			c.opensInEmergency(2)
			continue
		}
		// The control: the custodian died before it had its records found.
		a := c.emergencyOver(record.Laboratory)
		parts, _, err := c.openInEmergency(a)
		if !strings.Contains(err.Error(), "aren't indexed for this hospital in that epoch") || len(parts) > 0 {
			t.Errorf("opened %v: %v", parts, err)
		}
		_, err = c.gateways[regulator].RecoverFor(t.Context(), hospitalB, hospitalA, a.ID, 0)
		wantRefusal(t, err, share.EscrowNotIndexed)
		c.cut = nil // it is back, and dies again
		c.reindex(1)
		c.lose(hospitalA)
		if parts, _, err := c.openInEmergency(a); err != nil || len(parts) != 1 { // under the same permit
			t.Errorf("once it has indexed, opened %v: %v", parts, err)
		}
	}
}

func TestACustodianThatDiedBeforeTheRotationIsServedWhileTheOldEpochIsOpen(t *testing.T) {
	c, _ := inEscrow(t)
	before := c.emergencyOver(record.Laboratory)
	c.lose(hospitalA)
	c.roll(time.Hour)
	if parts, _, err := c.openInEmergency(before); err != nil || len(parts) != 1 {
		t.Errorf("under a permit of before, opened %v: %v", parts, err)
	}
	c.opensInEmergency(1)
	late := c.emergencyOver(record.Laboratory)
	c.ledger.Advance(time.Hour)
	c.tick()
	_, err := c.gateways[regulator].RecoverFor(t.Context(), hospitalB, hospitalA, late.ID, 0)
	if !is(err, refusal.Code("epoch-ended")) {
		t.Errorf("under a handle of an epoch that is over: %v", err)
	}
	after := c.emergencyOver(record.Laboratory)
	_, err = c.gateways[regulator].RecoverFor(t.Context(), hospitalB, hospitalA, after.ID, 0)
	wantRefusal(t, err, share.EscrowNotIndexed)
}

// In the overlap the custodian lives and has indexed: it is asked, and found, under either.
func TestInTheOverlapEitherHandleServes(t *testing.T) {
	c, _ := inEscrow(t)
	c.roll(time.Hour)
	c.reindex(1)
	c.submit(bundle(7)) // lodged in the overlap
	if err := c.gateways[hospitalA].Lodge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.indexed(1) != 1 || c.indexed(2) != 1 {
		t.Errorf("the index has %d and %d handles", c.indexed(1), c.indexed(2))
	}
	a := c.emergencyOver(record.Laboratory)
	sum, err := c.gateways[hospitalB].Open(t.Context(), hospitalA, a.ID, opened{}.sink)
	if err != nil || sum.Parts != 2 || sum.Recovery != nil {
		t.Errorf("the living custodian released %+v: %v", sum, err)
	}
	c.lose(hospitalA)
	a = c.emergencyOver(record.Laboratory)
	if sum, err = c.gateways[hospitalB].Open(t.Context(), hospitalA, a.ID, opened{}.sink); err != nil || sum.Parts != 2 || sum.Recovery == nil {
		t.Errorf("of the dead one's, %+v was opened: %v", sum, err)
	}
}

// Between carrying and indexing the custodian may die: the ledger says under which handle
// the patient was before.
func TestWhatWasCarriedIsFoundThoughItWasNotIndexed(t *testing.T) {
	c, _ := inEscrow(t)
	_, _, _, err := c.gateways[hospitalA].Grant(t.Context(), share.Directive{
		Patient: chen, Requester: "HospitalB", Provision: toPayers(), Form: []byte("signed by the patient"),
	})
	if err != nil {
		t.Fatal(err)
	}
	before := c.emergencyOver(record.Laboratory)
	c.roll(time.Hour)
	if n, err := c.gateways[hospitalA].Carry(t.Context()); err != nil || n != 1 {
		t.Fatalf("carried %d: %v", n, err)
	}
	c.lose(hospitalA)
	c.opensInEmergency(2)
	if parts, _, err := c.openInEmergency(before); err != nil || len(parts) != 1 {
		t.Errorf("under a permit of before, opened %v: %v", parts, err)
	}
}

func TestIndexingGoesOnWhereItStopped(t *testing.T) {
	c, _ := inEscrow(t)
	c.submit(bundle(7))
	if err := c.gateways[hospitalA].Lodge(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.roll(time.Hour)
	if _, err := c.gateways[hospitalA].Carry(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.lose(regulator)
	if n, err := c.gateways[hospitalA].Reindex(t.Context()); !errors.Is(err, share.ErrUnavailable) || n != 0 {
		t.Fatalf("without the regulator %d were indexed: %v", n, err)
	}
	c.cut = nil
	c.reindex(2)
	c.reindex(0)
}

// A record that is on its way into escrow when the next epoch opens is indexed under the
// handles of both.
func TestARecordOnItsWayWhenAnEpochOpens(t *testing.T) {
	c := newConsortiumBy(t, share.Quota{}, insurer, regulator)
	c.tick()
	c.submit(bundle(6))
	c.cut = map[string]bool{hospitalB: true} // the last of the holders
	if err := c.gateways[hospitalA].Lodge(t.Context()); !errors.Is(err, share.ErrUnavailable) || c.indexed(1) != 1 {
		t.Fatalf("%d handles are indexed: %v", c.indexed(1), err)
	}
	c.cut = nil
	c.roll(time.Hour)
	if err := c.gateways[hospitalA].Lodge(t.Context()); err != nil || c.indexed(1) != 1 || c.indexed(2) != 1 {
		t.Errorf("%d and %d handles are indexed: %v", c.indexed(1), c.indexed(2), err)
	}
	c.reindex(0)
}
