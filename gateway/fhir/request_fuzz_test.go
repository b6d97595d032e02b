package fhir

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever a header, a cursor or a body says, the answer is FHIR and the fault is the sender's, or that
// of whoever isn't there; never ours.
func FuzzRequest(f *testing.F) {
	id := strings.Repeat("a", 32)
	doors := []struct{ method, path, header string }{
		{"GET", "/fhir/metadata", "Accept"}, {"GET", "/fhir/metadata", "Accept-Encoding"}, {"GET", "/fhir/metadata", "If-None-Match"}, {"GET", "/fhir/metadata", "If-Modified-Since"},
		{"GET", "/fhir/metadata", "X-Request-Id"}, {"GET", "/fhir/Binary/" + id + "-0", "Range"}, {"GET", "/fhir/Consent", "Prefer"}, {"PUT", "/fhir/Consent/" + id, "If-Match"},
		{"POST", "/fhir/Consent", "If-None-Exist"}, {"POST", "/fhir/Bundle", "If-None-Exist"}, {"POST", "/fhir/Subscription", "Content-Type"}, {"POST", "/fhir/Patient/" + id + "/$everything", "Content-Type"},
		{"POST", "/fhir", "Prefer"}, {"POST", "/fhir/Task/" + id + "/$open", "Prefer"},
	}
	for i, value := range []string{
		"application/fhir+xml;q=0.9, */*", "br;q=1, gzip;q=0", `W/"1", "2"`, "Mon, 02 Jan 2006 15:04:05 GMT", "a b", "bytes=0-,-5", "return=minimal, handling=strict", `W/"1"`,
		"identifier=a|b", "?identifier=a%7Cb", "application/fhir+json", "application/fhir+json; fhirVersion=4.0", "return=OperationOutcome", "",
	} {
		f.Add(uint8(i), value, `{"resourceType":"Parameters","parameter":[{"name":"_count","valueInteger":5},{"name":"_type","valueCode":"Observation"}]}`)
		f.Add(uint8(i), value, `{"resourceType":"Subscription","status":"requested","reason":"x","criteria":"urn:yitong:topic:access.*","end":"2027-01-01T00:00:00Z","channel":{"type":"rest-hook","endpoint":"https://x.example","payload":"application/fhir+json"}}`)
	}
	h := New(Config{Member: "hospital-a", Kind: "hospital", Secret: make([]byte, 32)}, &nobody{})
	f.Fuzz(func(t *testing.T, door uint8, value, body string) {
		d := doors[int(door)%len(doors)]
		in := httptest.NewRequest(d.method, "https://gateway.example"+d.path, strings.NewReader(body))
		in.Header.Set("Content-Type", mediaType)
		in.Header.Set(d.header, value)
		out := httptest.NewRecorder()
		h.ServeHTTP(out, in)
		var answer struct {
			ResourceType string
			Issue        []struct{ Severity, Code string }
		}
		switch {
		case out.Code == 304 || out.Code == 204 || out.Code < 300 && out.Header().Get("Content-Encoding") != "" || out.Code < 300 && strings.Contains(value, "minimal"):
			return
		case out.Code >= 500 && out.Code != 503: // nobody is there to read contents from
			t.Fatalf("%d: %s", out.Code, out.Body)
		}
		if err := json.Unmarshal(out.Body.Bytes(), &answer); err != nil || answer.ResourceType == "" || out.Code >= 400 && (answer.ResourceType != "OperationOutcome" || len(answer.Issue) == 0 || answer.Issue[0].Code == "") {
			t.Fatalf("%d %v: %s", out.Code, err, out.Body)
		}
	})
}

// What a Provide Document Bundle asks for is done as a whole, or the fault has its place.
func FuzzProvide(f *testing.F) {
	whole := `{"resourceType":"Bundle","type":"transaction","entry":[
		{"fullUrl":"urn:uuid:1","request":{"method":"POST","url":"List"},"resource":{"resourceType":"List","status":"current","mode":"working","code":{"coding":[{"system":"` + mhdLists + `","code":"submissionset"}]},"entry":[{"item":{"reference":"urn:uuid:2"}}]}},
		{"fullUrl":"urn:uuid:2","request":{"method":"POST","url":"DocumentReference"},"resource":{"resourceType":"DocumentReference","status":"current","masterIdentifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2"},"subject":{"reference":"urn:uuid:4"},"relatesTo":[{"code":"replaces","target":{"reference":"DocumentReference/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0"}}],"content":[{"attachment":{"contentType":"text/plain","url":"urn:uuid:3"}}]}},
		{"fullUrl":"urn:uuid:3","request":{"method":"POST","url":"Binary"},"resource":{"resourceType":"Binary","contentType":"text/plain","data":"aGk="}},
		{"fullUrl":"urn:uuid:4","request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Patient","identifier":[{"system":"https://h","value":"1"}]}},
		{"fullUrl":"urn:uuid:5","request":{"method":"PATCH","url":"DocumentReference/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0"},"resource":{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"path","valueString":"DocumentReference.status"},{"name":"type","valueCode":"replace"},{"name":"value","valueCode":"superseded"}]}]}}]}`
	f.Add("", whole)
	for _, c := range [][2]string{{"urn:uuid:4", "urn:uuid:3"}, {"PATCH", "POST"}, {"superseded", "current"}, {"aGk=", "!"}, {"submissionset", "folder"}, {`"urn:uuid:2"`, `"#x"`}, {"-0", "-1"}} {
		f.Add(c[0], c[1])
	}
	c := aCall()
	f.Fuzz(func(t *testing.T, old, by string) {
		doc := by
		if old != "" {
			doc = strings.ReplaceAll(whole, old, by)
		}
		b, err := readReceived([]byte(doc))
		if err != nil || !b.provides() {
			return
		}
		p := newProvision()
		if err := c.checkProvision(b, p); err != nil {
			if got := faultOf(err); got.Status < 400 || got.Status > 499 || !strings.HasPrefix(got.Expression, "Bundle.entry") {
				t.Fatalf("%+v", got)
			}
			return
		}
		if len(p.submissions) != b.kinds["DocumentReference"] || len(p.resources) != b.entries || p.who.GetValue() == "" {
			t.Fatalf("of %d documents %d are kept, for %v", b.kinds["DocumentReference"], len(p.submissions), p.who)
		}
		for i, s := range p.submissions {
			if len(s.content) == 0 && s.header.GetMediaType() == mediaType || !s.header.Patient.ProtoReflect().IsValid() || !strings.HasPrefix(s.at, item("Bundle.entry", i)) {
				t.Fatalf("%+v", s)
			}
		}
	})
}
