package replay_test

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/checkpoint"
	"yitong/gateway/audit/replay/replaytest"
)

// counting is a store that notes how much each Save writes.
type counting struct {
	*checkpoint.File
	written []int
}

func (c *counting) Save(head []byte, changed iter.Seq2[[]byte, []byte]) error {
	n := 0
	defer func() { c.written = append(c.written, n) }()
	return c.File.Save(head, func(yield func([]byte, []byte) bool) {
		for k, v := range changed {
			n++
			if !yield(k, v) {
				return
			}
		}
	})
}

func open(t *testing.T, path string) *counting {
	t.Helper()
	f, err := checkpoint.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return &counting{File: f}
}

func TestAReplayGoesOnFromItsCheckpoint(t *testing.T) {
	c := genuine(t)
	raw := c.Encoded()
	want := run(t, c, raw)
	path := filepath.Join(t.TempDir(), "checkpoint")
	options := func(kept replay.Store) replay.Options {
		return replay.Options{Genesis: c.Genesis(), Chaincode: replaytest.ChaincodeName, Checkpoint: kept, Every: time.Nanosecond}
	}
	stop := errors.New("the source broke off")
	for cut := 3; cut < len(raw); cut += 7 {
		kept := open(t, path)
		_, err := replay.Run(t.Context(), func(yield func([]byte, error) bool) {
			for _, one := range raw[:cut] {
				if !yield(one, nil) {
					return
				}
			}
			yield(nil, stop)
		}, options(kept))
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		for _, n := range kept.written {
			if n > 300 { // a block of 8 transactions, and the founding
				t.Errorf("%d keys were written for one block", n)
			}
		}
		must(t, kept.Close())
	}
	kept := open(t, path)
	got, err := replay.Run(t.Context(), replaytest.Each(raw), options(kept))
	must(t, err)
	got.Took, want.Took = 0, 0
	a, b := text(t, got), text(t, want)
	if a != b {
		t.Errorf("going on gave\n%s\nfrom the beginning it is\n%s", a, b)
	}
	t.Run("another chain's", func(t *testing.T) {
		other := options(kept)
		other.Genesis[0] ^= 1
		if _, err := replay.Run(t.Context(), replaytest.Each(raw), other); !errors.Is(err, replay.ErrCheckpoint) {
			t.Error(err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := replay.Run(ctx, replaytest.Each(raw), options(kept)); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("in use", func(t *testing.T) {
		if _, err := checkpoint.Open(path); !errors.Is(err, replay.ErrCheckpoint) {
			t.Error(err)
		}
	})
	must(t, kept.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	t.Run("damaged", func(t *testing.T) {
		random := rand.New(rand.NewPCG(7, 7))
		found := 0
		for range 60 {
			spoilt := append([]byte{}, whole...)
			spoilt[random.IntN(len(spoilt))] ^= 1 << random.IntN(8)
			if resume(t, c, raw, spoilt, text(t, want)) {
				found++
			}
		}
		if found == 0 {
			t.Error("no damage was found; some must lie in what is kept")
		}
		for _, size := range []int{1, 100, len(whole) / 2} {
			if !resume(t, c, raw, whole[:size], text(t, want)) {
				t.Errorf("a file cut to %d bytes was gone on from", size)
			}
		}
		if !resume(t, c, raw, []byte("this is a letter, and no checkpoint"), text(t, want)) {
			t.Error("another file was gone on from")
		}
	})
}

// resume goes on from a spoilt checkpoint. It says whether that was refused; if it wasn't (the
// damage is where nothing is kept), the report must be the right one.
func resume(t *testing.T, c *replaytest.Chain, raw [][]byte, spoilt []byte, want string) bool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "checkpoint")
	must(t, os.WriteFile(path, spoilt, 0o600))
	f, err := checkpoint.Open(path)
	if errors.Is(err, replay.ErrCheckpoint) {
		return true
	}
	must(t, err)
	defer f.Close()
	r, err := replay.Run(t.Context(), replaytest.Each(raw), replay.Options{Genesis: c.Genesis(), Chaincode: replaytest.ChaincodeName, Checkpoint: loadOnly{f}})
	if errors.Is(err, replay.ErrCheckpoint) {
		return true
	}
	must(t, err)
	r.Took = 0
	if text(t, r) != want {
		t.Error("a damaged checkpoint was gone on from, to another end")
	}
	return false
}

// loadOnly keeps a spoilt file from being written to.
type loadOnly struct{ *checkpoint.File }

func (loadOnly) Save([]byte, iter.Seq2[[]byte, []byte]) error { return nil }
