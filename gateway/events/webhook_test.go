package events_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/events"
	"yitong/gateway/ledger"
)

// receiver is a member's software that takes deliveries.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []taken
	answer func(n int, out http.ResponseWriter, in *http.Request) // n from 1; nil answers 204
	came   chan struct{}
}

type taken struct {
	id, at, signature, kind string
	body                    []byte
	status                  int
}

func receive(t *testing.T) *receiver {
	r := &receiver{came: make(chan struct{}, 1<<16)}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		n := len(r.got) + 1
		r.got = append(r.got, taken{in.Header.Get("webhook-id"), in.Header.Get("webhook-timestamp"), in.Header.Get("webhook-signature"), in.Header.Get("Content-Type"), body, 0})
		answer := r.answer
		r.mu.Unlock()
		r.came <- struct{}{}
		kept := keptStatus{out, func(code int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.got[n-1].status = code
		}}
		if answer == nil {
			kept.WriteHeader(http.StatusNoContent)
			return
		}
		answer(n, kept, in)
	}))
	t.Cleanup(r.Close)
	return r
}

// keptStatus tells of the status that is answered, if any is.
type keptStatus struct {
	http.ResponseWriter
	keep func(code int)
}

func (k keptStatus) WriteHeader(code int) { k.keep(code); k.ResponseWriter.WriteHeader(code) }

func (r *receiver) taken() []taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// good are the ids that were answered 2xx, in order.
func (r *receiver) good() (ids []string) {
	for _, d := range r.taken() {
		if d.status/100 == 2 {
			ids = append(ids, d.id)
		}
	}
	return ids
}

// wait is over once n more deliveries have come; they may be unanswered still.
func (r *receiver) wait(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-r.came:
		case <-time.After(time.Minute):
			t.Fatalf("only %d deliveries came", len(r.taken()))
		}
	}
}

// waitGood is over once n deliveries in all were answered 2xx.
func (r *receiver) waitGood(t *testing.T, n int) {
	t.Helper()
	until(t, func() bool { return len(r.good()) >= n })
}

// loopback is what tests allow.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// delivering is a configuration that delivers to receivers on this machine, and quickly again.
func delivering(t *testing.T, to ...*receiver) events.Config {
	c := config(t, "hospital-a")
	pool := x509.NewCertPool()
	for _, r := range to {
		pool.AddCert(r.Certificate())
	}
	c.Webhooks = events.Webhooks{Allow: loopback, TLS: &tls.Config{RootCAs: pool}, Timeout: time.Minute, FirstRetry: 5 * time.Millisecond, MaxRetry: 40 * time.Millisecond}
	c.Secrets = &guarded{secrets: secrets{}}
	return c
}

// guarded is a key store for several workers.
type guarded struct {
	sync.Mutex
	secrets secrets
}

func (g *guarded) Get(bucket, name string) ([]byte, error) {
	g.Lock()
	defer g.Unlock()
	return g.secrets.Get(bucket, name)
}
func (g *guarded) Put(bucket, name string, value []byte) error {
	g.Lock()
	defer g.Unlock()
	return g.secrets.Put(bucket, name, value)
}
func (g *guarded) Delete(bucket, name string) error {
	g.Lock()
	defer g.Unlock()
	return g.secrets.Delete(bucket, name)
}

// keep runs a feed on a chain until the returned function is called.
func keep(t testing.TB, f *events.Feed, chain ledger.Chain) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var kept sync.WaitGroup
	kept.Go(func() { f.Keep(ctx, chain) })
	end := sync.OnceFunc(func() { cancel(); kept.Wait() })
	t.Cleanup(end)
	return end
}

// whole is a chain that ends nowhere.
func whole(blocks []ledger.Block) streamed {
	return streamed{projectiontest.Chain(blocks), func(_ uint64, b []ledger.Block) ([]ledger.Block, error) { return b, nil }}
}

