package operations_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/node"
	"yitong/test/consortium"
	"yitong/test/leak"
	"yitong/test/patient"
)

// collected is a collector of traces (OTLP over HTTP).
type collected struct {
	*httptest.Server
	mu    sync.Mutex
	raw   bytes.Buffer
	spans map[string][]span // by trace id
}

type span struct {
	*tracev1.Span
	of string // the member
}

func collect(t *testing.T) *collected {
	t.Helper()
	c := &collected{spans: map[string][]span{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		var body io.Reader = in.Body
		if in.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(in.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		doc, err := io.ReadAll(body)
		var export collector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(doc, &export) != nil {
			t.Errorf("an export that can't be read: %v", err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(doc)
		for _, r := range export.GetResourceSpans() {
			of := ""
			for _, a := range r.GetResource().GetAttributes() {
				if a.GetKey() == "service.namespace" {
					of = a.GetValue().GetStringValue()
				}
			}
			for _, scope := range r.GetScopeSpans() {
				for _, s := range scope.GetSpans() {
					id := hex.EncodeToString(s.GetTraceId())
					c.spans[id] = append(c.spans[id], span{s, of})
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// has waits for a span of a trace.
func (c *collected) has(t *testing.T, trace, what string, like func(span) bool) span {
	t.Helper()
	for range 200 {
		c.mu.Lock()
		for _, s := range c.spans[trace] {
			if like(s) {
				c.mu.Unlock()
				return s
			}
		}
		c.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
	var names []string
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans[trace] {
		names = append(names, s.of+": "+s.GetName())
	}
	t.Errorf("no %s in the trace, which has %q", what, names)
	return span{}
}

func attribute(s span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// configure changes a member's configuration file.
func configure(t *testing.T, c *consortium.Consortium, member string, change func(*node.Config)) {
	t.Helper()
	path, config := configOf(t, c, member)
	change(&config)
	if err := node.WriteConfig(path, config); err != nil {
		t.Fatal(err)
	}
}

func gatewayOf(t *testing.T, c *consortium.Consortium, member string) (pid int, log string) {
	t.Helper()
	for _, p := range c.Processes("gateway-" + member) {
		return p.PID, p.Log
	}
	t.Fatalf("no gateway of %s runs", member)
	return 0, ""
}

// logged waits until the log of a gateway, from an offset on, has a text.
func logged(t *testing.T, path string, from int64, text string) {
	t.Helper()
	for range 200 {
		if strings.Contains(logOf(t, path, from), text) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("the log doesn't say %q: %s", text, logOf(t, path, from))
}

func logOf(t *testing.T, path string, from int64) string {
	t.Helper()
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(all[min(from, int64(len(all))):])
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// httpsOf is a client of a member's HTTPS door, as its software.
func httpsOf(t *testing.T, c *consortium.Consortium, member string) (base string, _ *http.Client) {
	t.Helper()
	p, config := c.Door(t, member)
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return "https://" + p.HTTP, &http.Client{Transport: transport, Timeout: time.Minute}
}

// readiness asks a gateway how it is.
func readiness(t *testing.T, config node.Config) (ready bool, checks map[string]string) {
	t.Helper()
	answer, err := http.Get("http://" + config.Operations + "/readyz")
	if err != nil {
		return false, map[string]string{"process": err.Error()}
	}
	defer answer.Body.Close()
	var doc struct {
		Ready  bool
		Checks []struct {
			Name, Problem string
			OK            bool
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if doc.Ready != (answer.StatusCode == http.StatusOK) {
		t.Errorf("%d and ready is %v", answer.StatusCode, doc.Ready)
	}
	checks = map[string]string{}
	for _, c := range doc.Checks {
		if !c.OK {
			checks[c.Name] = c.Problem
		}
	}
	return doc.Ready, checks
}

// until waits for a gateway to be as it should.
func until(t *testing.T, config node.Config, what string, as func(ready bool, ill map[string]string) bool) {
	t.Helper()
	var ready bool
	var ill map[string]string
	for range 600 {
		if ready, ill = readiness(t, config); as(ready, ill) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s: ready is %v, ill are %q", what, ready, ill)
}

func well(ready bool, _ map[string]string) bool { return ready }

func TestAGatewayIsOperated(t *testing.T) {
	c := consortium.Start(t)
	exported := collect(t)
	for _, member := range []string{consortium.HospitalA, consortium.Insurer} {
		configure(t, c, member, func(config *node.Config) {
			config.Tracing.Endpoint, config.Drain = exported.URL, 2*time.Second
		})
		if err := c.Network().Supervisor().Restart(t.Context(), "gateway-"+member); err != nil {
			t.Fatal(err)
		}
	}
	_, config := configOf(t, c, consortium.HospitalA)
	until(t, config, "at the start", well)
	p := patient.Synthetic(t, 910)
	_, log := gatewayOf(t, c, consortium.HospitalA)
	hup := func() {
		pid, _ := gatewayOf(t, c, consortium.HospitalA)
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("a configuration is put into force without a restart, or not at all", func(t *testing.T) {
		from := size(t, log)
		path, _ := configOf(t, c, consortium.HospitalA)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(bytes.Clone(good), "limits: {rate: -1}\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		hup()
		logged(t, log, from, "can't be used; the one before stays in force")
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		configure(t, c, consortium.HospitalA, func(config *node.Config) {
			config.LogLevel, config.Limits.Rate, config.Limits.Burst, config.ReviewOrders = "debug", 0.01, 1, true
		})
		hup()
		logged(t, log, from, `takes a restart","changed":"review_orders"`)
		base, https := httpsOf(t, c, consortium.HospitalA)
		codes := map[int]int{}
		for range 4 {
			answer, err := https.Get(base + "/v1/openapi.json")
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			codes[answer.StatusCode]++
		}
		if codes[429] < 3 {
			t.Errorf("under a rate of 0.01: %v", codes)
		}
		configure(t, c, consortium.HospitalA, func(config *node.Config) { config.Limits.Rate, config.Limits.Burst = 0, 0 })
		from = size(t, log)
		hup()
		logged(t, log, from, "are in force")
	})

	t.Run("a request is followed to its transaction, and its record to the other member", func(t *testing.T) {
		const trace, granting = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319d"
		from := size(t, log)
		base, https := httpsOf(t, c, consortium.HospitalA)
		in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/fhir/Bundle", bytes.NewReader(p.Bundle))
		if err != nil {
			t.Fatal(err)
		}
		in.Header.Set("Content-Type", "application/fhir+json")
		in.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
		in.Header.Set("X-Request-Id", "order-4711")
		answer, err := https.Do(in)
		if err != nil {
			t.Fatal(err)
		}
		doc, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusCreated || answer.Header.Get("X-Request-Id") != "order-4711" {
			t.Fatalf("%s %v: %s", answer.Status, answer.Header, doc)
		}
		root := exported.has(t, trace, "request", func(s span) bool { return s.GetName() == "POST /fhir/" && s.of == consortium.HospitalAMSP })
		if hex.EncodeToString(root.GetParentSpanId()) != "b7ad6b7169203331" {
			t.Error("the request isn't part of its caller's trace")
		}
		exported.has(t, trace, "call", func(s span) bool { return s.GetName() == "Records.Submit" })
		commit := exported.has(t, trace, "commit", func(s span) bool { return s.GetName() == "ledger commit" && attribute(s, "yitong.outcome") == "ok" })
		if tx, err := c.Ledger(t, consortium.Regulator, consortium.Chaincode).Transaction(t.Context(), attribute(commit, "yitong.tx")); err != nil || !tx.Valid() || attribute(commit, "yitong.function") != "record:Anchor" {
			t.Errorf("the transaction that the trace ends in: %+v, %v", tx, err)
		}
		logged(t, log, from, `"request":"order-4711"`)
		logged(t, log, from, `"trace":"`+trace+`"`)

		c.Grant(t, p, consortium.ForPayment("laboratory"))
		permit := c.Ask(t, p, "laboratory")
		ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-"+granting+"-b7ad6b7169203331-01", "x-request-id", "claim-42")
		stream, err := c.Client(t, consortium.Insurer).Accesses.Open(ctx, &yitongv1.OpenRequest{Id: permit.GetId(), Custodian: consortium.HospitalA})
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := stream.Recv(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		exported.has(t, granting, "opening", func(s span) bool { return s.GetName() == "Accesses.Open" && s.of == consortium.InsurerMSP })
		exported.has(t, granting, "release by the hospital", func(s span) bool { return s.GetName() == "Exchange.Release" && s.of == consortium.HospitalAMSP })
		logged(t, log, from, `"request":"claim-42"`)
	})

	t.Run("what is exported and logged tells of nobody", func(t *testing.T) {
		who := p.Identifying[0]
		base, https := httpsOf(t, c, consortium.HospitalA)
		for _, path := range []string{"/fhir/Patient?identifier=" + who, "/v1/audit/entries?object=" + who, "/" + who, "/fhir/Observation/" + who} {
			in, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			in.Header.Set("X-Request-Id", who+`"}`)
			in.Header.Set("User-Agent", who)
			in.Header.Set("Yitong-Patient", "urn:x|"+who)
			in.Header.Set("Tracestate", "yitong="+who)
			in.Header.Set("Baggage", "patient="+who)
			answer, err := https.Do(in)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
		}
		_, _ = c.Client(t, consortium.HospitalA).Records.Retract(metadata.AppendToOutgoingContext(t.Context(), "x-request-id", who+"\r\n{}"), &yitongv1.RetractRequest{Id: who, Reason: who + "\r\n{\"level\":\"ERROR\"}"})
		time.Sleep(6 * time.Second) // the exporter's pace is 5 s
		var secrets []leak.Secret
		for i, value := range p.Identifying {
			secrets = append(secrets, leak.Secret{Name: fmt.Sprint("identifying value ", i), Value: []byte(value)})
		}
		scanner := leak.New(secrets...)
		text := logOf(t, log, 0)
		exported.mu.Lock()
		traces := bytes.Clone(exported.raw.Bytes())
		exported.mu.Unlock()
		for _, f := range append(scanner.Bytes("the log", []byte(text)), scanner.Bytes("the traces", traces)...) {
			t.Errorf("leaked: %v", f)
		}
		lines := 0
		for line := range strings.Lines(text) {
			var object map[string]any
			if json.Unmarshal([]byte(line), &object) != nil || object["msg"] == nil {
				t.Errorf("a line that is no JSON object: %.200s", line)
			}
			lines++
		}
		if lines < 20 || len(traces) < 1000 {
			t.Errorf("%d lines and %d bytes of traces: this proves nothing", lines, len(traces))
		}
		t.Run("control: what is planted there is found", func(t *testing.T) {
			if len(scanner.Bytes("a log", append([]byte(text), who...))) == 0 || len(scanner.Bytes("traces", append(traces, who...))) == 0 {
				t.Error("it isn't")
			}
			if json.Valid([]byte(`{"msg":"a"}` + "\n" + who)) {
				t.Error("a line that was broken looks whole")
			}
		})
	})

	t.Run("it says what it lacks", func(t *testing.T) {
		supervisor := c.Network().Supervisor()
		ill := func(name string) func(bool, map[string]string) bool {
			return func(ready bool, ill map[string]string) bool { return !ready && ill[name] != "" }
		}
		for what, held := range map[string][]string{"peer": {"peer-" + consortium.HospitalA}, "orderers": names(c, "orderer-")[:2]} {
			for _, name := range held {
				if err := supervisor.Hold(name); err != nil {
					t.Fatal(err)
				}
			}
			until(t, config, "without "+what, ill(what))
			for _, name := range held {
				if err := supervisor.Release(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		until(t, config, "with both again", well)
	})

	t.Run("it isn't ready before it stops, and serves until then", func(t *testing.T) {
		pid, _ := gatewayOf(t, c, consortium.HospitalA)
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		until(t, config, "stopping", func(ready bool, ill map[string]string) bool { return !ready && ill["stopping"] != "" })
		if _, err := c.Client(t, consortium.HospitalA).Node.Status(t.Context(), &yitongv1.StatusRequest{}); err != nil {
			t.Errorf("while it drains: %v", err)
		}
		until(t, config, "again", well)
		consortium.Again(t, "a call", recovery, func(ctx context.Context) error {
			_, err := c.Client(t, consortium.HospitalA).Node.Status(ctx, &yitongv1.StatusRequest{})
			return err
		})
	})
}

func names(c *consortium.Consortium, prefix string) (out []string) {
	for _, p := range c.Processes(prefix) {
		out = append(out, p.Name)
	}
	return out
}
