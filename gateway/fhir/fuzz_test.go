package fhir

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/fhir/profiletest"
	"yitong/gateway/seal"
)

// second reads a document with another parser, to which names twice and case matter not: whatever the strict
// decoder takes, it must read too, and alike.
func second(t *testing.T, raw []byte, e *element) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("taken, and another parser can't read it: %v", err)
	}
	same(t, e, v)
}

func same(t *testing.T, e *element, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		if e.kind != '{' || len(e.members) != len(v) {
			t.Fatalf("an object of %d members, and of %d", len(v), len(e.members))
		}
		for _, m := range e.members {
			same(t, m.value, v[m.name])
		}
	case []any:
		if e.kind != '[' || len(e.items) != len(v) {
			t.Fatalf("an array of %d items, and of %d", len(v), len(e.items))
		}
		for i := range v {
			same(t, e.items[i], v[i])
		}
	case string:
		if e.text() != v || !utf8.ValidString(v) {
			t.Fatalf("%q and %q", v, e.text())
		}
	case json.Number:
		if f, err := v.Float64(); string(e.raw) != v.String() || err != nil || math.IsInf(f, 0) {
			t.Fatalf("the number %s, and %s", v, e.raw)
		}
	}
}

func FuzzBundle(f *testing.F) {
	for _, doc := range []string{
		`{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","identifier":[{"system":"https://h","value":"1"}]}}]}`,
		`{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"url":"urn:uuid:2"}}]},"request":{"method":"POST","url":"DocumentReference"}}]}`,
		`{"entry":[],"entry":[]}`, `{"entry":{}}`, `{"entry":[1]}`, `[]`, `{`, ``, "{\"entry\":[\xff]}",
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := readReceived(raw)
		if err != nil {
			if got := faultOf(err); got.Status < 400 || got.Status > 499 || got.Expression == "" {
				t.Fatalf("%+v", got)
			}
			return
		}
		e, err := parse(raw, "Bundle")
		if err != nil {
			t.Fatalf("entry by entry it is read, and as a whole it isn't: %v", err)
		}
		second(t, raw, e)
		// What is taken here is what is split there.
		if _, err := seal.Entries(raw); err != nil {
			t.Fatalf("taken, and it can't be split: %v", err)
		}
		if len(e.list("entry")) != b.entries {
			t.Fatalf("%d entries, and %d", len(e.list("entry")), b.entries)
		}
	})
}

func FuzzDocumentReference(f *testing.F) {
	f.Add([]byte(`{"resourceType":"DocumentReference","status":"current","masterIdentifier":{"value":"urn:oid:1.2"},"subject":{"identifier":{"system":"https://h","value":"1"}},"category":[{"coding":[{"system":"http://loinc.org","code":"11502-2"}]}],"content":[{"attachment":{"contentType":"application/pdf", "data" : "aGk=" ,"size":2}}],"context":{"period":{"start":"2020","end":"2021-02"}}}`))
	f.Add([]byte(`{"resourceType":"DocumentReference","status":"current","subject":{"reference":"#p"},"contained":[{"resourceType":"Patient","id":"p","identifier":[{"system":"https://h","value":"1"}]}],"content":[{"attachment":{"data":"aGk=","contentType":"a/b"}}],"relatesTo":[{"code":"replaces","target":{"identifier":{"value":"x"}}}]}`))
	f.Add([]byte(`{"resourceType":"DocumentReference","content":[{"attachment":{"url":"http://169.254.169.254"}}]}`))
	c := aCall()
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := parse(raw, "DocumentReference")
		if err != nil || d.str("resourceType") != "DocumentReference" || validate(d, "DocumentReference") != nil {
			return
		}
		second(t, raw, d)
		s, err := c.fileSubmission(d, "DocumentReference", &surrounding{})
		if err != nil {
			if got := faultOf(err); got.Status < 400 || got.Status > 499 || got.Expression == "" {
				t.Fatalf("%+v", got)
			}
			return
		}
		if s.header.MediaType == mediaType {
			return
		}
		// The description is all that was said but for the content, and can be read again.
		entries, err := seal.Entries(s.header.GetDescription())
		if err != nil || len(entries) != 1 {
			t.Fatalf("%v in %s", err, s.header.GetDescription())
		}
		e, err := parse(entries[0], "entry")
		if err != nil {
			t.Fatalf("%v in %s", err, entries[0])
		}
		said := e.get("resource")
		if said.at("content", 0, "attachment", "data") != nil || len(said.members) != len(d.members) ||
			len(said.at("content", 0, "attachment").members) != len(d.at("content", 0, "attachment").members)-1 {
			t.Fatalf("%s became %s", raw, said.raw)
		}
		doc := c.document(&yitongv1.ContentEntry{RecordId: strings.Repeat("a", 32), Opened: timestamppb.Now(), Part: &yitongv1.Part{RecordId: strings.Repeat("a", 32), MediaType: s.header.MediaType, DataClass: s.header.DataClass, Labels: s.header.Labels}}, said)
		out, err := parse(doc, "DocumentReference")
		if err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
		if err := validate(out, "DocumentReference"); err != nil {
			t.Fatalf("what is made of it isn't R4: %v in %s", err, doc)
		}
		if _, lacks := profiletest.Check(doc); len(lacks) > 0 {
			t.Fatalf("it claims what it isn't: %v in %s", lacks, doc)
		}
	})
}

