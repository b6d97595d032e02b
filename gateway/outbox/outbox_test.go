package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yitong/gateway/ledger"
	"yitong/gateway/outbox"
)

var secret = bytes.Repeat([]byte{7}, 32)

func opened(t *testing.T, dir string, change ...func(*outbox.Config)) *outbox.Outbox {
	t.Helper()
	c := outbox.Config{URL: "sqlite:" + filepath.Join(dir, "outbox.db"), Secret: secret}
	for _, f := range change {
		f(&c)
	}
	o, err := outbox.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func call(key, body string) outbox.Call {
	return outbox.Call{Caller: outbox.Caller{Member: "HospitalA", User: "ehr"}, Method: "/yitong.v1.Consents/Grant", Key: key, Body: []byte(body)}
}

func told(text string) outbox.Outcome {
	return outbox.Outcome{Final: true, Code: "OK", Answer: outbox.Answer{Message: []byte(text)}}
}

// F5
func TestAHundredAtOnceAreOneEffectAndAHundredEqualAnswers(t *testing.T) {
	o := opened(t, t.TempDir())
	var effects atomic.Int64
	attempt := func(context.Context, outbox.Entry) outbox.Outcome {
		n := effects.Add(1)
		time.Sleep(20 * time.Millisecond) // so that they overlap
		return told(fmt.Sprint("answer ", n))
	}
	answers := make([]string, 100)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			out, _, err := o.Carry(t.Context(), call("k", "body"), attempt)
			if err != nil {
				t.Error(err)
			}
			answers[i] = string(out.Answer.Message)
		})
	}
	all.Wait()
	for _, a := range answers {
		if a != "answer 1" {
			t.Fatalf("an answer is %q", a)
		}
	}
	if effects.Load() != 1 {
		t.Errorf("%d effects", effects.Load())
	}
	// The control: a hundred keys are a hundred effects.
	for i := range answers {
		all.Go(func() { o.Carry(t.Context(), call(fmt.Sprint("k", i), "body"), attempt) })
	}
	all.Wait()
	if effects.Load() != 101 {
		t.Errorf("%d effects of a hundred other keys", effects.Load()-1)
	}
}

// A14
func TestAKeyIsOfOneBodyOneCallerAndOneMethod(t *testing.T) {
	o := opened(t, t.TempDir())
	n := 0
	attempt := func(_ context.Context, e outbox.Entry) outbox.Outcome { n++; return told(e.ID) }
	first, _, err := o.Carry(t.Context(), call("k", "body"), attempt)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.Carry(t.Context(), call("k", "another body"), attempt); !errors.Is(err, outbox.ErrReused) {
		t.Errorf("another body under the same key: %v", err)
	}
	if n != 1 {
		t.Errorf("%d effects", n)
	}
	same, repeated, err := o.Carry(t.Context(), call("k", "body"), attempt)
	if err != nil || !repeated || !bytes.Equal(same.Answer.Message, first.Answer.Message) || n != 1 {
		t.Errorf("the same again: %q, repeated %v, %d effects, %v", same.Answer.Message, repeated, n, err)
	}
	// Of anybody else, or by another method, the same is another call: who knows a key learns
	// nothing by it.
	for name, change := range map[string]func(*outbox.Call){
		"member": func(c *outbox.Call) { c.Caller.Member = "HospitalB" },
		"user":   func(c *outbox.Call) { c.Caller.User = "pacs" },
		"role":   func(c *outbox.Call) { c.Caller.Role = "clinician" },
		"method": func(c *outbox.Call) { c.Method = "/yitong.v1.Consents/Withdraw" },
	} {
		c := call("k", "body")
		change(&c)
		got, repeated, err := o.Carry(t.Context(), c, attempt)
		if err != nil || repeated || bytes.Equal(got.Answer.Message, first.Answer.Message) {
			t.Errorf("another %s's key is not its own: %v, %v", name, repeated, err)
		}
	}
}

