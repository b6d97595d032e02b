package node

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"yitong/chaincode/refusal"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/outbox"
)

// blocks is how many blocks a peer has; gone: it can't be asked.
type blocks uint64

const gone = ^blocks(0)

func (b *blocks) Height(context.Context) (uint64, error) {
	if *b == gone {
		return 0, ledger.ErrUnavailable
	}
	return uint64(*b), nil
}

// A38: what was restored from an older copy is known by what wasn't.
func TestAnOlderCopyIsKnown(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	store, err := keys.Create(filepath.Join(dir, "keys.db"), []byte("a passphrase of a test"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	open := func(file string) *outbox.Outbox {
		var c Config
		c.Outbox.URL = "sqlite:" + filepath.Join(dir, file)
		o, err := openOutbox(ctx, c, store, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { o.Close() })
		return o
	}
	at := func(o *outbox.Outbox, peer *blocks) *watermark {
		w, err := openWatermark(ctx, peer, o, store, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	entered := func(o *outbox.Outbox) {
		call := outbox.Call{Caller: outbox.Caller{Member: "M"}, Method: "/yitong.v1.Policies/Set", Key: "k", Body: []byte("b")}
		_, _, err := o.Carry(ctx, call, func(context.Context, outbox.Entry) outbox.Outcome { return outbox.Outcome{Err: errors.New("no peer")} })
		if err != nil {
			t.Fatal(err)
		}
	}
	peer := blocks(100)
	today := open("today.db")
	w := at(today, &peer)
	if err := w.look(ctx); err != nil || w.current() != nil { // the control: nothing is older
		t.Fatalf("a peer as it was: %v, %v", err, w.current())
	}

	peer = 90
	w = at(today, &peer)
	if err := w.look(ctx); !errors.Is(err, refusal.New(refusal.StaleClock, "", "")) || w.current() == nil {
		t.Errorf("a peer that lacks 10 blocks: %v", err)
	}
	peer = 101
	if err := w.look(ctx); err != nil || w.current() != nil {
		t.Errorf("a peer that has caught up: %v", err)
	}

	peer = gone
	w = at(today, &peer)
	if err := w.await(ctx); err != nil {
		t.Errorf("a peer that can't be asked holds up the start: %v", err)
	}
	if err := w.current(); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("on a peer that can't be asked: %v", err)
	}
	peer = 90 // and nobody has looked since
	if err := w.current(); !errors.Is(err, refusal.New(refusal.StaleClock, "", "")) {
		t.Errorf("on one that came back without 10 blocks: %v", err)
	}
	peer = 101
	if err := w.look(ctx); err != nil || w.current() != nil {
		t.Errorf("on one that came back: %v, %v", err, w.current())
	}

	entered(today)
	at(today, &peer)
	if f, err := today.Figures(ctx); err != nil || f.Open != 1 || f.GivenUp != 0 {
		t.Errorf("the newest outbox: %+v, %v", f, err) // the control
	}
	yesterday := open("yesterday.db") // it has seen nothing
	entered(yesterday)
	w = at(yesterday, &peer)
	if f, err := yesterday.Figures(ctx); err != nil || f.Open != 0 || f.GivenUp != 1 {
		t.Errorf("an older outbox: %+v, %v", f, err)
	}
	peer = 95 // and beside it an older peer, which the key store knows
	if err := w.look(ctx); err == nil {
		t.Error("an older outbox takes an older peer")
	}
}
