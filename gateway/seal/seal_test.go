package seal_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	mrand "math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"yitong/chaincode/record"
	"yitong/gateway/seal"
)

const (
	segment = 1 << 20
	header  = 40
	tag     = 16
	first   = segment - header - tag // plaintext of the first segment
	rest    = segment - tag          // plaintext of the others
)

var place = seal.AD{Record: "0123456789abcdef0123456789abcdef", Part: 3, Class: record.Laboratory}

func bytesOf(n int) []byte {
	b := make([]byte, n)
	c := mrand.NewChaCha8([32]byte{byte(n)})
	c.Read(b)
	return b
}

func sealed(t testing.TB, plain []byte, key seal.Key) ([]byte, seal.Sealed) {
	t.Helper()
	var out bytes.Buffer
	s, err := seal.Seal(&out, bytes.NewReader(plain), key, place)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), s
}

var sizes = []int{0, 1, 15, 16, 17, 1000, first - 1, first, first + 1, first + rest - 1, first + rest, first + rest + 1, 3*segment + 7}

func TestWhatIsSealedOpens(t *testing.T) {
	for _, n := range sizes {
		t.Run(fmt.Sprintf("%d bytes", n), func(t *testing.T) {
			key, plain := seal.NewKey(), bytesOf(n)
			file, s := sealed(t, plain, key)
			if s.Size != int64(len(file)) {
				t.Errorf("size %d, wrote %d", s.Size, len(file))
			}
			var out bytes.Buffer
			if err := seal.Open(&out, iotest.HalfReader(bytes.NewReader(file)), key, place, s); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), plain) {
				t.Error("what opened is not what was sealed")
			}
		})
	}
}

// padded is what is sealed of a content, as this test, not the package, makes it: the content, zeros,
// and the content's length in 8 bytes, together 16 KiB or a length of Padmé's (PETS 2019, algorithm 1).
func padded(content []byte) []byte {
	l := len(content) + 8
	e := int(math.Floor(math.Log2(float64(l))))
	s := int(math.Floor(math.Log2(float64(e)))) + 1
	last := e - s
	mask := int(math.Pow(2, float64(last))) - 1
	total := max((l+mask)&^mask, 16384)
	return binary.BigEndian.AppendUint64(append(bytes.Clone(content), make([]byte, total-l)...), uint64(len(content)))
}

// tinkAD is the associated data as this test, not the package, encodes it: the
// format is frozen by it.
func tinkAD() []byte {
	var b []byte
	text := func(s string) { b = append(append(b, 0, 0, 0, byte(len(s))), s...) }
	text("yitong sealed part v2")
	text(place.Record)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, byte(place.Part))
	text("laboratory")
	return b
}

func tink(t testing.TB, key seal.Key) *subtle.AESGCMHKDF {
	t.Helper()
	a, err := subtle.NewAESGCMHKDF(key[:], "SHA256", 32, segment, 0)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTinkOpensWhatWeSeal(t *testing.T) {
	for _, n := range sizes {
		key, plain := seal.NewKey(), bytesOf(n)
		file, _ := sealed(t, plain, key)
		r, err := tink(t, key).NewDecryptingReader(bytes.NewReader(file), tinkAD())
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, padded(plain)) {
			t.Errorf("%d bytes: Tink read %d bytes, %v", n, len(got), err)
		}
	}
}

func TestWeOpenWhatTinkSeals(t *testing.T) {
	for _, n := range sizes {
		key, plain := seal.NewKey(), bytesOf(n)
		file := tinkSeal(t, key, padded(plain))
		var out bytes.Buffer
		if err := seal.Open(&out, bytes.NewReader(file), key, place, sumOf(file, key)); err != nil || !bytes.Equal(out.Bytes(), plain) {
			t.Errorf("%d bytes: %v", n, err)
		}
		r, err := seal.NewReader(bytes.NewReader(file), key, place, sumOf(file, key))
		if err != nil || r.Size() != int64(n) {
			t.Fatalf("%d bytes: reader %v", n, err)
		}
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: ranges: %v", n, err)
		}
	}
}

