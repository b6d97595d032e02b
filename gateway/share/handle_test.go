package share_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/epoch"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/handle"
	"yitong/gateway/keys"
	"yitong/gateway/share"
)

func someone(i int) share.Patient {
	return share.Patient{System: "urn:oid:1.2.156.1", Value: fmt.Sprint("p", i)}
}

// handleOf is what a party finds a patient under, hospital A being the custodian.
func (c *consortium) handleOf(who string, p share.Patient) string {
	c.t.Helper()
	h, err := c.gateways[who].HandleBetween(c.t.Context(), hospitalA, insurer, p)
	if err != nil {
		c.t.Fatalf("%s: %v", who, err)
	}
	return h
}

// roll has the evaluators announce the next epoch.
func (c *consortium) roll(overlap time.Duration) {
	c.t.Helper()
	for i, who := range c.evaluators {
		out, _, err := c.gateways[who].Roll(c.t.Context(), overlap, nil)
		if err != nil || (out.Opened != nil) != (i == len(c.evaluators)-1) {
			c.t.Fatalf("%s announces: %+v, %v", who, out, err)
		}
	}
	c.ledger.Advance(6 * time.Second) // until the gateways look again
	c.tick()
}

func TestBothPartiesDeriveOneHandleByThemselves(t *testing.T) {
	c := newConsortium(t)
	a := c.handleOf(hospitalA, chen)
	spaced := share.Patient{System: " HTTPS://Hospital-A.example/mrn", Value: chen.Value + "\n"}
	if b := c.handleOf(insurer, spaced); a != b {
		t.Errorf("the custodian finds %s, the requester %s", a, b)
	}
	other, err := c.gateways[hospitalA].HandleBetween(t.Context(), hospitalA, hospitalB, chen)
	if err != nil || other == a || access.Epoch(other) != 1 {
		t.Errorf("towards another requester it is %s, %v", other, err)
	}
	if _, err := c.gateways[hospitalB].HandleBetween(t.Context(), hospitalA, insurer, chen); !is(err, refusal.NotRequester) {
		t.Errorf("for somebody else: %v", err)
	}
	if _, err := c.gateways[insurer].HandleBetween(t.Context(), insurer, hospitalA, chen); !is(err, refusal.KindNotAllowed) {
		t.Errorf("an insurer as custodian: %v", err)
	}
}

