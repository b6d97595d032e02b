package fhir

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Bounds of what comes in, without its Content-Encoding: the guard in front inflates, and
// has all bodies under way share one memory.
const (
	maxResource = 4 << 20  // bytes of a resource
	maxBundle   = 64 << 20 // … of a Bundle, a DocumentReference or a Binary in JSON
)

// body reads the whole body, at most limit bytes of it.
func (c *call) body(limit int64) ([]byte, error) {
	if c.in.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	doc, err := io.ReadAll(http.MaxBytesReader(c.out, c.in.Body, limit))
	if err != nil {
		return nil, bodyFault(err)
	}
	return doc, nil
}

// bodyFault says why a body couldn't be read.
func bodyFault(err error) error {
	f := faultOf(err)
	if f.Type != "exception" {
		return f
	}
	return invalid("http.body", "the body broke off", "the whole body again")
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
