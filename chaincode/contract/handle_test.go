package contract_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/epoch"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// roll has both evaluators announce an epoch, which opens it.
func (w *world) roll(n int, overlap int64) {
	w.Helper()
	for i, evaluator := range []string{hospitalA, regulator} {
		draft := epoch.Draft{Epoch: n, Key: *evaluatorKey(byte(2*n + i)), Overlap: overlap}
		got := into[contract.Announced](w, w.must(evaluator, contract.HandleAnnounce, draft).Response)
		if (got.Opened != nil) != (i == 1) {
			w.Fatalf("announcement %d of epoch %d: %+v", i+1, n, got)
		}
	}
}

func (w *world) carry(from, to string) epoch.Carried {
	w.Helper()
	return into[epoch.Carried](w, w.must(hospitalA, contract.HandleCarry, contract.CarryOrder{Requester: insurer, From: from, To: to}).Response)
}

func (w *world) consentsOf(handle string) []consent.Consent {
	w.Helper()
	return ask[contract.ConsentSet](w, hospitalA, contract.ConsentConsents, contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: handle}).Consents
}

var second, third = "2" + patient[1:], "3" + patient[1:]

func TestTheFoundingOpensTheFirstEpoch(t *testing.T) {
	w := newWorld(t)
	got := ask[contract.Epochs](w, insurer, contract.HandleEpochs, contract.Nothing{})
	if got.Latest != 1 || len(got.Epochs) != 1 || !slices.Equal(got.Epochs[0].MSPs(), []string{hospitalA, regulator}) {
		t.Errorf("%+v", got)
	}
	// The same founding again is answered; one with another evaluator's key isn't the same.
	w.must(hospitalB, contract.RegistryFound, founding())
	other := founding()
	other.Members[0].Evaluator = evaluatorKey(9)
	w.refused(refusal.Exists, hospitalB, contract.RegistryFound, other)

	bare := unfounded(t)
	none := founding()
	for i := range none.Members {
		none.Members[i].Evaluator = nil
	}
	bare.refused(epoch.TooFew, hospitalA, contract.RegistryFound, none)
	short := founding()
	short.Members[0].Evaluator = &registry.Key{ID: "e", Public: make([]byte, 31)}
	bare.refused(refusal.Malformed, hospitalA, contract.RegistryFound, short)
}

func TestAHandleOfAnEpochThatIsNotOpenIsOfNoUse(t *testing.T) {
	w := newWorld(t)
	w.refused(epoch.Unknown, hospitalA, contract.ConsentGrant, w.grantFor(insurer, second))
	w.refused(epoch.Unknown, insurer, contract.AccessRequest, w.requestFor(insurer, second))
	grant := w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, grant)
	request := w.requestFor(insurer, patient)
	permit := into[access.Access](t, w.must(insurer, contract.AccessRequest, request).Response)
	late := w.permit(patient)

	w.roll(2, 3600)
	w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, other)) // in the overlap
	w.must(insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	w.must(hospitalA, contract.AccessRelease, releaseOf(permit))

	w.Advance(time.Hour)
	for what, refused := range map[string]func(){
		"grant":   func() { w.refused(epoch.Ended, hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient)) },
		"request": func() { w.refused(epoch.Ended, insurer, contract.AccessRequest, w.requestFor(insurer, patient)) },
		"release": func() { w.refused(epoch.Ended, hospitalA, contract.AccessRelease, releaseOf(late)) },
		"amend": func() {
			w.refused(epoch.Ended, hospitalA, contract.ConsentAmend, contract.Amendment{ID: grant.ID, Version: 2, Requester: insurer, Handle: patient, Provision: grant.Provision, Evidence: digest})
		},
	} {
		t.Log(what)
		refused()
	}
	_, err := w.try(insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	if err == nil || !strings.Contains(err.Error(), "the present one is 2") {
		t.Errorf("the refusal doesn't say the present epoch: %v", err)
	}
	// What was answered before is answered still, and a withdrawal is welcome at any time.
	w.must(insurer, contract.AccessRequest, request)
	w.must(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: grant.ID, Requester: insurer, Handle: patient, Reason: "patient-request"})
}

