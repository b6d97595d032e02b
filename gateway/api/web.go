package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Bounds of the HTTPS door that aren't among the Limits.
const (
	webHeader  = 16 << 10 // bytes
	webQuery   = 8 << 10  // bytes
	webStreams = 128      // requests at once on one connection

	// The largest body, in bytes, of somebody who wasn't let in, where a path is for everybody:
	// strangers must not hold the memory that there is for the member's own.
	webStranger Size = 64 << 10
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

// A Mount is what else the HTTPS door serves, below a path of its own.
type Mount struct {
	// Path ends with a slash, "/fhir/", or is all that there is.
	Path string
	// New makes the handler. All that it wants of the gateway it asks over the connection,
	// with the request's context, and with that the caller's rights and nobody else's.
	New func(grpc.ClientConnInterface) http.Handler
	// Public are those of its paths that are for everybody. All others need a client
	// certificate or a token of this member before the handler is asked.
	Public []string
	// Problem answers with an error in the mount's own form; status is the HTTP status, 0
	// for that of the error's code. By default errors are problem details (RFC 9457).
	Problem func(out http.ResponseWriter, err error, status int)
	// Streams says of a request that its body is taken, or its answer given, bit by bit: it
	// isn't held in memory, and may take long. Of others the handler finds the whole body
	// read, within [Limits.Body]. By default it is those without a body that ask for
	// text/event-stream. Nothing streams for who wasn't let in.
	Streams func(in *http.Request) bool
}

// NewWeb makes the door for software that speaks no gRPC. It takes the same client
// certificates, or else tokens of the member's own, and goes by the same policy as the gRPC
// door, for behind it are the same handlers. Below /v1 are the questions of an audit, as GET requests with JSON answers
// (GET /v1/openapi.json describes them); errors are problem details (RFC 9457). Each
// mount has the rest of its path.
func NewWeb(c Config, mounts ...Mount) *http.Server {
	w := &web{door: newDoor(c)}
	w.inside = w.connect(c)
	mux := http.NewServeMux()
	questions := guard{web: w, problem: problem, asksOnly: true}
	for _, r := range webRoutes {
		questions := questions
		if r.descriptor().IsStreamingServer() {
			questions.streams = func(*http.Request) bool { return true }
		}
		mux.Handle(r.path, questions.around(r.path, func(out http.ResponseWriter, in *http.Request) error { return w.answer(out, in, r) }))
	}
	mux.Handle("/v1/openapi.json", questions.around("/v1/openapi.json", func(out http.ResponseWriter, _ *http.Request) error {
		return write(out, "application/json", openAPI())
	}))
	feed := questions
	feed.streams = func(*http.Request) bool { return true }
	mux.Handle("/v1/events", feed.around("/v1/events", w.events))
	for _, m := range mounts {
		g, to := guard{web: w, problem: problem, streams: m.Streams, public: m.Public}, m.New(w.inside)
		if m.Problem != nil {
			g.problem = m.Problem
		}
		behind := g.around(m.Path, func(out http.ResponseWriter, in *http.Request) error {
			to.ServeHTTP(out, in)
			return nil
		})
		mux.Handle(m.Path, behind)
		if itself, below := strings.CutSuffix(m.Path, "/"); below {
			// A client posts to the path itself too, and no redirect must lose its body.
			mux.Handle(itself, behind)
		}
	}
	mux.Handle("/", questions.around("/", func(http.ResponseWriter, *http.Request) error {
		return status.Error(codes.NotFound, "there is nothing here; GET /v1/openapi.json lists what there is")
	}))
	limits := w.limits.Limits()
	return &http.Server{
		Handler: mux,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, GetCertificate: c.Certificate,
			ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: c.Trust.Pool(),
			VerifyConnection: c.Trust.knocks(orNone(c.Revocations)),
		},
		ReadHeaderTimeout: limits.Header, ReadTimeout: limits.Header, IdleTimeout: limits.Idle, MaxHeaderBytes: webHeader,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: webStreams},
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
}

type web struct {
	door
	inside inside
}

// answer puts a request to the gRPC method.
func (w *web) answer(out http.ResponseWriter, in *http.Request, r webRoute) error {
	method := r.descriptor()
	name := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
	asked, err := r.read(in)
	if err != nil {
		return err
	}
	if method.IsStreamingServer() {
		ctx, cancel := context.WithTimeout(in.Context(), w.limits.Limits().Export)
		defer cancel()
		return w.export(ctx, out, name, asked)
	}
	ctx, cancel := context.WithTimeout(in.Context(), w.limits.Limits().Answer)
	defer cancel()
	reply := newMessage(method.Output())
	if err := w.inside.Invoke(ctx, name, asked, reply); err != nil {
		return err
	}
	raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(reply)
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

// export passes an export on while it is made. One that breaks off leaves the answer
// unfinished: what was sent is not the whole, and must not look so.
func (w *web) export(ctx context.Context, out http.ResponseWriter, name string, asked proto.Message) error {
	stream, err := w.inside.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, name)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(asked), stream.CloseSend()); err != nil {
		return err
	}
	h := out.Header()
	for begun := false; ; {
		var e yitongv1.ExportResponse
		err := stream.RecvMsg(&e)
		switch {
		case err == io.EOF:
			return nil
		case err != nil && begun:
			panic(http.ErrAbortHandler)
		case err != nil:
			return err
		case !begun:
			begun = true
			h.Set("Content-Type", exportTypes[asked.(*yitongv1.ExportRequest).GetFormat()])
			h.Set("Trailer", strings.Join([]string{statementTrailer, signatureTrailer, keyTrailer}, ", "))
		}
		if sign := e.GetSignature(); sign != nil {
			h.Set(statementTrailer, base64.StdEncoding.EncodeToString(sign.GetStatement()))
			h.Set(signatureTrailer, base64.StdEncoding.EncodeToString(sign.GetSignature()))
			h.Set(keyTrailer, sign.GetKeyId())
		} else if _, err := out.Write(e.GetContent()); err != nil {
			return nil // who has gone away needs no answer
		}
	}
}

var exportTypes = map[string]string{
	"fhir-bundle": "application/fhir+json", "fhir-ndjson": "application/fhir+ndjson", "csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet", "html": "text/html; charset=utf-8",
}
