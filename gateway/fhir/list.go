package fhir

import (
	"slices"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// The systems of IHE MHD's two kinds of List, and of its two kinds of identifier.
const (
	mhdLists       = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
	mhdIdentifiers = "https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType"
)

func init() {
	transactions = append(transactions, "ITI-66 Find Document Lists: GET and POST List search; read; each record is a SubmissionSet, and there are no Folders")
}

type listResource struct {
	ResourceType string          `json:"resourceType"`
	ID           string          `json:"id"`
	Meta         *Meta           `json:"meta"`
	Extension    []listExtension `json:"extension"`
	Identifier   []Identifier    `json:"identifier"`
	Status       string          `json:"status"`
	Mode         string          `json:"mode"`
	Code         Concept         `json:"code"`
	Subject      *Reference      `json:"subject,omitempty"`
	Date         string          `json:"date"`
	Source       listSource      `json:"source"`
	Entry        []listEntry     `json:"entry"`
}

type listExtension struct {
	URL             string      `json:"url"`
	ValueIdentifier *Identifier `json:"valueIdentifier,omitempty"`
	ValueReference  *Reference  `json:"valueReference,omitempty"`
}

type listSource struct {
	Extension []listExtension `json:"extension"`
}

type listEntry struct {
	Item Reference `json:"item"`
}

// lists are the records as SubmissionSets (IHE MHD ITI-66): for each a List of what can be read of it
// here. What a submitter says of a SubmissionSet is not in it: that spans documents of several classes
// and labels, and would tell who may read one of them about the others.
func (f *facade) lists() resource {
	return resource{
		kind: "List", profiles: []string{mhd + "IHE.MHD.Minimal.SubmissionSet"},
		documentation: "The SubmissionSet of a record (IHE MHD): the documents of it that can be read here. There is one for each record that can be read, made of it; " +
			"none is created here but by ITI-65, and what was said there of the set, and Folders, isn't kept.",
		read: readList, search: searchLists,
		params: append(documentPatients(),
			param{name: "code", kind: "token", doc: "submissionset; of folders there are none"},
			param{name: "identifier", kind: "token", doc: recordSystem + "|id or " + accessSystem + "|id, or the entryUUID"},
			param{name: "status", kind: "token", doc: "current, retired or entered-in-error; superseded is retired"},
			param{name: "date", kind: "date", doc: "when it was submitted, or opened"},
			param{name: "sourceId", kind: "token", doc: "the hospital: " + memberSystem + "|MSP id"},
			param{name: "designationType", kind: "token", doc: "what no List here has"},
			param{name: "source.given", kind: "string", doc: "likewise: their source is an organisation"},
			param{name: "source.family", kind: "string", doc: "likewise"},
		),
	}
}

func readList(c *call) (answer, error) {
	parts, err := c.record()
	if err != nil {
		return answer{}, err
	}
	members, err := c.members()
	if err != nil {
		return answer{}, err
	}
	l := c.list(parts, members)
	a := answer{resource: l, etag: l.Meta.VersionID}
	if a.etag == "1" { // as of a DocumentReference
		a.modified = timeOf(parts[0].GetOpened())
	}
	return a, nil
}

// list is the SubmissionSet of a record's parts.
func (c *call) list(parts []*yitongv1.ContentEntry, members roster) listResource {
	e := parts[0]
	custodian := e.GetCustodian()
	if custodian == "" {
		custodian = members.find(c.Member).GetMspId()
	}
	id, at := e.GetRecordId(), instant(timeOf(e.GetOpened()))
	source := members.reference(custodian)
	l := listResource{
		ResourceType: "List", ID: place{id, -1, e.GetAccessId()}.id(), Meta: &Meta{VersionID: documentVersion(e), LastUpdated: at},
		Extension: []listExtension{{URL: mhd + "ihe-sourceId", ValueIdentifier: source.Identifier}},
		Identifier: []Identifier{
			{Type: kindOfIdentifier("entryUUID"), System: uris, Value: "urn:uuid:" + id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]},
			{System: recordSystem, Value: id},
		},
		Status: listStatus[documentStatus(e)], Mode: "working", Code: Concept{Coding: []Coding{{System: mhdLists, Code: "submissionset"}}}, Date: at,
		Source: listSource{[]listExtension{{URL: mhd + "ihe-authorOrg", ValueReference: &source}}},
	}
	if l.Status == "current" {
		l.Meta.Profile = []string{mhd + "IHE.MHD.Minimal.SubmissionSet"}
	}
	if e.GetAccessId() != "" {
		l.Identifier = append(l.Identifier, Identifier{System: accessSystem, Value: e.GetAccessId()})
	}
	if who := e.GetPatient(); who != nil {
		s := c.subjectOf(who)
		l.Subject = &s
	}
	for i, part := range parts {
		if !describes(parts, i) {
			l.Entry = append(l.Entry, listEntry{Reference{Reference: "DocumentReference/" + placeOf(part).id(), Type: "DocumentReference"}})
		}
	}
	return l
}

// listStatus is list-status, by document-reference-status.
var listStatus = map[string]string{"current": "current", "superseded": "retired", "entered-in-error": "entered-in-error"}

// kindOfIdentifier is an Identifier's type as MHD has it: entryUUID or uniqueId.
func kindOfIdentifier(code string) *Concept {
	return &Concept{Coding: []Coding{{System: mhdIdentifiers, Code: code}}}
}

func searchLists(c *call, q query) (p page, err error) {
	asked, err := c.contentsWanted(q)
	if err != nil || asked == nil {
		return page{}, err
	}
	if p, ok := recordPlace(q.first("_id")); ok {
		asked.RecordId, asked.AccessId = p.record, p.access
	}
	members, err := c.members()
	if err != nil {
		return page{}, err
	}
	n, looked := 0, 0
	var last *yitongv1.ContentEntry
	for g, err := range c.groups(asked, q.cursor) {
		if err != nil {
			return page{}, err
		}
		end := g.parts[len(g.parts)-1]
		if !g.after(end) {
			continue
		}
		if q.summary != "count" && (len(p.entries) == max(q.count, 1) || looked >= maxScan) {
			p.next = g.cursor(last)
			return p, nil
		}
		looked, last = looked+1, end
		l := c.list(g.parts, members)
		if slices.ContainsFunc(q.criteria, func(cr criterion) bool { return !cr.param.patient && !cr.matchesList(l) }) {
			continue
		}
		if n++; q.summary != "count" {
			p.entries = append(p.entries, entry{id: l.ID, resource: l})
		}
	}
	if q.cursor == "" {
		p.total = &n
	}
	return p, nil
}

func (c criterion) matchesList(l listResource) bool {
	switch c.param.name {
	case "_id":
		return slices.Contains(c.values, l.ID)
	case "code":
		return c.has(l.Code.Coding...)
	case "identifier":
		return slices.ContainsFunc(l.Identifier, func(i Identifier) bool { return c.has(Coding{System: i.System, Code: i.Value}) })
	case "sourceId":
		i := l.Extension[0].ValueIdentifier
		return c.has(Coding{System: i.System, Code: i.Value})
	case "status":
		return c.has(Coding{System: "http://hl7.org/fhir/list-status", Code: l.Status}) || l.Status == "retired" && slices.Contains(codesOf(c.values), "superseded")
	case "date", "_lastUpdated":
		return c.during(l.Date)
	}
	return false
}
