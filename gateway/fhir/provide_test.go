package fhir_test

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"yitong/cmd/yitong/gatewaytest"
)

// provideBundle is a Provide Document Bundle (IHE MHD ITI-65) in the shape of IHE's own examples: a
// SubmissionSet, a DocumentReference, its Binary and the Patient.
func provideBundle(content []byte, change ...string) string {
	sum := sha1.Sum(content)
	return strings.NewReplacer(change...).Replace(fmt.Sprintf(`{"resourceType":"Bundle","meta":{"profile":["https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD.Minimal.ProvideBundle"]},"type":"transaction","entry":[
	{"fullUrl":"urn:uuid:593cd04e-b696-45c1-bc32-39e55a340a44","resource":{"resourceType":"List","status":"current","mode":"working","code":{"coding":[{"system":"https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes","code":"submissionset"}]},"entry":[{"item":{"reference":"urn:uuid:593cd04e-b696-45c1-bc32-39e55a340a46"}}]},"request":{"method":"POST","url":"List"}},
	{"fullUrl":"urn:uuid:593cd04e-b696-45c1-bc32-39e55a340a46","resource":{"resourceType":"DocumentReference","masterIdentifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.129.6.58.92.88336"},"status":"current","category":[{"coding":[{"system":"http://loinc.org","code":"26436-6"}]}],"subject":{"reference":"urn:uuid:593cd04e-b696-45c1-bc32-39e55a340a49"},"securityLabel":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"ETH"}]}],"content":[{"attachment":{"contentType":"text/plain","url":"urn:uuid:593cd04e-b696-45c1-bc32-39e55a340a47","size":%d,"hash":%q}}]},"request":{"method":"POST","url":"DocumentReference"}},
	{"fullUrl":"urn:uuid:593cd04e-b696-45c1-bc32-39e55a340a47","resource":{"resourceType":"Binary","contentType":"text/plain","data":%q},"request":{"method":"POST","url":"Binary"}},
	{"fullUrl":"urn:uuid:593cd04e-b696-45c1-bc32-39e55a340a49","resource":{"resourceType":"Patient","identifier":[{"system":%q,"value":%q}]},"request":{"method":"POST","url":"Patient"}}]}`,
		len(content), base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(content), mrnSystem, mrnValue))
}

