package fhir

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

const mhd = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/"

// digestExtension holds the SHA-256 of a content; Attachment.hash of R4 is SHA-1 alone.
const digestExtension = "urn:yitong:extension:sha-256"

// partSystem is the namespace of what names a part on every gateway: RECORD/INDEX.
const (
	partSystem   = "urn:yitong:part"
	recordSystem = "urn:yitong:record"
)

func init() {
	transactions = append(transactions,
		"ITI-67 Find Document References: GET and POST DocumentReference search, all of the transaction's parameters, authors by contained ones; read",
		"ITI-105 Simplified Publish: POST DocumentReference with its content within",
		"ITI-106 Generate Metadata: not supported, a document Bundle is split into parts and none of them is the document; it is posted as it is",
	)
}

// maxDescription is how long a description of a file may be.
const maxDescription = 1 << 20

// documentReferences describe the parts that can be read (IHE MHD ITI-67), and take what is
// submitted with its content (ITI-105).
func (f *facade) documentReferences() resource {
	return resource{
		kind:     "DocumentReference",
		profiles: []string{mhd + "IHE.MHD.Minimal.DocumentReference", mhd + "IHE.MHD.SimplifiedPublish.DocumentReference"},
		documentation: "One for each part of a record that can be read here: a hospital's own, and what a member opened while its permit stands. " +
			"category is the data class, securityLabel the sensitivity, context.period the time of the data; what the submitter said of a file is kept. " +
			"Create takes the content in content.attachment.data; a URL there is never followed.",
		read: readDocument, create: createDocument, search: searchDocuments, conditional: true,
		params: append(documentPatients(), []param{
			{name: "identifier", kind: "token", doc: "master identifier, or another"},
			{name: "status", kind: "token", doc: "current, superseded or entered-in-error"},
			{name: "category", kind: "token", doc: "data class (" + classSystem + "), or what the submitter said"},
			{name: "type", kind: "token", doc: "what the submitter said"},
			{name: "security-label", kind: "token", doc: "sensitivity"},
			{name: "contenttype", kind: "token", doc: "media type"},
			{name: "date", kind: "date", doc: "when it was indexed"},
			{name: "period", kind: "date", doc: "time of the data"},
			{name: "creation", kind: "date", doc: "when the document was made"},
			{name: "event", kind: "token", doc: "context.event"},
			{name: "facility", kind: "token", doc: "context.facilityType"},
			{name: "setting", kind: "token", doc: "context.practiceSetting"},
			{name: "format", kind: "token", doc: "content.format"},
			{name: "author.family", kind: "string", doc: "of a contained author"},
			{name: "author.given", kind: "string", doc: "of a contained author"},
			{name: "description", kind: "string", doc: "begins so"},
			{name: "relatesto", kind: "reference", doc: "target of relatesTo"},
			{name: "related", kind: "reference", doc: "context.related"},
		}...),
	}
}

// documentPatients are the parameters that name whose documents are looked for.
func documentPatients() (all []param) {
	for _, name := range []string{"patient", "subject"} {
		all = append(all, param{name: name, kind: "reference", doc: "Patient/[id]", patient: true})
		for _, by := range []string{".identifier", ":identifier"} {
			all = append(all, param{name: name + by, kind: "token", doc: "system|value", patient: true})
		}
	}
	return all
}

func readDocument(c *call) (answer, error) {
	p, ok := partPlace(c.id)
	if !ok {
		return answer{}, notFound()
	}
	parts, err := c.recordAt(place{record: p.record, index: -1, access: p.access})
	if f, ok := err.(*Fault); ok && f.Type == "not-found" {
		return answer{}, c.whyNot(p)
	}
	if err != nil {
		return answer{}, err
	}
	i := slices.IndexFunc(parts, func(e *yitongv1.ContentEntry) bool { return int(e.GetPart().GetIndex()) == p.index })
	if i < 0 || describes(parts, i) {
		return answer{}, c.whyNot(p)
	}
	doc, err := c.documentOf(parts, i)
	if err != nil {
		return answer{}, err
	}
	a := answer{resource: doc, etag: documentVersion(parts[i])}
	if a.etag == "1" { // when it was superseded isn't known here
		a.modified = timeOf(parts[i].GetOpened())
	}
	return a, nil
}

// describes reports whether a part is what its submitter said of the file in the part before.
func describes(parts []*yitongv1.ContentEntry, i int) bool {
	return parts[i].GetPart().GetIndex() == 1 && parts[i].GetPart().GetMediaType() == mediaType && hasFile(parts)
}

