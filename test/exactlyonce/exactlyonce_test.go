// Package exactlyonce_test kills what takes part in a write, before and after every step of
// it, on a real consortium: the gateways by failpoints (gateway/failpoint), peers and ordering
// nodes while a gateway is held at one, answers by a proxy that loses them. Whatever is
// killed, the caller's repeat under the same id or key ends in one entry on the ledger, one
// delivery, and the same answer.
//
// A normal run takes a sample of the matrix. All of it:
//
//	go test ./test/exactlyonce -full -v -timeout 1h
package exactlyonce_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/ledger"
	"yitong/test/consortium"
	"yitong/test/patient"
)

var full = flag.Bool("full", false, "the whole matrix of kills, minutes of it")

func TestMain(m *testing.M) { consortium.Main(m) }

// recovery is how long a test waits at most for what must come after a kill. On a quiet machine
// it takes seconds, most of them the pause before the killed process is started again; the
// longest is logged.
const recovery = 3 * time.Minute

// answer is what a use case ends in, to be compared with what a repeat gets.
type answer struct {
	message proto.Message
	parts   []consortium.Part
}

func (a answer) equal(b answer) bool {
	return proto.Equal(a.message, b.message) && slices.EqualFunc(a.parts, b.parts, func(x, y consortium.Part) bool {
		return proto.Equal(x.Part, y.Part) && bytes.Equal(x.Content, y.Content)
	})
}

// write is one use case, ready to be called.
type write struct {
	id       string // that the ledger's entries name
	function string // of the transaction
	batched  bool   // several share a transaction; one that says nothing new may follow
	kinds    []string
	call     func(context.Context) (answer, error)
}

// useCases make the writes of one patient, each with what it needs before it.
var useCases = map[string]func(*testing.T, *consortium.Consortium, patient.Patient) write{
	"submit": func(t *testing.T, c *consortium.Consortium, p patient.Patient) write {
		header := &yitongv1.SubmitHeader{Id: client.NewID(), Patient: p.ID, MediaType: consortium.FHIR}
		return write{header.GetId(), "record:Anchor", true, []string{"record"}, func(ctx context.Context) (answer, error) {
			m, err := c.Client(t, consortium.HospitalA).Submit(ctx, header, bytes.NewReader(p.Bundle))
			return answer{message: m}, err
		}}
	},
	"grant": func(t *testing.T, c *consortium.Consortium, p patient.Patient) write {
		in := &yitongv1.GrantRequest{Id: client.NewID(), Patient: p.ID, Requester: consortium.Insurer, Provision: consortium.ForPayment("laboratory"), Form: []byte("signed")}
		return write{in.GetId(), "consent:Grant", false, []string{"consent"}, func(ctx context.Context) (answer, error) {
			m, err := c.Client(t, consortium.HospitalA).Consents.Grant(ctx, in)
			return answer{message: m}, err
		}}
	},
	"request": func(t *testing.T, c *consortium.Consortium, p patient.Patient) write {
		c.Grant(t, p, consortium.ForPayment("laboratory"))
		in := consortium.Demand(p, "laboratory")
		return write{in.GetId(), "access:Request", false, []string{"access"}, func(ctx context.Context) (answer, error) {
			m, err := c.Client(t, consortium.Insurer).Accesses.Request(ctx, in)
			return answer{message: m}, err
		}}
	},
	"open": func(t *testing.T, c *consortium.Consortium, p patient.Patient) write {
		c.Submit(t, p)
		c.Grant(t, p, consortium.ForPayment("laboratory"))
		id := c.Ask(t, p, "laboratory").GetId()
		return write{id, "access:Release", true, []string{"release", "receipt"}, func(ctx context.Context) (answer, error) {
			parts, summary, err := c.Open(ctx, t, id)
			if err == nil && len(parts) == 0 {
				t.Error("no part was delivered")
			}
			// A second delivery has its receipt on the ledger already.
			return answer{message: &yitongv1.OpenSummary{Parts: summary.GetParts(), Bytes: summary.GetBytes(), Manifest: summary.GetManifest()}, parts: parts}, err
		}}
	},
	"withdraw": func(t *testing.T, c *consortium.Consortium, p patient.Patient) write {
		id := c.Grant(t, p, consortium.ForPayment("laboratory")).GetConsent().GetId()
		in := &yitongv1.WithdrawRequest{Id: id, Patient: p.ID, Requester: consortium.Insurer, Reason: "patient-request"}
		key := client.NewID()
		return write{id, "consent:Withdraw", false, nil, func(ctx context.Context) (answer, error) {
			m, err := c.Client(t, consortium.HospitalA).Consents.Withdraw(under(ctx, key), in)
			return answer{message: m}, err
		}}
	},
	"erase": func(t *testing.T, c *consortium.Consortium, p patient.Patient) write {
		id := c.Submit(t, p).GetRecord().GetId()
		in := &yitongv1.EraseRequest{Id: id, Reason: "patient-request"}
		key := client.NewID()
		return write{id, "record:Erase", false, nil, func(ctx context.Context) (answer, error) {
			m, err := c.Client(t, consortium.HospitalA).Erasures.Erase(under(ctx, key), in)
			return answer{message: m}, err
		}}
	},
}

