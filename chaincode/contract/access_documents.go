package contract

import (
	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
)

// Releasing releases up to MaxBatch permits of the calling custodian, each on its own.
type Releasing struct {
	Releases []ReleaseOrder `json:"releases"`
}

// ReleaseOrder releases one permit. Requester and handle are those of the permit; they
// are named so that everything is read in one round trip, and checked against it.
type ReleaseOrder struct {
	Permit    string `json:"permit"` // id of the request
	Requester string `json:"requester"`
	Handle    string `json:"handle"`
	Manifest  string `json:"manifest"` // 64 hex digits: salted digest
	// Carried are the handles that the permit's was carried to since, in order; none if it
	// wasn't. The consents of the last one are what the release rests on.
	Carried []string `json:"carried,omitempty"`
	// Emergency says that the permit is a break-glass one: its review is read too.
	Emergency bool `json:"emergency,omitzero"`
}

// Released answers every order, in order. Only what has a release was released. When
// nothing was, the transaction is refused instead, with the first order's refusal.
type Released struct {
	Results []ReleaseResult `json:"results"`
}

// ReleaseResult is a release or the refusal of one: exactly one of the two is there.
type ReleaseResult struct {
	Permit  string           `json:"permit"`
	Release *access.Release  `json:"release,omitempty"`
	Refusal *refusal.Refusal `json:"refusal,omitempty"`
}

// Receiving records up to MaxBatch receipts of the calling requester, each on its own.
type Receiving struct {
	Receipts []ReceiptOrder `json:"receipts"`
}

// ReceiptOrder records one receipt.
type ReceiptOrder struct {
	Permit    string         `json:"permit"`
	Custodian string         `json:"custodian"`
	Manifest  string         `json:"manifest"`
	Outcome   access.Opening `json:"outcome"` // opened or failed
	// Recovered says that it came out of escrow: it answers to a recovery, not a release.
	Recovered    bool `json:"recovered,omitzero"`
	access.Actor      // who opened
}

// Received answers every receipt, in order, as Released does.
type Received struct {
	Results []ReceiptResult `json:"results"`
}

// ReceiptResult is a receipt or the refusal of one: exactly one of the two is there.
type ReceiptResult struct {
	Permit  string           `json:"permit"`
	Receipt *access.Receipt  `json:"receipt,omitempty"`
	Refusal *refusal.Refusal `json:"refusal,omitempty"`
}

// AccessQuery asks for up to MaxBatch accesses of one requester to one custodian.
type AccessQuery struct {
	Custodian string   `json:"custodian"`
	Requester string   `json:"requester"`
	IDs       []string `json:"ids"`
}

// AccessEntry is an access with its release, receipt and review where they exist. In an
// AccessList, access is absent for an id that is not on the ledger.
type AccessEntry struct {
	ID      string          `json:"id"`
	Access  *access.Access  `json:"access,omitempty"`
	Release *access.Release `json:"release,omitempty"`
	Receipt *access.Receipt `json:"receipt,omitempty"`
	Review  *access.Review  `json:"review,omitempty"` // of a break-glass access

	Recovery *access.Recovery `json:"recovery,omitempty"` // from escrow, in the custodian's place
}

// AccessList answers every id, in order.
type AccessList struct {
	Accesses []AccessEntry `json:"accesses"`
}

// AccessPage is one page of accesses, by custodian, requester and id.
type AccessPage struct {
	Accesses []AccessEntry `json:"accesses"`
	Bookmark string        `json:"bookmark,omitempty"`
}
