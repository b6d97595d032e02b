package projection

import (
	"strings"
	"time"

	"yitong/chaincode/consent"
)

// Entry is one thing that one transaction did, or tried to do: a line of the audit
// trail, in the fields of ISO 27789:2021 clause 8 and of FHIR R4 AuditEvent.
//
//	ISO 27789              here                             where it comes from
//	event                  Kind, Action, Function           what was written
//	event date and time    Claimed; Block and Index order   the client's claim, which every endorser
//	                                                        held within 90 s of its own clock
//	outcome                Outcome, Reason, Validation      the decision, the peers' verdict
//	user                   Member, Agent                    the certificate that signed
//	                       User                             what was written or called: a salted digest of the
//	                                                        person, or the key of who signed; else Agent
//	role                   Role                             the registry at that height: the member's kind
//	                       UserRole                         what was written: the person's; else software
//	purpose of use         Purpose                          the request
//	access point           AccessPoint                      the member's gateway in the registry at that height
//	audit source           the member whose peer was read   see Standing
//	participant object     Custodian, Requester, Handle,    the key that was written
//	                       Object, Version, Classes
//	permission policy      Policy                           the rule that decided
//
// What isn't there is absent on purpose and never guessed. The ledger knows a person where
// one did something through the member's gateway, and then as a digest that the member keeps
// the person to; or by the key that signed a directive. Everything else is told as what it is by its signature, an act
// of the member's software: User is then the subject common name of the certificate that
// signed, and UserRole is Software.
//
// Three kinds of entry have neither, because there is no certificate to name: a configuration
// whose orderer signs without a common name, a transaction that can't be read, and one of
// another chaincode likewise. Exports say so by FHIR's data-absent-reason "unsupported".
type Entry struct {
	Number      int64  // from 0, in the order of the ledger
	Block       uint64 //
	Index       int    // of the transaction in its block, from 0
	Transaction string // id
	Claimed     time.Time

	Kind    Kind
	Action  Action
	Outcome Outcome
	Reason  string // a code: of the rule, the withdrawal, the retraction, or how sure a signed consent is; empty where there is none

	Member      string // MSP id of who did it
	Agent       string // subject common name of the certificate that signed
	Role        string // kind of the member: hospital, insurer, regulator; empty before it was admitted
	AccessPoint string // host:port of the member's gateway; empty likewise
	Function    string // of the chaincode, "access:Request"
	Validation  string // Fabric's code; VALID had an effect
	Endorsers   []string

	User     string // salted digest of the person behind it, 64 hex digits; of a directive the id of the key that signed it, 32; of Software, Agent
	UserRole string // that person's role; of a directive patient or delegate; Software where there is no person

	Custodian, Requester string // MSP ids, where it lies between two members
	Handle               string // the patient within that relationship, where it is about one
	Object               string // id of the consent, access, record, motion or member
	Version              int    // of a consent
	Purpose              string // HL7 v3 PurposeOfUse
	Classes              []string
	Policy               Policy
}

// Software is the UserRole of what a member's software did, with no person behind it that the
// ledger knows.
const Software = "software"

// Attribute says of an entry without a person that the software did it, if its certificate
// has a name.
func (e *Entry) Attribute() {
	if e.User == "" && e.Agent != "" {
		e.User, e.UserRole = e.Agent, Software
	}
}

// Policy is the rule that allowed or denied.
type Policy struct {
	Consent string // id; empty where no consent had a say
	Version int
	Path    string // FHIRPath of the provision
}

// Kind says what an entry is about.
type Kind string

// The kinds of entry.
const (
	KindConfiguration Kind = "configuration" // of the channel
	KindMember        Kind = "member"
	KindKeys          Kind = "keys" // public keys of a member
	KindMotion        Kind = "motion"
	KindClosing       Kind = "closing"     // of minutes
	KindEpoch         Kind = "epoch"       // of the evaluators' keys
	KindEvaluations   Kind = "evaluations" // of an evaluator, counted for one member and day
	KindRecord        Kind = "record"
	KindConsent       Kind = "consent"
	KindSigner        Kind = "signer"  // whose key speaks for a patient
	KindRequest       Kind = "request" // with the decision on it
	KindRelease       Kind = "release"
	KindReceipt       Kind = "receipt"
	KindRecovery      Kind = "recovery" // from escrow, in a custodian's place
	KindOrder         Kind = "order"    // of a regulator, that a digest be opened
	KindAnswer        Kind = "answer"
	KindConclusion    Kind = "conclusion"
	KindHold          Kind = "hold"            // of a regulator, that a record be not erased
	KindAcknowledged  Kind = "acknowledgement" // of a requester, that a record was erased
	KindReview        Kind = "review"          // of a break-glass access
	KindOther         Kind = "other"           // another chaincode, or writes that tell nothing by themselves
)

// Kinds lists all kinds.
var Kinds = []Kind{KindConfiguration, KindMember, KindKeys, KindMotion, KindClosing, KindEpoch, KindEvaluations, KindRecord, KindConsent, KindSigner, KindRequest, KindRelease, KindReceipt, KindRecovery,
	KindOrder, KindAnswer, KindConclusion, KindHold, KindAcknowledged, KindReview, KindOther}

// Action says what was done with it.
type Action string

// The actions. A deletion of anything but a motion is none that the chaincode does; it
// is told all the same.
const (
	Created    Action = "created"
	Changed    Action = "changed"
	Granted    Action = "granted"
	Amended    Action = "amended"
	Withdrawn  Action = "withdrawn"
	Bound      Action = "bound" // a key to a patient
	Anchored   Action = "anchored"
	Superseded Action = "superseded"
	Retracted  Action = "retracted"
	Erased     Action = "erased"
	Held       Action = "held"
	Lifted     Action = "lifted" // of a hold
	Acked      Action = "acknowledged"
	Asked      Action = "asked"
	Released   Action = "released"
	Received   Action = "received"
	Recovered  Action = "recovered"
	Moved      Action = "moved"
	Carried    Action = "carried"
	Closed     Action = "closed"
	Opened     Action = "opened"    // an epoch of the evaluators' keys
	Announced  Action = "announced" // a key for the next one
	Accounted  Action = "accounted"
	Transfer   Action = "transferred" // a consent, to the patient's handle of another epoch
	Ordered    Action = "ordered"
	Answered   Action = "answered"
	Concluded  Action = "concluded"
	Accepted   Action = "accepted" // an emergency, by its review
	Rejected   Action = "rejected" // likewise
	Resolved   Action = "resolved" // a rejected one
	Deleted    Action = "deleted"
	Called     Action = "called"
)

// Outcome says how it ended.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Denied  Outcome = "denied"  // decided, and the decision is deny
	Failed  Outcome = "failed"  // took effect and reports a failure, or can't be read
	Invalid Outcome = "invalid" // the peers found the transaction invalid: no effect
)

// Outcomes lists all outcomes.
var Outcomes = []Outcome{Success, Denied, Failed, Invalid}

// Codes writes codes out, for a person.
func Codes[C ~string](codes []C) string {
	list := make([]string, len(codes))
	for i, c := range codes {
		list[i] = string(c)
	}
	return strings.Join(list, ", ")
}

// BreakGlass reports a request that was permitted without consent, in an emergency.
func (e Entry) BreakGlass() bool {
	return e.Kind == KindRequest && (e.Reason == string(consent.GlassBroken) || e.Reason == string(consent.DenialBroken))
}
