package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"yitong/gateway/seal"
)

// Sizes of the benchmarks: a laboratory report and a CT study.
var benchSizes = []struct {
	name  string
	bytes int64
}{{"1MiB", 1 << 20}, {"1GiB", 1 << 30}}

// endless gives the same pseudorandom bytes again and again at memory speed, as
// much as asked for, so that no disk is measured.
type endless struct {
	block []byte
	left  int64
}

func stream(n int64) *endless { return &endless{block: bytesOf(4 << 20), left: n} }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), int64(len(e.block)), e.left)
	copy(p, e.block[:n])
	e.left -= n
	return int(n), nil
}

// sealedFile is sealed to disk; opening it reads from the page cache.
func sealedFile(b *testing.B, key seal.Key, n int64) (*os.File, seal.Sealed) {
	f, err := os.CreateTemp(b.TempDir(), "sealed")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	s, err := seal.Seal(f, stream(n), key, place)
	if err != nil {
		b.Fatal(err)
	}
	return f, s
}

func BenchmarkRawGCM(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			b.SetBytes(size.bytes)
			for b.Loop() {
				rawGCM(size.bytes)
			}
		})
	}
}

// raw is one segment, made once: at 1 MiB, making it would cost more than what is
// to be measured.
var raw = make([]byte, segment+tag)

// rawGCM is the bound: AES-256-GCM over segments of 1 MiB already in the cache,
// on one core, without reading, copying or framing.
func rawGCM(n int64) {
	block, _ := aes.NewCipher(make([]byte, 32))
	aead, _ := cipher.NewGCM(block)
	nonce := make([]byte, 12)
	for ; n > 0; n -= segment {
		aead.Seal(raw[:0], nonce, raw[:segment], nil)
	}
}

func BenchmarkSHA256(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			b.SetBytes(size.bytes)
			for b.Loop() {
				rawSHA(size.bytes)
			}
		})
	}
}

