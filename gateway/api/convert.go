package api

import (
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/ledger"
	"yitong/gateway/share"
)

// The functions here translate between the API's messages and the domain's
// types, both ways, and decide nothing. What can't be translated is refused as
// malformed, naming the field.

func malformed(field string, err error) error {
	var why *refusal.Refusal
	if errors.As(err, &why) {
		return refusal.New(refusal.Malformed, field+": "+why.Message, why.Allowed)
	}
	return refusal.New(refusal.Malformed, field+": "+err.Error(), "")
}

func patientOf(p *yitongv1.Patient) share.Patient {
	return share.Patient{System: p.GetSystem(), Value: p.GetValue()}
}

func patientMessage(p share.Patient) *yitongv1.Patient {
	return &yitongv1.Patient{System: p.System, Value: p.Value}
}

func commitMessage(c ledger.Commit) *yitongv1.Commit {
	if c.TxID == "" {
		return nil
	}
	return &yitongv1.Commit{TransactionId: c.TxID, Block: c.Block}
}

func instantOf(t *timestamppb.Timestamp) record.Instant {
	if t == nil {
		return 0
	}
	return record.At(t.AsTime())
}

func timeMessage(i record.Instant) *timestamppb.Timestamp {
	if i.IsZero() {
		return nil
	}
	return timestamppb.New(i.Time())
}

func periodOf(p *yitongv1.Period) record.Period {
	return record.Period{Start: instantOf(p.GetStart()), End: instantOf(p.GetEnd())}
}

func periodMessage(p record.Period) *yitongv1.Period {
	if p.IsZero() {
		return nil
	}
	return &yitongv1.Period{Start: timeMessage(p.Start), End: timeMessage(p.End)}
}

// Provision is a provision as the rules know it; malformed where it names what they don't.
func Provision(p *yitongv1.Provision) (consent.Provision, error) { return provisionOf(p) }

// Period is a period as the rules know it; absent sides are unbounded.
func Period(p *yitongv1.Period) record.Period { return periodOf(p) }

func classesOf(codes []string) (record.Classes, error) {
	var set record.Classes
	for _, code := range codes {
		class, err := record.ParseClass(code)
		if err != nil {
			return 0, malformed("classes", err)
		}
		set = set.With(class)
	}
	return set, nil
}

func typesOf(codes []string) (record.Types, error) {
	var set record.Types
	for _, code := range codes {
		t, err := record.ParseType(code)
		if err != nil {
			return 0, malformed("record_types", err)
		}
		set = set.With(t)
	}
	return set, nil
}

func labelsOf(codes []string) (record.Labels, error) {
	var set record.Labels
	for _, code := range codes {
		label, err := record.ParseLabel(code)
		if err != nil {
			return 0, malformed("labels", err)
		}
		set = set.With(label)
	}
	return set, nil
}

func provisionOf(p *yitongv1.Provision) (consent.Provision, error) {
	var out consent.Provision
	if err := out.Type.UnmarshalText([]byte(p.GetType())); err != nil {
		return out, malformed("provision.type", err)
	}
	out.Period, out.DataPeriod = periodOf(p.GetPeriod()), periodOf(p.GetDataPeriod())
	for _, a := range p.GetActors() {
		if a.GetMember() != "" {
			if err := registry.CheckMSP(a.GetMember()); err != nil {
				return out, malformed("provision.actors", err)
			}
		}
		out.Actors = append(out.Actors, consent.Actor{Member: a.GetMember(), Kind: a.GetKind()})
	}
	for _, code := range p.GetActions() {
		action, err := consent.ParseAction(code)
		if err != nil {
			return out, malformed("provision.actions", err)
		}
		out.Actions |= consent.ActionsOf(action)
	}
	for _, code := range p.GetPurposes() {
		purpose, err := consent.ParsePurpose(code)
		if err != nil {
			return out, malformed("provision.purposes", err)
		}
		out.Purposes |= consent.PurposesOf(purpose)
	}
	var err error
	if out.Classes, err = classesOf(p.GetClasses()); err != nil {
		return out, err
	}
	if out.Labels, err = labelsOf(p.GetLabels()); err != nil {
		return out, err
	}
	if out.Types, err = typesOf(p.GetRecordTypes()); err != nil {
		return out, err
	}
	for _, nested := range p.GetProvisions() {
		n, err := provisionOf(nested)
		if err != nil {
			return out, err
		}
		out.Provisions = append(out.Provisions, n)
	}
	return out, nil
}

