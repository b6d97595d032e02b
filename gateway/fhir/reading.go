package fhir

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// A reading turns a resource, which the definitions found valid, into what the ledger can say. What
// the ledger can't say is a fault at its element: left out, it would change what is meant.
type reading struct {
	faults  []Fault
	members roster
}

// refuse notes a fault.
func (r *reading) refuse(at, message, allowed string) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, *unprocessable(at, message, allowed))
	}
}

// err is all faults as one.
func (r *reading) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	f := r.faults[0]
	f.More = r.faults[1:]
	return &f
}

// only refuses every member of an element but those named, and those that say nothing a rule would
// depend on: its id, its extensions and what extends its primitives. A modifierExtension is refused
// unless it is named.
func (r *reading) only(e *element, at string, names ...string) {
	if e == nil {
		return
	}
	for _, m := range e.members {
		if m.name == "id" || m.name == "extension" || strings.HasPrefix(m.name, "_") || slices.Contains(names, m.name) {
			continue
		}
		r.refuse(at+"."+safeName(m.name), "this can't be kept, and what is meant would be another thing without it", "leaving it out; here is known: "+strings.Join(names, ", "))
	}
}

// item names an item of a list.
func item(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }

// codes reads the codings of a list, each of a system that is expected.
func (r *reading) codes(list []*element, at string, take func(at, system, code string)) {
	for i, c := range list {
		take(item(at, i), c.str("system"), c.str("code"))
	}
}

// concept reads a CodeableConcept's coding of a system.
func conceptCode(e *element, systems ...string) (system, code string, ok bool) {
	for _, c := range e.list("coding") {
		if s := c.str("system"); slices.Contains(systems, s) {
			return s, c.str("code"), true
		}
	}
	return "", "", false
}

// period reads a Period, whose end is inclusive to the precision it is given in, as one whose end is
// exclusive. Times without a zone count in UTC.
func (r *reading) period(e *element, at string) *yitongv1.Period {
	if e == nil {
		return nil
	}
	out := &yitongv1.Period{}
	if s := e.str("start"); s != "" {
		out.Start = r.moment(s, at+".start", false)
	}
	if s := e.str("end"); s != "" {
		out.End = r.moment(s, at+".end", true)
	}
	if e.str("start") == "" && (e.get("_start") != nil || e.str("end") == "") || e.str("end") == "" && e.get("_end") != nil {
		r.refuse(at, "a side of it isn't said, and left open it would be all time", "the date, or nothing at all for that side")
	}
	if out.Start == nil && out.End == nil {
		return nil
	}
	if out.Start != nil && out.End != nil && !out.Start.AsTime().Before(out.End.AsTime()) {
		r.refuse(at, "it doesn't start before its end", "start ≤ end")
	}
	return out
}

// moment reads a date as the beginning of what it covers, or as the end.
func (r *reading) moment(s, at string, end bool) *timestamppb.Timestamp {
	span, ok := parseDate(s)
	t := span.start
	if end {
		t = span.end
	}
	switch {
	case !ok:
		r.refuse(at, "this is no date", "yyyy, yyyy-mm, yyyy-mm-dd or yyyy-mm-ddThh:mm:ss+zz:zz")
		return nil
	case t.Nanosecond() != 0:
		r.refuse(at, "the ledger keeps time to the second", "whole seconds")
		return nil
	case t.Unix() == 0:
		r.refuse(at, "the first second of 1970 stands for no time on the ledger", "a second more or less")
		return nil
	case t.Year() < 1 || t.Year() > 9999 || t.Equal(time.Time{}):
		r.refuse(at, "this is before or after all time", "the years 1 to 9999")
		return nil
	}
	return timestamppb.New(t)
}

// patient reads a reference to a patient by an identifier. An address of one is opaque here.
func (r *reading) patient(e *element, at string) *yitongv1.Patient {
	id := e.get("identifier")
	system, value := id.str("system"), id.str("value")
	if system == "" || value == "" {
		r.refuse(at, "the patient isn't named by an identifier", "identifier with system and value; an address alone is nothing that others could look up")
		return nil
	}
	if system == handleSystem {
		r.refuse(at+".identifier", "a handle names a patient on the ledger only", "the patient's identifier")
		return nil
	}
	return &yitongv1.Patient{System: system, Value: value}
}

// A roster is the members of the consortium.
type roster []*yitongv1.Member

// find is a member by its MSP id or name; nil if there is none.
func (r roster) find(name string) *yitongv1.Member {
	for _, m := range r {
		if m.GetMspId() == name || m.GetName() == name {
			return m
		}
	}
	return nil
}

// names lists the MSP ids.
func (r roster) names() string {
	all := make([]string, len(r))
	for i, m := range r {
		all[i] = m.GetMspId()
	}
	return strings.Join(all, ", ")
}

// kind of a member, "" of none.
func (r roster) kind(msp string) string { return r.find(msp).GetKind() }

// member reads a reference to a member by its identifier.
func (r *reading) member(e *element, at string) *yitongv1.Member {
	id := e.get("identifier")
	if id.str("system") != memberSystem {
		r.refuse(at, "this names no member of the consortium", "identifier with the system "+memberSystem+" and an MSP id")
		return nil
	}
	m := r.members.find(id.str("value"))
	if m == nil {
		r.refuse(at+".identifier.value", "there is no such member", "the MSP id or the name of one: "+r.members.names())
	}
	return m
}

// members asks for the roster.
func (c *call) members() (roster, error) {
	out, err := yitongv1.NewMembersClient(c.conn).List(c.ctx(), &yitongv1.ListMembersRequest{})
	return out.GetMembers(), err
}

// memberReference names a member.
func (r roster) reference(msp string) Reference {
	ref := Reference{Type: "Organization", Identifier: &Identifier{System: memberSystem, Value: msp}}
	if m := r.find(msp); m != nil {
		ref.Identifier.Value, ref.Display = m.GetMspId(), m.GetName()
	}
	return ref
}

// patientReference names a patient, by the handle where nobody here knows who it is.
func patientReference(p *yitongv1.Patient, handle string) Reference {
	if p == nil {
		return Reference{Type: "Patient", Identifier: &Identifier{System: handleSystem, Value: handle}}
	}
	return Reference{Type: "Patient", Identifier: &Identifier{System: p.GetSystem(), Value: p.GetValue()}}
}
