package fhir_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"yitong/cmd/yitong/gatewaytest"
)

type listDoc struct {
	ID, Status, Mode, Date string
	Meta                   struct{ Profile []string }
	Code                   struct{ Coding []struct{ Code string } }
	Subject                struct{ Identifier struct{ Value string } }
	Identifier             []struct{ System, Value string }
	Entry                  []struct{ Item struct{ Reference string } }
}

// transactionOf is a Provide Document Bundle of a SubmissionSet and more entries.
func transactionOf(set []string, entries ...string) string {
	for i, item := range set {
		set[i] = `{"item":{"reference":"` + item + `"}}`
	}
	return `{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:0b0f7f43-2a3c-4b2c-8d3e-000000000001","request":{"method":"POST","url":"List"},"resource":{"resourceType":"List","status":"current","mode":"working",
		"code":{"coding":[{"system":"https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes","code":"submissionset"}]},"entry":[` + strings.Join(set, ",") + `]}},` + strings.Join(entries, ",") + `]}`
}

// posted is an entry that creates a resource.
func posted(fullURL, resource string) string {
	return `{"fullUrl":"` + fullURL + `","request":{"method":"POST","url":"DocumentReference"},"resource":` + resource + `}`
}

// superseding is the PATCH by which IHE's sources say that a document is superseded.
func superseding(id, status string) string {
	return `{"fullUrl":"urn:uuid:0b0f7f43-2a3c-4b2c-8d3e-000000000009","request":{"method":"PATCH","url":"DocumentReference/` + id + `"},"resource":{"resourceType":"Parameters","parameter":[{"name":"operation","part":[
		{"name":"path","valueString":"DocumentReference.status"},{"name":"type","valueCode":"replace"},{"name":"value","valueCode":"` + status + `"}]}]}}`
}