// forgetHandles takes from a member the handles that it has derived.
func (c *consortium) forgetHandles(msp string) {
	c.t.Helper()
	err := stores[msp].Update(func(tx *keys.Tx) error {
		var names []string
		for e, err := range tx.List(share.BucketHandles) {
			if err != nil {
				return err
			}
			names = append(names, e.Name)
		}
		for _, name := range names {
			if err := tx.Delete(share.BucketHandles, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func is(err error, code refusal.Code) bool {
	var r *refusal.Refusal
	return errors.As(err, &r) && r.Code == code
}

// An evaluator that is down stops only patients not seen before, and says which it is.
func TestAnEvaluatorThatIsDown(t *testing.T) {
	c := newConsortium(t)
	known := c.handleOf(insurer, chen)
	c.cut = map[string]bool{regulator: true}
	if again := c.handleOf(insurer, chen); again != known {
		t.Errorf("a patient seen before has %s, had %s", again, known)
	}
	_, err := c.gateways[insurer].HandleBetween(t.Context(), hospitalA, insurer, someone(1))
	if !errors.Is(err, share.ErrUnavailable) || !strings.Contains(err.Error(), "evaluator Regulator") || !strings.Contains(err.Error(), "patients seen before go on working") {
		t.Errorf("one not seen before: %v", err)
	}
	c.cut = nil
	c.handleOf(insurer, someone(1))
}

// What an evaluator answers under another key than the ledger's is refused, and nothing of
// it is kept.
func TestAnEvaluatorThatUsesAnotherKey(t *testing.T) {
	c := newConsortium(t)
	rogue, err := handle.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	c.evaluated = func(_ string, r handle.Relation, blinded [][]byte, _ handle.Evaluation) handle.Evaluation {
		done, err := rogue.Evaluate(r, blinded)
		if err != nil {
			t.Error(err)
		}
		return done
	}
	if _, err := c.gateways[insurer].HandleBetween(t.Context(), hospitalA, insurer, chen); !errors.Is(err, handle.ErrProof) {
		t.Fatalf("derived: %v", err)
	}
	c.evaluated = nil
	if a, b := c.handleOf(insurer, chen), c.handleOf(hospitalA, chen); a != b {
		t.Errorf("then the two find %s and %s", a, b)
	}
}

// An evaluator sees one patient, asked about again and again, as elements without anything
// in common.
func TestAnEvaluatorCanNotTellPatientsApart(t *testing.T) {
	c := newConsortium(t)
	seen := map[string]int{}
	var one sync.Mutex // evaluators are asked at the same time
	c.evaluated = func(_ string, _ handle.Relation, blinded [][]byte, done handle.Evaluation) handle.Evaluation {
		one.Lock()
		defer one.Unlock()
		for _, b := range blinded {
			seen[string(b)]++
		}
		return done
	}
	for range 8 {
		c.forgetHandles(insurer)
		c.handleOf(insurer, chen)
	}
	for _, n := range seen {
		if n != 1 {
			t.Error("an element comes twice")
		}
	}
	if len(seen) != 16 { // two evaluators, eight times
		t.Errorf("%d elements were seen", len(seen))
	}
}

func TestWhoIsNotEvaluatedFor(t *testing.T) {
	c := newConsortium(t)
	key, _ := handle.NewKey()
	b, err := handle.Blind(key.Public(), [][]byte{[]byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	good := handle.Relation{Channel: "test", Custodian: hospitalA, Requester: insurer, Epoch: 1}
	change := func(f func(*handle.Relation)) handle.Relation { r := good; f(&r); return r }
	for name, test := range map[string]struct {
		evaluator, caller string
		r                 handle.Relation
		blinded           [][]byte
		want              refusal.Code
	}{
		"a member that is no party":         {regulator, hospitalB, good, b.Elements(), refusal.NotRequester},
		"the evaluator's own curiosity":     {regulator, regulator, good, b.Elements(), refusal.NotRequester},
		"a relationship with the regulator": {regulator, hospitalA, change(func(r *handle.Relation) { r.Requester = regulator }), b.Elements(), refusal.KindNotAllowed},
		"an insurer as custodian":           {regulator, insurer, change(func(r *handle.Relation) { r.Custodian, r.Requester = insurer, hospitalA }), b.Elements(), refusal.KindNotAllowed},
		"with oneself":                      {regulator, hospitalA, change(func(r *handle.Relation) { r.Requester = hospitalA }), b.Elements(), refusal.KindNotAllowed},
		"a stranger":                        {regulator, insurer, change(func(r *handle.Relation) { r.Custodian = "Nobody" }), b.Elements(), refusal.NotFound},
		"an epoch to come":                  {regulator, insurer, change(func(r *handle.Relation) { r.Epoch = 2 }), b.Elements(), epoch.Unknown},
		"no epoch":                          {regulator, insurer, change(func(r *handle.Relation) { r.Epoch = 0 }), b.Elements(), epoch.Ended},
		"another channel":                   {regulator, insurer, change(func(r *handle.Relation) { r.Channel = "x" }), b.Elements(), refusal.Malformed},
		"by a member that doesn't evaluate": {hospitalB, insurer, good, b.Elements(), epoch.NotEvaluator},
		"nothing":                           {regulator, insurer, good, nil, refusal.Malformed},
		"too much":                          {regulator, insurer, good, make([][]byte, 65), refusal.Malformed},
		"no element":                        {regulator, insurer, good, [][]byte{make([]byte, 32)}, refusal.Malformed},
	} {
		if _, err := c.gateways[test.evaluator].EvaluateFor(t.Context(), test.caller, test.r, test.blinded); !is(err, test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	for _, voter := range []string{hospitalA, hospitalB, regulator} {
		if _, _, err := c.gateways[voter].Suspend(t.Context(), insurer, "audit"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.gateways[regulator].EvaluateFor(t.Context(), insurer, good, b.Elements()); !is(err, refusal.MemberSuspended) {
		t.Errorf("a suspended member: %v", err)
	}
}

func TestAQuotaSaysWhenToComeBack(t *testing.T) {
	c := newConsortiumOf(t, share.Quota{PerDay: 24, Burst: 3})
	for i := range 3 {
		c.handleOf(insurer, someone(i))
	}
	_, err := c.gateways[insurer].HandleBetween(t.Context(), hospitalA, insurer, someone(3))
	var over *share.Exceeded
	if !errors.As(err, &over) || !is(err, epoch.QuotaExceeded) || over.Retry != time.Hour {
		t.Fatalf("the fourth: %v", err)
	}
	c.handleOf(hospitalA, someone(3)) // another member's quota is its own
	c.handleOf(insurer, someone(0))   // what is known costs nothing
	c.ledger.Advance(time.Hour)
	c.handleOf(insurer, someone(3))
}

func TestEvaluationsStandOnTheLedger(t *testing.T) {
	c := newConsortium(t)
	for i := range 3 {
		c.handleOf(insurer, someone(i))
	}
	c.handleOf(hospitalA, someone(0))
	for range 2 { // the second time there is nothing to say
		for _, who := range []string{hospitalA, regulator} {
			if err := c.gateways[who].Account(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.handleOf(insurer, someone(3))
	if err := c.gateways[regulator].Account(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		evaluator, member string
		want              []int64
	}{
		{"Regulator", "Insurer", []int64{4}}, {"HospitalA", "Insurer", []int64{3}}, {"", "HospitalA", []int64{1, 1}}, {"", "", []int64{1, 3, 1, 4}},
	} {
		list, err := c.gateways[hospitalB].Evaluations(t.Context(), test.evaluator, test.member)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, one := range list {
			got = append(got, one.Count)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("by %q for %q: %v, want %v", test.evaluator, test.member, got, test.want)
		}
	}
}

// Over a rollover: what stood goes on standing, permits are released, withdrawals hold, old
// handles stop, and the evaluators have no key of before any more.
func TestARolloverCarriesWhatStands(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(5))
	kept := c.grant(toPayers()).ID
	gone := c.grant(toPayers()).ID
	if _, _, _, err := c.gateways[hospitalA].Withdraw(t.Context(), chen, "Insurer", gone, "patient-request"); err != nil {
		t.Fatal(err)
	}
	before := c.handleOf(insurer, chen)
	live := c.request(record.Laboratory).ID
	c.roll(time.Hour)

	// Until the custodian has carried, a requester goes on under the old handle.
	if h := c.handleOf(insurer, chen); h != before {
		t.Errorf("the requester names %s before anything was carried", h)
	}
	late := c.request(record.Laboratory).ID
	if n, err := c.gateways[hospitalA].Carry(t.Context()); err != nil || n != 1 {
		t.Fatalf("carried %d, %v", n, err)
	}
	if n, err := c.gateways[hospitalA].Carry(t.Context()); err != nil || n != 0 {
		t.Errorf("carried once more: %d, %v", n, err)
	}
	after := c.handleOf(insurer, chen)
	if access.Epoch(after) != 2 || c.handleOf(hospitalA, chen) != after {
		t.Fatalf("the requester names %s, the custodian %s", after, c.handleOf(hospitalA, chen))
	}
	list, r, err := c.gateways[hospitalA].Consents(t.Context(), chen, "Insurer")
	if err != nil || r.Handle != after || len(list) != 2 {
		t.Fatalf("%d consents under %s, %v", len(list), r.Handle, err)
	}
	for _, one := range list {
		if want := map[string]string{kept: "active", gone: "withdrawn"}[one.ID]; string(one.Status) != want {
			t.Errorf("consent %s is %s, was %s", one.ID, one.Status, want)
		}
	}
	for _, id := range []string{live, late} { // permits under the old handle
		if n, err := c.open(id); err != nil || n == 0 {
			t.Errorf("under a permit of before %d parts were opened, %v", n, err)
		}
	}
	if n, err := c.open(c.request(record.Laboratory).ID); err != nil || n == 0 {
		t.Errorf("under one of after %d, %v", n, err)
	}

	// The end of the epoch.
	c.ledger.Advance(time.Hour)
	for _, who := range []string{hospitalA, regulator} {
		if err := c.gateways[who].DestroyEnded(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := handle.Relation{Channel: "test", Custodian: hospitalA, Requester: insurer, Epoch: 1}
		if _, err := c.gateways[who].EvaluateFor(t.Context(), insurer, r, [][]byte{make([]byte, 32)}); !is(err, epoch.Ended) {
			t.Errorf("%s evaluates in an epoch that is over: %v", who, err)
		}
		if c.gateways[who].HasEvaluatorKey(1) {
			t.Errorf("%s has the old key still", who)
		}
	}
	_, err = c.chains[insurer].Submit(t.Context(), contract.AccessRequest, access.Request{
		ID: share.NewID(), Custodian: hospitalA, Handle: "1-" + strings.Repeat("0", 64), Purpose: 1, Action: 1, Classes: record.ClassesOf(record.Laboratory),
	}, nil)
	if err == nil {
		t.Error("a request under an old handle is decided")
	}
	if _, _, _, err := c.gateways[hospitalA].Withdraw(t.Context(), chen, "Insurer", kept, "patient-request"); err != nil {
		t.Fatal(err)
	}
	if c.request(record.Laboratory).Permitted() {
		t.Error("permitted after the withdrawal under the new handle")
	}
	// The patient's history knows both names.
	known, err := c.gateways[insurer].Relationships(t.Context(), chen)
	if err != nil || len(known) != 2 || known[0].Handle != after || known[1].Handle != before {
		t.Errorf("the relationships are %+v, %v", known, err)
	}
}

// A grant in the overlap carries first, so that a patient never has consents under two
// handles.
func TestAGrantCarriesFirst(t *testing.T) {
	c := newConsortium(t)
	c.grant(toPayers())
	before := c.handleOf(hospitalA, chen)
	c.roll(time.Hour)
	c.grant(toPayers())
	list, r, err := c.gateways[hospitalA].Consents(t.Context(), chen, "Insurer")
	if err != nil || len(list) != 2 || access.Epoch(r.Handle) != 2 {
		t.Fatalf("%d consents under %s, %v", len(list), r.Handle, err)
	}
	var old contract.ConsentSet
	in := contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: before}
	if err := c.chains[hospitalA].Evaluate(t.Context(), contract.ConsentConsents, in, &old); err != nil || len(old.Consents) != 0 {
		t.Errorf("under the old one stand %d, %v", len(old.Consents), err)
	}
}

// A custodian that was away for the whole overlap carries afterwards.
func TestALateCustodianCarriesAllTheSame(t *testing.T) {
	c := newConsortium(t)
	c.grant(toPayers())
	c.handleOf(insurer, chen)
	c.roll(time.Minute)
	c.ledger.Advance(time.Hour)
	if c.request(record.Laboratory).Permitted() {
		t.Error("permitted under a handle that is over, or one that nothing was carried to")
	}
	if n, err := c.gateways[hospitalA].Carry(t.Context()); err != nil || n != 1 {
		t.Fatalf("carried %d, %v", n, err)
	}
	if !c.request(record.Laboratory).Permitted() {
		t.Error("denied once it was carried")
	}
}

func BenchmarkHandle(b *testing.B) {
	c := newConsortiumOf(b, share.Quota{PerDay: 1 << 30, Burst: 1 << 30})
	b.Run("cached", func(b *testing.B) {
		c.handleOf(insurer, chen)
		for b.Loop() {
			c.handleOf(insurer, chen)
		}
	})
	b.Run("derived", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i++
			c.handleOf(insurer, someone(i))
		}
	})
}

// What a gateway last saw of the epochs may be some seconds old: the ledger says so, and the
// gateway does it over.
func TestAGatewayThatHasNotSeenTheNewEpochYet(t *testing.T) {
	c := newConsortium(t)
	c.grant(toPayers())
	if !c.request(record.Laboratory).Permitted() {
		t.Fatal("denied")
	}
	for _, who := range []string{hospitalA, regulator} { // no time passes
		if _, _, err := c.gateways[who].Roll(t.Context(), 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := c.gateways[hospitalA].Carry(t.Context()); err != nil || n != 1 {
		t.Fatalf("carried %d, %v", n, err)
	}
	if a := c.request(record.Laboratory); !a.Permitted() || access.Epoch(a.Handle) != 2 {
		t.Errorf("the insurer asks under %s: %+v", a.Handle, a.Decision)
	}
}
