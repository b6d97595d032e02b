package fhir

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/record"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// A submission is one record on its way to Records.Submit.
type submission struct {
	header  *yitongv1.SubmitHeader
	content []byte
	at      string // place of what it comes from, for faults
}

// chunk is how much of a content goes into one message.
const chunk = 1 << 20

// submit has a record sealed and anchored.
func (c *call) submit(s submission) (*yitongv1.Record, error) {
	stream, err := yitongv1.NewRecordsClient(c.conn).Submit(c.ctx())
	if err != nil {
		return nil, err
	}
	err = stream.Send(&yitongv1.SubmitRequest{Message: &yitongv1.SubmitRequest_Header{Header: s.header}})
	for rest := s.content; err == nil && len(rest) > 0; {
		n := min(chunk, len(rest))
		err = stream.Send(&yitongv1.SubmitRequest{Message: &yitongv1.SubmitRequest_Content{Content: rest[:n]}})
		rest = rest[n:]
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the answer says why
		return nil, err
	}
	done, err := stream.CloseAndRecv()
	return done.GetRecord(), err
}

// recordID is the id of the record that an identifier of the submitter's names: always the
// same, so that what is sent twice is kept once. It goes to the ledger, so it is derived
// under the gateway's secret.
func (c *call) recordID(system, value string) string {
	return hex.EncodeToString(c.derive("record", system, value)[:16])
}

// recordOf is the id of what is submitted with an Identifier; "" has the gateway choose one.
func (c *call) recordOf(identifier *element) string {
	if value := identifier.str("value"); value != "" {
		return c.recordID(identifier.str("system"), value)
	}
	return ""
}

// ifNoneExist reads If-None-Exist, of which an identifier is understood: the id of the record
// that it names, "" if there is no such header.
func (c *call) ifNoneExist() (string, error) {
	header := c.in.Header.Get("If-None-Exist")
	if header == "" {
		return "", nil
	}
	name, value, _ := strings.Cut(strings.TrimPrefix(header, "?"), "=")
	values := splitValues(value)
	t := tokenOf(values[0])
	if name != "identifier" || len(values) != 1 || t.anySystem || t.code == "" || strings.Contains(value, "&") {
		return "", &Fault{Status: 412, Type: "not-supported", Code: "malformed", Expression: "http.header.If-None-Exist",
			Message: "this condition isn't understood", Allowed: "identifier=system|value"}
	}
	return c.recordID(t.system, t.code), nil
}

// submitOnce is submit under If-None-Exist: where there is a record of that name, it is the one, and
// the status is 200.
func (c *call) submitOnce(s submission) (r *yitongv1.Record, status int, err error) {
	existing, err := c.ifNoneExist()
	if err != nil {
		return nil, 0, err
	}
	if existing != "" {
		s.header.Id = existing
	}
	r, err = c.submit(s)
	if err != nil && existing != "" && faultOf(err).Code == "exists" {
		return &yitongv1.Record{Id: existing, MediaType: s.header.MediaType}, http.StatusOK, nil
	}
	return r, http.StatusCreated, err
}

// --- whose it is

// identified is the patient by the identifiers of a Patient resource: the medical record number (HL7
// v2-0203 MR) if there is one, else the first with a system and a value.
func identified(patient *element, at string) (*yitongv1.Patient, error) {
	var first *element
	for i, id := range patient.list("identifier") {
		if id.str("system") == "" || id.str("value") == "" {
			continue
		}
		for _, k := range id.get("type").list("coding") {
			if k.str("code") == "MR" {
				return normal(at+".identifier["+strconv.Itoa(i)+"]", id.str("system"), id.str("value"))
			}
		}
		if first == nil {
			first = id
		}
	}
	if first == nil {
		return nil, unprocessable(at+".identifier", "the patient has no identifier with a system and a value", "the medical record number, or another")
	}
	return normal(at+".identifier", first.str("system"), first.str("value"))
}

// A surrounding is the resources that those of a submission can name: by their fullUrl, by type and
// id, or as contained.
type surrounding struct {
	resources map[string]*element
	places    map[string]string
}

func (s *surrounding) add(fullURL string, r *element, at string) {
	if s.resources == nil {
		s.resources, s.places = map[string]*element{}, map[string]string{}
	}
	for _, name := range []string{fullURL, r.str("resourceType") + "/" + r.str("id")} {
		if name != "" && !strings.HasSuffix(name, "/") {
			s.resources[name], s.places[name] = r, at
		}
	}
}

// find follows a reference within what was sent; never beyond.
func (s *surrounding) find(from *element, at, reference string) (*element, string) {
	if id, ok := strings.CutPrefix(reference, "#"); ok {
		for i, r := range from.list("contained") {
			if r.str("id") == id {
				return r, at + ".contained[" + strconv.Itoa(i) + "]"
			}
		}
		return nil, ""
	}
	return s.resources[reference], s.places[reference]
}