// kill is one row of the matrix.
type kill struct {
	use, at string
	victim  string // "gateway-…" dies at the moment; "peer-…", "orderer-…" while the gateway is held there
	gateway string // whose moment it is
	sample  bool   // part of a normal run
}

// matrix lists every step of every use case.
func matrix() (all []kill) {
	const a, i = consortium.HospitalA, consortium.Insurer
	at := func(use, gateway string, sample []string, points ...string) {
		for _, p := range points {
			all = append(all, kill{use, p, "gateway-" + gateway, gateway, slices.Contains(sample, p)})
		}
	}
	transaction := func(function string) []string {
		return []string{"ledger.kept " + function, "ledger.handed " + function, "ledger.committed " + function}
	}
	around := func(step, function string) []string {
		return slices.Concat([]string{"outbox.begun", step}, transaction(function), []string{"outbox.tried", "outbox.finished"})
	}
	at("submit", a, []string{"ledger.handed record:Anchor"},
		slices.Concat([]string{"submit: sealed", "submit: catalogued"}, transaction("record:Anchor"), []string{"submit: anchored"})...)
	at("grant", a, []string{"outbox.tried"}, around("grant: attested", "consent:Grant")...)
	at("request", i, []string{"ledger.kept access:Request", "outbox.begun"}, around("request: drafted", "access:Request")...)
	at("open", a, []string{"ledger.handed access:Release"},
		slices.Concat([]string{"release: chosen"}, transaction("access:Release"), []string{"release: committed", "release: wrapped"})...)
	at("open", i, []string{"ledger.committed access:Receive"},
		slices.Concat([]string{"open: released", "open: verified", "open: opened", "open: receipt kept"}, transaction("access:Receive"), []string{"open: received"})...)
	at("withdraw", a, []string{"ledger.committed consent:Withdraw"}, around("withdraw: prepared", "consent:Withdraw")...)
	at("erase", a, nil, slices.Concat([]string{"outbox.begun", "erase: before intended", "erase: after intended"}, transaction("record:Erase"),
		[]string{"erase: before destroyed", "erase: after destroyed", "erase: after overwritten", "erase: after deleted", "outbox.tried", "outbox.finished"})...)
	for use, f := range map[string][2]string{
		"submit": {a, "record:Anchor"}, "grant": {a, "consent:Grant"}, "request": {i, "access:Request"}, "withdraw": {a, "consent:Withdraw"}, "erase": {a, "record:Erase"}, "open": {a, "access:Release"},
	} {
		for _, p := range []string{"ledger.kept ", "ledger.handed "} {
			all = append(all,
				kill{use, p + f[1], "peer-" + f[0], f[0], use == "grant" && p == "ledger.handed "},
				kill{use, p + f[1], "orderer-" + f[0], f[0], false})
		}
	}
	slices.SortStableFunc(all, func(x, y kill) int { return strings.Compare(x.use, y.use) })
	return all
}

