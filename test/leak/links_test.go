package leak_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/leak"
	"yitong/test/patient"
)

// relationship is one patient between hospital-a and a requester, and what names it on the ledger.
type relationship struct {
	patient   int
	requester string
	names     []string // handle, ids of consents and accesses
}

// The purposes under which each requester may ask.
var asks = map[string]struct{ consent, request string }{
	consortium.Insurer:   {"HPAYMT", "CLMATTCH"},
	consortium.HospitalB: {"TREAT", "TREAT"},
}

// Whoever holds the whole ledger tries to find two relationships of one patient: by any run of bytes
// that both have and nobody else does.
func TestNothingOnTheLedgerLinksTwoRelationships(t *testing.T) {
	c := consortium.Start(t)
	patients := patient.Synthea(t, 2)
	for seed := uint64(700); len(patients) < 5; seed++ {
		patients = append(patients, patient.Synthetic(t, seed))
	}
	var all []*relationship
	planted := "rare-" + random()[:7] // as long as what others write: a length can be alone too
	for i, p := range patients {
		c.Submit(t, p)
		for _, requester := range []string{consortium.Insurer, consortium.HospitalB} {
			reason := "changed-mind"
			if i == 0 {
				reason = planted // the control: what a careless hospital could write
			}
			all = append(all, engage(t, c, i, p, requester, reason))
		}
	}
	o := observer{pieces: map[uint64]uint64{}, runs: map[string]uint64{}}
	transactions := make([]int, len(all))
	for _, envelope := range envelopes(t, c) {
		belongs := slices.IndexFunc(all, func(r *relationship) bool {
			return slices.ContainsFunc(r.names, func(n string) bool { return bytes.Contains(envelope, []byte(n)) })
		})
		if belongs >= 0 {
			transactions[belongs]++
		}
		o.take(envelope, belongs)
	}
	for i, p := range patients {
		if transactions[2*i] < 5 || transactions[2*i+1] < 5 {
			t.Fatalf("%s: %d and %d transactions: not what was done", p.Name, transactions[2*i], transactions[2*i+1])
		}
		shared := o.links(2*i, 2*i+1)
		t.Logf("%s: %d and %d transactions, %d runs of bytes that link them", p.Name, transactions[2*i], transactions[2*i+1], len(shared))
		if i > 0 && len(shared) > 0 {
			t.Errorf("%s: both relationships, and nobody else's, have %q", p.Name, shared[:min(len(shared), 5)])
		}
		if i > 0 {
			continue
		}
		if len(shared) == 0 {
			t.Error("the control isn't found: a reason that both relationships have")
		}
		for _, run := range shared {
			if !touches(run, planted) {
				t.Errorf("%s: both relationships, and nobody else's, have %q", p.Name, run)
			}
		}
	}
}

// observer keeps which bytes stand in whose transactions.
type observer struct {
	pieces map[uint64]uint64 // 6 bytes -> the relationships, bit by bit; the last bit is all other transactions
	runs   map[string]uint64 // 10 bytes -> likewise
}

// A run is long enough that two random ones are never the same, and short enough that a third of an id
// is one. It links only where each piece of it is the two relationships' own: what surrounds random
// bytes is the same everywhere, and a run with one or two of them proves nothing.
const runLength, pieceLength = 10, 6

// touches reports that a run has some of a text.
func touches(run, text string) bool {
	for i := 0; i+5 <= len(run); i++ {
		if strings.Contains(text, run[i:i+5]) {
			return true
		}
	}
	return false
}

// A moment to the second is shared by what happens at the same time; how much that tells is another
// test's matter. It stands in JSON, and as seconds in a protobuf message.
var moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// withoutMoments is the text between moments.
func withoutMoments(envelope []byte) (texts []string) {
	from := 0
	for i := 0; i+6 < len(envelope); i++ {
		// Field 1, a varint of five bytes of which the last is 6: the seconds of these years (2020 to 2038).
		if b := envelope[i:]; b[0] == 0x08 && min(b[1], b[2], b[3], b[4]) >= 0x80 && b[5] == 6 {
			texts = append(texts, string(envelope[from:i]))
			from, i = i+6, i+5
		}
	}
	var all []string
	for _, text := range append(texts, string(envelope[from:])) {
		all = append(all, moment.Split(text, -1)...)
	}
	return all
}

