package outbox_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"yitong/gateway/outbox"
)

// An operator's drop and a repeat come at the same moments: whoever comes first, what is being
// carried out is there until it ends.
func TestNothingIsDroppedThatIsBeingCarriedOut(t *testing.T) {
	o := opened(t, t.TempDir())
	fail := func(context.Context, outbox.Entry) outbox.Outcome { return outbox.Outcome{Err: errors.New("no peer")} }
	dropped, busy := 0, 0
	for range 300 {
		_, _, _ = o.Carry(t.Context(), call("k", "body"), fail)
		all, err := o.List(t.Context(), 0, 0)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		var told error
		said := make(chan struct{})
		go func() {
			defer close(said)
			told = o.Drop(context.WithoutCancel(t.Context()), all[0].Number)
		}()
		_, _, err = o.Carry(t.Context(), call("k", "body"), func(ctx context.Context, e outbox.Entry) outbox.Outcome {
			for range 3 {
				if _, err := o.Show(ctx, e.Number); err != nil {
					t.Errorf("it is being carried out, and not there: %v", err)
				}
			}
			return fail(ctx, e)
		})
		<-said
		switch {
		case err != nil:
			t.Fatal(err)
		case told == nil:
			dropped++
		case errors.Is(told, outbox.ErrBusy):
			busy++
		default:
			t.Fatal(told)
		}
	}
	t.Logf("%d dropped, %d busy", dropped, busy)
	// The control: what nobody is at is dropped, once.
	all, err := o.List(t.Context(), 0, 0)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if err := o.Drop(t.Context(), all[0].Number); err != nil {
		t.Error(err)
	}
	if err := o.Drop(t.Context(), all[0].Number); !errors.Is(err, outbox.ErrMissing) {
		t.Errorf("dropped again: %v", err)
	}
}

// A sweep takes what nobody comes back for, and not before it is given up: its caller was told
// that it goes on. What somebody is at it leaves.
func TestASweepLeavesWhatIsNotGivenUpAndWhatIsUnderWay(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixMilli())
	o := opened(t, t.TempDir(), func(c *outbox.Config) {
		c.Now = func() time.Time { return time.UnixMilli(now.Load()) }
		c.Retention, c.Patience = time.Hour, 24*time.Hour
	})
	fail := func(context.Context, outbox.Entry) outbox.Outcome { return outbox.Outcome{Err: errors.New("no peer")} }
	left := func() (keys int) {
		t.Helper()
		all, err := o.List(t.Context(), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	// later has a sweep take place after so long; what is done then goes, by which it is seen.
	later := func(by time.Duration) {
		t.Helper()
		_, _, err := o.Carry(t.Context(), call("canary", "body"), func(context.Context, outbox.Entry) outbox.Outcome { return told("yes") })
		if err != nil {
			t.Fatal(err)
		}
		before := left()
		now.Add(by.Milliseconds())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ended := make(chan struct{})
		go func() { defer close(ended); o.Resume(ctx, fail) }()
		for left() == before && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
		<-ended
	}
	waits := call("waits", "body")
	waits.Alone = true
	_, _, _ = o.Carry(t.Context(), waits, fail)
	begun, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		under := call("under way", "body")
		under.Alone = true
		_, _, _ = o.Carry(t.Context(), under, func(ctx context.Context, e outbox.Entry) outbox.Outcome {
			close(begun)
			<-goOn
			return fail(ctx, e)
		})
	}()
	<-begun
	later(2 * time.Hour)
	if n := left(); n != 2 {
		t.Errorf("%d are left of 2 that are younger than the patience", n)
	}
	later(48 * time.Hour)
	if n := left(); n != 1 {
		t.Errorf("%d are left, not the one that is under way", n)
	}
	close(goOn)
	<-ended
	later(48 * time.Hour)
	if n := left(); n != 0 { // the control
		t.Errorf("%d are left that nobody came back for", n)
	}
}