// F1, F3: kill -9 before and after every step.
func TestWhateverIsKilledAWriteHappensOnce(t *testing.T) {
	c := consortium.Shared(t)
	began, run, longest := time.Now(), 0, time.Duration(0)
	for n, k := range matrix() {
		if !*full && !k.sample {
			continue
		}
		t.Run(fmt.Sprintf("%s, %s killed at %s", k.use, k.victim, k.at), func(t *testing.T) {
			run++
			quiet(t, c)
			w := useCases[k.use](t, c, patient.Synthetic(t, 7000+uint64(n)))
			if strings.HasPrefix(k.victim, "gateway-") {
				killGateway(t, c, k, w)
			} else {
				killBeside(t, c, k, w)
			}
			killed := time.Now()
			if n%2 == 0 && !w.batched {
				finishedAlone(t, c, w) // nobody asks again until it is done
			}
			first := again(t, w)
			longest = max(longest, time.Since(killed))
			second := again(t, w)
			if !first.equal(second) {
				t.Errorf("the repeat is told something else:\n%v\n%v", first.message, second.message)
			}
			for _, problem := range w.problems(transactions(t, c)) {
				t.Error(problem)
			}
		})
	}
	t.Logf("%d kills of %d in %s; the longest until the repeat was answered took %s", run, len(matrix()), time.Since(began).Round(time.Second), longest.Round(time.Millisecond))
}

