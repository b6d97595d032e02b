// Package payload_test measures large contents against the same bytes by bare means, in pairs
// of one run:
//
//	go test ./test/bench/payload -run '^$' -bench . -benchtime 20x
//
// ratio is ours to the baseline, of the medians of throughput.
package payload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // s3:// URLs

	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/gatewaytest"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
	"yitong/test/objectstore"
)

var sizes = []int{1 << 20, 100 << 20}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{5}).Read(b)
	return b
}

// pairs runs both, in an order drawn anew each time, and reports the ratio of the medians.
func pairs(b *testing.B, size int, baseline, ours func()) {
	b.Helper()
	var took [2][]time.Duration
	var worked [2]time.Duration
	baseline()
	ours() // warm
	b.SetBytes(int64(size))
	b.ResetTimer()
	for range b.N {
		first := rand.IntN(2)
		for _, i := range []int{first, 1 - first} {
			begin, busy := time.Now(), cpu(b)
			[]func(){baseline, ours}[i]()
			took[i], worked[i] = append(took[i], time.Since(begin)), worked[i]+cpu(b)-busy
		}
	}
	b.StopTimer()
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return d[len(d)/2].Seconds()
	}
	b.ReportMetric(float64(size)/median(took[0])/1e6, "MB/s-base")
	b.ReportMetric(float64(size)/median(took[1])/1e6, "MB/s-ours")
	b.ReportMetric(median(took[0])/median(took[1]), "ratio")
	for i, arm := range []string{"base", "ours"} {
		b.ReportMetric(worked[i].Seconds()/float64(b.N)/float64(size)*(1<<30), "cpu-s/GiB-"+arm)
	}
}

// cpu is what this process has taken of the processors so far; the object store's isn't in it.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkRead reads an opened part over HTTPS, and the same bytes from net/http's own file
// server with TLS.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	gatewaytest.Start(b, dir)
	hospital, insurer := dial(b, dir, "hospital-a"), dial(b, dir, "insurer")
	for n, size := range sizes {
		b.Run(fmt.Sprintf("%dMiB", size>>20), func(b *testing.B) {
			content := random(size)
			patient := &yitongv1.Patient{System: "urn:bench", Value: fmt.Sprint(n, b.N)}
			_, err := hospital.Submit(b.Context(), &yitongv1.SubmitHeader{Id: client.NewID(), Patient: patient, MediaType: "video/mp4", DataClass: "imaging"}, bytes.NewReader(content))
			must(b, err)
			_, err = hospital.Consents.Grant(b.Context(), &yitongv1.GrantRequest{
				Id: client.NewID(), Patient: patient, Requester: "insurer", Form: []byte("signed"),
				Provision: &yitongv1.Provision{Type: "permit", Purposes: []string{"HPAYMT"}, Classes: []string{"imaging"}},
			})
			must(b, err)
			access, err := insurer.Accesses.Request(b.Context(), &yitongv1.AccessRequest{Id: client.NewID(), Custodian: "hospital-a", Patient: patient, Purpose: "CLMATTCH", Classes: []string{"imaging"}})
			must(b, err)
			parts, _, err := insurer.OpenKept(b.Context(), access.GetAccess().GetId(), "hospital-a", func(int64, int64) {})
			must(b, err)

			folder := b.TempDir()
			must(b, os.WriteFile(filepath.Join(folder, "file"), content, 0o600))
			plain := httptest.NewTLSServer(http.FileServer(http.Dir(folder)))
			defer plain.Close()
			ours, base := https(b, dir, "insurer")
			url := fmt.Sprintf("%s/contents/hospital-a/%s/%s/%d", base, access.GetAccess().GetId(), parts[0].GetRecordId(), parts[0].GetIndex())
			get := func(c *http.Client, url string) func() {
				buf := make([]byte, 256<<10)
				return func() {
					answer, err := c.Get(url)
					must(b, err)
					got, err := io.CopyBuffer(onlyWriter{io.Discard}, answer.Body, buf)
					answer.Body.Close()
					if must(b, err); got != int64(size) {
						b.Fatalf("%s: %d bytes", answer.Status, got)
					}
				}
			}
			pairs(b, size, get(plain.Client(), plain.URL+"/file"), get(ours, url))
		})
	}
}

