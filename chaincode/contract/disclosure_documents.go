package contract

import (
	"yitong/chaincode/access"
	"yitong/chaincode/disclosure"
)

// Ordering is a regulator's order, and who gives it.
type Ordering struct {
	disclosure.Draft
	access.Actor
}

// Answering records a holder's answer. The caller is the holder.
type Answering struct {
	Order     string          `json:"order"`     // id
	Regulator string          `json:"regulator"` // MSP id of who ordered
	Word      disclosure.Word `json:"word"`      // given or refused
	Reason    string          `json:"reason,omitempty"`

	access.Actor // who answers, for the holder
}

// Concluding records a regulator's conclusion. The caller is the regulator that ordered.
type Concluding struct {
	Order   string             `json:"order"`   // id
	Holder  string             `json:"holder"`  // MSP id of who was ordered
	Outcome disclosure.Outcome `json:"outcome"` // disclosed, refused or mismatch

	access.Actor // who concludes
}

// DisclosureQuery asks for one order and what came of it.
type DisclosureQuery struct {
	Holder    string `json:"holder"`
	Regulator string `json:"regulator"`
	Order     string `json:"order"` // id
}

// DisclosuresQuery asks for a page of orders. Holders leave out holder or name themselves;
// a regulator may leave it out for all.
type DisclosuresQuery struct {
	Holder    string `json:"holder,omitempty"`
	Regulator string `json:"regulator,omitempty"` // only with a holder
	Bookmark  string `json:"bookmark,omitempty"`
	Size      int    `json:"size,omitzero"`
}

// DisclosurePage is one page of orders, by holder, regulator and id.
type DisclosurePage struct {
	Disclosures []disclosure.Disclosure `json:"disclosures"`
	Bookmark    string                  `json:"bookmark,omitempty"`
}
