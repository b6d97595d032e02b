package attack_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/contract"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/ledger"
	"yitong/gateway/node"
	"yitong/test/consortium"
	"yitong/test/liar"
	"yitong/test/patient"
)

// process is a gateway's, and the memory that it takes, in bytes.
func process(t *testing.T, c *consortium.Consortium, member string) (pid int, rss int64) {
	t.Helper()
	pid = c.Processes("gateway-" + member)[0].PID
	doc, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(doc)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return pid, kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0, 0
}

// endless is a body without an end.
type endless struct{ sent int64 }

func (e *endless) Read(b []byte) (int, error) {
	e.sent += int64(len(b))
	return len(b), nil
}

// A21: payloads that are too large, never end or never come, and connections by the thousand.
func TestLargeAndSlowPayloadsAreBounded(t *testing.T) {
	c := consortium.Shared(t)
	p, config := c.Door(t, consortium.HospitalA)
	https := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: time.Minute}
	t.Cleanup(https.CloseIdleConnections)
	pid, before := process(t, c, consortium.HospitalA)
	post := func(body io.Reader, length int64) int {
		t.Helper()
		in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+p.HTTP+"/fhir/Bundle", body)
		if err != nil {
			t.Fatal(err)
		}
		in.ContentLength = length
		in.Header.Set("Content-Type", "application/fhir+json")
		out, err := https.Do(in)
		if err != nil {
			return 0 // the connection was closed on us
		}
		defer out.Body.Close()
		return out.StatusCode
	}
	announced, unending := &endless{}, &endless{}
	if code := post(announced, 5<<30); code != http.StatusRequestEntityTooLarge || announced.sent > 8<<20 {
		t.Errorf("5 GiB, announced: %d after %d bytes", code, announced.sent)
	}
	if code := post(unending, -1); code != http.StatusRequestEntityTooLarge || unending.sent > 256<<20 {
		t.Errorf("without an end: %d after %d bytes", code, unending.sent)
	}
	if code := post(bytes.NewReader(patient.Synthetic(t, 330).Bundle), -1); code != http.StatusCreated {
		t.Errorf("control: a Bundle of unknown length: %d", code)
	}

	var idle []net.Conn
	defer func() {
		for _, conn := range idle {
			conn.Close()
		}
	}()
	const crowd = 10_000
	for range crowd {
		conn, err := net.DialTimeout("tcp", p.HTTP, 5*time.Second)
		if err != nil {
			break
		}
		idle = append(idle, conn)
	}
	if len(idle) < crowd {
		t.Errorf("only %d connections could be made: raise the limit of open files (ulimit -n)", len(idle))
	}
	again, after := process(t, c, consortium.HospitalA)
	t.Logf("%d idle connections: %d MiB, %d before", len(idle), after>>20, before>>20)
	if again != pid || after > before+384<<20 {
		t.Errorf("%d idle connections and 5 GiB took %d MiB; process %d was %d", len(idle), (after-before)>>20, again, pid)
	}
	// Another address isn't kept out by them: loopback has more than one.
	from, err := net.ResolveTCPAddr("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: config, DialContext: (&net.Dialer{LocalAddr: from}).DialContext}}
	t.Cleanup(other.CloseIdleConnections)
	out, err := other.Get("https://" + p.HTTP + "/v1/openapi.json")
	if err != nil || out.StatusCode != http.StatusOK {
		t.Errorf("another address: %v, %v", out, err)
	} else {
		out.Body.Close()
	}
}