func TestDocumentsAreProvidedAsIHEDoes(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital := open(t, dir, "hospital-a", "")
	content := []byte("Hb 13.1 g/dL")

	var done bundleDoc
	post(hospital, "", provideBundle(content)).want(t, 200).into(t, &done)
	if done.Type != "transaction-response" || len(done.Entry) != 4 || !strings.HasPrefix(done.Entry[1].Response.Status, "201") {
		t.Fatalf("answered %+v", done)
	}
	var d documentDoc
	hospital.do("GET", done.Entry[1].Response.Location, "").want(t, 200).into(t, &d)
	if d.Category[0].Coding[0].Code != "26436-6" || d.Category[0].Coding[1].Code != "laboratory" || d.SecurityLabel[0].Coding[0].Code != "ETH" || d.MasterIdentifier.Value != "urn:oid:1.2.129.6.58.92.88336" {
		t.Errorf("it reads %+v", d)
	}
	if read := hospital.do("GET", done.Entry[2].Response.Location, "").want(t, 200); string(read.body) != string(content) || read.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("the Binary is %q", read.body)
	}
	// The same again is the same; other content under its master identifier is refused.
	var again bundleDoc
	post(hospital, "/", provideBundle(content)).want(t, 200).into(t, &again)
	if again.Entry[1].Response.Location != done.Entry[1].Response.Location {
		t.Errorf("sent twice it is kept twice")
	}
	if code, at := post(hospital, "", provideBundle([]byte("Hb 9.1 g/dL"))).want(t, 409).issue(t); code != "exists" || at != "Bundle.entry[1].resource" {
		t.Errorf("other content under its identifier: %s at %s", code, at)
	}

	for _, c := range []struct{ name, from, to, at string }{
		{"another hash", base64.StdEncoding.EncodeToString(func() []byte { s := sha1.Sum(content); return s[:] }()), base64.StdEncoding.EncodeToString(make([]byte, 20)), "Bundle.entry[1].resource.content[0].attachment.hash"},
		{"another size", `"size":12`, `"size":13`, "Bundle.entry[1].resource.content[0].attachment.size"},
		{"a class that isn't known", `"26436-6"`, `"26436-7"`, "Bundle.entry[1].resource.category"},
		{"nobody's", `"reference":"urn:uuid:593cd04e-b696-45c1-bc32-39e55a340a49"`, `"reference":"Patient/elsewhere"`, "Bundle.entry[1].resource.subject"},
		{"a patient without an identifier", `"identifier":[{"system":"` + mrnSystem + `","value":"` + mrnValue + `"}]`, `"active":true`, "Bundle.entry[3].resource.identifier"},
		{"one that deletes", `{"method":"POST","url":"Patient"}`, `{"method":"DELETE","url":"Patient/1"}`, "Bundle.entry[3].request.method"},
		{"not current", `"status":"current","category"`, `"status":"superseded","category"`, "Bundle.entry[1].resource.status"},
		{"a content that isn't sent along", `"url":"urn:uuid:593cd04e-b696-45c1-bc32-39e55a340a47"`, `"url":"http://169.254.169.254/latest"`, "Bundle.entry[1].resource.content[0].attachment.url"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, at := post(hospital, "", provideBundle(content, c.from, c.to)).want(t, 422).issue(t); at != c.at {
				t.Errorf("refused at %s", at)
			}
		})
	}
	// A replacement names what it replaces.
	var replacing bundleDoc
	post(hospital, "", provideBundle([]byte("Hb 13.2 g/dL"), "88336", "88337", `"status":"current","category"`,
		`"relatesTo":[{"code":"replaces","target":{"reference":"DocumentReference/`+d.ID+`"}}],"status":"current","category"`)).want(t, 200).into(t, &replacing)
	d = documentDoc{}
	read := hospital.do("GET", done.Entry[1].Response.Location, "", "If-None-Match", `W/"1"`).want(t, 200)
	read.into(t, &d)
	if d.Status != "superseded" || read.Header.Get("ETag") != `W/"2"` {
		t.Errorf("what was replaced is %s, of version %s", d.Status, read.Header.Get("ETag"))
	}
	post(hospital, "", aBundle()).want(t, 422) // a collection isn't posted to the base

	t.Run("searches", func(t *testing.T) { searchesFind(t, hospital) })
	t.Run("conditions", func(t *testing.T) { conditionsHold(t, hospital) })
}

