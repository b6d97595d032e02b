package fhir

import (
	"math"
	"slices"
	"strconv"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// What a Task asks for.
const (
	askAccess    = "access"
	askEmergency = "emergency-access"
)

// A wish is what a Task asks for, in the ledger's terms.
type wish struct {
	access *yitongv1.AccessRequest
	reason string // of an emergency; empty of an access by consent
	note   string
}

// readTask reads a Task that asks a custodian for access. self is this member's MSP id.
func readTask(e *element, members roster, self string) (wish, error) {
	r := &reading{members: members}
	w := r.task(e, self)
	return w, r.err()
}

func (r *reading) task(e *element, self string) wish {
	const at = "Task"
	r.only(e, at, "resourceType", "meta", "language", "text", "identifier", "status", "intent", "priority", "code", "for", "authoredOn", "lastModified",
		"requester", "owner", "reasonCode", "input")
	in := &yitongv1.AccessRequest{}
	w := wish{access: in}
	_, code, ok := conceptCode(e.get("code"), taskSystem)
	if !ok || code != askAccess && code != askEmergency {
		r.refuse(at+".code", "there is no such task here", taskSystem+"#"+askAccess+", or #"+askEmergency+" for break-glass")
	}
	if s := e.str("status"); s != "requested" {
		r.refuse(at+".status", "what happens to a Task is decided on the ledger", "requested")
	}
	if i := e.str("intent"); i != "order" {
		r.refuse(at+".intent", "a request that is put is meant", "order")
	}
	for i, id := range e.list("identifier") {
		place := item(at+".identifier", i)
		if id.str("system") != accessSystem || !isLedgerID(id.str("value")) {
			r.refuse(place, "an identifier of one's own isn't kept", accessSystem+" with 32 hexadecimal digits of your own choice: the id, and a key under which the same again is done once")
			continue
		}
		in.Id = id.str("value")
	}
	if p := e.get("requester"); p != nil {
		if m := r.member(p, at+".requester"); m != nil && m.GetMspId() != self {
			r.refuse(at+".requester", "a member asks for itself alone", self+", or leaving it out")
		}
	}
	if o := e.get("owner"); o == nil {
		r.refuse(at+".owner", "whom to ask isn't said", "the custodian, as identifier "+memberSystem+"|MSP id")
	} else if m := r.member(o, at+".owner"); m != nil {
		in.Custodian = m.GetMspId()
	}
	if p := e.get("for"); p == nil {
		r.refuse(at+".for", "whose records is not said", "the patient, as identifier")
	} else {
		in.Patient = r.patient(p, at+".for")
	}
	if system, code, ok := conceptCode(e.get("reasonCode"), reasonCodes); !ok {
		r.refuse(at+".reasonCode", "the purpose isn't said", reasonCodes+", a code of PurposeOfUse")
	} else if _, err := consent.ParsePurpose(code); err != nil {
		r.refuse(at+".reasonCode", "there is no such purpose of use", system+", a code of PurposeOfUse")
	} else {
		in.Purpose = code
	}
	for i, x := range e.list("input") {
		r.input(x, item(at+".input", i), &w)
	}
	if code == askEmergency && w.reason == "" {
		r.refuse(at+".input", "break-glass needs its reason", "an input of the type "+inputSystem+"#emergency-reason")
	}
	if code == askAccess && (w.reason != "" || w.note != "") {
		r.refuse(at+".code", "a reason for break-glass, and no break-glass", taskSystem+"#"+askEmergency)
	}
	if code == askAccess && len(in.Classes) == 0 {
		r.refuse(at+".input", "what is asked for isn't said", "an input of the type "+inputSystem+"#data-class for each data class")
	}
	return w
}

// input reads one thing that a request says.
func (r *reading) input(e *element, at string, w *wish) {
	r.only(e, at, "type", "valueCode", "valueCoding", "valueString", "valueIdentifier", "valuePeriod", "valueDuration")
	_, kind, ok := conceptCode(e.get("type"), inputSystem)
	code := func(system string) string {
		if c := e.get("valueCoding"); c != nil {
			if c.str("system") != system {
				r.refuse(at+".value.system", "this is another system's code", system)
			}
			return c.str("code")
		}
		return e.str("valueCode")
	}
	in := w.access
	switch {
	case !ok:
		r.refuse(at+".type", "this isn't known here", inputSystem+"#"+inputKinds)
	case kind == "data-class":
		c := code(classSystem)
		if _, err := record.ParseClass(c); err != nil {
			r.refuse(at+".value", "there is no such data class", "a code of "+classSystem)
			return
		}
		in.Classes = append(in.Classes, c)
	case kind == "record-type":
		c := code(formSystem)
		if _, err := record.ParseType(c); err != nil {
			r.refuse(at+".value", "there is no such form of content", "a code of "+formSystem)
			return
		}
		in.RecordTypes = append(in.RecordTypes, c)
	case kind == "data-period":
		p := e.get("valuePeriod")
		if p == nil {
			r.refuse(at+".value", "there is no period", "valuePeriod")
		}
		in.DataPeriod = r.period(p, at+".value")
	case kind == "action":
		c := code(consentActions)
		if _, err := consent.ParseAction(c); err != nil {
			r.refuse(at+".value", "there is no such action", consentActions)
			return
		}
		in.Action = c
	case kind == "claim":
		if in.Claim = e.str("valueString"); in.Claim == "" {
			if id := e.get("valueIdentifier"); id.str("value") != "" {
				in.Claim = id.str("system") + "|" + id.str("value")
			}
		}
		if in.Claim == "" || len(in.Claim) > 1<<10 {
			r.refuse(at+".value", "there is no reference of a claim, or a long one", "valueIdentifier, or valueString of at most 1 KiB")
		}
	case kind == "valid-for":
		in.TtlSeconds = r.duration(e.get("valueDuration"), at+".value")
	case kind == "emergency-reason":
		w.reason = code(causeSystem)
	case kind == "emergency-note":
		w.note = e.str("valueString")
	default:
		r.refuse(at+".type", "this isn't known here", inputSystem+"#"+inputKinds)
	}
}

const inputKinds = "data-class, record-type, data-period, action, claim, valid-for, emergency-reason or emergency-note"

// seconds of UCUM's units of time.
var seconds = map[string]float64{"s": 1, "min": 60, "h": 3600, "d": 86400}

// duration reads a Duration in whole seconds.
func (r *reading) duration(e *element, at string) int64 {
	n, err := strconv.ParseFloat(string(value(e)), 64)
	total := n * seconds[e.str("code")]
	if err != nil || total < 1 || total > 10*365*86400 || total != math.Trunc(total) {
		r.refuse(at, "this is no duration, or too long a one", "a value, and as code of http://unitsofmeasure.org s, min, h or d")
		return 0
	}
	return int64(total)
}

func value(e *element) []byte {
	if v := e.get("value"); v != nil {
		return v.raw
	}
	return nil
}

// emergency is a wish as break-glass.
func (w wish) emergency() *yitongv1.OpenEmergencyRequest {
	a := w.access
	return &yitongv1.OpenEmergencyRequest{
		Id: a.GetId(), Custodian: a.GetCustodian(), Patient: a.GetPatient(), Purpose: a.GetPurpose(), Classes: slices.Clone(a.GetClasses()), DataPeriod: a.GetDataPeriod(),
		Reason: w.reason, Note: w.note, TtlSeconds: a.GetTtlSeconds(),
	}
}
