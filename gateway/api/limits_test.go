package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"yitong/chaincode/registry"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
	"yitong/network/fabric/authority"
)

func TestEveryLimitThatIsWrongIsNamed(t *testing.T) {
	err := api.Limits{Body: 1, Message: 1, Rate: -1, Burst: -1, Requests: 4, RequestsPerCaller: 5, Pause: time.Nanosecond, Idle: 1000 * time.Hour}.Check()
	for _, name := range []string{"body", "message", "rate", "burst", "requests_per_caller", "pause", "idle"} {
		if err == nil || !strings.Contains(err.Error(), "limits."+name+" is ") {
			t.Errorf("%s isn't named in %v", name, err)
		}
	}
	if err := (api.Limits{}).Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if strings.Contains(err.Error(), "limits.export") {
		t.Errorf("what is right is named: %v", err)
	}
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"0", "512", "512B", "4MiB", "4 MiB", "10GiB", "-1", "9999999TiB", "x", "MiB", "1e3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, again api.Size
		if s.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s || s < 0 {
			t.Errorf("%q is %d, written %s, read %d: %v", text, s, s, again, err)
		}
	})
}

// guarded is an HTTPS door with limits before a handler.
type guarded struct {
	own     *authority.Authority
	address string
	log     *lines
	limits  *api.Limiter
	client  tls.Certificate
}

// lines are a log's.
type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

func guard(t *testing.T, limits api.Limits, handler http.HandlerFunc) *guarded {
	t.Helper()
	g := &guarded{own: newAuthority(t, "own"), log: &lines{}, limits: api.NewLimiter(limits)}
	cert := pair(t, g.own, authority.Gateway)
	g.client = pair(t, g.own, authority.Client)
	server := api.NewWeb(api.Config{
		Gateway:     &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Kind: registry.Hospital}}},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
		Tokens:      everyBearer(), Trust: api.Trust{"OwnMSP": root(t, g.own)}, Log: slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Limits: g.limits,
	}, api.Mount{
		Path: "/at/", New: func(grpc.ClientConnInterface) http.Handler { return handler },
		Streams: func(in *http.Request) bool { return strings.HasSuffix(in.URL.Path, "/upload") },
		Public:  []string{"/at/everybody", "/at/everybody/upload"},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = listener.Addr().String()
	go server.ServeTLS(g.limits.Bound(listener), "", "")
	t.Cleanup(func() { server.Close() })
	return g
}

// as is a client that shows a certificate.
func (g *guarded) as(t *testing.T, cert tls.Certificate) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, g.own), Certificates: []tls.Certificate{cert}}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (g *guarded) ask(t *testing.T, c *http.Client, path string, body io.Reader) (*http.Response, string) {
	t.Helper()
	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+g.address+path, body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	doc, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return out, string(doc)
}

// raw sends bytes over a connection of its own, HTTP/1.1, and reads the answer.
func (g *guarded) raw(t *testing.T, send func(net.Conn)) (*http.Response, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", g.address, &tls.Config{RootCAs: pool(t, g.own), Certificates: []tls.Certificate{g.client}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go send(conn)
	return http.ReadResponse(bufio.NewReader(conn), nil)
}

func echo(out http.ResponseWriter, in *http.Request) {
	n, err := io.Copy(io.Discard, in.Body)
	if err != nil {
		http.Error(out, "the handler was handed a body that can't be read", http.StatusTeapot)
		return
	}
	fmt.Fprint(out, n)
}

