package fhir

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/auditevent"
	"yitong/gateway/audit/projection"
)

// balpProfiles is where IHE's Basic Audit Log Patterns has its profiles.
const balpProfiles = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."

// auditEvents is FHIR's AuditEvent: the audit trail of the ledger (ITI-81), read only. What each
// entry becomes is package gateway/audit/auditevent, the same as in an export.
func (f *facade) auditEvents() resource {
	both := func(name, doc string, patient bool) []param {
		return []param{{name: name + ".identifier", kind: "token", doc: doc, patient: patient}, {name: name + ":identifier", kind: "token", doc: doc, patient: patient}}
	}
	params := []param{
		{name: "date", kind: "date", doc: "when it was recorded, by the client's claim that every endorser held to within 90 s of its clock"},
		{name: "action", kind: "token", doc: "C, R, U, D or E"},
		{name: "outcome", kind: "token", doc: "0 success, 4 failed, 8 denied or invalid"},
		{name: "type", kind: "token", doc: "type of event"},
		{name: "subtype", kind: "token", doc: "more of it"},
		{name: "_profile", kind: "uri", doc: "the profile of BALP that it follows"},
		{name: "_sort", kind: "special", doc: "date or -date, which is the default"},
	}
	params = append(params, both("patient", "a patient that this gateway knows, as system|value; or a relationship, as "+handleSystem+"|handle", true)...)
	params = append(params, both("agent", "the member whose software did it, as "+memberSystem+"|MSP id", false)...)
	params = append(params, both("entity", "what it was done with: urn:yitong:consent|id, urn:yitong:access|id, urn:yitong:record|id and so on", false)...)
	return resource{
		kind:     "AuditEvent",
		profiles: []string{balpProfiles + "AuthZconsent", balpProfiles + "PrivacyDisclosure.Source", balpProfiles + "PrivacyDisclosure.Recipient"},
		documentation: "IHE ITI-81, after BALP 1.1.4: decisions on requests are AuthZconsent where a consent had a say, releases and receipts PrivacyDisclosure; everything else is plain. " +
			"Patients are handles, persons salted digests. AuditEvents are made by the ledger alone: none can be created here (no ITI-20). _lastUpdated is date.",
		read: readAuditEvent, search: searchAuditEvents, params: params,
	}
}

func (c *call) audit() yitongv1.AuditClient { return yitongv1.NewAuditClient(c.conn) }

// before is the bookmark behind which the entry stands that an AuditEvent is of. Its id is block,
// transaction and number, and the entries' own numbers are what the trail is paged by.
func before(id string) (bookmark string, ok bool) {
	pieces := strings.Split(id, ".")
	if len(pieces) != 3 {
		return "", false
	}
	number, err := strconv.ParseInt(pieces[2], 10, 64)
	if err != nil || number < 0 {
		return "", false
	}
	if number > 0 {
		bookmark = strconv.FormatInt(number-1, 10)
	}
	return bookmark, true
}

func readAuditEvent(c *call) (answer, error) {
	bookmark, ok := before(c.id)
	if !ok {
		return answer{}, notFound()
	}
	in := &yitongv1.EntriesRequest{Page: &yitongv1.Page{Size: 1, Bookmark: bookmark}}
	out, err := c.audit().Entries(c.ctx(), in)
	if err != nil {
		return answer{}, err
	}
	members, err := c.members()
	if err != nil {
		return answer{}, err
	}
	if len(out.GetEntries()) == 0 {
		return answer{}, notFound()
	}
	e := c.event(out.GetEntries()[0], members)
	if e.ID != c.id {
		return answer{}, notFound()
	}
	return answer{resource: e, etag: "1", modified: timeOf(out.GetEntries()[0].GetClaimedTime())}, nil
}

// event is an entry as an AuditEvent.
func (c *call) event(e *yitongv1.AuditEntry, members roster) auditevent.Event {
	counterpart := e.GetRequester()
	if e.GetMember() == counterpart {
		counterpart = e.GetCustodian()
	}
	return auditevent.Of(entryOf(e), auditevent.Source{Member: members.find(c.Member).GetMspId(), Channel: c.Channel}, members.find(counterpart).GetGateway())
}

// entryOf is an entry of the trail as the projection has it.
func entryOf(e *yitongv1.AuditEntry) projection.Entry {
	return projection.Entry{
		Number: e.GetNumber(), Block: e.GetBlock(), Index: int(e.GetTransactionIndex()), Transaction: e.GetTransactionId(), Claimed: timeOf(e.GetClaimedTime()),
		Kind: projection.Kind(e.GetKind()), Action: projection.Action(e.GetAction()), Outcome: projection.Outcome(e.GetOutcome()), Reason: e.GetReason(),
		Member: e.GetMember(), Agent: e.GetAgent(), Role: e.GetRole(), AccessPoint: e.GetAccessPoint(), Function: e.GetFunction(), Validation: e.GetValidation(),
		Endorsers: e.GetEndorsers(), User: e.GetUser(), UserRole: e.GetUserRole(), Custodian: e.GetCustodian(), Requester: e.GetRequester(), Handle: e.GetHandle(),
		Object: e.GetObject(), Version: int(e.GetVersion()), Purpose: e.GetPurpose(), Classes: e.GetClasses(),
		Policy: projection.Policy{Consent: e.GetPolicy().GetConsentId(), Version: int(e.GetPolicy().GetVersion()), Path: e.GetPolicy().GetProvision()},
	}
}

