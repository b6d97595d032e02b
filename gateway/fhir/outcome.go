package fhir

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refusals is the system of the stable codes in OperationOutcome.issue.details.
const refusals = "urn:yitong:refusal"

// A Fault is why a request wasn't done. It holds no patient data: names of elements and of
// parameters, never their values.
type Fault struct {
	Status  int    // of HTTP
	Type    string // of http://hl7.org/fhir/issue-type
	Code    string // stable: a refusal's, or one of this package's
	Message string
	Allowed string // what would be allowed instead
	// Expression is the FHIRPath of the element, as Bundle.entry[3].resource.status, or
	// of a parameter or a header, as http.date and http.header.If-Match.
	Expression string
	More       []Fault       // further ones of the same request
	Retry      time.Duration // after which the same can be asked again; 0 says nothing
}

func (f *Fault) Error() string {
	if f.Expression == "" {
		return f.Message
	}
	return f.Expression + ": " + f.Message
}

// invalid is a fault of what was sent, at a place in it.
func invalid(expression, message, allowed string) *Fault {
	return &Fault{Status: http.StatusBadRequest, Type: "invalid", Code: "malformed", Expression: expression, Message: message, Allowed: allowed}
}

// unprocessable is what can be read and still can't be done.
func unprocessable(expression, message, allowed string) *Fault {
	return &Fault{Status: http.StatusUnprocessableEntity, Type: "business-rule", Code: "malformed", Expression: expression, Message: message, Allowed: allowed}
}

// statusOf says what a gRPC code is over HTTP, and which issue type.
var statusOf = map[codes.Code]struct {
	status int
	issue  string
}{
	codes.InvalidArgument:    {http.StatusBadRequest, "invalid"},
	codes.Unauthenticated:    {http.StatusUnauthorized, "login"},
	codes.PermissionDenied:   {http.StatusForbidden, "forbidden"},
	codes.NotFound:           {http.StatusNotFound, "not-found"},
	codes.AlreadyExists:      {http.StatusConflict, "duplicate"},
	codes.Aborted:            {http.StatusConflict, "conflict"},
	codes.FailedPrecondition: {http.StatusConflict, "business-rule"},
	codes.OutOfRange:         {http.StatusRequestedRangeNotSatisfiable, "value"},
	codes.ResourceExhausted:  {http.StatusTooManyRequests, "throttled"},
	codes.Unimplemented:      {http.StatusNotImplemented, "not-supported"},
	codes.Unavailable:        {http.StatusServiceUnavailable, "transient"},
	codes.DeadlineExceeded:   {http.StatusGatewayTimeout, "timeout"},
	codes.Canceled:           {http.StatusServiceUnavailable, "transient"},
}

// byRefusal is for refusals whose status the gRPC code doesn't tell.
var byRefusal = map[string]struct {
	status int
	issue  string
}{
	"too-large":        {http.StatusRequestEntityTooLarge, "too-long"},
	"key-reused":       {http.StatusUnprocessableEntity, "duplicate"},
	"version-conflict": {http.StatusPreconditionFailed, "conflict"},
	"not-permitted":    {http.StatusForbidden, "suppressed"},
}

// faultOf is any error as a fault.
func faultOf(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return tooLarge(large.Limit)
	}
	s, ok := status.FromError(err)
	if !ok {
		return &Fault{Status: http.StatusInternalServerError, Type: "exception", Code: "internal", Message: "the gateway failed on this request; its log says where"}
	}
	f = &Fault{Status: http.StatusInternalServerError, Type: "exception", Code: "internal", Message: s.Message()}
	if known, ok := statusOf[s.Code()]; ok {
		f.Status, f.Type, f.Code = known.status, known.issue, kebab(s.Code())
	}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() != "yitong" {
				continue
			}
			f.Code, f.Allowed = d.GetReason(), d.GetMetadata()["allowed"]
			if known, ok := byRefusal[f.Code]; ok {
				f.Status, f.Type = known.status, known.issue
			}
		case *errdetails.RetryInfo:
			f.Retry = d.GetRetryDelay().AsDuration()
		}
	}
	return f
}

func tooLarge(limit int64) *Fault {
	return &Fault{Status: http.StatusRequestEntityTooLarge, Type: "too-long", Code: "too-large",
		Message: "the body is larger than this takes", Allowed: "at most " + strconv.FormatInt(limit>>10, 10) + " KiB"}
}

// kebab is a gRPC code as a stable code of this package.
func kebab(c codes.Code) string {
	switch c {
	case codes.Unauthenticated:
		return "unauthenticated"
	case codes.PermissionDenied:
		return "not-allowed"
	case codes.NotFound:
		return "not-found"
	case codes.ResourceExhausted:
		return "too-many"
	case codes.Unavailable, codes.Canceled:
		return "unavailable"
	case codes.DeadlineExceeded:
		return "timeout"
	case codes.Unimplemented:
		return "not-supported"
	}
	return "malformed"
}

type operationOutcome struct {
	ResourceType string  `json:"resourceType"`
	Issue        []issue `json:"issue"`
}

type issue struct {
	Severity    string   `json:"severity"`
	Code        string   `json:"code"`
	Details     *Concept `json:"details,omitempty"`
	Diagnostics string   `json:"diagnostics,omitempty"`
	Expression  []string `json:"expression,omitempty"`
}

func (f *Fault) outcome() operationOutcome {
	o := operationOutcome{ResourceType: "OperationOutcome"}
	for _, f := range append([]Fault{*f}, f.More...) {
		i := issue{Severity: "error", Code: f.Type, Details: &Concept{Coding: []Coding{{System: refusals, Code: f.Code}}, Text: f.Message}}
		if f.Allowed != "" {
			i.Diagnostics = "allowed: " + f.Allowed
		}
		if f.Expression != "" {
			i.Expression = []string{f.Expression}
		}
		o.Issue = append(o.Issue, i)
	}
	return o
}

// done is the outcome of what went well, for Prefer: return=OperationOutcome.
func done(message string) operationOutcome {
	return operationOutcome{ResourceType: "OperationOutcome", Issue: []issue{{Severity: "information", Code: "informational", Details: &Concept{Text: message}}}}
}

// Problem answers with an error as an OperationOutcome; as is the HTTP status, 0 for the
// error's own. It is for the guard in front of the façade too.
func Problem(out http.ResponseWriter, err error, as int) {
	f := faultOf(err)
	h := out.Header()
	for _, name := range []string{"Content-Encoding", "Content-Length", "Etag", "Last-Modified", "Location", "Content-Location", "Trailer", "Accept-Ranges"} {
		h.Del(name)
	}
	h.Set("Content-Type", mediaType+"; charset=utf-8; fhirVersion=4.0")
	s := f.Status
	if as != 0 {
		s = as
	}
	if h.Get("Retry-After") == "" && (f.Retry > 0 || s == http.StatusServiceUnavailable || s == http.StatusTooManyRequests) {
		h.Set("Retry-After", strconv.Itoa(max(1, int((f.Retry+time.Second-1)/time.Second))))
	}
	doc := marshal(f.outcome())
	out.WriteHeader(s)
	_, _ = out.Write(doc) // who has gone away needs no answer
}
