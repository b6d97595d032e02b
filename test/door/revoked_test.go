package door_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/gatewaytest"
)

// web is a member's software at the HTTPS door of its gateway, over one connection that it keeps.
type web struct {
	*testing.T
	base string
	cert *x509.Certificate
	*http.Client
}

func software(t *testing.T, c *gatewaytest.Consortium, member string, user ...string) web {
	t.Helper()
	p := c.Profile(t, member)
	for _, u := range user {
		var err error
		if p, err = p.For(u); err != nil {
			t.Fatal(err)
		}
	}
	return showing(t, c, member, p)
}

// showing is who calls with a profile.
func showing(t *testing.T, c *gatewaytest.Consortium, member string, p client.Profile) web {
	t.Helper()
	own, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: c.Roots(t, member), ServerName: p.ServerName, Certificates: []tls.Certificate{own},
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return web{t, "https://" + p.HTTP, cert, &http.Client{Transport: transport}}
}

func (w web) ask(method, path string, body io.Reader, headers ...string) (*http.Response, error) {
	in, err := http.NewRequestWithContext(w.Context(), method, w.base+path, body)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		in.Header.Set(headers[i], headers[i+1])
	}
	return w.Do(in)
}

// A30: what a certificate had under way when it was revoked is cut off, over connections that are
// there already: the next request at once, a stream within ten seconds or so.
func TestWhatARevokedCertificateHasUnderWayIsCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("streams are looked at every ten seconds; gateway/api has the same, quickly")
	}
	c := gatewaytest.Start(t, t.TempDir())
	const tus = "1.0.0"
	// uploading begins an upload, and sends a byte now and then. What ended it comes at the end;
	// came is told how much is there by now.
	uploading := func(w web) (ended <-chan int, came func() int64, stop func()) {
		var said []string
		for _, pair := range [][2]string{{"patient", "urn:x|" + w.cert.SerialNumber.String()}, {"filetype", "video/mp4"}, {"data_class", "imaging"}} {
			said = append(said, pair[0]+" "+base64.StdEncoding.EncodeToString([]byte(pair[1])))
		}
		made, err := w.ask(http.MethodPost, "/uploads/", nil, "Tus-Resumable", tus, "Upload-Length", strconv.Itoa(64<<20), "Upload-Metadata", strings.Join(said, ","))
		if err != nil || made.StatusCode != http.StatusCreated {
			w.Fatalf("%v %v", made, err)
		}
		made.Body.Close()
		content, more := io.Pipe()
		done, stopped := make(chan int, 1), make(chan struct{})
		go func() {
			piece := make([]byte, 64<<10)
			for {
				if _, err := more.Write(piece); err != nil {
					return
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-stopped:
					more.Close()
					return
				}
			}
		}()
		at := strings.TrimPrefix(made.Header.Get("Location"), w.base)
		go func() {
			out, err := w.ask(http.MethodPatch, at, content, "Tus-Resumable", tus, "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
			content.CloseWithError(io.ErrClosedPipe)
			if err != nil {
				done <- 0 // the stream was reset on us
				return
			}
			out.Body.Close()
			done <- out.StatusCode
		}()
		other := showing(t, c, "hospital-a", c.Renewed(t, "hospital-a")) // an upload is its caller's alone
		return done, func() int64 {
			out, err := other.ask(http.MethodHead, at, nil, "Tus-Resumable", tus)
			if err != nil {
				t.Fatal(err)
			}
			out.Body.Close()
			n, err := strconv.ParseInt(out.Header.Get("Upload-Offset"), 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", out.Status, err)
			}
			return n
		}, func() { close(stopped) }
	}
	watching := func(w web) <-chan string {
		out, err := w.ask(http.MethodGet, "/v1/events", nil)
		if err != nil || out.StatusCode != http.StatusOK {
			w.Fatalf("%v %v", out, err)
		}
		ended := make(chan string, 1)
		go func() {
			defer out.Body.Close()
			var all strings.Builder
			_, err := io.Copy(&all, bufio.NewReader(out.Body))
			if err != nil {
				all.WriteString(err.Error())
			}
			ended <- all.String()
		}()
		return ended
	}
	whoami := func(w web) int {
		out, err := w.ask(http.MethodGet, "/v1/whoami", nil)
		if err != nil {
			t.Fatal(err)
		}
		out.Body.Close()
		return out.StatusCode
	}

	stolen, kept := software(t, c, "hospital-a"), software(t, c, "hospital-b")
	upload, came, stop := uploading(stolen)
	defer stop()
	watch, keptWatch := watching(stolen), watching(kept)
	if a, b := whoami(stolen), whoami(kept); a != http.StatusOK || b != http.StatusOK {
		t.Fatalf("control: before anything is revoked %d and %d", a, b)
	}
	revoked := time.Now()
	c.Revoke(stolen.cert)
	if code := whoami(stolen); code != http.StatusUnauthorized {
		t.Errorf("the next request on the connection that was there: %d", code)
	}
	for what, ended := range map[string]func() string{
		"the events": func() string { return <-watch },
		"the upload": func() string { return strconv.Itoa(<-upload) },
	} {
		over := make(chan string, 1)
		go func() { over <- ended() }()
		select {
		case how := <-over:
			t.Logf("%s ended %s after the revocation: %.200q", what, time.Since(revoked).Round(time.Millisecond), how)
			if what == "the upload" && how != "401" && how != "0" {
				t.Errorf("the upload was answered %s", how)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s go on under the revoked certificate", what)
		}
	}
	before := came()
	if before >= 64<<20 {
		t.Error("the upload is whole: it wasn't cut off")
	}
	if code := whoami(kept); code != http.StatusOK {
		t.Errorf("control: another member's software is answered %d", code)
	}
	select {
	case how := <-keptWatch:
		t.Errorf("control: another watch ended: %.200q", how)
	default:
	}
	if after := came(); after != before {
		t.Errorf("%d bytes came after the upload was cut off", after-before)
	}
	if before == 0 {
		t.Error("control: nothing of the upload came at all, so nothing was cut off")
	}
}