func hasFile(parts []*yitongv1.ContentEntry) bool {
	return slices.ContainsFunc(parts, func(e *yitongv1.ContentEntry) bool {
		return e.GetPart().GetIndex() == 0 && e.GetPart().GetMediaType() != mediaType
	})
}

// documentOf is the DocumentReference of a part, with what its submitter said of it.
func (c *call) documentOf(parts []*yitongv1.ContentEntry, i int) ([]byte, error) {
	e := parts[i]
	var said *element
	if e.GetPart().GetIndex() == 0 && e.GetPart().GetMediaType() != mediaType {
		for j := range parts {
			if describes(parts, j) {
				var err error
				if said, err = c.said(placeOf(parts[j])); err != nil {
					return nil, err
				}
			}
		}
	}
	return c.document(e, said), nil
}

func placeOf(e *yitongv1.ContentEntry) place {
	return place{e.GetRecordId(), int(e.GetPart().GetIndex()), e.GetAccessId()}
}

// said reads a description: a Bundle with one DocumentReference.
func (c *call) said(p place) (*element, error) {
	raw, err := c.whole(p, maxDescription+1<<10)
	if err != nil {
		return nil, err
	}
	e, err := parse(raw, "Bundle")
	if err != nil {
		return nil, err
	}
	return e.at("entry", 0, "resource"), nil
}

// fields are the members of an object that is being written.
type fields []field

type field struct {
	name string
	raw  json.RawMessage
}

func (f *fields) add(name string, value any) {
	*f = append(*f, field{name, raw(value)})
}

