package events_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/patient"
)

// delivery is what a member's software was told, and when.
type delivery struct {
	ID, Type string
	Event    struct{ Position, Object, Outcome string }
	At       time.Time
}

// software is a member's own, that takes webhooks.
type software struct {
	*httptest.Server
	secret string

	mu  sync.Mutex
	got []delivery
	bad []string
}

func takeWebhooks(t *testing.T, c *consortium.Consortium, member string, types ...string) *software {
	t.Helper()
	s := &software{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		if err != nil {
			return
		}
		d := delivery{ID: in.Header.Get("webhook-id"), At: time.Now()}
		var read struct {
			Type string
			Data json.RawMessage
		}
		err = errors.Join(json.Unmarshal(body, &read), json.Unmarshal(read.Data, &d.Event))
		d.Type = read.Type
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil || !s.signed(in, body) {
			s.bad = append(s.bad, fmt.Sprintf("%s: %v", d.ID, err))
			out.WriteHeader(http.StatusBadRequest)
			return
		}
		s.got = append(s.got, d)
	}))
	t.Cleanup(s.Close)
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, err := c.Client(t, member).Events.Subscribe(t.Context(), &yitongv1.SubscribeRequest{Url: s.URL, Types: types})
	if err != nil {
		t.Fatal(err)
	}
	s.secret = answer.GetSecret()
	return s
}

// signed follows the words of Standard Webhooks.
func (s *software) signed(in *http.Request, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", in.Header.Get("webhook-id"), in.Header.Get("webhook-timestamp"), body)
	return slices.Contains(strings.Fields(in.Header.Get("webhook-signature")), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// told waits for what the software is told of an object.
func (s *software) told(t *testing.T, kind, object string) delivery {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		i := slices.IndexFunc(s.got, func(d delivery) bool { return d.Type == kind && d.Event.Object == object })
		if i >= 0 {
			defer s.mu.Unlock()
			return s.got[i]
		}
		bad := s.bad
		s.mu.Unlock()
		if len(bad) > 0 {
			t.Fatalf("deliveries that can't be believed: %v", bad)
		}
		if time.Now().After(end) {
			t.Fatalf("nobody was told of %s %s", kind, object)
		}
	}
}

// once is what was delivered, each id once; the same again has to follow on the first.
func (s *software) once(t *testing.T) (ids []string, again int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.got {
		switch i := slices.Index(ids, d.ID); {
		case i < 0:
			ids = append(ids, d.ID)
		case i != len(ids)-1:
			t.Errorf("%s came again after later ones", d.ID)
		default:
			again++
		}
	}
	return ids, again
}

// feed is all that a member's gateway has of some types.
func feed(t *testing.T, c *consortium.Consortium, member string, types ...string) (ids []string) {
	t.Helper()
	ask := &yitongv1.ListEventsRequest{Types: types}
	for {
		page, err := c.Client(t, member).Events.List(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.GetEvents() {
			ids = append(ids, e.GetId())
		}
		if ask.After = page.GetNext(); !page.GetMore() {
			return ids
		}
	}
}

// The insurer's software gets the decisions, the hospital's the requests and the withdrawals,
// while both gateways are killed in between: nothing is missed.
func TestWhatConcernsAMemberReachesItsSoftware(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 900)
	c.Submit(t, p)
	hospital := takeWebhooks(t, c, consortium.HospitalA, "access.requested", "consent.*")
	insurer := takeWebhooks(t, c, consortium.Insurer, "access.decided", "consent.*")
	streamed := stream(t, c, consortium.HospitalA, "access.requested")
	before := map[string]int{consortium.HospitalA: len(feed(t, c, consortium.HospitalA, "access.requested", "consent.*")), consortium.Insurer: len(feed(t, c, consortium.Insurer, "access.decided", "consent.*"))}

	var decided, requested, withdrawn []time.Duration
	seen := []string{}
	for round := range 6 {
		consent := c.Grant(t, p, consortium.ForPayment("laboratory"))
		for range 3 {
			answer := ask(t, c, p)
			at := time.Now()
			decided = append(decided, insurer.told(t, "access.decided", answer.GetId()).At.Sub(at))
			requested = append(requested, hospital.told(t, "access.requested", answer.GetId()).At.Sub(at))
			seen = append(seen, answer.GetId())
		}
		withdraw := &yitongv1.WithdrawRequest{Id: consent.GetConsent().GetId(), Patient: p.ID, Requester: consortium.Insurer, Reason: "patient-request"}
		switch round { // a gateway dies while the withdrawal is on its way to the software
		case 2:
			kill(t, c, "gateway-insurer")
		case 4:
			kill(t, c, "gateway-hospital-a")
		}
		consortium.Again(t, "a withdrawal", recovery, func(ctx context.Context) error {
			_, err := c.Client(t, consortium.HospitalA).Consents.Withdraw(ctx, withdraw)
			return err
		})
		at := time.Now()
		one := hospital.told(t, "consent.withdrawn", withdraw.Id).At.Sub(at)
		insurer.told(t, "consent.withdrawn", withdraw.Id)
		if round != 2 && round != 4 {
			withdrawn = append(withdrawn, one)
		}
	}
	for name, took := range map[string][]time.Duration{"decision to the insurer's software": decided, "request to the hospital's": requested, "withdrawal to the hospital's": withdrawn} {
		slices.Sort(took)
		t.Logf("%s, after its call was answered: median %v, longest %v of %d", name, took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), len(took))
	}
	for member, s := range map[string]*software{consortium.HospitalA: hospital, consortium.Insurer: insurer} {
		types := []string{"access.requested", "consent.*"}
		if member == consortium.Insurer {
			types[0] = "access.decided"
		}
		want := feed(t, c, member, types...)[before[member]:]
		got, twice := s.once(t)
		if !slices.Equal(want, got) {
			t.Errorf("%s was told of %d events, its feed has %d:\n%v\n%v", member, len(got), len(want), got, want)
		}
		t.Logf("%s: %d events, %d delivered twice", member, len(got), twice)
	}
	for _, id := range seen {
		streamed.wait(t, id)
	}
}