func subscribe(t testing.TB, f *events.Feed, s events.Subscription) (events.Subscription, string) {
	t.Helper()
	s, secret, err := f.Subscribe(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return s, secret
}

func ids(list []events.Event) (out []string) {
	for _, e := range list {
		out = append(out, e.ID)
	}
	return out
}

func TestDeliveriesComeInOrderSignedAndOnce(t *testing.T) {
	blocks := projectiontest.Blocks(21, 400)
	r := receive(t)
	f := open(t, delivering(t, r))
	s, secret := subscribe(t, f, events.Subscription{URL: r.URL + "/hook", Types: events.Filter{"access.*"}})
	keep(t, f, whole(blocks))
	want := all(t, made(t, blocks), "access.*")
	r.waitGood(t, len(want))
	if diff := cmp.Diff(ids(want), r.good()); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	for i, d := range r.taken() {
		var got struct {
			Type      string
			Timestamp time.Time
			Data      events.Event
		}
		if err := json.Unmarshal(d.body, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[i], got.Data); diff != "" || got.Type != string(want[i].Type) || !got.Timestamp.Equal(want[i].Time) {
			t.Fatalf("%s:\n%s", d.id, diff)
		}
		if !verified(secret, d) {
			t.Fatalf("the signature of %s isn't good", d.id)
		}
		d.body[0] ^= 1
		if verified(secret, d) {
			t.Fatal("that of another body is: the verifier shows nothing")
		}
	}
	until(t, func() bool { s, _ = f.Subscription(t.Context(), s.ID); return s.Count == int64(len(want)) })
	if s.Delivered != want[len(want)-1].Position || s.Problem != "" {
		t.Errorf("it stands at %+v", s)
	}
}

// made is a feed of blocks that delivers nothing.
func made(t testing.TB, blocks []ledger.Block) *events.Feed {
	f := open(t, config(t, "hospital-a"))
	if err := f.Apply(context.Background(), blocks...); err != nil {
		t.Fatal(err)
	}
	return f
}

// verified follows the specification's words, not this package's code.
func verified(secret string, d taken) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", d.id, d.at, d.body)
	return slices.Contains(strings.Fields(d.signature), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func until(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute")
		}
	}
}

// OpenSSL makes the signature of the specification's example as this package does.
func TestOpenSSLVerifiesADelivery(t *testing.T) {
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl here")
	}
	blocks := projectiontest.Blocks(21, 60)
	r := receive(t)
	f := open(t, delivering(t, r))
	_, secret := subscribe(t, f, events.Subscription{URL: r.URL})
	began := time.Now()
	keep(t, f, whole(blocks))
	r.wait(t, 1)
	came := time.Now()
	d := r.taken()[0]
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) != 32 {
		t.Fatalf("the secret is %q: %v", secret, err)
	}
	cmd := exec.Command(path, "dgst", "-sha256", "-mac", "HMAC", "-macopt", fmt.Sprintf("hexkey:%x", key), "-binary")
	cmd.Stdin = strings.NewReader(d.id + "." + d.at + "." + string(d.body))
	mac, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "v1," + base64.StdEncoding.EncodeToString(mac); d.signature != want {
		t.Errorf("openssl makes %s, the header says %s", want, d.signature)
	}
	if at, err := strconv.ParseInt(d.at, 10, 64); err != nil || at < began.Unix() || at > came.Unix() {
		t.Errorf("the timestamp is %s", d.at)
	}
}

