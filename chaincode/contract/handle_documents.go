package contract

import "yitong/chaincode/epoch"

// Announced is how the next epoch stands after an announcement.
type Announced struct {
	Announcements []epoch.Announcement `json:"announcements"`    // by evaluator
	Opened        *epoch.Epoch         `json:"opened,omitempty"` // if this was the last one missing
}

// CarryOrder carries the consents of a relationship of the calling custodian from one
// handle to another.
type CarryOrder struct {
	Requester string `json:"requester"`
	From      string `json:"from"`
	To        string `json:"to"`
}

// Accounting says how often the caller evaluated on a day, for up to MaxBatch members.
type Accounting struct {
	Day    string        `json:"day"` // YYYY-MM-DD, UTC
	Counts []Evaluations `json:"counts"`
}

// Evaluations is how often for one member.
type Evaluations struct {
	Member string `json:"member"`
	Count  int64  `json:"count"` // of the whole day so far
}

// Accounted is what the ledger has of the day now.
type Accounted struct {
	Counts []Evaluations `json:"counts"`
}

// Epochs is the calendar with those of its epochs that aren't over, the newest first, and
// what is announced for the next one.
type Epochs struct {
	epoch.Calendar
	Epochs    []epoch.Epoch        `json:"epochs"`
	Announced []epoch.Announcement `json:"announced,omitempty"`
}

// StandingQuery asks how up to MaxBatch handles of one relationship stand.
type StandingQuery struct {
	Custodian string   `json:"custodian"`
	Requester string   `json:"requester"`
	Handles   []string `json:"handles"`
}

// HandleState is how many consents stand under a handle, and where they were carried.
type HandleState struct {
	Handle   string         `json:"handle"`
	Consents int            `json:"consents"`
	Carried  *epoch.Carried `json:"carried,omitempty"`
}

// StandingList answers every handle, in order.
type StandingList struct {
	Handles []HandleState `json:"handles"`
}

// EvaluationsQuery asks for a page of what evaluators accounted for, by evaluator, member
// and day.
type EvaluationsQuery struct {
	Evaluator string `json:"evaluator,omitempty"`
	Member    string `json:"member,omitempty"` // only with an evaluator
	Bookmark  string `json:"bookmark,omitempty"`
	Size      int    `json:"size,omitzero"`
}

// EvaluationPage is one page of tallies.
type EvaluationPage struct {
	Tallies  []EvaluationTally `json:"tallies"`
	Bookmark string            `json:"bookmark,omitempty"`
}

// EvaluationTally is how often an evaluator evaluated for a member on a day.
type EvaluationTally struct {
	Evaluator string `json:"evaluator"`
	Member    string `json:"member"`
	Day       string `json:"day"`
	epoch.Tally
}
