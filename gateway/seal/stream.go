package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// The wire format is Tink's AES256-GCM-HKDF streaming AEAD with SHA-256 and
// segments of 1 MiB (developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming):
//
//	header     1 byte 40 | 32 bytes salt | 7 bytes nonce prefix
//	segment i  AES-256-GCM(file key, nonce_i, plaintext_i), no associated data
//	file key   HKDF-SHA-256(key, salt, info = associated data), 32 bytes
//	nonce_i    nonce prefix | i as 4 bytes big-endian | 1 if last, else 0
//
// Every segment but the last fills its MiB; the header counts to the first. Only
// the first may be empty.
const (
	segmentSize = 1 << 20
	saltSize    = 32
	prefixSize  = 7
	headerSize  = 1 + saltSize + prefixSize
	tagSize     = 16
)

// stream is one sealed file's cipher.
type stream struct {
	aead   cipher.AEAD
	prefix [prefixSize]byte
}

func newStream(key Key, header []byte, ad []byte) (*stream, error) {
	salt, prefix := header[1:1+saltSize], header[1+saltSize:headerSize]
	fileKey, err := hkdf.Key(sha256.New, key[:], salt, string(ad), 32)
	if err != nil {
		return nil, err
	}
	defer clear(fileKey)
	block, err := aes.NewCipher(fileKey)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &stream{aead: aead, prefix: [prefixSize]byte(prefix)}, nil
}

func (s *stream) nonce(segment int64, last bool) []byte {
	n := make([]byte, 0, 12)
	n = append(n, s.prefix[:]...)
	n = binary.BigEndian.AppendUint32(n, uint32(segment))
	if last {
		return append(n, 1)
	}
	return append(n, 0)
}

// encrypt seals src into dst and gives every sealed byte to d, which may be nil.
// It returns the sealed size in bytes.
func encrypt(dst io.Writer, src io.Reader, key Key, ad []byte, d *digester) (int64, error) {
	header := make([]byte, headerSize)
	header[0] = headerSize
	rand.Read(header[1:])
	s, err := newStream(key, header, ad)
	if err != nil {
		return 0, err
	}
	if _, err := dst.Write(header); err != nil {
		return 0, fmt.Errorf("write sealed bytes: %w", err)
	}
	d.header(header)
	size := int64(headerSize)

	in := &ahead{src: src, first: segmentSize - headerSize - tagSize, rest: segmentSize - tagSize}
	defer in.release()
	for {
		buf, n, last, err := in.next()
		if err != nil {
			return size, err
		}
		if in.segment > math.MaxUint32-1 {
			buffers.Put(buf)
			return size, ErrTooLong
		}
		sealed := s.aead.Seal(buf[:0], s.nonce(in.segment, last), buf[:n], nil)
		if _, err := dst.Write(sealed); err != nil {
			buffers.Put(buf)
			return size, fmt.Errorf("write sealed bytes: %w", err)
		}
		size += int64(len(sealed))
		d.add(buf, len(sealed))
		if last {
			return size, nil
		}
	}
}

// decrypt verifies and opens src into dst, gives every sealed byte to d, and
// returns how many there were.
func decrypt(dst io.Writer, src io.Reader, key Key, ad AD, d *digester) (int64, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(src, header); err != nil {
		return 0, ad.fault(0, short(err))
	}
	if header[0] != headerSize {
		return 0, ad.fault(0, ErrTampered)
	}
	s, err := newStream(key, header, ad.bytes())
	if err != nil {
		return 0, ad.fault(0, err)
	}
	d.header(header)
	size := int64(headerSize)

	plain := buffers.Get().(*buffer)
	defer wipe(plain)
	in := &ahead{src: src, first: segmentSize - headerSize, rest: segmentSize}
	defer in.release()
	for {
		buf, n, last, err := in.next()
		if err != nil {
			return size, ad.fault(in.segment, err)
		}
		if in.segment > math.MaxUint32-1 {
			buffers.Put(buf)
			return size, ad.fault(in.segment, ErrTooLong)
		}
		// Not in place: the digest still needs the sealed bytes.
		opened, err := s.aead.Open(plain[:0], s.nonce(in.segment, last), buf[:n], nil)
		if err != nil {
			buffers.Put(buf)
			return size, ad.fault(in.segment, ErrTampered)
		}
		size += int64(n)
		d.add(buf, n)
		if _, err := dst.Write(opened); err != nil {
			return size, fmt.Errorf("write opened bytes: %w", err)
		}
		if last {
			return size, nil
		}
	}
}

// short turns the end of a file that ends too early into ErrTampered.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTampered
	}
	return err
}

// ahead reads whole segments, one ahead, because only the one before the end is
// the last.
type ahead struct {
	src         io.Reader
	first, rest int // bytes a segment holds
	segment     int64
	buf         *buffer // read, not given out yet
	n           int
	ended       bool
	begun       bool
}

// next gives out the next segment; the buffer belongs to the caller.
func (a *ahead) next() (buf *buffer, n int, last bool, err error) {
	if !a.begun {
		a.begun = true
		if err := a.fill(a.first); err != nil {
			return nil, 0, false, err
		}
	} else {
		a.segment++
	}
	buf, n, a.buf = a.buf, a.n, nil
	if a.ended {
		return buf, n, true, nil
	}
	if err := a.fill(a.rest); err != nil {
		buffers.Put(buf)
		return nil, 0, false, err
	}
	return buf, n, a.n == 0, nil
}

func (a *ahead) fill(size int) error {
	a.buf = buffers.Get().(*buffer)
	n, err := io.ReadFull(a.src, a.buf[:size])
	a.n = n
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		a.ended = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

func (a *ahead) release() {
	if a.buf != nil {
		wipe(a.buf)
		a.buf = nil
	}
}
