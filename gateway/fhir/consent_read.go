package fhir

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// A directive is what a Consent says, in the ledger's terms.
type directive struct {
	id          string
	status      string // as FHIR has it
	patient     *yitongv1.Patient
	requester   string // MSP id
	period      *yitongv1.Period
	provision   *yitongv1.Provision // nil where there is none
	identifiers []*yitongv1.Identifier
	form        []byte // what was signed; nil where nothing new was
	at          string // where the form would be
}

// readConsent reads a Consent for one relationship: its patient, this hospital, and the one member
// that the root provision names.
func readConsent(e *element, members roster, self string) (directive, error) {
	r := &reading{members: members}
	d := r.consent(e, self)
	return d, r.err()
}

func (r *reading) consent(e *element, self string) directive {
	const at = "Consent"
	r.only(e, at, "resourceType", "meta", "language", "text", "identifier", "status", "scope", "category", "patient", "dateTime", "performer",
		"organization", "sourceAttachment", "sourceReference", "policy", "policyRule", "verification", "provision")
	d := directive{id: e.str("id"), status: e.str("status"), at: at + ".source"}
	if _, code, ok := conceptCode(e.get("scope"), consentScopes); !ok || code != "patient-privacy" {
		r.refuse(at+".scope", "only consents to the sharing of data are kept here", consentScopes+"#patient-privacy")
	}
	for i, id := range e.list("identifier") {
		if system, value := id.str("system"), id.str("value"); system == "" || value == "" {
			r.refuse(item(at+".identifier", i), "it has no system or no value", "both")
		} else if system != consentSystem { // our own, read and sent again
			d.identifiers = append(d.identifiers, &yitongv1.Identifier{System: system, Value: value})
		}
	}
	d.patient = r.patient(e.get("patient"), at+".patient")
	for i, o := range e.list("organization") {
		place := item(at+".organization", i)
		if m := r.member(o, place); m != nil && m.GetMspId() != self {
			r.refuse(place, "the custodian of a consent is the hospital that it is put to", self+", or its own gateway")
		}
	}
	d.form = r.form(e)
	if p := e.get("provision"); p != nil {
		d.provision = r.root(p, at+".provision", e.get("policyRule"), &d)
	}
	return d
}

// form is what the patient signed. Where it is kept elsewhere, the Consent as it came stands for it,
// the reference in it.
func (r *reading) form(e *element) []byte {
	const at = "Consent.source"
	if a := e.get("sourceAttachment"); a != nil {
		if data := a.str("data"); data != "" {
			form, err := base64.StdEncoding.DecodeString(data)
			if err != nil || len(form) == 0 {
				r.refuse(at+".data", "it is no base64", "the signed form, at most 3 MiB")
			}
			return form
		}
		if a.str("url") != "" {
			return bytes.Clone(e.raw)
		}
	}
	if s := e.get("sourceReference"); s != nil && s.get("identifier").str("system") != evidenceSystem {
		return bytes.Clone(e.raw)
	}
	return nil
}

// root reads the root provision: its type is the base decision, and its one actor the requester.
func (r *reading) root(e *element, at string, rule *element, d *directive) *yitongv1.Provision {
	if e.str("type") == "" {
		r.refuse(at+".type", "without it the base decision isn't clear", "permit or deny, as IHE PCF has it")
	}
	if _, code, ok := conceptCode(rule, actCodes); rule != nil {
		base := map[string]string{"OPTIN": "permit", "OPTINR": "permit", "OPTOUT": "deny", "OPTOUTE": "deny"}[code]
		if !ok || base == "" || base != e.str("type") {
			r.refuse("Consent.policyRule", "a base policy other than the base decision isn't kept", "leaving it out, or OPTIN with the type permit, OPTOUT with deny")
		}
	}
	d.requester = r.recipient(e.list("actor"))
	p := r.provision(e, at, 1, d.requester)
	switch {
	case len(e.list("actor")) != 1:
		d.requester = ""
		r.refuse(at+".actor", "a Consent here is about one recipient: the ledger keeps one for each relationship of patient, custodian and requester",
			"exactly one actor, the member that may ask; for several members as many Consents")
	case len(p.Actors) == 1 && p.Actors[0].GetKind() != "":
		r.refuse(item(at+".actor", 0), "a kind of members is no recipient", "the one member that may ask")
	}
	// The consent's own period is what reports go by.
	d.period, p.Period = p.Period, nil
	return p
}

// recipient is the member that the first actor names, "" if it names none.
func (r *reading) recipient(actors []*element) string {
	if len(actors) == 0 {
		return ""
	}
	id := actors[0].get("reference").get("identifier")
	if id.str("system") != memberSystem {
		return ""
	}
	return r.members.find(id.str("value")).GetMspId()
}