func tinkSeal(t testing.TB, key seal.Key, plain []byte) []byte {
	var file bytes.Buffer
	w, err := tink(t, key).NewEncryptingWriter(&file, tinkAD())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestAChangedFileDoesNotOpen gives Open the digest of the changed file, so that
// the cipher alone has to notice, and checks that what was written before the
// fault is what was sealed there and ends before the bad segment.
func TestAChangedFileDoesNotOpen(t *testing.T) {
	key := seal.NewKey()
	plain := bytesOf(3*segment + segment/4 - 8) // four segments, of a length that needs no padding
	file, _ := sealed(t, plain, key)
	other, _ := sealed(t, plain, key)
	cut := func(n int) func([]byte) []byte { return func(f []byte) []byte { return f[:n] } }
	flip := func(at int) func([]byte) []byte {
		return func(f []byte) []byte { f[at] ^= 1; return f }
	}
	const s = segment
	cases := []struct {
		name   string
		change func([]byte) []byte
		bad    int64 // segment that doesn't open
	}{
		{"nothing left", cut(0), 0},
		{"header cut", cut(header - 1), 0},
		{"header alone", cut(header), 0},
		{"less than a tag", cut(header + tag - 1), 0},
		{"cut at the end of the first segment", cut(s), 0},
		{"cut at the end of the second segment", cut(2 * s), 1},
		{"cut at the end of the third segment", cut(3 * s), 2},
		{"cut within the second segment", cut(s + 5000), 1},
		{"last byte missing", cut(len(file) - 1), 3},
		{"a byte more", func(f []byte) []byte { return append(f, 0) }, 3},
		{"filled up to a whole segment and one more", func(f []byte) []byte { return append(f, make([]byte, s)...) }, 3},
		{"last segment twice", func(f []byte) []byte { return append(f, f[3*s:]...) }, 3},
		{"second and third exchanged", func(f []byte) []byte {
			return bytes.Join([][]byte{f[:s], f[2*s : 3*s], f[s : 2*s], f[3*s:]}, nil)
		}, 1},
		{"second twice", func(f []byte) []byte {
			return bytes.Join([][]byte{f[:2*s], f[s : 2*s], f[3*s:]}, nil)
		}, 2},
		{"third missing", func(f []byte) []byte { return append(f[:2*s], f[3*s:]...) }, 2},
		{"third from another file under the same key", func(f []byte) []byte {
			return bytes.Join([][]byte{f[:2*s], other[2*s : 3*s], f[3*s:]}, nil)
		}, 2},
		{"header from another file under the same key", func(f []byte) []byte {
			return append(bytes.Clone(other[:header]), f[header:]...)
		}, 0},
		{"bit in the header's length", flip(0), 0},
		{"bit in the salt", flip(20), 0},
		{"bit in the nonce prefix", flip(35), 0},
		{"bit in the first byte sealed", flip(header), 0},
		{"bit in the first tag", flip(s - 1), 0},
		{"bit in the second segment", flip(s + 77), 1},
		{"bit in the last segment", flip(3*s + 50), 3},
		{"bit in the last tag", flip(len(file) - 1), 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			changed := c.change(bytes.Clone(file))
			want := sumOf(changed, key)
			var out bytes.Buffer
			err := seal.Open(&out, bytes.NewReader(changed), key, place, want)
			var pe *seal.PartError
			if !errors.Is(err, seal.ErrTampered) || !errors.As(err, &pe) {
				t.Fatalf("got %v", err)
			}
			if pe.Segment != c.bad || pe.Part != place.Part || pe.Record != place.Record {
				t.Errorf("names %+v, want segment %d", pe, c.bad)
			}
			released := 0
			if c.bad > 0 {
				released = first + int(c.bad-1)*rest - 8 // which might be the length
			}
			if !bytes.Equal(out.Bytes(), bytes.TrimRight(plain[:released], "\x00")) {
				t.Errorf("%d bytes released, want the %d before the bad segment", out.Len(), released)
			}
			// The same by ranges: the bad segment doesn't open.
			r, err := seal.NewReader(bytes.NewReader(changed), key, place, want)
			if err == nil {
				_, err = r.ReadAt(make([]byte, 9), int64(released))
			}
			if err == nil {
				t.Error("a range of the bad segment opened")
			}
		})
	}
}

// TestEveryBitCounts flips bits at random places; Tink's own view of the same
// file is the control that the file was good.
func TestEveryBitCounts(t *testing.T) {
	key := seal.NewKey()
	file, s := sealed(t, bytesOf(first+4000), key)
	rnd := mrand.New(mrand.NewPCG(1, 2))
	flips := 300
	if testing.Short() {
		flips = 40
	}
	for range flips {
		at, bit := rnd.IntN(len(file)), byte(1)<<rnd.IntN(8)
		file[at] ^= bit
		if err := seal.Open(io.Discard, bytes.NewReader(file), key, place, s); !errors.Is(err, seal.ErrTampered) {
			t.Errorf("bit %x of byte %d: %v", bit, at, err)
		}
		file[at] ^= bit
	}
	if err := seal.Open(io.Discard, bytes.NewReader(file), key, place, s); err != nil {
		t.Errorf("the file itself: %v", err)
	}
}

func TestAPartOpensOnlyInItsPlace(t *testing.T) {
	key := seal.NewKey()
	file, s := sealed(t, []byte("glucose"), key)
	elsewhere := map[string]seal.AD{
		"another record": {Record: "1123456789abcdef0123456789abcdef", Part: place.Part, Class: place.Class},
		"another part":   {Record: place.Record, Part: place.Part + 1, Class: place.Class},
		"another class":  {Record: place.Record, Part: place.Part, Class: record.Imaging},
	}
	for name, ad := range elsewhere {
		var out bytes.Buffer
		if err := seal.Open(&out, bytes.NewReader(file), key, ad, s); !errors.Is(err, seal.ErrTampered) || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
	}
}