// searchesFind looks for the two documents above, and one of another time, class and kind.
func searchesFind(t *testing.T, f *front) {
	post(f, "/DocumentReference", aDocument([]byte("%PDF"), "")).want(t, 201)
	for query, want := range map[string]int{
		"status=current":                            2,
		"status=superseded":                         1,
		"category=laboratory":                       3,
		"category=urn:yitong:data-class|laboratory": 3,
		"category=http://loinc.org|26436-6":         2,
		"category=imaging":                          0,
		"type=11502-2":                              1,
		"type=http://loinc.org|":                    1,
		"type=http://other|11502-2":                 0,
		"contenttype=application/pdf":               1,
		"contenttype=application/pdf,text/plain":    3,
		"security-label=ETH":                        2,
		"identifier=urn:ietf:rfc:3986|urn:oid:1.2.129.6.58.92.88336": 1,
		"period=2025-02":      1,
		"period=gt2025-03":    0,
		"period=lt2025-02-15": 1,
		"description=Blood":   1,
		"description=count":   0,
		"format=urn:ihe:iti:xds:2017:mimeTypeSufficient": 1,
		"_lastUpdated=ge2000":                            3,
		"_lastUpdated=lt2000":                            0,
		"date=ge2000&status=current":                     2,
		"status=current,superseded":                      3,
	} {
		var b bundleDoc
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range byPatient() {
			form[name] = values
		}
		search(f, "DocumentReference", form).want(t, 200).into(t, &b)
		if len(b.Entry) != want || b.Total == nil || *b.Total != want {
			t.Errorf("%s finds %d, want %d", query, len(b.Entry), want)
		}
	}
	for query, at := range map[string]string{
		"stauts=current": "http.stauts", "date=yesterday": "http.date", "_count=many": "http._count", "patient=Patient/a%20b": "http.patient",
		"patient.identifier=4711": "http.patient.identifier", "type:text=x": "http.type:text", "_summary=short": "http._summary",
	} {
		if _, got := f.do("GET", "/DocumentReference?"+query, "").want(t, 400).issue(t); got != at {
			t.Errorf("%s is refused at %s", query, got)
		}
	}
	f.do("GET", "/DocumentReference?stauts=current", "", "Prefer", "handling=lenient").want(t, 200)

	// Pages: each once, with no patient in an address.
	seen := map[string]bool{}
	var b bundleDoc
	search(f, "DocumentReference", byPatient("_count", "1")).want(t, 200).into(t, &b)
	for pages := 1; ; pages++ {
		for _, e := range b.Entry {
			if seen[e.FullURL] {
				t.Fatalf("%s comes twice", e.FullURL)
			}
			seen[e.FullURL] = true
		}
		for _, l := range b.Link {
			if strings.Contains(l.URL, mrnValue) || strings.Contains(l.URL, url.QueryEscape(mrnSystem)) { // whole: three letters stand in a seal by chance
				t.Errorf("the patient stands in a link: %s", l.URL)
			}
		}
		next := b.link("next")
		if next == "" {
			if len(seen) != 3 || pages != 3 {
				t.Errorf("%d documents on %d pages", len(seen), pages)
			}
			break
		}
		b = bundleDoc{}
		f.do("GET", next, "").want(t, 200).into(t, &b)
	}
	if code, _ := f.do("GET", "/DocumentReference?_page=AAAA", "").want(t, 410).issue(t); code != "bookmark-unknown" {
		t.Errorf("a bookmark of nobody's: %s", code)
	}
	var count bundleDoc
	search(f, "DocumentReference", byPatient("_summary", "count")).want(t, 200).into(t, &count)
	if count.Total == nil || *count.Total != 3 || len(count.Entry) != 0 {
		t.Errorf("the count is %+v", count)
	}
	var nobody bundleDoc
	search(f, "DocumentReference", url.Values{"patient.identifier": {mrnSystem + "|nobody"}}).want(t, 200).into(t, &nobody)
	if len(nobody.Entry) != 0 {
		t.Error("somebody is found who isn't there")
	}
	// By the id of the patient, as IHE's consumers ask.
	var who bundleDoc
	search(f, "Patient", url.Values{"identifier": {mrnSystem + "|" + mrnValue}}).want(t, 200).into(t, &who)
	var p struct{ ID string }
	if err := json.Unmarshal(who.Entry[0].Resource, &p); err != nil {
		t.Fatal(err)
	}
	b = bundleDoc{}
	f.do("GET", "/DocumentReference?patient=Patient/"+p.ID, "").want(t, 200).into(t, &b)
	if len(b.Entry) != 3 {
		t.Errorf("by the patient's id there are %d", len(b.Entry))
	}
	// $everything in pages, and by type.
	seen = map[string]bool{}
	for next := "/Patient/" + p.ID + "/$everything?_count=2"; next != ""; {
		var b bundleDoc
		f.do("GET", next, "").want(t, 200).into(t, &b)
		for _, e := range b.Entry {
			seen[e.FullURL] = true
		}
		next = b.link("next")
	}
	if len(seen) != 3 {
		t.Errorf("everything is %d resources", len(seen))
	}
	b = bundleDoc{}
	f.do("GET", "/Patient/"+p.ID+"/$everything?_type=Observation", "").want(t, 200).into(t, &b)
	if len(b.Entry) != 0 {
		t.Errorf("there are %d Observations", len(b.Entry))
	}
	b = bundleDoc{}
	post(f, "/Patient/"+p.ID+"/$everything", `{"resourceType":"Parameters","parameter":[{"name":"_type","valueCode":"DocumentReference"},{"name":"_since","valueInstant":"2020-01-01T00:00:00Z"}]}`).want(t, 200).into(t, &b)
	if len(b.Entry) != 3 {
		t.Errorf("by Parameters there are %d", len(b.Entry))
	}
	// A slip of the pen isn't an empty answer.
	if _, at := f.do("GET", "/Patient/"+p.ID+"/$everything?_type=Observation,Obsrvation", "").want(t, 400).issue(t); at != "http._type" {
		t.Errorf("a type that isn't there is told at %s", at)
	}
}