// The gateway dies and comes back, over and over, and its receiver fails in between: nothing
// is missed, and what comes twice has the id it had.
func TestNothingIsMissedHoweverOftenTheGatewayDies(t *testing.T) {
	blocks := projectiontest.Blocks(33, 500)
	want := ids(all(t, made(t, blocks)))
	r := receive(t)
	var dies atomic.Int64 // in the middle of this delivery, the n-th in all
	r.answer = func(n int, out http.ResponseWriter, in *http.Request) {
		switch {
		case int64(n) >= dies.Load():
			<-in.Context().Done()
		case n%5 == 0:
			out.WriteHeader(http.StatusInternalServerError)
		default:
			out.WriteHeader(http.StatusOK)
		}
	}
	c := delivering(t, r)
	f, err := events.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := subscribe(t, f, events.Subscription{URL: r.URL})
	deaths := 0
	for done := false; !done; deaths++ {
		dies.Store(int64(len(r.taken()) + 2 + deaths%9))
		stop := keep(t, f, whole(blocks))
		until(t, func() bool {
			at, err := f.Subscription(t.Context(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			done = at.Delivered.String() == strings.SplitN(want[len(want)-1], "-", 2)[1]
			return done || int64(len(r.taken())) >= dies.Load()
		})
		stop()
		r.CloseClientConnections() // and waits for what still answers there
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if f, err = events.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	defer f.Close()
	if deaths < 20 {
		t.Errorf("it died only %d times", deaths)
	}
	var once []string
	for _, id := range r.good() {
		if i := slices.Index(once, id); i < 0 {
			once = append(once, id)
		} else if i != len(once)-1 {
			t.Errorf("%s came again after later ones", id)
		}
	}
	if diff := cmp.Diff(want, once); diff != "" {
		t.Errorf("after %d deaths (-want +got):\n%s", deaths, diff)
	}
}

// What a receiver may do, and what becomes of it.
func TestAReceiverThatFailsIsTriedAgainAndHoldsUpNobodyElse(t *testing.T) {
	for name, answer := range map[string]func(n int, out http.ResponseWriter, in *http.Request){
		"it answers 500": func(_ int, out http.ResponseWriter, _ *http.Request) { out.WriteHeader(500) },
		"it answers 404": func(_ int, out http.ResponseWriter, _ *http.Request) { out.WriteHeader(404) },
		"it hangs":       func(_ int, _ http.ResponseWriter, in *http.Request) { <-in.Context().Done() },
		"it hangs up":    func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"it asks for a pause": func(_ int, out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Retry-After", "1")
			out.WriteHeader(429)
		},
	} {
		t.Run(name, func(t *testing.T) {
			blocks := projectiontest.Blocks(8, 120)
			bad, good := receive(t), receive(t)
			bad.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
			var well atomic.Bool
			bad.answer = func(n int, out http.ResponseWriter, in *http.Request) {
				if well.Load() {
					out.WriteHeader(204)
					return
				}
				answer(n, out, in)
			}
			c := delivering(t, bad, good)
			got := (*receiver).good
			if name == "it hangs" {
				c.Webhooks.Timeout = 100 * time.Millisecond
				got = func(r *receiver) []string { return slices.Compact(r.good()) } // what is answered too late comes again
			}
			f := open(t, c)
			s, _ := subscribe(t, f, events.Subscription{URL: bad.URL})
			subscribe(t, f, events.Subscription{URL: good.URL})
			keep(t, f, whole(blocks))
			want := ids(all(t, made(t, blocks)))
			until(t, func() bool { return len(got(good)) >= len(want) })
			if diff := cmp.Diff(want, got(good)); diff != "" {
				t.Errorf("the other receiver (-want +got):\n%s", diff)
			}
			bad.wait(t, 2)
			until(t, func() bool { at, err := f.Subscription(t.Context(), s.ID); return err == nil && at.Attempt > 0 })
			for _, d := range bad.taken() {
				if d.id != want[0] {
					t.Errorf("%s came though %s wasn't taken", d.id, want[0])
				}
			}
			well.Store(true)
			until(t, func() bool { return len(got(bad)) >= len(want) })
			if diff := cmp.Diff(want, got(bad)); diff != "" {
				t.Errorf("once it is well (-want +got):\n%s", diff)
			}
			list, _, err := f.Deliveries(t.Context(), s.ID, "", 100)
			if err != nil || len(list) < len(want) || !slices.ContainsFunc(list, func(d events.Delivery) bool { return d.Problem != "" }) {
				t.Errorf("%d deliveries are told of: %v", len(list), err)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere, r := receive(t), receive(t)
	r.answer = func(_ int, out http.ResponseWriter, in *http.Request) {
		http.Redirect(out, in, elsewhere.URL, http.StatusTemporaryRedirect)
	}
	f := open(t, delivering(t, r, elsewhere))
	s, _ := subscribe(t, f, events.Subscription{URL: r.URL})
	keep(t, f, whole(projectiontest.Blocks(8, 60)))
	r.wait(t, 3)
	if n := len(elsewhere.taken()); n > 0 {
		t.Errorf("%d deliveries went elsewhere", n)
	}
	until(t, func() bool {
		s, _ = f.Subscription(t.Context(), s.ID)
		return strings.Contains(s.Problem, "redirects aren't followed")
	})
}

// Who fails for too long, or says that it is gone, gets nothing more until somebody enables
// it, and then all of it.
func TestADeadReceiverIsDisabledAndGoesOnWhereItStopped(t *testing.T) {
	for name, status := range map[string]int{"it fails for days": 503, "it is gone": 410} {
		t.Run(name, func(t *testing.T) {
			blocks := projectiontest.Blocks(8, 100)
			r := receive(t)
			var well atomic.Bool
			r.answer = func(_ int, out http.ResponseWriter, _ *http.Request) {
				if well.Load() {
					status = 204
				}
				out.WriteHeader(status)
			}
			c := delivering(t, r)
			var log bytes.Buffer
			var mu sync.Mutex
			c.Log = slog.New(slog.NewTextHandler(locked{&mu, &log}, nil))
			if status == 503 {
				c.Webhooks.DisableAfter = 200 * time.Millisecond
			}
			f := open(t, c)
			s, _ := subscribe(t, f, events.Subscription{URL: r.URL + "/a-path-with-a-secret"})
			keep(t, f, whole(blocks))
			until(t, func() bool { s, _ = f.Subscription(t.Context(), s.ID); return s.Disabled != "" })
			var told string
			until(t, func() bool { // it is told of once it is so
				mu.Lock()
				defer mu.Unlock()
				told = log.String()
				return strings.Contains(told, "level=ERROR")
			})
			if !strings.Contains(told, s.ID) || strings.Contains(told, "a-path-with-a-secret") {
				t.Errorf("the log says:\n%s", told)
			}
			n := len(r.taken())
			time.Sleep(150 * time.Millisecond)
			if m := len(r.taken()); m != n {
				t.Errorf("%d more deliveries came", m-n)
			}
			well.Store(true)
			if _, err := f.Enable(t.Context(), s.ID); err != nil {
				t.Fatal(err)
			}
			want := ids(all(t, made(t, blocks)))
			until(t, func() bool { return len(r.good()) >= len(want) })
			if diff := cmp.Diff(want, r.good()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func TestASubscriptionIsReplayedFromAnyPosition(t *testing.T) {
	blocks := projectiontest.Blocks(8, 100)
	r := receive(t)
	f := open(t, delivering(t, r))
	s, _ := subscribe(t, f, events.Subscription{URL: r.URL})
	keep(t, f, whole(blocks))
	feed := all(t, made(t, blocks))
	at := feed[len(feed)/2]
	until(t, func() bool { s, _ := f.Subscription(t.Context(), s.ID); return s.Count == int64(len(feed)) })
	if _, err := f.Redeliver(t.Context(), s.ID, at.Position); err != nil {
		t.Fatal(err)
	}
	rest := feed[len(feed)/2+1:]
	r.waitGood(t, len(feed)+len(rest))
	if diff := cmp.Diff(ids(rest), r.good()[len(feed):]); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
	if _, err := f.Redeliver(t.Context(), s.ID, events.Position{Block: 1 << 40}); err == nil {
		t.Error("a position that the ledger hasn't come to is taken")
	}
}

func TestASecretIsRotatedWithoutAGap(t *testing.T) {
	r := receive(t)
	now := time.Now()
	c := delivering(t, r)
	var later atomic.Int64
	c.Now = func() time.Time { return now.Add(time.Duration(later.Load())) }
	f := open(t, c)
	s, old := subscribe(t, f, events.Subscription{URL: r.URL})
	next, until, err := f.RotateSecret(t.Context(), s.ID, time.Hour)
	if err != nil || next == old || until.Sub(now) > time.Hour {
		t.Fatalf("%v until %s", err, until)
	}
	ping := func() taken {
		if d, err := f.Ping(t.Context(), s.ID); err != nil || d.Problem != "" {
			t.Fatal(err, d.Problem)
		}
		return r.taken()[len(r.taken())-1]
	}
	if d := ping(); !strings.Contains(string(d.body), `"timestamp":"`+now.UTC().Format("2006-01-02T15:04:05")) {
		t.Errorf("it was sent at %s, and says %s", now.UTC(), d.body)
	} else if !verified(old, d) || !verified(next, d) {
		t.Errorf("during the overlap the signatures are %s", d.signature)
	}
	later.Store(int64(2 * time.Hour))
	if d := ping(); verified(old, d) || !verified(next, d) {
		t.Errorf("after the overlap they are %s", d.signature)
	}
	if err := f.Unsubscribe(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if n := len(c.Secrets.(*guarded).secrets); n != 0 {
		t.Errorf("%d secrets are left", n)
	}
}

// A stolen database signs nothing: the secrets aren't in it.
func TestTheDatabaseHoldsNoSecret(t *testing.T) {
	r := receive(t)
	c := delivering(t, r)
	f := open(t, c)
	_, secret := subscribe(t, f, events.Subscription{URL: r.URL})
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	folder := filepath.Dir(strings.TrimPrefix(c.Database, "sqlite:"))
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(raw, []byte(r.URL))
		if bytes.Contains(raw, key) || bytes.Contains(raw, []byte(secret)) {
			t.Errorf("%s holds the secret", file.Name())
		}
	}
	if !found {
		t.Error("not even the URL was found: this shows nothing")
	}
}

// Where a webhook may not lead, by its URL and by what its name leads to when it is called.
func TestAWebhookDoesNotLeadInside(t *testing.T) {
	f := open(t, config(t, "hospital-a")) // nothing is allowed
	for _, at := range []string{
		"https://127.0.0.1/", "https://localhost/", "http://localhost:8080/", "https://10.0.0.1/", "https://172.16.9.9/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data",
		"https://[::1]/", "https://[fe80::1]/", "https://[fd12::1]/", "https://[::ffff:10.0.0.1]/", "https://[::a00:1]/", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://0.0.0.0/", "https://[::]/",
		"https://100.64.0.1/", "https://224.0.0.1/", "https://255.255.255.255/", "https://198.18.0.1/", "https://192.0.2.1/", "https://LOCALHOST./", "https://a.localhost/",
		"http://93.184.216.34/", "http://claims.example/", "ftp://claims.example/", "https:///path", "https:claims.example", "https://claims.example/#x", "https://u@claims.example/", "//claims.example/", "", "::",
		"https://claims.example/" + strings.Repeat("x", 2000), "https://claims.example:x/", "https://claims.example\n/",
	} {
		if _, _, err := f.Subscribe(t.Context(), events.Subscription{URL: at}); err == nil {
			t.Errorf("%q is taken", at)
		}
	}
	for _, at := range []string{"https://claims.example/hook?tenant=7", "https://93.184.216.34/", "https://[2606:2800:220:1::1]:8443/x"} {
		if _, _, err := f.Subscribe(t.Context(), events.Subscription{URL: at}); err != nil {
			t.Errorf("%q is refused: %v", at, err)
		}
	}
}

// A name that leads inside is found out when it is called: nobody is connected to.
func TestANameThatLeadsInsideIsNotCalled(t *testing.T) {
	var knocks atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			knocks.Add(1)
			conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	ping := func(allow []netip.Prefix) (events.Delivery, int64) {
		c := config(t, "hospital-a")
		c.Webhooks.Allow = allow
		f := open(t, c)
		name := hostThatLeadsHere(t)
		s, _ := subscribe(t, f, events.Subscription{URL: "https://" + name + ":" + port + "/"})
		d, err := f.Ping(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		return d, knocks.Swap(0)
	}
	if d, n := ping(nil); n != 0 || !strings.Contains(d.Problem, "not-permitted") && !strings.Contains(d.Problem, "no public address") {
		t.Errorf("somebody inside was called %d times: %s", n, d.Problem)
	}
	if _, n := ping(loopback); n == 0 {
		t.Error("where it is allowed nobody was called either: this shows nothing")
	}
}

// hostThatLeadsHere is a name, other than localhost, that resolves to a loopback address.
func hostThatLeadsHere(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	for _, name := range []string{name, "ip6-localhost", "ip6-loopback"} {
		addresses, err := net.DefaultResolver.LookupHost(t.Context(), name)
		if err == nil && len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a string) bool { return a != "127.0.0.1" && a != "127.0.1.1" && a != "::1" }) {
			if slices.Contains(addresses, "127.0.0.1") || name != "ip6-localhost" && name != "ip6-loopback" {
				return name
			}
		}
	}
	t.Skip("no name on this machine leads to its loopback address")
	return ""
}

func FuzzSubscribeURL(f *testing.F) {
	for _, s := range []string{"https://claims.example/", "http://127.0.0.1/", "https://[::ffff:7f00:1]/", "https://127.1/", "https://0x7f.1/", "https://2130706433/", "https://a@b", "https://[::1%25lo]/"} {
		f.Add(s)
	}
	feed := open(f, config(f, "hospital-a"))
	f.Fuzz(func(t *testing.T, at string) {
		s, _, err := feed.Subscribe(context.Background(), events.Subscription{URL: at})
		if err != nil {
			return
		}
		in, err := http.NewRequest(http.MethodPost, at, nil)
		if err != nil {
			t.Fatalf("%q is taken and can't be called: %v", at, err)
		}
		if in.URL.User != nil || in.URL.Scheme != "https" {
			t.Errorf("%q is taken", at)
		}
		if a, err := netip.ParseAddr(in.URL.Hostname()); err == nil && (a.Unmap().IsLoopback() || a.Unmap().IsPrivate() || a.Unmap().IsLinkLocalUnicast()) {
			t.Errorf("%q is taken", at)
		}
		if err := feed.Unsubscribe(context.Background(), s.ID); err != nil {
			t.Fatal(err)
		}
	})
}