func TestAnotherKeyIsRefusedBeforeAnythingIsRead(t *testing.T) {
	key := seal.NewKey()
	_, s := sealed(t, []byte("glucose"), key)
	unread := iotest.ErrReader(errors.New("was read"))
	if err := seal.Open(io.Discard, unread, seal.NewKey(), place, s); !errors.Is(err, seal.ErrKey) {
		t.Errorf("Open: %v", err)
	}
	if _, err := seal.NewReader(nil, seal.NewKey(), place, s); !errors.Is(err, seal.ErrKey) {
		t.Errorf("NewReader: %v", err)
	}
}

func TestAnotherFileUnderTheSameKeyIsNotWhatWasAnchored(t *testing.T) {
	key := seal.NewKey()
	_, anchored := sealed(t, []byte("glucose 5.1"), key)
	other, _ := sealed(t, []byte("glucose 9.9"), key)
	if err := seal.Open(io.Discard, bytes.NewReader(other), key, place, anchored); !errors.Is(err, seal.ErrAnchor) {
		t.Errorf("got %v", err)
	}
}

func TestRangesAreThoseOfThePlaintext(t *testing.T) {
	key := seal.NewKey()
	plain := bytesOf(first + 2*rest + 9)
	file, s := sealed(t, plain, key)
	counted := &counter{r: bytes.NewReader(file)}
	r, err := seal.NewReader(counted, key, place, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(io.NewSectionReader(r, first-20, 40), plain[first-20:first+20]); err != nil {
		t.Error(err)
	}
	rnd := mrand.New(mrand.NewPCG(3, 4))
	for range 60 {
		at := rnd.IntN(len(plain))
		n := rnd.IntN(min(len(plain)-at, segment)) + 1
		counted.n = 0
		got := make([]byte, n)
		if _, err := r.ReadAt(got, int64(at)); err != nil || !bytes.Equal(got, plain[at:at+n]) {
			t.Fatalf("%d bytes at %d: %v", n, at, err)
		}
		if counted.n > int64(n)+2*segment {
			t.Errorf("%d bytes at %d touched %d sealed bytes", n, at, counted.n)
		}
	}
	if n, err := r.ReadAt(make([]byte, 5), r.Size()-2); n != 2 || err != io.EOF {
		t.Errorf("over the end: %d, %v", n, err)
	}
	if _, err := r.ReadAt(make([]byte, 5), -1); err == nil {
		t.Error("a negative offset was read")
	}
}

type counter struct {
	r io.ReaderAt
	n int64
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	return c.r.ReadAt(p, off)
}

func TestErrorsOfReaderAndWriterComeThrough(t *testing.T) {
	boom := errors.New("boom")
	key := seal.NewKey()
	file, s := sealed(t, bytesOf(2*segment), key)
	broken := func(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b), iotest.ErrReader(boom)) }
	if _, err := seal.Seal(io.Discard, broken(bytesOf(segment+1)), key, place); !errors.Is(err, boom) {
		t.Errorf("Seal, reader: %v", err)
	}
	if _, err := seal.Seal(&full{left: segment + 100}, bytes.NewReader(bytesOf(3*segment)), key, place); !errors.Is(err, errFull) {
		t.Errorf("Seal, writer: %v", err)
	}
	if err := seal.Open(io.Discard, broken(file[:segment+9]), key, place, s); !errors.Is(err, boom) {
		t.Errorf("Open, reader: %v", err)
	}
	if err := seal.Open(&full{left: 100}, bytes.NewReader(file), key, place, s); !errors.Is(err, errFull) {
		t.Errorf("Open, writer: %v", err)
	}
}

var errFull = errors.New("full")

type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestKeysDoNotPrint(t *testing.T) {
	key := seal.Key(bytes.Repeat([]byte{0xab}, 32))
	priv, err := seal.GenerateKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{key, &key, priv, seal.GenerateSigningKey(), struct{ K seal.Key }{key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
			if s := fmt.Sprintf(verb, v); bytes.Contains([]byte(s), []byte("ab")) || bytes.Contains([]byte(s), []byte("171")) {
				t.Errorf("%s of %T: %s", verb, v, s)
			}
		}
		if b, err := json.Marshal(v); err == nil {
			t.Errorf("JSON of %T: %s", v, b)
		}
	}
}

func TestTwoKeysAreNeverTheSame(t *testing.T) {
	a, b := seal.NewKey(), seal.NewKey()
	if a == b || a.Commitment() == b.Commitment() || a.Commitment() == record.Hash(a) {
		t.Error("keys or commitments coincide")
	}
	// The commitment is on the ledger for ever: its derivation is frozen here.
	const want = "02166ef209f860fadac3b25e0cbbafbc0d91a6e6a5b794a041221435cc36738c"
	if got := (seal.Key{1}).Commitment().String(); got != want {
		t.Errorf("the commitment is derived otherwise: %s", got)
	}
}