// actor reads who a provision is about.
func (r *reading) actor(e *element, at string) *yitongv1.Actor {
	r.only(e, at, "role", "reference")
	if _, code, ok := conceptCode(e.get("role"), participationTypes); !ok || code != "IRCP" && code != "PRCP" {
		r.refuse(at+".role", "a provision is about those whom data is for", participationTypes+"#IRCP")
	}
	ref, place := e.get("reference"), at+".reference"
	if id := ref.get("identifier"); id.str("system") == kindSystem {
		kind := id.str("value")
		if kind != "hospital" && kind != "insurer" && kind != "regulator" {
			r.refuse(place+".identifier.value", "there is no such kind of member", "hospital, insurer or regulator")
		}
		return &yitongv1.Actor{Kind: kind}
	}
	if m := r.member(ref, place); m != nil {
		return &yitongv1.Actor{Member: m.GetMspId()}
	}
	return nil
}

// provision reads one and its exceptions.
func (r *reading) provision(e *element, at string, depth int, requester string) *yitongv1.Provision {
	r.only(e, at, "type", "period", "actor", "action", "securityLabel", "purpose", "class", "dataPeriod", "provision", "modifierExtension")
	p := &yitongv1.Provision{Type: e.str("type"), Period: r.period(e.get("period"), at+".period"), DataPeriod: r.period(e.get("dataPeriod"), at+".dataPeriod")}
	if p.Type != "permit" && p.Type != "deny" && (depth > 1 || p.Type != "") {
		r.refuse(at+".type", "a provision says whether it permits or denies", "permit or deny")
	}
	for i, a := range e.list("actor") {
		if a := r.actor(a, item(at+".actor", i)); a != nil {
			p.Actors = append(p.Actors, a)
			if depth > 1 && a.GetMember() != "" && requester != "" && a.GetMember() != requester {
				r.refuse(item(at+".actor", i), "this Consent is about another recipient alone", requester+", or a Consent of its own")
			}
		}
	}
	for i, a := range e.list("action") {
		place := item(at+".action", i)
		_, code, _ := conceptCode(a, consentActions)
		if _, err := consent.ParseAction(code); err != nil {
			r.refuse(place, "there is no such action", consentActions+": collect, access, use, disclose, correct")
			continue
		}
		p.Actions = append(p.Actions, code)
	}
	r.codes(e.list("purpose"), at+".purpose", func(at, system, code string) {
		if _, err := consent.ParsePurpose(code); err != nil || system != reasonCodes {
			r.refuse(at, "there is no such purpose of use", reasonCodes+", a code of PurposeOfUse")
			return
		}
		p.Purposes = append(p.Purposes, code)
	})
	r.classes(e, at, p)
	normal := r.labels(e, at, p)
	for i, x := range e.list("provision") {
		if depth == consent.MaxDepth {
			r.refuse(at+".provision", "exceptions are nested too deep", "at most 4 levels, the root counted")
			break
		}
		p.Provisions = append(p.Provisions, r.provision(x, item(at+".provision", i), depth+1, requester))
	}
	if normal {
		r.normal(p, at, depth)
	}
	return p
}

// classes reads what data a provision is about. Within one element either of two codes will do, so
// data classes and forms can't be mixed in it; the other of the two has its extension.
func (r *reading) classes(e *element, at string, p *yitongv1.Provision) {
	r.codes(e.list("class"), at+".class", func(at, system, code string) {
		switch {
		case system == classSystem:
			if _, err := record.ParseClass(code); err != nil {
				r.refuse(at, "there is no such data class", strings.Join(record.AllClasses.Codes(), ", "))
				return
			}
			p.Classes = append(p.Classes, code)
		case system == formSystem:
			r.recordType(at, code, p)
		case (system == mediaTypes || system == uris) && formOf[code] != "":
			p.RecordTypes = append(p.RecordTypes, formOf[code])
		case system == resourceTypes:
			r.refuse(at, "a resource type is narrower than what parts are cut by", "the data class that holds it, of "+classSystem+", where the patient agrees to all of that")
		default:
			r.refuse(at, "this class can't be kept", "a code of "+classSystem+" or "+formSystem)
		}
	})
	if len(p.Classes) > 0 && len(p.RecordTypes) > 0 {
		r.refuse(at+".class", "data classes and forms of content are mixed: either would do, and the ledger keeps that both must hold",
			"data classes here, and forms as modifierExtension "+recordTypeExtension)
	}
	for i, x := range e.list("modifierExtension") {
		place := item(at+".modifierExtension", i)
		if x.str("url") != recordTypeExtension || x.str("valueCode") == "" {
			r.refuse(place, "this changes what is meant, and isn't known here", recordTypeExtension+" with a valueCode")
			continue
		}
		r.recordType(place+".valueCode", x.str("valueCode"), p)
	}
}