func (o observer) take(envelope []byte, relationship int) {
	bit := uint64(1) << 63
	if relationship >= 0 {
		bit = 1 << relationship
	}
	for _, text := range withoutMoments(envelope) {
		for i := 0; i+pieceLength <= len(text); i++ {
			o.pieces[piece(text[i:])] |= bit
		}
		for i := 0; relationship >= 0 && i+runLength <= len(text); i++ {
			o.runs[text[i:i+runLength]] |= bit
		}
	}
}

func piece(text string) (n uint64) {
	for i := range pieceLength {
		n = n<<8 | uint64(text[i])
	}
	return n
}

// links lists the runs that two relationships have, and nobody else.
func (o observer) links(a, b int) (found []string) {
	both := uint64(1)<<a | uint64(1)<<b
	for run, of := range o.runs {
		alone := of == both
		for i := 0; alone && i+pieceLength <= len(run); i++ {
			alone = o.pieces[piece(run[i:])] == both
		}
		if alone {
			found = append(found, run)
		}
	}
	slices.Sort(found)
	return found
}

// engage goes through a relationship's life: a request denied, a consent, a permit, its opening, and the
// withdrawal.
func engage(t *testing.T, c *consortium.Consortium, i int, p patient.Patient, requester, reason string) *relationship {
	t.Helper()
	r := &relationship{patient: i, requester: requester}
	asking, hospital := c.Client(t, requester), c.Client(t, consortium.HospitalA)
	ask := func() *yitongv1.Access {
		answer, err := asking.Accesses.Request(t.Context(), &yitongv1.AccessRequest{
			Id: client.NewID(), Custodian: consortium.HospitalA, Patient: p.ID, Purpose: asks[requester].request, Classes: []string{"laboratory"}, Claim: "CLM-1",
		})
		if err != nil {
			t.Fatal(err)
		}
		r.names = append(r.names, answer.GetAccess().GetId(), answer.GetAccess().GetHandle())
		return answer.GetAccess()
	}
	ask()
	granted := grant(t, c, p, requester)
	r.names = append(r.names, granted.GetId(), granted.GetHandle())
	permit := ask()
	if _, err := asking.Open(t.Context(), permit.GetId(), consortium.HospitalA, nowhere); err != nil {
		t.Fatal(err)
	}
	if _, err := hospital.Consents.Withdraw(t.Context(), &yitongv1.WithdrawRequest{Id: granted.GetId(), Patient: p.ID, Requester: requester, Reason: reason}); err != nil {
		t.Fatal(err)
	}
	return r
}

// nowhere takes an opened part.
func nowhere(*yitongv1.Part) (io.Writer, error) { return io.Discard, nil }

// grant may be called from any goroutine; what it returns is empty once the test has failed.
func grant(t *testing.T, c *consortium.Consortium, p patient.Patient, requester string) *yitongv1.Consent {
	t.Helper()
	answer, err := c.Client(t, consortium.HospitalA).Consents.Grant(t.Context(), &yitongv1.GrantRequest{
		Id: client.NewID(), Patient: p.ID, Requester: requester, Form: []byte("signed"),
		Provision: &yitongv1.Provision{Type: "permit", Purposes: []string{asks[requester].consent}, Classes: []string{"laboratory"}},
	})
	if err != nil {
		t.Errorf("granting a consent about %s: %v", requester, err)
	}
	return answer.GetConsent()
}

// envelopes is every transaction on the ledger as it lies there.
func envelopes(t *testing.T, c *consortium.Consortium) [][]byte {
	t.Helper()
	l := c.Ledger(t, consortium.Regulator, consortium.Chaincode)
	height := settled(t, c)
	var all [][]byte
	for block, err := range l.RawBlocks(t.Context(), 1) { // block 0 is the channel's configuration
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, block.GetData().GetData()...)
		if block.GetHeader().GetNumber()+1 >= height {
			break
		}
	}
	return all
}