func TestABodyIsBoundedInSizeTimeAndMemory(t *testing.T) {
	g := guard(t, api.Limits{Body: 1 << 20, Bodies: 2 << 20, Upload: 3 << 20}, echo)
	c := g.as(t, g.client)
	of := func(n int) io.Reader { return bytes.NewReader(make([]byte, n)) }
	unknown := func(r io.Reader) io.Reader { return io.MultiReader(r) } // chunked
	for _, test := range []struct {
		name, path string
		body       io.Reader
		code       int
		want       string
	}{
		{"one that fits", "/at/", of(1 << 20), 200, "1048576"},
		{"one of unknown length that fits", "/at/", unknown(of(1 << 20)), 200, "1048576"},
		{"none", "/at/", nil, 200, "0"},
		{"one that is too large", "/at/", of(1<<20 + 1), 413, "too-large"},
		{"one of unknown length that is too large", "/at/", unknown(of(1<<20 + 1)), 413, "1MiB"},
		{"an upload", "/at/upload", of(3 << 20), 200, "3145728"},
		{"an upload that is too large", "/at/upload", of(3<<20 + 1), 413, "too-large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, doc := g.ask(t, c, test.path, test.body)
			if out.StatusCode != test.code || !strings.Contains(doc, test.want) {
				t.Errorf("%d %s", out.StatusCode, doc)
			}
		})
	}
	t.Run("more is announced than comes", func(t *testing.T) {
		out, err := g.raw(t, func(c net.Conn) {
			fmt.Fprintf(c, "POST /at/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nshort")
			c.(*tls.Conn).CloseWrite()
		})
		if err != nil || out.StatusCode != 400 {
			t.Errorf("%v %v", out, err)
		}
	})
	if held := g.limits.Load().Bodies; held != 0 {
		t.Errorf("%s are held after all of it", held)
	}
	g = guard(t, api.Limits{Pause: 200 * time.Millisecond, Pace: 1 << 20}, echo) // hurried
	t.Run("one byte at a time", func(t *testing.T) {
		begun := time.Now()
		out, err := g.raw(t, func(c net.Conn) {
			fmt.Fprintf(c, "POST /at/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
			for range 100 {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
		if err != nil || out.StatusCode != 408 {
			t.Errorf("%v %v after %s", out, err, time.Since(begun))
		}
	})
	t.Run("silence", func(t *testing.T) {
		out, err := g.raw(t, func(c net.Conn) { fmt.Fprintf(c, "POST /at/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nx") })
		if err != nil || out.StatusCode != 408 {
			t.Errorf("%v %v", out, err)
		}
	})
	if held := g.limits.Load().Bodies; held != 0 {
		t.Errorf("%s are held after all of it", held)
	}
}

// What all bodies may take together is refused to whoever comes then, and comes back.
func TestBodiesShareTheirMemory(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	g := guard(t, api.Limits{Body: 1 << 20, Bodies: 1 << 20}, func(out http.ResponseWriter, in *http.Request) {
		inside <- struct{}{}
		<-leave
	})
	c := g.as(t, g.client)
	var first sync.WaitGroup
	first.Go(func() { g.ask(t, c, "/at/", bytes.NewReader(make([]byte, 1<<20))) })
	<-inside
	out, doc := g.ask(t, c, "/at/", strings.NewReader("x"))
	if out.StatusCode != 503 || out.Header.Get("Retry-After") != "1" || !strings.Contains(doc, `"code":"busy"`) {
		t.Errorf("%d %v %s", out.StatusCode, out.Header, doc)
	}
	close(leave)
	first.Wait()
	var second sync.WaitGroup
	second.Go(func() { <-inside })
	if out, doc := g.ask(t, c, "/at/", strings.NewReader("x")); out.StatusCode != 200 {
		t.Errorf("afterwards: %d %s", out.StatusCode, doc)
	}
	second.Wait()
}

// What a body takes is what it is once inflated; so much is held of it, and no more than of one that
// comes as it is.
func TestABodyCountsInflated(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	g := guard(t, api.Limits{Body: 4 << 20, Bodies: 5 << 20, BodiesPerCaller: 5 << 20}, func(out http.ResponseWriter, in *http.Request) {
		raw, err := io.ReadAll(in.Body)
		if err != nil || in.ContentLength != int64(len(raw)) || in.Header.Get("Content-Encoding") != "" {
			t.Errorf("%d bytes of %d came, as %q: %v", len(raw), in.ContentLength, in.Header.Get("Content-Encoding"), err)
		}
		if len(raw) > 3<<20 {
			inside <- struct{}{}
			<-leave
		}
		fmt.Fprint(out, len(raw))
	})
	zipped := func(n int, of io.Reader) *bytes.Buffer {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := io.CopyN(z, of, int64(n)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	c := g.as(t, g.client)
	send := func(body io.Reader, coding string) (*http.Response, string) {
		in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+g.address+"/at/", body)
		if err != nil {
			t.Fatal(err)
		}
		in.Header.Set("Content-Encoding", coding)
		out, err := c.Do(in)
		if err != nil {
			t.Error(err)
			return &http.Response{}, ""
		}
		defer out.Body.Close()
		doc, err := io.ReadAll(out.Body)
		if err != nil {
			t.Error(err)
		}
		return out, string(doc)
	}
	honest := func(n int) *bytes.Buffer { // hexadecimal digits shrink to half
		return zipped(n, &hexadecimal{rand.NewChaCha8([32]byte{1})})
	}
	// 3½ MiB that came as half as much leave no room for two more.
	large := honest(7 << 19)
	if large.Len() > 5<<19 {
		t.Fatalf("it is sent as %d bytes", large.Len())
	}
	var first sync.WaitGroup
	first.Go(func() { send(large, "gzip") })
	<-inside
	if held := g.limits.Load().Bodies; held < 7<<19 {
		t.Errorf("%s are held of it", held)
	}
	if out, doc := g.ask(t, c, "/at/", bytes.NewReader(make([]byte, 2<<20))); out.StatusCode != 503 || !strings.Contains(doc, `"code":"busy"`) {
		t.Errorf("beside it: %d %s", out.StatusCode, doc)
	}
	close(leave)
	first.Wait()
	if held := g.limits.Load().Bodies; held != 0 {
		t.Errorf("%s are held after it", held)
	}

	zeros, half := zipped(3<<20, zero{}), honest(1<<20).Bytes()
	for _, test := range []struct {
		name, coding string
		body         []byte
		code         int
		want         string
	}{
		{"control: an honest one", "gzip", half, 200, "1048576"},
		{"as it is, and says so", "identity", []byte("x"), 200, "1"},
		{"larger than what is taken", "gzip", honest(5 << 20).Bytes(), 413, `"code":"too-large"`},
		{"out of proportion", "gzip", zeros.Bytes(), 413, "out of proportion"},
		{"broken off", "gzip", half[:len(half)-9], 400, "damaged"},
		{"no gzip", "gzip", []byte("plain"), 400, "damaged"},
		{"empty", "gzip", []byte("\x1f"), 400, "damaged"},
		{"another coding", "br", []byte("x"), 415, "gzip"},
		{"two of them", "gzip, gzip", half, 415, "gzip"},
	} {
		if out, doc := send(bytes.NewReader(test.body), test.coding); out.StatusCode != test.code || !strings.Contains(doc, test.want) {
			t.Errorf("%s: %d %s", test.name, out.StatusCode, doc)
		}
	}
	if held := g.limits.Load().Bodies; held != 0 {
		t.Errorf("%s are held after all of it", held)
	}
}

type zero struct{}

func (zero) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// hexadecimal is randomness in digits.
type hexadecimal struct{ from io.Reader }

func (h *hexadecimal) Read(b []byte) (int, error) {
	n, err := h.from.Read(b)
	for i := range b[:n] {
		b[i] = "0123456789abcdef"[b[i]&15]
	}
	return n, err
}

// A body that is announced and doesn't come takes no memory from the others.
func TestAnAnnouncedBodyTakesWhatHasCome(t *testing.T) {
	g := guard(t, api.Limits{Body: 4 << 20, Bodies: 4 << 20}, echo)
	slow, c := g.as(t, g.client), g.as(t, g.client)
	body, rest := io.Pipe()
	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+g.address+"/at/", body)
	if err != nil {
		t.Fatal(err)
	}
	in.ContentLength = 4 << 20
	var first sync.WaitGroup
	first.Go(func() {
		if out, err := slow.Do(in); err == nil {
			out.Body.Close()
		}
	})
	if _, err := rest.Write([]byte("x")); err != nil { // it is under way
		t.Fatal(err)
	}
	if out, doc := g.ask(t, c, "/at/", bytes.NewReader(make([]byte, 2<<20))); out.StatusCode != 200 {
		t.Errorf("beside a body that is announced: %d %.200s", out.StatusCode, doc)
	}
	rest.CloseWithError(io.ErrUnexpectedEOF)
	first.Wait()
}

// One caller doesn't get all the memory that there is for bodies, however many it sends at once.
func TestOneCallersBodiesLeaveRoomForOthers(t *testing.T) {
	for _, test := range []struct {
		name    string
		share   api.Size
		greedy  int // what its second body is answered
		another int
	}{
		{"a share of its own", 3 << 20, http.StatusTooManyRequests, http.StatusOK},
		{"control: a share that is all of it", 4 << 20, http.StatusOK, http.StatusServiceUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			inside, leave := make(chan struct{}, 3), make(chan struct{})
			g := guard(t, api.Limits{Body: 2 << 20, Bodies: 4 << 20, BodiesPerCaller: test.share}, func(out http.ResponseWriter, in *http.Request) {
				inside <- struct{}{}
				<-leave
			})
			letGo := sync.OnceFunc(func() { close(leave) })
			greedy, other := g.as(t, g.client), g.as(t, pair(t, g.own, authority.Client))
			full := func() io.Reader { return bytes.NewReader(make([]byte, 2<<20)) }
			var all sync.WaitGroup
			defer all.Wait()
			defer letGo()
			all.Go(func() { g.ask(t, greedy, "/at/", full()) })
			<-inside
			if test.greedy == http.StatusOK {
				all.Go(func() { g.ask(t, greedy, "/at/", full()) })
				<-inside
			} else if out, doc := g.ask(t, greedy, "/at/", full()); out.StatusCode != test.greedy || out.Header.Get("Retry-After") == "" || !strings.Contains(doc, `"code":"rate-limited"`) {
				t.Errorf("its second body: %d %v %s", out.StatusCode, out.Header, doc)
			}
			if test.another == http.StatusOK {
				all.Go(func() { g.ask(t, other, "/at/", full()) })
				<-inside
			} else if out, doc := g.ask(t, other, "/at/", full()); out.StatusCode != test.another {
				t.Errorf("another's body: %d %s", out.StatusCode, doc)
			}
			letGo()
			all.Wait()
			if held := g.limits.Load().Bodies; held != 0 {
				t.Errorf("%s are held after all of it", held)
			}
		})
	}
}

// A hospital calls from one address: whoever can't be let in is soon told to wait, and nobody
// else there is kept out by that.
func TestAnAddressIsHeldToItsFailuresAndItsPeopleAreNot(t *testing.T) {
	const tries = 1 // a minute: the next one is due after a minute, however slow the machine is
	visit := func(g *guarded, c *http.Client, path, token string) int {
		t.Helper()
		in, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+g.address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			in.Header.Set("Authorization", "Bearer "+token)
		}
		out, err := c.Do(in)
		if err != nil {
			t.Fatal(err)
		}
		out.Body.Close()
		if (out.StatusCode == http.StatusTooManyRequests) != (out.Header.Get("Retry-After") != "") {
			t.Errorf("%d with Retry-After %q", out.StatusCode, out.Header.Get("Retry-After"))
		}
		return out.StatusCode
	}
	for _, test := range []struct {
		name  string
		token string // of who errs
		cert  bool   // and shows a certificate of the member besides
		err   int    // what is told after so many failures
	}{
		{"a token that is none", "expired", false, http.StatusTooManyRequests},
		{"nothing", "", false, http.StatusTooManyRequests},
		{"control: a token that is one", "auditor", false, http.StatusOK},
		{"a certificate that isn't counted by address", "expired", true, http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := guard(t, api.Limits{Failures: tries}, echo)
			nobody, software := g.as(t, tls.Certificate{}), g.as(t, g.client)
			errs := nobody
			if test.cert {
				errs = software
			}
			first := http.StatusUnauthorized
			if test.err == http.StatusOK {
				first = http.StatusOK
			}
			for i := range tries {
				if code := visit(g, errs, "/at/", test.token); code != first {
					t.Fatalf("try %d: %d", i, code)
				}
			}
			if code := visit(g, errs, "/at/", test.token); code != test.err {
				t.Errorf("after %d tries: %d, want %d", tries, code, test.err)
			}
			if test.cert {
				if code := visit(g, nobody, "/at/", "expired"); code != http.StatusUnauthorized {
					t.Errorf("the first one at the address without a certificate: %d", code)
				}
			}
			// Everybody else at the address.
			for who, code := range map[string]int{
				"a valid token":                     visit(g, nobody, "/at/", "clinician"),
				"a certificate":                     visit(g, software, "/at/", ""),
				"both":                              visit(g, software, "/at/", "clinician"),
				"nobody, where it is for everybody": visit(g, nobody, "/at/everybody", ""),
			} {
				if code != http.StatusOK {
					t.Errorf("%s: %d", who, code)
				}
			}
			if test.err == http.StatusTooManyRequests { // and whoever is right again is let in at once
				if code := visit(g, errs, "/at/", "clinician"); code != http.StatusOK {
					t.Errorf("with a good token after that: %d", code)
				}
				if g.limits.Load().Turned["failures"] == 0 {
					t.Error("the one that was turned away isn't counted")
				}
			}
		})
	}
}