func conditionsHold(t *testing.T, f *front) {
	doc := aDocument([]byte("a"), "")
	first := post(f, "/DocumentReference", doc, "If-None-Exist", "identifier=https://lis.example|17").want(t, 201).Header.Get("Location")
	if second := post(f, "/DocumentReference", aDocument([]byte("b"), ""), "If-None-Exist", "identifier=https://lis.example|17").want(t, 200).Header.Get("Location"); second != first {
		t.Errorf("it was created again, at %s", second)
	}
	post(f, "/DocumentReference", doc, "If-None-Exist", "status=current").want(t, 412)
	read := f.do("GET", first, "").want(t, 200)
	f.do("GET", first, "", "If-None-Match", read.Header.Get("ETag")).want(t, 304)
	f.do("GET", first, "", "If-Modified-Since", read.Header.Get("Last-Modified")).want(t, 304)
	f.do("GET", first, "", "If-Modified-Since", "Mon, 02 Jan 2006 15:04:05 GMT").want(t, 200)
	if r := post(f, "/DocumentReference", aDocument([]byte("cc"), ""), "Prefer", "return=minimal").want(t, 201); len(r.body) != 0 {
		t.Errorf("minimal is %s", r.body)
	}
	if r := post(f, "/DocumentReference", aDocument([]byte("ddd"), ""), "Prefer", "return=OperationOutcome").want(t, 201); !strings.Contains(string(r.body), `"OperationOutcome"`) {
		t.Errorf("the outcome is %s", r.body)
	}
	pretty := f.do("GET", first+"?_pretty=true", "").want(t, 200)
	if !strings.Contains(string(pretty.body), "\n  \"id\"") {
		t.Error("pretty isn't")
	}
	f.do("GET", first, "", "Accept", "application/fhir+xml").want(t, 406)
	post(f, "/DocumentReference", doc, "Content-Type", "application/fhir+xml").want(t, 415)
	post(f, "/DocumentReference", doc, "Content-Encoding", "br").want(t, 415)
	f.do("PUT", first, doc).want(t, 405)
	post(f, "/DocumentReference", zipped(aDocument([]byte("eeeee"), "")), "Content-Encoding", "gzip").want(t, 201)
}

// A18: what parsers read differently is refused at the door, with its place; the same without the
// fault is taken.
func TestWhatParsersReadDifferentlyIsRefusedAtTheDoor(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital := open(t, dir, "hospital-a", "")
	right := aBundle()
	post(hospital, "/Bundle", right).want(t, 201)
	for _, c := range []struct{ name, from, to, at string }{
		{"a name twice", `"status":"final",`, `"status":"final","status":"amended",`, "Bundle.entry[1]"},
		{"a name twice at the top", `"type":"collection"`, `"type":"collection","type":"document"`, "Bundle"},
		{"entries twice", `"entry":[`, `"entry":[{"resource":{"resourceType":"Patient"}}],"entry":[`, "Bundle"},
		{"a name in another case", `"status":"final"`, `"Status":"final"`, "Bundle.entry[1].resource.Status"},
		{"an unknown element", `"status":"final"`, `"status":"final","secret":1`, "Bundle.entry[1].resource.secret"},
		{"an unknown element of the Bundle", `"type":"collection"`, `"type":"collection","Entry":[]`, "Bundle.Entry"},
		{"NaN", `13.10`, `NaN`, "Bundle.entry[1]"},
		{"1e400", `13.10`, `1e400`, "Bundle.entry[1].resource.valueQuantity.value"},
		{"half a surrogate pair", `g/dL`, `\ud800`, "Bundle.entry[1]"},
		{"deep nesting", `"text":"depression"`, `"extension":` + strings.Repeat(`[{"url":"x","extension":`, 40) + `[]` + strings.Repeat(`}]`, 40), "Bundle.entry[2]"},
		{"a resource within that R4 hasn't", `"resourceType":"Condition"`, `"resourceType":"condition"`, "Bundle.entry[2].resource.resourceType"},
		{"something after the end", "", "{}", "Bundle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong := strings.Replace(right, c.from, c.to, 1)
			if c.from == "" {
				wrong = right + c.to
			}
			r := post(hospital, "/Bundle", wrong).want(t, 400)
			if _, at := r.issue(t); !strings.HasPrefix(at, c.at) {
				t.Errorf("refused at %s, want %s: %s", at, c.at, r.body)
			}
		})
	}
	var b bundleDoc
	search(hospital, "DocumentReference", byPatient("_summary", "count")).want(t, 200).into(t, &b)
	if *b.Total != 3 {
		t.Errorf("there are %d parts, want the 3 of the one right record", *b.Total)
	}
}

