package api

import (
	"context"

	"yitong/chaincode/consent"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/ledger"
	"yitong/gateway/share"
)

type consents struct {
	yitongv1.UnimplementedConsentsServer
	gateway *share.Gateway
}

func (s consents) Grant(ctx context.Context, in *yitongv1.GrantRequest) (*yitongv1.ConsentResponse, error) {
	provision, err := provisionOf(in.GetProvision())
	if err != nil {
		return nil, err
	}
	return consentResponse(s.gateway.Grant(ctx, share.Directive{
		ID: in.GetId(), Patient: patientOf(in.GetPatient()), Requester: in.GetRequester(),
		Period: periodOf(in.GetPeriod()), Provision: provision, Form: in.GetForm(), Names: namesOf(in.GetIdentifiers()),
	}))
}

func namesOf(list []*yitongv1.Identifier) []share.Name {
	var out []share.Name
	for _, n := range list {
		out = append(out, share.Name{System: n.GetSystem(), Value: n.GetValue()})
	}
	return out
}

func (s consents) Amend(ctx context.Context, in *yitongv1.AmendRequest) (*yitongv1.ConsentResponse, error) {
	provision, err := provisionOf(in.GetProvision())
	if err != nil {
		return nil, err
	}
	return consentResponse(s.gateway.Amend(ctx, share.Directive{
		ID: in.GetId(), Patient: patientOf(in.GetPatient()), Requester: in.GetRequester(),
		Period: periodOf(in.GetPeriod()), Provision: provision, Form: in.GetForm(),
	}, int(in.GetVersion())))
}

func (s consents) Withdraw(ctx context.Context, in *yitongv1.WithdrawRequest) (*yitongv1.ConsentResponse, error) {
	return consentResponse(s.gateway.Withdraw(ctx, patientOf(in.GetPatient()), in.GetRequester(), in.GetId(), in.GetReason()))
}

func consentResponse(c consent.Consent, r share.Relationship, commit ledger.Commit, err error) (*yitongv1.ConsentResponse, error) {
	if err != nil {
		return nil, err
	}
	return &yitongv1.ConsentResponse{Consent: consentMessage(c, r.Requester.Name, r.Handle), Commit: commitMessage(commit)}, nil
}

func (s consents) List(ctx context.Context, in *yitongv1.ListConsentsRequest) (*yitongv1.ListConsentsResponse, error) {
	list, r, err := s.gateway.Consents(ctx, patientOf(in.GetPatient()), in.GetRequester())
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ListConsentsResponse{}
	for _, c := range list {
		out.Consents = append(out.Consents, consentMessage(c, r.Requester.Name, r.Handle))
	}
	return out, nil
}

func (s consents) History(ctx context.Context, in *yitongv1.ConsentHistoryRequest) (*yitongv1.ConsentHistoryResponse, error) {
	versions, r, err := s.gateway.ConsentHistory(ctx, patientOf(in.GetPatient()), in.GetRequester(), in.GetId())
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ConsentHistoryResponse{}
	for _, v := range versions {
		out.Versions = append(out.Versions, consentMessage(v.Consent, r.Requester.Name, r.Handle))
	}
	return out, nil
}
