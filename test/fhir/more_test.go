package fhir_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/record"
	"yitong/test/consortium"
	"yitong/test/fhir/door"
	"yitong/test/patient"
)

// What is opened by a Task can be read: as many documents as the record has parts that the consent
// covers, and in them what was put in. Synthea's patients are tried where they lie beside the project.
func TestWhatATaskOpensCanBeRead(t *testing.T) {
	c := consortium.Shared(t)
	hospital, insurer := door.Open(t, c, &seen, consortium.HospitalA, ""), door.Open(t, c, &seen, consortium.Insurer, "")
	reader := door.Open(t, c, nil, consortium.Insurer, "") // what is in a record is whoever wrote it's to have valid
	for _, p := range append([]patient.Patient{patient.Synthetic(t, 4300)}, patient.Synthea(t, 2)...) {
		t.Run(p.Name, func(t *testing.T) {
			parts := c.Submit(t, p).GetRecord().GetParts()
			made := hospital.Do(t, "POST", "Consent", permit(p.ID, "4300-"+p.Name, record.AllClasses.Codes()...)).Want(t, 201)
			task := insurer.Do(t, "POST", "Task", request(p.ID, record.AllClasses.Codes()...)).Want(t, 201)
			if task.Text("status") != "accepted" || len(task.Outputs("document")) != 0 {
				t.Fatalf("the answer is %s", task.Body)
			}
			documents := insurer.Do(t, "POST", "Task/"+task.Text("id")+"/$open", nil).Want(t, 200).Outputs("document")
			if len(documents) != len(parts) {
				t.Fatalf("%d documents of %d parts", len(documents), len(parts))
			}
			whole := ""
			for _, d := range documents {
				reference := insurer.Do(t, "GET", d.Text("valueReference", "reference"), nil).Want(t, 200)
				content := reader.Do(t, "GET", reference.Text("content", 0, "attachment", "url"), nil).Want(t, 200)
				whole += string(content.Body)
			}
			if !strings.Contains(whole, p.Identifying[0]) {
				t.Error("what was opened isn't what was put in")
			}
			// Not after a withdrawal: the copies go with what they rest on.
			present := hospital.Do(t, "GET", "Consent/"+made.Text("id"), nil).Want(t, 200)
			present.Resource["status"] = "inactive"
			hospital.Do(t, "PUT", "Consent/"+made.Text("id"), present.Resource, "If-Match", present.Header.Get("ETag")).Want(t, 200)
			if again := insurer.Do(t, "POST", "Task", request(p.ID, "laboratory")).Want(t, 201); again.Text("status") != "rejected" {
				t.Errorf("after the withdrawal: %s", again.Body)
			}
		})
	}
}

// A clinician breaks the glass by a Task; others can't, and it needs its reason.
func TestBreakGlassByTask(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 4301)
	c.Submit(t, p)
	ask := func(input ...any) object {
		return object{
			"resourceType": "Task", "status": "requested", "intent": "order", "code": concept("urn:yitong:task", "emergency-access"), "for": whose(p.ID), "owner": member("hospital-a"),
			"reasonCode": concept(reasons, "ETREAT"), "input": list(input),
		}
	}
	reason := object{"type": concept("urn:yitong:task-input", "emergency-reason"), "valueCode": "unconscious"}
	clinician, software := door.Open(t, c, &seen, consortium.HospitalB, "clinician"), door.Open(t, c, &seen, consortium.HospitalB, "")
	none := ask()
	delete(none, "input")
	clinician.Do(t, "POST", "Task", none).Refused(t, 422, "malformed", "Task.input")
	if got := software.Do(t, "POST", "Task", ask(reason)); got.Status/100 != 4 {
		t.Errorf("software broke the glass: %s", got.Body)
	}
	got := clinician.Do(t, "POST", "Task", ask(reason)).Want(t, 201)
	if got.Text("status") != "accepted" || got.Text("code", "coding", 0, "code") != "emergency-access" || got.Outputs("reason")[0].Text("valueCoding", "code") != "break-glass" {
		t.Errorf("the answer is %s", got.Body)
	}
	if opened := clinician.Do(t, "POST", "Task/"+got.Text("id")+"/$open", nil).Want(t, 200); opened.Text("status") != "completed" {
		t.Errorf("after opening: %s", opened.Body)
	}
	trail := door.Open(t, c, &seen, consortium.Regulator, "").Do(t, "GET", "AuditEvent?entity.identifier="+url.QueryEscape("urn:yitong:access|"+got.Text("id")), nil).Want(t, 200)
	if !strings.Contains(string(trail.Body), `"BTG"`) {
		t.Errorf("the regulator's trail doesn't tell it as break-glass: %s", trail.Body)
	}
}

