package fhir_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/gatewaytest"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/fhir"
)

// BenchmarkBinary reads a content over TLS, and the same bytes from net/http's file server,
// in turn; and what it costs of the processor, client and all, for others may be using it too.
func BenchmarkBinary(b *testing.B) {
	dir := b.TempDir()
	gatewaytest.Start(b, dir)
	hospital, insurer := open(b, dir, "hospital-a", ""), open(b, dir, "insurer", "")
	files := httptest.NewUnstartedServer(http.FileServer(http.Dir(dir)))
	files.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	files.StartTLS()
	defer files.Close()
	at := map[int]string{}
	for _, mib := range []int{1, 100} {
		content := make([]byte, mib<<20)
		r := rand.NewChaCha8([32]byte{byte(mib)})
		_, _ = r.Read(content)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(mib)), content, 0o600); err != nil {
			b.Fatal(err)
		}
		at[mib] = put(b, hospital.grpc, content)
	}
	access := share(b, hospital, insurer, "document")
	for _, mib := range []int{1, 100} {
		for name, get := range map[string]func() (*http.Response, error){
			"own": func() (*http.Response, error) { return hospital.http.Get(hospital.base + "/Binary/" + at[mib] + "-0") },
			"opened": func() (*http.Response, error) {
				return insurer.http.Get(insurer.base + "/Binary/" + at[mib] + "-0-" + fhir.Shortened(access))
			},
			"file": func() (*http.Response, error) { return files.Client().Get(files.URL + "/" + fmt.Sprint(mib)) },
		} {
			b.Run(fmt.Sprintf("%dMiB/%s", mib, name), func(b *testing.B) {
				b.SetBytes(int64(mib) << 20)
				spent := processor(b)
				for b.Loop() {
					r, err := get()
					if err != nil {
						b.Fatal(err)
					}
					n, err := io.Copy(io.Discard, r.Body)
					r.Body.Close()
					if err != nil || n != int64(mib)<<20 {
						b.Fatalf("%d bytes, %v (%s)", n, err, r.Status)
					}
				}
				b.ReportMetric((processor(b)-spent).Seconds()/float64(b.N*mib)*1024, "cpu-s/GiB")
			})
		}
	}
}

// processor is the time that this process has had of it.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// put submits a file by gRPC: in JSON it would be too large.
func put(b *testing.B, c *client.Client, content []byte) string {
	stream, err := c.Records.Submit(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	header := &yitongv1.SubmitHeader{Patient: &yitongv1.Patient{System: mrnSystem, Value: mrnValue}, MediaType: "application/octet-stream", DataClass: "document"}
	err = stream.Send(&yitongv1.SubmitRequest{Message: &yitongv1.SubmitRequest_Header{Header: header}})
	for r := bytes.NewReader(content); err == nil && r.Len() > 0; {
		chunk := make([]byte, min(1<<20, r.Len()))
		_, _ = r.Read(chunk)
		err = stream.Send(&yitongv1.SubmitRequest{Message: &yitongv1.SubmitRequest_Content{Content: chunk}})
	}
	if err != nil {
		b.Fatal(err)
	}
	done, err := stream.CloseAndRecv()
	if err != nil {
		b.Fatal(err)
	}
	return done.GetRecord().GetId()
}
