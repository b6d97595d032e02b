package fhir

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// maxConsent bounds a Consent that is received, in bytes: the signed form of 3 MiB in base64, and
// what is said about it.
const maxConsent = 4<<20 + 256<<10

// consents is FHIR's Consent: the directives of patients on the ledger, after IHE PCF (ITI-108).
//
// One Consent is one consent of the ledger, so of one relationship: its patient, the hospital that it
// is put to, and the one member that the root provision names. Its versions are the ledger's. It is
// withdrawn by an update to inactive, or to entered-in-error; a deletion isn't offered, because
// nothing on the ledger goes away.
func (f *facade) consents() resource {
	patient := func(name string) param {
		return param{name: name, kind: "token", doc: "the patient, by an identifier: system|value", patient: true}
	}
	return resource{
		kind:     "Consent",
		profiles: []string{pcfProfiles + "Basic", pcfProfiles + "Intermediate", pcfProfiles + "Advanced"},
		documentation: "IHE PCF, ITI-108. One Consent for each recipient: the root provision has a type and exactly one actor (IRCP), a member by " + memberSystem +
			". The source is the signed form: it stays with the hospital, and a salted digest is on the ledger. An update needs If-Match; inactive or entered-in-error withdraws. " +
			"What can't be kept without changing what is meant is refused with its element. Directives that patients signed themselves are here too, with their verification.",
		read: readDirective, vread: readDirective, past: consentHistory, create: createConsent, update: updateConsent, search: searchConsents, conditional: true,
		params: []param{
			patient("patient.identifier"), patient("patient:identifier"),
			{name: "identifier", kind: "token", doc: "what the institution, or the ledger, calls it"},
			{name: "status", kind: "token", doc: "active, inactive or entered-in-error"},
			{name: "actor:identifier", kind: "token", doc: "the recipient: " + memberSystem + "|MSP id"},
			{name: "organization:identifier", kind: "token", doc: "the custodian: likewise"},
			{name: "period", kind: "date", doc: "when it is in force"},
			{name: "date", kind: "date", doc: "when the version was recorded"},
			{name: "_sort", kind: "special", doc: "_lastUpdated or -_lastUpdated, which is the default"},
		},
	}
}

// directives of the gateway's own service.
func (c *call) directives() yitongv1.DirectivesClient { return yitongv1.NewDirectivesClient(c.conn) }

// versions reads every version of the consent that the address names.
func (c *call) versions() ([]*yitongv1.Directive, error) {
	if !isLedgerID(c.id) {
		return nil, notFound()
	}
	out, err := c.directives().Get(c.ctx(), &yitongv1.GetDirectiveRequest{Id: c.id})
	if status.Code(err) == codes.NotFound {
		return nil, notFound()
	}
	return out.GetVersions(), err
}

