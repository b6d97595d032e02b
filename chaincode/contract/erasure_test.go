package contract_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// anchored is a record of hospitalA's on the ledger.
func (w *world) anchored() contract.AnchorDraft {
	w.Helper()
	d := w.draft()
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{d}})
	return d
}

func (w *world) anchor(id string) record.Anchor {
	w.Helper()
	return ask[record.Anchor](w, insurer, contract.RecordRecord, contract.RecordQuery{Custodian: hospitalA, ID: id})
}

func TestAnErasedRecordStaysErased(t *testing.T) {
	w := newWorld(t)
	d := w.anchored()
	erase := contract.Erasing{ID: d.ID, Reason: record.PatientRequest}
	w.refused(refusal.NotFound, hospitalB, contract.RecordErase, erase)
	part := contract.Erasing{ID: d.ID, Reason: record.RetentionOver, Parts: []int{2}}
	if a := into[record.Anchor](t, w.must(hospitalA, contract.RecordErase, part).Response); a.Status != record.Anchored || !a.Erasure.Covers(2) || a.Erasure.Covers(1) {
		t.Errorf("a part erased: %+v of %+v", a.Erasure, a)
	}
	first := w.must(hospitalA, contract.RecordErase, erase)
	w.Advance(minute)
	for _, again := range []contract.Erasing{erase, part, {ID: d.ID, Reason: record.LegalOrder}} {
		if tx := w.must(hospitalA, contract.RecordErase, again); len(tx.RWSet.Writes) != 0 || string(tx.Response) != string(first.Response) {
			t.Errorf("erased again: %s with writes %q", tx.Response, tx.Writes())
		}
	}
	if a := w.anchor(d.ID); a.Status != record.Erased || a.Root != d.Root || a.Erasure.Number != 2 || a.Erasure.Reason != record.PatientRequest {
		t.Errorf("the tombstone is %+v, %+v", a, a.Erasure)
	}
	w.refused(record.Gone, hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{d}})
	w.refused(record.Gone, hospitalA, contract.RecordRetract, contract.Retraction{ID: d.ID, Reason: record.EnteredInError})
	w.refused(record.Gone, regulator, contract.RecordHold, contract.Holding{Custodian: hospitalA, ID: d.ID, Reason: "case-7"})
	next := w.draft()
	next.Supersedes = d.ID
	w.refused(record.Gone, hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{next}})
	w.refused(refusal.NotFound, hospitalA, contract.RecordErase, contract.Erasing{ID: w.id(), Reason: record.PatientRequest})
	w.refused(refusal.Malformed, hospitalA, contract.RecordErase, contract.Erasing{ID: w.anchored().ID, Reason: record.PatientRequest, Parts: []int{3}})
}

func TestAHeldRecordIsNotErasedWhateverTheReason(t *testing.T) {
	w := newWorld(t)
	d := w.anchored()
	hold := contract.Holding{Custodian: hospitalA, ID: d.ID, Reason: "case-7"}
	w.refused(refusal.NotFound, regulator, contract.RecordHold, contract.Holding{Custodian: hospitalB, ID: d.ID, Reason: "case-7"})
	w.refused(refusal.Malformed, regulator, contract.RecordHold, contract.Holding{Custodian: hospitalA, ID: d.ID, Reason: "Mr Wang's case"})
	w.must(regulator, contract.RecordHold, hold)
	if tx := w.must(regulator, contract.RecordHold, hold); len(tx.RWSet.Writes) != 0 {
		t.Errorf("held again with writes %q", tx.Writes())
	}
	for _, reason := range []record.Reason{record.PatientRequest, record.RetentionOver, record.LegalOrder, record.EnteredInError, record.WrongPatient} {
		for _, parts := range [][]int{nil, {0}} {
			_, err := w.try(hospitalA, contract.RecordErase, contract.Erasing{ID: d.ID, Reason: reason, Parts: parts})
			w.wantRefusal(record.OnHold, err)
			r, _ := refusal.Parse(err.Error())
			if !strings.Contains(r.Message, regulator) || !strings.Contains(r.Message, "case-7") || !strings.Contains(r.Allowed, regulator) {
				t.Errorf("the refusal is %v", r)
			}
		}
	}
	if page := ask[contract.HoldPage](w, hospitalA, contract.RecordHolds, contract.HoldsQuery{Custodian: hospitalA}); len(page.Holds) != 1 || page.Holds[0].Record != d.ID {
		t.Errorf("holds %+v", page)
	}
	if page := ask[contract.HoldPage](w, hospitalA, contract.RecordHolds, contract.HoldsQuery{Custodian: hospitalA, ID: w.anchored().ID}); len(page.Holds) != 0 {
		t.Errorf("holds on another record %+v", page)
	}
	w.must(regulator, contract.RecordUnhold, contract.Unholding{Custodian: hospitalA, ID: d.ID})
	if tx := w.must(regulator, contract.RecordUnhold, contract.Unholding{Custodian: hospitalA, ID: d.ID}); len(tx.RWSet.Writes) != 0 {
		t.Errorf("lifted again with writes %q", tx.Writes())
	}
	w.must(hospitalA, contract.RecordErase, contract.Erasing{ID: d.ID, Reason: record.PatientRequest})
}

func TestAHoldEndsByItself(t *testing.T) {
	w := newWorld(t)
	d := w.anchored()
	w.must(regulator, contract.RecordHold, contract.Holding{Custodian: hospitalA, ID: d.ID, Reason: "case-7", Until: w.clock() + 3600})
	w.refused(record.OnHold, hospitalA, contract.RecordErase, contract.Erasing{ID: d.ID, Reason: record.PatientRequest})
	w.Advance(time.Hour)
	w.must(hospitalA, contract.RecordErase, contract.Erasing{ID: d.ID, Reason: record.PatientRequest})
}