// Who wasn't let in takes none of the memory, nor of the time, that is for who was.
func TestAStrangersBodyIsSmall(t *testing.T) {
	g := guard(t, api.Limits{Body: 1 << 20, Bodies: 1 << 20}, echo)
	nobody, own := g.as(t, tls.Certificate{}), g.as(t, g.client)
	for _, test := range []struct {
		name, path string
		client     *http.Client
		size       int
		code       int
	}{
		{"a stranger's that fits", "/at/everybody", nobody, 64 << 10, 200},
		{"a stranger's that is too large", "/at/everybody", nobody, 64<<10 + 1, 413},
		{"a stranger's where bodies stream", "/at/everybody/upload", nobody, 64<<10 + 1, 413},
		{"control: the same of somebody who is let in", "/at/everybody", own, 64<<10 + 1, 200},
		{"control: a stranger where it isn't for everybody", "/at/", nobody, 1, 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			for form, body := range map[string]io.Reader{"announced": bytes.NewReader(make([]byte, test.size)), "chunked": io.MultiReader(bytes.NewReader(make([]byte, test.size)))} {
				if out, doc := g.ask(t, test.client, test.path, body); out.StatusCode != test.code {
					t.Errorf("%s: %d %s", form, out.StatusCode, doc)
				}
			}
		})
	}
}

