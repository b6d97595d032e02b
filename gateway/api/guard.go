package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"yitong/chaincode/refusal"
)

// forwarded are the headers that become a call's metadata. No other does: who calls is
// never what a header says of itself.
var forwarded = []string{"Idempotency-Key"}

// A guard is what every request over HTTPS goes through, before anything behind it runs:
//
//	named (X-Request-Id, traceparent) ─▶ its size, form and origin
//	─▶ its caller, by certificate or token ─▶ the caller's rate, and what may be under way
//	─▶ its body, read within its time, and inflated
//
// An address is held to a number of failures only for those who can't show who they are: a whole
// hospital may call from one address, and must not be locked out by whoever errs there.
//
// An error, and a panic, becomes a problem in the form of what is behind it.
type guard struct {
	*web
	problem  func(http.ResponseWriter, error, int)
	streams  func(*http.Request) bool // nil for none but events
	asksOnly bool                     // what is behind it only reads
	public   []string                 // paths that are for everybody
}

func (g guard) around(route string, handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		begun := time.Now()
		ctx := withRequestID(w3c.Extract(in.Context(), propagation.HeaderCarrier(in.Header)), in.Header.Get(RequestHeader))
		ctx, span := g.tracer.Start(ctx, in.Method+" "+route, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("http.request.method", verb(in.Method)), attribute.String("http.route", route)))
		p := &paced{ResponseWriter: out, control: http.NewResponseController(out), body: in.Body, pause: g.limits.Limits().Pause}
		if in.TLS == nil {
			in.TLS = &tls.ConnectionState{}
		}
		ctx = peer.NewContext(ctx, &peer.Peer{Addr: textAddr(in.RemoteAddr), AuthInfo: credentials.TLSInfo{State: *in.TLS}})
		defer func() {
			code := p.status()
			if code == http.StatusUnauthorized && len(in.TLS.VerifiedChains) == 0 {
				g.limits.failed(addressOf(in.RemoteAddr))
			}
			span.SetAttributes(attribute.Int("http.response.status_code", code))
			if code >= 500 {
				span.SetStatus(otelcodes.Error, http.StatusText(code))
			}
			span.End()
			if g.asked != nil {
				g.asked(route, verb(in.Method), code, time.Since(begun))
			}
			g.log.LogAttrs(ctx, slog.LevelDebug, "request", append(whichCall(ctx), slog.String("method", verb(in.Method)), slog.String("route", route),
				slog.Int("status", code), slog.Duration("took", time.Since(begun)))...)
		}()
		defer g.contain(ctx, p, route)
		h := out.Header()
		h.Set(RequestHeader, requestID(ctx))
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		if err := g.pass(ctx, p, in, handle); err != nil {
			code := 0
			if over := new(unfit); errors.As(err, &over) {
				code, err = over.status, over.error
			}
			if after, ok := retryOf(err); ok {
				h.Set("Retry-After", retryAfter(after))
			}
			g.problem(p, statusOf(err), code)
		}
	})
}

// challenge says how to be let in (RFC 6750, section 3).
func challenge(in *http.Request) string {
	if in.Header.Get("Authorization") == "" {
		return `Bearer realm="yitong"`
	}
	return `Bearer realm="yitong", error="invalid_token"`
}

// unfit is an error with an HTTP status of its own.
type unfit struct {
	error
	status int
}

// sameOrigin refuses what a browser sends for a page of another site, unless it only reads:
// there are no cookies here, but a browser shows its client certificate for any page.
var sameOrigin = http.NewCrossOriginProtection()

