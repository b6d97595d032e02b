package projection

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/epoch"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/ledger"
)

// effect is an entry and the row of the state that it leaves, if it leaves one.
type effect struct {
	Entry
	row   row
	write *ledger.Write // that it tells; nil where no write tells anything by itself
	// ordered is the id of the access, the consent or the record that an order is about.
	ordered string
}

// Effect is an entry and the write that it tells; nil where no write tells anything by
// itself.
type Effect struct {
	Entry
	Write *ledger.Write
}

// Effects tells what a transaction did or tried to do, as the projection keeps it: for those
// who follow the chain themselves. What an entry inherits of one before, and its place in the
// order, are left out.
func Effects(t ledger.Transaction, chaincode string) []Effect {
	all := read(t, chaincode)
	effects := make([]Effect, len(all))
	for i, e := range all {
		effects[i] = Effect{e.Entry, e.write}
	}
	return effects
}

// row is what a write leaves in a table of the state.
type row interface {
	put(w *writer, entry int64) error
}

// read tells what a transaction did or tried to do. Each has at least one entry, even
// one that can't be read. Only those of a valid transaction carry rows.
func read(t ledger.Transaction, chaincode string) []effect {
	var effects []effect
	if t.Malformed == "" && !t.Config {
		for _, w := range t.Writes {
			if w.Namespace != chaincode {
				continue
			}
			if e, ok := readWrite(w); ok {
				e.write = &w
				effects = append(effects, e)
			}
		}
	}
	if len(effects) == 0 {
		effects = []effect{{Entry: plain(t, chaincode)}}
	}
	for i := range effects {
		e := &effects[i]
		e.Claimed, e.Member = t.Timestamp, text(t.Creator.MSP)
		if by := saidBy(t); e.User == "" && e.Kind != KindOther {
			e.User, e.UserRole = text(by.User), text(string(by.Role))
		}
		if e.Kind == KindHold && t.Function == contract.RecordUnhold {
			e.Action = Lifted // of several holds: the others stay
		}
		if !t.Valid() {
			e.row, e.Outcome = nil, Invalid
			e.Reason = t.Code.String()
		}
	}
	return effects
}

// saidBy is the person whom a call names beside its document. What is written keeps only
// some of them; the call has them all, and its endorsers have read it.
func saidBy(t ledger.Transaction) (by access.Actor) {
	switch t.Function {
	case contract.RecordHold, contract.RecordUnhold, contract.RecordAcknowledge, contract.ConsentRecover,
		contract.DisclosureOrder, contract.DisclosureAnswer, contract.DisclosureConclude, contract.RegistryMove, contract.RegistryUpdate:
		if json.Unmarshal(t.Argument, &by) != nil || by.Check() != nil {
			return access.Actor{}
		}
	}
	return by
}

// plain is the entry of a transaction whose writes tell nothing.
func plain(t ledger.Transaction, chaincode string) Entry {
	switch {
	case t.Config:
		return Entry{Kind: KindConfiguration, Action: Changed, Outcome: Success}
	case t.Malformed != "":
		return Entry{Kind: KindOther, Action: Called, Outcome: Failed, Reason: "unreadable"}
	case t.Chaincode != chaincode:
		return Entry{Kind: KindOther, Action: Called, Outcome: Success, Object: text(t.Chaincode)}
	}
	return Entry{Kind: KindOther, Action: Called, Outcome: Success}
}

// readWrite tells one write. Those that only repeat what another write of the same
// transaction says (the roster, the present consents of a relationship, …) are none of
// their own; alone in a transaction they make it one that is told as other.
func readWrite(w ledger.Write) (effect, bool) {
	reader, ok := readers[w.ObjectType]
	if !ok || len(w.Attributes) != reader.attributes {
		return effect{}, false
	}
	attributes := make([]string, len(w.Attributes)) // the block isn't ours to change
	for i, a := range w.Attributes {
		attributes[i] = text(a)
	}
	w.Attributes = attributes
	e, ok := reader.read(w)
	if !ok {
		e.Outcome, e.Reason, e.Action = Failed, "unreadable", Changed
	}
	if w.Delete {
		e.Outcome, e.Action = Success, Deleted
		switch e.Kind {
		case KindMotion:
			e.Action = Carried
		case KindHold:
			e.Action = Lifted
		}
	}
	return e, true
}

