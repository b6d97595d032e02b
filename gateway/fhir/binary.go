package fhir

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

func init() {
	transactions = append(transactions,
		"ITI-68 Retrieve Document: GET Binary, in its own media type or as a Binary resource, with ranges")
}

// binaries are the contents themselves: Binary/[id] of the part that DocumentReference/[id]
// describes (IHE MHD ITI-68).
func (f *facade) binaries() resource {
	return resource{
		kind: "Binary",
		documentation: "The content of a part. It comes in its own media type, streamed, with Range, ETag (its SHA-256) and " +
			"Repr-Digest; and as a Binary resource where FHIR's media type is asked for by name.",
		read: readBinary,
	}
}

func readBinary(c *call) (answer, error) {
	p, ok := partPlace(c.id)
	if !ok {
		return answer{}, notFound()
	}
	ask, err := c.ranged(p)
	if err != nil {
		return answer{}, err
	}
	wanted := ask.n
	if c.in.Method == http.MethodHead {
		wanted = 1 // what stands in the first message is all that HEAD tells
	}
	o, err := c.open(p, ask.off, wanted)
	if err != nil {
		return answer{}, err
	}
	defer o.close()
	h := c.out.Header()
	h.Set("Vary", "Accept")
	etag := hex.EncodeToString(o.sha256)
	if etag != "" {
		h.Set("ETag", `"`+etag+`"`)
	}
	if none := c.in.Header.Get("If-None-Match"); none != "" && matches(none, etag) {
		c.out.WriteHeader(http.StatusNotModified)
		return answer{sent: true}, nil
	}
	if c.wantsJSON {
		return c.binaryResource(p, o)
	}
	if !c.takes(o.mediaType) {
		return answer{}, &Fault{Status: http.StatusNotAcceptable, Type: "not-supported", Code: "not-acceptable", Expression: "http.header.Accept",
			Message: "the content has another media type", Allowed: o.mediaType + ", or " + mediaType}
	}
	return c.native(p, o, ask)
}

// native sends the content as it is.
func (c *call) native(p place, o *opening, ask byteRange) (answer, error) {
	h := c.out.Header()
	if ask.partial && ask.off >= o.size {
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(o.size, 10))
		return answer{}, &Fault{Status: http.StatusRequestedRangeNotSatisfiable, Type: "value", Code: "malformed", Expression: "http.header.Range",
			Message: "the range begins after the end", Allowed: fmt.Sprintf("%d bytes", o.size)}
	}
	length := o.size - ask.off
	if ask.n > 0 {
		length = min(length, ask.n)
	}
	h.Set("Content-Type", o.mediaType)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	// A browser shows nothing of it as this site's own.
	h.Set("Content-Disposition", "attachment")
	h.Set("X-Security-Context", "DocumentReference/"+p.id())
	if len(o.sha256) > 0 {
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(o.sha256)+":")
	}
	status := http.StatusOK
	if ask.partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", ask.off, ask.off+length-1, o.size))
	}
	c.begun = true
	c.out.WriteHeader(status)
	if c.in.Method == http.MethodHead {
		return answer{sent: true}, nil
	}
	n, err := o.WriteTo(c.out)
	if err == nil && n != length {
		err = io.ErrUnexpectedEOF
	}
	return answer{sent: true}, err
}

// binaryResource sends the content as a Binary resource in JSON, base64 within.
func (c *call) binaryResource(p place, o *opening) (answer, error) {
	h := c.out.Header()
	h.Set("Content-Type", mediaType+"; charset=utf-8; fhirVersion="+fhirVersion)
	c.begun = true
	c.out.WriteHeader(http.StatusOK)
	if c.in.Method == http.MethodHead {
		return answer{sent: true}, nil
	}
	before := marshal(struct {
		ResourceType    string    `json:"resourceType"`
		ID              string    `json:"id"`
		Meta            Meta      `json:"meta"`
		ContentType     string    `json:"contentType"`
		SecurityContext Reference `json:"securityContext"`
	}{"Binary", p.id(), Meta{VersionID: "1"}, o.mediaType, Reference{Reference: "DocumentReference/" + p.id()}})
	if o.size == 0 {
		_, err := c.out.Write(before)
		return answer{sent: true}, err
	}
	if _, err := c.out.Write(append(before[:len(before)-1], `,"data":"`...)); err != nil {
		return answer{}, err
	}
	to := base64.NewEncoder(base64.StdEncoding, c.out)
	n, err := o.WriteTo(to)
	if err == nil && n != o.size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = to.Close()
	}
	if err != nil {
		return answer{}, err
	}
	_, err = io.WriteString(c.out, `"}`)
	return answer{sent: true}, err
}

// takes reports whether the caller can read a media type.
func (c *call) takes(kind string) bool {
	if c.anything {
		return true
	}
	family, _, _ := strings.Cut(kind, "/")
	for _, a := range c.accepts {
		if a == kind || a == family+"/*" {
			return true
		}
	}
	return len(c.accepts) == 0
}

// A byteRange is what Range asks for: n bytes from off on, all that is left with n 0.
type byteRange struct {
	off, n  int64
	partial bool
}

// ranged reads Range (RFC 9110, section 14): one range of bytes. Several, and what isn't a
// range, mean the whole, as the RFC allows. So does HEAD; it has no use for content.
func (c *call) ranged(p place) (byteRange, error) {
	if c.in.Method == http.MethodHead {
		return byteRange{n: 0}, nil
	}
	header := c.in.Header.Get("Range")
	spec, ok := strings.CutPrefix(header, "bytes=")
	from, to, ok2 := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !ok2 || strings.Contains(spec, ",") || c.wantsJSON {
		return byteRange{}, nil
	}
	if condition := c.in.Header.Get("If-Range"); condition != "" {
		o, err := c.open(p, 0, 1)
		if err != nil {
			return byteRange{}, err
		}
		o.close()
		if len(o.sha256) == 0 || condition != `"`+hex.EncodeToString(o.sha256)+`"` {
			return byteRange{}, nil
		}
	}
	if from == "" {
		return c.suffix(p, to)
	}
	first, err := strconv.ParseUint(from, 10, 62)
	if err != nil {
		return byteRange{}, nil
	}
	if to == "" {
		return byteRange{int64(first), 0, true}, nil
	}
	last, err := strconv.ParseUint(to, 10, 62)
	if err != nil || last < first {
		return byteRange{}, nil
	}
	return byteRange{int64(first), int64(last-first) + 1, true}, nil
}

// suffix is the last bytes of a content, for which its size has to be known first.
func (c *call) suffix(p place, count string) (byteRange, error) {
	n, err := strconv.ParseUint(count, 10, 62)
	if err != nil || n == 0 {
		return byteRange{}, nil
	}
	o, err := c.open(p, 0, 1)
	if err != nil {
		return byteRange{}, err
	}
	o.close()
	return byteRange{max(0, o.size-int64(n)), 0, true}, nil
}
