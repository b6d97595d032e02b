package seal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"yitong/gateway/seal"
)

// TestOnlyTheBucketShowsInTheSize holds what an observer sees to what it may: contents of one bucket
// are sealed to one size, and a bucket costs at most a sixteenth.
func TestOnlyTheBucketShowsInTheSize(t *testing.T) {
	size := func(n int) int64 {
		s, err := seal.Seal(io.Discard, bytes.NewReader(make([]byte, n)), seal.NewKey(), place)
		if err != nil {
			t.Fatal(err)
		}
		return s.Size
	}
	of := map[int64]int{}
	for n := 0; n <= 1<<17; n += 61 {
		s := size(n)
		of[s]++
		if most := max(float64(n+8)*1.0625, 16384); float64(s-header-tag) > most {
			t.Errorf("%d bytes are sealed to %d: more than 1/16", n, s)
		}
	}
	if len(of) > 80 {
		t.Errorf("%d sizes between 0 and 128 KiB", len(of))
	}
	if a, b := size(0), size(16376); a != b {
		t.Errorf("nothing is sealed to %d bytes, 16376 bytes to %d", a, b)
	}
	if a, b := size(16376), size(16377); a == b {
		t.Error("a bucket ends where it shouldn't")
	}
}

// TestContentThatLooksLikePadding opens contents made of zeros and lengths, in chunks of any size, and
// reads ranges of them.
func TestContentThatLooksLikePadding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var content []byte
		for range rapid.IntRange(0, 5).Draw(t, "pieces") {
			n := rapid.SampledFrom([]int{0, 1, 7, 8, 9, 4095, 4096, 4097, 9000, 70_000, first}).Draw(t, "length")
			switch rapid.SampledFrom([]string{"zeros", "bytes", "length"}).Draw(t, "kind") {
			case "zeros":
				content = append(content, make([]byte, n)...)
			case "bytes":
				content = append(content, bytesOf(n)...)
			case "length":
				content = binary.BigEndian.AppendUint64(content, uint64(len(content)))
			}
		}
		key := seal.NewKey()
		var file bytes.Buffer
		source := rapid.SampledFrom([]func(io.Reader) io.Reader{iotest.DataErrReader, iotest.HalfReader, func(r io.Reader) io.Reader { return r }}).Draw(t, "source")
		s, err := seal.Seal(&file, source(bytes.NewReader(content)), key, place)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := seal.Open(&out, bytes.NewReader(file.Bytes()), key, place, s); err != nil || !bytes.Equal(out.Bytes(), content) {
			t.Fatalf("%d bytes came back as %d, %v", len(content), out.Len(), err)
		}
		r, err := seal.NewReader(bytes.NewReader(file.Bytes()), key, place, s)
		if err != nil || r.Size() != int64(len(content)) {
			t.Fatalf("the reader says %d, %v", r.Size(), err)
		}
		at := rapid.IntRange(0, len(content)).Draw(t, "at")
		got := make([]byte, rapid.IntRange(0, len(content)-at+20).Draw(t, "n"))
		n, err := r.ReadAt(got, int64(at))
		if want := min(len(got), len(content)-at); n != want || (err == io.EOF) != (n < len(got)) || !bytes.Equal(got[:n], content[at:at+n]) {
			t.Fatalf("%d bytes at %d of %d: %d, %v", len(got), at, len(content), n, err)
		}
	})
}

// TestPaddingThatIsWrongIsRefused has the custodian, who has the key, seal what Seal wouldn't: two
// lengths for one content, or a message beside the content.
func TestPaddingThatIsWrongIsRefused(t *testing.T) {
	body := func(total, length uint64) []byte {
		b := make([]byte, total)
		binary.BigEndian.PutUint64(b[total-8:], length)
		return b
	}
	hidden := body(16384, 100)
	hidden[4000] = 1
	for name, plain := range map[string][]byte{
		"no bytes at all":                       {},
		"less than a length":                    {0, 0, 7},
		"a length alone":                        body(8, 0),
		"a length beyond the bytes":             body(16384, 16377),
		"a length of all ones":                  body(16384, math.MaxUint64),
		"a negative length":                     body(16384, 1<<63),
		"a length of a smaller bucket":          body(32768, 3000),
		"something else than zeros":             hidden,
		"a size that isn't a bucket":            body(17001, 16993),
		"more zeros than a bucket holds, a lot": body(3*segment, 12),
	} {
		key := seal.NewKey()
		file := tinkSeal(t, key, plain)
		if err := seal.Open(io.Discard, bytes.NewReader(file), key, place, sumOf(file, key)); !errors.Is(err, seal.ErrPadding) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "something else than zeros" {
			continue // a range isn't of the padding
		}
		if _, err := seal.NewReader(bytes.NewReader(file), key, place, sumOf(file, key)); !errors.Is(err, seal.ErrPadding) {
			t.Errorf("%s, by ranges: %v", name, err)
		}
	}
}
