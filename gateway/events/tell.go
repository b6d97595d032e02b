package events

import (
	"encoding/json"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/audit/projection"
	"yitong/gateway/ledger"
)

// expiryLead is how long before its end a permit is told to end: an hour, at most a quarter
// of its whole time. In seconds, as keyLead is, a month.
const (
	expiryLead = 60 * 60
	keyLead    = 30 * 24 * 60 * 60
)

// teller turns what a block holds into the member's events. What it has to remember is in
// the database, so that the same blocks always make the same events.
type teller struct {
	w    *writer
	self registry.Candidate
	// keyLifetime is after how long a registered key is to be replaced.
	keyLifetime record.Instant
}

// tell yields the events of one effect. Those that had none are told by nobody.
func (t teller) tell(tx ledger.Transaction, e projection.Effect) ([]Event, error) {
	if e.Outcome == projection.Invalid || e.Write == nil || e.Reason == "unreadable" {
		return nil, nil
	}
	if e.Action == projection.Deleted {
		return nil, nil
	}
	base := Event{
		Time: tx.Timestamp, Transaction: tx.ID, Member: e.Member, Custodian: e.Custodian, Requester: e.Requester, Handle: e.Handle,
		Object: e.Object, Version: e.Version, Outcome: outcomes[e.Outcome], Reason: e.Reason, Purpose: e.Purpose, Classes: e.Classes,
	}
	switch e.Kind {
	case projection.KindRequest:
		return t.request(base, e)
	case projection.KindRelease, projection.KindReceipt, projection.KindRecovery, projection.KindReview:
		return t.step(base, e)
	case projection.KindConsent:
		return t.between(base, consentTypes[e.Action]), nil
	case projection.KindSigner:
		return t.between(base, ConsentKeyBound), nil
	case projection.KindRecord:
		return t.erasure(base, e)
	case projection.KindAcknowledged:
		return t.between(base, RecordAcknowledged), nil
	case projection.KindHold:
		return t.hold(base, e), nil
	case projection.KindOrder, projection.KindAnswer, projection.KindConclusion:
		return t.disclosure(base, e), nil
	case projection.KindKeys:
		return t.keys(base, e)
	case projection.KindMember:
		return one(base, MemberChanged, Member), nil
	case projection.KindMotion:
		return one(base, MemberMoved, Member), nil
	case projection.KindEpoch:
		if e.Action == projection.Opened {
			return one(base, EpochOpened, Member), nil
		}
	case projection.KindClosing:
		return t.closing(base, e)
	}
	return nil, nil
}

var outcomes = map[projection.Outcome]string{projection.Success: "success", projection.Denied: "denied", projection.Failed: "failed"}

var consentTypes = map[projection.Action]Type{
	projection.Granted: ConsentGranted, projection.Amended: ConsentAmended, projection.Withdrawn: ConsentWithdrawn, projection.Transfer: ConsentTransferred,
}

func one(e Event, as Type, role Role) []Event {
	e.Type, e.Role = as, role
	return []Event{e}
}

// between is the event of either party to a relationship.
func (t teller) between(e Event, as Type) []Event {
	switch t.self.MSP {
	case e.Custodian:
		return one(e, as, Custodian)
	case e.Requester:
		return one(e, as, Requester)
	}
	return nil
}

// seen is that of either party, and of every regulator.
func (t teller) seen(e Event, as Type) []Event {
	if told := t.between(e, as); told != nil || t.self.Kind != registry.Regulator {
		return told
	}
	return one(e, as, Regulator)
}

func (t teller) request(e Event, of projection.Effect) ([]Event, error) {
	var a access.Access
	if err := json.Unmarshal(of.Write.Value, &a); err != nil {
		return nil, nil // the projection could read it; whatever it is, it is no request
	}
	if e.Outcome == "success" {
		e.Outcome = "permitted"
	}
	e.Expires = timeOf(a.Expires)
	party := t.self.MSP == e.Custodian || t.self.MSP == e.Requester
	if party || a.BreakGlass() && t.self.Kind == registry.Regulator {
		// What comes of it is told with what was asked; only the requester is told of its end.
		warn := record.Instant(0)
		if a.Permitted() && t.self.MSP == e.Requester {
			warn = a.Expires - min(expiryLead, (a.Expires-a.At)/4)
		}
		if err := t.w.keepAccess(e, warn, a.Expires); err != nil {
			return nil, err
		}
	}
	switch {
	case a.BreakGlass():
		return t.seen(e, EmergencyOpened), nil
	case t.self.MSP == e.Custodian:
		return one(e, AccessRequested, Custodian), nil
	case t.self.MSP == e.Requester:
		return one(e, AccessDecided, Requester), nil
	}
	return nil, nil
}

