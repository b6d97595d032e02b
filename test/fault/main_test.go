// Package fault_test breaks what can break, on a real consortium: ordering nodes
// that are gone, processes killed with SIGKILL in the middle of a call. What was
// acknowledged stays, what wasn't is completed by the same call again, once, and
// nothing is released that the ledger doesn't show.
package fault_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
	"yitong/test/consortium"
	"yitong/test/patient"
)

func TestMain(m *testing.M) { consortium.Main(m) }

// recovery bounds how long a call may need to complete after a fault.
const recovery = 45 * time.Second

// F: no quorum of ordering nodes.
func TestNothingIsReleasedWhileTheLedgerCantBeWritten(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 400)
	c.Submit(t, p)
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	permit := c.Ask(t, p, "laboratory")

	ordering := c.Processes("orderer-")
	for _, o := range ordering[:2] {
		if err := c.Network().Supervisor().Hold(o.Name); err != nil {
			t.Fatal(err)
		}
	}
	exchange := c.Exchange(t, consortium.Insurer, consortium.HospitalA)
	var calls sync.WaitGroup
	for name, release := range map[string]func(context.Context) (int, error){
		"by the insurer's gateway": func(ctx context.Context) (int, error) {
			parts, _, err := c.Open(ctx, t, permit.GetId())
			return len(parts), err
		},
		"past it": func(ctx context.Context) (int, error) {
			manifest, sealed, err := consortium.Manifest(ctx, exchange, permit.GetId())
			return len(manifest) + sealed, err
		},
	} {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			defer cancel()
			if got, err := release(ctx); err == nil || got != 0 {
				t.Errorf("%s: released %d parts or bytes, error %v", name, got, err)
			} else {
				t.Logf("%s: %v", name, err)
			}
		})
	}
	calls.Wait()
	for _, o := range ordering[:2] {
		if err := c.Network().Supervisor().Release(o.Name); err != nil {
			t.Fatal(err)
		}
	}
	consortium.Again(t, "opening", recovery, func(ctx context.Context) error {
		parts, _, err := c.Open(ctx, t, permit.GetId())
		if err == nil && len(parts) == 0 {
			t.Error("no part was opened")
		}
		return err
	})
	once(t, c, permit.GetId(), 1, "access", "release", "receipt")
}

// once wants the ledger to hold a state key of each kind about an id, written by
// so many valid transactions.
func once(t *testing.T, c *consortium.Consortium, id string, times int, kinds ...string) {
	t.Helper()
	l := c.Ledger(t, consortium.Regulator, consortium.Chaincode)
	written := map[string]int{}
	for _, tx := range transactions(t, l) {
		for _, w := range tx.Writes {
			if tx.Valid() && slices.Contains(w.Attributes, id) {
				written[w.ObjectType]++
			}
		}
	}
	for _, kind := range kinds {
		if written[kind] != times {
			t.Errorf("the %s of %s was written %d times", kind, id, written[kind])
		}
	}
}

func transactions(t *testing.T, l *ledger.Ledger) []ledger.Transaction {
	t.Helper()
	end, err := l.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all []ledger.Transaction
	for b, err := range l.Blocks(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Transactions...)
		if b.Number+1 >= end {
			break
		}
	}
	return all
}

// rounds is how often each process is killed during each call. More is for long
// runs by hand: the supervisor lets a process that dies often wait longer.
var rounds = flag.Int("rounds", 1, "rounds of TestACallCutOffByAKilledProcessCompletesOnce")

// F2: kill -9 at a random moment of a call, of what takes part in it.
func TestACallCutOffByAKilledProcessCompletesOnce(t *testing.T) {
	c := consortium.Shared(t)
	for round := range *rounds {
		for i, cut := range []struct{ victim, call string }{
			{"gateway-hospital-a", "submitting"},
			{"peer-hospital-a", "granting"},
			{"gateway-insurer", "requesting"},
			{"peer-insurer", "requesting"},
			{"gateway-hospital-a", "opening"},
			{"gateway-insurer", "opening"},
			{"peer-hospital-a", "opening"},
			{"peer-insurer", "opening"},
		} {
			t.Run(fmt.Sprintf("%s when %s, round %d", cut.victim, cut.call, round), func(t *testing.T) {
				seed := uint64(round*10 + i)
				share(t, c, patient.Synthetic(t, 410+seed), func(call string, usual time.Duration, do func(context.Context) error) {
					if call == cut.call {
						cutOff(t, c, cut.victim, time.Duration(rand.New(rand.NewPCG(seed, 11)).Int64N(int64(usual))), call, do)
					}
					consortium.Again(t, call, recovery, do)
				})
			})
		}
	}
}

