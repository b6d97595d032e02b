package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/fhir/definitions"
)

// maxEverything is how many resources one page of $everything has.
const maxEverything = 1000

var everythingParams = []param{
	{name: "_type", kind: "token", doc: "resource types"},
	{name: "_since", kind: "date", doc: "what came here from then on"},
}

// everything answers Patient/[id]/$everything (hl7.org/fhir/R4/patient-operation-everything.html):
// the resources in all parts of the patient's that can be read here, byte for byte, and a
// DocumentReference for each part that is no FHIR. What was opened under several accesses
// comes once. It streams: a page is never held.
func everything(c *call) (answer, error) {
	who, err := c.patient(c.id)
	if err != nil {
		return answer{}, err
	}
	c.maxCount = maxEverything
	q, err := c.everythingQuery()
	if err != nil {
		return answer{}, err
	}
	for _, cr := range q.get("_since") {
		if err := cr.checkDates(); err != nil {
			return answer{}, err
		}
	}
	contents, err := c.all(&yitongv1.ListContentsRequest{Patient: who})
	if err != nil {
		return answer{}, err
	}
	contents = once(contents)
	if len(contents) == 0 {
		return answer{}, notFound()
	}
	return answer{sent: true}, c.stream(q, "searchset", contents)
}

// everythingQuery reads the parameters of the address, or of a Parameters resource.
func (c *call) everythingQuery() (query, error) {
	if c.in.Method != http.MethodPost || c.in.ContentLength == 0 {
		return c.parse(c.asked, everythingParams)
	}
	e, err := c.received("Parameters", maxResource)
	if err != nil {
		return query{}, err
	}
	form := url.Values{}
	for i, p := range e.list("parameter") {
		for _, m := range p.members {
			if !strings.HasPrefix(m.name, "value") {
				continue
			}
			switch m.value.kind {
			case '"':
				form.Add(p.str("name"), m.value.text())
			case '0', 't', 'f':
				form.Add(p.str("name"), string(m.value.raw))
			default:
				return query{}, invalid(fmt.Sprintf("Parameters.parameter[%d]", i), "this is no parameter of the operation", "_count, _type and _since")
			}
		}
	}
	return c.parse(form, everythingParams)
}

// once keeps each part once: that of the access which lasts longest.
func once(contents []*yitongv1.ContentEntry) (kept []*yitongv1.ContentEntry) {
	best := map[string]*yitongv1.ContentEntry{}
	key := func(e *yitongv1.ContentEntry) string {
		return fmt.Sprintf("%s/%s/%05d", e.GetCustodian(), e.GetRecordId(), e.GetPart().GetIndex())
	}
	for _, e := range contents {
		if b := best[key(e)]; b == nil || timeOf(e.GetUntil()).After(timeOf(b.GetUntil())) {
			best[key(e)] = e
		}
	}
	for _, e := range best {
		kept = append(kept, e)
	}
	slices.SortFunc(kept, func(a, b *yitongv1.ContentEntry) int { return strings.Compare(key(a), key(b)) })
	return kept
}

// stream writes the resources of contents as a Bundle, from the query's cursor on: as many as a page has.
func (c *call) stream(q query, of string, contents []*yitongv1.ContentEntry) error {
	s := &bundleStream{c: c, of: of, left: q.count, types: nil}
	for _, cr := range q.get("_type") {
		for _, kind := range cr.values {
			if t, ok := definitions.Types(kind); !ok || !t.Resource {
				return invalid("http._type", "R4 knows no resource of this name", "types of hl7.org/fhir/R4/resourcelist.html, with commas")
			}
		}
		s.types = append(s.types, cr.values...)
	}
	fromPart, fromByte := 0, int64(0)
	if q.cursor != "" {
		key, offset, _ := strings.Cut(q.cursor, "\n")
		fromPart = slices.IndexFunc(contents, func(e *yitongv1.ContentEntry) bool {
			return e.GetRecordId()+"/"+strconv.Itoa(int(e.GetPart().GetIndex())) == key
		})
		n, err := strconv.ParseInt(offset, 10, 64)
		if fromPart < 0 || err != nil {
			return &Fault{Status: http.StatusGone, Type: "not-found", Code: "bookmark-unknown", Expression: "http._page",
				Message: "what the bookmark points at isn't there any more", Allowed: "the same from the beginning"}
		}
		fromByte = n
	}
	links := []bundleLink{{"self", c.link(q, q.cursor)}}
	for _, e := range contents[fromPart:] {
		if !slices.ContainsFunc(q.get("_since"), func(cr criterion) bool { return !since(cr, e) }) {
			next, err := s.part(e, fromByte, contents)
			if err != nil {
				return err
			}
			if next >= 0 {
				links = append(links, bundleLink{"next", c.link(q, e.GetRecordId()+"/"+strconv.Itoa(int(e.GetPart().GetIndex()))+"\n"+strconv.FormatInt(next, 10))})
				break
			}
		}
		fromByte = 0
	}
	return s.end(links)
}

// since reports whether a content came here at or after the time.
func since(cr criterion, e *yitongv1.ContentEntry) bool {
	s, ok := parseDate(cr.values[0])
	return ok && !timeOf(e.GetOpened()).Before(s.start)
}

// A bundleStream is a Bundle that is being written.
type bundleStream struct {
	c     *call
	of    string // type
	id    string
	types []string
	left  int // entries
	out   io.Writer
	n     int
}

