package command_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/gatewaytest"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// sent is a server-sent event as the client reads it.
type sent struct{ id, event, data string }

// listen opens a stream and hands over what comes.
func (v visitor) listen(path string, header ...string) (*http.Response, <-chan sent) {
	v.t.Helper()
	in, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.base+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		in.Header.Set(header[i], header[i+1])
	}
	out, err := v.http.Do(in)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { out.Body.Close() })
	all := make(chan sent, 100)
	go func() {
		defer close(all)
		var e sent
		for lines := bufio.NewScanner(out.Body); lines.Scan(); {
			switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
			case "id":
				e.id = value
			case "event":
				e.event = value
			case "data":
				e.data = value
			case "":
				if e.data != "" {
					all <- e
				}
				e = sent{}
			}
		}
	}()
	return out, all
}

func next(t *testing.T, all <-chan sent) sent {
	t.Helper()
	select {
	case e, ok := <-all:
		if !ok {
			t.Fatal("the stream has ended")
		}
		return e
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
	}
	return sent{}
}

func TestEventsAreStreamedOverHTTPS(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	read := func(member string) client.Profile {
		p, err := client.ReadProfile(dir, member)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p, other := read("insurer"), read("hospital-b")
	c, err := client.Dial(p)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() string {
		answer, err := c.Accesses.Request(t.Context(), &yitongv1.AccessRequest{
			Id: client.NewID(), Custodian: "hospital-a", Patient: &yitongv1.Patient{System: "https://hospital-a.example/mrn", Value: "MRN-1"}, Purpose: "CLMATTCH", Classes: []string{"claim"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetAccess().GetId()
	}
	v := visit(t, p)
	first := ask()

	out, all := v.listen("/v1/events?after=0-0-0&type=access.*")
	if kind := out.Header.Get("Content-Type"); out.StatusCode != 200 || kind != "text/event-stream; charset=utf-8" || out.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Fatalf("HTTP %d, %s", out.StatusCode, kind)
	}
	e := next(t, all)
	var told struct{ Position, Type, Object, Outcome string }
	if err := json.Unmarshal([]byte(e.data), &told); err != nil {
		t.Fatal(err)
	}
	if e.event != "access.decided" || told.Object != first || told.Outcome != "denied" || e.id != told.Position || strings.Contains(e.data, "MRN-1") {
		t.Errorf("got %+v", e)
	}
	second := ask()
	if e := next(t, all); !strings.Contains(e.data, second) {
		t.Errorf("got %+v", e)
	}

	// Who comes again goes on after what it has seen; who begins now gets what comes next.
	_, again := v.listen("/v1/events?type=access.*", "Last-Event-ID", e.id)
	if e := next(t, again); !strings.Contains(e.data, second) {
		t.Errorf("after %s came %+v", e.id, e)
	}
	_, fresh := v.listen("/v1/events?type=access.*")
	third := ask()
	if e := next(t, fresh); !strings.Contains(e.data, third) {
		t.Errorf("from now on came %+v", e)
	}

	// What is wrong is an answer, not a stream.
	for path, want := range map[string]int{
		"/v1/events?after=yesterday": 400, "/v1/events?after=9999-0-1": 400, "/v1/events?type=decisions": 400, "/v1/events?from=1": 400, "/v1/events?after=0-0-0&after=1-0-0": 400,
	} {
		if out, _ := v.listen(path); out.StatusCode != want || out.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: HTTP %d, %s", path, out.StatusCode, out.Header.Get("Content-Type"))
		}
	}
	if out, _ := v.listen("/v1/events", "Last-Event-ID", "1-2"); out.StatusCode != 400 {
		t.Errorf("a Last-Event-ID that is no position: HTTP %d", out.StatusCode)
	}
	if out, _ := visit(t, p, other).listen("/v1/events"); out.StatusCode != 403 {
		t.Errorf("another member's software: HTTP %d", out.StatusCode)
	}
	if out, _ := v.do(http.MethodHead, "/v1/events"); out.StatusCode != 200 || !strings.HasPrefix(out.Header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("HEAD: HTTP %d", out.StatusCode)
	}
	if out, _ := v.do(http.MethodPost, "/v1/events"); out.StatusCode != 405 {
		t.Errorf("POST: HTTP %d", out.StatusCode)
	}
	if out, body := v.do(http.MethodGet, "/v1/events/list?type=access.decided&limit=1"); out.StatusCode != 200 || !strings.Contains(string(body), first) {
		t.Errorf("the list: HTTP %d %s", out.StatusCode, body)
	}
	if out, body := v.do(http.MethodGet, "/v1/events/subscriptions"); out.StatusCode != 200 {
		t.Errorf("the subscriptions: HTTP %d %s", out.StatusCode, body)
	}
}