// What is about another patient would be kept, and given out under this one's consents.
func TestABundleIsAboutItsPatientAlone(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital := open(t, dir, "hospital-a", "")
	const patient, other = `"reference":"urn:uuid:0a7c1f1e-7a52-4b5a-9a57-0f6f5d2f0001"`, "urn:uuid:0a7c1f1e-7a52-4b5a-9a57-0f6f5d2f0009"
	own := func(value string) string {
		return `"identifier":{"system":"` + mrnSystem + `","value":"` + value + `"}`
	}
	for _, c := range []struct {
		name, to string
		refused  bool
	}{
		{"the Patient, by its fullUrl", patient, false},
		{"the Patient, by its id", `"reference":"Patient/p1"`, false},
		{"the Patient, by an address and version", `"reference":"https://ehr.example/Patient/p1/_history/3"`, false},
		{"the Patient, by its identifier", own(mrnValue), false},
		{"an identifier of another system", `"identifier":{"system":"urn:other","value":"x"}`, false},
		{"no patient", `"reference":"Group/1"`, false},
		{"what is in the Bundle", `"reference":"urn:uuid:0a7c1f1e-7a52-4b5a-9a57-0f6f5d2f0002"`, false},
		{"the patient, by a search", `"reference":"Patient?identifier=` + mrnSystem + `|` + mrnValue + `"`, false},
		{"another, by a search", `"reference":"Patient?identifier=` + mrnSystem + `|` + mrnValue + `0"`, true},
		{"another, by a search of a server", `"reference":"https://example.org/fhir/Patient?identifier=` + mrnSystem + `|` + mrnValue + `0"`, true},
		{"a Patient by another id", `"reference":"Patient/p2"`, true},
		{"a Patient by another address", `"reference":"https://ehr.example/Patient/p2"`, true},
		{"somebody who isn't there", `"reference":"` + other + `"`, true},
		{"another number", own("MRN-0043"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := strings.Replace(aBundle(), `"resourceType":"Patient",`, `"resourceType":"Patient","id":"p1",`, 1)
			r := post(hospital, "/Bundle", strings.Replace(doc, patient, c.to, 1))
			if !c.refused {
				r.want(t, 201)
				return
			}
			if _, at := r.want(t, 422).issue(t); at != "Bundle.entry[1].resource.subject" {
				t.Errorf("refused at %s: %s", at, r.body)
			}
		})
	}
}

// A transaction is answered with where each entry went, whatever is preferred of resources.
func TestATransactionIsAnsweredAsOne(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital := open(t, dir, "hospital-a", "")
	for _, prefer := range []string{"", "return=minimal", "return=representation", "return=OperationOutcome"} {
		doc := strings.Replace(aBundle(), `"type":"collection"`, `"type":"transaction"`, 1)
		var done bundleDoc
		hospital.do("POST", "", doc, "Prefer", prefer).want(t, 200).into(t, &done)
		if done.Type != "transaction-response" || len(done.Entry) != 3 || done.Entry[0].Response.Location == "" {
			t.Errorf("%q: %+v", prefer, done)
		}
	}
}

