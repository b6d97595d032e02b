package outbox_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"yitong/gateway/database/databasetest"
	"yitong/gateway/ledger"
	"yitong/gateway/outbox"
)

// PostgreSQL keeps what SQLite keeps.
func TestOnPostgreSQLAWriteHappensOnceToo(t *testing.T) {
	url := databasetest.Postgres(t)
	open := func() *outbox.Outbox { return opened(t, "", func(c *outbox.Config) { c.URL = url }) }
	o := open()
	var effects atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			out, _, err := o.Carry(t.Context(), call("k", "body"), func(ctx context.Context, e outbox.Entry) outbox.Outcome {
				effects.Add(1)
				if err := o.Keep(ctx, ledger.Kept{TxID: "tx", Function: "f", Signed: []byte("s")}); err != nil {
					t.Error(err)
				}
				return told("answer")
			})
			if err != nil || string(out.Answer.Message) != "answer" {
				t.Errorf("%q, %v", out.Answer.Message, err)
			}
		})
	}
	all.Wait()
	if effects.Load() != 1 {
		t.Errorf("%d effects", effects.Load())
	}
	if _, _, err := o.Carry(t.Context(), call("k", "other"), nil); !errors.Is(err, outbox.ErrReused) {
		t.Errorf("another body: %v", err)
	}
	if _, _, err := o.Carry(t.Context(), call("open", "body"), func(ctx context.Context, _ outbox.Entry) outbox.Outcome {
		if err := o.Keep(ctx, ledger.Kept{TxID: "tx2", Function: "f", Signed: []byte("s")}); err != nil {
			t.Error(err)
		}
		return outbox.Outcome{Code: "Unavailable", Err: errors.New("no peer")}
	}); err != nil {
		t.Error(err)
	}
	if err := o.Note(t.Context(), 7); err != nil {
		t.Error(err)
	}
	o.Close()

	o = open()
	ctx, cancel := context.WithCancel(t.Context())
	resumed := make(chan int, 1)
	go o.Resume(ctx, func(ctx context.Context, e outbox.Entry) outbox.Outcome {
		kept, err := o.Kept(ctx, "f", nil)
		if err != nil {
			t.Error(err)
		}
		resumed <- len(kept)
		return told("by itself")
	})
	if n := <-resumed; n != 1 {
		t.Errorf("%d transactions of it are kept", n)
	}
	out, repeated, err := o.Carry(t.Context(), call("open", "body"), nil)
	if err != nil || !repeated || string(out.Answer.Message) != "by itself" {
		t.Errorf("asked again: %q, %v, %v", out.Answer.Message, repeated, err)
	}
	cancel()
	if h, err := o.Height(t.Context()); err != nil || h != 7 {
		t.Errorf("the height is %d, %v", h, err)
	}
	list, err := o.List(t.Context(), 0, 10, outbox.Done)
	if err != nil || len(list) != 2 {
		t.Errorf("%d are done, %v", len(list), err)
	}
	if err := o.Drop(t.Context(), list[0].Number); err != nil {
		t.Error(err)
	}
	if err := o.Problem(t.Context()); err != nil {
		t.Error(err)
	}
}