// A header doesn't lift the bound of a body that is held in memory.
func TestAskingForEventsLiftsNoBound(t *testing.T) {
	g := guard(t, api.Limits{Body: 1 << 20, Bodies: 1 << 20}, echo)
	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+g.address+"/at/", bytes.NewReader(make([]byte, 1<<20+1)))
	if err != nil {
		t.Fatal(err)
	}
	in.Header.Set("Accept", "text/event-stream")
	out, err := g.as(t, g.client).Do(in)
	if err != nil {
		t.Fatal(err)
	}
	out.Body.Close()
	if out.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("it was answered %d", out.StatusCode)
	}
}

func TestACallersRateIsItsOwn(t *testing.T) {
	g := guard(t, api.Limits{Rate: 1e-3, Burst: 3}, echo) // the next in a quarter of an hour
	greedy, other := g.as(t, g.client), g.as(t, pair(t, g.own, authority.Client))
	var codes []int
	for range 5 {
		out, doc := g.ask(t, greedy, "/at/", nil)
		codes = append(codes, out.StatusCode)
		after, _ := strconv.Atoi(out.Header.Get("Retry-After"))
		if out.StatusCode == 429 && (after < 500 || after > 1000 || !strings.Contains(doc, `"code":"rate-limited"`) || !strings.Contains(doc, "the same again in")) {
			t.Errorf("%v %s", out.Header, doc)
		}
	}
	if !slices.Equal(codes, []int{200, 200, 200, 429, 429}) {
		t.Errorf("got %v", codes)
	}
	if out, _ := g.ask(t, other, "/at/", nil); out.StatusCode != 200 {
		t.Errorf("another caller got %d", out.StatusCode)
	}
	if turned := g.limits.Load().Turned["rate"]; turned != 2 {
		t.Errorf("%d counted", turned)
	}
	g.limits.Set(api.Limits{Rate: 1e6, Burst: 1e6}) // as a reload does
	time.Sleep(time.Millisecond)                    // a thousand calls' worth
	if out, _ := g.ask(t, greedy, "/at/", nil); out.StatusCode != 200 {
		t.Errorf("under other limits: %d", out.StatusCode)
	}
}