func (r *reading) recordType(at, code string, p *yitongv1.Provision) {
	if _, err := record.ParseType(code); err != nil {
		r.refuse(at, "there is no such form of content", strings.Join(record.AllTypes.Codes(), ", "))
		return
	}
	p.RecordTypes = append(p.RecordTypes, code)
}

// labels reads the security labels. Confidentiality N is the absence of others.
func (r *reading) labels(e *element, at string, p *yitongv1.Provision) (normal bool) {
	r.codes(e.list("securityLabel"), at+".securityLabel", func(at, system, code string) {
		graded := code == "R" || code == "V"
		if system == confidentiality && code == "N" {
			if normal = true; p.Type == "deny" {
				r.refuse(at, "what is normal can't be denied by itself", "a denial of everything, with a permit of the labels as its exception")
			}
			return
		}
		if _, err := record.ParseLabel(code); err != nil || graded != (system == confidentiality) || !graded && system != actCodes {
			r.refuse(at, "there is no such security label", "sensitivities of "+actCodes+"; N, R and V of "+confidentiality)
			return
		}
		p.Labels = append(p.Labels, code)
	})
	return normal
}

// normal turns a permit of normal data, and of data with some labels, into the ledger's terms: a
// permit, but for whatever has a label, but for those, and but for what its exceptions permit: beside
// the denial they would be outvoted.
func (r *reading) normal(p *yitongv1.Provision, at string, depth int) {
	labelled := &yitongv1.Provision{Type: "deny", Labels: record.AllLabels.Codes()}
	if len(p.Labels) > 0 {
		labelled.Provisions = append(labelled.Provisions, &yitongv1.Provision{Type: "permit", Labels: p.Labels})
	}
	var denials []*yitongv1.Provision
	for _, x := range p.Provisions {
		if x.GetType() == "permit" {
			labelled.Provisions = append(labelled.Provisions, x)
		} else {
			denials = append(denials, x)
		}
	}
	if depth+levels(labelled) > consent.MaxDepth {
		r.refuse(at+".securityLabel", "confidentiality N would nest exceptions too deep", "N at the root, with exceptions that have none themselves")
	}
	p.Labels, p.Provisions = nil, append(denials, labelled)
}

// levels counts a provision and those within one another below it.
func levels(p *yitongv1.Provision) int {
	deepest := 0
	for _, x := range p.GetProvisions() {
		deepest = max(deepest, levels(x))
	}
	return 1 + deepest
}

// unlabelled is a permit as it was before normal, if it is one that normal made, or could have made.
func unlabelled(p *yitongv1.Provision) (labels []string, exceptions []*yitongv1.Provision, ok bool) {
	if p.GetType() != "permit" || len(p.GetLabels()) > 0 {
		return nil, nil, false
	}
	all := sorted(record.AllLabels.Codes())
	var permits []*yitongv1.Provision
	for _, x := range p.GetProvisions() {
		switch {
		case !ok && x.GetType() == "deny" && alone(x) && slices.Equal(sorted(x.GetLabels()), all):
			permits, ok = x.GetProvisions(), true
		case x.GetType() == "permit":
			return nil, nil, false
		default:
			exceptions = append(exceptions, x)
		}
	}
	if slices.ContainsFunc(permits, func(x *yitongv1.Provision) bool { return x.GetType() != "permit" }) {
		return nil, nil, false
	}
	if ok && len(permits) > 0 && alone(permits[0]) && len(permits[0].GetProvisions()) == 0 && len(permits[0].GetLabels()) > 0 {
		labels, permits = permits[0].GetLabels(), permits[1:]
	}
	return labels, append(exceptions, permits...), ok
}

// alone reports that a provision has no criterion but labels.
func alone(p *yitongv1.Provision) bool {
	return len(p.GetActors())+len(p.GetActions())+len(p.GetPurposes())+len(p.GetClasses())+len(p.GetRecordTypes()) == 0 && p.GetPeriod() == nil && p.GetDataPeriod() == nil
}

// sameProvision reports that two say the same in the same words.
func sameProvision(a, b *yitongv1.Provision, ap, bp *yitongv1.Period, members roster, requester string) bool {
	one, other := provisionOut(a, ap, members, requester), provisionOut(b, bp, members, requester)
	return bytes.Equal(marshal(one), marshal(other))
}

// sorted is a copy in order.
func sorted(codes []string) []string {
	codes = slices.Clone(codes)
	slices.Sort(codes)
	return slices.Compact(codes)
}
