package api

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// A door decides who may call what, before any handler runs: the member's own
// software everything but Exchange, another member's gateway Exchange alone.
type door struct {
	self  string // MSP id of this member
	trust Trust
	log   *slog.Logger
}

// exchangePrefix is how every method of the service for other gateways begins.
var exchangePrefix = "/" + yitongv1.Exchange_ServiceDesc.ServiceName + "/"

func (d door) admit(ctx context.Context, method string) (context.Context, error) {
	c, err := d.trust.callerOf(ctx)
	if err != nil {
		return nil, err
	}
	exchange := strings.HasPrefix(method, exchangePrefix)
	switch {
	case exchange && !c.is("gateway"):
		return nil, status.Error(codes.PermissionDenied, "only a member's gateway (certificate with OU=gateway) may call this service")
	case exchange && c.msp == d.self:
		return nil, status.Error(codes.PermissionDenied, "this is the gateway of your own member: open your own records through Records")
	case !exchange && c.msp != d.self:
		return nil, status.Error(codes.PermissionDenied, "this service is for the member's own software; other members' gateways call Exchange")
	case !exchange && !c.is("client") && !c.is("admin"):
		return nil, status.Error(codes.PermissionDenied, "show a certificate with OU=client or OU=admin")
	}
	return context.WithValue(ctx, callerKey{}, c), nil
}

func (d door) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
	begin := time.Now()
	defer func() { d.record(ctx, info.FullMethod, begin, err) }()
	defer d.contain(info.FullMethod, &err)
	inside, err := d.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	reply, err = handler(inside, req)
	return reply, statusOf(err)
}

func (d door) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	begin := time.Now()
	defer func() { d.record(s.Context(), info.FullMethod, begin, err) }()
	defer d.contain(info.FullMethod, &err)
	inside, err := d.admit(s.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return statusOf(handler(srv, admitted{s, inside}))
}

// record writes one line a call. It holds no argument: they may name patients.
func (d door) record(ctx context.Context, method string, begin time.Time, err error) {
	level := slog.LevelDebug
	if status.Code(err) == codes.Internal || status.Code(err) == codes.Unknown {
		level = slog.LevelError
	}
	member := ""
	if c, cerr := d.trust.callerOf(ctx); cerr == nil {
		member = c.msp
	}
	d.log.LogAttrs(ctx, level, "call", slog.String("method", method), slog.String("caller", member),
		slog.String("code", status.Code(err).String()), slog.Duration("took", time.Since(begin)))
}

// contain turns a handler's panic into an error, so that one bad call doesn't
// take the others down. The panic's value is not logged: it may quote data.
func (d door) contain(method string, err *error) {
	if r := recover(); r != nil {
		d.log.Error("handler panicked", "method", method, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "the gateway failed on this call; its log says where")
	}
}

// admitted is a stream whose context knows the caller.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a admitted) Context() context.Context { return a.ctx }
