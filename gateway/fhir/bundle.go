package fhir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/fhir/definitions"
)

func init() {
	transactions = append(transactions,
		"ITI-65 Provide Document Bundle: POST of a transaction; each DocumentReference becomes a record with a SubmissionSet of its own; what is said of the set, and Folders, isn't kept",
	)
}

// bundles are records of FHIR resources: a Bundle that is posted is one record, split into
// parts by data class and sensitivity; one that is read holds what may be read of it.
func (f *facade) bundles() resource {
	return resource{
		kind: "Bundle",
		documentation: "A Bundle (document, collection, transaction, batch or searchset) that is posted is one record of one patient, kept byte for byte and split by data " +
			"class and sensitivity. Read gives a collection of the resources of that record that can be read here.",
		create: func(c *call) (answer, error) { return c.takeBundle(false) },
		read:   readBundle, conditional: true,
	}
}

// transaction takes a Bundle at the base.
func transaction(c *call) (answer, error) { return c.takeBundle(true) }

// takeBundle submits a Bundle: as documents, if that is what it brings (ITI-65), or as one
// record. atBase says that it was posted to the base, and is answered as a transaction.
func (c *call) takeBundle(atBase bool) (answer, error) {
	b, err := c.receivedBundle()
	if err != nil {
		return answer{}, err
	}
	kind := b.head.str("type")
	switch {
	case atBase && kind != "transaction":
		return answer{}, unprocessable("Bundle.type", "the base takes a transaction", "transaction; a Bundle to be kept as a record is posted to "+Base+"/Bundle")
	case kind == "transaction" && b.provides():
		return c.provide(b)
	case kind == "history" || kind == "transaction-response" || kind == "batch-response":
		return answer{}, unprocessable("Bundle.type", "this is an answer, no record", "document, collection, transaction, batch or searchset")
	}
	who, err := c.bundlePatient(b)
	if err != nil {
		return answer{}, err
	}
	s := submission{content: b.raw, at: "Bundle", header: &yitongv1.SubmitHeader{Patient: who, MediaType: mediaType, Id: c.recordOf(b.head.get("identifier"))}}
	r, status, err := c.submitOnce(s)
	if err != nil {
		return answer{}, err
	}
	at := "Bundle/" + r.GetId()
	message := fmt.Sprintf("record %s is sealed in %d parts and anchored", r.GetId(), len(r.GetParts()))
	if atBase {
		out := searchBundle{ResourceType: "Bundle", Type: "transaction-response"}
		for range b.entries {
			out.Entry = append(out.Entry, bundleEntry{Response: &bundleResponse{Status: "201 Created", Location: c.address() + "/" + at, ETag: `W/"1"`, LastModified: instant(c.Now())}})
		}
		return answer{resource: out, whole: true}, nil
	}
	a := answer{status: status, location: at, message: message, resource: done(message), modified: timeOf(r.GetSubmitted())}
	if c.prefer == "representation" {
		a.resource = b.raw
	}
	return a, nil
}

// A receivedBundle is a Bundle as it came. Its entries are read one at a time: together they
// may be large.
type receivedBundle struct {
	raw     []byte
	head    *element // what stands beside the entries
	entries int
	kinds   map[string]int // resource types of the entries
	each    func(func(i int, e *element) error) error
}

// receivedBundle reads the Bundle of the body, strictly, and holds every entry against the
// definitions.
func (c *call) receivedBundle() (*receivedBundle, error) {
	if err := c.sent(); err != nil {
		return nil, err
	}
	raw, err := c.body(maxBundle)
	if err != nil {
		return nil, err
	}
	return readReceived(raw)
}

