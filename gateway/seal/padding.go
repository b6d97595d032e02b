package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
)

// What is sealed is the content, zeros, and the content's length as 8 bytes big-endian, together as
// long as a bucket. So the sealed size, which the vault, the network and in sum the ledger show,
// says into which bucket the content fell and nothing closer; the length itself is authenticated
// with the last segment.
//
// The buckets are Padmé's (Nikitin et al., Reducing Metadata Leakage from Encrypted Files and
// Communication with PURBs, PETS 2019, section 4): of a length's binary digits only about as many
// stay as its magnitude has, so that O(log log n) bits leak, at a cost of at most 6 % that falls
// with the length (1.6 % at 1 GiB). Below smallest all are one bucket: of the parts of Synthea's
// records, which are small, 187 in 213 had a size of their own, and a nearest-neighbour guess at the
// class from the size was right for 37 in 100; with these buckets it is 20, for 7.7 % more bytes (a
// guess at the commonest class is right for 11). docs/threat-model.md says what remains.
const (
	lengthSize = 8
	smallest   = 16 << 10
)

// ErrPadding: every segment is authentic, and yet it isn't what Seal makes: whoever sealed the part
// did it wrongly. What was written must be thrown away. It comes inside a *PartError.
var ErrPadding = errors.New("the part is not padded as it must be")

// paddedSize is the length of what is sealed for content of n bytes.
func paddedSize(n int64) int64 { return max(padme(n+lengthSize), smallest) }

// padme rounds a length up to the next one whose binary form ends in enough zeros.
func padme(n int64) int64 {
	if n < 2 {
		return n
	}
	exponent := bits.Len64(uint64(n)) - 1
	kept := bits.Len(uint(exponent)) // the digits after the first that may differ from zero
	low := int64(1)<<max(exponent-kept, 0) - 1
	return (n + low) &^ low
}

// padder reads content and after it the padding.
type padder struct {
	src   io.Reader
	n     int64 // content read
	ended bool
	zeros int64 // still to come
	tail  []byte
}

func (p *padder) Read(b []byte) (int, error) {
	if !p.ended {
		n, err := p.src.Read(b)
		p.n += int64(n)
		if err == io.EOF {
			p.ended, err = true, nil
			p.zeros = paddedSize(p.n) - p.n - lengthSize
			p.tail = binary.BigEndian.AppendUint64(nil, uint64(p.n))
		}
		if n > 0 || err != nil || !p.ended {
			return n, err
		}
	}
	if len(b) == 0 {
		return 0, nil
	}
	if p.zeros > 0 {
		n := int(min(p.zeros, int64(len(b))))
		clear(b[:n])
		p.zeros -= int64(n)
		return n, nil
	}
	if len(p.tail) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.tail)
	p.tail = p.tail[n:]
	return n, nil
}

// unpadder passes on the content of what is written to it. It holds back what may be padding: the
// last 8 bytes, and a number of zeros before them.
type unpadder struct {
	dst   io.Writer
	total int64 // bytes taken, padding included
	n     int64 // content passed on
	zeros int64 // held back before tail
	tail  []byte
}

func (u *unpadder) Write(b []byte) (int, error) {
	u.total += int64(len(b))
	if len(b) < lengthSize {
		u.tail = append(u.tail, b...)
		over := max(len(u.tail)-lengthSize, 0)
		err := u.pass(u.tail[:over])
		u.tail = u.tail[:copy(u.tail, u.tail[over:])]
		return len(b), err
	}
	if err := u.pass(u.tail); err != nil {
		return 0, err
	}
	end := len(b) - lengthSize
	u.tail = append(u.tail[:0], b[end:]...)
	return len(b), u.pass(b[:end])
}

// pass writes b but for the zeros at its end.
func (u *unpadder) pass(b []byte) error {
	end := withoutZeros(b)
	if end == 0 {
		u.zeros += int64(len(b))
		return nil
	}
	if err := u.flush(u.zeros); err != nil {
		return err
	}
	u.zeros = int64(len(b) - end)
	n, err := u.dst.Write(b[:end])
	u.n += int64(n)
	return err
}

// flush writes so many of the zeros held back.
func (u *unpadder) flush(zeros int64) error {
	for zeros > 0 {
		n, err := u.dst.Write(nothing[:min(zeros, int64(len(nothing)))])
		u.n += int64(n)
		if err != nil {
			return err
		}
		zeros -= int64(n)
	}
	return nil
}

// finish passes on the zeros that are content's, once all is written. The error is ErrPadding, or
// the writer's.
func (u *unpadder) finish() error {
	size, ok := contentSize(u.tail, u.total)
	if !ok || size < u.n || size-u.n > u.zeros {
		return ErrPadding
	}
	return u.flush(size - u.n)
}

// contentSize reads the length at the end of total padded bytes; only one length goes with them.
func contentSize(tail []byte, total int64) (int64, bool) {
	if len(tail) != lengthSize {
		return 0, false
	}
	size := binary.BigEndian.Uint64(tail)
	if size > uint64(total) || paddedSize(int64(size)) != total {
		return 0, false
	}
	return int64(size), true
}

var nothing [4096]byte

// withoutZeros is the length of b without the zeros at its end. Blocks are compared rather than
// bytes, so that a part of nothing but zeros opens as fast as any.
func withoutZeros(b []byte) int {
	end := len(b)
	for end >= len(nothing) && bytes.Equal(b[end-len(nothing):end], nothing[:]) {
		end -= len(nothing)
	}
	for end > 0 && b[end-1] == 0 {
		end--
	}
	return end
}