// pass does what the guard is for, in the order of what it costs.
func (g guard) pass(ctx context.Context, out *paced, in *http.Request, handle func(http.ResponseWriter, *http.Request) error) error {
	limits, address := g.limits.Limits(), addressOf(in.RemoteAddr)
	if g.asksOnly && in.Method != http.MethodGet && in.Method != http.MethodHead {
		out.Header().Set("Allow", "GET, HEAD")
		return &unfit{status.Error(codes.Unimplemented, "this door only answers questions: ask with GET"), http.StatusMethodNotAllowed}
	}
	if err := sameOrigin.Check(in); err != nil {
		return &unfit{status.Error(codes.PermissionDenied, "a page of another site sent this, and what changes something is taken from none: call from the institution's own software"), http.StatusForbidden}
	}
	if g.asksOnly && in.ContentLength != 0 || len(in.URL.RawQuery) > webQuery {
		return &unfit{status.Error(codes.ResourceExhausted, "a question has no body, and at most 8 KiB of parameters"), http.StatusRequestEntityTooLarge}
	}
	ctx = context.WithValue(ctx, knockKey{}, &knock{tls: *in.TLS, authorization: in.Header.Values("Authorization")})
	who, stranger := "address\x00"+address, true // what is for everybody is counted so
	c, err := g.callerOf(ctx)
	switch {
	case err == nil && c.msp == g.self:
		who, stranger = c.account(), false
	case slices.Contains(g.public, in.URL.Path):
	case err == nil:
		return status.Error(codes.PermissionDenied, "this door is for the member's own software and people; other members' gateways call Exchange")
	case status.Code(err) == codes.Unauthenticated:
		if len(in.TLS.VerifiedChains) == 0 {
			if over := g.limits.barred(address); over != nil {
				return over
			}
		}
		out.Header().Set("WWW-Authenticate", challenge(in))
		return err
	default:
		return err
	}
	for _, name := range forwarded {
		if value := in.Header.Get(name); value != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), value)
		}
	}
	// Whoever sends a body doesn't choose by a header that it is held to no memory.
	listens := in.ContentLength == 0 && strings.Contains(in.Header.Get("Accept"), "text/event-stream")
	streams := !stranger && (listens || g.streams != nil && g.streams(in))
	leave, err := g.limits.enter(who, streams)
	if err != nil {
		return err
	}
	defer leave()
	ctx = context.WithValue(ctx, enteredKey{}, true)
	most := limits.Body
	if stranger {
		most = min(most, webStranger)
	}
	if streams {
		most = limits.Upload
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limits.Answer)
		defer cancel()
	}
	if in.ContentLength > int64(most) {
		return tooLarge(most)
	}
	out.more()
	out.begun, out.pace, out.left = time.Now(), limits.Pace, int64(most)
	in = in.WithContext(ctx)
	in.Body = out
	if in.ContentLength == 0 {
		in.Body = http.NoBody
		out.taken()
	} else if !streams {
		plain, coded, err := inflated(in, out, most)
		size := Size(in.ContentLength)
		if coded { // what is held, and counted, is what comes out
			size = -1
		}
		var whole []byte
		if err == nil {
			var free func()
			whole, free, err = g.readWhole(who, plain, size, most)
			defer free()
		}
		if err != nil {
			return broken(err, most, limits)
		}
		out.taken()
		in.Header.Del("Content-Encoding")
		in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(whole)), int64(len(whole))
	}
	return handle(out, in)
}

// readWhole reads a body into memory, as far as there is some for it and for whose it is. size
// is negative where it isn't known, and at most most. free gives the memory back.
func (g guard) readWhole(who string, body io.Reader, size, most Size) (whole []byte, free func(), err error) {
	var held []func()
	free = func() {
		for _, f := range held {
			f()
		}
	}
	var read bytes.Buffer
	for {
		step := min(1<<20, most-Size(read.Len())) // memory is taken as the body comes: one that is announced and doesn't come takes none
		if size >= 0 {
			step = min(step, size-Size(read.Len()))
		}
		more, err := g.limits.hold(who, step)
		if err != nil {
			return nil, free, err
		}
		held = append(held, more)
		_, err = io.CopyN(&read, body, max(1, int64(step))) // of a body that may be no longer the end is looked for
		switch {
		case err == io.EOF && size < 0, err == nil && size == Size(read.Len()):
			return read.Bytes(), free, nil
		case err == io.EOF:
			return nil, free, io.ErrUnexpectedEOF
		case err != nil:
			return nil, free, err
		}
	}
}

