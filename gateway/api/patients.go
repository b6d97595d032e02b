package api

import (
	"context"

	"yitong/chaincode/directive"
	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
)

type patients struct {
	yitongv1.UnimplementedPatientsServer
	gateway *share.Gateway
}

func (s patients) Prepare(ctx context.Context, in *yitongv1.PrepareRequest) (*yitongv1.PrepareResponse, error) {
	d := share.Draft{
		Act: directive.Act(in.GetAct()), Patient: patientOf(in.GetPatient()), Custodian: in.GetCustodian(), Requester: in.GetRequester(),
		Consent: in.GetConsentId(), Signed: instantOf(in.GetSigned()), Period: periodOf(in.GetPeriod()), Reason: in.GetReason(),
		Delegates: delegatesOf(in.GetDelegates()),
	}
	if in.GetProvision() != nil {
		provision, err := provisionOf(in.GetProvision())
		if err != nil {
			return nil, err
		}
		d.Provision = &provision
	}
	if in.GetKey() != nil {
		key := keyOf(in.GetKey())
		d.Key = &key
	}
	p, err := s.gateway.Prepare(ctx, d)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.PrepareResponse{
		Document: p.Document, Custodian: p.Custodian.MSP, Requester: p.Requester.MSP, Handle: p.Handle, Channel: p.Channel, Signer: signerMessage(p.Signer),
	}
	if p.Document != nil {
		digest := directive.Digest(p.Document)
		out.Challenge = digest[:]
	}
	for _, c := range p.Consents {
		out.Consents = append(out.Consents, consentMessage(c, p.Requester.Name, p.Handle))
	}
	for _, r := range p.Custodian.Policy.RelyingParties {
		out.RelyingParties = append(out.RelyingParties, r.ID)
	}
	return out, nil
}

func (s patients) Direct(ctx context.Context, in *yitongv1.DirectRequest) (*yitongv1.DirectResponse, error) {
	signed := directive.Signed{Document: string(in.GetDocument()), Key: keyOf(in.GetKey())}
	switch proof := in.GetProof().(type) {
	case *yitongv1.DirectRequest_Signature:
		signed.Signature = proof.Signature
	case *yitongv1.DirectRequest_Passkey:
		signed.Passkey = &directive.Assertion{
			AuthenticatorData: proof.Passkey.GetAuthenticatorData(), ClientData: proof.Passkey.GetClientData(), Signature: proof.Passkey.GetSignature(),
		}
	default:
		return nil, refusal.New(directive.BadSignature, "the document isn't signed", "a wallet's signature or a passkey's assertion")
	}
	directed, d, commit, err := s.gateway.Direct(ctx, signed)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.DirectResponse{Signer: signerMessage(directed.Signer), Commit: commitMessage(commit)}
	if directed.Consent != nil {
		out.Consent = consentMessage(*directed.Consent, d.Requester, directed.Handle)
	}
	return out, nil
}

func (s patients) Recover(ctx context.Context, in *yitongv1.RecoverRequest) (*yitongv1.RecoverResponse, error) {
	signer, commit, err := s.gateway.Recover(ctx, patientOf(in.GetPatient()), in.GetRequester(), keyOf(in.GetKey()), in.GetForm())
	if err != nil {
		return nil, err
	}
	return &yitongv1.RecoverResponse{Signer: signerMessage(&signer), Commit: commitMessage(commit)}, nil
}

func keyOf(k *yitongv1.PatientKey) directive.Key {
	return directive.Key{Algorithm: k.GetAlgorithm(), Public: k.GetPublic()}
}

func keyMessage(k directive.Key) *yitongv1.PatientKey {
	return &yitongv1.PatientKey{Algorithm: k.Algorithm, Public: k.Public}
}

func delegatesOf(list []*yitongv1.Delegate) []directive.Delegate {
	var out []directive.Delegate
	for _, d := range list {
		out = append(out, directive.Delegate{Key: keyOf(d.GetKey()), Grant: d.GetGrant(), Withdraw: d.GetWithdraw(), Period: periodOf(d.GetPeriod())})
	}
	return out
}

func signerMessage(s *directive.Signer) *yitongv1.PatientSigner {
	if s == nil {
		return nil
	}
	out := &yitongv1.PatientSigner{
		Key: keyMessage(s.Key), KeyId: s.Key.ID(), Version: int32(s.Version), Since: timeMessage(s.Since), Recovered: s.Recovered,
	}
	for _, named := range s.Delegations {
		one := &yitongv1.Delegation{ConsentId: named.Consent}
		for _, d := range named.Delegates {
			one.Delegates = append(one.Delegates, &yitongv1.Delegate{Key: keyMessage(d.Key), Grant: d.Grant, Withdraw: d.Withdraw, Period: periodMessage(d.Period)})
		}
		out.Delegations = append(out.Delegations, one)
	}
	return out
}