func TestWhatIsUnderWayAtOnceIsBounded(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	g := guard(t, api.Limits{Requests: 2, RequestsPerCaller: 1}, func(out http.ResponseWriter, in *http.Request) {
		inside <- struct{}{}
		<-leave
	})
	a, b, third := g.as(t, g.client), g.as(t, pair(t, g.own, authority.Client)), g.as(t, pair(t, g.own, authority.Client))
	var all sync.WaitGroup
	for _, c := range []*http.Client{a, b} {
		all.Go(func() { g.ask(t, c, "/at/", nil) })
		<-inside
	}
	if out, doc := g.ask(t, a, "/at/", nil); out.StatusCode != 429 || out.Header.Get("Retry-After") == "" {
		t.Errorf("a second of one caller: %d %s", out.StatusCode, doc)
	}
	if out, doc := g.ask(t, third, "/at/", nil); out.StatusCode != 503 || out.Header.Get("Retry-After") == "" {
		t.Errorf("a third of all: %d %s", out.StatusCode, doc)
	}
	close(leave)
	all.Wait()
	all.Go(func() { <-inside })
	if out, _ := g.ask(t, third, "/at/", nil); out.StatusCode != 200 {
		t.Errorf("afterwards: %d", out.StatusCode)
	}
	all.Wait()
}

