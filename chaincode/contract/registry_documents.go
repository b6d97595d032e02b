package contract

import (
	"yitong/chaincode/access"
	"yitong/chaincode/registry"
)

// Nothing is the argument of a function that needs none: {}.
type Nothing struct{}

// Founding lists the first members, the caller among them. Only the first founding of a
// ledger counts; the same list again answers the same.
type Founding struct {
	Members []registry.Candidate `json:"members"` // 1 to 64
}

// Moving votes for a motion, which is who votes nothing to: the same motion by whomever is one.
type Moving struct {
	registry.Motion
	access.Actor // who votes, for the member
}

// Updating changes the caller's own entry.
type Updating struct {
	registry.Update
	access.Actor // who changes it, for the member
}

// Moved says how a motion stands after a vote.
type Moved struct {
	Motion  string   `json:"motion"`  // its id, 64 hex digits
	Votes   []string `json:"votes"`   // MSP ids; empty if the effect held before
	Needed  int      `json:"needed"`  // votes for it to take effect
	Carried bool     `json:"carried"` // whether it has
}

// Closing closes all minutes up to and including one.
type Closing struct {
	Through int64 `json:"through"` // minutes since 1970 UTC
}

// MemberQuery asks for one member.
type MemberQuery struct {
	MSP string `json:"msp"`
}

// MemberEntry is a member with its public keys.
type MemberEntry struct {
	Member registry.Member `json:"member"`
	Keys   registry.Keys   `json:"keys"`
}

// MemberList is all members, suspended ones too, by MSP id.
type MemberList struct {
	Members []registry.Member `json:"members"`
}