// A record is a SubmissionSet (IHE MHD ITI-65, ITI-66): what provides one is told where it is, and it
// is found by what IHE's consumers ask for.
func TestARecordIsASubmissionSet(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital, insurer := open(t, dir, "hospital-a", ""), open(t, dir, "insurer", "")
	var done bundleDoc
	post(hospital, "", provideBundle([]byte("Hb 13.1 g/dL"))).want(t, 200).into(t, &done)
	kinds := []string{"List/", "DocumentReference/", "Binary/", "Patient/"}
	for i, e := range done.Entry {
		if !strings.HasPrefix(e.Response.Location, hospital.base+"/"+kinds[i]) {
			t.Errorf("entry %d is %+v", i, e.Response)
		}
		hospital.do("GET", e.Response.Location, "").want(t, 200)
	}
	var set listDoc
	read := hospital.do("GET", done.Entry[0].Response.Location, "").want(t, 200)
	read.into(t, &set)
	if set.Status != "current" || set.Code.Coding[0].Code != "submissionset" || len(set.Meta.Profile) != 1 || set.Subject.Identifier.Value != mrnValue ||
		len(set.Entry) != 1 || hospital.base+"/"+set.Entry[0].Item.Reference != done.Entry[1].Response.Location {
		t.Errorf("it is %s", read.body)
	}
	hospital.do("GET", "/List/"+set.ID, "", "If-None-Match", read.Header.Get("ETag")).want(t, 304)
	hospital.do("GET", "/List/"+strings.Repeat("0", 32), "").want(t, 404)
	hospital.do("GET", "/List/x", "").want(t, 404)
	hospital.do("DELETE", "/List/"+set.ID, "").want(t, 405)

	bundle := strings.TrimPrefix(post(hospital, "/Bundle", aBundle()).want(t, 201).Header.Get("Location"), hospital.base+"/Bundle/")
	find := func(f *front, query string) (ids []string) {
		t.Helper()
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range byPatient() {
			form[name] = values
		}
		for next := ""; ; {
			var b bundleDoc
			if next == "" {
				search(f, "List", form).want(t, 200).into(t, &b)
			} else {
				f.do("GET", next, "").want(t, 200).into(t, &b)
			}
			for _, e := range b.Entry {
				var l listDoc
				if err := json.Unmarshal(e.Resource, &l); err != nil || l.Mode != "working" || l.Date == "" {
					t.Fatalf("%v: %s", err, e.Resource)
				}
				ids = append(ids, l.ID)
			}
			if next = b.link("next"); next == "" {
				slices.Sort(ids)
				return ids
			}
		}
	}
	both := []string{bundle, set.ID}
	slices.Sort(both)
	for query, want := range map[string][]string{
		"code=submissionset&status=current": both,
		"_count=1":                          both, // page by page
		"code=" + "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes|submissionset": both,
		"code=folder":                            nil,
		"status=superseded":                      nil,
		"_id=" + bundle:                          {bundle},
		"identifier=urn:yitong:record|" + set.ID: {set.ID},
		"identifier=" + set.Identifier[0].System + "|" + set.Identifier[0].Value: {set.ID},
		"sourceId=urn:yitong:member|HospitalA":                                   both,
		"sourceId=urn:yitong:member|HospitalB":                                   nil,
		"date=ge2000":                                                            both,
		"date=lt2000":                                                            nil,
		"designationType=http://loinc.org|11502-2":                               nil,
		"source.family=Wang":                                                     nil,
	} {
		if got := find(hospital, query); !slices.Equal(got, want) {
			t.Errorf("%s finds %v, want %v", query, got, want)
		}
	}
	for query, at := range map[string]string{"date=soon": "http.date", "kode=folder": "http.kode", "patient.identifier=4711": "http.patient.identifier"} {
		if _, got := hospital.do("GET", "/List?"+query, "").want(t, 400).issue(t); got != at {
			t.Errorf("%s is refused at %q", query, got)
		}
	}

	// A requester finds what it opened, and in it what it may read.
	if got := find(insurer, ""); got != nil {
		t.Errorf("before anything is opened there is %v", got)
	}
	share(t, hospital, insurer, "laboratory")
	opened := find(insurer, "code=submissionset")
	for i, id := range opened {
		if !strings.HasPrefix(id, both[i]+"-") {
			t.Errorf("opened is %s", id)
		}
		var l listDoc
		insurer.do("GET", "/List/"+id, "").want(t, 200).into(t, &l)
		for _, e := range l.Entry {
			insurer.do("GET", "/"+e.Item.Reference, "").want(t, 200)
		}
		if id[:32] == bundle && len(l.Entry) != 1 { // of three parts
			t.Errorf("of the Bundle it lists %v", l.Entry)
		}
	}
	if len(opened) != 2 {
		t.Errorf("opened are %v", opened)
	}

	// What is replaced is retired; the PATCH that IHE sends along says what is so.
	id := strings.TrimPrefix(done.Entry[1].Response.Location, hospital.base+"/DocumentReference/")
	replacing := func(patch string) string {
		doc := aDocument([]byte("Hb 13.2"), `,"relatesTo":[{"code":"replaces","target":{"reference":"DocumentReference/`+id+`"}}]`)
		return transactionOf([]string{"urn:uuid:0b0f7f43-2a3c-4b2c-8d3e-000000000002"}, patch, posted("urn:uuid:0b0f7f43-2a3c-4b2c-8d3e-000000000002", doc))
	}
	for name, c := range map[string]struct{ patch, at string }{
		"of another document": {superseding(bundle+"-0", "superseded"), "Bundle.entry[1].request.url"},
		"of no document":      {superseding("x", "superseded"), "Bundle.entry[1].request.url"},
		"to another state":    {superseding(id, "entered-in-error"), "Bundle.entry[1].request.method"},
		"of nothing":          {strings.Replace(superseding(id, "superseded"), "DocumentReference.status", "DocumentReference.date", 1), "Bundle.entry[1].request.method"},
		"by POST":             {strings.Replace(superseding(id, "superseded"), "PATCH", "POST", 1), "Bundle.entry[1].request.method"},
	} {
		if _, at := post(hospital, "", replacing(c.patch)).want(t, 422).issue(t); at != c.at {
			t.Errorf("a PATCH %s is refused at %s", name, at)
		}
	}
	done = bundleDoc{}
	post(hospital, "", replacing(superseding(id, "superseded"))).want(t, 200).into(t, &done)
	if r := done.Entry[1].Response; r.Status != "200 OK" || r.Location != hospital.base+"/DocumentReference/"+id {
		t.Errorf("the PATCH is answered %+v", r)
	}
	if got := find(hospital, "status=retired"); !slices.Equal(got, []string{set.ID}) {
		t.Errorf("retired are %v", got)
	}
	set = listDoc{}
	hospital.do("GET", "/List/"+find(hospital, "status=superseded")[0], "").want(t, 200).into(t, &set)
	if set.Status != "retired" || set.Meta.Profile != nil {
		t.Errorf("what was replaced is %+v", set)
	}

	// Several documents of one set are several records.
	folder := strings.Replace(posted("urn:uuid:0b0f7f43-2a3c-4b2c-8d3e-000000000004", `{"resourceType":"List","status":"current","mode":"working","code":{"coding":[{"system":"https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes","code":"folder"}]}}`), `"url":"DocumentReference"`, `"url":"List"`, 1)
	several := post(hospital, "", transactionOf([]string{"urn:uuid:0b0f7f43-2a3c-4b2c-8d3e-000000000002", "urn:uuid:0b0f7f43-2a3c-4b2c-8d3e-000000000003"},
		posted("urn:uuid:0b0f7f43-2a3c-4b2c-8d3e-000000000002", aDocument([]byte("one.."), "")), posted("urn:uuid:0b0f7f43-2a3c-4b2c-8d3e-000000000003", aDocument([]byte("two..."), "")), folder)).want(t, 200)
	done = bundleDoc{}
	several.into(t, &done)
	for i, e := range done.Entry[1:3] {
		of := strings.TrimSuffix(strings.TrimPrefix(e.Response.Location, hospital.base+"/DocumentReference/"), "-0")
		if !strings.Contains(string(several.body), "List/"+of) {
			t.Errorf("the set of document %d isn't named in %s", i, several.body)
		}
	}
	if done.Entry[3].Response.Status != "204 No Content" {
		t.Errorf("a Folder is answered %+v", done.Entry[3])
	}
}