// A Subscription is kept, found, told of and ended; where it may not go it is refused.
func TestSubscriptions(t *testing.T) {
	c := consortium.Shared(t)
	insurer := door.Open(t, c, &seen, consortium.Insurer, "")
	ask := func(endpoint string) object {
		return object{
			"resourceType": "Subscription", "status": "requested", "reason": "claims desk", "criteria": "urn:yitong:topic:access.*",
			"channel": object{"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json"},
		}
	}
	insurer.Do(t, "POST", "Subscription", ask("https://10.0.0.1/hook")).Refused(t, 403, "not-permitted", "Subscription")
	made := insurer.Do(t, "POST", "Subscription", ask("https://receiver.example.com/hook")).Want(t, 201)
	secret := made.Text("channel", "extension", 0, "valueString")
	if !strings.HasPrefix(secret, "whsec_") || made.Text("status") != "active" {
		t.Errorf("made it is %s", made.Body)
	}
	id := made.Text("id")
	read := insurer.Do(t, "GET", "Subscription/"+id, nil).Want(t, 200)
	if read.Text("channel", "endpoint") != "https://receiver.example.com/hook" || strings.Contains(string(read.Body), secret) {
		t.Errorf("read it is %s", read.Body)
	}
	if got := insurer.Do(t, "GET", "Subscription?status=active", nil).Want(t, 200); !slices.Contains(got.IDs(), id) {
		t.Errorf("found are %v", got.IDs())
	}
	if got := insurer.Do(t, "GET", "Subscription/"+id+"/$status", nil).Want(t, 200); got.Entries()[0].Text("parameter", 3, "valueCode") != "query-status" {
		t.Errorf("its status is %s", got.Body)
	}
	// What is decided is told at once: which Task it is, and nothing of it.
	told := make(chan []byte, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		if err == nil && in.Header.Get("Content-Type") == "application/fhir+json" && in.Header.Get("webhook-signature") != "" {
			told <- body
		}
	}))
	t.Cleanup(receiver.Close)
	listening := insurer.Do(t, "POST", "Subscription", ask(receiver.URL+"/hook")).Want(t, 201)
	p := patient.Synthetic(t, 4302)
	task := insurer.Do(t, "POST", "Task", request(p.ID, "laboratory")).Want(t, 201)
	select {
	case body := <-told:
		seen.Add(body)
		var bundle door.Resource
		if err := json.Unmarshal(body, &bundle); err != nil {
			t.Fatal(err)
		}
		if bundle.Text("entry", 1, "fullUrl") != "Task/"+task.Text("id") || bundle.Text("entry", 0, "resource", "parameter", 0, "valueReference", "reference") != "Subscription/"+listening.Text("id") ||
			strings.Contains(string(body), p.ID.GetValue()) {
			t.Errorf("told was %s", body)
		}
	case <-time.After(time.Minute):
		t.Error("nothing was told of a decision")
	}
	insurer.Do(t, "DELETE", "Subscription/"+listening.Text("id"), nil).Want(t, 204)
	door.Open(t, c, &seen, consortium.Insurer, "claims-handler").Do(t, "GET", "Subscription/"+id, nil).Refused(t, 403, "not-allowed", "")
	insurer.Do(t, "DELETE", "Subscription/"+id, nil).Want(t, 204)
	insurer.Do(t, "GET", "Subscription/"+id, nil).Refused(t, 404, "not-found", "")
}
