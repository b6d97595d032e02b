package api

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/outbox"
	"yitong/gateway/policy"
	"yitong/gateway/share"
)

// A door decides who may call what, before any handler runs: other members' gateways
// the services that are for them, the member's own software and people the others, and
// of these what the member's policy allows.
type door struct {
	self        string // MSP id of this member
	kind        registry.Kind
	trust       Trust
	tokens      Tokens // nil takes none
	policy      Decider
	called      func(method, code string, took time.Duration) // nil counts nothing
	asked       func(route, method string, status int, took time.Duration)
	revocations Revocations
	limits      *Limiter
	tracer      trace.Tracer
	outbox      *outbox.Outbox // nil: whoever calls sees to it that a write happens once
	stopping    <-chan struct{}
	log         *slog.Logger
}

// betweenGateways are the services that members' gateways offer each other. All others
// are for a member's own.
var betweenGateways = []string{
	yitongv1.Exchange_ServiceDesc.ServiceName,
	yitongv1.Tombstones_ServiceDesc.ServiceName,
	yitongv1.Escrow_ServiceDesc.ServiceName,
	yitongv1.Evaluator_ServiceDesc.ServiceName,
}

// short names a method as people do: "Records.Submit" for "/yitong.v1.Records/Submit".
func short(method string) string {
	return strings.Replace(method[strings.LastIndex(method, ".")+1:], "/", ".", 1)
}

// admit lets a caller in. asked is the message of a call that has one; of a stream's
// call it is nil.
func (d door) admit(ctx context.Context, method string, asked any) (context.Context, error) {
	c, err := d.callerOf(ctx)
	if err != nil {
		return nil, err
	}
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	exchange := slices.Contains(betweenGateways, service)
	switch {
	case exchange && !c.is("gateway"):
		return nil, status.Error(codes.PermissionDenied, "only a member's gateway (certificate with OU=gateway) may call this service")
	case exchange && c.bearer != nil:
		return nil, status.Error(codes.PermissionDenied, "gateways call this service for their member, without a token")
	case exchange && c.msp == d.self:
		return nil, status.Error(codes.PermissionDenied, "this is the gateway of your own member: open your own records through Records")
	case !exchange && c.msp != d.self:
		return nil, status.Error(codes.PermissionDenied, "this service is for the member's own software; other members' gateways call Exchange")
	case !exchange && c.cert != nil && !c.is("client") && !c.is("admin"):
		return nil, status.Error(codes.PermissionDenied, "show a certificate with OU=client or OU=admin")
	case !exchange:
		if err := d.allowed(c, short(method), asked); err != nil {
			return nil, err
		}
	}
	return share.From(share.By(context.WithValue(ctx, callerKey{}, c), c.user()), c.subject()), nil
}

// allowed asks the member's policy about everybody who stands behind a call.
func (d door) allowed(c caller, method string, asked any) error {
	for _, q := range d.questions(c, method) {
		if m, ok := asked.(interface{ GetPurpose() string }); ok {
			q.Purpose = m.GetPurpose()
		}
		if m, ok := asked.(interface{ GetClasses() []string }); ok {
			q.Classes = m.GetClasses()
		}
		a := d.policy.Decide(q)
		for _, broken := range a.Broken {
			d.log.Error("a rule of the policy can't be evaluated and doesn't count", "rule", broken.String(), "method", method)
		}
		if !a.Allowed {
			return status.Errorf(codes.PermissionDenied, "%s may not call %s here (%s): ask whoever keeps this gateway's policy", q.Role, method, a.Why())
		}
	}
	return nil
}

// questions are who the policy is asked about: whom the certificate is of, and whom the
// token is of. A token beside a certificate so only takes away.
func (d door) questions(c caller, method string) (all []policy.Question) {
	if c.cert != nil {
		q := policy.Question{Member: d.self, Kind: d.kind, User: c.holder.Name, Role: string(c.holder.Role), Method: method}
		if q.Role == "" {
			q.Role = policy.Software
		}
		all = append(all, q)
	}
	if b := c.bearer; b != nil {
		q := policy.Question{Member: d.self, Kind: d.kind, User: b.Name, Role: string(b.Role), Method: method}
		if b.Service != "" {
			q.User, q.Role = b.Service, policy.Service
			for _, s := range b.Scopes {
				q.Scopes = append(q.Scopes, s.String())
			}
		}
		all = append(all, q)
	}
	return all
}

func (d door) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
	begin := time.Now()
	ctx, end := d.begin(ctx, info.FullMethod)
	inside := ctx
	defer func() {
		d.record(inside, info.FullMethod, begin, err)
		end(reply, err)
	}()
	defer d.contain(ctx, info.FullMethod, &err)
	let, err := d.admit(ctx, info.FullMethod, req)
	if err != nil {
		return nil, err
	}
	inside = let
	leave, err := d.enter(inside, false)
	if err != nil {
		return nil, err
	}
	defer leave()
	reply, err = d.once(inside, info.FullMethod, req, handler)
	return reply, statusOf(err)
}

