package fhir

import (
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// pcfProfiles is where IHE's Privacy Consent on FHIR has its profiles.
const pcfProfiles = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consent"

// consentPolicy names the rules that a consent is judged by: package chaincode/consent.
const consentPolicy = "urn:yitong:policy:consent"

type consentResource struct {
	ResourceType    string                `json:"resourceType"`
	ID              string                `json:"id"`
	Meta            *Meta                 `json:"meta"`
	Identifier      []Identifier          `json:"identifier,omitempty"`
	Status          string                `json:"status"`
	Scope           Concept               `json:"scope"`
	Category        []Concept             `json:"category"`
	Patient         Reference             `json:"patient"`
	DateTime        string                `json:"dateTime,omitempty"`
	Performer       []Reference           `json:"performer"`
	Organization    []Reference           `json:"organization"`
	SourceReference *Reference            `json:"sourceReference,omitempty"`
	Policy          []consentURI          `json:"policy"`
	Verification    []consentVerification `json:"verification,omitempty"`
	Provision       *consentProvision     `json:"provision"`
}

type consentURI struct {
	URI string `json:"uri"`
}

type consentVerification struct {
	Verified         bool       `json:"verified"`
	VerifiedWith     *Reference `json:"verifiedWith,omitempty"`
	VerificationDate string     `json:"verificationDate,omitempty"`
}

type consentProvision struct {
	ModifierExtension []consentExtension  `json:"modifierExtension,omitempty"`
	Type              string              `json:"type"`
	Period            *Period             `json:"period,omitempty"`
	Actor             []consentActor      `json:"actor,omitempty"`
	Action            []Concept           `json:"action,omitempty"`
	SecurityLabel     []Coding            `json:"securityLabel,omitempty"`
	Purpose           []Coding            `json:"purpose,omitempty"`
	Class             []Coding            `json:"class,omitempty"`
	DataPeriod        *Period             `json:"dataPeriod,omitempty"`
	Provision         []*consentProvision `json:"provision,omitempty"`
}

type consentExtension struct {
	URL       string `json:"url"`
	ValueCode string `json:"valueCode"`
}

type consentActor struct {
	Role      Concept   `json:"role"`
	Reference Reference `json:"reference"`
}

// consentOut is a version of a consent as FHIR's. What nobody here knows is not in it: who signed a
// form that a hospital attests, for one.
func consentOut(d *yitongv1.Directive, members roster) consentResource {
	c := d.GetConsent()
	patient := patientReference(d.GetPatient(), c.GetHandle())
	out := consentResource{
		ResourceType: "Consent", ID: c.GetId(),
		Meta: &Meta{
			VersionID: strconv.Itoa(int(c.GetVersion())), LastUpdated: instant(timeOf(c.GetRecorded())),
			Tag: []Coding{{System: assureSystem, Code: c.GetAssurance()}},
		},
		Identifier: []Identifier{{System: consentSystem, Value: c.GetId()}}, Status: consentStatus(c.GetStatus(), d.GetReason()),
		Scope:    Concept{Coding: []Coding{{System: consentScopes, Code: "patient-privacy"}}},
		Category: []Concept{{Coding: []Coding{{System: loinc, Code: "59284-0", Display: "Consent Document"}}}},
		Patient:  patient, DateTime: instant(timeOf(c.GetRecorded())),
		Performer:    []Reference{{Type: "Patient", Display: "whoever signed the form that the custodian keeps"}},
		Organization: []Reference{members.reference(d.GetCustodian())},
		Policy:       []consentURI{{consentPolicy}},
		Provision:    provisionOut(c.GetProvision(), c.GetPeriod(), members, d.GetRequester()),
	}
	for _, n := range d.GetIdentifiers() {
		out.Identifier = append(out.Identifier, Identifier{System: n.GetSystem(), Value: n.GetValue()})
	}
	if c.GetEvidence() != "" {
		out.SourceReference = &Reference{
			Type: "DocumentReference", Identifier: &Identifier{System: evidenceSystem, Value: c.GetEvidence()},
			Display: "salted digest of what was signed; its custodian keeps that",
		}
	}
	if c.GetSigner() != "" {
		out.Performer = []Reference{patient}
		out.Verification = []consentVerification{{Verified: true, VerifiedWith: &Reference{
			Type: patient.Type, Identifier: &Identifier{System: signerSystem, Value: c.GetSigner()}, Display: "key of the patient's " + c.GetAssurance(),
		}, VerificationDate: out.DateTime}}
	}
	if p := pcfProfile(out); p != "" {
		out.Meta.Profile = []string{p}
	}
	return out
}

// consentStatus is the ledger's state in FHIR's words.
func consentStatus(status, reason string) string {
	switch {
	case status == "active":
		return "active"
	case reason == "error":
		return "entered-in-error"
	}
	return "inactive"
}

// provisionOut is the root provision, cut to the consent's period. The relationship says whom it is
// about; where its own actors leave the requester out, it never speaks, and is told as over.
func provisionOut(p *yitongv1.Provision, of *yitongv1.Period, members roster, requester string) *consentProvision {
	out := exceptionOut(p, members)
	cut := &yitongv1.Period{Start: later(p.GetPeriod().GetStart(), of.GetStart()), End: sooner(p.GetPeriod().GetEnd(), of.GetEnd())}
	out.Period = period(cut)
	speaks := len(p.GetActors()) == 0 || slices.ContainsFunc(p.GetActors(), func(a *yitongv1.Actor) bool {
		return a.GetMember() == requester && requester != "" || a.GetKind() != "" && a.GetKind() == members.kind(requester)
	})
	void := cut.Start != nil && cut.End != nil && !cut.Start.AsTime().Before(cut.End.AsTime())
	if !speaks || void {
		out.Period = &Period{End: instant(beforeAll)}
	}
	out.Actor = []consentActor{{recipient, members.reference(requester)}}
	return out
}

// beforeAll is when what never speaks has ended.
var beforeAll = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)

