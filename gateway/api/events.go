package api

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/events"
)

// feed answers for the member's events and their subscriptions.
type feed struct {
	yitongv1.UnimplementedEventsServer
	feed *events.Feed // nil has none
}

// of is the feed, or why there is none.
func (s feed) of() (*events.Feed, error) {
	if s.feed == nil {
		return nil, status.Error(codes.Unimplemented, "this gateway keeps no feed of events")
	}
	return s.feed, nil
}

// defaultEvents is how many events a page holds where nothing is said.
const defaultEvents = 100

func (s feed) List(ctx context.Context, in *yitongv1.ListEventsRequest) (*yitongv1.ListEventsResponse, error) {
	f, err := s.of()
	if err != nil {
		return nil, err
	}
	after, err := events.ParsePosition(in.GetAfter())
	if err != nil {
		return nil, err
	}
	limit := int(in.GetLimit())
	if limit == 0 {
		limit = defaultEvents
	}
	p, err := f.List(ctx, after, in.GetTypes(), limit)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ListEventsResponse{Next: p.Next.String(), More: p.More, Blocks: p.Blocks}
	for _, e := range p.Events {
		out.Events = append(out.Events, feedMessage(e))
	}
	return out, nil
}

// position reads one, "now" being the newest event's.
func position(ctx context.Context, f *events.Feed, text string) (events.Position, error) {
	if text == "now" {
		return f.Head(ctx)
	}
	return events.ParsePosition(text)
}