// cutOff kills a process a while after a call began, and waits for it to be back.
func cutOff(t *testing.T, c *consortium.Consortium, victim string, delay time.Duration, what string, call func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- call(ctx) }()
	time.Sleep(delay) // the moment of the crash, not a synchronisation
	if err := c.Network().Supervisor().Kill(victim); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, %s killed after %v: %v", what, victim, delay.Round(time.Millisecond), <-ended)
	if err := c.Network().Supervisor().Await(ctx, victim); err != nil {
		t.Fatal(err)
	}
}

// share shares a record, call by call; each is handed to how with its name and
// about how long it takes.
func share(t *testing.T, c *consortium.Consortium, p patient.Patient, how func(call string, usual time.Duration, do func(context.Context) error)) {
	t.Helper()
	recordID, consentID, demand := client.NewID(), client.NewID(), consortium.Demand(p, "laboratory", "claim")
	how("submitting", 250*time.Millisecond, func(ctx context.Context) error {
		_, err := c.Client(t, consortium.HospitalA).Submit(ctx, &yitongv1.SubmitHeader{Id: recordID, Patient: p.ID, MediaType: consortium.FHIR}, bytes.NewReader(p.Bundle))
		return err
	})
	how("granting", 150*time.Millisecond, func(ctx context.Context) error {
		_, err := c.Client(t, consortium.HospitalA).Consents.Grant(ctx, &yitongv1.GrantRequest{
			Id: consentID, Patient: p.ID, Requester: consortium.Insurer, Provision: consortium.ForPayment("laboratory", "claim"), Form: []byte("signed"),
		})
		return err
	})
	how("requesting", 150*time.Millisecond, func(ctx context.Context) error {
		answer, err := c.Client(t, consortium.Insurer).Accesses.Request(ctx, demand)
		if err == nil && answer.GetAccess().GetOutcome() != "permit" {
			t.Errorf("the decision is %s", answer.GetAccess().GetOutcome())
		}
		return err
	})
	how("opening", 350*time.Millisecond, func(ctx context.Context) error {
		parts, _, err := c.Open(ctx, t, demand.GetId())
		if err == nil {
			complete(t, p, parts, recordID)
		}
		return err
	})
	once(t, c, recordID, 1, "record")
	once(t, c, consentID, 1, "consent")
	once(t, c, demand.GetId(), 1, "access", "release", "receipt")
	releaseBeforeReceipt(t, c, demand.GetId())
}

// complete wants every laboratory and claim part of the record, as it went in.
func complete(t *testing.T, p patient.Patient, parts []consortium.Part, recordID string) {
	t.Helper()
	drafts, err := seal.Split(p.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for i, d := range drafts {
		if class := d.Class.String(); class != "laboratory" && class != "claim" {
			continue
		}
		want++
		at := slices.IndexFunc(parts, func(p consortium.Part) bool { return int(p.GetIndex()) == i && p.GetRecordId() == recordID })
		if at < 0 || !bytes.Equal(parts[at].Content, d.Content) {
			t.Errorf("part %d did not come out as it went in", i)
		}
	}
	if len(parts) != want {
		t.Errorf("%d parts were delivered, want %d", len(parts), want)
	}
}

// releaseBeforeReceipt wants the three steps of an access in their order.
func releaseBeforeReceipt(t *testing.T, c *consortium.Consortium, id string) {
	t.Helper()
	var order []string
	for _, tx := range transactions(t, c.Ledger(t, consortium.Regulator, consortium.Chaincode)) {
		for _, w := range tx.Writes {
			if tx.Valid() && slices.Contains(w.Attributes, id) {
				order = append(order, w.ObjectType)
			}
		}
	}
	if !slices.Equal(order, []string{"access", "release", "receipt"}) {
		t.Errorf("on the ledger stand %v", order)
	}
}
