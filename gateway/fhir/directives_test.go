package fhir_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"yitong/cmd/yitong/gatewaytest"
)

type object = map[string]any

// aPermit is a Consent of this patient: the insurer may have laboratory data for payment. Changes are
// paths of names, and what to put there; nil takes it away.
func aPermit(t *testing.T, changes ...any) string {
	return changed(t, `{"resourceType":"Consent","status":"active","identifier":[{"system":"https://hospital-a.example/consents","value":"1"}],
		"scope":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy"}]},"category":[{"coding":[{"system":"http://loinc.org","code":"59284-0"}]}],
		"patient":{"identifier":{"system":"`+mrnSystem+`","value":"`+mrnValue+`"}},"dateTime":"2026-11-20","performer":[{"display":"the patient"}],
		"organization":[{"identifier":{"system":"urn:yitong:member","value":"hospital-a"}}],"policy":[{"uri":"https://hospital-a.example/policies/1"}],
		"sourceAttachment":{"contentType":"application/pdf","data":"c2lnbmVk"},
		"provision":{"type":"permit","actor":[{"role":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"IRCP"}]},"reference":{"identifier":{"system":"urn:yitong:member","value":"insurer"}}}],
			"purpose":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"HPAYMT"}],"class":[{"system":"urn:yitong:data-class","code":"laboratory"}]}}`, changes...)
}

// aRequest is a Task of the insurer's for laboratory data of this patient.
func aRequest(t *testing.T, changes ...any) string {
	return changed(t, `{"resourceType":"Task","status":"requested","intent":"order","code":{"coding":[{"system":"urn:yitong:task","code":"access"}]},
		"for":{"identifier":{"system":"`+mrnSystem+`","value":"`+mrnValue+`"}},"owner":{"identifier":{"system":"urn:yitong:member","value":"hospital-a"}},
		"reasonCode":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"CLMATTCH"}]},
		"input":[{"type":{"coding":[{"system":"urn:yitong:task-input","code":"data-class"}]},"valueCoding":{"system":"urn:yitong:data-class","code":"laboratory"}}]}`, changes...)
}

func changed(t *testing.T, doc string, changes ...any) string {
	t.Helper()
	whole := object{}
	if err := json.Unmarshal([]byte(doc), &whole); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(changes); i += 2 {
		place, names := whole, strings.Split(changes[i].(string), ".")
		for _, name := range names[:len(names)-1] {
			place = place[name].(object)
		}
		if last := names[len(names)-1]; changes[i+1] == nil {
			delete(place, last)
		} else {
			place[last] = changes[i+1]
		}
	}
	out, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// refused fails the test unless the answer is an OperationOutcome of the code at the element.
func (r reply) refused(t *testing.T, name string, status int, code, at string) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("%s: %d, want %d: %.400s", name, r.StatusCode, status, r.body)
		return
	}
	if c, e := r.issue(t); c != code || e != at {
		t.Errorf("%s: %s at %q, want %s at %q: %.400s", name, c, e, code, at, r.body)
	}
}

type directiveDoc struct {
	ID, Status string
	Meta       struct{ VersionID string }
	Provision  struct{ Class []struct{ Code string } }
}

// ids are those of what a search finds.
func ids(t *testing.T, r reply) (found []string) {
	t.Helper()
	var b bundleDoc
	r.want(t, 200).into(t, &b)
	for _, e := range b.Entry {
		var one struct{ ID string }
		if err := json.Unmarshal(e.Resource, &one); err != nil {
			t.Fatal(err)
		}
		found = append(found, one.ID)
	}
	slices.Sort(found)
	return found
}