// A17: as many calls at once as come, and arguments of 10 MB. What is refused is refused by a
// word, nothing restarts, and it goes on at once.
func TestAFloodIsRefusedByAWordAndLeavesNothing(t *testing.T) {
	c := consortium.Shared(t)
	pid, _ := process(t, c, consortium.Insurer)
	insurer := c.Client(t, consortium.Insurer)
	var mu sync.Mutex
	got := map[codes.Code]int{}
	var all sync.WaitGroup
	for range 600 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := insurer.Members.List(ctx, &yitongv1.ListMembersRequest{})
			if _, byRule := client.Refusal(err); err != nil && !byRule && status.Code(err) != codes.Unavailable {
				t.Errorf("not a typed refusal: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[status.Code(err)]++
		})
	}
	all.Wait()
	t.Logf("600 calls at once: %v", got)
	if got[codes.OK] == 0 {
		t.Error("control: none came through")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := insurer.Node.Status(ctx, &yitongv1.StatusRequest{}); err != nil {
		t.Errorf("5 s afterwards: %v", err)
	}
	_, err := insurer.Accesses.Request(t.Context(), &yitongv1.AccessRequest{Claim: strings.Repeat("x", 10<<20)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("10 MB of arguments: %v", err)
	}
	_, err = insurer.Accesses.Request(t.Context(), &yitongv1.AccessRequest{Claim: strings.Repeat("x", 3<<20)})
	if refused, ok := client.Refusal(err); !ok {
		t.Errorf("3 MB of arguments: %v", err)
	} else {
		t.Logf("3 MB of arguments: %s", refused.Code)
	}
	if again, _ := process(t, c, consortium.Insurer); again != pid {
		t.Errorf("the gateway was restarted: process %d, was %d", again, pid)
	}
}

// A17: invocations that don't end, at one member. The others' writes and reads go on, what its own
// peer alone may say is refused by a word, and it recovers once its chaincode answers.
func TestAChaincodeThatDoesNotEndHoldsUpNobodyElse(t *testing.T) {
	c := consortium.Shared(t)
	pid, _ := process(t, c, consortium.Insurer)
	peer := c.Processes("peer-" + consortium.Insurer)[0].PID
	hospital := c.Client(t, consortium.HospitalA)
	p := patient.Synthetic(t, 340)
	c.Submit(t, p) // whoever asks about a patient for the first time asks the insurer too, which evaluates
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	c.Ask(t, p, "laboratory")
	own := c.Ledger(t, consortium.Insurer, consortium.Chaincode)
	asks := func(ctx context.Context) error { // of its own peer and no other
		return own.Evaluate(ctx, contract.RegistryMembers, struct{}{}, nil)
	}
	if err := asks(t.Context()); err != nil {
		t.Fatalf("control: %v", err)
	}

	c.Order(t, consortium.Chaincode, liar.Orders{Endless: true}, consortium.Insurer)
	begun := time.Now()
	held := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		held <- asks(ctx)
	}()
	for range 2 {
		wrote := time.Now()
		c.Submit(t, p)
		t.Logf("another member's write took %s", time.Since(wrote).Round(time.Millisecond))
	}
	if _, err := hospital.Records.List(t.Context(), &yitongv1.ListRecordsRequest{Page: &yitongv1.Page{Size: 1}}); err != nil {
		t.Errorf("another member's read: %v", err)
	}
	if err := <-held; !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("a read of the chaincode that doesn't end, after %s: %v", time.Since(begun), err)
	} else {
		t.Logf("a read at its own peer ended after %s: %v", time.Since(begun).Round(time.Millisecond), err)
	}

	c.Order(t, consortium.Chaincode, liar.Orders{}, consortium.Insurer)
	begun = time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := asks(ctx)
	for ; err != nil && ctx.Err() == nil; err = asks(ctx) {
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("its own peer answers %s after its chaincode does: %v", time.Since(begun).Round(time.Millisecond), err)
	if err != nil {
		t.Error("it doesn't recover")
	}
	if again, _ := process(t, c, consortium.Insurer); again != pid || c.Processes("peer-" + consortium.Insurer)[0].PID != peer {
		t.Error("the gateway or the peer was restarted")
	}
}

// A16: a list has pages, whatever is asked for.
func TestNoListIsUnbounded(t *testing.T) {
	c := consortium.Shared(t)
	hospital, regulator := c.Client(t, consortium.HospitalA), c.Client(t, consortium.Regulator)
	huge := &yitongv1.Page{Size: 1_000_000_000}
	for name, ask := range map[string]func(*yitongv1.Page) (int, error){
		"records": func(p *yitongv1.Page) (int, error) {
			out, err := hospital.Records.List(t.Context(), &yitongv1.ListRecordsRequest{Page: p})
			return len(out.GetRecords()), err
		},
		"accesses": func(p *yitongv1.Page) (int, error) {
			out, err := regulator.Accesses.List(t.Context(), &yitongv1.ListAccessesRequest{Page: p})
			return len(out.GetAccesses()), err
		},
		"entries": func(p *yitongv1.Page) (int, error) {
			out, err := regulator.Audit.Entries(t.Context(), &yitongv1.EntriesRequest{Page: p})
			return len(out.GetEntries()), err
		},
	} {
		for _, page := range []*yitongv1.Page{huge, {Size: -1}} {
			n, err := ask(page)
			if _, byRule := client.Refusal(err); n > 100 || err != nil && !byRule {
				t.Errorf("%s: %d in a page of %d, %v", name, n, page.GetSize(), err)
			}
		}
		if _, err := ask(&yitongv1.Page{Size: 2}); err != nil {
			t.Errorf("control: %s, a page of 2: %v", name, err)
		}
	}
	// What somebody's scanning costs another: measured, and told.
	quiet := latencies(t, 60, func() error {
		_, err := regulator.Node.Status(t.Context(), &yitongv1.StatusRequest{})
		return err
	})
	ctx, stop := context.WithCancel(t.Context())
	var scanning sync.WaitGroup
	auditor := c.User(t, consortium.Regulator, "auditor")
	for range 4 {
		scanning.Go(func() {
			for ctx.Err() == nil {
				_, _ = auditor.Audit.Entries(ctx, &yitongv1.EntriesRequest{Page: &yitongv1.Page{Size: 100}})
			}
		})
	}
	beside := latencies(t, 60, func() error {
		_, err := regulator.Node.Status(t.Context(), &yitongv1.StatusRequest{})
		return err
	})
	stop()
	scanning.Wait()
	t.Logf("another's call, p99: %s alone, %s beside four that scan without a pause", quiet, beside)
}

