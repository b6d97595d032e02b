package api

import (
	"context"
	"strconv"
	"time"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
)

// erasures answers the member's own software.
type erasures struct {
	yitongv1.UnimplementedErasuresServer
	gateway *share.Gateway
}

func (s erasures) Erase(ctx context.Context, in *yitongv1.EraseRequest) (*yitongv1.EraseResponse, error) {
	var parts []int
	for _, p := range in.GetParts() {
		parts = append(parts, int(p))
	}
	e, err := s.gateway.Erase(ctx, in.GetId(), record.Reason(in.GetReason()), parts)
	if err != nil {
		return nil, err
	}
	return &yitongv1.EraseResponse{
		Erasure: erasureMessage(e.Record.ID, e.Record.Erasure), Commit: commitMessage(e.Commit), Requesters: informedMessages(e.Requesters),
	}, nil
}

func (s erasures) Hold(ctx context.Context, in *yitongv1.HoldRequest) (*yitongv1.HoldResponse, error) {
	holds, commit, err := s.gateway.Hold(ctx, in.GetCustodian(), in.GetId(), in.GetReason(), instantOf(in.GetUntil()))
	if err != nil {
		return nil, err
	}
	return &yitongv1.HoldResponse{Holds: holdMessages(holds), Commit: commitMessage(commit)}, nil
}

func (s erasures) Unhold(ctx context.Context, in *yitongv1.UnholdRequest) (*yitongv1.HoldResponse, error) {
	holds, commit, err := s.gateway.Unhold(ctx, in.GetCustodian(), in.GetId())
	if err != nil {
		return nil, err
	}
	return &yitongv1.HoldResponse{Holds: holdMessages(holds), Commit: commitMessage(commit)}, nil
}

// maxWithin bounds how far ahead is looked, in seconds: a century.
const maxWithin = 100 * 366 * 24 * 60 * 60

func (s erasures) Due(ctx context.Context, in *yitongv1.DueRequest) (*yitongv1.DueResponse, error) {
	within := in.GetWithinSeconds()
	if within < 0 || within > maxWithin {
		return nil, refusal.New(refusal.Malformed, "within_seconds can't be that", "0 for the warning's length, or up to a century")
	}
	all, err := s.gateway.FallDue(ctx, time.Duration(within)*time.Second)
	if err != nil {
		return nil, err
	}
	some, next, err := cut(all, in.GetPage())
	if err != nil {
		return nil, err
	}
	out := &yitongv1.DueResponse{NextBookmark: next}
	for _, d := range some {
		out.Due = append(out.Due, &yitongv1.DueParts{
			RecordId: d.Record, Patient: patientMessage(d.Patient), DataClass: d.Class.String(), Parts: indices(d.Parts),
			Due: timeMessage(d.Due), Warned: timeMessage(d.Warned), Erased: timeMessage(d.Erased), Holds: holdMessages(d.Holds),
		})
	}
	return out, nil
}

// cut cuts a page out of a list that is made anew for every page; its bookmark is a place.
func cut[T any](all []T, p *yitongv1.Page) (some []T, next string, err error) {
	size, from := int(p.GetSize()), 0
	if size == 0 {
		size = 50
	}
	if size < 0 || size > 100 {
		return nil, "", refusal.New(refusal.Malformed, "a page can't have that size", "1 to 100 entries, or 0 for 50")
	}
	if b := p.GetBookmark(); b != "" {
		if from, err = strconv.Atoi(b); err != nil || from < 0 {
			return nil, "", refusal.New(refusal.Malformed, "that is not a bookmark", "the bookmark of the page before")
		}
	}
	from = min(from, len(all))
	to := min(from+size, len(all))
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next, nil
}

func (s erasures) Pending(context.Context, *yitongv1.PendingErasuresRequest) (*yitongv1.PendingErasuresResponse, error) {
	all, err := s.gateway.PendingErasures()
	if err != nil {
		return nil, err
	}
	out := &yitongv1.PendingErasuresResponse{}
	for _, e := range all {
		out.Erasures = append(out.Erasures, &yitongv1.PendingErasure{
			RecordId: e.Record, Step: e.Step, Escrow: e.Escrow, Requesters: informedMessages(e.Requesters),
		})
	}
	return out, nil
}

func (s erasures) Notices(context.Context, *yitongv1.NoticesRequest) (*yitongv1.NoticesResponse, error) {
	all, err := s.gateway.Notices()
	if err != nil {
		return nil, err
	}
	out := &yitongv1.NoticesResponse{}
	for _, n := range all {
		out.Notices = append(out.Notices, &yitongv1.ErasureNotice{
			Custodian: n.Custodian, RecordId: n.Record, Parts: indices(n.Parts), Opened: timeMessage(n.Opened),
			Erasure: int32(n.Erasure), Reason: string(n.Reason), Erased: timeMessage(n.Erased), Sent: n.Sent,
		})
	}
	return out, nil
}

func (s erasures) Acknowledge(ctx context.Context, in *yitongv1.AcknowledgeRequest) (*yitongv1.AcknowledgeResponse, error) {
	ack, commit, err := s.gateway.Acknowledge(ctx, in.GetCustodian(), in.GetId(), record.Fate(in.GetFate()), record.Ground(in.GetGround()))
	if err != nil {
		return nil, err
	}
	return &yitongv1.AcknowledgeResponse{
		Fate: string(ack.Fate), Ground: string(ack.Ground), Erasure: int32(ack.Erasure), Acknowledged: timeMessage(ack.At), Commit: commitMessage(commit),
	}, nil
}

// tombstones answers the gateways of the other members.
type tombstones struct {
	yitongv1.UnimplementedTombstonesServer
	gateway *share.Gateway
}

func (s tombstones) Erased(ctx context.Context, in *yitongv1.ErasedRequest) (*yitongv1.ErasedResponse, error) {
	n := share.Notice{Record: in.GetRecordId(), Erasure: int(in.GetErasure()), Height: in.GetHeight()}
	if err := s.gateway.Erased(ctx, requester(ctx), n); err != nil {
		return nil, err
	}
	return &yitongv1.ErasedResponse{}, nil
}

func erasureMessage(recordID string, e *record.Erasure) *yitongv1.Erasure {
	if e == nil {
		return nil
	}
	return &yitongv1.Erasure{
		RecordId: recordID, Number: int32(e.Number), Whole: len(e.Parts) == 0, Parts: indices(e.Parts), Reason: string(e.Reason), Erased: timeMessage(e.At),
	}
}

func holdMessages(holds record.Holds) []*yitongv1.Hold {
	var out []*yitongv1.Hold
	for _, h := range holds {
		out = append(out, &yitongv1.Hold{
			Custodian: h.Custodian, RecordId: h.Record, Regulator: h.Regulator, Reason: h.Reason, Until: timeMessage(h.Until), Held: timeMessage(h.At),
		})
	}
	return out
}

func informedMessages(all []share.Informed) []*yitongv1.InformedRequester {
	var out []*yitongv1.InformedRequester
	for _, i := range all {
		out = append(out, &yitongv1.InformedRequester{Requester: i.Requester, Told: i.Told, Next: timeMessage(i.Next), Problem: i.Problem})
	}
	return out
}

func indices(parts []int) []int32 {
	var out []int32
	for _, p := range parts {
		out = append(out, int32(p))
	}
	return out
}
