package api

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/history"
	"yitong/gateway/share"
)

// directives finds consents in the projection, by no more than an id.
type directives struct {
	yitongv1.UnimplementedDirectivesServer
	auditing
}

// requests finds accesses, likewise.
type requests struct {
	yitongv1.UnimplementedRequestsServer
	auditing
}

func (s directives) Get(ctx context.Context, in *yitongv1.GetDirectiveRequest) (*yitongv1.GetDirectiveResponse, error) {
	if err := access.CheckID(in.GetId()); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	list, _, asOf, err := s.history.Consent(ctx, in.GetId(), history.Page{Size: history.MaxPage})
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(c history.Consent) bool { return !s.party(c.Custodian, c.Requester) })
	if len(list) == 0 {
		return nil, refusal.New(refusal.NotFound, "this member has no part in a consent of that id", "the id of a consent that it has a part in")
	}
	out := &yitongv1.GetDirectiveResponse{AsOf: asOfMessage(asOf)}
	out.Versions, err = s.messages(list)
	return out, err
}

func (s directives) Search(ctx context.Context, in *yitongv1.SearchDirectivesRequest) (*yitongv1.SearchDirectivesResponse, error) {
	w, err := s.wanted(ctx, in.GetPatient(), in.GetIds(), in.GetCustodian(), in.GetRequester())
	if err != nil {
		return nil, err
	}
	for _, status := range in.GetStatuses() {
		if status != "active" && status != "withdrawn" {
			return nil, refusal.New(refusal.Malformed, fmt.Sprintf("statuses: there is no status %.40q", status), "active, withdrawn")
		}
	}
	w.Statuses, w.Recorded, w.InForce = in.GetStatuses(), periodOf(in.GetRecorded()), periodOf(in.GetInForce())
	if n := in.GetIdentifier(); n != nil {
		id, err := s.gateway.Named(share.Name{System: n.GetSystem(), Value: n.GetValue()})
		if err != nil {
			return nil, err
		}
		if w.IDs == nil || slices.Contains(w.IDs, id) {
			w.IDs = []string{id}
		} else {
			w.IDs = []string{}
		}
	}
	list, next, asOf, err := s.history.Consents(ctx, w, pageOf(in.GetPage(), in.GetNewestFirst()))
	if err != nil {
		return nil, err
	}
	out := &yitongv1.SearchDirectivesResponse{NextBookmark: next, AsOf: asOfMessage(asOf)}
	out.Directives, err = s.messages(list)
	return out, err
}

func (s requests) Get(ctx context.Context, in *yitongv1.GetAskedRequest) (*yitongv1.Asked, error) {
	if err := access.CheckID(in.GetId()); err != nil {
		return nil, err
	}
	w, err := s.wanted(ctx, nil, []string{in.GetId()}, "", "")
	if err != nil {
		return nil, err
	}
	list, _, asOf, err := s.history.Accesses(ctx, w, history.Page{Size: 1})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, refusal.New(refusal.NotFound, "this member has no part in an access of that id", "the id of an access that it has a part in")
	}
	out, err := s.message(list[0])
	if err == nil {
		out.AsOf = asOfMessage(asOf)
	}
	return out, err
}

func (s requests) Search(ctx context.Context, in *yitongv1.SearchRequestsRequest) (*yitongv1.SearchRequestsResponse, error) {
	w, err := s.wanted(ctx, in.GetPatient(), in.GetIds(), in.GetCustodian(), in.GetRequester())
	if err != nil {
		return nil, err
	}
	for _, o := range in.GetOutcomes() {
		if o != "permit" && o != "deny" {
			return nil, refusal.New(refusal.Malformed, fmt.Sprintf("outcomes: there is no outcome %.40q", o), "permit, deny")
		}
	}
	if code := in.GetPurpose(); code != "" {
		if _, err := consent.ParsePurpose(code); err != nil {
			return nil, malformed("purpose", err)
		}
	}
	w.Outcomes, w.Purpose, w.Recorded = in.GetOutcomes(), in.GetPurpose(), periodOf(in.GetRequested())
	list, next, asOf, err := s.history.Accesses(ctx, w, pageOf(in.GetPage(), in.GetNewestFirst()))
	if err != nil {
		return nil, err
	}
	out := &yitongv1.SearchRequestsResponse{NextBookmark: next, AsOf: asOfMessage(asOf)}
	for _, a := range list {
		m, err := s.message(a)
		if err != nil {
			return nil, err
		}
		out.Requests = append(out.Requests, m)
	}
	return out, nil
}

// party reports whether what lies between two members is for this one to see.
func (s auditing) party(custodian, requester string) bool {
	self := s.gateway.Self
	return self.Kind == registry.Regulator || self.MSP == custodian || self.MSP == requester
}

// wanted is what both ask for. A patient whom this gateway doesn't know has nothing, and so has a
// member that the ledger doesn't tell of.
func (s auditing) wanted(ctx context.Context, patient *yitongv1.Patient, ids []string, custodian, requester string) (w history.Wanted, err error) {
	if err := s.ready(ctx); err != nil {
		return w, err
	}
	if s.gateway.Self.Kind != registry.Regulator {
		w.Party = s.gateway.Self.MSP
	}
	w.Custodian, w.Requester, err = s.named(ctx, custodian, requester)
	stranger := errors.Is(err, refusal.New(refusal.NotFound, "", ""))
	if err != nil && !stranger {
		return w, err
	}
	if len(ids) > history.MaxPage {
		return w, refusal.New(refusal.TooLarge, "too many ids", fmt.Sprintf("at most %d", history.MaxPage))
	}
	for _, id := range ids {
		if err := access.CheckID(id); err != nil {
			return w, malformed("ids", err)
		}
	}
	if len(ids) > 0 {
		w.IDs = ids
	}
	if stranger {
		w.IDs = []string{} // nothing
	}
	if patient != nil {
		w.About = []contract.Relationship{}
		known, err := s.gateway.Relationships(ctx, patientOf(patient))
		if err != nil {
			return w, err
		}
		w.About = append(w.About, known...)
	}
	return w, nil
}

func (s auditing) whose(handle string) (*yitongv1.Patient, error) {
	p, err := s.gateway.Whose(handle)
	if err != nil || p == (share.Patient{}) {
		return nil, err
	}
	return patientMessage(p), nil
}

func (s directives) messages(list []history.Consent) ([]*yitongv1.Directive, error) {
	var out []*yitongv1.Directive
	for i, v := range versionMessages(list) {
		c := list[i]
		d := &yitongv1.Directive{
			Consent: v.GetConsent(), Custodian: c.Custodian, Requester: c.Requester, CustodianName: c.CustodianName,
			Reason: v.GetReason(), Commit: v.GetCommit(),
		}
		var err error
		if d.Patient, err = s.whose(c.Handle); err != nil {
			return nil, err
		}
		names, err := s.gateway.NamesOf(c.Consent.ID)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			d.Identifiers = append(d.Identifiers, &yitongv1.Identifier{System: n.System, Value: n.Value})
		}
		out = append(out, d)
	}
	return out, nil
}

func (s requests) message(a history.Access) (*yitongv1.Asked, error) {
	out := &yitongv1.Asked{
		Access: &yitongv1.Access{Id: a.ID, Custodian: a.Custodian, Requester: a.Requester}, CustodianName: a.CustodianName, RequesterName: a.RequesterName,
	}
	if a.Asked == nil {
		return out, nil
	}
	out.Access = accessMessage(*a.Asked, a.Release, a.Receipt)
	var err error
	out.Patient, err = s.whose(a.Asked.Handle)
	return out, err
}
