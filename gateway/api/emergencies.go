package api

import (
	"context"

	"google.golang.org/grpc"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit"
	"yitong/gateway/audit/emergency"
	"yitong/gateway/audit/history"
	"yitong/gateway/share"
)

type emergencies struct {
	yitongv1.UnimplementedEmergenciesServer
	gateway   *share.Gateway
	chain     audit.Blocks
	chaincode string
	audit     auditing
}

func (s emergencies) Open(ctx context.Context, in *yitongv1.OpenEmergencyRequest) (*yitongv1.AccessResponse, error) {
	e := share.Emergency{
		Claim: share.Claim{
			ID: in.GetId(), Custodian: in.GetCustodian(), Patient: patientOf(in.GetPatient()), Purpose: consent.ETREAT, Action: consent.Access,
			Classes: record.AllClasses, Period: periodOf(in.GetDataPeriod()), TTL: ttlOf(in.GetTtlSeconds()), User: user(ctx),
		},
		Reason: access.Cause(in.GetReason()), Note: in.GetNote(),
	}
	var err error
	if code := in.GetPurpose(); code != "" {
		if e.Purpose, err = consent.ParsePurpose(code); err != nil {
			return nil, malformed("purpose", err)
		}
	}
	if len(in.GetClasses()) > 0 {
		if e.Classes, err = classesOf(in.GetClasses()); err != nil {
			return nil, err
		}
	}
	a, commit, err := s.gateway.BreakGlass(ctx, e)
	if err != nil {
		return nil, err
	}
	return &yitongv1.AccessResponse{Access: accessMessage(a, nil, nil), Commit: commitMessage(commit)}, nil
}

func (s emergencies) List(ctx context.Context, in *yitongv1.ListEmergenciesRequest) (*yitongv1.ListEmergenciesResponse, error) {
	list, err := s.gateway.Emergencies(ctx, in.GetRequester())
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ListEmergenciesResponse{}
	for _, e := range list {
		out.Emergencies = append(out.Emergencies, emergencyMessage(e, s.gateway.Time()))
	}
	return out, nil
}

func (s emergencies) Review(ctx context.Context, in *yitongv1.ReviewEmergencyRequest) (*yitongv1.ReviewEmergencyResponse, error) {
	r, commit, err := s.gateway.ReviewEmergency(ctx, access.Judgement{
		Custodian: in.GetCustodian(), Requester: in.GetRequester(), ID: in.GetId(), Outcome: access.Verdict(in.GetOutcome()), Reason: in.GetReason(),
	})
	if err != nil {
		return nil, err
	}
	return &yitongv1.ReviewEmergencyResponse{Review: reviewMessage(r), Commit: commitMessage(commit)}, nil
}

func (s emergencies) Resolve(ctx context.Context, in *yitongv1.ResolveEmergencyRequest) (*yitongv1.ReviewEmergencyResponse, error) {
	r, commit, err := s.gateway.ResolveEmergency(ctx, access.Settlement{
		Custodian: in.GetCustodian(), Requester: in.GetRequester(), ID: in.GetId(), Reason: in.GetReason(),
	})
	if err != nil {
		return nil, err
	}
	return &yitongv1.ReviewEmergencyResponse{Review: reviewMessage(r), Commit: commitMessage(commit)}, nil
}