// aCall is one that asks nobody anything.
func aCall() *call {
	f := &facade{Config: Config{Member: "hospital-a", Address: "https://h.example/fhir", Now: time.Now}}
	f.bookmarks, f.derive = newBookmarks(make([]byte, 32)), deriver(make([]byte, 32))
	f.patients.scanned = time.Now().Add(time.Hour)
	return &call{facade: f, in: httptest.NewRequest("GET", "/fhir/DocumentReference", nil)}
}

func FuzzSearchParameters(f *testing.F) {
	for _, q := range []string{
		"patient.identifier=https://h|1&status=current,superseded", "date=ge2020-01-01&date=lt2021", "category=urn:yitong:data-class|laboratory",
		"_count=5&_summary=count", `identifier=a\|b|c\,d`, "period=ap2020-02-30", "_page=AAAA", "_id=x&_id=y", "date=sa2020-01-01T10:00:00%2B08:00", "author.given=%00",
	} {
		f.Add(q)
	}
	params := append((&facade{}).documentReferences().params, shared...)
	document, _ := parse([]byte(`{"resourceType":"DocumentReference","id":"a","status":"current","date":"2020-01-01T00:00:00Z","context":{"period":{"start":"2020"}},"content":[{"attachment":{"contentType":"a/b"}}]}`), "x")
	f.Fuzz(func(t *testing.T, raw string) {
		form, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		c := aCall()
		q, err := c.parse(form, params)
		if err != nil {
			got := faultOf(err)
			if got.Status < 400 || got.Status > 499 || !strings.HasPrefix(got.Expression, "http.") {
				t.Fatalf("%+v", got)
			}
			return
		}
		_ = q.matches(document)
		if _, err := c.patientCriterion(q); err != nil && faultOf(err).Status >= 500 {
			t.Fatal(err)
		}
		// Of what was understood a link can be made, which means the same.
		q2, err := c.parse(mustQuery(t, c.link(q, "there")), params)
		if err != nil || q2.cursor != "there" || len(q2.criteria) != len(q.criteria) || q2.count != q.count || q2.summary != q.summary {
			t.Fatalf("%v: %+v became %+v", err, q, q2)
		}
		for _, cr := range q.criteria {
			if cr.param.patient && len(form.Get(cr.param.name)) > 8 && strings.Contains(c.link(q, ""), url.QueryEscape(form.Get(cr.param.name))) {
				t.Fatal("a patient stands in a link")
			}
		}
	})
}

func mustQuery(t *testing.T, link string) url.Values {
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func TestIdsOfPlacesReadBack(t *testing.T) {
	hex := rapid.StringMatching(`[0-9a-f]{32}`)
	rapid.Check(t, func(t *rapid.T) {
		p := place{record: hex.Draw(t, "record"), index: rapid.IntRange(-1, 99_999).Draw(t, "index")}
		if rapid.Bool().Draw(t, "opened") {
			p.access = hex.Draw(t, "access")
		}
		id := p.id()
		if !validID.MatchString(id) {
			t.Fatalf("%s is no id of R4", id)
		}
		read := partPlace
		if p.index < 0 {
			read = recordPlace
		}
		if got, ok := read(id); !ok || got != p {
			t.Fatalf("%+v became %s and %+v", p, id, got)
		}
		// No other spelling of the same place.
		other := id[:len(id)-1] + strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "digit"))
		if got, ok := read(other); ok && other != id && got == p {
			t.Fatalf("%s and %s are one place", id, other)
		}
	})
}

// A date is before, within or after another; the prefixes agree on which.
func TestPrefixesOfDatesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := rapid.IntRange(0, 3000)
		from := time.Unix(0, 0).UTC().AddDate(0, 0, day.Draw(t, "from"))
		to := from.AddDate(0, 0, 1+day.Draw(t, "days"))
		at := time.Unix(0, 0).UTC().AddDate(0, 0, day.Draw(t, "asked"))
		s := span{at, at.AddDate(0, 0, 1)}
		is := func(prefix string) bool { return holds(prefix, s, from, to) }
		if is("eq") == is("ne") || is("sa") && is("eb") || is("sa") && !is("gt") || is("eb") && !is("lt") || is("eq") && !is("ap") || is("sa") && is("ap") || is("eb") && is("ap") ||
			!is("sa") && !is("eb") && !is("ap") || is("gt") && !is("ge") || is("lt") && !is("le") || is("eq") && !(is("ge") && is("le")) {
			t.Fatalf("[%v, %v) and %v: eq %v ne %v gt %v lt %v ge %v le %v sa %v eb %v ap %v", from, to, at, is("eq"), is("ne"), is("gt"), is("lt"), is("ge"), is("le"), is("sa"), is("eb"), is("ap"))
		}
	})
}
