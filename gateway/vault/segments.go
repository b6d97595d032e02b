package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// What arrives piece by piece, over connections that break, is kept in segments: blobs of
// at most SegmentSize bytes under names drawn at random. A segment is whole and durable once
// it is kept; whoever keeps the list of them goes on from its end after any crash, and at
// most one segment has to come again.

// SegmentSize is how many bytes a segment holds at most.
const SegmentSize = 64 << 20

// Segment is one of them.
type Segment struct {
	Name Name  `json:"name"`
	Size int64 `json:"size"` // bytes
}

// Segments are bytes in order.
type Segments []Segment

// Size is how many bytes there are.
func (s Segments) Size() (n int64) {
	for _, one := range s {
		n += one.Size
	}
	return n
}

// Range reads n bytes from off on; they must be within Size. Nothing is checked but the
// segments' sizes: what is in them is authenticated where it is opened.
func (s Segments) Range(ctx context.Context, v Vault, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off > s.Size()-n {
		return nil, fmt.Errorf("%d bytes from %d on, of %d: there are none", n, off, s.Size())
	}
	return &segmentReader{ctx: ctx, vault: v, segments: s, off: off, left: n}, nil
}

// Delete deletes all of them.
func (s Segments) Delete(ctx context.Context, v Vault) error {
	var failed error
	for _, one := range s {
		failed = errors.Join(failed, v.Delete(ctx, one.Name))
	}
	return failed
}

type segmentReader struct {
	ctx      context.Context
	vault    Vault
	segments Segments
	off      int64 // in the first of segments
	left     int64
	open     io.ReadCloser
}

func (r *segmentReader) Read(b []byte) (int, error) {
	for {
		if r.left == 0 {
			return 0, io.EOF
		}
		if r.open == nil {
			for r.off >= r.segments[0].Size {
				r.off, r.segments = r.off-r.segments[0].Size, r.segments[1:]
			}
			at := r.segments[0]
			from, err := r.vault.Range(r.ctx, at.Name, Sum{Size: at.Size}, r.off, min(at.Size-r.off, r.left))
			if err != nil {
				return 0, err
			}
			r.open = from
		}
		n, err := r.open.Read(b)
		r.off, r.left = r.off+int64(n), r.left-int64(n)
		if err == io.EOF {
			err = r.open.Close()
			r.open = nil
			if err == nil && r.left > 0 && r.off < r.segments[0].Size {
				err = fmt.Errorf("read part %s: %w", r.segments[0].Name, ErrCorrupt) // cut while it was open
			}
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (r *segmentReader) Close() error {
	if r.open == nil {
		return nil
	}
	return r.open.Close()
}

// A SegmentWriter keeps what is written to it in segments. Memory is constant. kept is told
// of each once it is durable, and notes it; an error of it ends the writing.
type SegmentWriter struct {
	ctx   context.Context
	vault Vault
	kept  func(Segment) error

	pipe *io.PipeWriter // into the segment under way; nil for none
	done chan error
	name Name
	size int64
	err  error
}

// NewSegmentWriter begins. Close it: what was written last is only then kept. The end of
// ctx keeps nothing from being kept.
func NewSegmentWriter(ctx context.Context, v Vault, kept func(Segment) error) *SegmentWriter {
	return &SegmentWriter{ctx: context.WithoutCancel(ctx), vault: v, kept: kept}
}

func (w *SegmentWriter) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		if w.err != nil {
			return written, w.err
		}
		if w.pipe == nil {
			w.begin()
		}
		n, err := w.pipe.Write(b[:min(int64(len(b)), SegmentSize-w.size)])
		written, b = written+n, b[n:]
		if w.size += int64(n); w.size == SegmentSize || err != nil {
			w.err = w.end()
		}
	}
	return written, w.err
}

// Close keeps what was written last.
func (w *SegmentWriter) Close() error {
	if w.pipe != nil {
		w.err = errors.Join(w.err, w.end())
	}
	return w.err
}

func (w *SegmentWriter) begin() {
	from, to := io.Pipe()
	w.pipe, w.done, w.name, w.size = to, make(chan error, 1), NewName(), 0
	name, done := w.name, w.done
	go func() {
		err := w.vault.Put(w.ctx, name, func(dst io.Writer) error {
			_, err := io.CopyBuffer(onlyWriter{dst}, onlyReader{from}, make([]byte, 256<<10))
			return err
		})
		from.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		done <- err
	}()
}

// end waits until the segment under way is durable.
func (w *SegmentWriter) end() error {
	w.pipe.Close()
	w.pipe = nil
	if err := <-w.done; err != nil {
		return fmt.Errorf("keeping a segment: %w", err)
	}
	return w.kept(Segment{Name: w.name, Size: w.size})
}

// These hide what else a reader and a writer can do, so that a copy goes through one buffer.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)