func (s feed) Watch(in *yitongv1.WatchEventsRequest, stream grpc.ServerStreamingServer[yitongv1.WatchEventsResponse]) error {
	f, err := s.of()
	if err != nil {
		return err
	}
	ctx := stream.Context()
	after, err := position(ctx, f, in.GetAfter())
	if err != nil {
		return err
	}
	// What can be wrong with the request is said before the header.
	if _, err := f.List(ctx, after, in.GetTypes(), 1); err != nil {
		return err
	}
	// The caller knows that it watches, and from where on.
	if err := stream.SendHeader(metadata.Pairs("position", after.String())); err != nil {
		return err
	}
	for e, err := range f.Watch(ctx, after, in.GetTypes()) {
		if errors.Is(err, events.ErrStopping) {
			return status.Error(codes.Unavailable, err.Error())
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&yitongv1.WatchEventsResponse{Event: feedMessage(e)}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s feed) Subscribe(ctx context.Context, in *yitongv1.SubscribeRequest) (*yitongv1.SubscribeResponse, error) {
	f, err := s.of()
	if err != nil {
		return nil, err
	}
	after := in.GetAfter()
	if after == "" {
		after = "now"
	}
	from, err := position(ctx, f, after)
	if err != nil {
		return nil, err
	}
	subscription, secret, err := f.Subscribe(ctx, events.Subscription{
		ID: in.GetId(), URL: in.GetUrl(), Types: in.GetTypes(), Format: in.GetFormat(), Description: in.GetDescription(),
		Delivered: from, Ends: timeOfMessage(in.GetEnd()),
	})
	if err != nil {
		return nil, err
	}
	return &yitongv1.SubscribeResponse{Subscription: subscriptionMessage(subscription), Secret: secret}, nil
}

func (s feed) Unsubscribe(ctx context.Context, in *yitongv1.UnsubscribeRequest) (*yitongv1.UnsubscribeResponse, error) {
	f, err := s.of()
	if err != nil {
		return nil, err
	}
	return &yitongv1.UnsubscribeResponse{}, f.Unsubscribe(ctx, in.GetId())
}

func (s feed) Subscriptions(ctx context.Context, in *yitongv1.SubscriptionsRequest) (*yitongv1.SubscriptionsResponse, error) {
	f, err := s.of()
	if err != nil {
		return nil, err
	}
	out := &yitongv1.SubscriptionsResponse{}
	if in.GetId() != "" {
		one, err := f.Subscription(ctx, in.GetId())
		if err != nil {
			return nil, err
		}
		out.Subscriptions = append(out.Subscriptions, subscriptionMessage(one))
		return out, nil
	}
	all, err := f.Subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		out.Subscriptions = append(out.Subscriptions, subscriptionMessage(one))
	}
	return out, nil
}

func (s feed) Deliveries(ctx context.Context, in *yitongv1.DeliveriesRequest) (*yitongv1.DeliveriesResponse, error) {
	f, err := s.of()
	if err != nil {
		return nil, err
	}
	size := int(in.GetPage().GetSize())
	if size == 0 {
		size = 50
	}
	list, next, err := f.Deliveries(ctx, in.GetId(), in.GetPage().GetBookmark(), size)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.DeliveriesResponse{NextBookmark: next}
	for _, d := range list {
		out.Deliveries = append(out.Deliveries, deliveryMessage(d))
	}
	return out, nil
}

func (s feed) Redeliver(ctx context.Context, in *yitongv1.RedeliverRequest) (*yitongv1.Subscription, error) {
	f, err := s.of()
	if err != nil {
		return nil, err
	}
	after, err := position(ctx, f, in.GetAfter())
	if err != nil {
		return nil, err
	}
	one, err := f.Redeliver(ctx, in.GetId(), after)
	if err != nil {
		return nil, err
	}
	return subscriptionMessage(one), nil
}

func (s feed) Enable(ctx context.Context, in *yitongv1.EnableSubscriptionRequest) (*yitongv1.Subscription, error) {
	f, err := s.of()
	if err != nil {
		return nil, err
	}
	one, err := f.Enable(ctx, in.GetId())
	if err != nil {
		return nil, err
	}
	return subscriptionMessage(one), nil
}

// defaultOverlap is how long a replaced secret goes on where nothing is said.
const defaultOverlap = 24 * time.Hour

func (s feed) RotateSecret(ctx context.Context, in *yitongv1.RotateSecretRequest) (*yitongv1.RotateSecretResponse, error) {
	f, err := s.of()
	if err != nil {
		return nil, err
	}
	seconds := in.GetOverlapSeconds()
	if seconds < 0 || seconds > 1<<30 {
		return nil, refusal.New(refusal.Malformed, "the old secret can't go on that long", "at most 30 days")
	}
	overlap := time.Duration(seconds) * time.Second
	if seconds == 0 {
		overlap = defaultOverlap
	}
	secret, until, err := f.RotateSecret(ctx, in.GetId(), overlap)
	if err != nil {
		return nil, err
	}
	return &yitongv1.RotateSecretResponse{Secret: secret, Until: timestamppb.New(until)}, nil
}

func (s feed) Ping(ctx context.Context, in *yitongv1.PingRequest) (*yitongv1.PingResponse, error) {
	f, err := s.of()
	if err != nil {
		return nil, err
	}
	d, err := f.Ping(ctx, in.GetId())
	if err != nil {
		return nil, err
	}
	return &yitongv1.PingResponse{Delivery: deliveryMessage(d)}, nil
}

func feedMessage(e events.Event) *yitongv1.FeedEvent {
	return &yitongv1.FeedEvent{
		Position: e.Position.String(), Id: e.ID, Type: string(e.Type), Role: string(e.Role), Time: messageTime(e.Time), TransactionId: e.Transaction,
		Member: e.Member, Custodian: e.Custodian, Requester: e.Requester, Handle: e.Handle, Object: e.Object, Version: int32(e.Version),
		Outcome: e.Outcome, Reason: e.Reason, Purpose: e.Purpose, Classes: e.Classes, Expires: messageTime(e.Expires),
	}
}

func subscriptionMessage(s events.Subscription) *yitongv1.Subscription {
	out := &yitongv1.Subscription{
		Id: s.ID, Url: s.URL, Types: s.Types, Format: s.Format, Description: s.Description, Status: "active", Problem: s.Problem,
		Delivered: s.Delivered.String(), Count: s.Count, Created: messageTime(s.Created), FailingSince: messageTime(s.Failing),
		NextTry: messageTime(s.NextTry), End: messageTime(s.Ends),
	}
	switch {
	case s.Disabled != "":
		out.Status, out.Problem, out.NextTry = "disabled", s.Disabled, nil
	case s.Problem != "":
		out.Status = "failing"
	}
	return out
}

func deliveryMessage(d events.Delivery) *yitongv1.Delivery {
	out := &yitongv1.Delivery{
		EventId: d.Event, Type: string(d.Type), Time: messageTime(d.Time), Attempt: int32(d.Attempt),
		HttpStatus: int32(d.Status), Problem: d.Problem, Took: d.Took.Milliseconds(),
	}
	if d.Position != (events.Position{}) {
		out.Position = d.Position.String()
	}
	return out
}

// messageTime is nil for no time.
func messageTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeOfMessage(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
