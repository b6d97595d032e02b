package replaytest

import (
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
)

// Erasures adds the life of one record to its end: anchored, a part erased, held, unheld, erased, and
// acknowledged by a requester, each in a block of its own.
func (c *Chain) Erasures() {
	c.t.Helper()
	const hospital = "HospitalA"
	id := c.id(16)
	for _, step := range []struct {
		by, function string
		in           any
	}{
		{hospital, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{{ID: id, Root: record.Hash{1}, Parts: 3, Bytes: 100}}}},
		{hospital, contract.RecordErase, contract.Erasing{ID: id, Reason: record.RetentionOver, Parts: []int{1}}},
		{"Regulator", contract.RecordHold, contract.Holding{Custodian: hospital, ID: id, Reason: "case-7"}},
		{"Regulator", contract.RecordUnhold, contract.Unholding{Custodian: hospital, ID: id}},
		{hospital, contract.RecordErase, contract.Erasing{ID: id, Reason: record.PatientRequest}},
		{"Insurer", contract.RecordAcknowledge, contract.Acknowledging{Custodian: hospital, ID: id, Erasure: 2, Fate: record.Deleted}},
	} {
		if code := c.Commit(c.Propose(step.by, step.function, text(step.in)))[0]; code != 0 {
			c.t.Fatalf("replaytest: %s is %s", step.function, code)
		}
	}
}
