package contract_test

import (
	"strings"
	"testing"

	"yitong/chaincode/contract"
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
