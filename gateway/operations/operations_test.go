package operations_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"yitong/gateway/operations"
)

func get(t *testing.T, o *operations.Operations, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	o.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func TestReadyIsWhatEveryCheckSays(t *testing.T) {
	well := func(context.Context) error { return nil }
	ill := func(context.Context) error { return errors.New("the peer doesn't answer") }
	hanging := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, test := range []struct {
		name   string
		checks []*operations.Check
		code   int
		want   []string
	}{
		{"all well", []*operations.Check{{Name: "peer", Probe: well}, {Name: "vault", Probe: well}}, 200, []string{`"ready":true`, `{"name":"vault","ok":true}`}},
		{"one ill", []*operations.Check{{Name: "peer", Probe: ill}, {Name: "vault", Probe: well}}, 503,
			[]string{`"ready":false`, `{"name":"peer","ok":false,"problem":"the peer doesn't answer"}`, `{"name":"vault","ok":true}`}},
		{"one that hangs", []*operations.Check{{Name: "peer", Probe: hanging}}, 503, []string{`"ready":false`, "deadline exceeded"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := operations.New("v1", test.checks...)
				code, body := get(t, o, "/readyz")
				if code != test.code {
					t.Errorf("code %d", code)
				}
				for _, want := range test.want {
					if !strings.Contains(body, want) {
						t.Errorf("%s doesn't have %s", body, want)
					}
				}
				if code, body := get(t, o, "/livez"); code != 200 || body != "alive\n" {
					t.Errorf("livez: %d %q", code, body)
				}
			})
		})
	}
}

// However many ask, what is depended on is asked once a moment; and what has recovered is
// told so.
func TestChecksRestBetweenAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		o := operations.New("v1", &operations.Check{Name: "peer", Probe: func(context.Context) error {
			if asked.Add(1) == 1 {
				return errors.New("not yet")
			}
			return nil
		}})
		for range 100 {
			if code, _ := get(t, o, "/readyz"); code != 503 {
				t.Fatalf("code %d", code)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(2 * time.Second)
		if code, _ := get(t, o, "/readyz"); code != 200 {
			t.Errorf("code %d after it recovered", code)
		}
	})
}

func TestMetrics(t *testing.T) {
	o := operations.New("v1", &operations.Check{Name: "peer", Probe: func(context.Context) error { return errors.New("down") }})
	o.Called("Records.Submit", "OK", 30*time.Millisecond)
	o.Called("Records.Submit", "PermissionDenied", time.Millisecond)
	o.Gauge("yitong_ledger_blocks", "Blocks on the own peer.", func() float64 { return 42 })
	code, body := get(t, o, "/metrics")
	if code != 200 {
		t.Fatalf("code %d", code)
	}
	for _, want := range []string{
		`yitong_call_seconds_bucket{code="OK",method="Records.Submit",le="0.05"} 1`,
		`yitong_call_seconds_count{code="PermissionDenied",method="Records.Submit"} 1`,
		"yitong_ledger_blocks 42", `yitong_build_info{version="v1"} 1`, `yitong_ready{check="peer"} 0`, "go_goroutines",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}

// What Prometheus's own linter would say of the figures, and that no label takes whatever a
// caller sends.
func TestTheFiguresAreWellFormed(t *testing.T) {
	o := operations.New("v1", &operations.Check{Name: "peer", Probe: func(context.Context) error { return nil }})
	o.Called("Records.Submit", "OK", time.Millisecond)
	o.Asked("/fhir/", "GET", 200, time.Millisecond)
	o.Transacted("commit", "record:Anchor", "ok", time.Millisecond)
	o.Stored("put", "ok", time.Millisecond)
	o.Counts("yitong_turned_away_total", "Turned away.", "limit", func() map[string]uint64 { return map[string]uint64{"rate": 2} })
	o.Gauge("yitong_pending", "Pending.", func() float64 { return 0 })
	_, body := get(t, o, "/metrics")
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if problems, err := promlint.New(strings.NewReader("# TYPE yitongBad counter\nyitongBad 1\n")).Lint(); err != nil || len(problems) == 0 {
		t.Errorf("control: the linter finds nothing wrong with what is: %v", err)
	}
	for _, want := range []string{`yitong_request_seconds_count{method="GET",route="/fhir/",status="200"} 1`, `yitong_ledger_seconds_count{function="record:Anchor",outcome="ok",step="commit"} 1`,
		`yitong_vault_seconds_count{operation="put",outcome="ok"} 1`, `yitong_turned_away_total{limit="rate"} 2`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}

// Who drains isn't ready, whatever the checks say.
func TestDrainingIsNotReady(t *testing.T) {
	o := operations.New("v1")
	if code, _ := get(t, o, "/readyz"); code != 200 {
		t.Errorf("before: %d", code)
	}
	o.Drain()
	if code, body := get(t, o, "/readyz"); code != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := get(t, o, "/healthz"); code != 200 {
		t.Errorf("alive: %d", code)
	}
}

// A probe that costs something is made seldom, and an ill one again soon.
func TestAProbeIsMadeAsOftenAsItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		var ill error
		o := operations.New("v1", &operations.Check{Name: "vault", Every: time.Minute, Probe: func(context.Context) error { asked++; return ill }})
		for range 59 {
			get(t, o, "/readyz")
			time.Sleep(time.Second)
		}
		if asked != 1 {
			t.Errorf("asked %d times in a minute", asked)
		}
		ill = errors.New("full")
		time.Sleep(2 * time.Second)
		get(t, o, "/readyz")
		ill = nil
		time.Sleep(11 * time.Second)
		if code, _ := get(t, o, "/readyz"); code != 200 || asked != 3 {
			t.Errorf("%d after it recovered, asked %d times", code, asked)
		}
	})
}

func TestOthersMethodsAndPathsAreRefused(t *testing.T) {
	o := operations.New("v1")
	w := httptest.NewRecorder()
	o.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/metrics", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	if code, _ := get(t, o, "/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("pprof: %d", code)
	}
}
