// Command load drives a real consortium as its members' software would, at a constant rate,
// and says how long calls took and how many failed.
//
//	go run ./test/load                 about three minutes on two idle cores
//	go run ./test/load --seconds 20 --json
//
// The insurer's software requests accesses, opens them and looks at them again over gRPC;
// auditors ask over HTTPS. First a closed loop of 32 clients finds the capacity
// of that mix. Then the mix is driven at 50 % and 70 % of it by open loops: a call is sent
// when it is due, whatever has become of those before, and its latency counts from then, so
// that a stall isn't hidden. The HTTPS part is vegeta's own (github.com/tsenart/vegeta, built
// from test/tools/load), the gRPC part is driven here.
//
// What isn't answered with success has failed, refusals for being over a limit included.
// Afterwards the ledger, as the insurer's gateway has it, must hold every access that was
// acknowledged, and none that wasn't asked for. It ends with 1 otherwise.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/command"
	"yitong/cmd/yitong/consortium"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/network/fabric"
	"yitong/network/topology"
)

func main() { os.Exit(run()) }

func run() int {
	if handled, exit := fabric.Builder(os.Args[0], os.Args[1:]); handled {
		return exit
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && (os.Args[1] == consortium.ServeChaincode || os.Args[1] == consortium.ServeGateway) {
		return command.Run(ctx, os.Args[1:], command.World{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Now: time.Now})
	}
	seconds := flag.Int("seconds", 30, "length of each of the three loops")
	asJSON := flag.Bool("json", false, "one JSON document on standard output")
	flag.Parse()
	r, err := load(ctx, time.Duration(*seconds)*time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		return 1
	}
	if *asJSON {
		err = json.NewEncoder(os.Stdout).Encode(r)
	} else {
		r.write(os.Stdout)
	}
	if err != nil || len(r.Wrong) > 0 {
		return 1
	}
	return 0
}

// share is how often each kind of call is in the mix, of 10.
var share = map[string]int{"request": 3, "open": 2, "read": 2, "audit": 3}

// Report is what was measured.
type Report struct {
	Capacity     float64  `json:"capacity"` // calls of the mix a second
	Loops        []Loop   `json:"loops"`
	Acknowledged int      `json:"acknowledged"` // accesses
	Committed    int      `json:"committed"`
	Unknown      int      `json:"unknown"` // without an answer; they may have happened
	Wrong        []string `json:"wrong"`
	Machine      string   `json:"machine"`
}

// Loop is one open loop.
type Loop struct {
	Share float64 `json:"share"` // of the capacity
	Kinds []Kind  `json:"kinds"`
}

// Kind is one kind of call in a loop.
type Kind struct {
	Name          string  `json:"name"`
	Rate          float64 `json:"rate"` // calls a second that were due
	Calls, Failed int
	P50, P95, P99 time.Duration
	Why           string `json:",omitempty"` // of the first failure
}

func (r Report) write(w io.Writer) {
	fmt.Fprintf(w, "%s\ncapacity of the mix, 32 clients: %.0f calls/s\n", r.Machine, r.Capacity)
	for _, l := range r.Loops {
		fmt.Fprintf(w, "\nat %.0f %%\n%-13s %8s %7s %8s %9s %9s %9s\n", 100*l.Share, "", "calls/s", "calls", "failed", "p50", "p95", "p99")
		for _, k := range l.Kinds {
			fmt.Fprintf(w, "%-13s %8.1f %7d %7.2f%% %9s %9s %9s  %s\n", k.Name, k.Rate, k.Calls, 100*float64(k.Failed)/float64(max(1, k.Calls)),
				k.P50.Round(100*time.Microsecond), k.P95.Round(100*time.Microsecond), k.P99.Round(100*time.Microsecond), k.Why)
		}
	}
	fmt.Fprintf(w, "\n%d accesses acknowledged, %d committed, %d without an answer\n", r.Acknowledged, r.Committed, r.Unknown)
	for _, what := range r.Wrong {
		fmt.Fprintln(w, "WRONG:", what)
	}
}

func load(ctx context.Context, lasting time.Duration) (r Report, err error) {
	top, err := os.MkdirTemp("", "yitong-load-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	vegeta, err := build(ctx, top)
	if err != nil {
		return r, err
	}
	w, err := start(ctx, filepath.Join(top, "network"))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	say("warming up")
	if _, err := w.closed(ctx, lasting/3); err != nil {
		return r, err
	}
	if r.Capacity, err = w.closed(ctx, lasting); err != nil {
		return r, err
	}
	r.Machine = fmt.Sprintf("%d cores, load average %s", runtime.NumCPU(), loadAverage())
	for _, part := range []float64{0.5, 0.7} {
		say("%.0f %% of %.0f calls/s", 100*part, r.Capacity)
		l, err := w.open(ctx, vegeta, part, part*r.Capacity, lasting)
		if err != nil {
			return r, err
		}
		r.Loops = append(r.Loops, l)
	}
	return r, w.check(ctx, &r)
}

// world is a consortium with patients whose records the insurer may open.
type world struct {
	*consortium.Consortium
	hospital, insurer *client.Client
	auditor           client.Profile
	patients          []*yitongv1.Patient

	mu           sync.Mutex
	acknowledged map[string]bool // by access id; false is unknown
	opened       []string
}

const patients = 16

func start(ctx context.Context, dir string) (_ *world, err error) {
	binaries, err := fabric.Install(ctx, func(s fabric.Step) { say("%s", s.Text) })
	if err != nil {
		return nil, err
	}
	t := topology.Default()
	if err := t.FreePorts(); err != nil {
		return nil, err
	}
	w := &world{acknowledged: map[string]bool{}}
	if w.Consortium, err = consortium.Start(ctx, consortium.Options{Dir: dir, Topology: t, Binaries: binaries}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	for _, p := range w.Profiles() {
		switch p.Member {
		case "hospital-a":
			w.hospital, err = client.Dial(p)
		case "insurer":
			w.insurer, err = client.Dial(p)
			w.auditor = p
		}
		if err != nil {
			return nil, err
		}
	}
	say("the network runs; making %d patients", patients)
	var all errgroup.Group
	for i := range patients {
		p := &yitongv1.Patient{System: "https://hospital-a.example/mrn", Value: fmt.Sprintf("LOAD-%04d", i)}
		w.patients = append(w.patients, p)
		all.Go(func() error { return w.consenting(ctx, p) })
	}
	return w, all.Wait()
}

// consenting makes a patient with a record that the insurer may open.
func (w *world) consenting(ctx context.Context, p *yitongv1.Patient) error {
	record := `{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Observation","id":"o","status":"final",` +
		`"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],` +
		`"code":{"coding":[{"system":"http://loinc.org","code":"2339-0"}]},"effectiveDateTime":"2026-03-01","note":[{"text":"` + strings.Repeat("made up; ", 100) + `"}]}}]}`
	if _, err := w.hospital.Submit(ctx, &yitongv1.SubmitHeader{Id: client.NewID(), Patient: p, MediaType: "application/fhir+json"}, strings.NewReader(record)); err != nil {
		return fmt.Errorf("submitting a record: %w", err)
	}
	_, err := w.hospital.Consents.Grant(ctx, &yitongv1.GrantRequest{
		Id: client.NewID(), Patient: p, Requester: "insurer", Form: []byte("made up"),
		Period:    &yitongv1.Period{End: timestamppb.New(time.Now().AddDate(1, 0, 0).Truncate(time.Second))},
		Provision: &yitongv1.Provision{Type: "permit", Purposes: []string{"HPAYMT"}, Classes: []string{"laboratory"}},
	})
	if err != nil {
		return fmt.Errorf("granting a consent: %w", err)
	}
	return w.access(ctx, p, true)
}

// access requests an access, and opens it if asked to.
func (w *world) access(ctx context.Context, p *yitongv1.Patient, open bool) error {
	id := client.NewID()
	w.note(id, false)
	answer, err := w.insurer.Accesses.Request(ctx, &yitongv1.AccessRequest{
		Id: id, Custodian: "hospital-a", Patient: p, Purpose: "CLMATTCH", Classes: []string{"laboratory"}, Claim: "CLM-" + id[:8],
	})
	if err != nil {
		if _, refused := client.Refusal(err); refused {
			w.forget(id)
		}
		return err
	}
	w.note(id, true)
	if answer.GetAccess().GetOutcome() != "permit" {
		return errors.New("denied")
	}
	if !open {
		return nil
	}
	var content bytes.Buffer
	if _, err := w.insurer.Open(ctx, id, "hospital-a", func(*yitongv1.Part) (io.Writer, error) { return &content, nil }); err != nil {
		return err
	}
	if !bytes.Contains(content.Bytes(), []byte("made up; made up; ")) {
		return errors.New("what was opened is not what was submitted")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened = append(w.opened, id)
	return nil
}

func (w *world) note(id string, acknowledged bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acknowledged[id] = acknowledged
}

func (w *world) forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.acknowledged, id)
}

// call does one call of a kind over gRPC.
func (w *world) call(ctx context.Context, kind string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	p := w.patients[rand.IntN(patients)]
	switch kind {
	case "request", "open":
		return w.access(ctx, p, kind == "open")
	case "read":
		w.mu.Lock()
		id := w.opened[rand.IntN(len(w.opened))]
		w.mu.Unlock()
		_, err := w.insurer.Accesses.Get(ctx, &yitongv1.GetAccessRequest{Id: id, Custodian: "hospital-a"})
		return err
	default:
		_, err := w.insurer.Audit.Entries(ctx, &yitongv1.EntriesRequest{Page: &yitongv1.Page{Size: 20}, NewestFirst: true})
		return err
	}
}

// draw draws a kind of call.
func draw() string {
	n := rand.IntN(10)
	for _, kind := range []string{"request", "open", "read", "audit"} {
		if n -= share[kind]; n < 0 {
			return kind
		}
	}
	panic("the shares are of 10")
}

// closed is how many calls of the mix 32 clients get done in a second.
func (w *world) closed(ctx context.Context, lasting time.Duration) (float64, error) {
	var running sync.WaitGroup
	var mu sync.Mutex
	done := 0
	begun := time.Now()
	for range 32 {
		running.Go(func() {
			for time.Since(begun) < lasting && ctx.Err() == nil {
				if w.call(ctx, draw()) == nil {
					mu.Lock()
					done++
					mu.Unlock()
				}
			}
		})
	}
	running.Wait()
	if done == 0 {
		return 0, cmp.Or(ctx.Err(), errors.New("not one call succeeded"))
	}
	return float64(done) / time.Since(begun).Seconds(), ctx.Err()
}

// open drives the mix at a constant rate, calls a second.
func (w *world) open(ctx context.Context, vegeta string, part, rate float64, lasting time.Duration) (Loop, error) {
	l := Loop{Share: part, Kinds: make([]Kind, 4)}
	var all errgroup.Group
	for i, kind := range []string{"request", "open", "read", "audit"} {
		all.Go(func() (err error) {
			own := max(1, rate*float64(share[kind])/10)
			if kind == "audit" {
				l.Kinds[i], err = w.attack(ctx, vegeta, own, lasting)
			} else {
				l.Kinds[i] = w.constant(ctx, kind, own, lasting)
			}
			return err
		})
	}
	return l, all.Wait()
}

// constant sends a call of a kind whenever one is due.
func (w *world) constant(ctx context.Context, kind string, rate float64, lasting time.Duration) Kind {
	k := Kind{Name: kind + ", gRPC", Rate: rate}
	var mu sync.Mutex
	var took []time.Duration
	var running sync.WaitGroup
	begun := time.Now()
	for i := range int(rate * lasting.Seconds()) {
		due := begun.Add(time.Duration(float64(i) / rate * 1e9))
		time.Sleep(time.Until(due))
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			err := w.call(ctx, kind)
			late := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if k.Calls++; err != nil {
				k.Failed++
				k.Why = cmp.Or(k.Why, err.Error())
				return
			}
			took = append(took, late)
		})
	}
	running.Wait()
	slices.Sort(took)
	if n := len(took); n > 0 {
		k.P50, k.P95, k.P99 = took[n/2], took[n*95/100], took[n*99/100]
	}
	return k
}

