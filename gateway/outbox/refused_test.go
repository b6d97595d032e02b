package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"yitong/gateway/ledger"
	"yitong/gateway/outbox"
)

func refused() outbox.Outcome {
	return outbox.Outcome{Final: true, Code: "exists", Err: errors.New("refused"), Answer: outbox.Answer{Refusal: []byte("refused")}}
}

// locked keeps everyone else from writing the database of an outbox until it is called.
func locked(t *testing.T, dir string) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "outbox.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Error(err)
		return func() { _ = db.Close() }
	}
	return func() { _ = errors.Join(tx.Rollback(), db.Close()) }
}

// A refusal has nothing on the ledger: were it told before it is kept, and the process died in
// between, the call would be carried out after its caller was told that it isn't.
func TestARefusalIsToldOnceItIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		held  time.Duration // until the call has ended, where it is zero
		final bool
	}{"kept late": {200 * time.Millisecond, true}, "not kept at all": {0, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			o := opened(t, dir)
			var unlock func()
			done := make(chan struct{})
			out, _, err := o.Carry(t.Context(), call("k", "body"), func(ctx context.Context, _ outbox.Entry) outbox.Outcome {
				if err := o.Keep(ctx, ledger.Kept{TxID: "conflict", Function: "f", Signed: []byte("s")}); err != nil {
					t.Error(err)
				}
				if err := o.Forget(ctx, "conflict"); err != nil { // it was in conflict, and proposed anew refused
					t.Error(err)
				}
				unlock = locked(t, dir)
				if c.held > 0 {
					time.AfterFunc(c.held, func() { unlock(); close(done) })
				}
				return refused()
			})
			if c.held == 0 {
				unlock()
				close(done)
			}
			if err != nil || out.Final != c.final {
				t.Fatalf("final %v, %v", out.Final, err)
			}
			all, err := o.List(t.Context(), 0, 0)
			if err != nil || len(all) != 1 || (all[0].State == outbox.Done) != c.final {
				t.Errorf("told %v, and kept %+v, %v", out.Final, all, err)
			}
			<-done
		})
	}
}

func TestAnotherBodyDoesNotWakeWhatWasGivenUp(t *testing.T) {
	o := opened(t, t.TempDir())
	fail := func(context.Context, outbox.Entry) outbox.Outcome { return outbox.Outcome{Err: errors.New("no peer")} }
	_, _, _ = o.Carry(t.Context(), call("k", "body"), fail)
	if n, err := o.GiveUp(t.Context(), "restored"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if _, _, err := o.Carry(t.Context(), call("k", "other"), fail); !errors.Is(err, outbox.ErrReused) {
		t.Fatal(err)
	}
	if all, err := o.List(t.Context(), 0, 0); err != nil || len(all) != 1 || all[0].State != outbox.GivenUp {
		t.Errorf("%+v, %v", all, err)
	}
}

// However many calls wait for their callers, what is behind them is carried on.
func TestWhatWaitsHoldsUpNothingBehindIt(t *testing.T) {
	o := opened(t, t.TempDir())
	fail := func(context.Context, outbox.Entry) outbox.Outcome { return outbox.Outcome{Err: errors.New("no peer")} }
	for i := range 300 {
		alone := call(fmt.Sprint("alone", i), "body")
		alone.Alone = true
		_, _, _ = o.Carry(t.Context(), alone, fail)
	}
	_, _, _ = o.Carry(t.Context(), call("k", "body"), fail)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	carried := false
	o.Resume(ctx, func(context.Context, outbox.Entry) outbox.Outcome {
		carried = true
		cancel()
		return told("done")
	})
	if err := o.Drain(t.Context()); err != nil || !carried {
		t.Errorf("it was not carried on (%v)", err)
	}
}