func TestConnectionsAreBounded(t *testing.T) {
	g := guard(t, api.Limits{Connections: 3, ConnectionsPerAddress: 2, Header: 5 * time.Minute}, echo)
	var open []net.Conn
	served := 0
	for range 5 {
		c, err := net.Dial("tcp", g.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	for _, c := range open {
		if tls.Client(c, &tls.Config{RootCAs: pool(t, g.own), ServerName: "127.0.0.1"}).Handshake() == nil {
			served++
		}
	}
	if served != 2 {
		t.Errorf("%d of 5 connections from one address are served", served)
	}
	for _, c := range open {
		c.Close()
	}
	for deadline := time.Now().Add(time.Minute); g.limits.Load().Connections != 0; time.Sleep(10 * time.Millisecond) { // who let go is let in again
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are still counted", g.limits.Load().Connections)
		}
	}
	if out, _ := g.ask(t, g.as(t, g.client), "/at/", nil); out.StatusCode != 200 {
		t.Errorf("afterwards: %d", out.StatusCode)
	}
}

// A panic is an answer, and what it was about stays out of the log.
func TestAPanicTellsNothing(t *testing.T) {
	const canary = "canary-4711"
	g := guard(t, api.Limits{}, func(out http.ResponseWriter, in *http.Request) {
		if in.URL.Path == "/at/begun" {
			fmt.Fprint(out, "begun")
			_ = http.NewResponseController(out).Flush()
		}
		panic(canary)
	})
	c := g.as(t, g.client)
	out, doc := g.ask(t, c, "/at/", strings.NewReader(canary))
	if out.StatusCode != 500 || strings.Contains(doc, canary) {
		t.Errorf("%d %s", out.StatusCode, doc)
	}
	in, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+g.address+"/at/begun?name="+canary, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := c.Do(in); err == nil {
		if _, err := io.ReadAll(out.Body); err == nil {
			t.Error("what broke off looks whole")
		}
		out.Body.Close()
	}
	if log := g.log.text(); strings.Contains(log, canary) || strings.Count(log, "handler panicked") != 2 {
		t.Errorf("the log: %s", log)
	}
}

func TestARequestIsNamedInItsAnswerAndInTheLog(t *testing.T) {
	g := guard(t, api.Limits{}, echo)
	c := g.as(t, g.client)
	for _, test := range []struct{ given, want string }{
		{"order-17.a", "order-17.a"}, {"", ""}, {"a b", ""}, {`"}{"level":"ERROR"`, ""}, {strings.Repeat("x", 65), ""}, {"名", ""},
	} {
		in, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+g.address+"/at/", nil)
		if err != nil {
			t.Fatal(err)
		}
		in.Header.Set(api.RequestHeader, test.given)
		in.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		out, err := c.Do(in)
		if err != nil {
			t.Fatal(err)
		}
		out.Body.Close()
		got := out.Header.Get(api.RequestHeader)
		if test.want != "" && got != test.want || len(got) < 8 || test.want == "" && len(got) != 32 {
			t.Errorf("%q became %q", test.given, got)
		}
		if !strings.Contains(g.log.text(), `"request":"`+got+`"`) || !strings.Contains(g.log.text(), `"trace":"0af7651916cd43dd8448eb211c80319c"`) {
			t.Errorf("%s isn't in the log: %s", got, g.log.text())
		}
	}
	for line := range strings.Lines(g.log.text()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not a JSON object: %s", line)
		}
	}
}