// settled is the greatest height of all peers.
func settled(t *testing.T, c *consortium.Consortium) (height uint64) {
	t.Helper()
	for _, m := range c.Network().Members() {
		h, err := c.Ledger(t, m.Name, consortium.Chaincode).Height(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		height = max(height, h)
	}
	return height
}

// Two relationships of one patient that do things at times of their own, under load: does the system
// itself, by its batches, caches and locks, bring their times together? And how well does time link
// two consents given in one visit, where much happens at once and where little does? The first is tested, the second reported: docs/threat-model.md.
func TestTimesLinkRelationshipsNoMoreThanPeopleDo(t *testing.T) {
	c := consortium.Shared(t)
	const people = 20
	r := rand.New(rand.NewPCG(11, 4))
	var independent, crowded, alone []patient.Patient
	for seed := range uint64(people) {
		independent = append(independent, patient.Synthetic(t, 800+seed))
		crowded = append(crowded, patient.Synthetic(t, 900+seed))
		alone = append(alone, patient.Synthetic(t, 1000+seed))
	}
	requesters := []string{consortium.Insurer, consortium.HospitalB}

	// At times of their own: every relationship's consent in any order, eight at a time.
	type task struct {
		p         patient.Patient
		requester string
	}
	var tasks []task
	for _, p := range independent {
		for _, requester := range requesters {
			tasks = append(tasks, task{p, requester})
		}
	}
	r.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	handles := together(8, tasks, func(x task) named { return named{x.p.Name, x.requester, grant(t, c, x.p, x.requester).GetHandle()} })
	// In one visit each: both consents one after the other, with eight visits at a time and with one.
	visit := func(p patient.Patient) (both []named) {
		for _, requester := range requesters {
			both = append(both, named{p.Name, requester, grant(t, c, p, requester).GetHandle()})
		}
		return both
	}
	handles = append(handles, slices.Concat(together(8, crowded, visit)...)...)
	handles = append(handles, slices.Concat(together(1, alone, visit)...)...)
	if t.Failed() {
		return
	}

	at := grantedAt(t, c)
	times := func(people []patient.Patient, requester string) (list []float64) {
		for _, p := range people {
			i := slices.IndexFunc(handles, func(n named) bool { return n.patient == p.Name && n.requester == requester })
			when, ok := at[handles[i].handle]
			if !ok {
				t.Fatalf("the consent of %s about %s isn't on the ledger", p.Name, requester)
			}
			list = append(list, when)
		}
		return list
	}
	for what, people := range map[string][]patient.Patient{
		"at times of their own": independent, "in one visit, eight visits at a time": crowded, "in one visit, one at a time": alone,
	} {
		left, right := times(people, consortium.Insurer), times(people, consortium.HospitalB)
		n := leak.Matched(left, right)
		chance, reached := leak.ByChance(left, right, n, 2000, r)
		t.Logf("consents given %s: the nearest in time is the same patient's for %d of %d; by chance for %.1f, and for so many in %.1f %% of shuffles", what, n, len(left), chance, float64(reached)/20)
		if what == "at times of their own" && reached < 2 { // one in a thousand
			t.Errorf("the times of relationships that have nothing to do with each other link them")
		}
	}
}

type named struct{ patient, requester, handle string }

// together does all tasks, so many at a time.
func together[T, R any](at int, tasks []T, do func(T) R) []R {
	results := make([]R, len(tasks))
	var wg sync.WaitGroup
	places := make(chan struct{}, at)
	for i := range tasks {
		wg.Add(1)
		places <- struct{}{}
		go func() {
			defer func() { <-places; wg.Done() }()
			results[i] = do(tasks[i])
		}()
	}
	wg.Wait()
	return results
}

// grantedAt is when each handle's first consent came, in seconds, as a reader of the ledger sees it: the
// transaction's claimed time.
func grantedAt(t *testing.T, c *consortium.Consortium) map[string]float64 {
	t.Helper()
	at := map[string]float64{}
	handle := regexp.MustCompile(`"handle":"([^"]+)"`)
	l := c.Ledger(t, consortium.Regulator, consortium.Chaincode)
	height := settled(t, c)
	for b, err := range l.Blocks(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		for _, tx := range b.Transactions {
			if found := handle.FindSubmatch(tx.Argument); tx.Function == "consent:Grant" && found != nil {
				if h := string(found[1]); at[h] == 0 {
					at[h] = float64(tx.Timestamp.UnixMicro()) / 1e6
				}
			}
		}
		if b.Number+1 >= height {
			break
		}
	}
	if len(at) == 0 {
		t.Fatalf("no consent in %d blocks", height)
	}
	return at
}