// readers reads each type of key that tells something, by its object type (see package
// contract). A document that says something else than its key is not read.
var readers = map[string]struct {
	attributes int
	read       func(w ledger.Write) (effect, bool)
}{
	"member":        {1, readMember},
	"keys":          {1, readKeys},
	"motion":        {1, readMotion},
	"closed-latest": {0, readClosing},
	"epoch":         {1, readEpoch},
	"announced":     {1, readAnnounced},
	"evaluations":   {3, readEvaluations},
	"record":        {2, readRecord},
	"consent":       {5, readConsent},
	"signer":        {3, readSigner},
	"access":        {3, readRequest},
	"release":       {3, readRelease},
	"receipt":       {3, readReceipt},
	"recovery":      {3, readRecovery},
	"review":        {3, readReview},
	"order":         {3, readOrder},
	"answer":        {3, readAnswer},
	"conclusion":    {3, readConclusion},
	"hold":          {2, readHold},
	"erased":        {3, readAcknowledgement},
}

func readEpoch(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindEpoch, Action: Opened, Outcome: Success, Object: w.Attributes[0]}}
	opened, ok := decode[epoch.Epoch](w)
	return e, ok && strconv.Itoa(opened.Number) == w.Attributes[0]
}

func readAnnounced(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindEpoch, Action: Announced, Outcome: Success, Object: w.Attributes[0]}}
	_, ok := decode[[]epoch.Announcement](w)
	return e, ok
}

// readEvaluations tells for which member an evaluator answered; how often is in the block.
func readEvaluations(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindEvaluations, Action: Accounted, Outcome: Success, Object: w.Attributes[1]}}
	_, ok := decode[epoch.Tally](w)
	return e, ok
}

func readMember(w ledger.Write) (effect, bool) {
	msp := w.Attributes[0]
	e := effect{Entry: Entry{Kind: KindMember, Action: Changed, Outcome: Success, Object: msp}}
	m, ok := decode[registry.Member](w)
	e.Reason = text(string(m.Status))
	e.row = memberRow{msp: msp, Member: m, document: w.Value}
	return e, w.Delete || ok && m.MSP == msp
}

func readKeys(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindKeys, Action: Changed, Outcome: Success, Object: w.Attributes[0]}}
	k, ok := decode[registry.Keys](w)
	e.row = keysRow{msp: w.Attributes[0], Keys: k, document: w.Value}
	return e, ok
}

func readMotion(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindMotion, Action: Moved, Outcome: Success, Object: w.Attributes[0]}}
	b, ok := decode[registry.Ballot](w)
	if b.Motion.Suspend != nil {
		e.Reason = text(b.Motion.Suspend.Reason)
	}
	e.row = motionRow{id: w.Attributes[0], target: text(b.Motion.Target()), document: w.Value}
	return e, ok
}

func readClosing(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindClosing, Action: Closed, Outcome: Success}}
	minute, ok := decode[int64](w)
	if ok && !w.Delete {
		e.row = closingRow(minute)
	}
	return e, ok
}

func readRecord(w ledger.Write) (effect, bool) {
	custodian, id := w.Attributes[0], w.Attributes[1]
	e := effect{Entry: Entry{Kind: KindRecord, Outcome: Success, Custodian: custodian, Object: id}}
	a, ok := decode[contract.RecordState](w)
	e.User, e.UserRole = text(a.User), text(string(a.Role))
	e.Action, e.Reason = Action(text(string(a.Status))), text(string(a.Reason))
	e.row = recordRow{custodian: custodian, id: id, status: string(e.Action), document: w.Value}
	if a.Erasure != nil && a.Erasure.At == a.At { // of a part too, and of what is superseded or retracted
		e.Action, e.Reason = Erased, text(string(a.Erasure.Reason))
	}
	return e, w.Delete || ok && a.ID == id && a.Custodian == custodian && e.Action != ""
}

func readConsent(w ledger.Write) (effect, bool) {
	custodian, requester, handle, id := w.Attributes[0], w.Attributes[1], w.Attributes[2], w.Attributes[3]
	e := effect{Entry: Entry{
		Kind: KindConsent, Outcome: Success, Custodian: custodian, Requester: requester, Handle: handle, Object: id,
		Policy: Policy{Consent: id},
	}}
	version, err := strconv.Atoi(w.Attributes[4])
	v, ok := decode[contract.ConsentVersion](w)
	c := v.Consent
	e.Version, e.Policy.Version, e.Reason = version, version, text(v.Reason)
	switch {
	case v.Carried != "":
		e.Action = Transfer
	case c.Status == consent.Withdrawn:
		e.Action = Withdrawn
	case version > 1:
		e.Action = Amended
	default:
		e.Action = Granted
	}
	e.Classes = c.Provision.Classes.Codes()
	signedBy(&e.Entry, v)
	e.row = consentRow{
		custodian: custodian, requester: requester, handle: handle, id: id, version: version,
		status: text(string(c.Status)), period: c.Period, reason: e.Reason, document: w.Value, carried: text(v.Carried),
	}
	return e, err == nil && (w.Delete || ok && c.ID == id && c.Version == version)
}

