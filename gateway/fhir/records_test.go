package fhir_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/gatewaytest"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/fhir/profiletest"
)

// The identifier of the patient that these tests are about.
const (
	mrnSystem = "https://hospital-a.example/mrn"
	mrnValue  = "MRN-0042"
)

// front is the FHIR door of one member, as its own software sees it.
type front struct {
	t    testing.TB
	base string
	http *http.Client
	grpc *client.Client
}

func open(t testing.TB, dir, member, user string) *front {
	t.Helper()
	p, err := client.ReadProfile(dir, member)
	if err == nil {
		p, err = p.For(user)
	}
	if err != nil {
		t.Fatal(err)
	}
	config, err := p.TLS()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.Dial(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &front{t, "https://" + p.HTTP + "/fhir", &http.Client{Transport: transport}, c}
}

// reply is an answer, read to its end.
type reply struct {
	*http.Response
	body []byte
}

func (f *front) do(method, path, body string, headers ...string) reply {
	f.t.Helper()
	address := path
	if !strings.HasPrefix(path, "https://") {
		address = f.base + path
	}
	in, err := http.NewRequestWithContext(f.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if body != "" {
		in.Header.Set("Content-Type", "application/fhir+json")
	}
	for i := 0; i < len(headers); i += 2 {
		in.Header.Set(headers[i], headers[i+1])
	}
	out, err := f.http.Do(in)
	if err != nil {
		f.t.Fatal(err)
	}
	defer out.Body.Close()
	raw, err := io.ReadAll(out.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if json.Valid(raw) && raw[0] == '{' { // what it claims to be, it is
		if _, lacks := profiletest.Check(raw); len(lacks) > 0 {
			f.t.Errorf("%s %s: %v", method, in.URL.Path, lacks)
		}
	}
	return reply{out, raw}
}

// want fails the test unless the answer has the status.
func (r reply) want(t *testing.T, status int) reply {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("got %d, want %d: %.600s", r.StatusCode, status, r.body)
	}
	return r
}

func (r reply) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		t.Fatalf("%v: %.400s", err, r.body)
	}
}

// issue is the first issue of an OperationOutcome: its code and its expression.
func (r reply) issue(t *testing.T) (code, at string) {
	t.Helper()
	var o struct {
		ResourceType string
		Issue        []struct {
			Details    struct{ Coding []struct{ Code string } }
			Expression []string
		}
	}
	r.into(t, &o)
	if o.ResourceType != "OperationOutcome" || len(o.Issue) == 0 {
		t.Fatalf("this is no OperationOutcome: %.400s", r.body)
	}
	return o.Issue[0].Details.Coding[0].Code, strings.Join(o.Issue[0].Expression, " ")
}

type bundleDoc struct {
	ResourceType, Type string
	Total              *int
	Link               []struct{ Relation, URL string }
	Entry              []struct {
		FullURL  string
		Resource json.RawMessage
		Search   struct{ Mode string }
		Response struct{ Status, Location string }
	}
}

func (b bundleDoc) link(relation string) string {
	for _, l := range b.Link {
		if l.Relation == relation {
			return l.URL
		}
	}
	return ""
}

type documentDoc struct {
	ResourceType, ID, Status, Description, Date string
	Meta                                        struct{ LastUpdated string }
	MasterIdentifier                            struct{ System, Value string }
	Identifier                                  []struct{ System, Value string }
	Category, SecurityLabel                     []struct {
		Coding []struct{ System, Code string }
	}
	Type struct {
		Coding []struct{ System, Code string }
	}
	Subject struct {
		Reference  string
		Identifier struct{ System, Value string }
	}
	Custodian struct{ Identifier struct{ Value string } }
	Content   []struct {
		Attachment struct {
			ContentType, URL, Hash, Title, Data string
			Size                                int
			Extension                           []struct{ URL, ValueBase64Binary string }
		}
	}
	Context struct {
		Period struct{ Start, End string }
	}
}