func readReceived(raw []byte) (*receivedBundle, error) {
	head, entries, err := cut(raw)
	if err != nil {
		return nil, err
	}
	b := &receivedBundle{raw: raw, entries: len(entries), kinds: map[string]int{}}
	if b.head, err = parse(head, "Bundle"); err != nil {
		return nil, err
	}
	if b.head.str("resourceType") != "Bundle" {
		return nil, invalid("Bundle.resourceType", "this is another resource, or none", "a Bundle")
	}
	if err := validate(b.head, "Bundle"); err != nil {
		return nil, err
	}
	b.each = func(f func(int, *element) error) error {
		for i, e := range entries {
			parsed, err := parse(e, "Bundle.entry["+strconv.Itoa(i)+"]")
			if err == nil {
				err = f(i, parsed)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	v := &validation{}
	err = b.each(func(i int, e *element) error {
		b.kinds[e.get("resource").str("resourceType")]++
		v.entry(e, "Bundle.entry["+strconv.Itoa(i)+"]")
		return nil
	})
	if err != nil {
		return nil, err
	}
	if b.entries == 0 {
		v.fault("required", "Bundle.entry", "there is nothing in it", "at least one entry with a resource")
	}
	return b, v.err()
}

// cut parts a Bundle into what stands beside its entries, as a document, and the raw entries.
func cut(raw []byte) (head []byte, entries [][]byte, err error) {
	if len(bytes.TrimSpace(raw)) == 0 || bytes.TrimSpace(raw)[0] != '{' {
		_, err := parse(raw, "Bundle")
		return nil, nil, cmpOr(err, invalid("Bundle", "this is no resource", "a JSON object"))
	}
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	// wrong says what is wrong from a byte on, where there is to be a value that is called path.
	wrong := func(from int64, path string, err error) error {
		piece := bytes.TrimLeft(raw[from:], " \t\r\n,:")
		if _, perr := parsePiece(piece, int64(len(raw)-len(piece)), path); perr != nil && path != "Bundle" {
			return perr
		}
		return (&parser{d: d, path: []string{path}}).syntax(err)
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, nil, wrong(0, "Bundle", err)
	}
	var rest fields
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, nil, wrong(0, "Bundle", err)
		}
		called := name.String()
		if called != "entry" || d.PeekKind() != '[' {
			from := d.InputOffset()
			v, err := d.ReadValue()
			if err != nil {
				return nil, nil, wrong(from, "Bundle."+safeName(called), err)
			}
			rest = append(rest, field{called, bytes.Clone(v)})
			continue
		}
		if _, err := d.ReadToken(); err != nil {
			return nil, nil, wrong(0, "Bundle", err)
		}
		for d.PeekKind() != ']' {
			from := d.InputOffset()
			v, err := d.ReadValue()
			if err != nil {
				return nil, nil, wrong(from, "Bundle.entry["+strconv.Itoa(len(entries))+"]", err)
			}
			end := d.InputOffset()
			if len(entries) == maxEntries {
				return nil, nil, tooCostly("Bundle.entry", "there are too many", "at most "+strconv.Itoa(maxEntries))
			}
			entries = append(entries, raw[end-int64(len(v)):end])
		}
		if _, err := d.ReadToken(); err != nil {
			return nil, nil, wrong(0, "Bundle", err)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, nil, wrong(0, "Bundle", err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, nil, invalid("Bundle", "this can't be read: something comes after the end of the document", "one JSON document")
	}
	head, _ = rest.MarshalJSON()
	return head, entries, nil
}

// maxEntries is how many entries a Bundle may have, as package seal has it.
const maxEntries = 100_000

func cmpOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// entry holds one entry of a Bundle against the definitions.
func (v *validation) entry(e *element, at string) {
	t, _ := definitions.Types("Bundle.entry")
	v.complex(e, t, at)
}

// bundlePatient is whose a Bundle is: the one Patient in it, or, where there is none, the one
// that all its references name by an identifier. What names another patient is refused: it
// would be kept, and given out, as this one's.
func (c *call) bundlePatient(b *receivedBundle) (*yitongv1.Patient, error) {
	near := &abouts{urls: map[string]bool{}, seen: map[string]bool{}}
	var found *yitongv1.Patient
	take := func(p *yitongv1.Patient, err error, at string) error {
		if err == nil && found != nil && (p.GetSystem() != found.GetSystem() || p.GetValue() != found.GetValue()) {
			err = unprocessable(at, "this is of another patient: a record is of one", "a Bundle for each patient")
		}
		if err == nil {
			found = p
		}
		return err
	}
	err := b.each(func(i int, e *element) error {
		r, at := e.get("resource"), "Bundle.entry["+strconv.Itoa(i)+"].resource"
		if b.kinds["Patient"] > 0 {
			near.urls[e.str("fullUrl")] = true
			if r.str("resourceType") != "Patient" {
				near.note(r, at)
				return nil
			}
			if b.kinds["Patient"] > 1 {
				return unprocessable(at, "there are several patients: a record is of one", "a Bundle for each patient")
			}
			near.patient, near.url = r, e.str("fullUrl")
			p, err := identified(r, at)
			return take(p, err, at)
		}
		for _, name := range []string{"subject", "patient"} {
			id := r.get(name).get("identifier")
			if r.get(name) == nil || r.get(name).kind != '{' || id.str("value") == "" || id.str("system") == "" {
				continue
			}
			p, err := normal(at+"."+name+".identifier", id.str("system"), id.str("value"))
			if err := take(p, err, at+"."+name); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && near.patient != nil {
		err = near.check()
	}
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, unprocessable("Bundle.entry", "it isn't said whose this is", "a Patient with an identifier among the entries, or subjects that are named by an identifier")
	}
	return found, nil
}

// abouts are whom the resources of a Bundle are about, each as it is first named.
type abouts struct {
	patient *element // the one Patient, and its fullUrl
	url     string
	urls    map[string]bool // every fullUrl
	seen    map[string]bool
	named   []about
}

type about struct {
	to *element // a Reference
	at string
}

// note keeps whom a resource is about.
func (a *abouts) note(r *element, at string) {
	for _, name := range []string{"subject", "patient", "beneficiary"} {
		to := r.get(name)
		if to == nil || to.kind != '{' || a.seen[string(to.raw)] {
			continue
		}
		a.seen[string(to.raw)] = true
		a.named = append(a.named, about{to, at + "." + name})
	}
}

// check refuses whoever is named and isn't the Bundle's patient.
func (a *abouts) check() error {
	var faults reading
	for _, n := range a.named {
		if a.another(n.to) {
			faults.refuse(n.at, "this is about another patient than the one of the Bundle", "the Patient's fullUrl, Patient/[id] or identifier; a Bundle for each patient")
		}
	}
	return faults.err()
}

// another reports whether a Reference names a patient, and not the Bundle's: by an address, or
// by an identifier of a system of which the Patient has another. Who isn't of the Bundle at all,
// named by a UUID, is nobody that can be known.
func (a *abouts) another(to *element) bool {
	if named := to.str("reference"); named != "" && named != a.url {
		address, _, _ := strings.Cut(named, "/_history/")
		if i := strings.LastIndex("/"+address, "/Patient/"); i >= 0 {
			return address[i+len("Patient/"):] != a.patient.str("id")
		}
		if _, search, ok := strings.Cut("/"+named, "/Patient?"); ok {
			return !a.identifies(search)
		}
		if uuid, ok := strings.CutPrefix(named, "urn:uuid:"); ok {
			return !a.urls[named] && uuid != a.patient.str("id")
		}
		return false
	}
	system, value := to.at("identifier", "system").text(), to.at("identifier", "value").text()
	other := false
	for _, id := range a.patient.list("identifier") {
		if system != "" && id.str("system") == system {
			if id.str("value") == value {
				return false
			}
			other = true
		}
	}
	return other
}

// identifies reports whether a search for a patient, which may stand for a reference in a
// transaction, is for an identifier of the Bundle's.
func (a *abouts) identifies(search string) bool {
	wanted, err := url.ParseQuery(search)
	return err == nil && len(wanted) == 1 && slices.ContainsFunc(a.patient.list("identifier"), func(id *element) bool {
		return slices.Equal(wanted["identifier"], []string{id.str("system") + "|" + id.str("value")})
	})
}

// provided are the resource types of which a Provide Document Bundle consists.
var provided = []string{"DocumentReference", "Binary", "List", "DocumentManifest", "Patient", "Bundle", "Parameters"}

// provides reports whether a transaction brings documents, rather than data.
func (b *receivedBundle) provides() bool {
	for kind := range b.kinds {
		if !slices.Contains(provided, kind) {
			return false
		}
	}
	return b.kinds["DocumentReference"] > 0
}

// A provision is a Provide Document Bundle (IHE MHD ITI-65) on its way.
type provision struct {
	near        surrounding
	resources   []*element // of the entries
	patches     map[int]place
	submissions map[int]submission
	records     map[int]*yitongv1.Record
	who         *yitongv1.Patient
}

func newProvision() *provision {
	return &provision{patches: map[int]place{}, submissions: map[int]submission{}, records: map[int]*yitongv1.Record{}}
}

// provide does a Provide Document Bundle (IHE MHD ITI-65): a record for each DocumentReference. All
// are checked before the first is submitted. What is interrupted is completed by the same again, if
// the DocumentReferences have master identifiers.
func (c *call) provide(b *receivedBundle) (answer, error) {
	p := newProvision()
	if err := c.checkProvision(b, p); err != nil {
		return answer{}, err
	}
	for i := range p.resources {
		s, ok := p.submissions[i]
		if !ok {
			continue
		}
		r, err := c.submit(s)
		if err != nil {
			f := *faultOf(err)
			f.Expression = s.at
			return answer{}, &f
		}
		p.records[i] = r
	}
	out := searchBundle{ResourceType: "Bundle", Type: "transaction-response"}
	for i := range p.resources {
		r := c.provided(p, i)
		if r.Location != "" {
			r.Location = c.address() + "/" + r.Location
		}
		out.Entry = append(out.Entry, bundleEntry{Response: r})
	}
	return answer{resource: out, whole: true}, nil
}

// checkProvision reads all entries, or says what of them can't be done.
func (c *call) checkProvision(b *receivedBundle, p *provision) error {
	values := 0 // all entries are held at once here
	err := b.each(func(i int, e *element) error {
		at := item("Bundle.entry", i)
		if values += e.size(); values > maxDocument {
			return tooCostly("Bundle.entry", "there is too much in one transaction", "several transactions")
		}
		r := e.get("resource")
		switch method := e.get("request").str("method"); {
		case method == "PATCH" && supersedes(r):
			id := strings.TrimPrefix(strings.TrimPrefix(e.get("request").str("url"), c.address()+"/"), "DocumentReference/")
			p.patches[i], _ = partPlace(id)
		case method != "POST" || r.str("resourceType") == "Parameters":
			return unprocessable(at+".request.method", "documents are provided, and nothing else is done", "POST; or a PATCH of what is replaced here to superseded")
		}
		p.near.add(e.str("fullUrl"), r, at+".resource")
		p.resources = append(p.resources, r)
		return nil
	})
	if err != nil {
		return err
	}
	replaced := map[string]bool{}
	for i, r := range p.resources {
		if r.str("resourceType") != "DocumentReference" {
			continue
		}
		at := item("Bundle.entry", i) + ".resource"
		s, err := c.fileSubmission(r, at, &p.near)
		if err != nil {
			return err
		}
		if p.who != nil && (p.who.GetSystem() != s.header.Patient.GetSystem() || p.who.GetValue() != s.header.Patient.GetValue()) {
			return unprocessable(at+".subject", "this is of another patient", "a transaction for each patient")
		}
		p.who, p.submissions[i], replaced[s.header.GetSupersedes()] = s.header.Patient, s, true
	}
	for i, of := range p.patches {
		if of.record == "" || !replaced[of.record] {
			return unprocessable(item("Bundle.entry", i)+".request.url", "no document of this transaction replaces this one", "DocumentReference/[id] of what a document of the same transaction replaces, by relatesTo")
		}
	}
	return nil
}

// supersedes reports whether Parameters say that a DocumentReference is superseded, as MHD has it
// (IHE.MHD.Patch.Parameters): that follows from a replacement here.
func supersedes(parameters *element) bool {
	said := map[string]string{}
	for _, part := range parameters.at("parameter", 0).list("part") {
		said[part.str("name")] = part.str("valueCode") + part.str("valueString")
	}
	return len(parameters.list("parameter")) == 1 && said["path"] == "DocumentReference.status" && said["type"] == "replace" && said["value"] == "superseded"
}

// provided says what became of an entry.
func (c *call) provided(p *provision, i int) *bundleResponse {
	created := func(at string) *bundleResponse {
		return &bundleResponse{Status: "201 Created", Location: at, ETag: `W/"1"`, LastModified: instant(c.Now())}
	}
	nothing := func(message string) *bundleResponse {
		o := done(message)
		return &bundleResponse{Status: "204 No Content", Outcome: &o}
	}
	r := p.resources[i]
	switch r.str("resourceType") {
	case "DocumentReference":
		return created(documentPlace(p.records[i]))
	case "Parameters":
		return &bundleResponse{Status: "200 OK", Location: "DocumentReference/" + p.patches[i].id(), ETag: `W/"2"`}
	case "Patient":
		return &bundleResponse{Status: "200 OK", Location: "Patient/" + c.patientID(p.who)}
	case "List":
		if _, code, _ := conceptCode(r.get("code"), mhdLists); code != "submissionset" {
			return nothing("Folders aren't kept here")
		}
		var sets []string
		for _, e := range r.list("entry") {
			named, _ := p.near.find(r, "", e.get("item").str("reference"))
			if j := slices.Index(p.resources, named); j >= 0 && p.records[j] != nil {
				sets = append(sets, "List/"+p.records[j].GetId())
			}
		}
		if len(sets) == 0 {
			return nothing("this SubmissionSet names none of the documents")
		}
		out := created(sets[0])
		if len(sets) > 1 {
			o := done("each document is a record of its own here, and so a SubmissionSet: " + strings.Join(sets, ", "))
			out.Outcome = &o
		}
		return out
	}
	// The content went where its DocumentReference did.
	for j, s := range p.submissions {
		if named, _ := p.near.find(p.resources[j], s.at, p.resources[j].at("content", 0, "attachment").str("url")); named == r {
			return created(strings.Replace(documentPlace(p.records[j]), "DocumentReference/", "Binary/", 1))
		}
	}
	return nothing("none of the documents names it, and it isn't kept")
}

// documentPlace is where the DocumentReference of a record is; of one that was split, its
// Bundle.
func documentPlace(r *yitongv1.Record) string {
	if r.GetMediaType() == mediaType {
		return "Bundle/" + r.GetId()
	}
	return "DocumentReference/" + place{record: r.GetId()}.id()
}

// createDocument submits a DocumentReference with its content (IHE MHD ITI-105).
func createDocument(c *call) (answer, error) {
	d, err := c.received("DocumentReference", maxBundle)
	if err != nil {
		return answer{}, err
	}
	s, err := c.fileSubmission(d, "DocumentReference", &surrounding{})
	if err != nil {
		return answer{}, err
	}
	r, status, err := c.submitOnce(s)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: status, location: documentPlace(r), etag: "1", modified: timeOf(r.GetSubmitted()),
		message: fmt.Sprintf("record %s is sealed and anchored", r.GetId())}
	a.resource = done(a.message)
	if r.GetMediaType() == mediaType || c.prefer == "minimal" || c.prefer == "OperationOutcome" {
		return a, nil
	}
	parts, err := c.recordAt(place{record: r.GetId(), index: -1})
	if err == nil {
		a.resource, err = c.documentOf(parts, 0)
	}
	if err != nil { // it is kept, and who may submit need not be who may read
		a.resource = done(a.message)
	}
	return a, nil
}

// readBundle gives what can be read of a record.
func readBundle(c *call) (answer, error) {
	parts, err := c.record()
	if err != nil {
		return answer{}, err
	}
	s := &bundleStream{c: c, of: "collection", id: c.id, left: -1}
	for _, e := range parts {
		if _, err := s.part(e, 0, parts); err != nil {
			return answer{}, err
		}
	}
	return answer{sent: true}, s.end(nil)
}