func (d door) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	begin := time.Now()
	ctx, end := d.begin(s.Context(), info.FullMethod)
	inside := ctx
	defer func() {
		d.record(inside, info.FullMethod, begin, err)
		end(nil, err)
	}()
	defer d.contain(ctx, info.FullMethod, &err)
	let, err := d.admit(ctx, info.FullMethod, nil)
	if err != nil {
		return err
	}
	inside = let
	leave, err := d.enter(inside, true)
	if err != nil {
		return err
	}
	defer leave()
	if endless[short(info.FullMethod)] {
		var done func()
		inside, done = d.untilStopping(inside)
		defer done()
		inside, done = whileTokenLasts(inside)
		defer done()
	}
	inside, done := d.whileAllowed(inside, short(info.FullMethod))
	defer done()
	if inside, err = d.onceStream(inside, info.FullMethod); err != nil {
		return statusOf(err)
	}
	err = handler(srv, admitted{s, inside})
	for _, cause := range []error{errStopping, errTokenOver} {
		if errors.Is(context.Cause(inside), cause) {
			return cause
		}
	}
	if over := new(notAnyMore); errors.As(context.Cause(inside), over) {
		return over.error
	}
	return statusOf(err)
}

// endless are the methods whose streams have no end of their own.
var endless = map[string]bool{"Events.Watch": true, "Emergencies.Watch": true}

var errStopping = status.Error(codes.Unavailable, "this gateway is being stopped: call again, it is back soon")

// untilStopping is ctx until the gateway is being stopped.
func (d door) untilStopping(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-d.stopping:
			cancel(errStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

var errTokenOver = status.Error(codes.Unauthenticated, "the token has expired: get a new one, and call again from where this ended")

// whileTokenLasts is ctx until the caller's token expires, if there is one: whoever is let in
// by a token of an hour doesn't stay for a week.
func whileTokenLasts(ctx context.Context) (context.Context, func()) {
	c, _ := ctx.Value(callerKey{}).(caller)
	if c.bearer == nil {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, c.bearer.Expires, errTokenOver)
}

// lookAgain is how often it is looked whether who has a stream under way still may.
var lookAgain = 10 * time.Second

// notAnyMore is why a caller that was let in may not go on.
type notAnyMore struct{ error }

// whileAllowed is ctx until the caller's certificate is revoked, or the member's policy
// doesn't permit the method any more: a payload may be on its way for hours.
func (d door) whileAllowed(ctx context.Context, method string) (context.Context, func()) {
	c, _ := ctx.Value(callerKey{}).(caller)
	ctx, cancel := context.WithCancelCause(ctx)
	again := time.NewTicker(lookAgain)
	go func() {
		defer again.Stop()
		for {
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
			err := c.revoked(d.revocations)
			if err == nil && c.msp == d.self { // other members' gateways aren't the policy's
				err = d.allowed(c, method, nil)
			}
			if err != nil {
				cancel(notAnyMore{err})
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// record writes one line a call. It holds no argument: they may name patients.
func (d door) record(ctx context.Context, method string, begin time.Time, err error) {
	level := slog.LevelDebug
	if status.Code(err) == codes.Internal || status.Code(err) == codes.Unknown {
		level = slog.LevelError
	}
	c, _ := ctx.Value(callerKey{}).(caller) // nobody, where it wasn't let in
	by := c.msp
	if c.bearer != nil && c.bearer.Service != "" {
		by += " " + c.bearer.Service
	}
	took := time.Since(begin)
	if d.called != nil {
		d.called(short(method), status.Code(err).String(), took)
	}
	d.log.LogAttrs(ctx, level, "call", append(whichCall(ctx), slog.String("method", method), slog.String("caller", by),
		slog.String("code", status.Code(err).String()), slog.Duration("took", took))...)
}

// contain turns a handler's panic into an error, so that one bad call doesn't
// take the others down. The panic's value is not logged: it may quote data.
func (d door) contain(ctx context.Context, method string, err *error) {
	if r := recover(); r != nil {
		d.log.LogAttrs(ctx, slog.LevelError, "handler panicked", append(whichCall(ctx), slog.String("method", method), slog.String("stack", string(debug.Stack())))...)
		*err = status.Error(codes.Internal, "the gateway failed on this call; its log says where")
	}
}

// admitted is a stream whose context knows the caller, and on which nothing goes to and fro
// once that has ended.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a admitted) Context() context.Context { return a.ctx }

func (a admitted) SendMsg(m any) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	return a.ServerStream.SendMsg(m)
}

func (a admitted) RecvMsg(m any) error {
	if err := a.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return a.ctx.Err()
}