func TestCarryingKeepsWhatStandsAndRevivesNothing(t *testing.T) {
	w := newWorld(t)
	kept, gone := w.grantFor(insurer, patient), w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, kept)
	w.must(hospitalA, contract.ConsentGrant, gone)
	amended := contract.Amendment{ID: kept.ID, Version: 2, Requester: insurer, Handle: patient, Provision: kept.Provision, Evidence: digest}
	w.must(hospitalA, contract.ConsentAmend, amended)
	w.must(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: gone.ID, Requester: insurer, Handle: patient, Reason: "patient-request"})
	before := w.consentsOf(patient)
	live := w.permit(patient)
	w.roll(2, 3600)

	if got := w.carry(patient, second); got.To != second {
		t.Fatalf("carried to %+v", got)
	}
	if tx := w.must(hospitalA, contract.HandleCarry, contract.CarryOrder{Requester: insurer, From: patient, To: second}); len(tx.RWSet.Writes) != 0 {
		t.Errorf("carried again, it writes %q", tx.Writes())
	}
	if got := w.consentsOf(second); text(t, got) != text(t, before) {
		t.Errorf("under the new handle stand %+v, stood %+v", got, before)
	}
	if got := w.consentsOf(patient); len(got) != 0 {
		t.Errorf("under the old handle stand %+v", got)
	}
	standing := ask[contract.StandingList](w, insurer, contract.HandleStanding, contract.StandingQuery{Custodian: hospitalA, Requester: insurer, Handles: []string{patient, second}}).Handles
	if standing[0].Carried == nil || standing[0].Carried.To != second || standing[0].Consents != 0 || standing[1].Consents != 2 || standing[1].Carried != nil {
		t.Errorf("they stand %+v", standing)
	}

	// The old handle takes nothing more: no grant, no revival by the old version, no request,
	// no withdrawal that would be lost.
	w.refused(epoch.CarriedAway, hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
	revived := contract.Amendment{ID: gone.ID, Version: 3, Requester: insurer, Handle: patient, Provision: gone.Provision, Evidence: digest}
	w.refused(epoch.CarriedAway, hospitalA, contract.ConsentAmend, revived)
	w.refused(epoch.CarriedAway, insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	w.refused(epoch.CarriedAway, hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: kept.ID, Requester: insurer, Handle: patient, Reason: "patient-request"})
	again := gone
	again.Handle = second
	w.refused(refusal.VersionConflict, hospitalA, contract.ConsentGrant, again)
	w.refused(refusal.Exists, hospitalA, contract.HandleCarry, contract.CarryOrder{Requester: insurer, From: patient, To: "2" + other[1:]})

	// A permit from before is released by naming the way, and by that way alone.
	order := releaseOf(live)
	w.refused(epoch.CarriedAway, hospitalA, contract.AccessRelease, order)
	order.Releases[0].Carried = []string{"2" + other[1:]}
	w.refused(refusal.NotFound, hospitalA, contract.AccessRelease, order)
	order.Releases[0].Carried = []string{second}
	w.must(hospitalA, contract.AccessRelease, order)

	// The new one lives on: requests, amendments, withdrawals; a withdrawal there holds.
	w.permit(second)
	w.must(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: kept.ID, Requester: insurer, Handle: second, Reason: "patient-request"})
	if a := into[access.Access](t, w.must(insurer, contract.AccessRequest, w.requestFor(insurer, second)).Response); a.Permitted() {
		t.Error("permitted after both were withdrawn")
	}
	versions := ask[contract.ConsentPage](w, insurer, contract.ConsentHistory, contract.HistoryQuery{Custodian: hospitalA, Requester: insurer, Handle: second, ID: kept.ID}).Versions
	if len(versions) != 2 || versions[0].Consent.Version != 2 || versions[0].Carried != patient || versions[1].Consent.Version != 3 {
		t.Errorf("its history goes on as %+v", versions)
	}
}

func TestAWithdrawalAndACarryingDoNotPassEachOther(t *testing.T) {
	w := newWorld(t)
	grant := w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, grant)
	w.roll(2, 3600)
	carry := w.endorse(hospitalA, contract.HandleCarry, contract.CarryOrder{Requester: insurer, From: patient, To: second})
	withdrawal := w.endorse(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: grant.ID, Requester: insurer, Handle: patient, Reason: "patient-request"})
	codes := w.Commit(withdrawal, carry)
	if codes[0] != 0 || codes[1] == 0 {
		t.Errorf("both in one block: %v", codes)
	}
}

func TestAPermitIsReleasedAlongALongWay(t *testing.T) {
	w := newWorld(t)
	w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
	live := w.permit(patient)
	w.roll(2, 0)
	w.carry(patient, second)
	w.roll(3, 0)
	w.carry(second, third)
	order := releaseOf(live)
	order.Releases[0].Carried = []string{third} // not the whole way
	w.refused(refusal.NotFound, hospitalA, contract.AccessRelease, order)
	order.Releases[0].Carried = []string{second} // not to its end
	w.refused(epoch.CarriedAway, hospitalA, contract.AccessRelease, order)
	order.Releases[0].Carried = []string{second, third}
	w.must(hospitalA, contract.AccessRelease, order)
}