// part writes what is in one part, from a byte on. next is where the rest begins if the page
// is full, else -1.
func (s *bundleStream) part(e *yitongv1.ContentEntry, from int64, siblings []*yitongv1.ContentEntry) (next int64, err error) {
	if e.GetPart().GetMediaType() != mediaType {
		return s.file(e, siblings)
	}
	var mine []*yitongv1.ContentEntry
	for _, other := range siblings {
		if other.GetRecordId() == e.GetRecordId() && other.GetAccessId() == e.GetAccessId() {
			mine = append(mine, other)
		}
	}
	if i := slices.Index(mine, e); describes(mine, i) {
		return -1, nil // it is in the DocumentReference of the file
	}
	next = -1
	err = s.c.entries(placeOf(e), from, func(begin int64, raw []byte) (bool, error) {
		item, err := parse(raw, "Bundle.entry")
		if err != nil {
			return false, err
		}
		r := item.get("resource")
		if r == nil || !s.wants(r.str("resourceType")) {
			return true, nil
		}
		if s.left == 0 {
			next = begin
			return false, nil
		}
		var full json.RawMessage
		if u := item.get("fullUrl"); u != nil {
			full = u.raw
		}
		return true, s.entry(full, r.raw)
	})
	return next, err
}

func (s *bundleStream) wants(kind string) bool {
	return len(s.types) == 0 || slices.Contains(s.types, kind)
}

// file writes the DocumentReference of a part that is no FHIR.
func (s *bundleStream) file(e *yitongv1.ContentEntry, siblings []*yitongv1.ContentEntry) (int64, error) {
	if !s.wants("DocumentReference") {
		return -1, nil
	}
	if s.left == 0 {
		return 0, nil
	}
	var mine []*yitongv1.ContentEntry
	for _, other := range siblings {
		if other.GetRecordId() == e.GetRecordId() && other.GetAccessId() == e.GetAccessId() {
			mine = append(mine, other)
		}
	}
	doc, err := s.c.documentOf(mine, slices.Index(mine, e))
	if err != nil {
		return -1, err
	}
	return -1, s.entry(marshal(s.c.address()+"/DocumentReference/"+placeOf(e).id()), doc)
}

func (s *bundleStream) begin() error {
	if s.out != nil {
		return nil
	}
	c := s.c
	c.out.Header().Set("Content-Type", mediaType+"; charset=utf-8; fhirVersion="+fhirVersion)
	s.out = c.writer(-1)
	c.begun = true
	c.out.WriteHeader(http.StatusOK)
	if c.in.Method == http.MethodHead {
		s.out = io.Discard
	}
	head := fields{}
	head.add("resourceType", "Bundle")
	if s.id != "" {
		head.add("id", s.id)
	}
	head.add("meta", Meta{LastUpdated: instant(c.Now())})
	head.add("type", s.of)
	doc := marshal(head)
	_, err := s.out.Write(doc[:len(doc)-1])
	return err
}

func (s *bundleStream) entry(fullURL json.RawMessage, resource []byte) error {
	if err := s.begin(); err != nil {
		return err
	}
	before := ","
	if s.n == 0 {
		before = `,"entry":[`
	}
	s.n++
	s.left--
	var e fields
	if fullURL != nil {
		e = append(e, field{"fullUrl", fullURL})
	}
	e = append(e, field{"resource", resource})
	if s.of == "searchset" {
		e.add("search", bundleSearch{"match"})
	}
	doc, _ := e.MarshalJSON()
	_, err := s.out.Write(append([]byte(before), doc...))
	return err
}

func (s *bundleStream) end(links []bundleLink) error {
	if err := s.begin(); err != nil {
		return err
	}
	after := ""
	if s.n > 0 {
		after = "]"
	}
	if len(links) > 0 {
		after += `,"link":` + string(marshal(links))
	}
	_, err := io.WriteString(s.out, after+"}")
	return err
}

// entries gives the raw entries of a part that is a Bundle, from a byte on, each with where
// it begins, until take says no. It holds one entry at a time.
func (c *call) entries(p place, from int64, take func(begin int64, raw []byte) (bool, error)) error {
	o, err := c.open(p, from, 0)
	if err != nil {
		return err
	}
	defer o.close()
	var d *jsontext.Decoder
	shift := int64(0)
	if from > 0 {
		// The content from an entry on is, with a bracket before it, an array and something after.
		d, shift = jsontext.NewDecoder(io.MultiReader(strings.NewReader("["), o)), from-1
		_, err = d.ReadToken()
	} else {
		d = jsontext.NewDecoder(o)
		err = toEntries(d)
	}
	for err == nil && d.PeekKind() != ']' {
		if k := d.PeekKind(); k == 0 || k == '}' {
			break // no entries
		}
		var raw jsontext.Value
		if raw, err = d.ReadValue(); err != nil {
			break
		}
		begin := shift + d.InputOffset() - int64(len(raw))
		more, err := take(begin, raw)
		if err != nil || !more {
			return err
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// toEntries reads a Bundle as far as the beginning of its entries, or to its end.
func toEntries(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		if name.String() == "entry" {
			_, err := d.ReadToken()
			return err
		}
		if err := d.SkipValue(); err != nil {
			return err
		}
	}
	return nil
}
