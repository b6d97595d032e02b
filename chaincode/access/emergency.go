package access

import (
	"cmp"
	"slices"
	"strings"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Limits of break-glass.
const (
	// DefaultEmergency is the longest break-glass permit at a custodian whose policy
	// says nothing, in seconds.
	DefaultEmergency = 4 * 60 * 60
	// ReviewTerm is how long after it a break-glass access is to be reviewed, in seconds.
	ReviewTerm = 72 * 60 * 60
	// MaxOpenEmergencies bounds what one member may have unreviewed or unresolved.
	MaxOpenEmergencies = 64
)

// Emergency makes a request a break-glass one: for data without consent, because a
// patient is in danger. It is zero in every other request.
type Emergency struct {
	Reason Cause  `json:"reason"`
	Note   string `json:"note,omitempty"` // 64 hex digits: salted digest of the clinician's own words
}

// Cause says in one code why the glass was broken. What else there is to say lies in the
// note, which isn't on the ledger.
type Cause string

// The causes.
const (
	LifeThreatening Cause = "life-threatening" // delay endangers the patient's life or health
	Unconscious     Cause = "unconscious"      // the patient can't be asked
	Incapacitated   Cause = "incapacitated"    // … is awake, but unable to decide
	NoContact       Cause = "no-contact"       // … nor anyone who may decide can be reached
	MassCasualty    Cause = "mass-casualty"    // too many at once for anyone to be asked
)

var causes = []Cause{LifeThreatening, Unconscious, Incapacitated, NoContact, MassCasualty}

// Causes lists the causes.
func Causes() []Cause { return slices.Clone(causes) }

// BreakGlass reports whether the request is one without consent, in an emergency.
func (r Request) BreakGlass() bool { return r.Emergency != Emergency{} }

func (r Request) checkEmergency() error {
	switch {
	case !r.BreakGlass():
		return nil
	case !slices.Contains(causes, r.Emergency.Reason):
		known := make([]string, len(causes))
		for i, one := range causes {
			known[i] = string(one)
		}
		return refusal.New(refusal.Malformed, "the request doesn't say by a known reason why the glass is broken", strings.Join(known, ", "))
	case r.Emergency.Note != "" && !hexDigits(r.Emergency.Note, 64):
		return refusal.New(refusal.Malformed, "the note is not a salted digest", "64 lower-case hex digits, or none")
	case !r.Purpose.Under(consent.ETREAT):
		return refusal.New(PurposeNotAllowed, "the glass isn't broken for that purpose", consent.ETREAT.String()+" or a purpose under it")
	case r.User == "" || r.Role != Clinician:
		return refusal.New(RoleNotAllowed, "a break-glass request names the clinician that makes it", "the salted digest of a clinician as user, and the role "+string(Clinician))
	}
	return nil
}

// OpenEmergency is a break-glass access that isn't reviewed yet, or that was rejected and
// isn't resolved yet.
type OpenEmergency struct {
	Custodian string         `json:"custodian"` // MSP id
	ID        string         `json:"id"`        // of the access
	At        record.Instant `json:"at"`
	Due       record.Instant `json:"due"`               // of its review: At and ReviewTerm
	Rejected  record.Instant `json:"rejected,omitzero"` // when the review rejected it
}

// Emergencies is what a member has open, oldest first: at most MaxOpenEmergencies. It is
// one document, so that a decision reads it whole.
type Emergencies struct {
	Open []OpenEmergency `json:"open"`
}

// Blocking are those that keep the member from breaking the glass again: the rejected
// ones, and those whose review is overdue.
func (e Emergencies) Blocking(at record.Instant) []OpenEmergency {
	var blocking []OpenEmergency
	for _, o := range e.Open {
		if o.Blocks(at) {
			blocking = append(blocking, o)
		}
	}
	return blocking
}

// Blocks reports whether it is rejected, or its review overdue.
func (o OpenEmergency) Blocks(at record.Instant) bool { return !o.Rejected.IsZero() || at >= o.Due }

// check refuses (emergency-blocked) one emergency more, naming those in its way.
func (e Emergencies) check(member string, at record.Instant) error {
	var overdue, rejected []string
	for _, o := range e.Blocking(at) {
		if o.Rejected.IsZero() {
			overdue = append(overdue, o.ID)
		} else {
			rejected = append(rejected, o.ID)
		}
	}
	var why, allowed []string
	if len(overdue) > 0 {
		why = append(why, "the review is overdue of "+strings.Join(overdue, ", "))
		allowed = append(allowed, "once a regulator has reviewed what is overdue")
	}
	if len(rejected) > 0 {
		why = append(why, "a regulator rejected "+strings.Join(rejected, ", "))
		allowed = append(allowed, "once a regulator has resolved what was rejected")
	}
	if len(why) > 0 {
		return refusal.New(EmergencyBlocked, member+" may not break the glass: "+strings.Join(why, "; "),
			"a request by consent; break-glass again "+strings.Join(allowed, ", and "))
	}
	if len(e.Open) >= MaxOpenEmergencies {
		return refusal.New(EmergencyBlocked, member+" may not break the glass: too many of its emergencies are unreviewed", "a request by consent; break-glass again once a regulator has reviewed some")
	}
	return nil
}

// find is the place of an access among the open ones, -1 if it isn't there.
func (e Emergencies) find(custodian, id string) int {
	return slices.IndexFunc(e.Open, func(o OpenEmergency) bool { return o.Custodian == custodian && o.ID == id })
}

// without is a copy that lacks one.
func (e Emergencies) without(i int) Emergencies {
	return Emergencies{Open: slices.Delete(slices.Clone(e.Open), i, i+1)}
}

// BreakGlass takes the decision on a break-glass request: a permit for all classes asked
// for, sensitive labels included, whatever the consents say. A denial that it goes over
// is named in the decision, for the review to see. role is that of the certificate which
// signed the transaction, never a claim of the request; open is what the requester has
// open, and the second result is that with this one.
//
// Refusals: those of Decide, and role-not-allowed (the signer is no clinician, or the
// requester no hospital: kind-not-allowed), emergency-blocked (an earlier one is overdue
// or rejected).
func BreakGlass(r Request, role Role, requester, custodian registry.Member, open Emergencies, consents []consent.Consent, at record.Instant) (Access, Emergencies, error) {
	if err := r.Check(); err != nil {
		return Access{}, open, err
	}
	if err := bothActive(requester, custodian); err != nil {
		return Access{}, open, err
	}
	if err := MayAsk(&requester, custodian); err != nil {
		return Access{}, open, err
	}
	if requester.Kind != registry.Hospital {
		return Access{}, open, refusal.New(refusal.KindNotAllowed, "a "+string(requester.Kind)+" doesn't treat emergencies", "break-glass by a hospital's clinician")
	}
	if !r.BreakGlass() {
		return Access{}, open, refusal.New(refusal.Malformed, "the request names no emergency", "a reason why the glass is broken")
	}
	if role != Clinician {
		return Access{}, open, refusal.New(RoleNotAllowed, "the transaction isn't signed by a clinician's certificate of "+requester.MSP,
			"a signature under a certificate with "+RoleAttribute+"="+string(Clinician))
	}
	if err := open.check(requester.MSP, at); err != nil {
		return Access{}, open, err
	}
	a := Access{Request: r, Requester: requester.MSP, At: at, Suspensions: suspensions(requester, custodian)}
	a.Decision = consent.BreakGlass(consents, a.question(requester, custodian), at)
	a.Expires = at + record.Instant(r.emergencyTTL(custodian))
	more := slices.Concat(open.Open, []OpenEmergency{{Custodian: custodian.MSP, ID: r.ID, At: at, Due: at + ReviewTerm}})
	return a, Emergencies{Open: more}, nil
}

// emergencyTTL is how long a break-glass permit lasts: what is asked for, but no longer
// than the custodian's policy allows.
func (r Request) emergencyTTL(custodian registry.Member) int64 {
	longest := cmp.Or(custodian.Policy.EmergencySeconds, DefaultEmergency)
	if r.TTL != 0 {
		return min(r.TTL, longest)
	}
	return longest
}

// Standing refuses a break-glass permit that doesn't hold: before a custodian releases
// under it, or anything in a custodian's place is opened. review is what stands on the
// ledger of its review, nil if nothing.
//
// Refusals: not-permitted, expired, member-suspended, lapsed (either was suspended since
// the permit), review-rejected.
func (a Access) Standing(review *Review, custodian, requester registry.Member, at record.Instant) error {
	if err := bothActive(custodian, requester); err != nil {
		return err
	}
	switch {
	case a.Suspensions != suspensions(requester, custodian):
		return refusal.New(Lapsed, "the permit ended when one of the two members was suspended", "a new request, decided anew")
	case !a.Permitted() || !a.BreakGlass():
		return refusal.New(refusal.NotPermitted, "that is no break-glass permit", "a permit of a break-glass request")
	case at >= a.Expires:
		return refusal.New(refusal.Expired, "the permit expired at "+a.Expires.String(), "a new request")
	case review != nil && review.Outcome == Rejected:
		return refusal.New(ReviewRejected, "a regulator rejected this emergency", "a request by consent")
	}
	return nil
}