// step is what comes after a request: handle and purpose are the request's.
func (t teller) step(e Event, of projection.Effect) ([]Event, error) {
	var told []Event
	switch of.Kind {
	case projection.KindRelease:
		if told = t.between(e, AccessReleased); told != nil {
			if err := t.w.keepPartner(e.Custodian); err != nil {
				return nil, err
			}
		}
	case projection.KindReceipt:
		told = t.between(e, AccessReceived)
	case projection.KindRecovery:
		told = t.seen(e, AccessRecovered)
	case projection.KindReview:
		told = t.seen(e, map[projection.Action]Type{
			projection.Accepted: EmergencyAccepted, projection.Rejected: EmergencyRejected, projection.Resolved: EmergencyResolved,
		}[of.Action])
	}
	for i := range told {
		if err := t.w.recallAccess(&told[i]); err != nil {
			return nil, err
		}
	}
	return told, nil
}

// erasure is told to the custodian, and to whom it has ever released anything: which of its
// records that was is not on the ledger.
func (t teller) erasure(e Event, of projection.Effect) ([]Event, error) {
	if of.Action != projection.Erased {
		return nil, nil
	}
	if t.self.MSP == e.Custodian {
		return one(e, RecordErased, Custodian), nil
	}
	known, err := t.w.isPartner(e.Custodian)
	if err != nil || !known {
		return nil, err
	}
	return one(e, RecordErased, Requester), nil
}

func (t teller) hold(e Event, of projection.Effect) []Event {
	as := RecordHeld
	if of.Action == projection.Lifted {
		as = RecordUnheld
	}
	switch t.self.MSP {
	case e.Custodian:
		return one(e, as, Custodian)
	case e.Member:
		return one(e, as, Regulator)
	}
	return nil
}

// disclosure is told to who is to disclose and who ordered it: "order" / holder / regulator / id.
func (t teller) disclosure(e Event, of projection.Effect) []Event {
	as := map[projection.Kind]Type{
		projection.KindOrder: DisclosureOrdered, projection.KindAnswer: DisclosureAnswered, projection.KindConclusion: DisclosureConcluded,
	}[of.Kind]
	if of.Kind == projection.KindOrder {
		var o disclosure.Order
		if json.Unmarshal(of.Write.Value, &o) == nil {
			e.Expires = timeOf(o.Due)
		}
	}
	switch key := of.Write.Attributes; t.self.MSP {
	case key[0]:
		return one(e, as, Holder)
	case key[1]:
		return one(e, as, Regulator)
	}
	return nil
}

func (t teller) keys(e Event, of projection.Effect) ([]Event, error) {
	if e.Object == t.self.MSP && t.keyLifetime > 0 {
		var k registry.Keys
		if err := json.Unmarshal(of.Write.Value, &k); err != nil {
			return nil, nil
		}
		for use, key := range map[string]registry.Key{"hpke": k.HPKE, "signing": k.Signing} {
			if err := t.w.keepKey(use, key.ID, key.From+t.keyLifetime); err != nil {
				return nil, err
			}
		}
	}
	return one(e, KeysChanged, Member), nil
}

// closing is the ledger's clock: what a closed minute brings near its end is told at it.
func (t teller) closing(e Event, of projection.Effect) ([]Event, error) {
	var minute int64
	if json.Unmarshal(of.Write.Value, &minute) != nil {
		return nil, nil
	}
	now := registry.ClockAt(minute).Closed
	ends, err := t.w.nearEnd(now)
	if err != nil {
		return nil, err
	}
	due, err := t.w.nearDue(now + keyLead)
	if err != nil {
		return nil, err
	}
	for i := range due {
		due[i].Type, due[i].Role, due[i].Custodian = KeysDue, Member, ""
	}
	for i := range ends {
		ends[i].Type, ends[i].Role = AccessExpiring, Requester
	}
	told := append(ends, due...)
	for i := range told {
		told[i].Time, told[i].Transaction, told[i].Member = now.Time(), e.Transaction, t.self.MSP
	}
	return told, nil
}

func timeOf(i record.Instant) time.Time {
	if i == 0 {
		return time.Time{}
	}
	return i.Time()
}