// recovery bounds how long a call may need to complete after a fault.
const recovery = 90 * time.Second

func ask(t *testing.T, c *consortium.Consortium, p patient.Patient) (a *yitongv1.Access) {
	t.Helper()
	demand := consortium.Demand(p, "laboratory")
	consortium.Again(t, "a request", recovery, func(ctx context.Context) error {
		answer, err := c.Client(t, consortium.Insurer).Accesses.Request(ctx, demand)
		a = answer.GetAccess()
		return err
	})
	return a
}

func kill(t *testing.T, c *consortium.Consortium, name string) {
	t.Helper()
	if err := c.Network().Supervisor().Kill(name); err != nil {
		t.Fatal(err)
	}
}

// events is a member's software that follows the stream over HTTPS, and comes again after
// the last event that it has seen when the stream breaks.
type eventSource struct {
	mu   sync.Mutex
	got  []string // objects
	last string
}

func stream(t *testing.T, c *consortium.Consortium, member, kind string) *eventSource {
	t.Helper()
	profile, config := c.Door(t, member)
	transport := &http.Transport{TLSClientConfig: config}
	ctx, cancel := context.WithCancel(context.Background())
	s := &eventSource{}
	begun, following := make(chan struct{}), sync.WaitGroup{}
	following.Go(func() {
		begin := sync.OnceFunc(func() { close(begun) })
		for ctx.Err() == nil {
			_ = s.follow(ctx, &http.Client{Transport: transport}, "https://"+profile.HTTP+"/v1/events?type="+kind, begin)
			time.Sleep(50 * time.Millisecond)
		}
	})
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(following.Wait)
	t.Cleanup(cancel)
	select {
	case <-begun:
	case <-time.After(30 * time.Second):
		t.Fatal("the stream doesn't begin")
	}
	return s
}

func (s *eventSource) follow(ctx context.Context, over *http.Client, url string, begun func()) error {
	in, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	in.Header.Set("Accept", "text/event-stream")
	if s.last != "" {
		in.Header.Set("Last-Event-ID", s.last)
	}
	out, err := over.Do(in)
	if err != nil {
		return err
	}
	defer out.Body.Close()
	if out.StatusCode != http.StatusOK || !strings.HasPrefix(out.Header.Get("Content-Type"), "text/event-stream") {
		return fmt.Errorf("HTTP %d", out.StatusCode)
	}
	lines := bufio.NewScanner(out.Body)
	for lines.Scan() {
		line := lines.Text()
		switch field, value, _ := strings.Cut(line, ": "); field {
		case "retry":
			begun()
		case "id":
			s.last = value
		case "data":
			var e struct{ Object string }
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				return err
			}
			s.mu.Lock()
			s.got = append(s.got, e.Object)
			s.mu.Unlock()
		}
	}
	return lines.Err()
}

// wait waits for an event of an object, and wants it to have come once.
func (s *eventSource) wait(t *testing.T, object string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		n := 0
		for _, o := range s.got {
			if o == object {
				n++
			}
		}
		s.mu.Unlock()
		if n > 1 {
			t.Fatalf("%s was streamed %d times", object, n)
		}
		if n == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s was never streamed", object)
		}
	}
}
