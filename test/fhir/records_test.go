package fhir_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"yitong/test/consortium"
	"yitong/test/fhir/door"
	"yitong/test/patient"
)

// A record and a document go in at a hospital, and what the consent covers comes out at an insurer,
// byte for byte and nothing beside it, by nothing but FHIR.
func TestRecordsByFHIR(t *testing.T) {
	c := consortium.Shared(t)
	hospital, insurer := door.Open(t, c, &seen, consortium.HospitalA, ""), door.Open(t, c, &seen, consortium.Insurer, "")
	// What is in a patient's record is the record's own: the validators look at what we make.
	raw := door.Open(t, c, nil, consortium.Insurer, "")
	for _, p := range append(patient.Synthea(t, 1), patient.Synthetic(t, 4200)) {
		t.Run(p.Name, func(t *testing.T) { recordsByFHIR(t, hospital, insurer, raw, p) })
	}
}

func recordsByFHIR(t *testing.T, hospital, insurer, raw *door.Door, p patient.Patient) {
	// Sent twice under one key, it is one record.
	in := hospital.Do(t, "POST", "Bundle", p.Bundle, "Idempotency-Key", "record-"+p.Name).Want(t, 201)
	again := hospital.Do(t, "POST", "Bundle", p.Bundle, "Idempotency-Key", "record-"+p.Name).Want(t, 201)
	if in.Header.Get("Location") != again.Header.Get("Location") {
		t.Errorf("one key made %s and %s", in.Header.Get("Location"), again.Header.Get("Location"))
	}
	scan := bytes.Repeat([]byte("%PDF-1.7 scanned "), 100_000)
	document := object{
		"resourceType": "DocumentReference", "status": "current", "masterIdentifier": object{"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3." + p.Name},
		"type": concept("http://loinc.org", "11502-2"), "subject": whose(p.ID), "description": "blood count",
		"author":    list{object{"reference": "#author"}},
		"contained": list{object{"resourceType": "Practitioner", "id": "author", "name": list{object{"family": "Wang", "given": list{"Li"}}}}},
		"content":   list{object{"attachment": object{"contentType": "application/pdf", "data": base64.StdEncoding.EncodeToString(scan)}}},
	}
	created := hospital.Do(t, "POST", "DocumentReference", document).Want(t, 201)
	if created.Text("category", 0, "coding", 0, "code") != "laboratory" || created.Text("content", 0, "attachment", "size") != "1.7e+06" || created.Text("contained", 0, "name", 0, "family") != "Wang" {
		t.Errorf("it is told as %.1000s", created.Body)
	}

	consent := hospital.Do(t, "POST", "Consent", permit(p.ID, "records-"+p.Name, "laboratory", "condition")).Want(t, 201)
	task := insurer.Do(t, "POST", "Task", request(p.ID, "laboratory", "condition", "claim")).Want(t, 201)
	found := insurer.Do(t, "POST", "DocumentReference/_search", by(p.ID)).Want(t, 200)
	if len(found.Entries()) != 0 {
		t.Errorf("the insurer finds %d documents before it opened any", len(found.Entries()))
	}
	insurer.Do(t, "POST", "Task/"+task.Text("id")+"/$open", nil).Want(t, 200)

	form := by(p.ID)
	form.Set("author.family", "wang")
	found = insurer.Do(t, "POST", "DocumentReference/_search", form).Want(t, 200)
	if len(found.Entries()) != 1 || strings.Contains(found.Link("self"), url.QueryEscape(p.ID.GetValue())) {
		t.Fatalf("the insurer finds %d documents of that author, by %s", len(found.Entries()), found.Link("self"))
	}
	one := found.Entries()[0]
	if got := insurer.Do(t, "GET", "DocumentReference/"+one.Text("id"), nil).Want(t, 200); got.Text("description") != "blood count" || got.Text("custodian", "identifier", "value") != "HospitalA" {
		t.Errorf("read, it is %s", got.Body)
	}
	binary := raw.Do(t, "GET", one.Text("content", 0, "attachment", "url"), nil).Want(t, 200)
	if !bytes.Equal(binary.Body, scan) {
		t.Errorf("%d bytes came of %d", len(binary.Body), len(scan))
	}
	if got := raw.Do(t, "GET", one.Text("content", 0, "attachment", "url"), nil, "Range", "bytes=17-33").Want(t, 206); string(got.Body) != "%PDF-1.7 scanned " {
		t.Errorf("the range is %q", got.Body)
	}

	// As IHE's consumers ask: the records are SubmissionSets, of what can be read.
	form = by(p.ID)
	form.Set("code", "submissionset")
	form.Set("status", "current")
	listed := 0
	for _, set := range insurer.Do(t, "POST", "List/_search", form).Want(t, 200).Entries() {
		for i := 0; set.At("entry", i) != nil; i++ {
			insurer.Do(t, "GET", set.Text("entry", i, "item", "reference"), nil).Want(t, 200)
			listed++
		}
	}
	if documents := len(insurer.Do(t, "POST", "DocumentReference/_search", by(p.ID)).Want(t, 200).Entries()); listed != documents || listed == 0 {
		t.Errorf("the sets list %d documents, and there are %d", listed, documents)
	}

	onlyWhatIsPermitted(t, insurer, raw, p)
	// The permit is for the insurer: nobody else's gateway has anything, and the hospital's ids
	// aren't the insurer's.
	raw.Do(t, "GET", strings.Replace(in.Header.Get("Location"), hospital.Base, raw.Base, 1), nil).Refused(t, 404, "not-found", "")

	// A withdrawal ends the reading of what was opened, as soon as the insurer's peer has it.
	present := hospital.Do(t, "GET", "Consent/"+consent.Text("id"), nil).Want(t, 200)
	present.Resource["status"] = "inactive"
	hospital.Do(t, "PUT", "Consent/"+consent.Text("id"), present.Resource, "If-Match", present.Header.Get("ETag")).Want(t, 200)
	for until := time.Now().Add(30 * time.Second); ; {
		// A few bytes: the whole would be broken off in the middle.
		got := raw.Do(t, "GET", one.Text("content", 0, "attachment", "url"), nil, "Range", "bytes=0-16")
		if got.Status == 410 || got.Status == 404 {
			t.Logf("after the withdrawal it is %s", got.Text("issue", 0, "details", "coding", 0, "code"))
			break
		}
		if got.Status != 206 || time.Now().After(until) {
			t.Fatalf("after the withdrawal it is %d: %.300s", got.Status, got.Body)
		}
	}
}

