package api

import (
	"context"
	"errors"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/outbox"
)

// writes tells operators how the outbox stands.
type writes struct {
	yitongv1.UnimplementedOutboxServer
	outbox *outbox.Outbox
}

func (s writes) there() error {
	if s.outbox == nil {
		return status.Error(codes.Unimplemented, "this gateway has no outbox")
	}
	return nil
}

func (s writes) List(ctx context.Context, in *yitongv1.ListOutboxRequest) (*yitongv1.ListOutboxResponse, error) {
	if err := s.there(); err != nil {
		return nil, err
	}
	var after int64
	if b := in.GetPage().GetBookmark(); b != "" {
		var err error
		if after, err = strconv.ParseInt(b, 10, 64); err != nil || after < 0 {
			return nil, refusal.New(refusal.Malformed, "the bookmark can't be read", "the one of the page before")
		}
	}
	states := []outbox.State{outbox.Open, outbox.GivenUp}
	if in.GetAll() {
		states = nil
	}
	size := int(in.GetPage().GetSize())
	if size <= 0 || size > outbox.MaxPage {
		size = outbox.MaxPage
	}
	all, err := s.outbox.List(ctx, after, size, states...)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ListOutboxResponse{}
	for _, e := range all {
		out.Entries = append(out.Entries, outboxMessage(e))
	}
	if len(all) == size {
		out.NextBookmark = strconv.FormatInt(all[size-1].Number, 10)
	}
	return out, nil
}

func (s writes) Show(ctx context.Context, in *yitongv1.ShowOutboxRequest) (*yitongv1.OutboxEntry, error) {
	if err := s.there(); err != nil {
		return nil, err
	}
	return s.shown(ctx, in.GetNumber())
}

func (s writes) shown(ctx context.Context, number int64) (*yitongv1.OutboxEntry, error) {
	e, err := s.outbox.Show(ctx, number)
	if err != nil {
		return nil, outboxError(err)
	}
	return outboxMessage(e), nil
}

func (s writes) Retry(ctx context.Context, in *yitongv1.RetryOutboxRequest) (*yitongv1.OutboxEntry, error) {
	if err := s.there(); err != nil {
		return nil, err
	}
	if err := s.outbox.Retry(ctx, in.GetNumber()); err != nil {
		return nil, outboxError(err)
	}
	return s.shown(ctx, in.GetNumber())
}

func (s writes) Drop(ctx context.Context, in *yitongv1.DropOutboxRequest) (*yitongv1.DropOutboxResponse, error) {
	if err := s.there(); err != nil {
		return nil, err
	}
	if err := s.outbox.Drop(ctx, in.GetNumber()); err != nil {
		return nil, outboxError(err)
	}
	return &yitongv1.DropOutboxResponse{}, nil
}

func outboxError(err error) error {
	switch {
	case errors.Is(err, outbox.ErrMissing):
		return refusal.New(refusal.NotFound, "the outbox has no such entry that isn't done", "a number from the list")
	case errors.Is(err, outbox.ErrBusy):
		return refusal.New(refusal.WrongState, "the entry is being carried out", "the same again once it rests")
	}
	return err
}

func outboxMessage(e outbox.Shown) *yitongv1.OutboxEntry {
	m := &yitongv1.OutboxEntry{
		Number: e.Number, Method: short(e.Method), User: e.Caller.User, Role: e.Caller.Role, State: string(e.State), Step: e.Step,
		Attempts: int32(e.Attempts), Outcome: e.Outcome, Created: timestamppb.New(e.Created), Transactions: e.Transactions,
	}
	switch {
	case e.UnderWay:
		m.State = "under-way"
	case e.Waits:
		m.State = "waiting"
	}
	if !e.Ended.IsZero() {
		m.Ended = timestamppb.New(e.Ended)
	}
	if !e.Next.IsZero() {
		m.Next = timestamppb.New(e.Next)
	}
	return m
}
