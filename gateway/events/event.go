package events

import (
	"slices"
	"strings"
	"time"

	"yitong/chaincode/refusal"
)

// Event is one thing that concerns the member. Its JSON is that of FeedEvent in
// events.proto, which says what each field means.
type Event struct {
	Position    Position  `json:"position"`
	ID          string    `json:"id"`
	Type        Type      `json:"type"`
	Role        Role      `json:"role"`
	Time        time.Time `json:"time"`
	Transaction string    `json:"transactionId,omitempty"`
	Member      string    `json:"member,omitempty"`
	Custodian   string    `json:"custodian,omitempty"`
	Requester   string    `json:"requester,omitempty"`
	Handle      string    `json:"handle,omitempty"`
	Object      string    `json:"object,omitempty"`
	Version     int       `json:"version,omitempty"`
	Outcome     string    `json:"outcome,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Purpose     string    `json:"purpose,omitempty"`
	Classes     []string  `json:"classes,omitempty"`
	Expires     time.Time `json:"expires,omitzero"`
}

// Type says what an event is.
type Type string

// The types.
const (
	AccessRequested Type = "access.requested"
	AccessDecided   Type = "access.decided"
	AccessReleased  Type = "access.released"
	AccessReceived  Type = "access.received"
	AccessRecovered Type = "access.recovered"
	AccessExpiring  Type = "access.expiring"

	ConsentGranted     Type = "consent.granted"
	ConsentAmended     Type = "consent.amended"
	ConsentWithdrawn   Type = "consent.withdrawn"
	ConsentTransferred Type = "consent.transferred"
	ConsentKeyBound    Type = "consent.key-bound"

	EmergencyOpened   Type = "emergency.opened"
	EmergencyAccepted Type = "emergency.accepted"
	EmergencyRejected Type = "emergency.rejected"
	EmergencyResolved Type = "emergency.resolved"

	RecordErased       Type = "record.erased"
	RecordAcknowledged Type = "record.acknowledged"
	RecordHeld         Type = "record.held"
	RecordUnheld       Type = "record.unheld"

	DisclosureOrdered   Type = "disclosure.ordered"
	DisclosureAnswered  Type = "disclosure.answered"
	DisclosureConcluded Type = "disclosure.concluded"

	MemberChanged Type = "member.changed"
	MemberMoved   Type = "member.moved"
	KeysChanged   Type = "keys.changed"
	KeysDue       Type = "keys.due"
	EpochOpened   Type = "epoch.opened"
)

// Types lists all types.
var Types = []Type{
	AccessRequested, AccessDecided, AccessReleased, AccessReceived, AccessRecovered, AccessExpiring,
	ConsentGranted, ConsentAmended, ConsentWithdrawn, ConsentTransferred, ConsentKeyBound,
	EmergencyOpened, EmergencyAccepted, EmergencyRejected, EmergencyResolved,
	RecordErased, RecordAcknowledged, RecordHeld, RecordUnheld,
	DisclosureOrdered, DisclosureAnswered, DisclosureConcluded,
	MemberChanged, MemberMoved, KeysChanged, KeysDue, EpochOpened,
}

// Role says what the member is in an event.
type Role string

// The roles.
const (
	Custodian Role = "custodian"
	Requester Role = "requester"
	Holder    Role = "holder" // who is ordered to disclose
	Regulator Role = "regulator"
	Member    Role = "member" // as all members are
)

// Filter is the types that are wanted: whole, or a group as "consent.*". None is all.
type Filter []string

// Check refuses (malformed) a filter that no event could ever pass, or that names too much.
func (f Filter) Check() error {
	if len(f) > len(Types) {
		return refusal.New(refusal.Malformed, "the filter names more types than there are", "each once, or none for all")
	}
	for _, want := range f {
		if !slices.ContainsFunc(Types, func(t Type) bool { return matches(want, t) }) {
			return refusal.New(refusal.Malformed, "the filter names a type of event that there isn't", "access.*, consent.*, emergency.*, record.*, disclosure.*, member.*, keys.*, epoch.*, or one of their types; events.proto lists them")
		}
	}
	return nil
}

// Wants says whether an event of the type passes.
func (f Filter) Wants(t Type) bool {
	return len(f) == 0 || slices.ContainsFunc(f, func(want string) bool { return matches(want, t) })
}

func matches(want string, t Type) bool {
	if group, ok := strings.CutSuffix(want, ".*"); ok {
		of, _, _ := strings.Cut(string(t), ".")
		return of == group
	}
	return want == string(t)
}