// quiet waits until all that the kill before this one ended is there again.
func quiet(t *testing.T, c *consortium.Consortium) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	for _, kind := range []string{"orderer-", "peer-", "gateway-"} {
		for _, p := range c.Processes(kind) {
			if err := c.Network().Supervisor().Await(ctx, p.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func killGateway(t *testing.T, c *consortium.Consortium, k kill, w write) {
	t.Helper()
	settled(t, c, k.gateway)
	died := c.DieAt(t, k.gateway, k.at)
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	_, err := w.call(ctx)
	// A caller may be answered before the gateway gets there.
	if !c.Dead(t, k.gateway, recovery) || !died() {
		t.Fatalf("the gateway never got to %q; the call ended with %v", k.at, err)
	}
}

// settled waits until a gateway is at no write any more: a caller is answered before the end of
// it is kept, and what came before the write under test must not be what dies.
func settled(t *testing.T, c *consortium.Consortium, gateway string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	for underWay, bookmark := false, ""; ; {
		page, err := c.Client(t, gateway).Outbox.List(ctx, &yitongv1.ListOutboxRequest{All: true, Page: &yitongv1.Page{Size: 100, Bookmark: bookmark}})
		if err != nil {
			t.Fatal(err)
		}
		underWay = underWay || slices.ContainsFunc(page.GetEntries(), func(e *yitongv1.OutboxEntry) bool { return e.GetState() == "under-way" })
		if bookmark = page.GetNextBookmark(); bookmark != "" {
			continue
		}
		if !underWay {
			return
		}
		underWay = false
		time.Sleep(20 * time.Millisecond)
	}
}

func killBeside(t *testing.T, c *consortium.Consortium, k kill, w write) {
	t.Helper()
	reached, goOn := c.HoldAt(t, k.gateway, k.at)
	defer goOn()
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	go func() {
		_, err := w.call(ctx)
		ended <- err
	}()
	if !reached(recovery) {
		t.Fatalf("the gateway never got to %q", k.at)
	}
	if err := c.Network().Supervisor().Kill(k.victim); err != nil {
		t.Fatal(err)
	}
	goOn()
	if err := <-ended; err != nil {
		t.Logf("the call ended with %v", err)
	}
	back, cancelled := context.WithTimeout(t.Context(), recovery)
	defer cancelled()
	if err := c.Network().Supervisor().Await(back, k.victim); err != nil {
		t.Fatal(err)
	}
}

// again repeats a call until it is answered.
func again(t *testing.T, w write) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	for {
		one, end := context.WithTimeout(ctx, 20*time.Second)
		a, err := w.call(one)
		end()
		if err == nil {
			return a
		}
		if refusal, ok := client.Refusal(err); ok && refusal.Code != "stale-clock" {
			t.Fatalf("the repeat is refused: %v", refusal)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not answered: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// finishedAlone waits until the gateway has finished the write by itself.
func finishedAlone(t *testing.T, c *consortium.Consortium, w write) {
	t.Helper()
	var problems []string
	for end := time.Now().Add(recovery); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if problems = w.problems(transactions(t, c)); len(problems) == 0 {
			return
		}
	}
	t.Errorf("the gateway didn't finish by itself: %v", problems)
}

// problems says in what the blocks differ from one entry: one transaction of the write's
// function that wrote something under its id, and no second one.
func (w write) problems(all []ledger.Transaction) (problems []string) {
	asked, wrote, kinds := 0, 0, map[string]int{}
	for _, tx := range all {
		about := slices.ContainsFunc(tx.Writes, func(x ledger.Write) bool { return slices.Contains(x.Attributes, w.id) })
		if !tx.Valid() || !about && !bytes.Contains(tx.Argument, []byte(w.id)) {
			continue
		}
		if tx.Function == w.function {
			asked++
			if about {
				wrote++
			}
		}
		for _, x := range tx.Writes {
			if slices.Contains(x.Attributes, w.id) {
				kinds[x.ObjectType]++
			}
		}
	}
	if wrote != 1 {
		problems = append(problems, fmt.Sprintf("%d transactions of %s wrote about %s", wrote, w.function, w.id))
	}
	if asked != 1 && !w.batched {
		problems = append(problems, fmt.Sprintf("%d transactions of %s are about %s", asked, w.function, w.id))
	}
	for _, k := range w.kinds {
		if kinds[k] != 1 {
			problems = append(problems, fmt.Sprintf("the %s of %s was written %d times", k, w.id, kinds[k]))
		}
	}
	return problems
}

// The control of the check: a chain with a second entry, and one without any, don't pass.
func TestTheCheckSeesADuplicate(t *testing.T) {
	w := write{id: "x", function: "f", kinds: []string{"access"}}
	tx := ledger.Transaction{ID: "1", Function: "f", Argument: []byte(`{"id":"x"}`), Writes: []ledger.Write{{ObjectType: "access", Attributes: []string{"x"}}}}
	second := tx
	second.ID = "2"
	silent := ledger.Transaction{ID: "3", Function: "f", Argument: tx.Argument}
	for name, c := range map[string]struct {
		chain []ledger.Transaction
		fine  bool
	}{
		"one":                        {[]ledger.Transaction{tx}, true},
		"none":                       {nil, false},
		"two":                        {[]ledger.Transaction{tx, second}, false},
		"a second that says nothing": {[]ledger.Transaction{tx, silent}, false},
	} {
		if got := w.problems(c.chain); (len(got) == 0) != c.fine {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// chain is what was read of the regulator's blocks so far, and the members' peers, the
// regulator's first.
var chain struct {
	peers []*ledger.Ledger
	all   []ledger.Transaction
	next  uint64
}

// transactions are all that any peer has committed by now, as the regulator's has them: it
// is waited for.
func transactions(t *testing.T, c *consortium.Consortium) []ledger.Transaction {
	t.Helper()
	if chain.peers == nil { // open until the process ends: there is one consortium
		for _, member := range []string{consortium.Regulator, consortium.HospitalA, consortium.HospitalB, consortium.Insurer} {
			l, err := consortium.Dial(c.Network(), c.Member(t, member), consortium.Chaincode)
			if err != nil {
				t.Fatal(err)
			}
			chain.peers = append(chain.peers, l)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	var end uint64
	for _, peer := range chain.peers {
		height, err := peer.Height(ctx)
		if err != nil {
			t.Fatal(err)
		}
		end = max(end, height)
	}
	if chain.next >= end {
		return chain.all
	}
	for b, err := range chain.peers[0].Blocks(ctx, chain.next) {
		if err != nil {
			t.Fatalf("the regulator's peer has not got block %d, of %d that others have: %v", chain.next, end, err)
		}
		chain.all = append(chain.all, b.Transactions...)
		if chain.next = b.Number + 1; chain.next >= end {
			break
		}
	}
	return chain.all
}