var recipient = Concept{Coding: []Coding{{System: participationTypes, Code: "IRCP", Display: "information recipient"}}}

func exceptionOut(p *yitongv1.Provision, members roster) *consentProvision {
	out := &consentProvision{Type: p.GetType(), Period: period(p.GetPeriod()), DataPeriod: period(p.GetDataPeriod())}
	for _, a := range p.GetActors() {
		ref := members.reference(a.GetMember())
		if a.GetKind() != "" {
			ref = Reference{Type: "Organization", Identifier: &Identifier{System: kindSystem, Value: a.GetKind()}, Display: "every " + a.GetKind()}
		}
		out.Actor = append(out.Actor, consentActor{recipient, ref})
	}
	for _, code := range sorted(p.GetActions()) {
		out.Action = append(out.Action, Concept{Coding: []Coding{{System: consentActions, Code: code}}})
	}
	labels, exceptions, normal := unlabelled(p)
	if normal {
		out.SecurityLabel = []Coding{{System: confidentiality, Code: "N"}}
	} else {
		labels, exceptions = p.GetLabels(), p.GetProvisions()
	}
	for _, code := range sorted(labels) {
		out.SecurityLabel = append(out.SecurityLabel, labelCoding(code))
	}
	for _, code := range sorted(p.GetPurposes()) {
		out.Purpose = append(out.Purpose, Coding{System: reasonCodes, Code: code})
	}
	for _, code := range sorted(p.GetClasses()) {
		out.Class = append(out.Class, Coding{System: classSystem, Code: code})
	}
	for _, code := range sorted(p.GetRecordTypes()) {
		if len(p.GetClasses()) > 0 {
			out.ModifierExtension = append(out.ModifierExtension, consentExtension{recordTypeExtension, code})
		} else {
			out.Class = append(out.Class, Coding{System: formSystem, Code: code})
		}
	}
	for _, x := range exceptions {
		out.Provision = append(out.Provision, exceptionOut(x, members))
	}
	return out
}

func later(a, b *timestamppb.Timestamp) *timestamppb.Timestamp {
	if a == nil || b != nil && b.AsTime().After(a.AsTime()) {
		return b
	}
	return a
}

func sooner(a, b *timestamppb.Timestamp) *timestamppb.Timestamp {
	if a == nil || b != nil && b.AsTime().Before(a.AsTime()) {
		return b
	}
	return a
}

// Codes of PCF's value sets BasicPurposeVS and AdvancedSecurityTagVS (1.1.0).
var (
	pcfPurposes = []string{"TREAT", "HPAYMT", "HOPERAT"}
	pcfLabels   = []string{"R", "N", "ETH", "ETHUD", "OPIOIDUD", "PSY", "SDV", "HIV"}
)

// pcfProfile is the narrowest of PCF's profiles that a Consent is of, "" if it is of none: PCF knows
// no actions, no classes, no verification, and one level of exceptions.
func pcfProfile(c consentResource) string {
	root := c.Provision
	if len(c.Verification) > 0 || c.SourceReference == nil || !pcfProvision(root, true) {
		return ""
	}
	all := func(p func(*consentProvision) bool) bool {
		return p(root) && !slices.ContainsFunc(root.Provision, func(x *consentProvision) bool { return !p(x) })
	}
	labelled := !all(func(p *consentProvision) bool { return len(p.SecurityLabel) == 0 })
	switch {
	case labelled && all(func(p *consentProvision) bool { return within(p.SecurityLabel, pcfLabels) }):
		return pcfProfiles + "Advanced"
	case labelled:
		return ""
	case len(root.Provision) == 0 && root.DataPeriod == nil && within(root.Purpose, pcfPurposes):
		return pcfProfiles + "Basic"
	}
	return pcfProfiles + "Intermediate"
}

func pcfProvision(p *consentProvision, root bool) bool {
	if len(p.Action) > 0 || len(p.Class) > 0 || len(p.ModifierExtension) > 0 || !root && len(p.Provision) > 0 {
		return false
	}
	return !slices.ContainsFunc(p.Provision, func(x *consentProvision) bool { return !pcfProvision(x, false) })
}

func within(codings []Coding, codes []string) bool {
	return !slices.ContainsFunc(codings, func(c Coding) bool { return !slices.Contains(codes, c.Code) })
}