// The narrowest of MHD's profiles that what goes out is of is claimed, and no other; what its submitter
// claimed was of what was sent.
func TestMHDsProfilesAreClaimedWhereTheyAreKept(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital := open(t, dir, "hospital-a", "")
	typed := func(code string) string {
		return `"type":{"coding":[{"system":"https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType","code":"` + code + `"}]}`
	}
	master := []string{`"masterIdentifier":{`, `"masterIdentifier":{` + typed("uniqueId") + `,`}
	whole := append(slices.Clone(master), `"title":"Blood"`, `"title":"Blood","language":"en","creation":"2025-03-01"`, `"context":{`,
		`"context":{"facilityType":{"text":"hospital"},"practiceSetting":{"text":"laboratory"},"sourcePatientInfo":{"identifier":{"system":"`+mrnSystem+`","value":"`+mrnValue+`"}},`)
	for i, c := range []struct {
		name, want string
		change     []string
	}{
		{"a master identifier of no type", "", nil},
		{"minimal", "Minimal", master},
		{"no master identifier but ours", "Minimal", []string{`"masterIdentifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.3.2"},`, ``}},
		{"comprehensive", "UnContained.Comprehensive", whole},
		{"comprehensive but for its language", "Minimal", append([]string{`"language":"en",`, ``}, whole...)},
		{"an entryUUID that is none", "", append([]string{`"description"`, `"identifier":[{` + typed("entryUUID") + `,"system":"urn:ietf:rfc:3986","value":"urn:oid:1"}],"description"`}, master...)},
		{"an entryUUID", "Minimal", append([]string{`"description"`, `"identifier":[{` + typed("entryUUID") + `,"system":"urn:ietf:rfc:3986","value":"urn:uuid:0b0f7f43-2a3c-4b2c-8d3e-000000000001"}],"description"`}, master...)},
		{"a category of its own", "Minimal", append([]string{`"description"`, `"category":[{"coding":[{"system":"http://loinc.org","code":"26436-6"}],"text":"lab"}],"description"`}, master...)},
		{"two categories", "", append([]string{`"description"`, `"category":[{"text":"a"},{"text":"b"}],"description"`}, master...)},
		{"a docStatus", "", append([]string{`"description"`, `"docStatus":"final","description"`}, master...)},
		{"a claim of what was sent", "Minimal", append([]string{`"description"`, `"meta":{"profile":["https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD.SimplifiedPublish.DocumentReference"]},"description"`}, master...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := aDocument([]byte("ab"), "")
			for i := len(c.change) - 2; i >= 0; i -= 2 { // the whole first, and then what is taken of it
				changed := strings.Replace(doc, c.change[i], c.change[i+1], 1)
				if changed == doc {
					t.Fatalf("%s isn't in it", c.change[i])
				}
				doc = changed
			}
			doc = strings.Replace(doc, `urn:oid:1.2.3.2`, `urn:oid:1.2.4.`+strconv.Itoa(i), 1) // each a record of its own
			created := post(hospital, "/DocumentReference", doc).want(t, 201)
			var d struct {
				Meta     struct{ Profile []string }
				Category []struct {
					Text   string
					Coding []struct{ Code string }
				}
			}
			hospital.do("GET", created.Header.Get("Location"), "").want(t, 200).into(t, &d)
			got := ""
			if len(d.Meta.Profile) > 0 {
				got = strings.TrimSuffix(strings.TrimPrefix(d.Meta.Profile[0], "https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD."), ".DocumentReference")
			}
			if len(d.Meta.Profile) > 1 || got != c.want {
				t.Errorf("it claims %v", d.Meta.Profile)
			}
			if c.name == "a category of its own" && (len(d.Category) != 1 || d.Category[0].Text != "lab" || d.Category[0].Coding[1].Code != "laboratory") {
				t.Errorf("its category is %+v", d.Category)
			}
		})
	}
}
