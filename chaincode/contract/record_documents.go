package contract

import (
	"yitong/chaincode/access"
	"yitong/chaincode/record"
)

// Anchoring anchors up to MaxBatch records of the caller: all or none of them.
type Anchoring struct {
	Records []AnchorDraft `json:"records"`
}

// AnchorDraft is what the custodian says of a record it anchors.
type AnchorDraft struct {
	ID         string      `json:"id"`                   // 32 hex digits, random: the idempotency key
	Root       record.Hash `json:"root"`                 // 64 hex digits
	Parts      int         `json:"parts"`                // leaves under the root
	Bytes      int64       `json:"bytes"`                // sealed
	Supersedes string      `json:"supersedes,omitempty"` // id of the record that this one replaces
	Escrow     record.Hash `json:"escrow,omitzero"`      // 64 hex digits: salted digest of how the part keys are escrowed

	access.Actor // who submitted it
}

// RecordState is an anchor as the ledger holds it, and who made its latest change.
type RecordState struct {
	record.Anchor
	access.Actor
}

// AnchorList is anchors in the order they were given.
type AnchorList struct {
	Records []record.Anchor `json:"records"`
}

// Retraction ends a record of the caller's.
type Retraction struct {
	ID     string        `json:"id"`
	Reason record.Reason `json:"reason"`

	access.Actor // who retracted it
}

// RecordQuery asks for one anchor.
type RecordQuery struct {
	Custodian string `json:"custodian"`
	ID        string `json:"id"`
}

// AnchorQuery asks for up to MaxBatch anchors of one custodian. The answer leaves out
// those that it hasn't anchored.
type AnchorQuery struct {
	Custodian string   `json:"custodian"`
	IDs       []string `json:"ids"`
}

// RecordsQuery asks for a custodian's anchors, by id.
type RecordsQuery struct {
	Custodian string `json:"custodian"`
	Bookmark  string `json:"bookmark,omitempty"` // of the page before; "" for the first
	Size      int    `json:"size,omitzero"`      // 1 to MaxPage; 0 is DefaultPage
}

// AnchorPage is one page of anchors. An empty bookmark means that it was the last.
type AnchorPage struct {
	Records  []record.Anchor `json:"records"`
	Bookmark string          `json:"bookmark,omitempty"`
}
