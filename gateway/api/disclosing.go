package api

import (
	"context"

	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/history"
	"yitong/gateway/share"
)

func (s auditing) OrderDisclosure(ctx context.Context, in *yitongv1.OrderDisclosureRequest) (*yitongv1.OrderDisclosureResponse, error) {
	of := in.GetSubject()
	d, err := s.gateway.OrderDisclosure(ctx, share.DisclosureOrder{
		ID: in.GetId(), What: disclosure.What(of.GetWhat()), Custodian: of.GetCustodian(), Requester: of.GetRequester(),
		Subject: of.GetId(), Handle: of.GetHandle(), Version: int(of.GetVersion()), Reason: in.GetReason(),
	})
	if err != nil {
		return nil, err
	}
	return &yitongv1.OrderDisclosureResponse{
		Order: orderMessage(d.Disclosure, s.gateway.Time()), Commit: commitMessage(d.Commit),
		Content: d.Disclosed.Content, Salt: d.Disclosed.Salt,
	}, nil
}

func (s auditing) Orders(ctx context.Context, in *yitongv1.OrdersRequest) (*yitongv1.OrdersResponse, error) {
	holder, _, err := s.pair(ctx, in.GetHolder(), "")
	if err != nil {
		return nil, err
	}
	if self := s.gateway.Self; self.Kind != registry.Regulator { // as the chaincode has it
		if holder != "" && holder != self.MSP {
			return nil, refusal.New(registry.NotEntitled, "these orders are to another member", "the orders to this member; a regulator sees all")
		}
		holder = self.MSP
	}
	f := history.OrderFilter{Holder: holder, Open: in.GetOpen(), Time: periodOf(in.GetTime())}
	list, next, asOf, err := s.history.Orders(ctx, f, pageOf(in.GetPage(), false))
	if err != nil {
		return nil, err
	}
	out := &yitongv1.OrdersResponse{NextBookmark: next, AsOf: asOfMessage(asOf)}
	for _, o := range list {
		out.Orders = append(out.Orders, orderMessage(o.Disclosure, s.gateway.Time()))
	}
	return out, nil
}

func (s auditing) AnswerOrder(ctx context.Context, in *yitongv1.AnswerOrderRequest) (*yitongv1.AnswerOrderResponse, error) {
	d, commit, err := s.gateway.AnswerDisclosure(ctx, in.GetRegulator(), in.GetId(), disclosure.Word(in.GetAnswer()), in.GetReason())
	if err != nil {
		return nil, err
	}
	return &yitongv1.AnswerOrderResponse{Order: orderMessage(d, s.gateway.Time()), Commit: commitMessage(commit)}, nil
}

func (s exchange) Disclose(ctx context.Context, in *yitongv1.DiscloseRequest) (*yitongv1.DiscloseResponse, error) {
	d, err := s.gateway.Disclose(ctx, requester(ctx), in.GetOrder(), in.GetHeight())
	if err != nil {
		return nil, err
	}
	return &yitongv1.DiscloseResponse{Content: d.Content, Salt: d.Salt}, nil
}

func orderMessage(d disclosure.Disclosure, now record.Instant) *yitongv1.Order {
	o, s := d.Order, d.Order.Subject
	out := &yitongv1.Order{
		Id: o.ID, Reason: o.Reason, Regulator: o.Regulator, Holder: o.Holder, Digest: o.Digest,
		Subject: &yitongv1.Subject{
			What: string(s.What), Id: s.ID, Custodian: s.Custodian, Requester: s.Requester, Handle: s.Handle, Version: int32(s.Version),
		},
		Ordered: timeMessage(o.At), Due: timeMessage(o.Due), Overdue: d.Overdue(now),
	}
	if a := d.Answer; a != nil {
		out.Answer, out.AnswerReason, out.Answered = string(a.Word), a.Reason, timeMessage(a.At)
	}
	if c := d.Conclusion; c != nil {
		out.Outcome, out.Concluded = string(c.Outcome), timeMessage(c.At)
	}
	return out
}