// attack has vegeta ask an auditor's question over HTTPS.
func (w *world) attack(ctx context.Context, vegeta string, rate float64, lasting time.Duration) (Kind, error) {
	k := Kind{Name: "audit, HTTPS", Rate: rate}
	p := w.auditor
	attack := exec.CommandContext(ctx, vegeta, "attack", "-name=audit", "-format=http", "-targets=/dev/stdin", fmt.Sprintf("-rate=%d/10s", max(1, int(10*rate))),
		"-duration="+lasting.String(), "-timeout=30s", "-cert="+p.Cert, "-key="+p.Key, "-root-certs="+p.CA)
	attack.Stdin = strings.NewReader("GET https://" + p.HTTP + "/v1/audit/entries?size=20&newest_first=true\n")
	var results, trouble bytes.Buffer
	attack.Stdout, attack.Stderr = &results, &trouble
	if err := attack.Run(); err != nil {
		return k, fmt.Errorf("vegeta attack: %w: %s", err, trouble.String())
	}
	report := exec.CommandContext(ctx, vegeta, "report", "-type=json")
	report.Stdin = &results
	raw, err := report.Output()
	if err != nil {
		return k, fmt.Errorf("vegeta report: %w", err)
	}
	var said struct {
		Latencies struct {
			P50 time.Duration `json:"50th"`
			P95 time.Duration `json:"95th"`
			P99 time.Duration `json:"99th"`
		} `json:"latencies"`
		Requests int      `json:"requests"`
		Success  float64  `json:"success"`
		Errors   []string `json:"errors"`
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return k, fmt.Errorf("vegeta report: %w", err)
	}
	k.Calls, k.Failed = said.Requests, int(float64(said.Requests)*(1-said.Success)+0.5)
	k.P50, k.P95, k.P99 = said.Latencies.P50, said.Latencies.P95, said.Latencies.P99
	if len(said.Errors) > 0 {
		k.Why = said.Errors[0]
	}
	return k, nil
}

