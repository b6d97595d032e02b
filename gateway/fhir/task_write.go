package fhir

import (
	"strconv"
	"time"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

type taskResource struct {
	ResourceType   string           `json:"resourceType"`
	ID             string           `json:"id"`
	Meta           *Meta            `json:"meta"`
	Identifier     []Identifier     `json:"identifier"`
	Status         string           `json:"status"`
	StatusReason   *Concept         `json:"statusReason,omitempty"`
	BusinessStatus Concept          `json:"businessStatus"`
	Intent         string           `json:"intent"`
	Code           Concept          `json:"code"`
	For            Reference        `json:"for"`
	Execution      *Period          `json:"executionPeriod,omitempty"`
	AuthoredOn     string           `json:"authoredOn,omitempty"`
	LastModified   string           `json:"lastModified,omitempty"`
	Requester      Reference        `json:"requester"`
	Owner          Reference        `json:"owner"`
	ReasonCode     *Concept         `json:"reasonCode,omitempty"`
	Restriction    *taskRestriction `json:"restriction,omitempty"`
	Input          []taskPiece      `json:"input,omitempty"`
	Output         []taskPiece      `json:"output,omitempty"`
}

type taskRestriction struct {
	Period Period `json:"period"`
}

// A taskPiece is an input or an output.
type taskPiece struct {
	Type           Concept    `json:"type"`
	ValueCode      string     `json:"valueCode,omitempty"`
	ValueInstant   string     `json:"valueInstant,omitempty"`
	ValueString    string     `json:"valueString,omitempty"`
	ValueCoding    *Coding    `json:"valueCoding,omitempty"`
	ValuePeriod    *Period    `json:"valuePeriod,omitempty"`
	ValueReference *Reference `json:"valueReference,omitempty"`
}

// states of an access, and how FHIR calls them.
var taskStatus = map[string]string{
	"permitted": "accepted", "released": "accepted", "expired": "accepted", "opened": "completed", "failed": "failed", "denied": "rejected",
}

// stateOf says how far an access has come.
func stateOf(a *yitongv1.Access, now time.Time) string {
	switch {
	case a.GetOutcome() != "permit":
		return "denied"
	case a.GetReceipt().GetOutcome() == "opened":
		return "opened"
	case a.GetReceipt() != nil:
		return "failed"
	case a.GetExpires() != nil && !now.Before(a.GetExpires().AsTime()):
		return "expired"
	case a.GetRelease() != nil:
		return "released"
	}
	return "permitted"
}

// versionOf counts what the ledger has of an access: its request, release and receipt.
func versionOf(a *yitongv1.Access) string {
	n := 1
	if a.GetRelease() != nil {
		n++
	}
	if a.GetReceipt() != nil {
		n++
	}
	return strconv.Itoa(n)
}

// modifiedOf is when the latest of them was.
func modifiedOf(a *yitongv1.Access) time.Time {
	return timeOf(later(a.GetRequested(), later(a.GetRelease().GetReleased(), a.GetReceipt().GetReceived())))
}

// taskOut is an access as a Task: the request is its input, the decision its status and output.
func taskOut(asked *yitongv1.Asked, members roster, now time.Time) taskResource {
	a := asked.GetAccess()
	state := stateOf(a, now)
	code := Coding{taskSystem, askAccess, "access to records"}
	if a.GetEmergency() != "" {
		code = Coding{taskSystem, askEmergency, "break-glass"}
	}
	out := taskResource{
		ResourceType: "Task", ID: a.GetId(), Meta: &Meta{VersionID: versionOf(a), LastUpdated: instant(modifiedOf(a))},
		Identifier: []Identifier{{System: accessSystem, Value: a.GetId()}}, Status: taskStatus[state],
		BusinessStatus: Concept{Coding: []Coding{{System: stateSystem, Code: state}}}, Intent: "order", Code: Concept{Coding: []Coding{code}},
		For: patientReference(asked.GetPatient(), a.GetHandle()), AuthoredOn: instant(timeOf(a.GetRequested())), LastModified: instant(modifiedOf(a)),
		Requester: members.reference(a.GetRequester()), Owner: members.reference(a.GetCustodian()),
	}
	if a.GetPurpose() != "" {
		out.ReasonCode = &Concept{Coding: []Coding{{System: reasonCodes, Code: a.GetPurpose()}}}
	}
	if at := a.GetReceipt().GetReceived(); at != nil {
		out.Execution = &Period{Start: out.AuthoredOn, End: instant(at.AsTime())}
	}
	out.Input = taskInput(a)
	rule := a.GetRule()
	if state == "denied" {
		out.StatusReason = &Concept{Coding: []Coding{{System: reasonSystem, Code: rule.GetReason()}}, Text: whyDenied[rule.GetReason()]}
	} else if a.GetExpires() != nil {
		out.Restriction = &taskRestriction{*period(&yitongv1.Period{End: a.GetExpires()})}
		out.Output = append(out.Output, taskPiece{Type: piece(outputSystem, "expires"), ValueInstant: instant(a.GetExpires().AsTime())})
	}
	for _, c := range a.GetGranted() {
		out.Output = append(out.Output, taskPiece{Type: piece(outputSystem, "granted-class"), ValueCoding: &Coding{System: classSystem, Code: c}})
	}
	out.Output = append(out.Output, ruleOut(rule)...)
	for _, r := range a.GetRefused() {
		t := piece(outputSystem, "refused-class")
		t.Text = r.GetRule().GetReason()
		out.Output = append(out.Output, taskPiece{Type: t, ValueCoding: &Coding{System: classSystem, Code: r.GetDataClass()}})
	}
	return out
}

// ruleOut names the provision that decided.
func ruleOut(r *yitongv1.Rule) []taskPiece {
	out := []taskPiece{{Type: piece(outputSystem, "reason"), ValueCoding: &Coding{System: reasonSystem, Code: r.GetReason()}}}
	if r.GetReason() == "" {
		return nil
	}
	if r.GetConsentId() != "" {
		out = append(out, taskPiece{Type: piece(outputSystem, "consent"), ValueReference: &Reference{
			Reference: "Consent/" + r.GetConsentId() + "/_history/" + strconv.Itoa(int(r.GetVersion())), Type: "Consent",
		}})
	}
	if r.GetProvision() != "" {
		out = append(out, taskPiece{Type: piece(outputSystem, "provision"), ValueString: r.GetProvision()})
	}
	return out
}

func taskInput(a *yitongv1.Access) (in []taskPiece) {
	for _, c := range a.GetClasses() {
		in = append(in, taskPiece{Type: piece(inputSystem, "data-class"), ValueCoding: &Coding{System: classSystem, Code: c}})
	}
	for _, c := range a.GetRecordTypes() {
		in = append(in, taskPiece{Type: piece(inputSystem, "record-type"), ValueCoding: &Coding{System: formSystem, Code: c}})
	}
	if p := period(a.GetDataPeriod()); p != nil {
		in = append(in, taskPiece{Type: piece(inputSystem, "data-period"), ValuePeriod: p})
	}
	if c := a.GetAction(); c != "" {
		in = append(in, taskPiece{Type: piece(inputSystem, "action"), ValueCoding: &Coding{System: consentActions, Code: c}})
	}
	if c := a.GetEmergency(); c != "" {
		in = append(in, taskPiece{Type: piece(inputSystem, "emergency-reason"), ValueCoding: &Coding{System: causeSystem, Code: c}})
	}
	return in
}

func piece(system, code string) Concept {
	return Concept{Coding: []Coding{{System: system, Code: code}}}
}

// whyDenied tells a reason (package chaincode/consent) to a person.
var whyDenied = map[string]string{
	"denied":                  "a provision denies it",
	"nothing-said":            "no consent permits it",
	"purpose-not-covered":     "the nearest permit is for other purposes",
	"action-not-covered":      "the nearest permit is for other actions",
	"class-not-covered":       "the nearest permit is for other data classes",
	"record-type-not-covered": "the nearest permit is for other forms of content",
	"data-period-not-covered": "the nearest permit is for data from another time",
	"actor-not-covered":       "the nearest permit is for other members",
	"period-not-begun":        "the nearest permit isn't in force yet",
	"period-over":             "the nearest permit is no longer in force",
	"withdrawn":               "the nearest permit is withdrawn",
	"assurance-too-low":       "the nearest permit isn't sure enough to be the patient's own word",
}