// A Consent's life over FHIR, and what of it is refused, each with its element.
func TestAConsentIsPutReadAmendedAndWithdrawn(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital, insurer, other := open(t, dir, "hospital-a", ""), open(t, dir, "insurer", ""), open(t, dir, "hospital-b", "")
	const name = "https://hospital-a.example/consents|1"

	made := post(hospital, "/Consent", aPermit(t), "If-None-Exist", "identifier="+name).want(t, 201)
	var d directiveDoc
	made.into(t, &d)
	id := d.ID
	at := "/Consent/" + id
	if made.Header.Get("ETag") != `W/"1"` || made.Header.Get("Location") != hospital.base+at+"/_history/1" || d.Meta.VersionID != "1" || d.Status != "active" {
		t.Errorf("made it is %s, %s: %s", made.Header.Get("ETag"), made.Header.Get("Location"), made.body)
	}
	for what, again := range map[string]reply{
		"under the condition": post(hospital, "/Consent", aPermit(t), "If-None-Exist", "identifier="+name).want(t, 200),
		"by the ledger's id":  post(hospital, "/Consent", aPermit(t), "If-None-Exist", "identifier=urn:yitong:consent|"+id).want(t, 200),
		"as it was":           post(hospital, "/Consent", aPermit(t)).want(t, 201),
	} {
		again.into(t, &d)
		if d.ID != id {
			t.Errorf("the same again, %s, is %s beside %s", what, d.ID, id)
		}
	}
	second := directiveDoc{}
	post(hospital, "/Consent", aPermit(t, "identifier", []object{{"system": "https://hospital-a.example/consents", "value": "2"}})).want(t, 201).into(t, &second)
	if second.ID == id {
		t.Error("one of another name is the same")
	}

	actor := func(member string) []object {
		return []object{{"role": object{"coding": []object{{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}}}, "reference": object{"identifier": object{"system": "urn:yitong:member", "value": member}}}}
	}
	for what, c := range map[string]struct {
		from     *front
		doc      string
		headers  []string
		status   int
		code, at string
	}{
		"another under that name":     {hospital, aPermit(t, "provision.type", "deny"), nil, 409, "exists", "Consent"},
		"no JSON":                     {hospital, `{"resourceType":`, nil, 400, "malformed", "Consent.resourceType"},
		"another resource":            {hospital, `{"resourceType":"Task","status":"requested","intent":"order"}`, nil, 400, "malformed", "Consent.resourceType"},
		"an element that R4 hasn't":   {hospital, aPermit(t, "provision.colour", "red"), nil, 400, "malformed", "Consent.provision.colour"},
		"a code that R4 hasn't":       {hospital, aPermit(t, "status", "maybe"), nil, 400, "malformed", "Consent.status"},
		"a draft":                     {hospital, aPermit(t, "status", "draft", "identifier", nil), nil, 422, "malformed", "Consent.status"},
		"no rule":                     {hospital, aPermit(t, "provision", nil, "identifier", nil), nil, 422, "malformed", "Consent.provision"},
		"no form":                     {hospital, aPermit(t, "sourceAttachment", nil, "identifier", nil), nil, 422, "malformed", "Consent.source"},
		"no recipient":                {hospital, aPermit(t, "provision.actor", nil), nil, 422, "malformed", "Consent.provision.actor"},
		"for itself":                  {hospital, aPermit(t, "provision.actor", actor("hospital-a"), "identifier", nil), nil, 403, "kind-not-allowed", "Consent"},
		"at another's gateway":        {insurer, aPermit(t), nil, 422, "malformed", "Consent.organization[0]"},
		"a condition of another kind": {hospital, aPermit(t), []string{"If-None-Exist", "status=active"}, 400, "malformed", "http.header.If-None-Exist"},
		"a condition of no system":    {hospital, aPermit(t), []string{"If-None-Exist", "identifier=1"}, 400, "malformed", "http.header.If-None-Exist"},
		"XML":                         {hospital, `<Consent/>`, []string{"Content-Type", "application/fhir+xml"}, 415, "unsupported-media-type", "http.header.Content-Type"},
	} {
		post(c.from, "/Consent", c.doc, c.headers...).refused(t, what, c.status, c.code, c.at)
	}

	// Who sees it, and by which questions.
	// The patient by name is who the hospital alone knows, as long as nobody has asked.
	for what, f := range map[string]*front{"the hospital": hospital, "the insurer": insurer, "the regulator": open(t, dir, "regulator", "")} {
		if got := f.do("GET", at, "").want(t, 200); strings.Contains(string(got.body), mrnValue) != (what == "the hospital") {
			t.Errorf("%s reads %s", what, got.body)
		}
	}
	other.do("GET", at, "").refused(t, "another hospital", 404, "not-found", "")
	hospital.do("GET", "/Consent/"+strings.Repeat("0", 32), "").refused(t, "none", 404, "not-found", "")
	hospital.do("GET", "/Consent/x", "").refused(t, "no id", 404, "not-found", "")
	hospital.do("GET", at+"/_history/7", "").refused(t, "no version", 404, "not-found", "")
	both := []string{id, second.ID}
	slices.Sort(both)
	for query, want := range map[string][]string{
		"": both, "_count=1": nil, "status=active": both, "status=inactive": nil, "_id=" + id: {id}, "_id=" + id + "," + second.ID: both, "_id=x": nil,
		"identifier=" + name: {id}, "identifier=https://hospital-a.example/consents|3": nil, "identifier=" + id: {id},
		"actor:identifier=urn:yitong:member|Insurer": both, "actor:identifier=urn:yitong:member|HospitalB": nil, "organization:identifier=urn:yitong:member|HospitalA": both,
		"period=ge2020": both, "date=lt2000": nil, "_lastUpdated=ge2000": both, "_sort=_lastUpdated": both,
	} {
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		form.Set("patient.identifier", mrnSystem+"|"+mrnValue)
		if got := ids(t, search(hospital, "Consent", form)); query == "_count=1" && len(got) != 1 || query != "_count=1" && !slices.Equal(got, want) {
			t.Errorf("%s finds %v, want %v", query, got, want)
		}
	}
	for query, at := range map[string]string{
		"period=soon": "http.period", "colour=red": "http.colour", "_sort=status": "http._sort", "identifier=1": "http.identifier", "patient.identifier=1": "http.patient.identifier",
		"actor:identifier=urn:yitong:member|a,urn:yitong:member|b": "http.actor:identifier",
	} {
		if _, got := hospital.do("GET", "/Consent?"+query, "").want(t, 400).issue(t); got != at {
			t.Errorf("%s is refused at %q", query, got)
		}
	}

	for _, how := range []string{"_summary", "_count"} {
		form := byPatient(how, map[string]string{"_summary": "count", "_count": "0"}[how])
		var counted bundleDoc
		search(hospital, "Consent", form).want(t, 200).into(t, &counted)
		if counted.Total == nil || *counted.Total != 2 || len(counted.Entry) != 0 {
			t.Errorf("by %s they are counted as %+v", how, counted)
		}
	}

	// An update names the version it is of, and stays what it is about.
	narrower := func(changes ...any) string {
		return aPermit(t, append([]any{"id", id, "provision.class", []object{{"system": "urn:yitong:data-class", "code": "claim"}}, "sourceAttachment.data", "c2lnbmVkIGFnYWlu"}, changes...)...)
	}
	for what, c := range map[string]struct {
		address, doc, match string
		status              int
		code, at            string
	}{
		"no version":              {at, narrower(), "", 428, "version-needed", "http.header.If-Match"},
		"another version":         {at, narrower(), `W/"9"`, 412, "version-conflict", "http.header.If-Match"},
		"another id":              {at, narrower("id", second.ID), `W/"1"`, 400, "malformed", "Consent.id"},
		"none of that id":         {"/Consent/" + strings.Repeat("0", 32), narrower("id", strings.Repeat("0", 32)), `W/"1"`, 404, "not-found", ""},
		"another recipient":       {at, narrower("provision.actor", actor("hospital-b")), `W/"1"`, 422, "malformed", "Consent.provision.actor"},
		"no form":                 {at, narrower("sourceAttachment", nil), `W/"1"`, 422, "malformed", "Consent.source"},
		"no rule":                 {at, narrower("provision", nil), `W/"1"`, 422, "malformed", "Consent.provision"},
		"a state of no ledger's":  {at, narrower("status", "rejected"), `W/"1"`, 422, "malformed", "Consent.status"},
		"a withdrawal that edits": {at, narrower("status", "inactive"), `W/"1"`, 422, "malformed", "Consent.provision"},
	} {
		var headers []string
		if c.match != "" {
			headers = []string{"If-Match", c.match}
		}
		hospital.do("PUT", c.address, c.doc, headers...).refused(t, what, c.status, c.code, c.at)
	}
	hospital.do("PUT", at, narrower(), "If-Match", `W/"1"`).want(t, 200).into(t, &d)
	if d.ID != id || d.Meta.VersionID != "2" || d.Provision.Class[0].Code != "claim" {
		t.Errorf("amended it is %+v", d)
	}

	// What is read, sent back as inactive, is withdrawn; a mistake is entered in error.
	withdraw := func(id, status string) (d directiveDoc) {
		present := hospital.do("GET", "/Consent/"+id, "").want(t, 200)
		hospital.do("PUT", "/Consent/"+id, changed(t, string(present.body), "status", status), "If-Match", present.Header.Get("ETag")).want(t, 200).into(t, &d)
		return d
	}
	if d := withdraw(id, "inactive"); d.Status != "inactive" || d.Meta.VersionID != "3" {
		t.Errorf("withdrawn it is %+v", d)
	}
	if d := withdraw(second.ID, "entered-in-error"); d.Status != "entered-in-error" {
		t.Errorf("a mistake is %+v", d)
	}
	hospital.do("DELETE", at, "").refused(t, "a deletion", 405, "method-not-allowed", "")
	var past bundleDoc
	insurer.do("GET", at+"/_history", "").want(t, 200).into(t, &past)
	if past.Type != "history" || len(past.Entry) != 3 {
		t.Errorf("its history is %+v", past)
	}
	hospital.do("GET", at+"/_history/1", "").want(t, 200).into(t, &d)
	if d.Status != "active" || d.Provision.Class[0].Code != "laboratory" {
		t.Errorf("version 1 is %+v", d)
	}
}

