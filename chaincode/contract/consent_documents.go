package contract

import (
	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/directive"
	"yitong/chaincode/record"
)

// Relationship is a patient's between a custodian and a requester: what a handle is good for.
type Relationship struct {
	Custodian string `json:"custodian"` // MSP id
	Requester string `json:"requester"` // MSP id
	Handle    string `json:"handle"`    // <epoch>-<64 hex digits>
}

// Grant puts a patient's new consent on the ledger as version 1. The caller is the custodian.
type Grant struct {
	ID        string            `json:"id"` // 32 hex digits, random: the idempotency key
	Requester string            `json:"requester"`
	Handle    string            `json:"handle"`
	Period    record.Period     `json:"period"` // in which the consent holds
	Provision consent.Provision `json:"provision"`
	Evidence  string            `json:"evidence"` // 64 hex digits: salted digest of the signed form

	access.Actor // who attests it
}

// Amendment replaces a consent, active or withdrawn, by its next version. The caller is
// the custodian.
type Amendment struct {
	ID        string            `json:"id"`
	Version   int               `json:"version"` // that this makes: one more than the present one
	Requester string            `json:"requester"`
	Handle    string            `json:"handle"`
	Period    record.Period     `json:"period"`
	Provision consent.Provision `json:"provision"`
	Evidence  string            `json:"evidence"`

	access.Actor // who attests it
}

// Withdrawal takes a consent back: what it permits lapses, what it denies stays denied.
// The caller is the custodian. It makes one more version.
type Withdrawal struct {
	ID        string `json:"id"`
	Requester string `json:"requester"`
	Handle    string `json:"handle"`
	Reason    string `json:"reason"` // code, 1 to 64 of [A-Za-z0-9.-]

	access.Actor // who attests it
}

// ConsentSet is the consents of one relationship as they stand, at most consent.MaxConsents, by id.
type ConsentSet struct {
	Consents []consent.Consent `json:"consents"`
}

// HistoryQuery asks for the versions of one consent, oldest first.
type HistoryQuery struct {
	Custodian string `json:"custodian"`
	Requester string `json:"requester"`
	Handle    string `json:"handle"`
	ID        string `json:"id"`
	Bookmark  string `json:"bookmark,omitempty"`
	Size      int    `json:"size,omitzero"`
}

// ConsentPage is one page of a consent's versions.
type ConsentPage struct {
	Versions []ConsentVersion `json:"versions"`
	Bookmark string           `json:"bookmark,omitempty"`
}

// ConsentVersion is a consent as it was in one version, and the reason where the version
// is a withdrawal.
type ConsentVersion struct {
	Consent consent.Consent `json:"consent"`
	Reason  string          `json:"reason,omitempty"`

	// Signed is the directive that made the version, if the patient or a delegate signed it.
	// It names the handle and the channel that it was signed for.
	Signed *directive.Signed `json:"signed,omitempty"`
	// Delegate is set if it was a delegate.
	Delegate bool `json:"delegate,omitzero"`

	// Carried is the handle that the consent stood under before, where the version is what
	// was carried here; those before it are found under that handle.
	Carried string `json:"carried,omitempty"`

	access.Actor // who attests the version, for the custodian; nobody of one that was signed or carried
}

// Directed is what a signed directive came to: a consent, or, of a rebind, the signer.
type Directed struct {
	Consent *consent.Consent  `json:"consent,omitempty"`
	Signer  *directive.Signer `json:"signer,omitempty"`
	Handle  string            `json:"handle"` // under which it stands: a withdrawal may name an earlier one
}

// Recovery puts a key in the place of a patient's lost one. The caller is the custodian, and
// attests that the key is the patient's.
type Recovery struct {
	Requester string        `json:"requester"`
	Handle    string        `json:"handle"`
	Key       directive.Key `json:"key"`
	Evidence  string        `json:"evidence"` // 64 hex digits: salted digest of the signed form

	access.Actor // who attests it, for the custodian
}

// SignerEntry is what a directive in a relationship has to fit: the ledger's channel, the consents
// as they stand, and who speaks for the patient, absent while no key is bound.
type SignerEntry struct {
	Channel  string            `json:"channel"`
	Consents []consent.Consent `json:"consents,omitempty"`
	Signer   *directive.Signer `json:"signer,omitempty"`
}

// ListQuery asks for a page of what lies between custodians and requesters. Custodians
// leave out custodian or name themselves, and may name a requester. Requesters name the
// custodian. A regulator may leave out both.
type ListQuery struct {
	Custodian string `json:"custodian,omitempty"`
	Requester string `json:"requester,omitempty"` // only with a custodian
	Bookmark  string `json:"bookmark,omitempty"`
	Size      int    `json:"size,omitzero"`
}

// RelationshipPage is one page of relationships with their consents as they stand.
type RelationshipPage struct {
	Relationships []RelationshipConsents `json:"relationships"`
	Bookmark      string                 `json:"bookmark,omitempty"`
}

// RelationshipConsents is a relationship and its consents.
type RelationshipConsents struct {
	Relationship
	Consents []consent.Consent `json:"consents"`
}
