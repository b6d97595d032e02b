// Package operations tells those who run a gateway how it is, by plain HTTP on an
// address of its own that only they reach (by default one of the machine itself):
//
//	/livez     the process answers; /healthz says the same
//	/readyz    it can do its work now: each thing it depends on, asked
//	/metrics   figures for Prometheus
//
// Nothing here names a patient, a record, a person or a handle: labels are methods,
// codes and names of dependencies.
package operations

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is something that the gateway can't work without.
type Check struct {
	Name string // "peer", "vault", …
	// Probe returns nil when it is there and well. Its error is shown to whoever asks:
	// it must not quote data.
	Probe func(context.Context) error
	// Every is how long an answer stands: a probe that costs something is made seldom. Who
	// is ill is asked again at least every ten seconds. Default a second.
	Every time.Duration

	mu    sync.Mutex
	asked time.Time
	last  error
}

// ask probes, or gives the answer that stands.
func (c *Check) ask(ctx context.Context, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stands := max(c.Every, restTime)
	if c.last != nil {
		stands = min(stands, 10*time.Second)
	}
	if c.asked.IsZero() || now.Sub(c.asked) >= stands {
		c.last, c.asked = c.Probe(ctx), now
	}
	return c.last
}

// probeTime is how long one probe may take before it counts as failed, and restTime how
// long an answer stands before the checks are asked again, however many ask.
const (
	probeTime = 3 * time.Second
	restTime  = time.Second
)

// Operations is what there is to tell. It is safe for concurrent use.
type Operations struct {
	checks   []*Check
	registry *prometheus.Registry
	calls    *prometheus.HistogramVec
	requests *prometheus.HistogramVec
	ledger   *prometheus.HistogramVec
	vault    *prometheus.HistogramVec
	now      func() time.Time

	draining atomic.Bool

	mu    sync.Mutex
	last  readiness
	asked time.Time
}

// New makes the figures, and the checks that say whether the gateway is ready.
func New(version string, checks ...*Check) *Operations {
	o := &Operations{
		checks: checks, registry: prometheus.NewRegistry(), now: time.Now,
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yitong_call_seconds", Help: "Calls of the gateway's API by method and gRPC code, and how long they took.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "code"}),
	}
	o.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "yitong_request_seconds", Help: "HTTP requests by route, method and status, and how long they took.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"route", "method", "status"})
	o.ledger = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "yitong_ledger_seconds", Help: "Endorsements and commits by chaincode function and outcome, and how long they took.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"step", "function", "outcome"})
	o.vault = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "yitong_vault_seconds", Help: "Operations on the vault by kind and outcome, and how long they took.",
		Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 300},
	}, []string{"operation", "outcome"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "yitong_build_info", Help: "Always 1; the label says what runs.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	o.registry.MustRegister(o.calls, o.requests, o.ledger, o.vault, build, readinessGauge{o, prometheus.NewDesc("yitong_ready", "1 where a dependency answers as it should, else 0.", []string{"check"}, nil)},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return o
}

// Called counts one call of the API that has ended.
func (o *Operations) Called(method, code string, took time.Duration) {
	o.calls.WithLabelValues(method, code).Observe(took.Seconds())
}

// Asked counts one HTTP request that has ended. The route is what serves it, not the path.
func (o *Operations) Asked(route, method string, status int, took time.Duration) {
	o.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
}

// Transacted counts one endorsement, or one commit, that has ended.
func (o *Operations) Transacted(step, function, outcome string, took time.Duration) {
	o.ledger.WithLabelValues(step, function, outcome).Observe(took.Seconds())
}

// Stored counts one operation on the vault that has ended.
func (o *Operations) Stored(operation, outcome string, took time.Duration) {
	o.vault.WithLabelValues(operation, outcome).Observe(took.Seconds())
}

// Counts adds counters that are read when somebody asks, one for each value of a label.
func (o *Operations) Counts(name, help, label string, read func() map[string]uint64) {
	o.registry.MustRegister(counts{prometheus.NewDesc(name, help, []string{label}, nil), read})
}

type counts struct {
	desc *prometheus.Desc
	read func() map[string]uint64
}

func (c counts) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

func (c counts) Collect(to chan<- prometheus.Metric) {
	for value, n := range c.read() {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(n), value)
	}
}

// Gauge adds a figure that is read when somebody asks; NaN where it can't be.
func (o *Operations) Gauge(name, help string, read func() float64) {
	o.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Handler serves it all.
func (o *Operations) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	alive := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("alive\n"))
	}
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", o.serveReadiness)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	return mux
}

// Drain makes the gateway not ready from now on, so that whoever sends it work stops doing so
// before it stops.
func (o *Operations) Drain() {
	o.draining.Store(true)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = time.Time{}
}

// Serve listens on an address until ctx ends.
func (o *Operations) Serve(ctx context.Context, address string, log *slog.Logger) error {
	server := &http.Server{Addr: address, Handler: o.Handler(log), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready  bool      `json:"ready"`
	Checks []outcome `json:"checks"`
}

type outcome struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

func (o *Operations) serveReadiness(w http.ResponseWriter, r *http.Request) {
	answer := o.ready()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(answer)
}

// ready asks every check at once, or answers with what they said a moment ago. It doesn't
// depend on who asks: a caller that hangs up must not make the next one's answer wrong.
func (o *Operations) ready() readiness {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.asked.IsZero() && o.now().Sub(o.asked) < restTime {
		return o.last
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	o.last = readiness{Ready: true, Checks: make([]outcome, len(o.checks))}
	var asking sync.WaitGroup
	for i, c := range o.checks {
		asking.Go(func() {
			o.last.Checks[i] = outcome{Name: c.Name, OK: true}
			if err := c.ask(ctx, o.now()); err != nil {
				o.last.Checks[i] = outcome{Name: c.Name, Problem: err.Error()}
			}
		})
	}
	asking.Wait()
	if o.draining.Load() {
		o.last.Checks = append(o.last.Checks, outcome{Name: "stopping", Problem: "this gateway is being stopped: it finishes what is under way"})
	}
	for _, c := range o.last.Checks {
		o.last.Ready = o.last.Ready && c.OK
	}
	o.asked = o.now()
	return o.last
}

// readinessGauge tells the checks as metrics.
type readinessGauge struct {
	of   *Operations
	desc *prometheus.Desc
}

func (g readinessGauge) Describe(to chan<- *prometheus.Desc) { to <- g.desc }

func (g readinessGauge) Collect(to chan<- prometheus.Metric) {
	for _, c := range g.of.ready().Checks {
		value := 0.0
		if c.OK {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, value, c.Name)
	}
}
