package contract_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

func TestAnAnchorKeepsHowItsKeysAreEscrowed(t *testing.T) {
	w := newWorld(t)
	with, without := w.draft(), w.draft()
	with.Escrow = record.Hash{0xe5}
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{with, without}})
	for draft, want := range map[contract.AnchorDraft]record.Hash{with: {0xe5}, without: {}} {
		got := ask[record.Anchor](w, insurer, contract.RecordRecord, contract.RecordQuery{Custodian: hospitalA, ID: draft.ID})
		if got.Escrow != want {
			t.Errorf("the anchor has %v, want %v", got.Escrow, want)
		}
	}
	if tx := w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{with}}); len(tx.RWSet.Writes) != 0 {
		t.Errorf("the same anchor again writes %q", tx.Writes())
	}
	other := with
	other.Escrow[0]++
	w.refused(refusal.Exists, hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{other}})
	with.ID = w.id()
	altered := strings.Replace(text(t, contract.Anchoring{Records: []contract.AnchorDraft{with}}), `"e500`, `"E500`, 1)
	w.refused(refusal.Malformed, hospitalA, contract.RecordAnchor, altered)
}

func recovering(a access.Access) contract.Recovering {
	return contract.Recovering{Permit: a.ID, Custodian: a.Custodian, Requester: a.Requester, Manifest: digest}
}

func recoveryOf(a access.Access) contract.RecoveryQuery {
	return contract.RecoveryQuery{Permit: a.ID, Custodian: a.Custodian, Requester: a.Requester}
}

// The custodian is dead: its peer endorses nothing, and its gateway neither.
func TestWhatIsInEscrowIsRecoveredAndReceiptedWithoutTheCustodian(t *testing.T) {
	w := newWorld(t)
	a := w.broken(patient)
	early := receiptOf(a)
	early.Receipts[0].Recovered = true
	w.refused(access.NotReleased, hospitalB, contract.AccessReceive, early)
	w.refused(refusal.NotFound, insurer, contract.AccessRecovery, recoveryOf(a))
	living := []string{hospitalB, insurer, regulator}
	tx, err := w.Endorse(t.Context(), w.Client(regulator), living, contract.AccessRecover, text(t, recovering(a)))
	if err != nil {
		t.Fatal(err)
	}
	if code := w.Commit(tx)[0]; code != valid {
		t.Fatalf("without the custodian's endorsement: %v", code)
	}
	if want := (ledgertest.Calls{GetMultipleStates: 1, Put: 1}); tx.Calls != want {
		t.Errorf("calls %+v, want %+v", tx.Calls, want)
	}
	if again := w.must(regulator, contract.AccessRecover, recovering(a)); len(again.RWSet.Writes) != 0 {
		t.Errorf("recovered again it writes %q", again.Writes())
	}
	for _, holder := range []string{hospitalB, insurer, regulator, hospitalA} {
		got := ask[contract.RecoveryEntry](w, holder, contract.AccessRecovery, recoveryOf(a))
		if got.Recovery.Manifest != digest || got.Recovery.Regulator != regulator || got.Access.ID != a.ID {
			t.Errorf("%s reads %+v", holder, got)
		}
	}
	w.refused(access.NotReleased, hospitalB, contract.AccessReceive, receiptOf(a)) // the custodian released nothing
	received := receiptOf(a)
	received.Receipts[0].Recovered = true
	other := contract.Receiving{Receipts: slices.Clone(received.Receipts)}
	other.Receipts[0].Manifest = strings.Repeat("1", 64)
	w.refused(access.ManifestMismatch, hospitalB, contract.AccessReceive, other)
	w.must(hospitalB, contract.AccessReceive, received)
	entry := ask[contract.AccessList](w, hospitalB, contract.AccessAccess, contract.AccessQuery{Custodian: hospitalA, Requester: hospitalB, IDs: []string{a.ID}}).Accesses[0]
	if entry.Release != nil || entry.Recovery == nil || entry.Receipt == nil {
		t.Errorf("the access has release %v, recovery %v, receipt %v", entry.Release, entry.Recovery, entry.Receipt)
	}
}

func TestWhatIsNotRecovered(t *testing.T) {
	cases := map[string]struct {
		do   func(w *world, a access.Access)
		want refusal.Code
	}{
		"an expired permit": {func(w *world, a access.Access) { w.Advance(access.DefaultEmergency * time.Second) }, refusal.Expired},
		"what a regulator rejected": {func(w *world, a access.Access) {
			w.must(regulator, contract.AccessReview, judgement(a, access.Rejected))
		}, access.ReviewRejected},
		"for a suspended member": {func(w *world, a access.Access) { w.suspend(hospitalB) }, refusal.MemberSuspended},
		"what was opened already": {func(w *world, a access.Access) {
			w.must(hospitalA, contract.AccessRelease, releaseOf(a))
			w.must(hospitalB, contract.AccessReceive, receiptOf(a))
		}, refusal.Exists},
		"with another manifest": {func(w *world, a access.Access) {
			other := recovering(a)
			other.Manifest = strings.Repeat("1", 64)
			w.must(regulator, contract.AccessRecover, other)
		}, refusal.Exists},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.broken(patient)
			c.do(w, a)
			w.refused(c.want, regulator, contract.AccessRecover, recovering(a))
		})
	}
	t.Run("a permit by consent", func(t *testing.T) {
		w := newWorld(t)
		w.refused(refusal.NotPermitted, regulator, contract.AccessRecover, recovering(w.permitted(patient)))
	})
	t.Run("a permit that isn't there", func(t *testing.T) {
		w := newWorld(t)
		a := w.broken(patient)
		a.ID = w.id()
		w.refused(refusal.NotFound, regulator, contract.AccessRecover, recovering(a))
	})
	t.Run("by who holds shares too", func(t *testing.T) {
		w := newWorld(t)
		a := w.broken(patient)
		for _, who := range []string{hospitalA, hospitalB, insurer} {
			w.refused(refusal.KindNotAllowed, who, contract.AccessRecover, recovering(a))
		}
	})
}
