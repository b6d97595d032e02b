package payload_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/gatewaytest"
	"yitong/cmd/yitong/synthetic"
	"yitong/gateway/payload"
)

// door is one member's, with a client of the member's own software.
type door struct {
	t     *testing.T
	base  string
	http  *http.Client
	trust *tls.Config
}

func open(t *testing.T, dir, member string, user ...string) door {
	t.Helper()
	p, err := client.ReadProfile(dir, member)
	for _, u := range user {
		p, err = p.For(u)
	}
	if err != nil {
		t.Fatal(err)
	}
	conf, err := p.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return door{t, "https://" + p.HTTP, &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}, conf}
}

func (d door) ask(method, path string, body io.Reader, headers ...string) *http.Response {
	d.t.Helper()
	in, err := http.NewRequest(method, d.base+path, body)
	if err != nil {
		d.t.Fatal(err)
	}
	if strings.HasPrefix(path, "/uploads/") {
		in.Header.Set("Tus-Resumable", "1.0.0")
	}
	if method == http.MethodPatch {
		in.Header.Set("Content-Type", "application/offset+octet-stream")
	}
	for i := 0; i < len(headers); i += 2 {
		in.Header.Set(headers[i], headers[i+1])
	}
	answer, err := d.http.Do(in)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func (d door) want(answer *http.Response, code int) *http.Response {
	d.t.Helper()
	if answer.StatusCode != code {
		text, _ := io.ReadAll(answer.Body)
		d.t.Fatalf("%s %s: %s, want %d: %s", answer.Request.Method, answer.Request.URL.Path, answer.Status, code, text)
	}
	return answer
}

func (d door) begin(size int, pairs ...string) string {
	d.t.Helper()
	var said []string
	for i := 0; i < len(pairs); i += 2 {
		said = append(said, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	made := d.want(d.ask("POST", "/uploads/", nil, "Upload-Length", strconv.Itoa(size), "Upload-Metadata", strings.Join(said, ",")), http.StatusCreated)
	if at, err := http.ParseTime(made.Header.Get("Upload-Expires")); err != nil || !at.After(time.Unix(0, 0)) {
		d.t.Errorf("it expires %q", made.Header.Get("Upload-Expires"))
	}
	return made.Header.Get("Location")
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{3}).Read(b)
	return b
}

var video = []string{"patient", "urn:x|1", "filetype", "video/mp4", "data_class", "imaging", "filename", "whatever"}

func TestTusAndThenReading(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	d := open(t, dir, "hospital-a")
	content := random(3<<20 + 77)

	options := d.want(d.ask("OPTIONS", "/uploads/", nil), http.StatusNoContent)
	if got := options.Header.Get("Tus-Extension"); got != "creation,checksum,expiration,termination" {
		t.Errorf("the extensions are %q", got)
	}
	at := d.begin(len(content), video...)
	// A connection that is cut in the middle of a piece: its Content-Length promises more.
	conn, err := tls.Dial("tcp", strings.TrimPrefix(d.base, "https://"), d.trust)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: %d\r\n\r\n", at, len(content))
	conn.Write(content[:1<<20])
	conn.Close()
	offset := 0
	for deadline := time.Now().Add(time.Minute); offset == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		head := d.want(d.ask("HEAD", at, nil), http.StatusOK)
		offset, _ = strconv.Atoi(head.Header.Get("Upload-Offset"))
		if head.Header.Get("Upload-Length") != strconv.Itoa(len(content)) {
			t.Fatalf("the length is %q", head.Header.Get("Upload-Length"))
		}
	}
	if offset == 0 || offset > 1<<20 {
		t.Fatalf("after the cut the upload has %d bytes of the %d that were sent", offset, 1<<20)
	}
	d.want(d.ask("PATCH", at, bytes.NewReader(content), "Upload-Offset", "7"), http.StatusConflict)
	sum := sha1.Sum(content[offset : offset+1000])
	piece := func() io.Reader { return bytes.NewReader(content[offset : offset+1000]) }
	d.want(d.ask("PATCH", at, piece(), "Upload-Offset", strconv.Itoa(offset), "Upload-Checksum", "sha1 "+base64.StdEncoding.EncodeToString(make([]byte, 20))), 460)
	d.want(d.ask("PATCH", at, piece(), "Upload-Offset", strconv.Itoa(offset), "Upload-Checksum", "sha1 "+base64.StdEncoding.EncodeToString(sum[:])), http.StatusNoContent)
	offset += 1000
	done := d.want(d.ask("PATCH", at, bytes.NewReader(content[offset:]), "Upload-Offset", strconv.Itoa(offset)), http.StatusNoContent)
	record := done.Header.Get("Yitong-Record")
	if record == "" || done.Header.Get("Yitong-Transaction") == "" || !strings.HasSuffix(at, record) {
		t.Fatalf("the last piece's answer names %q", record)
	}
	again := d.want(d.ask("HEAD", at, nil), http.StatusOK)
	if again.Header.Get("Upload-Offset") != strconv.Itoa(len(content)) || again.Header.Get("Yitong-Record") != record {
		t.Errorf("once it is submitted HEAD says %v", again.Header)
	}
	d.want(d.ask("PATCH", at, nil, "Upload-Offset", strconv.Itoa(len(content))), http.StatusNoContent)

	path := "/contents/own/" + record + "/0"
	whole := d.want(d.ask("GET", path, nil), http.StatusOK)
	got, err := io.ReadAll(whole.Body)
	digest := sha256.Sum256(content)
	if err != nil || !bytes.Equal(got, content) || whole.Header.Get("Repr-Digest") != "sha-256=:"+base64.StdEncoding.EncodeToString(digest[:])+":" {
		t.Errorf("read %d bytes, %v, %v", len(got), err, whole.Header)
	}
	for header, want := range map[string][]byte{"bytes=5-9": content[5:10], "bytes=3000000-": content[3000000:], "bytes=-10": content[len(content)-10:], "bytes=1048500-1048600": content[1048500:1048601]} {
		part := d.want(d.ask("GET", path, nil, "Range", header), http.StatusPartialContent)
		if got, err := io.ReadAll(part.Body); err != nil || !bytes.Equal(got, want) || !strings.HasSuffix(part.Header.Get("Content-Range"), fmt.Sprintf("/%d", len(content))) {
			t.Errorf("%s: %d bytes, %v, %s", header, len(got), err, part.Header.Get("Content-Range"))
		}
	}
	d.want(d.ask("GET", path, nil, "Range", "bytes=9999999-"), http.StatusRequestedRangeNotSatisfiable)
	d.want(d.ask("GET", path, nil, "Range", "bytes=1-2", "If-Range", `"other"`), http.StatusOK)
	d.want(d.ask("GET", "/contents/own/"+record+"/1", nil), http.StatusNotFound)
	d.want(d.ask("GET", "/contents/own/"+strings.Repeat("0", 32)+"/0", nil), http.StatusNotFound)
	open(t, dir, "hospital-b").want(open(t, dir, "hospital-b").ask("GET", path, nil), http.StatusNotFound)
}

// After the answer to its last piece was lost HEAD tells the size of the upload: of a Bundle that
// is none of its parts'.
func TestAFinishedBundleHasTheSizeThatWasUploaded(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	d := open(t, dir, "hospital-a")
	bundle := synthetic.Bundle(3, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	at := d.begin(len(bundle), "patient", "urn:x|1", "filetype", "application/fhir+json")
	d.want(d.ask("PATCH", at, bytes.NewReader(bundle), "Upload-Offset", "0"), http.StatusNoContent)
	head := d.want(d.ask("HEAD", at, nil), http.StatusOK)
	if size := strconv.Itoa(len(bundle)); head.Header.Get("Upload-Length") != size || head.Header.Get("Upload-Offset") != size || head.Header.Get("Yitong-Record") == "" {
		t.Errorf("of %s bytes HEAD says %v", size, head.Header)
	}
}

// Another caller, whom the policy lets upload too, gets no hold of an upload by its id.
func TestAnUploadIsNotThereForAnotherCaller(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	software, officer := open(t, dir, "hospital-a"), open(t, dir, "hospital-a", "records-officer")
	at := software.begin(100, video...)
	officer.want(officer.ask("HEAD", at, nil), http.StatusNotFound)
	officer.want(officer.ask("PATCH", at, bytes.NewReader(make([]byte, 100)), "Upload-Offset", "0"), http.StatusNotFound)
	officer.want(officer.ask("DELETE", at, nil), http.StatusNoContent)
	if head := software.want(software.ask("HEAD", at, nil), http.StatusOK); head.Header.Get("Upload-Offset") != "0" {
		t.Errorf("its own caller is told %v", head.Header)
	}
	own := officer.begin(100, video...)
	officer.want(officer.ask("HEAD", own, nil), http.StatusOK)
	software.want(software.ask("HEAD", own, nil), http.StatusNotFound)
}

func TestWhatTusRefuses(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	d := open(t, dir, "hospital-a")
	ask := func(code int, method, path string, headers ...string) {
		t.Helper()
		d.want(d.ask(method, path, nil, headers...), code)
	}
	at := d.begin(100, video...)
	ask(http.StatusPreconditionFailed, "HEAD", at, "Tus-Resumable", "0.2.2")
	ask(http.StatusBadRequest, "POST", "/uploads/", "Upload-Length", "-1")
	ask(http.StatusBadRequest, "POST", "/uploads/", "Upload-Defer-Length", "1")
	ask(http.StatusBadRequest, "POST", "/uploads/", "Upload-Length", "1", "Upload-Metadata", "patient !")
	ask(http.StatusBadRequest, "POST", "/uploads/", "Upload-Length", "1")
	ask(http.StatusUnsupportedMediaType, "PATCH", at, "Content-Type", "text/plain", "Upload-Offset", "0")
	ask(http.StatusBadRequest, "PATCH", at)
	ask(http.StatusBadRequest, "PATCH", at, "Upload-Offset", "0", "Upload-Checksum", "md5 AAAA")
	ask(http.StatusNotFound, "HEAD", "/uploads/"+strings.Repeat("0", 32))
	ask(http.StatusBadRequest, "HEAD", "/uploads/..%2f..%2fetc")
	d.want(d.ask("PATCH", at, bytes.NewReader(make([]byte, 101)), "Upload-Offset", "0"), http.StatusRequestEntityTooLarge)
	ask(http.StatusNoContent, "DELETE", at)
	ask(http.StatusNotFound, "HEAD", at)
	// The insurer holds no records.
	insurer := open(t, dir, "insurer")
	insurer.want(insurer.ask("POST", "/uploads/", nil, "Upload-Length", "1", "Upload-Metadata", "patient "+base64.StdEncoding.EncodeToString([]byte("urn:x|1"))+",media_type dmlkZW8vbXA0,data_class aW1hZ2luZw=="), http.StatusForbidden)
	if _, err := net.Dial("tcp", strings.TrimPrefix(d.base, "https://")); err != nil {
		t.Errorf("the door is gone: %v", err)
	}
}

func FuzzRequests(f *testing.F) {
	f.Add("bytes=0-1", "patient dXJuOng=,media_type dGV4dA==")
	f.Add("bytes=-5", "id ,x")
	f.Fuzz(func(t *testing.T, header, said string) { parse(t, header, said) })
}

func parse(t *testing.T, header, said string) {
	if s, ok := payload.RangeOf(header); ok && (s.First() < 0 || s.Length() < 0) {
		t.Errorf("the range %q is %+v", header, s)
	}
	if h, err := payload.Metadata(said); err == nil && (h.GetPatient() == nil || h.GetMediaType() == "") {
		t.Errorf("%q is taken", said)
	}
}
