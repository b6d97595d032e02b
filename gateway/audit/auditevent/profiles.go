package auditevent

import (
	"strconv"

	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
)

// decision writes a request with the decision on it. The decision is the chaincode's,
// which every endorser ran: the ledger is the authoriser and the observer.
func (v *Event) decision(e history.Entry, s Source) {
	v.Type = Coding{dicom, "110113", "Security Alert"}
	v.Subtype = []Coding{{balp + "CodeSystem/AuthZsubType", "AuthZ-Consent", "Authorization Decision using Roles and Consent"}}
	v.Action = "E"
	rules := Reference{Type: "Device", Identifier: &Identifier{objectSystem + "channel", s.Channel}, Display: "the ledger's rules, run by " + strconv.Itoa(len(e.Endorsers)) + " members"}
	v.Source.Observer, v.Source.Type[0] = rules, Coding{"http://terminology.hl7.org/CodeSystem/security-source-type", "6", "Security Server"}
	v.Agent = []Agent{
		{Type: concept("http://terminology.hl7.org/CodeSystem/extra-security-role-type", "authserver", "authorization server"), Who: rules},
		{Type: concept(dicom, "110150", "Application"), Who: gateway(e.Member), Network: network(e.AccessPoint)},
		{Type: concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", "information recipient"), Who: user(e), Role: roles(e), Requestor: true},
		{Type: concept("http://terminology.hl7.org/CodeSystem/v3-RoleClass", "PROV", "healthcare provider"), Who: organisation(e.Member)},
	}
	access := append(details("access", e.Object), ledgerDetails(e)...)
	if e.Policy.Consent == "" || e.Handle == "" {
		v.Entity = append(v.Entity, Entity{What: object("access", e.Object), Type: Coding{entityType, "2", "System Object"}, Detail: access})
		return
	}
	// The profile lets nothing but patient, consent and token be an entity.
	v.Meta = &Meta{[]string{balp + "StructureDefinition/IHE.BasicAudit.AuthZconsent"}}
	c := consentEntity(e.Policy)
	c.Detail = append(c.Detail, access...)
	v.Entity = append(v.Entity, c)
}

// disclosure writes a release, as its source recorded it, or a receipt, as its recipient
// did.
func (v *Event) disclosure(e history.Entry, counterpart string, atSource bool) {
	profile := "Recipient"
	v.Type, v.Action = Coding{dicom, "110107", "Import"}, "C"
	sourceAt, recipientAt := counterpart, e.AccessPoint
	if atSource {
		profile = "Source"
		v.Type, v.Action = Coding{dicom, "110106", "Export"}, "R"
		sourceAt, recipientAt = e.AccessPoint, counterpart
	}
	v.Subtype = []Coding{{lifecycle, "disclose", "Disclose Record Lifecycle Event"}}
	v.Agent = []Agent{
		{Type: concept(dicom, "110153", "Source Role ID"), Who: gateway(e.Custodian), Network: network(sourceAt), Requestor: false},
		{Type: concept(dicom, "110152", "Destination Role ID"), Who: gateway(e.Requester), Network: network(recipientAt), Requestor: true},
	}
	as := concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", "information recipient")
	if atSource {
		as = concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "CST", "custodian")
	}
	v.Agent = append(v.Agent, Agent{Type: as, Who: user(e), Role: roles(e), Requestor: false})
	if e.Handle != "" && e.Member == map[bool]string{true: e.Custodian, false: e.Requester}[atSource] {
		v.Meta = &Meta{[]string{balp + "StructureDefinition/IHE.BasicAudit.PrivacyDisclosure." + profile}}
	}
	v.Entity = append(v.Entity, Entity{
		What: object("access", e.Object), Type: Coding{entityType, "2", "System Object"}, Role: &Coding{objectRole, "3", "Report"}, Detail: ledgerDetails(e),
	})
}