func provisionMessage(p consent.Provision) *yitongv1.Provision {
	out := &yitongv1.Provision{
		Type: p.Type.String(), Period: periodMessage(p.Period), DataPeriod: periodMessage(p.DataPeriod),
		Actions: p.Actions.Codes(), Purposes: p.Purposes.Codes(), Classes: p.Classes.Codes(), Labels: p.Labels.Codes(),
		RecordTypes: p.Types.Codes(),
	}
	for _, a := range p.Actors {
		out.Actors = append(out.Actors, &yitongv1.Actor{Member: a.Member, Kind: a.Kind})
	}
	for _, nested := range p.Provisions {
		out.Provisions = append(out.Provisions, provisionMessage(nested))
	}
	return out
}

func consentMessage(c consent.Consent, requester, handle string) *yitongv1.Consent {
	return &yitongv1.Consent{
		Id: c.ID, Version: int32(c.Version), Status: string(c.Status), Period: periodMessage(c.Period),
		Provision: provisionMessage(c.Provision), Evidence: c.Evidence, Recorded: timeMessage(c.At),
		Requester: requester, Handle: handle, Assurance: c.Assurance.String(), Signer: c.Signer,
	}
}

func partMessage(recordID string, p share.Part) *yitongv1.Part {
	return &yitongv1.Part{
		RecordId: recordID, Index: int32(p.Index), DataClass: p.Class.String(), Labels: p.Labels.Codes(),
		DataPeriod: periodMessage(p.Period), ContentSize: p.ContentSize, MediaType: p.MediaType,
	}
}

func recordMessage(r share.Record) *yitongv1.Record {
	out := &yitongv1.Record{
		Id: r.ID, Status: string(r.Status), Patient: patientMessage(r.Patient), Submitted: timeMessage(r.Submitted),
		Supersedes: r.Supersedes, SupersededBy: r.SupersededBy, MediaType: r.MediaType, Erasure: erasureMessage(r.ID, r.Erasure),
	}
	for _, p := range r.Parts {
		out.Parts = append(out.Parts, partMessage(r.ID, p))
	}
	return out
}

func ruleMessage(r consent.Rule) *yitongv1.Rule {
	return &yitongv1.Rule{ConsentId: r.Consent, Version: int32(r.Version), Provision: r.Path.String(), Reason: string(r.Reason)}
}

func accessMessage(a access.Access, release *access.Release, receipt *access.Receipt) *yitongv1.Access {
	out := &yitongv1.Access{
		Id: a.ID, Custodian: a.Custodian, Requester: a.Requester, Handle: a.Handle,
		Purpose: a.Purpose.String(), Action: a.Action.String(), Classes: a.Classes.Codes(), DataPeriod: periodMessage(a.Period),
		Requested: timeMessage(a.At), Outcome: a.Decision.Outcome.String(), Rule: ruleMessage(a.Decision.Rule),
		Granted: a.Decision.Scope.Classes.Codes(), Expires: timeMessage(a.Expires), User: a.User, Role: string(a.Role), RecordTypes: a.Types.Codes(),
	}
	for _, r := range a.Decision.Refused {
		for _, code := range r.Classes.Codes() {
			out.Refused = append(out.Refused, &yitongv1.RefusedClass{DataClass: code, Rule: ruleMessage(r.Rule)})
		}
	}
	if a.BreakGlass() {
		out.Emergency = string(a.Emergency.Reason)
	}
	if release != nil {
		out.Release = &yitongv1.Release{Manifest: release.Manifest, Released: timeMessage(release.At)}
	}
	if receipt != nil {
		out.Receipt = &yitongv1.Receipt{Outcome: string(receipt.Outcome), Received: timeMessage(receipt.At)}
	}
	return out
}

func memberMessage(m registry.Member, keys registry.Keys) *yitongv1.Member {
	return &yitongv1.Member{
		MspId: m.MSP, Name: m.Name, Kind: string(m.Kind), Status: string(m.Status), Gateway: m.Gateway,
		Since: timeMessage(m.Since), HpkeKeyId: keys.HPKE.ID, SigningKeyId: keys.Signing.ID,
	}
}

func ttlOf(seconds int64) time.Duration { return time.Duration(seconds) * time.Second }
