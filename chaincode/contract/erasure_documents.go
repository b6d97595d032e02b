package contract

import (
	"yitong/chaincode/access"
	"yitong/chaincode/record"
)

// Erasing erases parts of a record of the caller's, the whole of it if none are named.
type Erasing struct {
	ID     string        `json:"id"`
	Reason record.Reason `json:"reason"`
	Parts  []int         `json:"parts,omitempty"` // indices, ascending

	access.Actor // who had it erased
}

// Holding puts the calling regulator's legal hold on a record, or changes it.
type Holding struct {
	Custodian string         `json:"custodian"`
	ID        string         `json:"id"`
	Reason    string         `json:"reason"`         // a code
	Until     record.Instant `json:"until,omitzero"` // exclusive; none: until it is lifted

	access.Actor // who puts it, for the regulator
}

// Unholding lifts the calling regulator's hold.
type Unholding struct {
	Custodian string `json:"custodian"`
	ID        string `json:"id"`

	access.Actor // who lifts it, for the regulator
}

// HoldList is the holds on a record, by regulator.
type HoldList struct {
	Holds record.Holds `json:"holds"`
}

// Acknowledging says what became of what the calling requester had opened of a record.
type Acknowledging struct {
	Custodian string        `json:"custodian"`
	ID        string        `json:"id"`
	Erasure   int           `json:"erasure"` // number of the newest it speaks of
	Fate      record.Fate   `json:"fate"`
	Ground    record.Ground `json:"ground,omitempty"`

	access.Actor // who says so
}

// HoldsQuery asks for holds on a custodian's records, by id: on one, or a page of all. Holds that
// have ended by themselves are among them. The custodian and the regulators see them.
type HoldsQuery struct {
	Custodian string `json:"custodian"`
	ID        string `json:"id,omitempty"`
	Bookmark  string `json:"bookmark,omitempty"`
	Size      int    `json:"size,omitzero"`
}

// HoldPage is one page of holds. Size counts records, of which each may have several.
type HoldPage struct {
	Holds    record.Holds `json:"holds"`
	Bookmark string       `json:"bookmark,omitempty"`
}

// AcknowledgementsQuery asks what requesters said to the erasures of one record, or of all of a
// custodian's. The custodian and the regulators see all, a requester its own on one record.
type AcknowledgementsQuery struct {
	Custodian string `json:"custodian"`
	ID        string `json:"id,omitempty"`
	Bookmark  string `json:"bookmark,omitempty"`
	Size      int    `json:"size,omitzero"`
}

// AcknowledgementPage is one page of acknowledgements, by record and requester.
type AcknowledgementPage struct {
	Acknowledgements []record.Acknowledgement `json:"acknowledgements"`
	Bookmark         string                   `json:"bookmark,omitempty"`
}
