package seal

import (
	"errors"
	"fmt"
	"io"
)

// At gives n of a part's sealed bytes from off on, in order.
type At func(off, n int64) (io.ReadCloser, error)

// OpenRange opens n bytes of a part's content from off on into dst, of size bytes that the
// content has: what Seal was given, which the caller has kept. It reads the segments that
// hold them and no more (of a range that doesn't begin in the first, also the header).
// Each segment is authenticated for its place before any of it is written; that the whole
// is what was anchored only Open tells. Memory is that of Open. Errors are *PartError over
// ErrKey, ErrAnchor and ErrTampered, or those of at and dst.
func OpenRange(dst io.Writer, at At, key Key, ad AD, want Sealed, size, off, n int64) error {
	if err := checkKey(key, ad, want); err != nil {
		return err
	}
	switch {
	case off < 0 || n < 0 || off > size-n:
		return fmt.Errorf("open part %d of record %s: %d bytes from %d on, of %d: there are none", ad.Part, ad.Record, n, off, size)
	case want.Size < headerSize+tagSize || (want.Size-1)/segmentSize >= 1<<32-1 || sealedSize(size) != want.Size:
		return ad.fault(-1, ErrAnchor)
	case n == 0:
		return nil
	}
	segment, skip := locate(off)
	end, _ := locate(off + n - 1)
	s, err := openHeader(at, key, ad)
	if err != nil {
		return err
	}
	begin := max(segment*segmentSize, headerSize)
	src, err := at(begin, min((end+1)*segmentSize, want.Size)-begin)
	if err != nil {
		return err
	}
	defer src.Close()
	sealed, plain := buffers.Get().(*buffer), buffers.Get().(*buffer)
	defer buffers.Put(sealed)
	defer wipe(plain)
	for last := (want.Size - 1) / segmentSize; segment <= end; segment++ {
		next := min((segment+1)*segmentSize, want.Size)
		if _, err := io.ReadFull(src, sealed[:next-begin]); err != nil {
			return ad.fault(segment, short(err))
		}
		opened, err := s.aead.Open(plain[:0], s.nonce(segment, segment == last), sealed[:next-begin], nil)
		if err != nil {
			return ad.fault(segment, ErrTampered)
		}
		opened = opened[skip:min(int64(len(opened)), skip+n)]
		if _, err := dst.Write(opened); err != nil {
			return fmt.Errorf("write opened bytes: %w", err)
		}
		begin, skip, n = next, 0, n-int64(len(opened))
	}
	return nil
}

func openHeader(at At, key Key, ad AD) (*stream, error) {
	src, err := at(0, headerSize)
	if err != nil {
		return nil, err
	}
	header := make([]byte, headerSize)
	_, err = io.ReadFull(src, header)
	if err := errors.Join(err, src.Close()); err != nil {
		return nil, ad.fault(0, short(err))
	}
	if header[0] != headerSize {
		return nil, ad.fault(0, ErrTampered)
	}
	s, err := newStream(key, header, ad.bytes())
	if err != nil {
		return nil, ad.fault(0, err)
	}
	return s, nil
}

// sealedSize is how many bytes Seal makes of n bytes of content.
func sealedSize(n int64) int64 {
	const first, rest = segmentSize - headerSize - tagSize, segmentSize - tagSize
	padded := paddedSize(n)
	segments := int64(1)
	if padded > first {
		segments += (padded - first + rest - 1) / rest
	}
	return headerSize + padded + segments*tagSize
}