func searchAuditEvents(c *call, q query) (page, error) {
	in := &yitongv1.EntriesRequest{Filter: &yitongv1.EntryFilter{}, NewestFirst: true}
	var also []func(auditevent.Event) bool
	for _, cr := range q.criteria {
		filter, err := eventCriterion(cr, in)
		if err != nil {
			return page{}, err
		}
		if filter != nil {
			also = append(also, filter)
		}
	}
	members, err := c.members()
	if err != nil {
		return page{}, err
	}
	pieces := rounds
	id, one := onlyID(q)
	if one { // then only the entry that it would be of is looked at
		bookmark, ok := before(id)
		if !ok {
			return page{}, nil
		}
		q.cursor, q.count, q.summary, pieces, in.NewestFirst = bookmark, 1, "", 1, false
	}
	p, err := gather(q, pieces, func(at *yitongv1.Page) (found []auditevent.Event, next string, err error) {
		in.Page = at
		out, err := c.audit().Entries(c.ctx(), in)
		for _, e := range out.GetEntries() {
			found = append(found, c.event(e, members))
		}
		return found, out.GetNextBookmark(), err
	}, also, func(v auditevent.Event) entry { return entry{id: v.ID, resource: v} })
	if in.GetFilter().GetPatient() != nil && status.Code(err) == codes.NotFound {
		// Nothing is known here of who that is, which is not to say that nothing happened.
		return page{entries: []entry{{mode: "outcome", resource: unknownPatient(err)}}}, nil
	}
	if status.Code(err) == codes.NotFound { // a member that the ledger doesn't tell of did nothing
		return page{}, nil
	}
	if one {
		n := len(p.entries)
		p.next, p.total = "", &n
	}
	return p, err
}

// onlyID is the one id that a search is for.
func onlyID(q query) (string, bool) {
	ids := q.get("_id")
	if len(ids) != 1 || len(ids[0].values) != 1 {
		return "", false
	}
	return tokenOf(ids[0].values[0]).code, true
}

// unknownPatient warns of what was left out of a search.
func unknownPatient(err error) operationOutcome {
	f := faultOf(err)
	o := f.outcome()
	o.Issue[0].Severity = "warning"
	return o
}

// eventCriterion puts a criterion into the trail's own filter, as far as it knows it, and returns
// what is left to be seen of the AuditEvents.
func eventCriterion(cr criterion, in *yitongv1.EntriesRequest) (func(auditevent.Event) bool, error) {
	name, _, _ := strings.Cut(strings.ReplaceAll(cr.param.name, ".identifier", ":identifier"), ":")
	t := tokenOf(cr.values[0])
	if strings.HasSuffix(cr.param.name, "identifier") && len(cr.values) > 1 {
		return nil, tooMany(cr.param.name)
	}
	switch name {
	case "date", "_lastUpdated":
		if err := cr.checkDates(); err != nil {
			return nil, err
		}
		in.Filter.Time = overlapping(in.Filter.Time, cr)
		return func(v auditevent.Event) bool {
			at, err := time.Parse(time.RFC3339, v.Recorded)
			return err == nil && cr.covers(at, at.Add(time.Second))
		}, nil
	case "_id":
		return func(v auditevent.Event) bool { return slices.Contains(codesOf(cr.values), v.ID) }, nil
	case "patient":
		if t.system == handleSystem {
			in.Filter.Handle = t.code
			return nil, nil
		}
		system, value, err := patientOf("http."+cr.param.name, cr.values[0])
		in.Filter.Patient = &yitongv1.Patient{System: system, Value: value}
		return nil, err
	case "agent":
		if t.system != memberSystem {
			return nil, invalid("http."+cr.param.name, "agents are asked for by member", memberSystem+"|MSP id")
		}
		in.Filter.Member = t.code
		return nil, nil
	case "entity":
		if kind, ours := strings.CutPrefix(t.system, "urn:yitong:"); !ours && !t.anySystem || kind == "handle" {
			return nil, invalid("http."+cr.param.name, "entities are asked for by their ids", "urn:yitong:consent|id, urn:yitong:access|id, urn:yitong:record|id")
		}
		in.Filter.Object = t.code
		return nil, nil
	case "outcome":
		for _, code := range codesOf(cr.values) {
			in.Filter.Outcomes = append(in.Filter.Outcomes, trailOutcomes[code]...)
		}
		return func(v auditevent.Event) bool { return slices.Contains(codesOf(cr.values), v.Outcome) }, nil
	case "action":
		return func(v auditevent.Event) bool { return slices.Contains(codesOf(cr.values), v.Action) }, nil
	case "type":
		narrow(cr, in)
		return func(v auditevent.Event) bool { return cr.has(Coding(v.Type)) }, nil
	case "subtype":
		narrow(cr, in)
		return func(v auditevent.Event) bool {
			return slices.ContainsFunc(v.Subtype, func(s auditevent.Coding) bool { return cr.has(Coding(s)) })
		}, nil
	case "_profile":
		return func(v auditevent.Event) bool {
			return v.Meta != nil && slices.ContainsFunc(v.Meta.Profile, func(p string) bool { return slices.Contains(cr.values, p) })
		}, nil
	case "_sort":
		newest, err := newestFirst(cr.values[0])
		in.NewestFirst = newest
		return nil, err
	}
	return nil, nil
}

// trailOutcomes are the trail's, by FHIR's code.
var trailOutcomes = map[string][]string{"0": {"success"}, "4": {"failed"}, "8": {"denied", "invalid"}}

// kindsOf are the kinds of entry that a type or subtype can only come of, by its code.
var kindsOf = map[string][]string{"AuthZ-Consent": {"request"}, "110106": {"release"}, "110107": {"receipt"}}

// narrow leaves out kinds of entry that can't make what is asked for.
func narrow(cr criterion, in *yitongv1.EntriesRequest) {
	if len(cr.values) == 1 {
		in.Filter.Kinds = append(in.Filter.Kinds, kindsOf[tokenOf(cr.values[0]).code]...)
	}
}