// check compares what was acknowledged with what is on the ledger.
func (w *world) check(ctx context.Context, r *Report) error {
	on := map[string]int{}
	bookmark := ""
	for {
		page, err := w.insurer.Accesses.List(ctx, &yitongv1.ListAccessesRequest{Custodian: "hospital-a", Page: &yitongv1.Page{Size: 100, Bookmark: bookmark}})
		if err != nil {
			return fmt.Errorf("listing the accesses: %w", err)
		}
		for _, a := range page.GetAccesses() {
			on[a.GetId()]++
		}
		if bookmark = page.GetNextBookmark(); bookmark == "" {
			break
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.Committed = len(on)
	for id, acknowledged := range w.acknowledged {
		if !acknowledged {
			r.Unknown++
			continue
		}
		if r.Acknowledged++; on[id] != 1 {
			r.Wrong = append(r.Wrong, fmt.Sprintf("access %s was acknowledged and stands there %d times", id, on[id]))
		}
	}
	for id, n := range on {
		if _, asked := w.acknowledged[id]; !asked || n != 1 {
			r.Wrong = append(r.Wrong, fmt.Sprintf("access %s stands there %d times and was asked for: %t", id, n, asked))
		}
	}
	return nil
}

// build makes vegeta, at the version pinned in test/tools/load.
func build(ctx context.Context, dir string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	program := filepath.Join(dir, "vegeta")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/tsenart/vegeta/v12")
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "tools", "load")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building vegeta: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return program, nil
}

func loadAverage() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(raw))[:3], " ")
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