// aBundle is a record of one patient: bytes that a decoder would change if it wrote them anew
// (the order, the blanks, the decimals, an extension of a primitive).
func aBundle() string {
	return `{"resourceType":"Bundle","type":"collection","entry":[
	{"fullUrl":"urn:uuid:0a7c1f1e-7a52-4b5a-9a57-0f6f5d2f0001","resource":{"resourceType":"Patient","identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"system":"` + mrnSystem + `","value":"` + mrnValue + `"}],"_birthDate":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"masked"}]}}},
	{"fullUrl":"urn:uuid:0a7c1f1e-7a52-4b5a-9a57-0f6f5d2f0002","resource":{"status":"final",  "resourceType":"Observation","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"718-7"}]},"subject":{"reference":"urn:uuid:0a7c1f1e-7a52-4b5a-9a57-0f6f5d2f0001"},"effectiveDateTime":"2025-03-01","valueQuantity":{"value":13.10,"unit":"g/dL"}}},
	{"resource":{"resourceType":"Condition","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]},"code":{"text":"depression"},"subject":{"reference":"urn:uuid:0a7c1f1e-7a52-4b5a-9a57-0f6f5d2f0001"},"onsetDateTime":"2024-01"}}]}`
}

// aDocument is a DocumentReference with its content.
func aDocument(content []byte, more string) string {
	return fmt.Sprintf(`{"resourceType":"DocumentReference","status":"current","masterIdentifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.3.%d"},
	"type":{"coding":[{"system":"http://loinc.org","code":"11502-2","display":"Laboratory report"}]},"description":"blood count","_description":{"id":"d1"},
	"subject":{"identifier":{"system":%q,"value":%q}},"context":{"period":{"start":"2025-02-01","end":"2025-02-28"}},
	"securityLabel":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"N"}]}]%s,
	"content":[{"attachment":{"contentType":"application/pdf", "data" : %q , "title":"Blood"},"format":{"system":"urn:oid:1.3.6.1.4.1.19376.1.2.3","code":"urn:ihe:iti:xds:2017:mimeTypeSufficient"}}]}`,
		len(content), mrnSystem, mrnValue, more, base64.StdEncoding.EncodeToString(content))
}

func post(f *front, path, body string, headers ...string) reply {
	f.t.Helper()
	return f.do("POST", path, body, headers...)
}