type askedDoc struct {
	ID, Status   string
	StatusReason struct{ Coding []struct{ Code string } }
	Output       []struct {
		Type           struct{ Coding []struct{ Code string } }
		ValueReference struct{ Reference string }
	}
}

func (d askedDoc) outputs(code string) (all []string) {
	for _, o := range d.Output {
		if o.Type.Coding[0].Code == code {
			all = append(all, o.ValueReference.Reference)
		}
	}
	return all
}

// A Task's life over FHIR: asked, denied or permitted, opened, found; and what of it is refused.
func TestATaskIsAskedAnsweredAndOpened(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital, insurer, other := open(t, dir, "hospital-a", ""), open(t, dir, "insurer", ""), open(t, dir, "hospital-b", "")
	post(hospital, "/Bundle", aBundle()).want(t, 201)

	var denied, permitted, d askedDoc
	post(insurer, "/Task", aRequest(t)).want(t, 201).into(t, &denied)
	if denied.Status != "rejected" || denied.StatusReason.Coding[0].Code != "nothing-said" {
		t.Errorf("without a consent it is %+v", denied)
	}
	post(insurer, "/Task/"+denied.ID+"/$open", "").refused(t, "what was denied", 403, "not-permitted", "Task.status")
	post(hospital, "/Consent", aPermit(t)).want(t, 201)

	named := []object{{"system": "urn:yitong:access", "value": "0123456789abcdef0123456789abcdef"}}
	made := post(insurer, "/Task", aRequest(t, "identifier", named)).want(t, 201)
	made.into(t, &permitted)
	if permitted.ID != "0123456789abcdef0123456789abcdef" || permitted.Status != "accepted" || made.Header.Get("Location") != insurer.base+"/Task/"+permitted.ID || made.Header.Get("ETag") != `W/"1"` || len(permitted.outputs("document")) != 0 {
		t.Errorf("with a consent it is %s", made.body)
	}
	post(insurer, "/Task", aRequest(t, "identifier", named)).want(t, 201).into(t, &d)
	if d.ID != permitted.ID {
		t.Errorf("the same again is %s", d.ID)
	}
	for what, c := range map[string]struct {
		from     *front
		doc      string
		status   int
		code, at string
	}{
		"another of that id":        {insurer, aRequest(t, "identifier", named, "reasonCode.coding", []object{{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HPAYMT"}}), 409, "exists", "Task"},
		"no JSON":                   {insurer, `[]`, 400, "malformed", "Task.resourceType"},
		"another resource":          {insurer, aPermit(t), 400, "malformed", "Task.resourceType"},
		"an element that R4 hasn't": {insurer, aRequest(t, "colour", "red"), 400, "malformed", "Task.colour"},
		"no intent":                 {insurer, aRequest(t, "intent", nil), 400, "malformed", "Task.intent"},
		"what is done already":      {insurer, aRequest(t, "status", "completed"), 422, "malformed", "Task.status"},
		"of nobody":                 {insurer, aRequest(t, "owner", nil), 422, "malformed", "Task.owner"},
		"of a stranger":             {insurer, aRequest(t, "owner.identifier.value", "nobody"), 422, "malformed", "Task.owner.identifier.value"},
		"for another":               {insurer, aRequest(t, "requester", object{"identifier": object{"system": "urn:yitong:member", "value": "hospital-b"}}), 422, "malformed", "Task.requester"},
		"nothing":                   {insurer, aRequest(t, "input", nil), 422, "malformed", "Task.input"},
		"break-glass by software":   {insurer, aRequest(t, "code.coding", []object{{"system": "urn:yitong:task", "code": "emergency-access"}}), 422, "malformed", "Task.input"},
	} {
		post(c.from, "/Task", c.doc).refused(t, what, c.status, c.code, c.at)
	}

	// It is opened once, and its documents are what can be read then.
	opened := post(insurer, "/Task/"+permitted.ID+"/$open", "").want(t, 200)
	opened.into(t, &d)
	if d.Status != "completed" || opened.Header.Get("ETag") != `W/"3"` || len(d.outputs("document")) != 1 {
		t.Fatalf("opened it is %s", opened.body)
	}
	insurer.do("GET", "/"+d.outputs("document")[0], "").want(t, 200)
	var again askedDoc
	post(insurer, "/Task/"+permitted.ID+"/$open", "").want(t, 200).into(t, &again)
	if !slices.Equal(again.outputs("document"), d.outputs("document")) {
		t.Errorf("opened again it is %+v", again)
	}
	for what, f := range map[string]*front{"the custodian": hospital, "the requester": insurer} {
		var seen askedDoc
		f.do("GET", "/Task/"+permitted.ID, "").want(t, 200).into(t, &seen)
		if seen.Status != "completed" || (len(seen.outputs("document")) > 0) != (f == insurer) {
			t.Errorf("%s reads %+v", what, seen)
		}
	}
	other.do("GET", "/Task/"+permitted.ID, "").refused(t, "another hospital", 404, "not-found", "")
	insurer.do("GET", "/Task/x", "").refused(t, "no id", 404, "not-found", "")
	post(insurer, "/Task/"+strings.Repeat("0", 32)+"/$open", "").refused(t, "none", 404, "not-found", "")
	insurer.do("PUT", "/Task/"+permitted.ID, aRequest(t)).refused(t, "an update", 405, "method-not-allowed", "")

	both := []string{denied.ID, permitted.ID}
	slices.Sort(both)
	for query, want := range map[string][]string{
		"": both, "status=completed": {permitted.ID}, "status=rejected": {denied.ID}, "status=accepted": nil, "business-status=opened": {permitted.ID}, "business-status=denied,opened": both,
		"code=urn:yitong:task|access": both, "code=emergency-access": nil, "_id=" + denied.ID: {denied.ID}, "identifier=urn:yitong:access|" + permitted.ID: {permitted.ID}, "identifier=x": nil,
		"owner.identifier=urn:yitong:member|HospitalA": both, "owner:identifier=urn:yitong:member|HospitalB": nil, "requester.identifier=urn:yitong:member|Insurer": both,
		"authored-on=ge2000": both, "authored-on=lt2000": nil, "_lastUpdated=ge2000": both, "_sort=authored-on": both,
	} {
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		form.Set("patient.identifier", mrnSystem+"|"+mrnValue)
		for _, f := range []*front{hospital, insurer} {
			if got := ids(t, search(f, "Task", form)); !slices.Equal(got, want) {
				t.Errorf("%s finds %v, want %v", query, got, want)
			}
		}
	}
	for query, at := range map[string]string{"authored-on=soon": "http.authored-on", "colour=red": "http.colour", "_sort=status": "http._sort", "patient.identifier=1": "http.patient.identifier"} {
		if _, got := insurer.do("GET", "/Task?"+query, "").want(t, 400).issue(t); got != at {
			t.Errorf("%s is refused at %q", query, got)
		}
	}
}
