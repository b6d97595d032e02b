package seal

import (
	"fmt"
	"io"
	"sync"
)

// Reader opens any range of a sealed part without reading the rest: io.ReaderAt
// over the content. A range costs the segments it touches, the first one also the
// last, which says how long the content is. Each segment is
// authenticated for its place; the digest of the whole is not checked, the
// anchored size and the key commitment are. Safe for concurrent use.
type Reader struct {
	src    io.ReaderAt
	stream *stream
	ad     AD
	sealed int64 // size
	last   int64 // index of the last segment
	size   int64 // of the content

	mu    sync.Mutex
	held  int64 // segment in plain, -1 for none
	plain []byte
	buf   []byte
}

// NewReader checks the key against the commitment and reads the header and the content's length.
func NewReader(src io.ReaderAt, key Key, ad AD, want Sealed) (*Reader, error) {
	if err := checkKey(key, ad, want); err != nil {
		return nil, err
	}
	if want.Size < headerSize+tagSize || (want.Size-1)/segmentSize >= 1<<32-1 {
		return nil, ad.fault(-1, ErrAnchor)
	}
	header := make([]byte, headerSize)
	if n, err := src.ReadAt(header, 0); n < headerSize {
		return nil, ad.fault(0, short(err))
	}
	if header[0] != headerSize {
		return nil, ad.fault(0, ErrTampered)
	}
	s, err := newStream(key, header, ad.bytes())
	if err != nil {
		return nil, ad.fault(0, err)
	}
	r := &Reader{src: src, stream: s, ad: ad, sealed: want.Size, last: (want.Size - 1) / segmentSize, held: -1}
	return r, r.measure()
}

// measure reads the content's length from the end.
func (r *Reader) measure() error {
	total := r.sealed - headerSize - (r.last+1)*tagSize
	if total < lengthSize {
		return r.ad.fault(-1, ErrPadding)
	}
	r.size = total
	var tail [lengthSize]byte
	if _, err := r.ReadAt(tail[:], total-lengthSize); err != nil {
		return err
	}
	size, ok := contentSize(tail[:], total)
	if !ok {
		return r.ad.fault(-1, ErrPadding)
	}
	r.size = size
	return nil
}

// Size of the content in bytes.
func (r *Reader) Size() int64 { return r.size }

// ReadAt implements io.ReaderAt over the content. Errors are *PartError.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read part %d of record %s: offset %d is negative", r.ad.Part, r.ad.Record, off)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	done := 0
	for done < len(p) {
		if off >= r.Size() {
			return done, io.EOF
		}
		segment, skip := locate(off)
		if err := r.hold(segment); err != nil {
			return done, err
		}
		n := copy(p[done:min(int64(len(p)), int64(done)+r.Size()-off)], r.plain[skip:])
		done += n
		off += int64(n)
	}
	return done, nil
}

// locate finds the segment that holds a plaintext offset, and the place in it.
func locate(off int64) (segment, skip int64) {
	const first, rest = segmentSize - headerSize - tagSize, segmentSize - tagSize
	if off < first {
		return 0, off
	}
	off -= first
	return 1 + off/rest, off % rest
}

// hold opens a segment into r.plain.
func (r *Reader) hold(segment int64) error {
	if r.held == segment {
		return nil
	}
	begin, end := segment*segmentSize, min((segment+1)*segmentSize, r.sealed)
	if segment == 0 {
		begin = headerSize
	}
	if r.buf == nil {
		r.buf = make([]byte, min(segmentSize, r.sealed))
	}
	sealed := r.buf[:end-begin]
	if n, err := r.src.ReadAt(sealed, begin); n < len(sealed) {
		return r.ad.fault(segment, short(err))
	}
	r.held = -1
	plain, err := r.stream.aead.Open(r.plain[:0], r.stream.nonce(segment, segment == r.last), sealed, nil)
	if err != nil {
		return r.ad.fault(segment, ErrTampered)
	}
	r.held, r.plain = segment, plain
	return nil
}