// subject is the patient that a Reference is about: by its identifier, by the Patient that is
// sent along, or by one of this gateway's ids.
func (c *call) subject(s *surrounding, from *element, at, name string) (*yitongv1.Patient, error) {
	ref := from.get(name)
	at += "." + name
	if id := ref.get("identifier"); id.str("system") != "" && id.str("value") != "" {
		return normal(at+".identifier", id.str("system"), id.str("value"))
	}
	named := ref.str("reference")
	if r, place := s.find(from, strings.TrimSuffix(at, "."+name), named); r.str("resourceType") == "Patient" {
		return identified(r, place)
	}
	if id, ok := strings.CutPrefix(strings.TrimPrefix(named, c.address()+"/"), "Patient/"); ok && hexID.MatchString(id) {
		if p, err := c.patient(id); err == nil {
			return p, nil
		}
	}
	return nil, unprocessable(at, "it isn't said whose this is, in a way that is known here",
		"an identifier with its system, a Patient that is sent along or contained, or Patient/[id] of this gateway; nothing is looked up elsewhere")
}

// --- files

// A fileContent is what a DocumentReference describes.
type fileContent struct {
	mediaType string
	data      []byte
	at        string
}

// fileSubmission is the record that a DocumentReference makes of its content: one part of the
// class that it says, under the labels that it says. Its own bytes become the description.
func (c *call) fileSubmission(d *element, at string, near *surrounding) (submission, error) {
	s := submission{at: at, header: &yitongv1.SubmitHeader{}}
	if status := d.str("status"); status != "current" {
		return s, unprocessable(at+".status", "what is submitted is current", "current; a record is taken back by its own call, and replaced by relatesTo")
	}
	if len(d.list("content")) != 1 {
		return s, unprocessable(at+".content", "one document at a time", "a DocumentReference for each")
	}
	var err error
	if s.header.Patient, err = c.documentSubject(d, at, near); err != nil {
		return s, err
	}
	f, err := c.attachment(d, at, near)
	if err != nil {
		return s, err
	}
	s.content, s.header.MediaType = f.data, f.mediaType
	s.header.Id = c.recordOf(d.get("masterIdentifier"))
	if s.header.Supersedes, err = c.replaced(d, at); err != nil {
		return s, err
	}
	if f.mediaType == mediaType { // it is classified and dated by what is in it
		return s, nil
	}
	class, err := classOf(d, at, f.mediaType)
	if err != nil {
		return s, err
	}
	s.header.DataClass, s.header.Labels = class.String(), labelsOf(d).Codes()
	if s.header.DataPeriod, err = dataPeriod(d.at("context", "period"), at+".context.period"); err != nil {
		return s, err
	}
	s.header.Description = description(d)
	if len(s.header.Description) > maxDescription {
		return s, unprocessable(at, "what is said of the document is too long", "at most 1 MiB without the content")
	}
	return s, nil
}

// documentSubject: MHD's context.sourcePatientInfo says it where subject names somebody
// elsewhere.
func (c *call) documentSubject(d *element, at string, near *surrounding) (*yitongv1.Patient, error) {
	p, err := c.subject(near, d, at, "subject")
	if err != nil && d.at("context", "sourcePatientInfo") != nil {
		info := &element{kind: '{', members: []member{{"sourcePatientInfo", d.at("context", "sourcePatientInfo")}, {"contained", d.get("contained")}}}
		if p, serr := c.subject(near, info, at+".context", "sourcePatientInfo"); serr == nil {
			return p, nil
		}
	}
	return p, err
}

// attachment is the content itself: inline, or a resource that is sent along. A URL elsewhere
// is never called.
func (c *call) attachment(d *element, at string, near *surrounding) (f fileContent, err error) {
	a, place := d.at("content", 0, "attachment"), at+".content[0].attachment"
	f.mediaType, f.at = a.str("contentType"), place+".data"
	switch data := a.get("data"); {
	case data != nil:
		f.data, err = decodeBase64(data, place+".data")
	case a.str("url") != "":
		r, where := near.find(d, at, a.str("url"))
		switch r.str("resourceType") {
		case "Binary":
			f.at = where + ".data"
			if f.mediaType == "" {
				f.mediaType = r.str("contentType")
			}
			f.data, err = decodeBase64(r.get("data"), f.at)
		case "Bundle": // a FHIR document
			f.data, f.mediaType, f.at = r.raw, mediaType, where
		default:
			return f, unprocessable(place+".url", "what this names isn't sent along, and nothing is fetched from elsewhere", "the content in data, or in a Binary of the same transaction")
		}
	default:
		return f, unprocessable(place, "there is no content", "the content in data, or a url that names a Binary of the same transaction")
	}
	if err != nil {
		return f, err
	}
	if f.mediaType == "" {
		return f, unprocessable(place+".contentType", "the document's media type isn't said", "for example application/pdf")
	}
	if size := a.get("size"); size != nil && string(size.raw) != strconv.Itoa(len(f.data)) {
		return f, unprocessable(place+".size", "the content has another size", "the size in bytes, before base64")
	}
	if hash := a.str("hash"); hash != "" {
		sum := sha1.Sum(f.data) // as R4 has it; what protects the content is its seal
		if hash != base64.StdEncoding.EncodeToString(sum[:]) && !strings.EqualFold(hash, base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(sum[:])))) {
			return f, unprocessable(place+".hash", "the content has another hash", "SHA-1 of the content before base64, in base64")
		}
	}
	return f, nil
}