// onlyWhatIsPermitted reads everything at the insurer: each resource is one of the record's, as it
// was written, and each of the classes granted comes.
func onlyWhatIsPermitted(t *testing.T, insurer, raw *door.Door, p patient.Patient) {
	t.Helper()
	who := insurer.Do(t, "POST", "Patient/_search", url.Values{"identifier": {p.ID.GetSystem() + "|" + p.ID.GetValue()}}).Want(t, 200).Entries()
	if len(who) != 1 {
		t.Fatalf("the insurer knows %d patients of that identifier", len(who))
	}
	var sent struct {
		Entry []struct {
			Resource json.RawMessage
		}
	}
	if err := json.Unmarshal(p.Bundle, &sent); err != nil {
		t.Fatal(err)
	}
	kinds, next := map[string]int{}, "Patient/"+who[0].Text("id")+"/$everything?_count=20"
	for pages := 0; next != "" && pages < 100; pages++ {
		page := raw.Do(t, "GET", next, nil).Want(t, 200)
		var got struct {
			Entry []struct {
				Resource json.RawMessage
			}
		}
		if err := json.Unmarshal(page.Body, &got); err != nil {
			t.Fatal(err)
		}
		for _, e := range got.Entry {
			var kind struct{ ResourceType string }
			_ = json.Unmarshal(e.Resource, &kind)
			kinds[kind.ResourceType]++
			if kind.ResourceType == "DocumentReference" {
				continue
			}
			if !bytes.Contains(p.Bundle, e.Resource) {
				t.Errorf("a %s isn't what was sent: %.300s", kind.ResourceType, e.Resource)
			}
		}
		next = page.Link("next")
	}
	t.Logf("came: %v", kinds)
	for kind := range kinds {
		switch kind {
		case "Observation", "DiagnosticReport", "Specimen", "Condition", "ClinicalImpression", "DetectedIssue", "DocumentReference":
		default:
			t.Errorf("a %s came, of no class that is permitted", kind)
		}
	}
	if kinds["Condition"]+kinds["Observation"] == 0 {
		t.Error("nothing of what is permitted came")
	}
}