// signedBy says who signed a version of a consent, and how sure that makes it: the patient's key, or
// a delegate's, and the assurance as the reason, where a withdrawal has none of its own. What a hospital
// attests has the person who did so, and no such reason.
func signedBy(e *Entry, v contract.ConsentVersion) {
	if v.Carried != "" {
		return
	}
	if v.Signed == nil {
		e.User, e.UserRole = text(v.User), text(string(v.Role))
		return
	}
	e.User, e.UserRole = v.Signed.Key.ID(), "patient"
	if v.Delegate {
		e.UserRole = "delegate"
	}
	if e.Reason == "" {
		e.Reason = text(v.Consent.Assurance.String())
	}
}

func readSigner(w ledger.Write) (effect, bool) {
	custodian, requester, handle := w.Attributes[0], w.Attributes[1], w.Attributes[2]
	e := effect{Entry: Entry{Kind: KindSigner, Action: Bound, Outcome: Success, Custodian: custodian, Requester: requester, Handle: handle}}
	s, ok := decode[directive.Signer](w)
	e.Object, e.Version = s.Key.ID(), s.Version
	if s.Recovered {
		e.Reason = "recovered"
	}
	return e, w.Delete || ok && s.Version > 0
}

func readRequest(w ledger.Write) (effect, bool) {
	custodian, requester, id := w.Attributes[0], w.Attributes[1], w.Attributes[2]
	e := effect{Entry: Entry{Kind: KindRequest, Action: Asked, Outcome: Success, Custodian: custodian, Requester: requester, Object: id}}
	a, ok := decode[access.Access](w)
	d := a.Decision
	e.Handle, e.Purpose, e.Reason, e.Classes = text(a.Handle), a.Purpose.String(), text(string(d.Rule.Reason)), a.Classes.Codes()
	e.Policy = Policy{Consent: text(d.Rule.Consent), Version: d.Rule.Version, Path: d.Rule.Path.String()}
	if a.Permitted() {
		e.Classes = d.Scope.Classes.Codes()
	} else {
		e.Outcome = Denied
	}
	e.User, e.UserRole = text(a.User), text(string(a.Role))
	e.row = requestRow{key: accessKey{custodian, requester, id}, Access: a, handle: e.Handle, reason: e.Reason, document: w.Value}
	return e, w.Delete || ok && a.ID == id && a.Custodian == custodian && a.Requester == requester
}

func readRelease(w ledger.Write) (effect, bool) {
	key := accessKey{w.Attributes[0], w.Attributes[1], w.Attributes[2]}
	e := effect{Entry: Entry{Kind: KindRelease, Action: Released, Outcome: Success, Custodian: key.custodian, Requester: key.requester, Object: key.id}}
	r, ok := decode[access.Release](w)
	e.row = stepRow{key: key, step: "release", document: w.Value}
	return e, w.Delete || ok && r.Permit == key.id
}

func readReceipt(w ledger.Write) (effect, bool) {
	key := accessKey{w.Attributes[0], w.Attributes[1], w.Attributes[2]}
	e := effect{Entry: Entry{Kind: KindReceipt, Action: Received, Outcome: Success, Custodian: key.custodian, Requester: key.requester, Object: key.id}}
	r, ok := decode[access.Receipt](w)
	if e.Reason = text(string(r.Outcome)); r.Outcome != access.Opened {
		e.Outcome = Failed
	}
	e.User, e.UserRole = text(r.User), text(string(r.Role))
	e.row = stepRow{key: key, step: "receipt", document: w.Value}
	return e, w.Delete || ok && r.Permit == key.id
}

func readRecovery(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindRecovery, Action: Recovered, Outcome: Success, Custodian: w.Attributes[0], Requester: w.Attributes[1], Object: w.Attributes[2]}}
	r, ok := decode[access.Recovery](w)
	return e, w.Delete || ok && r.Permit == w.Attributes[2]
}