func (f fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(marshal(m.name))
		b.WriteByte(':')
		b.Write(m.raw)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// rest adds the members of an element that aren't named, as they were received.
func (f *fields) rest(e *element, without ...string) {
	if e == nil {
		return
	}
	for _, m := range e.members {
		if !slices.Contains(without, strings.TrimPrefix(m.name, "_")) {
			*f = append(*f, field{m.name, m.value.raw})
		}
	}
}

// joined are the items of an array as they were received, and more.
func joined(e *element, more ...any) []json.RawMessage {
	var all []json.RawMessage
	if e != nil {
		for _, item := range e.items {
			all = append(all, item.raw)
		}
	}
	for _, m := range more {
		all = append(all, raw(m))
	}
	return all
}

// document writes the DocumentReference of a part. What its submitter said is passed on byte
// for byte, but for what this gateway knows better.
func (c *call) document(e *yitongv1.ContentEntry, said *element) []byte {
	p := e.GetPart()
	id := placeOf(e).id()
	opened := instant(timeOf(e.GetOpened()))
	var d fields
	d.add("resourceType", "DocumentReference")
	d.add("id", id)
	meta := fields{}
	meta.add("versionId", documentVersion(e))
	meta.add("lastUpdated", opened)
	meta.rest(said.get("meta"), "versionId", "lastUpdated", "profile")
	if p := mhdProfile(e, said); p != "" { // what its submitter claimed was of what was sent
		meta.add("profile", []string{mhd + p})
	}
	d.add("meta", meta)
	if said.get("masterIdentifier") == nil {
		d.add("masterIdentifier", Identifier{Type: kindOfIdentifier("uniqueId"), System: uris, Value: partSystem + ":" + p.GetRecordId() + ":" + strconv.Itoa(int(p.GetIndex()))})
	}
	more := []any{Identifier{System: recordSystem, Value: e.GetRecordId()}}
	if e.GetAccessId() != "" {
		more = append(more, Identifier{System: accessSystem, Value: e.GetAccessId()})
	}
	d.add("identifier", joined(said.get("identifier"), more...))
	d.add("status", documentStatus(e))
	d.add("category", categories(said, Coding{System: classSystem, Code: p.GetDataClass()}))
	if who := e.GetPatient(); who != nil {
		d.add("subject", c.subjectOf(who))
	} else if s := said.get("subject"); s != nil {
		d.add("subject", s.raw)
	}
	if said.get("date") == nil {
		d.add("date", opened)
	}
	if e.GetCustodian() != "" && said.get("custodian") == nil {
		d.add("custodian", Reference{Type: "Organization", Identifier: &Identifier{System: memberSystem, Value: e.GetCustodian()}})
	}
	if labels := c.labels(p, said); len(labels) > 0 {
		d.add("securityLabel", labels)
	}
	d.add("content", []fields{c.attached(e, said.at("content", 0))})
	context := fields{}
	context.rest(said.get("context"))
	if span := period(p.GetDataPeriod()); span != nil && said.at("context", "period") == nil {
		context.add("period", span)
	}
	if len(context) > 0 {
		d.add("context", context)
	}
	d.rest(said, "resourceType", "id", "meta", "identifier", "status", "category", "subject", "securityLabel", "content", "context")
	return marshal(d)
}

func (c *call) subjectOf(who *yitongv1.Patient) Reference {
	return Reference{Reference: "Patient/" + c.patientID(who), Type: "Patient", Identifier: &Identifier{System: who.GetSystem(), Value: who.GetValue()}}
}

// categories are those that the submitter gave, and the data class: another coding of the first, for
// MHD allows one category.
func categories(said *element, class Coding) []json.RawMessage {
	given := said.list("category")
	for _, g := range given {
		if slices.Contains(codings(g), class) {
			return joined(said.get("category"))
		}
	}
	if len(given) == 0 {
		return []json.RawMessage{marshal(Concept{Coding: []Coding{class}})}
	}
	all := joined(said.get("category"))
	var first fields
	first.add("coding", joined(given[0].get("coding"), class))
	first.rest(given[0], "coding")
	all[0] = marshal(first)
	return all
}

// mhdProfile is the narrowest of MHD's profiles that what goes out of a document is of, "" if it is of
// none (IHE.MHD.Minimal.DocumentReference and those that follow from it, MHD 4.2). What isn't asked
// for here always is so: the content's media type and address, labels, a category.
func mhdProfile(e *yitongv1.ContentEntry, said *element) string {
	identified := func(i *element) bool {
		_, code, typed := conceptCode(i.get("type"), mhdIdentifiers)
		return !typed || i.str("system") != "" && i.str("value") != "" &&
			(code != "entryUUID" || i.str("system") == uris && strings.HasPrefix(i.str("value"), "urn:uuid:"))
	}
	if id := said.get("masterIdentifier"); id != nil {
		if _, code, _ := conceptCode(id.get("type"), mhdIdentifiers); code != "uniqueId" || !identified(id) {
			return ""
		}
	}
	if slices.ContainsFunc(said.list("identifier"), func(i *element) bool { return !identified(i) }) ||
		documentStatus(e) == "entered-in-error" || len(said.list("category")) > 1 || said.get("docStatus") != nil || said.get("modifierExtension") != nil {
		return ""
	}
	context, content := said.get("context"), said.at("content", 0)
	for _, has := range []*element{
		said.get("type"), content.get("attachment").get("language"), content.get("attachment").get("creation"), content.get("format"),
		context.get("facilityType"), context.get("practiceSetting"), context.get("sourcePatientInfo"),
	} {
		if has == nil || e.GetPatient() == nil && said.get("subject") == nil {
			return "IHE.MHD.Minimal.DocumentReference"
		}
	}
	return "IHE.MHD.UnContained.Comprehensive.DocumentReference"
}

func (c *call) attached(e *yitongv1.ContentEntry, said *element) fields {
	p := e.GetPart()
	var a fields
	a.add("contentType", p.GetMediaType())
	a.add("url", c.address()+"/Binary/"+placeOf(e).id())
	if p.GetContentSize() < 1<<31 { // unsignedInt of R4
		a.add("size", p.GetContentSize())
	}
	extensions := []any{}
	if len(e.GetSha256()) > 0 {
		extensions = append(extensions, object{"url": digestExtension, "valueBase64Binary": base64.StdEncoding.EncodeToString(e.GetSha256())})
	}
	if all := joined(said.at("attachment", "extension"), extensions...); len(all) > 0 {
		a.add("extension", all)
	}
	a.rest(said.get("attachment"), "contentType", "url", "size", "data", "extension")
	var content fields
	content.add("attachment", a)
	content.rest(said, "attachment")
	return content
}

// documentStatus is document-reference-status of an own record's; what was opened is current while
// it can be read.
func documentStatus(e *yitongv1.ContentEntry) string {
	switch e.GetStatus() {
	case "superseded":
		return "superseded"
	case "retracted":
		return "entered-in-error"
	}
	return "current"
}

// documentVersion is the version of a DocumentReference: it changes once, when its record is
// superseded or retracted.
func documentVersion(e *yitongv1.ContentEntry) string {
	if documentStatus(e) == "current" {
		return "1"
	}
	return "2"
}

// labels are the sensitivity labels: what the submitter gave, and those that the part has by
// them.
func (c *call) labels(p *yitongv1.Part, said *element) []json.RawMessage {
	var given []Coding
	for _, l := range said.list("securityLabel") {
		given = append(given, codings(l)...)
	}
	var more []any
	for _, code := range p.GetLabels() {
		l := labelCoding(code)
		if !slices.ContainsFunc(given, func(g Coding) bool { return g.System == l.System && g.Code == l.Code }) {
			more = append(more, Concept{Coding: []Coding{l}})
		}
	}
	if len(given) == 0 && len(more) == 0 {
		more = append(more, Concept{Coding: []Coding{{System: confidentiality, Code: "N"}}})
	}
	return joined(said.get("securityLabel"), more...)
}

// labelCoding is a label of ours as HL7's code.
func labelCoding(code string) Coding {
	if code == "R" || code == "V" {
		return Coding{System: confidentiality, Code: code}
	}
	return Coding{System: actCodes, Code: code}
}

// codings are those of a CodeableConcept.
func codings(e *element) (all []Coding) {
	for _, c := range e.list("coding") {
		all = append(all, Coding{System: c.str("system"), Code: c.str("code")})
	}
	return all
}

// contentsWanted is what to look through for a query: the contents of its patient, if it names one;
// nil where nobody is known by that name. Its dates are dates.
func (c *call) contentsWanted(q query) (*yitongv1.ListContentsRequest, error) {
	who, err := c.patientCriterion(q)
	if f, ok := err.(*Fault); ok && f.Type == "not-found" {
		return nil, nil
	}
	for _, cr := range q.criteria {
		if err == nil && cr.param.kind == "date" {
			err = cr.checkDates()
		}
	}
	return &yitongv1.ListContentsRequest{Patient: who}, err
}

// searchDocuments looks through the contents, and holds each against the query.
func searchDocuments(c *call, q query) (page, error) {
	asked, err := c.contentsWanted(q)
	if err != nil || asked == nil {
		return page{}, err
	}
	if p, ok := partPlace(q.first("_id")); ok {
		asked.RecordId, asked.AccessId = p.record, p.access
	}
	return c.matching(asked, q)
}

func (c *call) matching(asked *yitongv1.ListContentsRequest, q query) (p page, err error) {
	n, looked := 0, 0
	var last *yitongv1.ContentEntry
	for g, err := range c.groups(asked, q.cursor) {
		if err != nil {
			return page{}, err
		}
		for i, e := range g.parts {
			if describes(g.parts, i) || !g.after(e) {
				continue
			}
			if q.summary != "count" && (len(p.entries) == max(q.count, 1) || looked >= maxScan) {
				p.next = g.cursor(last)
				return p, nil
			}
			looked++
			last = e
			doc, err := c.documentOf(g.parts, i)
			if err != nil {
				if f := faultOf(err); f.Status < 500 { // it ended while we looked
					continue
				}
				return page{}, err
			}
			parsed, err := parse(doc, "DocumentReference")
			if err != nil {
				return page{}, err
			}
			if !q.matches(parsed) {
				continue
			}
			n++
			if q.summary != "count" {
				p.entries = append(p.entries, entry{id: placeOf(e).id(), resource: doc})
			}
		}
	}
	if q.cursor == "" {
		p.total = &n
	}
	return p, nil
}

// matches holds a DocumentReference against the criteria.
func (q query) matches(d *element) bool {
	return !slices.ContainsFunc(q.criteria, func(cr criterion) bool { return !cr.param.patient && !cr.matches(d) })
}

func (c criterion) matches(d *element) bool {
	context, content := d.get("context"), d.at("content", 0)
	concepts := func(list ...*element) (all []Coding) {
		for _, e := range list {
			all = append(all, codings(e)...)
		}
		return all
	}
	switch c.param.name {
	case "_id":
		return slices.Contains(c.values, d.str("id"))
	case "status":
		return c.has(Coding{System: "http://hl7.org/fhir/document-reference-status", Code: d.str("status")})
	case "identifier":
		var all []Coding
		for _, i := range append([]*element{d.get("masterIdentifier")}, d.list("identifier")...) {
			all = append(all, Coding{System: i.str("system"), Code: i.str("value")})
		}
		return c.has(all...)
	case "category":
		return c.has(concepts(d.list("category")...)...)
	case "type":
		return c.has(concepts(d.get("type"))...)
	case "security-label":
		return c.has(concepts(d.list("securityLabel")...)...)
	case "event":
		return c.has(concepts(context.list("event")...)...)
	case "facility":
		return c.has(concepts(context.get("facilityType"))...)
	case "setting":
		return c.has(concepts(context.get("practiceSetting"))...)
	case "format":
		f := content.get("format")
		return c.has(Coding{System: f.str("system"), Code: f.str("code")})
	case "contenttype":
		return c.has(Coding{System: mediaTypes, Code: content.get("attachment").str("contentType")})
	case "_lastUpdated":
		return c.during(d.get("meta").str("lastUpdated"))
	case "date":
		return c.during(d.str("date"))
	case "creation":
		return c.during(content.get("attachment").str("creation"))
	case "period":
		p := context.get("period")
		if p == nil {
			return false
		}
		start, end := span{}, span{}
		if s, ok := parseDate(p.str("start")); ok {
			start = s
		}
		if s, ok := parseDate(p.str("end")); ok {
			end = s
		}
		return c.covers(start.start, end.end)
	case "description":
		return c.begins(d.str("description"))
	case "author.family", "author.given":
		return slices.ContainsFunc(d.list("author"), func(a *element) bool { return c.names(d, a) })
	case "related":
		return slices.ContainsFunc(context.list("related"), func(r *element) bool { return slices.Contains(c.values, r.str("reference")) })
	case "relatesto":
		return slices.ContainsFunc(d.list("relatesTo"), func(r *element) bool {
			return slices.Contains(c.values, r.get("target").str("reference"))
		})
	}
	return false
}

// during reports whether a date is what the criterion asks for.
func (c criterion) during(date string) bool {
	s, ok := parseDate(date)
	return ok && c.covers(s.start, s.end)
}

// begins compares texts as a string search does: from their beginning, in any case.
func (c criterion) begins(texts ...string) bool {
	return slices.ContainsFunc(c.values, func(v string) bool {
		return slices.ContainsFunc(texts, func(t string) bool { return strings.HasPrefix(strings.ToLower(t), strings.ToLower(plain(v))) })
	})
}

// names reports whether an author, contained in the resource, has the name.
func (c criterion) names(d, author *element) bool {
	id, local := strings.CutPrefix(author.str("reference"), "#")
	for _, r := range d.list("contained") {
		if !local || r.str("id") != id {
			continue
		}
		names := r.list("name")
		if r.get("name") != nil && r.get("name").kind == '{' {
			names = append(names, r.get("name"))
		}
		for _, n := range names {
			texts := []string{n.str("family")}
			if c.param.name == "author.given" {
				texts = nil
				for _, g := range n.list("given") {
					texts = append(texts, g.text())
				}
			}
			if c.begins(texts...) {
				return true
			}
		}
	}
	return false
}

// A group is the parts of one record that can be read under one access.
type group struct {
	parts    []*yitongv1.ContentEntry
	bookmark string // of the page of the list that it begins in
	past     string // what isn't after this was on an earlier page
}

// sortKey orders contents as the list does.
func sortKey(e *yitongv1.ContentEntry) string {
	return fmt.Sprintf("%s/%s/%s/%05d", e.GetCustodian(), e.GetAccessId(), e.GetRecordId(), e.GetPart().GetIndex())
}

func (g group) after(e *yitongv1.ContentEntry) bool { return g.past == "" || sortKey(e) > g.past }

// cursor is where a search goes on after an entry.
func (g group) cursor(last *yitongv1.ContentEntry) string {
	if last == nil {
		return g.bookmark + "\n" + g.past
	}
	return g.bookmark + "\n" + sortKey(last)
}

// groups yields the contents by record and access, from a cursor on.
func (c *call) groups(asked *yitongv1.ListContentsRequest, cursor string) iter.Seq2[group, error] {
	return func(yield func(group, error) bool) {
		bookmark, past, _ := strings.Cut(cursor, "\n")
		asked.Page = &yitongv1.Page{Bookmark: bookmark}
		g := group{past: past}
		for e, err := range c.contents(asked) {
			if err != nil {
				yield(group{}, err)
				return
			}
			if len(g.parts) > 0 && (g.parts[0].GetRecordId() != e.GetRecordId() || g.parts[0].GetAccessId() != e.GetAccessId()) {
				if !yield(g, nil) {
					return
				}
				g = group{past: past}
			}
			if len(g.parts) == 0 {
				g.bookmark = asked.Page.Bookmark
			}
			g.parts = append(g.parts, e)
		}
		if len(g.parts) > 0 {
			yield(g, nil)
		}
	}
}