func TestWhatCanNotBeCarried(t *testing.T) {
	w := newWorld(t)
	one := w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, one)
	w.refused(epoch.Unknown, hospitalA, contract.HandleCarry, contract.CarryOrder{Requester: insurer, From: patient, To: second})
	w.roll(2, 3600)
	w.refused(refusal.Malformed, hospitalA, contract.HandleCarry, contract.CarryOrder{Requester: insurer, From: patient, To: other})
	w.refused(refusal.NotFound, hospitalA, contract.HandleCarry, contract.CarryOrder{Requester: "Nobody", From: patient, To: second})
	twin := one
	twin.Handle = second
	w.must(hospitalA, contract.ConsentGrant, twin)
	w.refused(refusal.Exists, hospitalA, contract.HandleCarry, contract.CarryOrder{Requester: insurer, From: patient, To: second})
	// An empty one can: it may have live permits without a consent, of an emergency.
	w.carry(other, "2"+other[1:])
	// Needs the custodian's endorsement, like every consent.
	tx, err := w.Endorse(w.Context(), w.Client(hospitalA), []string{hospitalB, insurer, regulator}, contract.HandleCarry,
		text(t, contract.CarryOrder{Requester: insurer, From: "1-" + strings.Repeat("ee", 32), To: "2-" + strings.Repeat("ee", 32)}))
	if err != nil {
		t.Fatal(err)
	}
	if codes := w.Commit(tx); codes[0] == 0 {
		t.Error("carried without the custodian's endorsement")
	}
}

func TestEvaluatorsAccount(t *testing.T) {
	w := newWorld(t)
	day := w.Now().UTC().Format(time.DateOnly)
	account := func(n int64) contract.Accounting {
		return contract.Accounting{Day: day, Counts: []contract.Evaluations{{Member: insurer, Count: n}, {Member: hospitalB, Count: 1}}}
	}
	w.must(regulator, contract.HandleAccount, account(5))
	if tx := w.must(regulator, contract.HandleAccount, account(5)); len(tx.RWSet.Writes) != 0 {
		t.Errorf("the same counts again write %q", tx.Writes())
	}
	w.must(regulator, contract.HandleAccount, account(7))
	w.refused(refusal.Malformed, regulator, contract.HandleAccount, account(6))
	for _, bad := range []string{"", "2026-13-01", w.Now().Add(48 * time.Hour).UTC().Format(time.DateOnly), w.Now().Add(-40 * 24 * time.Hour).UTC().Format(time.DateOnly)} {
		a := account(8)
		a.Day = bad
		w.refused(refusal.Malformed, regulator, contract.HandleAccount, a)
	}
	got := ask[contract.EvaluationPage](w, insurer, contract.HandleEvaluations, contract.EvaluationsQuery{Evaluator: regulator, Member: insurer}).Tallies
	if len(got) != 1 || got[0].Count != 7 || got[0].Day != day || got[0].Evaluator != regulator || got[0].Member != insurer {
		t.Errorf("the ledger has %+v", got)
	}
	if all := ask[contract.EvaluationPage](w, insurer, contract.HandleEvaluations, contract.EvaluationsQuery{}).Tallies; len(all) != 2 {
		t.Errorf("the ledger has %+v", all)
	}
}

func TestAnEpochOpensWithoutAnEvaluatorSuspendedMeanwhile(t *testing.T) {
	w := unfounded(t)
	three := founding()
	three.Members[1].Evaluator = evaluatorKey(1) // hospitalB
	w.must(hospitalA, contract.RegistryFound, three)
	announce := func(who string, b byte) contract.Announced {
		return into[contract.Announced](t, w.must(who, contract.HandleAnnounce, epoch.Draft{Epoch: 2, Key: *evaluatorKey(b), Overlap: 3600}).Response)
	}
	announce(hospitalA, 4)
	announce(regulator, 5)
	w.suspend(hospitalB)
	// Nobody names anybody: meant are the evaluators that are active.
	announce(hospitalA, 4)
	if got := announce(regulator, 5); got.Opened == nil || !slices.Equal(got.Opened.MSPs(), []string{hospitalA, regulator}) {
		t.Errorf("announced by both that are left: %+v", got)
	}
	if got := announce(hospitalA, 4); len(got.Announcements) != 2 { // again, after it opened
		t.Errorf("%+v", got)
	}
}

func TestOnlyEvaluationsForMembersAreAccountedFor(t *testing.T) {
	w := newWorld(t)
	day := w.Now().UTC().Format(time.DateOnly)
	w.refused(refusal.NotFound, regulator, contract.HandleAccount, contract.Accounting{Day: day, Counts: []contract.Evaluations{{Member: insurer, Count: 1}, {Member: "Nobody", Count: 1}}})
	if all := ask[contract.EvaluationPage](w, insurer, contract.HandleEvaluations, contract.EvaluationsQuery{}).Tallies; len(all) != 0 {
		t.Errorf("the ledger has %+v", all)
	}
}
