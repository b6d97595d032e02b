package api

import (
	"encoding/json"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/refusal"
)

// webProblem is an error as a document (RFC 9457). Code is the refusal's stable code, or
// the gRPC status where no rule refused.
type webProblem struct {
	Type    string `json:"type"` // urn:yitong:refusal:CODE, or about:blank
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	Code    string `json:"code"`
	Allowed string `json:"allowed,omitempty"` // what would be allowed instead
}

// webStatus is the HTTP status of a gRPC code; others are 500.
var webStatus = map[codes.Code]int{
	codes.InvalidArgument: http.StatusBadRequest, codes.Unauthenticated: http.StatusUnauthorized, codes.PermissionDenied: http.StatusForbidden,
	codes.NotFound: http.StatusNotFound, codes.AlreadyExists: http.StatusConflict, codes.FailedPrecondition: http.StatusConflict,
	codes.ResourceExhausted: http.StatusTooManyRequests, codes.Unimplemented: http.StatusNotImplemented, codes.Unavailable: http.StatusServiceUnavailable,
	codes.DeadlineExceeded: http.StatusGatewayTimeout, codes.Canceled: http.StatusServiceUnavailable,
}

// Problem answers with an error as problem details, in the form of the whole door.
func Problem(out http.ResponseWriter, err error, as int) { problem(out, err, as) }

// problem answers with an error. as is the HTTP status, 0 for that of the error's code.
func problem(out http.ResponseWriter, err error, as int) {
	err = statusOf(err)
	s, _ := status.FromError(err)
	p := webProblem{Type: "about:blank", Detail: s.Message(), Code: s.Code().String(), Status: as}
	if p.Status == 0 {
		p.Status = http.StatusInternalServerError
		if known, ok := webStatus[s.Code()]; ok {
			p.Status = known
		}
	}
	if r, ok := RefusalOf(err); ok {
		p.Type, p.Code, p.Allowed = "urn:yitong:refusal:"+string(r.Code), string(r.Code), r.Allowed
		if r.Code == KeyReused {
			p.Status = http.StatusUnprocessableEntity // draft-ietf-httpapi-idempotency-key-header
		}
		if r.Code == refusal.TooLarge {
			p.Status = http.StatusRequestEntityTooLarge
		}
	}
	p.Title = http.StatusText(p.Status)
	doc, merr := json.Marshal(p)
	if merr != nil {
		doc = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`)
	}
	h := out.Header()
	h.Del("Trailer")
	h.Set("Content-Type", "application/problem+json")
	if after, ok := retryOf(err); ok && h.Get("Retry-After") == "" {
		h.Set("Retry-After", retryAfter(after))
	}
	if p.Status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "2")
	}
	out.WriteHeader(p.Status)
	_, _ = out.Write(doc)
}