func search(f *front, kind string, form url.Values) reply {
	f.t.Helper()
	return f.do("POST", "/"+kind+"/_search", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

func byPatient(more ...string) url.Values {
	v := url.Values{"patient.identifier": {mrnSystem + "|" + mrnValue}}
	for i := 0; i < len(more); i += 2 {
		v.Add(more[i], more[i+1])
	}
	return v
}

// share has the insurer open what the hospital's consent lets it: these classes.
func share(t testing.TB, hospital, insurer *front, classes ...string) string {
	t.Helper()
	who := &yitongv1.Patient{System: mrnSystem, Value: mrnValue}
	_, err := hospital.grpc.Consents.Grant(t.Context(), &yitongv1.GrantRequest{
		Patient: who, Requester: "insurer", Form: []byte("signed"),
		Provision: &yitongv1.Provision{Type: "permit", Purposes: []string{"HPAYMT"}, Classes: classes, Provisions: []*yitongv1.Provision{{Type: "deny", Labels: []string{"PSY"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	asked, err := insurer.grpc.Accesses.Request(t.Context(), &yitongv1.AccessRequest{Custodian: "hospital-a", Patient: who, Purpose: "CLMATTCH", Classes: classes})
	if err != nil {
		t.Fatal(err)
	}
	id := asked.GetAccess().GetId()
	stream, err := insurer.grpc.Accesses.Open(t.Context(), &yitongv1.OpenRequest{Id: id, Custodian: "hospital-a"})
	for err == nil {
		_, err = stream.Recv()
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	return id
}

func TestARecordGoesInAndOutByteForByte(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital, insurer := open(t, dir, "hospital-a", ""), open(t, dir, "insurer", "")

	in := post(hospital, "/Bundle", aBundle()).want(t, 201)
	at := in.Header.Get("Location")
	if !strings.HasPrefix(at, hospital.base+"/Bundle/") {
		t.Fatalf("it is at %q", at)
	}
	record := strings.TrimPrefix(at, hospital.base+"/Bundle/")

	var own bundleDoc
	hospital.do("GET", at, "").want(t, 200).into(t, &own)
	if own.Type != "collection" || len(own.Entry) != 3 {
		t.Fatalf("the hospital reads %d entries of a %s", len(own.Entry), own.Type)
	}
	pdf := []byte("%PDF-1.7 a report")
	var created documentDoc
	post(hospital, "/DocumentReference", aDocument(pdf, ""), "Prefer", "return=representation").want(t, 201).into(t, &created)
	if created.Description != "blood count" || created.Content[0].Attachment.Data != "" || created.Content[0].Attachment.Size != len(pdf) || created.Content[0].Attachment.Title != "Blood" {
		t.Errorf("it was created as %+v", created)
	}

	// Before anything is opened, the insurer finds nothing.
	var found bundleDoc
	search(insurer, "DocumentReference", byPatient()).want(t, 200).into(t, &found)
	if found.Type != "searchset" || len(found.Entry) != 0 {
		t.Errorf("the insurer finds %d entries before it opened any", len(found.Entry))
	}
	share(t, hospital, insurer, "laboratory")

	found = bundleDoc{}
	search(insurer, "DocumentReference", byPatient()).want(t, 200).into(t, &found)
	var kinds []string
	var document documentDoc
	for _, e := range found.Entry {
		var d documentDoc
		if err := json.Unmarshal(e.Resource, &d); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, d.Content[0].Attachment.ContentType+" "+d.Category[len(d.Category)-1].Coding[0].Code)
		if d.Content[0].Attachment.ContentType == "application/pdf" {
			document = d
		}
	}
	if len(found.Entry) != 2 {
		t.Fatalf("the insurer finds %v, want the laboratory part of the Bundle and the report: neither the condition nor the patient", kinds)
	}
	if document.Description != "blood count" || document.Type.Coding[0].Code != "11502-2" || document.Custodian.Identifier.Value != "HospitalA" ||
		document.MasterIdentifier.Value != created.MasterIdentifier.Value || document.Subject.Identifier.Value != mrnValue || document.Status != "current" ||
		document.Context.Period.Start != "2025-02-01" || !strings.HasPrefix(document.Content[0].Attachment.URL, insurer.base+"/Binary/") {
		t.Errorf("the insurer reads %+v", document)
	}
	read := insurer.do("GET", document.Content[0].Attachment.URL, "").want(t, 200)
	if !bytes.Equal(read.body, pdf) || read.Header.Get("Content-Type") != "application/pdf" || read.Header.Get("Content-Disposition") != "attachment" {
		t.Errorf("the insurer reads %q as %s", read.body, read.Header.Get("Content-Type"))
	}

	// $everything has the laboratory Observation as it was written, and nothing that isn't permitted.
	var who bundleDoc
	search(insurer, "Patient", url.Values{"identifier": {mrnSystem + "|" + mrnValue}}).want(t, 200).into(t, &who)
	if len(who.Entry) != 1 || strings.Contains(who.link("self"), mrnValue) {
		t.Fatalf("the patient isn't found, or stands in a link: %+v", who.Link)
	}
	everything := insurer.do("GET", who.Entry[0].FullURL+"/$everything", "").want(t, 200)
	var all bundleDoc
	everything.into(t, &all)
	if !bytes.Contains(everything.body, []byte(`{"status":"final",  "resourceType":"Observation"`)) || !bytes.Contains(everything.body, []byte(`"value":13.10,`)) {
		t.Errorf("the Observation isn't what was sent: %s", everything.body)
	}
	for _, secret := range []string{"depression", "_birthDate", `"resourceType":"Patient"`} {
		if bytes.Contains(everything.body, []byte(secret)) {
			t.Errorf("%s isn't permitted, and comes", secret)
		}
	}
	if len(all.Entry) != 2 || all.Type != "searchset" {
		t.Errorf("it has %d entries of a %s", len(all.Entry), all.Type)
	}
	mine := hospital.do("GET", strings.Replace(who.Entry[0].FullURL, insurer.base, hospital.base, 1)+"/$everything", "")
	if mine.StatusCode != 404 {
		t.Errorf("another gateway's id of a patient answers %d", mine.StatusCode)
	}

	// What isn't opened isn't there, and what the hospital has isn't the insurer's.
	for _, path := range []string{"/Bundle/" + record, "/Binary/" + record + "-0", "/DocumentReference/" + record + "-0", "/DocumentReference/" + created.ID, "/Binary/x", "/Bundle/" + strings.Repeat("0", 32)} {
		r := insurer.do("GET", path, "").want(t, 404)
		if code, _ := r.issue(t); code != "not-found" {
			t.Errorf("%s answers %s", path, code)
		}
	}
}

func TestBinariesAreReadInRanges(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital := open(t, dir, "hospital-a", "")
	content := bytes.Repeat([]byte("0123456789abcdef"), 150_000) // 2.4 MB: several messages
	created := post(hospital, "/DocumentReference", aDocument(content, "")).want(t, 201)
	at := strings.Replace(created.Header.Get("Location"), "/DocumentReference/", "/Binary/", 1)
	n := len(content)

	whole := hospital.do("GET", at, "").want(t, 200)
	etag := whole.Header.Get("ETag")
	if !bytes.Equal(whole.body, content) || len(etag) != 66 || whole.Header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("got %d bytes, ETag %s", len(whole.body), etag)
	}
	for _, c := range []struct {
		name, header string
		from, to     int
	}{
		{"the beginning", "bytes=0-99", 0, 100},
		{"the middle, over a boundary", "bytes=1048570-1048585", 1048570, 1048586},
		{"the rest", fmt.Sprintf("bytes=%d-", n-5), n - 5, n},
		{"the end", "bytes=-7", n - 7, n},
		{"more than there is", fmt.Sprintf("bytes=%d-%d", n-3, n+100), n - 3, n},
		{"a suffix longer than all", fmt.Sprintf("bytes=-%d", n+5), 0, n},
	} {
		r := hospital.do("GET", at, "", "Range", c.header).want(t, 206)
		if !bytes.Equal(r.body, content[c.from:c.to]) || r.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, n) || r.Header.Get("ETag") != etag {
			t.Errorf("%s: got %d bytes, %s", c.name, len(r.body), r.Header.Get("Content-Range"))
		}
	}
	if r := hospital.do("GET", at, "", "Range", fmt.Sprintf("bytes=%d-", n+1)).want(t, 416); r.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", n) {
		t.Errorf("past the end: %q", r.Header.Get("Content-Range"))
	}
	for _, other := range []string{"bytes=0-1,5-6", "bytes=5-2", "lines=1-2", "bytes=a-b"} {
		hospital.do("GET", at, "", "Range", other).want(t, 200)
	}
	hospital.do("GET", at, "", "Range", "bytes=0-9", "If-Range", etag).want(t, 206)
	hospital.do("GET", at, "", "Range", "bytes=0-9", "If-Range", `"other"`).want(t, 200)
	hospital.do("GET", at, "", "If-None-Match", etag).want(t, 304)
	head := hospital.do("HEAD", at, "").want(t, 200)
	if head.ContentLength != int64(n) || len(head.body) != 0 {
		t.Errorf("HEAD tells %d bytes", head.ContentLength)
	}
	hospital.do("GET", at, "", "Accept", "image/png").want(t, 406)
	hospital.do("GET", at, "", "Accept", "application/pdf").want(t, 200)

	var b struct{ ResourceType, ContentType, Data string }
	hospital.do("GET", at, "", "Accept", "application/fhir+json").want(t, 200).into(t, &b)
	if data, err := base64.StdEncoding.DecodeString(b.Data); err != nil || b.ResourceType != "Binary" || b.ContentType != "application/pdf" || !bytes.Equal(data, content) {
		t.Errorf("as a resource: %v, %d bytes of %s", err, len(data), b.ContentType)
	}
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}
