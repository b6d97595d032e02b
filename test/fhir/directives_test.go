package fhir_test

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/fhir/door"
	"yitong/test/patient"
)

type object = map[string]any
type list = []any

func coding(system, code string) object { return object{"system": system, "code": code} }
func concept(system, code string) object {
	return object{"coding": list{coding(system, code)}}
}
func member(name string) object {
	return object{"identifier": object{"system": "urn:yitong:member", "value": name}}
}
func whose(p *yitongv1.Patient) object {
	return object{"identifier": object{"system": p.GetSystem(), "value": p.GetValue()}}
}

const reasons = "http://terminology.hl7.org/CodeSystem/v3-ActReason"

// permit is a Consent of a patient of hospital-a: the insurer may have classes for payment.
func permit(p *yitongv1.Patient, name string, classes ...string) object {
	var class list
	for _, c := range classes {
		class = append(class, coding("urn:yitong:data-class", c))
	}
	return object{
		"resourceType": "Consent", "status": "active", "identifier": list{object{"system": "https://hospital-a.example/consents", "value": name}},
		"scope":    concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
		"category": list{concept("http://loinc.org", "59284-0")}, "patient": whose(p), "dateTime": "2026-11-20", "performer": list{whose(p)},
		"organization": list{member("hospital-a")}, "policy": list{object{"uri": "https://hospital-a.example/policies/1"}},
		"sourceAttachment": object{"contentType": "application/pdf", "data": base64.StdEncoding.EncodeToString([]byte("signed: " + name))},
		"provision": object{
			"type": "permit", "period": object{"start": "2020-01-01", "end": "2099-12-31"},
			"actor":   list{object{"role": concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"), "reference": member("insurer")}},
			"purpose": list{coding(reasons, "HPAYMT")}, "class": class,
		},
	}
}

// request is a Task of the insurer's at hospital-a.
func request(p *yitongv1.Patient, classes ...string) object {
	var input list
	for _, c := range classes {
		input = append(input, object{"type": concept("urn:yitong:task-input", "data-class"), "valueCoding": coding("urn:yitong:data-class", c)})
	}
	input = append(input, object{"type": concept("urn:yitong:task-input", "claim"), "valueIdentifier": object{"system": "https://insurer.example/claims", "value": "c-1"}})
	return object{
		"resourceType": "Task", "status": "requested", "intent": "order", "code": concept("urn:yitong:task", "access"), "for": whose(p), "owner": member("hospital-a"),
		"reasonCode": concept(reasons, "CLMATTCH"), "input": input,
	}
}

func by(p *yitongv1.Patient) url.Values {
	return url.Values{"patient.identifier": {p.GetSystem() + "|" + p.GetValue()}}
}

// A consent is granted, amended and withdrawn, and a claim asked for, opened and refused, by nothing
// but FHIR; the regulator's audit trail tells it all.
func TestAConsentARequestAndTheirTrailByFHIR(t *testing.T) {
	c := consortium.Shared(t)
	hospital, insurer, regulator := door.Open(t, c, &seen, consortium.HospitalA, ""), door.Open(t, c, &seen, consortium.Insurer, ""), door.Open(t, c, &seen, consortium.Regulator, "")
	p := patient.Synthetic(t, 4100)
	c.Submit(t, p)

	// Nothing is said yet: a request is rejected, which is an answer and no error.
	none := insurer.Do(t, "POST", "Task", request(p.ID, "laboratory")).Want(t, 201)
	if none.Text("status") != "rejected" || none.Text("statusReason", "coding", 0, "code") != "nothing-said" {
		t.Errorf("without a consent: %s", none.Body)
	}
	insurer.Do(t, "POST", "Task/"+none.Text("id")+"/$open", nil).Refused(t, 403, "not-permitted", "Task.status")

	// The consent, put twice by its name, is put once.
	consent := permit(p.ID, "4100-1", "laboratory", "claim")
	made := hospital.Do(t, "POST", "Consent", consent, "If-None-Exist", "identifier=https://hospital-a.example/consents|4100-1").Want(t, 201)
	id := made.Text("id")
	if made.Header.Get("ETag") != `W/"1"` || !strings.HasSuffix(made.Header.Get("Location"), "/Consent/"+id+"/_history/1") || made.Text("meta", "versionId") != "1" {
		t.Errorf("ETag %s, Location %s", made.Header.Get("ETag"), made.Header.Get("Location"))
	}
	again := hospital.Do(t, "POST", "Consent", consent, "If-None-Exist", "identifier=https://hospital-a.example/consents|4100-1").Want(t, 200)
	if again.Text("id") != id {
		t.Errorf("the same again made %s beside %s", again.Text("id"), id)
	}
	if retried := hospital.Do(t, "POST", "Consent", consent).Want(t, 201); retried.Text("id") != id {
		t.Errorf("a retry made %s beside %s", retried.Text("id"), id)
	}
	other := permit(p.ID, "4100-1", "imaging")
	hospital.Do(t, "POST", "Consent", other).Refused(t, 409, "exists", "Consent")

	// Both sides and the regulator see it, each as far as it knows the patient.
	for name, d := range map[string]*door.Door{"hospital": hospital, "insurer": insurer, "regulator": regulator} {
		got := d.Do(t, "GET", "Consent/"+id, nil).Want(t, 200)
		knows := got.Text("patient", "identifier", "value") == p.ID.GetValue()
		if got.Text("status") != "active" || got.Text("provision", "purpose", 0, "code") != "HPAYMT" || knows == (name == "regulator") {
			t.Errorf("the %s sees %s", name, got.Body)
		}
		if strings.Contains(string(got.Body), "4100-1") != (name == "hospital") {
			t.Errorf("the %s sees the hospital's own number: %s", name, got.Body)
		}
	}
	door.Open(t, c, &seen, consortium.HospitalB, "").Do(t, "GET", "Consent/"+id, nil).Refused(t, 404, "not-found", "")
	hospital.Do(t, "GET", "Consent/"+strings.Repeat("0", 32), nil).Refused(t, 404, "not-found", "")
	insurer.Do(t, "POST", "Consent", consent).Refused(t, 422, "malformed", "Consent.organization[0]")

	// Searches: by GET and by POST, the patient in no link.
	for name, got := range map[string]door.Answer{
		"by POST":        hospital.Do(t, "POST", "Consent/_search", by(p.ID)),
		"by GET":         hospital.Do(t, "GET", "Consent?"+by(p.ID).Encode(), nil),
		"by identifier":  hospital.Do(t, "GET", "Consent?identifier="+url.QueryEscape("https://hospital-a.example/consents|4100-1"), nil),
		"by id":          hospital.Do(t, "GET", "Consent?_id="+id, nil),
		"by the insurer": insurer.Do(t, "POST", "Consent/_search", by(p.ID)),
		"in force":       hospital.Do(t, "GET", "Consent?period=ge2026-11-21&period=le2026-11-21&status=active&actor:identifier="+url.QueryEscape("urn:yitong:member|insurer")+"&_id="+id, nil),
	} {
		if got.Want(t, 200); !slices.Equal(got.IDs(), []string{id}) || strings.Contains(got.Link("self"), p.ID.GetValue()) {
			t.Errorf("%s: %v, %s", name, got.IDs(), got.Link("self"))
		}
	}
	for name, query := range map[string]string{
		"of another state": "status=inactive&_id=" + id, "before": "period=lt2020&_id=" + id, "of another recipient": "_id=" + id + "&actor:identifier=" + url.QueryEscape("urn:yitong:member|hospital-b"),
		"by an unknown name": "identifier=" + url.QueryEscape("https://hospital-a.example/consents|nobody"),
	} {
		if got := hospital.Do(t, "GET", "Consent?"+query, nil).Want(t, 200); len(got.IDs()) != 0 {
			t.Errorf("%s: %v", name, got.IDs())
		}
	}
	hospital.Do(t, "GET", "Consent?period=soon", nil).Refused(t, 400, "malformed", "http.period")
	hospital.Do(t, "GET", "Consent?colour=red", nil).Refused(t, 400, "parameter-unknown", "http.colour")

	// The insurer asks, opens and is done.
	task := insurer.Do(t, "POST", "Task", request(p.ID, "laboratory", "imaging")).Want(t, 201)
	if task.Text("status") != "accepted" || len(task.Outputs("granted-class")) != 1 || len(task.Outputs("refused-class")) != 1 ||
		task.Outputs("consent")[0].Text("valueReference", "reference") != "Consent/"+id+"/_history/1" || task.Text("for", "identifier", "value") != p.ID.GetValue() {
		t.Errorf("the answer is %s", task.Body)
	}
	opened := insurer.Do(t, "POST", "Task/"+task.Text("id")+"/$open", nil).Want(t, 200)
	if opened.Text("status") != "completed" || opened.Text("businessStatus", "coding", 0, "code") != "opened" || opened.Header.Get("ETag") != `W/"3"` {
		t.Errorf("after opening: %s", opened.Body)
	}
	for _, d := range []*door.Door{hospital, insurer, regulator} {
		if got := d.Do(t, "GET", "Task/"+task.Text("id"), nil).Want(t, 200); got.Text("status") != "completed" {
			t.Errorf("it is %s", got.Body)
		}
	}
	if got := hospital.Do(t, "POST", "Task/_search", url.Values{"patient.identifier": by(p.ID)["patient.identifier"], "requester.identifier": {"urn:yitong:member|Insurer"}, "status": {"completed"}}).Want(t, 200); !slices.Equal(got.IDs(), []string{task.Text("id")}) {
		t.Errorf("the hospital finds %v", got.IDs())
	}

	// A change names the version it is of.
	narrower := permit(p.ID, "4100-1", "claim")
	narrower["id"] = id
	hospital.Do(t, "PUT", "Consent/"+id, permit(p.ID, "4100-1", "claim"), "If-Match", `W/"1"`).Refused(t, 400, "malformed", "Consent.id")
	hospital.Do(t, "PUT", "Consent/"+id, narrower).Refused(t, 428, "version-needed", "http.header.If-Match")
	hospital.Do(t, "PUT", "Consent/"+id, narrower, "If-Match", `W/"7"`).Refused(t, 412, "version-conflict", "http.header.If-Match")
	if got := hospital.Do(t, "PUT", "Consent/"+id, narrower, "If-Match", `W/"1"`).Want(t, 200); got.Text("meta", "versionId") != "2" {
		t.Errorf("amended it is %s", got.Body)
	}
	if got := insurer.Do(t, "POST", "Task", request(p.ID, "laboratory")).Want(t, 201); got.Text("status") != "rejected" || got.Text("statusReason", "coding", 0, "code") != "class-not-covered" {
		t.Errorf("after the amendment: %s", got.Body)
	}

	// What was read, sent back as inactive, withdraws.
	present := hospital.Do(t, "GET", "Consent/"+id, nil).Want(t, 200)
	present.Resource["status"] = "inactive"
	withdrawn := hospital.Do(t, "PUT", "Consent/"+id, present.Resource, "If-Match", present.Header.Get("ETag")).Want(t, 200)
	if withdrawn.Text("status") != "inactive" || withdrawn.Text("meta", "versionId") != "3" {
		t.Errorf("withdrawn it is %s", withdrawn.Body)
	}
	rejected := insurer.Do(t, "POST", "Task", request(p.ID, "claim")).Want(t, 201)
	if rejected.Text("status") != "rejected" || rejected.Text("statusReason", "coding", 0, "code") != "withdrawn" {
		t.Errorf("after the withdrawal: %s", rejected.Body)
	}
	past := insurer.Do(t, "GET", "Consent/"+id+"/_history", nil).Want(t, 200)
	if got := past.Entries(); len(got) != 3 || got[0].Text("status") != "inactive" || got[2].Text("meta", "versionId") != "1" {
		t.Errorf("its history is %s", past.Body)
	}
	if got := insurer.Do(t, "GET", "Consent/"+id+"/_history/1", nil).Want(t, 200); got.Text("provision", "class", 1, "code") != "laboratory" {
		t.Errorf("version 1 is %s", got.Body)
	}

	// The trail, as the regulator's own peer has it.
	decided := regulator.Do(t, "GET", "AuditEvent?subtype=AuthZ-Consent&outcome=8&entity.identifier="+url.QueryEscape("urn:yitong:access|"+rejected.Text("id")), nil).Want(t, 200)
	if got := decided.Entries(); len(got) != 1 || got[0].Text("outcomeDesc") != "request asked denied (withdrawn)" || got[0].Text("meta", "profile", 0) == "" {
		t.Errorf("the denial is told as %s", decided.Body)
	} else if one := regulator.Do(t, "GET", "AuditEvent/"+got[0].Text("id"), nil).Want(t, 200); one.Text("id") != got[0].Text("id") {
		t.Errorf("read it is %s", one.Body)
	}
	if one := regulator.Do(t, "GET", "AuditEvent?_id="+decided.Entries()[0].Text("id"), nil).Want(t, 200); !slices.Equal(one.IDs(), decided.IDs()) || one.Link("next") != "" {
		t.Errorf("by its id it is %s", one.Body)
	}
	life := regulator.Do(t, "GET", "AuditEvent?_sort=date&entity:identifier="+url.QueryEscape("urn:yitong:consent|"+id), nil).Want(t, 200)
	var actions []string
	for _, e := range life.Entries() {
		actions = append(actions, e.Text("type", "code"))
	}
	if !slices.Equal(actions, []string{"originate", "amend", "deprecate"}) {
		t.Errorf("the consent's life is %v", actions)
	}
	if got := hospital.Do(t, "POST", "AuditEvent/_search", by(p.ID)).Want(t, 200); len(got.Entries()) < 8 {
		t.Errorf("the hospital finds %d events about its patient", len(got.Entries()))
	}
	if got := regulator.Do(t, "POST", "AuditEvent/_search", by(p.ID)).Want(t, 200); got.Text("entry", 0, "search", "mode") != "outcome" {
		t.Errorf("of a patient it doesn't know the regulator is told %s", got.Body)
	}
	regulator.Do(t, "GET", "AuditEvent/1.0.999999", nil).Refused(t, 404, "not-found", "")

	// Page by page it is the whole, each event once.
	all := map[string]bool{}
	at, pages := "AuditEvent?_count=3&agent.identifier="+url.QueryEscape("urn:yitong:member|Insurer"), 0
	for at != "" {
		got := regulator.Do(t, "GET", at, nil).Want(t, 200)
		for _, one := range got.IDs() {
			if all[one] {
				t.Fatalf("event %s comes twice", one)
			}
			all[one] = true
		}
		at = got.Link("next")
		pages++
	}
	if len(all) < 5 || pages < 2 {
		t.Errorf("%d events on %d pages", len(all), pages)
	}

}

// Consents that keep to IHE's Privacy Consent on FHIR come back as what they are.
func TestConsentsComeBackByTheirProfile(t *testing.T) {
	c := consortium.Shared(t)
	hospital, insurer := door.Open(t, c, &seen, consortium.HospitalA, ""), door.Open(t, c, &seen, consortium.Insurer, "")
	p := patient.Synthetic(t, 4102)
	label := func(code string) object {
		return coding("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code)
	}
	for profile, change := range map[string]object{
		"Basic":        {"purpose": list{coding(reasons, "TREAT"), coding(reasons, "HPAYMT"), coding(reasons, "HOPERAT")}},
		"Intermediate": {"dataPeriod": object{"start": "2026-01-01", "end": "2026-12-31"}},
		"Advanced":     {"securityLabel": list{label("N")}, "provision": list{object{"type": "permit", "securityLabel": list{label("R")}, "purpose": list{coding(reasons, "BTG")}}}},
		"":             {"action": list{concept("http://terminology.hl7.org/CodeSystem/consentaction", "access")}},
	} {
		consent := permit(p.ID, "4102-"+profile)
		provision := consent["provision"].(object)
		delete(provision, "class")
		for name, value := range change {
			provision[name] = value
		}
		made := hospital.Do(t, "POST", "Consent", consent).Want(t, 201)
		for _, d := range []*door.Door{hospital, insurer} {
			claimed := d.Do(t, "GET", "Consent/"+made.Text("id"), nil).Want(t, 200).Text("meta", "profile", 0)
			if want := "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consent" + profile; claimed != want && (profile != "" || claimed != "") {
				t.Errorf("it claims %q, want %s", claimed, want)
			}
		}
	}
}

// What a role may not do, it may not do by FHIR either.
func TestRolesHoldForFHIRToo(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 4101)
	clinician, officer := door.Open(t, c, &seen, consortium.HospitalA, "clinician"), door.Open(t, c, &seen, consortium.HospitalA, "records-officer")
	clinician.Do(t, "POST", "Consent", permit(p.ID, "4101-1", "laboratory")).Refused(t, 403, "not-allowed", "Consent")
	made := officer.Do(t, "POST", "Consent", permit(p.ID, "4101-1", "laboratory")).Want(t, 201)
	clinician.Do(t, "GET", "Consent/"+made.Text("id"), nil).Want(t, 200)
	officer.Do(t, "GET", "AuditEvent", nil).Refused(t, 403, "not-allowed", "")
}