// A19: references and URLs are names. A resolver and a listener of ours would see any dial; the test
// dials them itself at the end, to see that they do.
func TestNothingThatIsReceivedIsDialled(t *testing.T) {
	var resolved, accepted atomic.Int32
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			c.Close()
		}
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(_ context.Context, _, _ string) (net.Conn, error) {
		resolved.Add(1)
		return nil, fmt.Errorf("nobody resolves here")
	}}
	t.Cleanup(func() { net.DefaultResolver = before }) // once the gateways have stopped, which dial too

	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital := open(t, dir, "hospital-a", "")
	resolved.Store(0)
	for _, to := range []string{
		"http://" + listener.Addr().String() + "/latest/meta-data", "http://169.254.169.254/latest", "http://localhost/", "file:///etc/passwd",
		"https://127.0.0.1.evil.example/fhir/Binary/1", hospital.base + ".evil.example/Binary/1", "http://metadata.evil.example/",
	} {
		refused := strings.Replace(aDocument([]byte("x"), ""), `"data" : "eA=="`, `"url":"`+to+`"`, 1)
		post(hospital, "/DocumentReference", refused).want(t, 422)
		post(hospital, "/DocumentReference", strings.Replace(aDocument([]byte("x"), ""), `"subject":{"identifier":{"system":"`+mrnSystem+`","value":"`+mrnValue+`"}}`, `"subject":{"reference":"`+to+`"}`, 1)).want(t, 422)
		taken := strings.Replace(aBundle(), `"reference":"urn:uuid:0a7c1f1e-7a52-4b5a-9a57-0f6f5d2f0001"`, `"reference":"`+to+`"`, 1)
		taken = strings.Replace(taken, `"resourceType":"Condition"`, `"resourceType":"Condition","implicitRules":"`+to+`","contained":[{"resourceType":"Binary","contentType":"x/y"}]`, 1)
		taken = strings.Replace(taken, `"type":"collection"`, `"type":"collection","meta":{"source":"`+to+`","profile":["`+to+`"]}`, 1)
		at := post(hospital, "/Bundle", taken).want(t, 201).Header.Get("Location")
		hospital.do("GET", at, "").want(t, 200)
		hospital.do("GET", "/DocumentReference?relatesto="+url.QueryEscape(to), "").want(t, 200)
		hospital.do("GET", "/DocumentReference?patient="+url.QueryEscape(to), "").want(t, 400)
	}
	if resolved.Load() != 0 || accepted.Load() != 0 {
		t.Errorf("%d names were resolved, %d connections made", resolved.Load(), accepted.Load())
	}
	if r, err := http.Get("http://" + listener.Addr().String()); err == nil {
		r.Body.Close()
	}
	if r, err := http.Get("http://metadata.evil.example/"); err == nil {
		r.Body.Close()
	}
	if resolved.Load() == 0 || accepted.Load() == 0 {
		t.Error("the resolver or the listener sees nothing, so this test couldn't fail")
	}
}

// A20: a body that inflates out of proportion costs its sender, not the gateway.
func TestABombIsRefusedBeforeItInflates(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital := open(t, dir, "hospital-a", "")
	big := `{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","id":"` + strings.Repeat(" ", 60<<20) + `"}}]}`
	bomb := zipped(big)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	code, _ := post(hospital, "/Bundle", bomb, "Content-Encoding", "gzip").want(t, 413).issue(t)
	runtime.ReadMemStats(&after)
	if code != "too-large" || after.TotalAlloc-before.TotalAlloc > 48<<20 {
		t.Errorf("%s, after %d MiB were allocated for %d KiB", code, (after.TotalAlloc-before.TotalAlloc)>>20, len(bomb)>>10)
	}
	if ratio := len(big) / len(bomb); ratio < 900 { // the control
		t.Errorf("the bomb inflates %d times", ratio)
	}
	// A million entries, of which each would be a part with a key of its own.
	crowd := `{"resourceType":"Bundle","type":"collection","entry":[` + strings.Repeat(`{},`, 1_000_000-1) + `{}]}`
	for name, try := range map[string]struct {
		body, encoding string
		status         int
		at             string
	}{"as it is": {crowd, "identity", 422, "Bundle.entry"}, "in gzip": {zipped(crowd), "gzip", 413, ""}} {
		runtime.GC()
		runtime.ReadMemStats(&before)
		code, at := post(hospital, "/Bundle", try.body, "Content-Encoding", try.encoding).want(t, try.status).issue(t)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; code != "too-large" || at != try.at || grown > 64<<20 {
			t.Errorf("a million entries, %s: %s at %s, after %d MiB were allocated", name, code, at, grown>>20)
		}
	}
	post(hospital, "/Bundle", zipped(zipped(aBundle())), "Content-Encoding", "gzip").want(t, 400) // nested: unpacked once
	post(hospital, "/Bundle", zipped(aBundle())[:200], "Content-Encoding", "gzip").want(t, 400)
	post(hospital, "/Bundle", zipped(aBundle()), "Content-Encoding", "gzip").want(t, 201) // the control
}