func latencies(t *testing.T, n int, call func() error) (p99 time.Duration) {
	t.Helper()
	var took []time.Duration
	for range n {
		begun := time.Now()
		if err := call(); err != nil {
			t.Error(err)
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// A31: what the doors don't show, and frames that are made to cost.
func TestTheDoorsShowNoMoreThanTheyMust(t *testing.T) {
	c := consortium.Shared(t)
	p, config := c.Door(t, consortium.HospitalA)
	plain := config.Clone()
	config.NextProtos = []string{"h2"}
	pid, _ := process(t, c, consortium.HospitalA)

	for _, method := range []string{
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
		"/grpc.channelz.v1.Channelz/GetServers", "/grpc.admin.v1.Admin/Get", "/grpc.health.v1.Health/Check",
	} {
		if got := frames(t, p.Gateway, config, method, 1, false); got != "12" { // UNIMPLEMENTED
			t.Errorf("%s: grpc-status %q", method, got)
		}
	}
	if got := frames(t, p.Gateway, config, "/yitong.v1.Node/Status", 1, false); got == "12" || got == "" {
		t.Errorf("control: a method that there is: grpc-status %q", got)
	}
	_, at := configured(t, c)
	https := &http.Client{Transport: &http.Transport{TLSClientConfig: plain}, Timeout: 20 * time.Second}
	t.Cleanup(https.CloseIdleConnections)
	for _, address := range []string{"http://" + at.Operations, "https://" + p.HTTP} {
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/debug/requests"} {
			out, err := https.Get(address + path)
			if err != nil {
				t.Fatal(err)
			}
			out.Body.Close()
			if out.StatusCode != http.StatusNotFound {
				t.Errorf("%s%s: %d", address, path, out.StatusCode)
			}
		}
	}
	// Rapid reset (CVE-2023-44487): streams by the thousand, each given up at once.
	_, before := process(t, c, consortium.HospitalA)
	for _, address := range []string{p.Gateway, p.HTTP} {
		frames(t, address, config, "/yitong.v1.Node/Status", 20_000, true)
	}
	again, after := process(t, c, consortium.HospitalA)
	if again != pid || after > before+256<<20 {
		t.Errorf("40,000 streams given up: %d MiB more; process %d was %d", (after-before)>>20, again, pid)
	}
	if _, err := c.Client(t, consortium.HospitalA).Node.Status(t.Context(), &yitongv1.StatusRequest{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func configured(t *testing.T, c *consortium.Consortium) (string, node.Config) {
	t.Helper()
	path := c.Member(t, consortium.HospitalA).Dir() + "/gateway/node.yaml"
	config, err := node.ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, config
}

// frames opens streams on one HTTP/2 connection, frame by frame, and gives each up at once
// or else reads the grpc-status of the first.
func frames(t *testing.T, address string, config *tls.Config, method string, streams int, giveUp bool) (grpcStatus string) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := http2.NewFramer(conn, conn)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	if giveUp {
		go func() { _, _ = io.Copy(io.Discard, conn) }()
	}
	for i := range streams {
		block.Reset()
		for _, h := range [][2]string{
			{":method", "POST"}, {":scheme", "https"}, {":authority", address}, {":path", method}, {"content-type", "application/grpc"}, {"te", "trailers"},
		} {
			if err := e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
				t.Fatal(err)
			}
		}
		id := uint32(2*i + 1)
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
			return "" // the connection was closed on us, which is an answer
		}
		if giveUp {
			if err := f.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
				return ""
			}
			continue
		}
		if err := f.WriteData(id, true, []byte{0, 0, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
	}
	if giveUp {
		return ""
	}
	d := hpack.NewDecoder(4096, func(h hpack.HeaderField) {
		if h.Name == "grpc-status" {
			grpcStatus = h.Value
		}
	})
	for grpcStatus == "" {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := frame.(*http2.HeadersFrame); ok {
			if _, err := d.Write(h.HeaderBlockFragment()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return grpcStatus
}