func TestWhatWasCutOffGoesOnUnderTheSameID(t *testing.T) {
	dir := t.TempDir()
	o := opened(t, dir)
	var id string
	out, _, err := o.Carry(t.Context(), call("k", "body"), func(_ context.Context, e outbox.Entry) outbox.Outcome {
		id = e.ID
		return outbox.Outcome{Code: "Unavailable", Err: errors.New("no peer")}
	})
	if err != nil || out.Final {
		t.Fatal(out, err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o = opened(t, dir)
	done := make(chan outbox.Entry, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go o.Resume(ctx, func(_ context.Context, e outbox.Entry) outbox.Outcome {
		done <- e
		return told("by itself")
	})
	e := <-done
	if e.ID != id || string(e.Request) != "body" || e.Caller.User != "ehr" || !e.Resumed {
		t.Errorf("it goes on as %+v", e)
	}
	got, repeated, err := o.Carry(t.Context(), call("k", "body"), nil)
	if err != nil || !repeated || string(got.Answer.Message) != "by itself" {
		t.Errorf("its caller is told %q, %v, %v", got.Answer.Message, repeated, err)
	}
	// The control: another secret makes another id of the same key.
	if o.ID(e.Caller, e.Method, "k") != id {
		t.Error("the id doesn't follow from the key")
	}
	other := opened(t, t.TempDir(), func(c *outbox.Config) { c.Secret = bytes.Repeat([]byte{8}, 32) })
	if other.ID(e.Caller, e.Method, "k") == id {
		t.Error("the id doesn't follow from the secret")
	}
}

func TestWhatWaitsForItsCallerIsLeftAloneUntilSomethingIsHandedOver(t *testing.T) {
	dir := t.TempDir()
	o := opened(t, dir)
	fail := func(context.Context, outbox.Entry) outbox.Outcome { return outbox.Outcome{Err: errors.New("no peer")} }
	alone, handed := call("alone", "body"), call("handed", "body")
	alone.Alone, handed.Alone = true, true
	o.Carry(t.Context(), alone, fail)
	o.Carry(t.Context(), handed, func(ctx context.Context, e outbox.Entry) outbox.Outcome {
		if err := o.Keep(ctx, ledger.Kept{TxID: "tx1", Function: "f", Signed: []byte("s")}); err != nil {
			t.Error(err)
		}
		return fail(ctx, e)
	})
	o.Close()
	o = opened(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var seen atomic.Int64
	o.Resume(ctx, func(ctx context.Context, e outbox.Entry) outbox.Outcome {
		seen.Add(1)
		time.AfterFunc(1500*time.Millisecond, cancel) // another round, in which the other is left alone
		kept, err := o.Kept(ctx, "f", nil)
		if err != nil || len(kept) != 1 || kept[0].TxID != "tx1" || !kept[0].Same {
			t.Errorf("its transactions are %+v, %v", kept, err)
		}
		return told("done")
	})
	if seen.Load() != 1 {
		t.Errorf("%d were carried on", seen.Load())
	}
}

func TestACallerThatHangsUpLeavesTheWriteToFinish(t *testing.T) {
	o := opened(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	begun, go_on := make(chan struct{}), make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		_, _, err := o.Carry(ctx, call("k", "body"), func(inside context.Context, _ outbox.Entry) outbox.Outcome {
			close(begun)
			<-go_on
			if inside.Err() != nil {
				t.Error("the attempt ended with its caller")
			}
			return told("kept")
		})
		failed <- err
	}()
	<-begun
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller is told %v", err)
	}
	close(go_on)
	out, repeated, err := o.Carry(t.Context(), call("k", "body"), nil)
	if err != nil || !repeated || string(out.Answer.Message) != "kept" {
		t.Errorf("asked again: %q, %v, %v", out.Answer.Message, repeated, err)
	}
}

func TestNothingThatIsAskedOrAnsweredLiesOpen(t *testing.T) {
	dir := t.TempDir()
	o := opened(t, dir)
	const canary = "urn:oid:2.16.840.1.113883.2.23|CANARY-4711"
	c := call("CANARY-4711-key", canary)
	if _, _, err := o.Carry(t.Context(), c, func(ctx context.Context, e outbox.Entry) outbox.Outcome {
		if err := o.Keep(ctx, ledger.Kept{TxID: "tx1", Function: "f", Argument: []byte(canary), Signed: []byte(canary), Result: []byte(canary)}); err != nil {
			t.Error(err)
		}
		return told("answer " + canary)
	}); err != nil {
		t.Fatal(err)
	}
	o.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	var all []byte
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw...)
	}
	if bytes.Contains(all, []byte("CANARY")) {
		t.Error("the outbox's files show what was asked")
	}
	if !bytes.Contains(all, []byte("Consents/Grant")) {
		t.Error("the search finds nothing at all") // the control
	}
}

func TestAFullOutboxTakesNothingAndASweepMakesRoom(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	o := opened(t, t.TempDir(), func(c *outbox.Config) { c.Limit, c.Now, c.Retention = 3, clock, time.Hour })
	yes := func(context.Context, outbox.Entry) outbox.Outcome { return told("yes") }
	for i := range 3 {
		if _, _, err := o.Carry(t.Context(), call(fmt.Sprint(i), "body"), yes); err != nil {
			t.Fatal(err)
		}
	}
	began := false
	_, _, err := o.Carry(t.Context(), call("4", "body"), func(context.Context, outbox.Entry) outbox.Outcome { began = true; return told("") })
	if !errors.Is(err, outbox.ErrFull) || began {
		t.Errorf("a full outbox answers %v, and begins: %v", err, began)
	}
	if o.Problem(t.Context()) == nil {
		t.Error("a full outbox is ready")
	}
	mu.Lock()
	now = now.Add(2 * time.Hour)
	mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	go o.Resume(ctx, yes) // sweeps at once
	for o.Problem(ctx) != nil && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if _, _, err := o.Carry(t.Context(), call("4", "body"), yes); err != nil {
		t.Errorf("after the sweep: %v", err)
	}
	if err := o.Problem(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestARowOfAnotherKeyStoreOrAnotherPlaceIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	o := opened(t, dir)
	if _, _, err := o.Carry(t.Context(), call("k", "body"), func(context.Context, outbox.Entry) outbox.Outcome { return told("yes") }); err != nil {
		t.Fatal(err)
	}
	o.Close()
	o = opened(t, dir, func(c *outbox.Config) { c.Secret = bytes.Repeat([]byte{9}, 32) })
	if _, err := o.List(t.Context(), 0, 10); err == nil {
		t.Error("another key store's secret opens it")
	}
	o.Close()
	o = opened(t, dir)
	if all, err := o.List(t.Context(), 0, 10); err != nil || len(all) != 1 || all[0].State != outbox.Done {
		t.Errorf("its own shows %+v, %v", all, err)
	}
}

func FuzzCheckKey(f *testing.F) {
	for _, k := range []string{"a", "", "ü", "a b", "x\x00", "A-Z_.9", string(bytes.Repeat([]byte{'a'}, 65))} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if outbox.CheckKey(key) != nil {
			return
		}
		if len(key) < 1 || len(key) > 64 {
			t.Errorf("%q is a key", key)
		}
		for _, c := range []byte(key) {
			if !bytes.Contains([]byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"), []byte{c}) {
				t.Errorf("%q is a key", key)
			}
		}
	})
}