// isLedgerID reports 32 lower-case hex digits.
func isLedgerID(id string) bool {
	if len(id) != 32 {
		return false
	}
	for i := range len(id) {
		if b := id[i]; (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return true
}

// readDirective answers a read, or where the address names a version a vread.
func readDirective(c *call) (answer, error) {
	all, err := c.versions()
	if err != nil {
		return answer{}, err
	}
	d := all[len(all)-1]
	if c.version != "" {
		i := slices.IndexFunc(all, func(d *yitongv1.Directive) bool { return strconv.Itoa(int(d.GetConsent().GetVersion())) == c.version })
		if i < 0 {
			return answer{}, notFound()
		}
		d = all[i]
	}
	members, err := c.members()
	if err != nil {
		return answer{}, err
	}
	return directiveAnswer(d, members), nil
}

func directiveAnswer(d *yitongv1.Directive, members roster) answer {
	version := strconv.Itoa(int(d.GetConsent().GetVersion()))
	return answer{
		resource: consentOut(d, members), etag: version, modified: timeOf(d.GetConsent().GetRecorded()),
		message: "consent " + d.GetConsent().GetId() + " stands in version " + version,
	}
}

// A history is a Bundle of versions, the newest first.
type history struct {
	ResourceType string         `json:"resourceType"`
	Type         string         `json:"type"`
	Total        int            `json:"total"`
	Entry        []historyEntry `json:"entry"`
}

type historyEntry struct {
	FullURL  string         `json:"fullUrl"`
	Resource any            `json:"resource"`
	Request  historyRequest `json:"request"`
	Response bundleResponse `json:"response"`
}

type historyRequest struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

func consentHistory(c *call) (answer, error) {
	all, err := c.versions()
	if err != nil {
		return answer{}, err
	}
	members, err := c.members()
	if err != nil {
		return answer{}, err
	}
	out := history{ResourceType: "Bundle", Type: "history", Total: len(all)}
	for i, d := range slices.Backward(all) {
		e := historyEntry{FullURL: c.address() + "/Consent/" + c.id, Resource: consentOut(d, members), Request: historyRequest{http.MethodPut, "Consent/" + c.id}}
		recorded := timeOf(d.GetConsent().GetRecorded())
		e.Response = bundleResponse{Status: "200", ETag: `W/"` + strconv.Itoa(int(d.GetConsent().GetVersion())) + `"`, LastModified: instant(recorded)}
		if i == 0 {
			e.Request, e.Response.Status = historyRequest{http.MethodPost, "Consent"}, "201"
		}
		out.Entry = append(out.Entry, e)
	}
	return answer{resource: out}, nil
}

// sentConsent reads the body.
func (c *call) sentConsent() (directive, roster, error) {
	e, err := c.received("Consent", maxConsent)
	if err != nil {
		return directive{}, nil, err
	}
	members, err := c.members()
	if err != nil {
		return directive{}, nil, err
	}
	d, err := readConsent(e, members, members.find(c.Member).GetMspId())
	return d, members, err
}

func createConsent(c *call) (answer, error) {
	d, members, err := c.sentConsent()
	if err != nil {
		return answer{}, err
	}
	if found, done, err := c.alreadyThere(members); err != nil || done {
		return found, err
	}
	switch {
	case d.status != "active":
		return answer{}, unprocessable("Consent.status", "what isn't in force isn't put on the ledger", "active")
	case d.provision == nil:
		return answer{}, unprocessable("Consent.provision", "there is no rule", "a root provision with the type permit or deny")
	case d.form == nil:
		return answer{}, needsForm(d)
	}
	out, err := yitongv1.NewConsentsClient(c.conn).Grant(c.ctx(), &yitongv1.GrantRequest{
		Id: c.idOf(d.identifiers), Patient: d.patient, Requester: d.requester, Period: d.period, Provision: d.provision, Form: d.form, Identifiers: d.identifiers,
	})
	if err != nil {
		return answer{}, at("Consent", err)
	}
	a := directiveAnswer(granted(out, d, members.find(c.Member).GetMspId()), members)
	a.status, a.location = http.StatusCreated, "Consent/"+out.GetConsent().GetId()+"/_history/"+a.etag
	return a, nil
}

// idOf is the id of the consent that the institution calls so: of one name always the same, so
// that the same again is done once. It is "" of none.
func (c *call) idOf(identifiers []*yitongv1.Identifier) string {
	if len(identifiers) == 0 {
		return ""
	}
	return hex.EncodeToString(c.derive("consent", identifiers[0].GetSystem(), identifiers[0].GetValue())[:16])
}

func needsForm(d directive) error {
	return unprocessable(d.at, "a consent rests on what the patient signed", "sourceAttachment with data or a url, or a sourceReference to it; each version on its own")
}

// granted is what the ledger answered, with whose it is.
func granted(out *yitongv1.ConsentResponse, d directive, custodian string) *yitongv1.Directive {
	return &yitongv1.Directive{
		Consent: out.GetConsent(), Custodian: custodian, Requester: d.requester, Patient: d.patient, Identifiers: d.identifiers, Commit: out.GetCommit(),
	}
}

// alreadyThere is the conditional create: a Consent that matches is answered in place of a new one.
func (c *call) alreadyThere(members roster) (a answer, done bool, err error) {
	condition := c.in.Header.Get("If-None-Exist")
	if condition == "" {
		return a, false, nil
	}
	const where = "http.header.If-None-Exist"
	form, err := url.ParseQuery(condition)
	if err != nil || len(form) != 1 || len(form["identifier"]) != 1 {
		return a, false, invalid(where, "this condition isn't known here", "identifier=system|value")
	}
	t := tokenOf(splitValues(form.Get("identifier"))[0])
	if t.anySystem || t.system == "" || t.code == "" {
		return a, false, invalid(where, "the identifier has no system or no value", "identifier=system|value")
	}
	in := &yitongv1.SearchDirectivesRequest{Page: &yitongv1.Page{Size: 2}}
	if t.system == consentSystem {
		in.Ids = []string{t.code}
	} else {
		in.Identifier = &yitongv1.Identifier{System: t.system, Value: t.code}
	}
	found, err := c.directives().Search(c.ctx(), in)
	if err != nil || len(found.GetDirectives()) == 0 {
		return a, false, err
	}
	d := found.GetDirectives()[0]
	a = directiveAnswer(d, members)
	a.status, a.location = http.StatusOK, "Consent/"+d.GetConsent().GetId()+"/_history/"+a.etag
	return a, true, nil
}

func updateConsent(c *call) (answer, error) {
	d, members, err := c.sentConsent()
	if err != nil {
		return answer{}, err
	}
	if d.id != c.id {
		return answer{}, invalid("Consent.id", "it isn't the one that the address names", "the id of the address")
	}
	all, err := c.versions()
	if err != nil {
		return answer{}, err
	}
	present := all[len(all)-1]
	if err := c.ifMatch(strconv.Itoa(int(present.GetConsent().GetVersion())), true); err != nil {
		return answer{}, err
	}
	if d.provision != nil && d.requester != present.GetRequester() {
		return answer{}, unprocessable("Consent.provision.actor", "a consent stays with its recipient", present.GetRequester()+", or a Consent of its own")
	}
	d.requester = present.GetRequester()
	var out *yitongv1.ConsentResponse
	reason := ""
	switch d.status {
	case "active":
		if d.provision == nil {
			return answer{}, unprocessable("Consent.provision", "there is no rule", "a root provision with the type permit or deny")
		}
		if d.form == nil {
			return answer{}, needsForm(d)
		}
		out, err = yitongv1.NewConsentsClient(c.conn).Amend(c.ctx(), &yitongv1.AmendRequest{
			Id: c.id, Patient: d.patient, Requester: d.requester, Version: present.GetConsent().GetVersion(), Period: d.period, Provision: d.provision, Form: d.form,
		})
	case "inactive", "entered-in-error":
		if d.provision != nil && !sameProvision(d.provision, present.GetConsent().GetProvision(), d.period, present.GetConsent().GetPeriod(), members, d.requester) {
			return answer{}, unprocessable("Consent.provision", "a withdrawal changes no rule", "the provision as it stands, or none")
		}
		if reason = "patient-request"; d.status == "entered-in-error" {
			reason = "error"
		}
		out, err = yitongv1.NewConsentsClient(c.conn).Withdraw(c.ctx(), &yitongv1.WithdrawRequest{Id: c.id, Patient: d.patient, Requester: d.requester, Reason: reason})
	default:
		err = unprocessable("Consent.status", "the ledger knows no such state", "active, inactive or entered-in-error")
	}
	if err != nil {
		return answer{}, at("Consent", err)
	}
	now := granted(out, d, present.GetCustodian())
	now.Reason, now.Identifiers = reason, present.GetIdentifiers()
	return directiveAnswer(now, members), nil
}

// at says of a refusal, which knows nothing of resources, in which one it lies. The rules name a
// provision by its path, which is FHIR's.
func at(resource string, err error) error {
	f := faultOf(err)
	if f.Expression == "" && f.Status < http.StatusInternalServerError {
		f.Expression = resource
	}
	return f
}

func searchConsents(c *call, q query) (page, error) {
	in := &yitongv1.SearchDirectivesRequest{NewestFirst: true}
	var also []func(*yitongv1.Directive) bool
	for _, cr := range q.criteria {
		one := cr.values[0]
		if len(cr.values) > 1 && cr.param.kind != "date" && cr.param.name != "_id" && cr.param.name != "status" {
			return page{}, tooMany(cr.param.name)
		}
		t := tokenOf(one)
		switch cr.param.name {
		case "patient.identifier", "patient:identifier":
			system, value, err := patientOf("http."+cr.param.name, one)
			if err != nil {
				return page{}, err
			}
			in.Patient = &yitongv1.Patient{System: system, Value: value}
		case "identifier":
			if t.system == consentSystem || isLedgerID(t.code) && t.anySystem {
				in.Ids = []string{t.code}
				continue
			}
			if t.anySystem || t.system == "" {
				return page{}, invalid("http.identifier", "the identifier has no system", "system|value")
			}
			in.Identifier = &yitongv1.Identifier{System: t.system, Value: t.code}
		case "_id":
			if in.Ids = ledgerIDs(cr.values); in.Ids == nil {
				return page{}, nil
			}
		case "status":
			if !statusWanted(cr.values, in) {
				return page{}, nil
			}
			also = append(also, func(d *yitongv1.Directive) bool {
				return slices.Contains(codesOf(cr.values), consentStatus(d.GetConsent().GetStatus(), d.GetReason()))
			})
		case "actor:identifier", "organization:identifier":
			if !t.anySystem && t.system != memberSystem {
				return page{}, nil
			}
			if cr.param.name == "actor:identifier" {
				in.Requester = t.code
			} else {
				in.Custodian = t.code
			}
		case "period":
			if err := cr.checkDates(); err != nil {
				return page{}, err
			}
			in.InForce = overlapping(in.InForce, cr)
			also = append(also, func(d *yitongv1.Directive) bool {
				p := d.GetConsent()
				return cr.covers(timeOf(later(p.GetPeriod().GetStart(), p.GetProvision().GetPeriod().GetStart())), timeOf(sooner(p.GetPeriod().GetEnd(), p.GetProvision().GetPeriod().GetEnd())))
			})
		case "date", "_lastUpdated":
			if err := cr.checkDates(); err != nil {
				return page{}, err
			}
			in.Recorded = overlapping(in.Recorded, cr)
			also = append(also, func(d *yitongv1.Directive) bool {
				t := timeOf(d.GetConsent().GetRecorded())
				return cr.covers(t, t.Add(time.Second))
			})
		case "_sort":
			newest, err := newestFirst(one)
			if err != nil {
				return page{}, err
			}
			in.NewestFirst = newest
		}
	}
	members, err := c.members()
	if err != nil {
		return page{}, err
	}
	return gather(q, rounds, func(at *yitongv1.Page) ([]*yitongv1.Directive, string, error) {
		in.Page = at
		out, err := c.directives().Search(c.ctx(), in)
		return out.GetDirectives(), out.GetNextBookmark(), err
	}, also, func(d *yitongv1.Directive) entry {
		return entry{id: d.GetConsent().GetId(), resource: consentOut(d, members)}
	})
}

func tooMany(name string) error {
	return invalid("http."+name, "of this parameter one value is understood", "one value, or a search for each")
}

// newestFirst reads _sort.
func newestFirst(value string) (bool, error) {
	switch value {
	case "-_lastUpdated", "-date":
		return true, nil
	case "_lastUpdated", "date":
		return false, nil
	}
	return false, invalid("http._sort", "this order isn't known here", "_lastUpdated or -_lastUpdated")
}

// ledgerIDs are those of the values that can be ids; nil if none can.
func ledgerIDs(values []string) (ids []string) {
	for _, v := range values {
		if t := tokenOf(v); isLedgerID(t.code) {
			ids = append(ids, t.code)
		}
	}
	return ids
}

// codesOf are the codes of tokens.
func codesOf(values []string) (all []string) {
	for _, v := range values {
		all = append(all, tokenOf(v).code)
	}
	return all
}

// statusWanted puts the states asked for into the ledger's words; false where it knows none of them.
func statusWanted(values []string, in *yitongv1.SearchDirectivesRequest) bool {
	for _, code := range codesOf(values) {
		switch code {
		case "active":
			in.Statuses = append(in.Statuses, "active")
		case "inactive", "entered-in-error":
			in.Statuses = append(in.Statuses, "withdrawn")
		}
	}
	in.Statuses = sorted(in.Statuses)
	return len(in.Statuses) > 0
}

// overlapping narrows a span to what a criterion may hold of, so that fewer are looked at; what
// exactly it holds of is said afterwards.
func overlapping(within *yitongv1.Period, cr criterion) *yitongv1.Period {
	if len(cr.values) != 1 {
		return within
	}
	prefix, s, ok := bound(cr.values[0])
	if !ok {
		return within
	}
	out := &yitongv1.Period{Start: within.GetStart(), End: within.GetEnd()}
	switch prefix {
	case "eq":
		out.Start, out.End = later(out.Start, wholeSecond(s.start, false)), sooner(out.End, wholeSecond(s.end, true))
	case "ge", "gt", "sa":
		out.Start = later(out.Start, wholeSecond(s.start, false))
	case "le", "lt", "eb":
		out.End = sooner(out.End, wholeSecond(s.end, true))
	}
	if out.Start == nil && out.End == nil {
		return within
	}
	return out
}

// wholeSecond rounds down, or up.
func wholeSecond(t time.Time, up bool) *timestamppb.Timestamp {
	whole := t.Truncate(time.Second)
	if up && !whole.Equal(t) {
		whole = whole.Add(time.Second)
	}
	return timestamppb.New(whole)
}
