package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Limits of the HTTPS door. An export may take long, while it makes progress.
const (
	webHeader   = 16 << 10 // bytes
	webQuery    = 8 << 10  // bytes
	webAtOnce   = 64       // requests
	webPatience = 30 * time.Second
	webExport   = time.Hour // a whole export; each piece of it has webPatience
	webIdle     = 2 * time.Minute
)

// PatientHeader names the patient that a question is about, as "system|value" (the token
// of FHIR search). It is a header because addresses end up in logs.
const PatientHeader = "Yitong-Patient"

// The trailers that sign an export: its statement and the signature over it, in base64,
// and the id of the key.
const (
	statementTrailer = "Yitong-Statement"
	signatureTrailer = "Yitong-Signature"
	keyTrailer       = "Yitong-Key"
)

// NewWeb makes the door for questions over HTTPS: those of an audit as GET requests
// with JSON answers, for software that speaks no gRPC. It asks for the same client
// certificates, goes by the same policy and gives the same answers as the gRPC door; it
// changes nothing. GET /v1/openapi.json describes it. Errors are problem details (RFC 9457).
func NewWeb(c Config) *http.Server {
	w := &web{door: newDoor(c), services: services{}, places: make(chan struct{}, webAtOnce)}
	register(w.services, c)
	mux := http.NewServeMux()
	for _, r := range webRoutes {
		mux.Handle(r.path, w.guard(func(out http.ResponseWriter, in *http.Request) error { return w.answer(out, in, r) }))
	}
	mux.Handle("/v1/openapi.json", w.guard(func(out http.ResponseWriter, in *http.Request) error {
		if _, err := w.trust.callerOf(in.Context()); err != nil {
			return err
		}
		return write(out, "application/json", openAPI())
	}))
	mux.Handle("/", w.guard(func(http.ResponseWriter, *http.Request) error {
		return status.Error(codes.NotFound, "there is nothing here; GET /v1/openapi.json lists what there is")
	}))
	return &http.Server{
		Handler: mux,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, GetCertificate: c.Certificate,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.Trust.Pool(),
			VerifyConnection: c.Trust.knocks(orNone(c.Revocations)),
		},
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: webIdle, MaxHeaderBytes: webHeader,
	}
}

type web struct {
	door
	services services
	places   chan struct{} // one taken by each request
}

// services are those of the gRPC door, by their full names.
type services map[string]service

type service struct {
	*grpc.ServiceDesc
	server any
}

// RegisterService implements [grpc.ServiceRegistrar].
func (s services) RegisterService(d *grpc.ServiceDesc, server any) {
	s[d.ServiceName] = service{d, server}
}

// guard is what every request goes through: it is bounded, read-only, and known by its
// certificate; an error becomes a problem.
func (w *web) guard(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		h := out.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if in.Method != http.MethodGet && in.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			problem(out, status.Error(codes.Unimplemented, "this door only answers questions: ask with GET"), http.StatusMethodNotAllowed)
			return
		}
		if in.ContentLength != 0 || len(in.URL.RawQuery) > webQuery {
			problem(out, status.Error(codes.ResourceExhausted, "a question has no body, and at most 8 KiB of parameters"), http.StatusRequestEntityTooLarge)
			return
		}
		select {
		case w.places <- struct{}{}:
			defer func() { <-w.places }()
		default:
			h.Set("Retry-After", "1")
			problem(out, status.Error(codes.Unavailable, "too many questions at once: ask again in a second"), 0)
			return
		}
		_ = http.NewResponseController(out).SetWriteDeadline(time.Now().Add(2 * webPatience))
		ctx := peer.NewContext(in.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: *in.TLS}})
		if err := handle(out, in.WithContext(ctx)); err != nil {
			problem(out, err, 0)
		}
	})
}

// answer puts a request through the gRPC method's own handler, door and policy included.
func (w *web) answer(out http.ResponseWriter, in *http.Request, r webRoute) error {
	fill := func(m any) error { return r.bind(m.(proto.Message), in) }
	asked := r.descriptor()
	to, name := w.services[string(asked.Parent().FullName())], string(asked.Name())
	if i := slices.IndexFunc(to.Streams, func(s grpc.StreamDesc) bool { return s.StreamName == name }); i >= 0 {
		ctx, cancel := context.WithTimeout(in.Context(), webExport)
		defer cancel()
		s := &webStream{ctx: ctx, out: out, fill: fill}
		info := &grpc.StreamServerInfo{FullMethod: "/" + to.ServiceName + "/" + name, IsServerStream: true}
		err := w.stream(to.server, s, info, to.Streams[i].Handler)
		if err != nil && s.begun {
			panic(http.ErrAbortHandler) // what was sent is not the whole, and must not look so
		}
		return err
	}
	i := slices.IndexFunc(to.Methods, func(m grpc.MethodDesc) bool { return m.MethodName == name })
	ctx, cancel := context.WithTimeout(in.Context(), webPatience)
	defer cancel()
	reply, err := to.Methods[i].Handler(to.server, ctx, fill, w.unary)
	if err != nil {
		return err
	}
	raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(reply.(proto.Message))
	if err != nil {
		return err
	}
	var doc bytes.Buffer
	if err := json.Compact(&doc, raw); err != nil { // protojson varies its spaces on purpose
		return err
	}
	return write(out, "application/json", doc.Bytes())
}

func write(out http.ResponseWriter, kind string, doc []byte) error {
	out.Header().Set("Content-Type", kind)
	_, _ = out.Write(doc) // who has gone away needs no answer
	return nil
}

// webStream is an export on its way to an HTTP client.
type webStream struct {
	grpc.ServerStream
	ctx   context.Context
	out   http.ResponseWriter
	fill  func(any) error
	begun bool
}

func (s *webStream) Context() context.Context     { return s.ctx }
func (s *webStream) SetHeader(metadata.MD) error  { return nil }
func (s *webStream) SendHeader(metadata.MD) error { return nil }
func (s *webStream) SetTrailer(metadata.MD)       {}

func (s *webStream) RecvMsg(m any) error {
	if err := s.fill(m); err != nil {
		return err
	}
	if e, ok := m.(*yitongv1.ExportRequest); ok {
		s.out.Header().Set("Content-Type", exportTypes[e.GetFormat()])
		s.out.Header().Set("Trailer", strings.Join([]string{statementTrailer, signatureTrailer, keyTrailer}, ", "))
	}
	return nil
}

func (s *webStream) SendMsg(m any) error {
	e, ok := m.(*yitongv1.ExportResponse)
	if !ok {
		return errors.New("this stream has no form over HTTP")
	}
	if err := s.ctx.Err(); err != nil {
		return err
	}
	s.begun = true
	until := time.Now().Add(webPatience)
	if end, ok := s.ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	_ = http.NewResponseController(s.out).SetWriteDeadline(until)
	if sign := e.GetSignature(); sign != nil {
		s.out.Header().Set(statementTrailer, base64.StdEncoding.EncodeToString(sign.GetStatement()))
		s.out.Header().Set(signatureTrailer, base64.StdEncoding.EncodeToString(sign.GetSignature()))
		s.out.Header().Set(keyTrailer, sign.GetKeyId())
		return nil
	}
	_, err := s.out.Write(e.GetContent())
	return err
}

var exportTypes = map[string]string{
	"fhir-bundle": "application/fhir+json", "fhir-ndjson": "application/fhir+ndjson", "csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet", "html": "text/html; charset=utf-8",
}