// An erasure and a hold in one block read each other: whichever comes second is taken again.
func TestAnErasureAndAHoldInOneBlockDontPassEachOther(t *testing.T) {
	for name, order := range map[string][2]int{"the hold first": {0, 1}, "the erasure first": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.anchored()
			both := []*ledgertest.Tx{
				w.endorse(regulator, contract.RecordHold, contract.Holding{Custodian: hospitalA, ID: d.ID, Reason: "case-7"}),
				w.endorse(hospitalA, contract.RecordErase, contract.Erasing{ID: d.ID, Reason: record.PatientRequest}),
			}
			if codes := w.Commit(both[order[0]], both[order[1]]); codes[0] != valid || codes[1] != mvcc {
				t.Errorf("codes %v", codes)
			}
		})
	}
}

// Who must endorse: a custodian can't stop a hold that binds it, and nobody erases past the custodian.
func TestWhoEndorsesErasuresAndHolds(t *testing.T) {
	w := newWorld(t)
	d := w.anchored()
	others := []string{hospitalB, insurer, regulator}
	with := func(who, function string, arg any, endorsers ...string) bool {
		t.Helper()
		tx, err := w.Endorse(w.Context(), w.Client(who), endorsers, function, text(t, arg))
		if err != nil {
			t.Fatal(err)
		}
		return w.Commit(tx)[0] == valid
	}
	erase := contract.Erasing{ID: d.ID, Reason: record.PatientRequest}
	if with(hospitalA, contract.RecordErase, erase, others...) {
		t.Error("erased without the custodian's endorsement")
	}
	if !with(regulator, contract.RecordHold, contract.Holding{Custodian: hospitalA, ID: d.ID, Reason: "case-7"}, others...) {
		t.Error("the custodian prevents a hold by not endorsing it")
	}
	if !with(regulator, contract.RecordUnhold, contract.Unholding{Custodian: hospitalA, ID: d.ID}, others...) {
		t.Error("the custodian prevents the end of a hold")
	}
	if !with(hospitalA, contract.RecordErase, erase, hospitalA, hospitalB, regulator) {
		t.Error("custodian and majority don't suffice to erase")
	}
	if !with(insurer, contract.RecordAcknowledge, contract.Acknowledging{Custodian: hospitalA, ID: d.ID, Erasure: 1, Fate: record.Deleted}, others...) {
		t.Error("the custodian prevents an acknowledgement")
	}
}

func TestRequestersAcknowledge(t *testing.T) {
	w := newWorld(t)
	d := w.anchored()
	word := contract.Acknowledging{Custodian: hospitalA, ID: d.ID, Erasure: 1, Fate: record.Retained, Ground: record.LegalObligation}
	w.refused(refusal.WrongState, insurer, contract.RecordAcknowledge, word)
	w.must(hospitalA, contract.RecordErase, contract.Erasing{ID: d.ID, Reason: record.PatientRequest})
	first := w.must(insurer, contract.RecordAcknowledge, word)
	w.Advance(minute)
	if again := w.must(insurer, contract.RecordAcknowledge, word); len(again.RWSet.Writes) != 0 || string(again.Response) != string(first.Response) {
		t.Errorf("acknowledged again: %s with writes %q", again.Response, again.Writes())
	}
	word.Fate, word.Ground = record.Deleted, ""
	w.must(insurer, contract.RecordAcknowledge, word)
	w.must(hospitalB, contract.RecordAcknowledge, word)
	w.refused(refusal.NotRequester, hospitalA, contract.RecordAcknowledge, word)
	word.Fate, word.Ground = record.Retained, record.LegalClaims
	w.refused(refusal.Exists, insurer, contract.RecordAcknowledge, word)
	word.ID = w.id()
	w.refused(refusal.NotFound, insurer, contract.RecordAcknowledge, word)

	query := contract.AcknowledgementsQuery{Custodian: hospitalA, ID: d.ID}
	for who, want := range map[string][]string{
		hospitalA: {hospitalB, insurer}, regulator: {hospitalB, insurer}, insurer: {insurer}, hospitalB: {hospitalB},
	} {
		var got []string
		for _, a := range ask[contract.AcknowledgementPage](w, who, contract.RecordAcknowledgements, query).Acknowledgements {
			got = append(got, a.Requester)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s sees the words of %q, want %q", who, got, want)
		}
	}
	query.ID = ""
	if got := ask[contract.AcknowledgementPage](w, regulator, contract.RecordAcknowledgements, query).Acknowledgements; len(got) != 2 {
		t.Errorf("of all records %+v", got)
	}
	_, err := w.Evaluate(w.Context(), w.Client(insurer), insurer, contract.RecordAcknowledgements, text(t, query))
	w.wantRefusal(refusal.NotCustodian, err)
}

// A list of no parts is no word for all of them: what is erased is gone for good.
func TestAnEmptyListOfPartsErasesNothing(t *testing.T) {
	w := newWorld(t)
	d := w.anchored()
	w.refused(refusal.Malformed, hospitalA, contract.RecordErase, `{"id":"`+d.ID+`","reason":"patient-request","parts":[]}`)
	if a := w.anchor(d.ID); a.Erasure != nil {
		t.Errorf("erased: %+v", a.Erasure)
	}
}
