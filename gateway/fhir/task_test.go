package fhir

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

const anAsk = `{"resourceType":"Task","status":"requested","intent":"order",
	"identifier":[{"system":"urn:yitong:access","value":"0123456789abcdef0123456789abcdef"}],
	"code":{"coding":[{"system":"urn:yitong:task","code":"access"}]},
	"for":{"identifier":{"system":"https://hospital-a.example/mrn","value":"p-1"}},
	"requester":{"identifier":{"system":"urn:yitong:member","value":"insurer"}},
	"owner":{"identifier":{"system":"urn:yitong:member","value":"hospital-a"}},
	"reasonCode":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"CLMATTCH"}]},
	"input":[
		{"type":{"coding":[{"system":"urn:yitong:task-input","code":"data-class"}]},"valueCoding":{"system":"urn:yitong:data-class","code":"laboratory"}},
		{"type":{"coding":[{"system":"urn:yitong:task-input","code":"data-class"}]},"valueCode":"claim"},
		{"type":{"coding":[{"system":"urn:yitong:task-input","code":"record-type"}]},"valueCode":"fhir"},
		{"type":{"coding":[{"system":"urn:yitong:task-input","code":"data-period"}]},"valuePeriod":{"start":"2026-01-01","end":"2026-06-30"}},
		{"type":{"coding":[{"system":"urn:yitong:task-input","code":"claim"}]},"valueIdentifier":{"system":"https://insurer.example/claims","value":"c-7"}},
		{"type":{"coding":[{"system":"urn:yitong:task-input","code":"action"}]},"valueCode":"access"},
		{"type":{"coding":[{"system":"urn:yitong:task-input","code":"valid-for"}]},"valueDuration":{"value":1.5,"unit":"h","system":"http://unitsofmeasure.org","code":"h"}}
	]}`

func readAsk(doc string) (wish, error) {
	e, err := parse([]byte(doc), "Task")
	if err != nil {
		return wish{}, err
	}
	if err := validate(e, "Task"); err != nil {
		return wish{}, err
	}
	return readTask(e, people, "Insurer")
}

func TestATaskIsReadAsARequest(t *testing.T) {
	w, err := readAsk(anAsk)
	if err != nil {
		t.Fatal(err)
	}
	want := &yitongv1.AccessRequest{
		Id: "0123456789abcdef0123456789abcdef", Custodian: "HospitalA", Patient: &yitongv1.Patient{System: "https://hospital-a.example/mrn", Value: "p-1"},
		Purpose: "CLMATTCH", Action: "access", Classes: []string{"laboratory", "claim"}, RecordTypes: []string{"fhir"}, Claim: "https://insurer.example/claims|c-7", TtlSeconds: 5400,
		DataPeriod: &yitongv1.Period{Start: timestamppb.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), End: timestamppb.New(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC))},
	}
	if !proto.Equal(w.access, want) {
		t.Errorf("got %v\nwant %v", w.access, want)
	}
	glass := strings.NewReplacer(`"code":"access"}]},
	"for"`, `"code":"emergency-access"}]},
	"for"`, "CLMATTCH", "ETREAT", `{"type":{"coding":[{"system":"urn:yitong:task-input","code":"action"}]},"valueCode":"access"}`,
		`{"type":{"coding":[{"system":"urn:yitong:task-input","code":"emergency-reason"}]},"valueCode":"unconscious"}`).Replace(anAsk)
	if w, err = readAsk(glass); err != nil {
		t.Fatal(err)
	}
	if e := w.emergency(); e.GetReason() != "unconscious" || e.GetPurpose() != "ETREAT" || e.GetCustodian() != "HospitalA" || e.GetTtlSeconds() != 5400 {
		t.Errorf("got %v", e)
	}
}

func TestWhatATaskCannotAskIsRefusedWithItsElement(t *testing.T) {
	for _, c := range []struct{ name, old, new, where string }{
		{"another task", `"urn:yitong:task","code":"access"`, `"urn:yitong:task","code":"dance"`, "Task.code"},
		{"another state", `"requested"`, `"completed"`, "Task.status"},
		{"a mere proposal", `"order"`, `"proposal"`, "Task.intent"},
		{"an identifier of one's own", "urn:yitong:access", "https://insurer.example/tasks", "Task.identifier[0]"},
		{"an id that is none", "0123456789abcdef0123456789abcdef", "0123", "Task.identifier[0]"},
		{"for another member", `"value":"insurer"`, `"value":"hospital-b"`, "Task.requester"},
		{"nobody is asked", `"owner":{"identifier":{"system":"urn:yitong:member","value":"hospital-a"}},`, ``, "Task.owner"},
		{"a stranger is asked", `"value":"hospital-a"`, `"value":"hospital-z"`, "Task.owner.identifier.value"},
		{"nobody's records", `"for":{"identifier":{"system":"https://hospital-a.example/mrn","value":"p-1"}},`, ``, "Task.for"},
		{"an address of a patient", `{"identifier":{"system":"https://hospital-a.example/mrn","value":"p-1"}}`, `{"reference":"Patient/1"}`, "Task.for"},
		{"no purpose", `"code":"CLMATTCH"`, `"code":"FUN"`, "Task.reasonCode"},
		{"an unknown input", `"code":"action"`, `"code":"colour"`, "Task.input[5].type"},
		{"an unknown class", `"code":"laboratory"`, `"code":"dreams"`, "Task.input[0].value"},
		{"a class of another system", `"urn:yitong:data-class"`, `"https://example.org"`, "Task.input[0].value.system"},
		{"no duration", `"value":1.5`, `"value":0.0001`, "Task.input[6].value"},
		{"a duration of ages", `"value":1.5`, `"value":1e300`, "Task.input[6].value"},
		{"something that is done to it", `"intent"`, `"focus":{"reference":"Claim/1"},"intent"`, "Task.focus"},
		{"a reason for break-glass", `"code":"action"}]},"valueCode":"access"`, `"code":"emergency-reason"}]},"valueCode":"unconscious"`, "Task.code"},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := strings.Replace(anAsk, c.old, c.new, 1)
			if doc == anAsk {
				t.Fatal("nothing was changed")
			}
			_, err := readAsk(doc)
			if err == nil {
				t.Fatal("it was taken")
			}
			if f := faultOf(err); f.Expression != c.where || f.Allowed == "" {
				t.Errorf("refused at %s: %s (%s)", f.Expression, f.Message, f.Allowed)
			}
		})
	}
}

