package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// A call is known by two ids: a request id, which its caller may choose (X-Request-Id,
// metadata x-request-id) and gets back, and the id of the trace that it is part of (W3C
// traceparent). Both stand in the log, and go on to the other members' gateways.

// RequestHeader names a request, for the logs of both sides.
const RequestHeader = "X-Request-Id"

const requestKey = "x-request-id" // in gRPC metadata

type requestIDKey struct{}

// requestID is the request's of a call, "" outside of one.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// withRequestID gives a call its request id: the one that the caller chose, where that can stand in
// a log, or one of its own.
func withRequestID(ctx context.Context, chosen string) context.Context {
	if !fitForLog(chosen) {
		id := make([]byte, 16)
		rand.Read(id)
		chosen = hex.EncodeToString(id)
	}
	return context.WithValue(ctx, requestIDKey{}, chosen)
}

// fitForLog says whether an id is 1 to 64 of [A-Za-z0-9_.-].
func fitForLog(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}) < 0
}

// whichCall are the ids of a call for its lines in the log.
func whichCall(ctx context.Context) (out []slog.Attr) {
	if id := requestID(ctx); id != "" {
		out = append(out, slog.String("request", id))
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		out = append(out, slog.String("trace", span.TraceID().String()))
	}
	return out
}

func tracerOf(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		p = noop.NewTracerProvider()
	}
	return p.Tracer("yitong/gateway/api")
}

// carried is gRPC metadata as a carrier of trace context.
type carried metadata.MD

func (c carried) Get(key string) string {
	if values := metadata.MD(c).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}
func (c carried) Set(key, value string) { metadata.MD(c).Set(key, value) }
func (c carried) Keys() (keys []string) {
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}

// w3c reads and writes traceparent alone: baggage is for whoever wants to leak.
var w3c = propagation.TraceContext{}

// begin begins a call: its ids, and its span. end takes the reply, of which it tells the
// transaction, and the error, of which it tells the code. Neither has arguments.
func (d door) begin(ctx context.Context, method string) (_ context.Context, end func(reply any, err error)) {
	if requestID(ctx) == "" {
		in, _ := metadata.FromIncomingContext(ctx)
		ctx = withRequestID(w3c.Extract(ctx, carried(in)), carried(in).Get(requestKey))
		// Not a header: an answer that has one isn't retried (gRPC A6).
		_ = grpc.SetTrailer(ctx, metadata.Pairs(requestKey, requestID(ctx)))
	}
	ctx, span := d.tracer.Start(ctx, short(method), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("rpc.system", "grpc"), attribute.String("rpc.method", strings.TrimPrefix(method, "/"))))
	return ctx, func(reply any, err error) {
		span.SetAttributes(attribute.String("rpc.response.status_code", status.Code(err).String()))
		if m, ok := reply.(interface{ GetCommit() *yitongv1.Commit }); ok && err == nil && m.GetCommit() != nil {
			span.SetAttributes(attribute.String("yitong.tx", m.GetCommit().GetTransactionId()), attribute.Int64("yitong.block", int64(m.GetCommit().GetBlock())))
		}
		switch status.Code(err) {
		case codes.Internal, codes.Unknown, codes.DataLoss:
			span.SetStatus(otelcodes.Error, status.Code(err).String())
		}
		span.End()
	}
}

type enteredKey struct{}

// enter lets a call in within the limits. The calls that an HTTP request leads to came in
// with it.
func (d door) enter(ctx context.Context, streams bool) (leave func(), err error) {
	if ctx.Value(enteredKey{}) != nil {
		return func() {}, nil
	}
	c, _ := ctx.Value(callerKey{}).(caller)
	return d.limits.enter(c.account(), streams)
}

// fromOutside is a call's context with what is known of the HTTP request that led to it:
// its connection, what it showed there, its ids, and that it was let in.
func fromOutside(ctx, request context.Context) context.Context {
	if p, ok := peer.FromContext(request); ok {
		ctx = peer.NewContext(ctx, p)
	}
	for _, key := range []any{knockKey{}, requestIDKey{}, enteredKey{}} {
		if value := request.Value(key); value != nil {
			ctx = context.WithValue(ctx, key, value)
		}
	}
	return trace.ContextWithSpan(ctx, trace.SpanFromContext(request))
}

// onward puts a call's ids into the metadata of one that it leads to at another member's
// gateway.
func onward(ctx context.Context) context.Context {
	ids := metadata.MD{}
	w3c.Inject(ctx, carried(ids))
	if id := requestID(ctx); id != "" {
		ids.Set(requestKey, id)
	}
	for key, values := range ids {
		for _, v := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, key, v)
		}
	}
	return ctx
}

func onwardUnary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(onward(ctx), method, req, reply, conn, opts...)
}

func onwardStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return stream(onward(ctx), desc, conn, method, opts...)
}
