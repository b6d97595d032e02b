package fhir

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A call is one request on its way to its answer.
type call struct {
	*facade
	out      http.ResponseWriter
	in       *http.Request
	resource resource
	id       string // of the address
	version  string // likewise

	asked      url.Values // parameters of the address
	pretty     bool
	wantsJSON  bool     // the caller names FHIR's JSON
	anything   bool     // … takes anything
	accepts    []string // … and what else it names
	mayBeOther bool     // what is here has a form other than JSON
	prefer     string   // "minimal", "representation", "OperationOutcome", or "" where it doesn't say
	lenient    bool     // unknown parameters may be left out
	maxCount   int      // of a page; 0 is that of searches
	squeezed   *squeezer
	begun      bool // something was sent
}

// ctx carries who calls; every call behind the façade is made with it.
func (c *call) ctx() context.Context { return c.in.Context() }

// An answer is what goes back, as a whole.
type answer struct {
	status   int       // 0 is 200
	resource any       // marshalled, unless it is []byte: then it goes as it is
	etag     string    // version of the resource, without quotes
	modified time.Time // of the resource
	location string    // below the base: "Consent/1/_history/2"
	message  string    // of the OperationOutcome, where the caller prefers one
	whole    bool      // it is answered like this whatever the caller prefers
	sent     bool      // the handler has answered already
}

// address is the base URL, as the world outside sees it.
func (c *call) address() string {
	if c.Address != "" {
		return strings.TrimSuffix(c.Address, "/")
	}
	return "https://" + c.in.Host + Base
}

// answer sends it.
func (c *call) answer(a answer) error {
	if a.sent {
		return nil
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	h := c.out.Header()
	if a.etag != "" {
		h.Set("ETag", `W/"`+a.etag+`"`)
	}
	if !a.modified.IsZero() {
		h.Set("Last-Modified", a.modified.UTC().Format(http.TimeFormat))
	}
	if a.location != "" {
		h.Set("Location", c.address()+"/"+a.location)
		if read, _, ok := strings.Cut(a.location, "/_history/"); ok {
			h.Set("Content-Location", c.address()+"/"+read)
		}
	}
	reads := c.in.Method == http.MethodGet || c.in.Method == http.MethodHead
	if reads && c.unchanged(a) {
		c.out.WriteHeader(http.StatusNotModified)
		return nil
	}
	var doc []byte
	switch r := a.resource.(type) {
	case nil:
	case []byte:
		doc = r
	default:
		doc = marshal(r)
	}
	if !reads && !a.whole {
		switch c.prefer {
		case "minimal":
			doc = nil
		case "OperationOutcome":
			message := a.message
			if message == "" {
				message = "done"
			}
			doc = marshal(done(message))
		}
	}
	if doc == nil {
		if a.status == http.StatusOK && a.resource == nil {
			a.status = http.StatusNoContent
		}
		c.out.WriteHeader(a.status)
		return nil
	}
	return c.send(a.status, doc)
}

// send writes one JSON document.
func (c *call) send(status int, doc []byte) error {
	if c.pretty {
		var b bytes.Buffer
		if json.Indent(&b, doc, "", "  ") == nil {
			doc = b.Bytes()
		}
	}
	h := c.out.Header()
	h.Set("Content-Type", mediaType+"; charset=utf-8; fhirVersion="+fhirVersion)
	w := c.writer(len(doc))
	if w == c.out {
		h.Set("Content-Length", strconv.Itoa(len(doc)))
	}
	c.begun = true
	c.out.WriteHeader(status)
	if c.in.Method != http.MethodHead {
		_, _ = w.Write(doc) // who has gone away needs no answer
	}
	return nil
}

// fail answers with an error, or breaks the answer off where it has begun: what was sent is
// not the whole, and must not look so.
func (c *call) fail(err error) {
	f := faultOf(err)
	if f.Status >= http.StatusInternalServerError && f.Type == "exception" {
		c.Log.Error("a FHIR request failed", "method", c.in.Method, "resource", c.resource.kind, "request", c.out.Header().Get("X-Request-Id"), "error", err)
	}
	if c.begun {
		panic(http.ErrAbortHandler)
	}
	Problem(c.out, f, 0)
}

func (c *call) close() { c.squeezed.close() }

// unchanged reports that the caller has the resource already (RFC 9110, section 13).
func (c *call) unchanged(a answer) bool {
	if none := c.in.Header.Get("If-None-Match"); none != "" {
		return matches(none, a.etag)
	}
	if since, err := http.ParseTime(c.in.Header.Get("If-Modified-Since")); err == nil && !a.modified.IsZero() {
		return !a.modified.Truncate(time.Second).After(since)
	}
	return false
}

// matches compares an entity tag with a list of them; weakly, as FHIR's are.
func matches(list, etag string) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	for _, one := range strings.Split(list, ",") {
		if strings.Trim(strings.TrimPrefix(strings.TrimSpace(one), "W/"), `"`) == etag && etag != "" {
			return true
		}
	}
	return false
}

// ifMatch refuses (412) where the caller names another version than the present one, by
// If-Match, and where it says by If-None-Match: * that there must be none. required
// refuses also where it names none. present is "" where there is no resource.
func (c *call) ifMatch(present string, required bool) error {
	named := c.in.Header.Get("If-Match")
	switch {
	case named == "" && required && present != "":
		return &Fault{Status: http.StatusPreconditionRequired, Type: "required", Code: "version-needed", Expression: "http.header.If-Match",
			Message: "a change names the version that it is of", Allowed: `If-Match: W/"` + present + `"`}
	case named != "" && !matches(named, present):
		return conflict("http.header.If-Match", "the resource has another version by now")
	case present != "" && strings.TrimSpace(c.in.Header.Get("If-None-Match")) == "*":
		return conflict("http.header.If-None-Match", "there is such a resource")
	}
	return nil
}

func conflict(expression, message string) error {
	return &Fault{Status: http.StatusPreconditionFailed, Type: "conflict", Code: "version-conflict", Expression: expression, Message: message, Allowed: "read it again, and send what then is right"}
}