// How far an access has come is the Task's status, and what goes out is valid R4.
func TestATaskTellsHowFarAnAccessHasCome(t *testing.T) {
	asked, now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), time.Date(2026, 11, 21, 13, 0, 0, 0, time.UTC)
	base := func() *yitongv1.Access {
		return &yitongv1.Access{
			Id: strings.Repeat("a", 32), Custodian: "HospitalA", Requester: "Insurer", Handle: "1-ab", Purpose: "CLMATTCH", Action: "access", Classes: []string{"laboratory", "claim"},
			Requested: timestamppb.New(asked), Outcome: "permit", Granted: []string{"laboratory"}, Expires: timestamppb.New(asked.Add(24 * time.Hour)),
			Rule:    &yitongv1.Rule{ConsentId: strings.Repeat("c", 32), Version: 2, Provision: "provision", Reason: "permitted"},
			Refused: []*yitongv1.RefusedClass{{DataClass: "claim", Rule: &yitongv1.Rule{Reason: "class-not-covered"}}},
		}
	}
	for state, c := range map[string]struct {
		change  func(*yitongv1.Access)
		status  string
		version string
	}{
		"permitted": {func(*yitongv1.Access) {}, "accepted", "1"},
		"denied": {func(a *yitongv1.Access) {
			a.Outcome, a.Granted, a.Expires, a.Rule = "deny", nil, nil, &yitongv1.Rule{Reason: "nothing-said"}
		}, "rejected", "1"},
		"expired":  {func(a *yitongv1.Access) { a.Expires = timestamppb.New(now) }, "accepted", "1"},
		"released": {func(a *yitongv1.Access) { a.Release = &yitongv1.Release{Released: timestamppb.New(now)} }, "accepted", "2"},
		"opened": {func(a *yitongv1.Access) {
			a.Release, a.Receipt = &yitongv1.Release{Released: timestamppb.New(now)}, &yitongv1.Receipt{Outcome: "opened", Received: timestamppb.New(now)}
		}, "completed", "3"},
		"failed": {func(a *yitongv1.Access) {
			a.Release, a.Receipt = &yitongv1.Release{Released: timestamppb.New(now)}, &yitongv1.Receipt{Outcome: "failed", Received: timestamppb.New(now)}
		}, "failed", "3"},
	} {
		a := base()
		c.change(a)
		out := taskOut(&yitongv1.Asked{Access: a, Patient: &yitongv1.Patient{System: "s", Value: "p-1"}}, people, now)
		if out.Status != c.status || out.BusinessStatus.Coding[0].Code != state || out.Meta.VersionID != c.version {
			t.Errorf("%s is %s, %s, version %s", state, out.Status, out.BusinessStatus.Coding[0].Code, out.Meta.VersionID)
		}
		if denied := out.StatusReason != nil; denied != (state == "denied") {
			t.Errorf("%s has a reason: %v", state, denied)
		}
		e, err := parse(marshal(out), "Task")
		if err == nil {
			err = validate(e, "Task")
		}
		if err != nil {
			t.Errorf("%s: %v in %s", state, err, marshal(out))
		}
		if o := e.list("output"); len(o) > 0 && !slices.ContainsFunc(o, func(o *element) bool { return strings.Contains(string(o.raw), `"reason"`) }) {
			t.Errorf("%s doesn't say why", state)
		}
	}
}

// What a Task says of a request is what was asked.
func FuzzTask(f *testing.F) {
	f.Add("", anAsk)
	for _, c := range [][2]string{{`"value":1.5`, `"value":1`}, {"access", "emergency-access"}, {"CLMATTCH", "ETREAT"}, {"laboratory", "claim"}, {`"start":"2026-01-01",`, ``}, {"p-1", "p-2"}} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, old, by string) { // a piece of a Task, and another: short, so that what is tried is many, and reads as a Task
		doc := by
		if old != "" {
			doc = strings.Replace(anAsk, old, by, 1)
		}
		w, err := readAsk(doc)
		if err != nil {
			return
		}
		a := w.access
		if a.GetPatient().GetValue() == "" || people.find(a.GetCustodian()) == nil || a.GetPurpose() == "" || a.GetTtlSeconds() < 0 || !json.Valid([]byte(doc)) {
			t.Fatalf("it was taken without what a request needs: %v", a)
		}
		out := taskOut(&yitongv1.Asked{Access: &yitongv1.Access{
			Id: strings.Repeat("a", 32), Purpose: a.GetPurpose(), Classes: a.GetClasses(), RecordTypes: a.GetRecordTypes(), DataPeriod: a.GetDataPeriod(), Action: a.GetAction(), Outcome: "deny",
		}, Patient: a.GetPatient()}, people, time.Unix(0, 0))
		for _, class := range a.GetClasses() {
			if !strings.Contains(string(marshal(out)), `"code":"`+class+`"`) {
				t.Fatalf("%s isn't told: %s", class, marshal(out))
			}
		}
	})
}