func (s emergencies) Watch(in *yitongv1.WatchEmergenciesRequest, stream grpc.ServerStreamingServer[yitongv1.EmergencyNotice]) error {
	ctx := stream.Context()
	from := in.GetFromBlock()
	if from == 0 {
		// The height first: what comes while the list is read is told twice rather than never.
		height, err := s.chain.Height(ctx)
		if err != nil {
			return err
		}
		from = height
		list, err := s.gateway.Emergencies(ctx, "")
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := stream.Send(&yitongv1.EmergencyNotice{What: string(emergency.Standing), Emergency: emergencyMessage(e, s.gateway.Time())}); err != nil {
				return err
			}
		}
	}
	if err := stream.SendHeader(nil); err != nil { // the caller knows that it watches
		return err
	}
	for n, err := range emergency.Notices(ctx, s.chain, s.chaincode, from) {
		if err != nil {
			return err
		}
		if !n.Concerns(s.gateway.Self) {
			continue
		}
		if err := stream.Send(s.noticeMessage(n)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func emergencyMessage(e share.OpenEmergency, now record.Instant) *yitongv1.Emergency {
	return &yitongv1.Emergency{
		Id: e.ID, Custodian: e.Custodian, Requester: e.Requester, Requested: timeMessage(e.At), Due: timeMessage(e.Due), Rejected: timeMessage(e.Rejected),
		Overdue: e.Rejected.IsZero() && now >= e.Due, Blocks: e.Blocks(now),
	}
}

func reviewMessage(r access.Review) *yitongv1.EmergencyReview {
	out := &yitongv1.EmergencyReview{
		Id: r.ID, Custodian: r.Custodian, Requester: r.Requester, Outcome: string(r.Outcome), Reason: r.Reason,
		Reviewer: r.Reviewer, Reviewed: timeMessage(r.At), Due: timeMessage(r.Due),
	}
	if r.Resolution != nil {
		out.Resolution, out.Resolved = r.Resolution.Reason, timeMessage(r.Resolution.At)
	}
	return out
}

func (s emergencies) noticeMessage(n emergency.Notice) *yitongv1.EmergencyNotice {
	out := &yitongv1.EmergencyNotice{
		What: string(n.What), Commit: &yitongv1.Commit{TransactionId: n.Transaction, Block: n.Block},
	}
	if a := n.Access; a != nil {
		out.Emergency = emergencyMessage(share.OpenEmergency{
			OpenEmergency: access.OpenEmergency{Custodian: a.Custodian, ID: a.ID, At: a.At, Due: a.At + access.ReviewTerm}, Requester: a.Requester,
		}, s.gateway.Time())
		out.Reason, out.Role, out.User = string(a.Emergency.Reason), string(a.Role), a.User
		out.Purpose, out.Classes, out.Denial, out.Expires = a.Purpose.String(), a.Classes.Codes(), a.Decision.Rule.Consent, timeMessage(a.Expires)
		return out
	}
	r := n.Review
	out.Emergency = &yitongv1.Emergency{Id: r.ID, Custodian: r.Custodian, Requester: r.Requester, Requested: timeMessage(r.Due - access.ReviewTerm), Due: timeMessage(r.Due)}
	out.Reason = r.Reason
	switch {
	case r.Resolution != nil:
		out.Reason = r.Resolution.Reason
	case r.Outcome == access.Rejected:
		out.Emergency.Rejected, out.Emergency.Blocks = timeMessage(r.At), true
	}
	return out
}

// reviewState says in a word how the review of an access stands; "" of one that broke no
// glass.
func reviewState(a access.Access, r *access.Review) string {
	switch {
	case !a.BreakGlass():
		return ""
	case r == nil:
		return "open"
	case r.Resolution != nil:
		return string(emergency.Resolved)
	}
	return string(r.Outcome)
}

func (s emergencies) History(ctx context.Context, in *yitongv1.EmergencyHistoryRequest) (*yitongv1.EmergencyHistoryResponse, error) {
	custodian, requester, err := s.audit.pair(ctx, in.GetCustodian(), in.GetRequester())
	if err != nil {
		return nil, err
	}
	f := history.EmergencyFilter{Custodian: custodian, Requester: requester, State: history.ReviewState(in.GetState()), Time: periodOf(in.GetTime())}
	now := s.gateway.Time()
	list, next, asOf, err := s.audit.history.Emergencies(ctx, f, now, pageOf(in.GetPage(), in.GetNewestFirst()))
	if err != nil {
		return nil, err
	}
	out := &yitongv1.EmergencyHistoryResponse{NextBookmark: next, AsOf: asOfMessage(asOf)}
	for _, e := range list {
		r := &yitongv1.EmergencyRecord{
			Access: accessMessage(e.Access, nil, nil), Commit: &yitongv1.Commit{TransactionId: e.Transaction, Block: e.Block},
			Due: timeMessage(e.At + access.ReviewTerm), Overdue: e.Overdue(now), CustodianName: e.CustodianName, RequesterName: e.RequesterName,
		}
		r.Access.Review = reviewState(e.Access, e.Review)
		if e.Review != nil {
			r.Review = reviewMessage(*e.Review)
		}
		out.Emergencies = append(out.Emergencies, r)
	}
	return out, nil
}

func (s emergencies) Rates(ctx context.Context, in *yitongv1.EmergencyRatesRequest) (*yitongv1.EmergencyRatesResponse, error) {
	member, _, err := s.audit.pair(ctx, in.GetMember(), "")
	if err != nil {
		return nil, err
	}
	var members []string
	if member != "" {
		members = []string{member}
	}
	rates, asOf, err := s.audit.history.EmergencyRates(ctx, periodOf(in.GetTime()), s.gateway.Time(), members...)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.EmergencyRatesResponse{AsOf: asOfMessage(asOf)}
	for _, r := range rates {
		one := &yitongv1.EmergencyRate{Member: r.Member, Emergencies: r.Emergencies, Overdue: r.Overdue, Rejected: r.Rejected}
		for _, c := range r.Days {
			one.Days = append(one.Days, &yitongv1.Change{Member: c.Member, Day: timeMessage(c.Day), Requests: c.Requests, Usual: c.Usual, Score: c.Score})
		}
		out.Rates = append(out.Rates, one)
	}
	return out, nil
}