func TestTheGRPCDoorHoldsToItsLimits(t *testing.T) {
	own := newAuthority(t, "own")
	cert := pair(t, own, authority.Gateway)
	server := api.NewServer(api.Config{
		Gateway:     &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Kind: registry.Hospital}}},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
		Trust:       api.Trust{"OwnMSP": root(t, own)}, Log: slog.New(slog.DiscardHandler), Limits: api.NewLimiter(api.Limits{Rate: 1e-3, Burst: 2, Message: 64 << 10}),
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	dial := func() *grpc.ClientConn {
		conn, err := api.Dial(listener.Addr().String(), &tls.Config{RootCAs: pool(t, own), Certificates: []tls.Certificate{pair(t, own, authority.Client)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	const method = "/yitong.v1.Records/Retract"
	greedy := dial()
	var last error
	for range 3 {
		last = greedy.Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{})
	}
	refused, _ := api.RefusalOf(last)
	var retry time.Duration
	for _, d := range status.Convert(last).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			retry = info.GetRetryDelay().AsDuration()
		}
	}
	if status.Code(last) != codes.ResourceExhausted || refused == nil || refused.Code != api.RateLimited || retry < 500*time.Second || retry > 1000*time.Second {
		t.Errorf("the third call of two: %v, %v, again after %s", last, refused, retry)
	}
	if err := dial().Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("another caller: %v", err)
	}
	stream, err := yitongv1.NewRecordsClient(dial()).Submit(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&yitongv1.SubmitRequest{Message: &yitongv1.SubmitRequest_Content{Content: make([]byte, 100<<20)}})
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message of 100 MiB: %v", err)
	}
}
