package api

import (
	"context"

	"yitong/chaincode/consent"
	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
)

type policies struct {
	yitongv1.UnimplementedPoliciesServer
	gateway *share.Gateway
}

func (s policies) Show(ctx context.Context, in *yitongv1.ShowPolicyRequest) (*yitongv1.ShowPolicyResponse, error) {
	m, err := s.gateway.Policy(ctx, in.GetMember())
	if err != nil {
		return nil, err
	}
	return &yitongv1.ShowPolicyResponse{Member: m.Name, Policy: policyMessage(m.Policy)}, nil
}

func (s policies) Set(ctx context.Context, in *yitongv1.SetPolicyRequest) (*yitongv1.SetPolicyResponse, error) {
	var assurance consent.Assurance
	if in.Assurance != nil {
		var err error
		if assurance, err = consent.ParseAssurance(in.GetAssurance()); err != nil {
			return nil, malformed("assurance", err)
		}
	}
	policy, commit, err := s.gateway.SetPolicy(ctx, func(p *registry.Policy) {
		if in.Assurance != nil {
			p.Assurance = assurance
		}
		if in.EmergencySeconds != nil {
			p.EmergencySeconds = in.GetEmergencySeconds()
		}
		if in.RelyingParties != nil {
			p.RelyingParties = nil
			for _, r := range in.GetRelyingParties().GetSites() {
				p.RelyingParties = append(p.RelyingParties, registry.RelyingParty{ID: r.GetId(), Origins: r.GetOrigins()})
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return &yitongv1.SetPolicyResponse{Policy: policyMessage(policy), Commit: commitMessage(commit)}, nil
}

func policyMessage(p registry.Policy) *yitongv1.Policy {
	out := &yitongv1.Policy{Assurance: p.Assurance.String(), EmergencySeconds: p.EmergencySeconds}
	for _, r := range p.RelyingParties {
		out.RelyingParties = append(out.RelyingParties, &yitongv1.RelyingParty{Id: r.ID, Origins: r.Origins})
	}
	return out
}