func decodeBase64(e *element, at string) ([]byte, error) {
	if e == nil {
		return nil, unprocessable(at, "there is no content", "the content in base64")
	}
	raw := e.raw[1 : len(e.raw)-1]
	if bytes.ContainsAny(raw, "\\ ") {
		raw = []byte(strings.Join(strings.Fields(e.text()), ""))
	}
	data := make([]byte, base64.StdEncoding.DecodedLen(len(raw)))
	n, err := base64.StdEncoding.Strict().Decode(data, raw)
	if err != nil {
		return nil, invalid(at, "this is no base64", "RFC 4648, section 4, with its padding")
	}
	return data[:n], nil
}

// replaced is the record that a DocumentReference replaces.
func (c *call) replaced(d *element, at string) (string, error) {
	for i, r := range d.list("relatesTo") {
		if r.str("code") != "replaces" {
			continue
		}
		place := at + ".relatesTo[" + strconv.Itoa(i) + "].target"
		target := r.get("target")
		if id := target.get("identifier"); id.str("value") != "" {
			return c.recordID(id.str("system"), id.str("value")), nil
		}
		id, ok := strings.CutPrefix(strings.TrimPrefix(target.str("reference"), c.address()+"/"), "DocumentReference/")
		p, isPart := partPlace(id)
		if !ok || !isPart || p.access != "" {
			return "", unprocessable(place, "this is no document of this hospital's", "DocumentReference/[id] of this gateway, or the master identifier of what is replaced")
		}
		return p.record, nil
	}
	return "", nil
}

// description is the Bundle that keeps what a DocumentReference says: its bytes as they were
// received, without the content itself.
func description(d *element) []byte {
	doc := d.raw
	if data := d.at("content", 0, "attachment", "data"); data != nil {
		doc = without(doc, data)
	}
	return []byte(`{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + string(doc) + `}]}`)
}

// without cuts a member out of a document, with its name and one comma. value is part of the
// document's own bytes.
func without(doc []byte, value *element) []byte {
	begin := cap(doc) - cap(value.raw) // both reach to the end of what was received
	end := begin + len(value.raw)
	// Back over ": and the name", of which data holds no quote.
	begin = bytes.LastIndexByte(doc[:begin], ':')
	begin = bytes.LastIndexByte(doc[:begin], '"')
	begin = bytes.LastIndexByte(doc[:begin], '"')
	if before := bytes.TrimRight(doc[:begin], " \t\r\n"); before[len(before)-1] == ',' {
		begin = len(before) - 1
	} else if after := bytes.TrimLeft(doc[end:], " \t\r\n"); after[0] == ',' {
		end = len(doc) - len(after) + 1
	}
	return append(append([]byte{}, doc[:begin]...), doc[end:]...)
}

// dataPeriod is the time of the data, its end exclusive; nil where it isn't said.
func dataPeriod(p *element, at string) (*yitongv1.Period, error) {
	if p == nil {
		return nil, nil
	}
	out := &yitongv1.Period{}
	for name, to := range map[string]**timestamppb.Timestamp{"start": &out.Start, "end": &out.End} {
		if p.get(name) == nil {
			continue
		}
		s, ok := parseDate(p.str(name))
		if !ok {
			return nil, invalid(at+"."+name, "this is no time", "a dateTime")
		}
		if name == "start" {
			*to = timestamppb.New(s.start)
		} else {
			*to = timestamppb.New(s.end)
		}
	}
	if out.Start != nil && out.End != nil && !out.End.AsTime().After(out.Start.AsTime()) {
		return nil, invalid(at, "it ends before it starts", "start before end")
	}
	return out, nil
}

// labelsOf are the sensitivity labels that a DocumentReference gives its content. A code of
// sensitivity that isn't known becomes R, as in a Bundle: somebody marked it.
func labelsOf(d *element) (set record.Labels) {
	var all []Coding
	for _, l := range d.list("securityLabel") {
		all = append(all, codings(l)...)
	}
	for _, s := range d.get("meta").list("security") {
		all = append(all, Coding{System: s.str("system"), Code: s.str("code")})
	}
	for _, k := range all {
		switch k.System {
		case confidentiality:
			switch k.Code {
			case "R":
				set = set.Union(record.LabelsOf(record.R))
			case "V":
				set = set.Union(record.LabelsOf(record.V))
			}
		case actCodes:
			if l, err := record.ParseLabel(k.Code); err == nil {
				set = set.Union(record.LabelsOf(l))
			} else {
				set = set.Union(record.LabelsOf(record.R))
			}
		}
	}
	return set
}