type onlyWriter struct{ io.Writer }

// BenchmarkSeal seals into a real S3 server, digests and all, as Submit does, and puts the same
// bytes there by the SDK alone.
func BenchmarkSeal(b *testing.B) {
	server := objectstore.Start(b)
	sealed, err := vault.OpenURL(b.Context(), server.URL)
	must(b, err)
	defer sealed.Close()
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dMiB", size>>20), func(b *testing.B) {
			content := random(size)
			pairs(b, size, rawPut(b, server, content), func() {
				name, key := vault.NewName(), seal.NewKey()
				digest := sha256.New()
				must(b, sealed.Put(b.Context(), name, func(w io.Writer) error {
					_, err := seal.Seal(w, teeTo(digest, content), key, seal.AD{Record: "r", Class: record.Imaging})
					return err
				}))
				must(b, sealed.Delete(context.Background(), name))
			})
		})
	}
}

// BenchmarkSubmit is the whole of it: from the hospital's software over TLS through its gateway
// into a real S3 server, and anchored, by a ledger in this process; as a stream, and as an upload
// that can be taken up again. The baseline is the software putting the same bytes there itself.
func BenchmarkSubmit(b *testing.B) {
	server := objectstore.Start(b)
	dir := b.TempDir()
	gatewaytest.Start(b, dir, gatewaytest.Vault("hospital-a", server.URL))
	hospital := dial(b, dir, "hospital-a")
	header := func() *yitongv1.SubmitHeader {
		return &yitongv1.SubmitHeader{Id: client.NewID(), Patient: &yitongv1.Patient{System: "urn:bench", Value: "1"}, MediaType: "video/mp4", DataClass: "imaging"}
	}
	quiet := func(int64) {}
	for _, size := range sizes {
		content := random(size)
		for name, submit := range map[string]func() error{
			"stream": func() error {
				_, err := hospital.Submit(b.Context(), header(), bytes.NewReader(content))
				return err
			},
			"upload": func() error {
				_, err := hospital.Upload(b.Context(), header(), bytes.NewReader(content), int64(size), quiet, quiet)
				return err
			},
		} {
			b.Run(fmt.Sprintf("%s/%dMiB", name, size>>20), func(b *testing.B) {
				pairs(b, size, rawPut(b, server, content), func() { must(b, submit()) })
			})
		}
	}
}

// rawPut puts content into the bucket by the SDK alone.
func rawPut(b *testing.B, server *objectstore.Server, content []byte) func() {
	b.Helper()
	raw, err := blob.OpenBucket(b.Context(), server.URL+"&response_checksum_validation=when_required")
	must(b, err)
	b.Cleanup(func() { raw.Close() })
	return func() {
		w, err := raw.NewWriter(b.Context(), "raw", &blob.WriterOptions{ContentType: "application/octet-stream", BufferSize: 8 << 20, MaxConcurrency: 2})
		must(b, err)
		_, err = io.Copy(onlyWriter{w}, struct{ io.Reader }{bytes.NewReader(content)})
		must(b, err)
		must(b, w.Close())
	}
}

func teeTo(h hash.Hash, content []byte) io.Reader {
	return io.TeeReader(struct{ io.Reader }{bytes.NewReader(content)}, h)
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func dial(b *testing.B, dir, member string) *client.Client {
	b.Helper()
	p, err := client.ReadProfile(dir, member)
	must(b, err)
	c, err := client.Dial(p)
	must(b, err)
	b.Cleanup(func() { c.Close() })
	return c
}

// https is a member's own software at the HTTPS door.
func https(b *testing.B, dir, member string) (*http.Client, string) {
	b.Helper()
	p, err := client.ReadProfile(dir, member)
	must(b, err)
	config, err := p.TLS()
	must(b, err)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config}}, "https://" + p.HTTP
}
