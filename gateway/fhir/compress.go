package fhir

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Bounds of what comes in.
const (
	maxResource = 4 << 20  // bytes of a resource
	maxBundle   = 64 << 20 // … of a Bundle, a DocumentReference or a Binary in JSON
	maxRatio    = 100      // bytes out of one compressed byte …
	freeRatio   = 1 << 20  // … from so many bytes on
)

// body reads the whole body, decompressed, at most limit bytes of it.
func (c *call) body(limit int64) ([]byte, error) {
	r, err := c.content(limit)
	if err != nil {
		return nil, err
	}
	doc, err := io.ReadAll(r)
	if err != nil {
		return nil, bodyFault(err)
	}
	return doc, nil
}

// content is the body, decompressed and bounded.
func (c *call) content(limit int64) (io.Reader, error) {
	if c.in.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	compressed := http.MaxBytesReader(c.out, c.in.Body, limit)
	switch coding := strings.ToLower(strings.TrimSpace(c.in.Header.Get("Content-Encoding"))); coding {
	case "", "identity":
		return compressed, nil
	case "gzip", "x-gzip":
		counted := &counting{r: compressed}
		z, err := gzip.NewReader(counted)
		if err != nil {
			return nil, bodyFault(err)
		}
		return &inflating{from: z, in: counted, limit: limit}, nil
	}
	return nil, &Fault{Status: http.StatusUnsupportedMediaType, Type: "not-supported", Code: "unsupported-media-type", Expression: "http.header.Content-Encoding",
		Message: "this encoding isn't taken", Allowed: "gzip, or none"}
}

// bodyFault says why a body couldn't be read.
func bodyFault(err error) error {
	f := faultOf(err)
	if f.Type != "exception" {
		return f
	}
	return invalid("http.body", "the body broke off or its encoding is damaged", "the whole body again")
}

type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// inflating ends with an error once more comes out than what came in can honestly hold:
// a bomb costs its sender as many bytes as us.
type inflating struct {
	from  io.Reader
	in    *counting
	out   int64
	limit int64
}

func (i *inflating) Read(b []byte) (int, error) {
	n, err := i.from.Read(b)
	i.out += int64(n)
	if i.out > i.limit {
		return 0, tooLarge(i.limit)
	}
	if i.out > freeRatio && i.out > maxRatio*i.in.n {
		return 0, &Fault{Status: http.StatusRequestEntityTooLarge, Type: "too-costly", Code: "too-large", Expression: "http.body",
			Message: "the body is compressed out of proportion", Allowed: "the same without Content-Encoding"}
	}
	return n, err
}

// A squeezer compresses an answer.
type squeezer struct {
	*gzip.Writer
}

var squeezers = sync.Pool{New: func() any { z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed); return z }}

// worthwhile is how many bytes an answer has that is compressed.
const worthwhile = 1 << 10

// writer is where an answer of size bytes goes (-1 is unknown): compressed, if the caller
// takes that and it is worth it. Headers must be set before, and sent after.
func (c *call) writer(size int) io.Writer {
	h := c.out.Header()
	h.Add("Vary", "Accept, Accept-Encoding")
	if size >= 0 && size < worthwhile || !acceptsGzip(c.in.Header.Get("Accept-Encoding")) {
		return c.out
	}
	h.Set("Content-Encoding", "gzip")
	z := squeezers.Get().(*gzip.Writer)
	if c.in.Method == http.MethodHead {
		z.Reset(io.Discard)
	} else {
		z.Reset(c.out)
	}
	c.squeezed = &squeezer{z}
	return z
}

func (s *squeezer) close() {
	if s == nil {
		return
	}
	_ = s.Close()
	s.Reset(io.Discard)
	squeezers.Put(s.Writer)
}

func acceptsGzip(header string) bool {
	for _, part := range strings.Split(header, ",") {
		coding, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if (coding == "gzip" || coding == "*") && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