// kinds says what the other entries are.
var kinds = map[projection.Action]struct {
	code   Coding
	action string
}{
	projection.Granted:    {Coding{lifecycle, "originate", "Originate/Retain Record Lifecycle Event"}, "C"},
	projection.Anchored:   {Coding{lifecycle, "originate", "Originate/Retain Record Lifecycle Event"}, "C"},
	projection.Amended:    {Coding{lifecycle, "amend", "Amend (Update) Record Lifecycle Event"}, "U"},
	projection.Transfer:   {Coding{lifecycle, "amend", "Amend (Update) Record Lifecycle Event"}, "U"},
	projection.Superseded: {Coding{lifecycle, "amend", "Amend (Update) Record Lifecycle Event"}, "U"},
	projection.Withdrawn:  {Coding{lifecycle, "deprecate", "Deprecate Record Lifecycle Event"}, "U"},
	projection.Retracted:  {Coding{lifecycle, "deprecate", "Deprecate Record Lifecycle Event"}, "U"},
	projection.Deleted:    {Coding{lifecycle, "destroy", "Destroy/Delete Record Lifecycle Event"}, "D"},
	projection.Erased:     {Coding{lifecycle, "destroy", "Destroy/Delete Record Lifecycle Event"}, "D"},
	projection.Held:       {Coding{lifecycle, "hold", "Add Legal Hold Record Lifecycle Event"}, "U"},
	projection.Lifted:     {Coding{lifecycle, "unhold", "Remove Legal Hold Record Lifecycle Event"}, "U"},
	projection.Acked:      {Coding{lifecycle, "verify", "Verify Record Lifecycle Event"}, "E"},
	projection.Accepted:   {Coding{lifecycle, "attest", "Attest Record Lifecycle Event"}, "E"},
	projection.Rejected:   {Coding{lifecycle, "attest", "Attest Record Lifecycle Event"}, "E"},
	projection.Resolved:   {Coding{lifecycle, "attest", "Attest Record Lifecycle Event"}, "E"},
	projection.Ordered:    {Coding{dicom, "110112", "Query"}, "E"},
	projection.Recovered:  {Coding{lifecycle, "disclose", "Disclose Record Lifecycle Event"}, "R"},
	projection.Answered:   {Coding{lifecycle, "disclose", "Disclose Record Lifecycle Event"}, "R"},
	projection.Concluded:  {Coding{lifecycle, "verify", "Verify Record Lifecycle Event"}, "E"},
}

// other writes what no pattern of BALP is about.
func (v *Event) other(e history.Entry) {
	known, ok := kinds[e.Action]
	switch {
	case ok:
		v.Type, v.Action = known.code, known.action
	case e.Kind == projection.KindMember, e.Kind == projection.KindKeys, e.Kind == projection.KindSigner, e.Kind == projection.KindEpoch, e.Kind == projection.KindMotion, e.Kind == projection.KindConfiguration:
		v.Type, v.Action = Coding{dicom, "110113", "Security Alert"}, "U"
		v.Subtype = []Coding{{dicom, "110129", "Security Configuration"}}
	default:
		v.Type, v.Action = Coding{dicom, "110100", "Application Activity"}, "E"
	}
	v.Agent = []Agent{
		{Type: concept(dicom, "110150", "Application"), Who: gateway(e.Member), Network: network(e.AccessPoint)},
		{Type: concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "AUT", "author (originator)"), Who: user(e), Role: roles(e), Requestor: true},
	}
	if e.Kind == projection.KindConsent {
		c := consentEntity(e.Policy)
		c.Detail = append(c.Detail, ledgerDetails(e)...)
		v.Entity = append(v.Entity, c)
		return
	}
	v.Entity = append(v.Entity, Entity{What: object(string(e.Kind), e.Object), Type: Coding{entityType, "2", "System Object"}, Detail: ledgerDetails(e)})
}

func object(kind, id string) *Reference {
	if id == "" {
		return nil
	}
	return &Reference{Identifier: &Identifier{objectSystem + kind, id}}
}