func rawSHA(n int64) {
	h := sha256.New()
	for ; n > 0; n -= segment {
		h.Write(raw[:segment])
	}
	h.Sum(nil)
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			src := stream(0)
			b.SetBytes(size.bytes)
			b.ReportAllocs()
			for b.Loop() {
				src.left = size.bytes
				if _, err := seal.Seal(io.Discard, src, seal.Key{}, place); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSealWithoutDigest(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			src := stream(0)
			b.SetBytes(size.bytes)
			for b.Loop() {
				src.left = size.bytes
				if _, err := seal.EncryptOnly(io.Discard, src, seal.Key{}, place); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			f, s := sealedFile(b, seal.Key{}, size.bytes)
			b.SetBytes(size.bytes)
			b.ReportAllocs()
			for b.Loop() {
				if err := seal.Open(io.Discard, io.NewSectionReader(f, 0, s.Size), seal.Key{}, place, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpenWithoutDigest reads the whole part as a range: every segment is
// authenticated, the digest of the whole is not.
func BenchmarkOpenWithoutDigest(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			f, s := sealedFile(b, seal.Key{}, size.bytes)
			p := make([]byte, 1<<20)
			b.SetBytes(size.bytes)
			for b.Loop() {
				r, err := seal.NewReader(f, seal.Key{}, place, s)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{io.NewSectionReader(r, 0, r.Size())}, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRangeOf1MiB(b *testing.B) {
	f, s := sealedFile(b, seal.Key{}, 1<<30)
	r, err := seal.NewReader(f, seal.Key{}, place, s)
	if err != nil {
		b.Fatal(err)
	}
	p, at := make([]byte, 1<<20), int64(0)
	b.SetBytes(1 << 20)
	for b.Loop() {
		at = (at + 411<<20) % (r.Size() - 1<<20)
		if _, err := r.ReadAt(p, at); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTinkSeal(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			src, a := stream(0), tink(b, seal.Key{})
			b.SetBytes(size.bytes)
			for b.Loop() {
				src.left = size.bytes
				w, err := a.NewEncryptingWriter(io.Discard, tinkAD())
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.CopyBuffer(w, struct{ io.Reader }{src}, make([]byte, 1<<20)); err != nil {
					b.Fatal(err)
				}
				w.Close()
			}
		})
	}
}

func BenchmarkAgeSeal(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			id, err := age.GenerateX25519Identity()
			if err != nil {
				b.Fatal(err)
			}
			src := stream(0)
			b.SetBytes(size.bytes)
			for b.Loop() {
				src.left = size.bytes
				w, err := age.Encrypt(io.Discard, id.Recipient())
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.CopyBuffer(w, struct{ io.Reader }{src}, make([]byte, 1<<20)); err != nil {
					b.Fatal(err)
				}
				w.Close()
			}
		})
	}
}

// BenchmarkRatio measures sealing with its digest against its bound, the slower
// of raw AES-256-GCM and SHA-256, in turns within one run: what other load the
// machine has falls on all three alike. It reports medians of the rounds.
func BenchmarkRatio(b *testing.B) {
	const n = 256 << 20
	src := stream(0)
	var sealRatio, openRatio, gcm, sha, sealing []float64
	speed := func(f func()) float64 {
		start := time.Now()
		f()
		return n / time.Since(start).Seconds() / 1e6
	}
	f, s := sealedFile(b, seal.Key{}, n)
	for b.Loop() {
		g := speed(func() { rawGCM(n) })
		h := speed(func() { rawSHA(n) })
		w := speed(func() {
			src.left = n
			if _, err := seal.Seal(io.Discard, src, seal.Key{}, place); err != nil {
				b.Fatal(err)
			}
		})
		r := speed(func() {
			if err := seal.Open(io.Discard, io.NewSectionReader(f, 0, s.Size), seal.Key{}, place, s); err != nil {
				b.Fatal(err)
			}
		})
		gcm, sha, sealing = append(gcm, g), append(sha, h), append(sealing, w)
		sealRatio, openRatio = append(sealRatio, w/min(g, h)), append(openRatio, r/min(g, h))
	}
	median := func(x []float64) float64 {
		slices.Sort(x)
		return x[len(x)/2]
	}
	b.ReportMetric(median(gcm), "GCM-MB/s")
	b.ReportMetric(median(sha), "SHA-MB/s")
	b.ReportMetric(median(sealing), "seal-MB/s")
	b.ReportMetric(median(sealRatio), "seal/bound")
	b.ReportMetric(median(openRatio), "open/bound")
}

// BenchmarkPeakMemory seals and opens streams of growing size and reports the
// process's peak resident memory (VmHWM) after each, in MiB.
func BenchmarkPeakMemory(b *testing.B) {
	for _, gib := range []int64{1, 4, 8} {
		b.Run(fmt.Sprintf("%dGiB", gib), func(b *testing.B) {
			runtime.GC()
			os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // starts VmHWM anew
			src := stream(0)
			for b.Loop() {
				src.left = gib << 30
				r, w := io.Pipe()
				key := seal.NewKey()
				go func() {
					_, err := seal.Seal(w, src, key, place)
					w.CloseWithError(err)
				}()
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(peak(b), "peak-MiB")
		})
	}
}

func peak(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc here")
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}

func BenchmarkWrap(b *testing.B) {
	priv := pair(b)
	pub := priv.Public()
	b.Run("wrap", func(b *testing.B) {
		for b.Loop() {
			if _, err := seal.Wrap(pub, scene, seal.Key{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	w, err := seal.Wrap(pub, scene, seal.Key{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("unwrap", func(b *testing.B) {
		for b.Loop() {
			if _, err := seal.Unwrap(priv, scene, w); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	doc := bundle(slices.Repeat([]string{resource(`"resourceType":"Observation","category":[{"coding":[{"code":"laboratory"}]}],"effectiveDateTime":"2020-01-01","code":{"coding":[{"system":"http://loinc.org","code":"2339-0"}],"text":"` + strings.Repeat("x", 600) + `"}`)}, 2000)...)
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if _, err := seal.Split(bytes.Clone(doc)); err != nil {
			b.Fatal(err)
		}
	}
}