func readReview(w ledger.Write) (effect, bool) {
	key := accessKey{w.Attributes[0], w.Attributes[1], w.Attributes[2]}
	e := effect{Entry: Entry{Kind: KindReview, Outcome: Success, Custodian: key.custodian, Requester: key.requester, Object: key.id}}
	r, ok := decode[access.Review](w)
	e.Reason = text(r.Reason)
	by := r.Actor
	switch {
	case r.Resolution != nil:
		e.Action, e.Reason, by = Resolved, text(r.Resolution.Reason), r.Resolution.Actor
	case r.Outcome == access.Accepted:
		e.Action = Accepted
	default:
		e.Action, ok = Rejected, ok && (w.Delete || r.Outcome == access.Rejected)
	}
	e.User, e.UserRole = text(by.User), text(string(by.Role))
	e.row = reviewRow{key: key, resolved: r.Resolution != nil, verdict: text(string(r.Outcome)), document: w.Value}
	return e, w.Delete || ok && r.ID == key.id && r.Custodian == key.custodian && r.Requester == key.requester
}

func readOrder(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindOrder, Action: Ordered, Outcome: Success, Object: w.Attributes[2]}}
	o, ok := decode[disclosure.Order](w)
	subject := o.Subject
	e.Custodian, e.Requester, e.Handle, e.Reason = text(subject.Custodian), text(subject.Requester), text(subject.Handle), text(o.Reason)
	e.ordered = text(subject.ID)
	e.row = orderRow{key: orderOf(w), step: "order", due: int64(o.Due), document: w.Value}
	return e, w.Delete || ok && o.Holder == w.Attributes[0] && o.Regulator == w.Attributes[1] && o.ID == w.Attributes[2]
}

func orderOf(w ledger.Write) orderKey {
	return orderKey{w.Attributes[0], w.Attributes[1], w.Attributes[2]}
}

func readAnswer(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindAnswer, Action: Answered, Outcome: Success, Object: w.Attributes[2]}}
	a, ok := decode[disclosure.Answer](w)
	if e.Reason = text(a.Reason); a.Word != disclosure.Given {
		e.Outcome = Failed
	}
	e.row = orderRow{key: orderOf(w), step: "answer", document: w.Value}
	return e, w.Delete || ok && a.Order == w.Attributes[2]
}

func readConclusion(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindConclusion, Action: Concluded, Outcome: Success, Object: w.Attributes[2]}}
	c, ok := decode[disclosure.Conclusion](w)
	if e.Reason = text(string(c.Outcome)); c.Outcome != disclosure.Disclosed {
		e.Outcome = Failed
	}
	e.row = orderRow{key: orderOf(w), step: "conclusion", document: w.Value}
	return e, w.Delete || ok && c.Order == w.Attributes[2]
}

// readHold tells the holds on a record after one was put or lifted; its reason is that of the newest.
func readHold(w ledger.Write) (effect, bool) {
	custodian, id := w.Attributes[0], w.Attributes[1]
	e := effect{Entry: Entry{Kind: KindHold, Action: Held, Outcome: Success, Custodian: custodian, Object: id}}
	holds, ok := decode[record.Holds](w)
	var newest record.Hold
	for _, h := range holds {
		ok = ok && h.Custodian == custodian && h.Record == id
		if h.At >= newest.At {
			newest = h
		}
	}
	e.Reason = text(newest.Reason)
	return e, ok && (w.Delete || len(holds) > 0)
}

func readAcknowledgement(w ledger.Write) (effect, bool) {
	e := effect{Entry: Entry{Kind: KindAcknowledged, Action: Acked, Outcome: Success, Custodian: w.Attributes[0], Requester: w.Attributes[2], Object: w.Attributes[1]}}
	a, ok := decode[record.Acknowledgement](w)
	if e.Reason = text(string(a.Fate)); a.Ground != "" {
		e.Reason = text(string(a.Ground))
	}
	return e, w.Delete || ok && a.Custodian == w.Attributes[0] && a.Record == w.Attributes[1] && a.Requester == w.Attributes[2]
}

// decode reads a value; that of a deletion is zero and fine.
func decode[T any](w ledger.Write) (doc T, ok bool) {
	if w.Delete {
		return doc, true
	}
	if json.Unmarshal(w.Value, &doc) != nil {
		var none T
		return none, false
	}
	return doc, true
}

// maxText bounds what a stranger's transaction can put into a column, in bytes.
const maxText = 512

// text is s as every database takes it: valid UTF-8 without U+0000, of bounded length.
// Whoever may write to the channel chooses these bytes.
func text(s string) string {
	if len(s) <= maxText && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") // without the rune that was cut through
	}
	return s
}

// endorsers lists the members that endorsed, each once.
func endorsers(t ledger.Transaction) string {
	return text(strings.Join(slices.Compact(slices.Sorted(slices.Values(t.Endorsers))), ","))
}