func tooLarge(most Size) error {
	return &unfit{refusal.New(refusal.TooLarge, "the request is larger than "+most.String()+", which is what is taken here",
		"a smaller one; large payloads as an upload"), http.StatusRequestEntityTooLarge}
}

// broken says what was wrong with a body that couldn't be read to its end.
func broken(err error, most Size, limits Limits) error {
	switch {
	case errors.Is(err, errTooLong):
		return tooLarge(most)
	case errors.Is(err, errTooSlow), errors.Is(err, os.ErrDeadlineExceeded):
		return &unfit{status.Errorf(codes.DeadlineExceeded, "the request's body came too slowly: nothing for %s, or less than %s a second", limits.Pause, limits.Pace), http.StatusRequestTimeout}
	}
	if _, over := retryOf(err); over {
		return err
	}
	if over := new(unfit); errors.As(err, &over) {
		return err
	}
	return status.Error(codes.InvalidArgument, "the request's body broke off before its end, or its Content-Encoding is damaged: send the whole again")
}

// contain turns a panic into a problem. Its value isn't logged: it may quote data.
func (g guard) contain(ctx context.Context, out *paced, route string) {
	r := recover()
	switch {
	case r == nil:
	case r == http.ErrAbortHandler:
		panic(r)
	default:
		g.log.LogAttrs(ctx, slog.LevelError, "handler panicked", append(whichCall(ctx), slog.String("route", route), slog.String("stack", string(debug.Stack())))...)
		if out.code != 0 {
			panic(http.ErrAbortHandler) // what was sent is not the whole, and must not look so
		}
		g.problem(out, status.Error(codes.Internal, "the gateway failed on this request; its log says where"), 0)
	}
}

// verb is a method as it may stand in a log or a metric's label.
func verb(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }

var _ net.Addr = textAddr("")

// paced is a request and its answer, which may take long while they make progress.
type paced struct {
	http.ResponseWriter
	control *http.ResponseController
	code    int // that was answered
	pause   time.Duration

	body  io.ReadCloser
	begun time.Time
	pace  Size  // bytes a second
	read  int64 // bytes
	left  int64 // bytes that may come yet
}

var (
	errTooLong = errors.New("the body is longer than what is taken")
	errTooSlow = errors.New("the body comes too slowly")
)

// more gives the next piece its time.
func (p *paced) more() {
	until := time.Now().Add(p.pause)
	_ = p.control.SetReadDeadline(until)
	_ = p.control.SetWriteDeadline(until.Add(p.pause))
}

// taken ends the time for the body, once there is no more of it: net/http takes an idle
// connection that runs into a deadline for a caller that hung up.
func (p *paced) taken() { _ = p.control.SetReadDeadline(time.Time{}) }

func (p *paced) WriteHeader(code int) {
	if p.code == 0 && code >= 200 {
		p.code = code
	}
	p.ResponseWriter.WriteHeader(code)
}

func (p *paced) Write(b []byte) (int, error) {
	if p.code == 0 {
		p.code = http.StatusOK
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(2 * p.pause))
	return p.ResponseWriter.Write(b)
}

func (p *paced) status() int {
	if p.code == 0 {
		return http.StatusOK
	}
	return p.code
}

func (p *paced) Read(b []byte) (int, error) {
	took := time.Since(p.begun) - p.pause
	if took > 0 && float64(p.read) < took.Seconds()*float64(p.pace) {
		return 0, errTooSlow
	}
	_ = p.control.SetReadDeadline(time.Now().Add(p.pause))
	if int64(len(b)) > p.left+1 {
		b = b[:p.left+1]
	}
	n, err := p.body.Read(b)
	p.read += int64(n)
	if p.left -= int64(n); p.left < 0 {
		return 0, errTooLong
	}
	if err == io.EOF {
		p.taken()
	}
	return n, err
}

func (p *paced) Close() error { return p.body.Close() }

// Unwrap is for [http.ResponseController].
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Flush implements [http.Flusher].
func (p *paced) Flush() { _ = p.control.Flush() }
