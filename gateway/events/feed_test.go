package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/registry"
	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/events"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
)

// self is a member of the generated consortium, by its name there.
func self(name string) registry.Candidate {
	i := slices.IndexFunc(projectiontest.Members, func(m registry.Member) bool { return m.Name == name })
	m := projectiontest.Members[i]
	return registry.Candidate{MSP: m.MSP, Name: m.Name, Kind: m.Kind}
}

// secrets is a key store in memory.
type secrets map[string][]byte

func (s secrets) Get(bucket, name string) ([]byte, error) {
	if v, ok := s[bucket+"/"+name]; ok {
		return v, nil
	}
	return nil, keys.ErrNotFound
}
func (s secrets) Put(bucket, name string, value []byte) error { s[bucket+"/"+name] = value; return nil }
func (s secrets) Delete(bucket, name string) error            { delete(s, bucket+"/"+name); return nil }

func config(t testing.TB, of string) events.Config {
	return events.Config{
		Database: "sqlite:" + filepath.Join(t.TempDir(), "events.db"), Chaincode: projectiontest.Chaincode, Self: self(of),
		KeyLifetime: 365 * 24 * time.Hour, Secrets: secrets{}, Log: slog.New(slog.DiscardHandler),
	}
}

func open(t testing.TB, c events.Config) *events.Feed {
	t.Helper()
	f, err := events.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// all is the whole feed, read page by page.
func all(t testing.TB, f *events.Feed, filter ...string) (list []events.Event) {
	t.Helper()
	var after events.Position
	for {
		p, err := f.List(context.Background(), after, filter, 97)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p.Events...)
		if after = p.Next; !p.More {
			return list
		}
	}
}

func applied(t testing.TB, c events.Config, blocks []ledger.Block) []events.Event {
	t.Helper()
	f := open(t, c)
	if err := f.Apply(context.Background(), blocks...); err != nil {
		t.Fatal(err)
	}
	return all(t, f)
}

func TestTheFeedTellsEachMemberWhatConcernsIt(t *testing.T) {
	blocks := projectiontest.Blocks(7, 4000)
	for _, m := range projectiontest.Members {
		t.Run(m.Name, func(t *testing.T) {
			list := applied(t, config(t, m.Name), blocks)
			got := map[events.Type]int{}
			for i, e := range list {
				got[e.Type]++
				if i > 0 && list[i-1].Position.Compare(e.Position) >= 0 {
					t.Fatalf("%s comes after %s", e.Position, list[i-1].Position)
				}
			}
			// Counted off the blocks anew, by what was written and nothing else.
			want := map[events.Type]int{}
			for w := range written(blocks) {
				custodian, requester := w.Attributes[0], ""
				if len(w.Attributes) > 1 {
					requester = w.Attributes[1]
				}
				party := custodian == m.MSP || requester == m.MSP
				regulator := m.Kind == registry.Regulator
				switch w.ObjectType {
				case "access":
					var a access.Access
					if err := json.Unmarshal(w.Value, &a); err != nil {
						t.Fatal(err)
					}
					switch {
					case a.BreakGlass() && (party || regulator):
						want[events.EmergencyOpened]++
					case a.BreakGlass():
					case custodian == m.MSP:
						want[events.AccessRequested]++
					case requester == m.MSP:
						want[events.AccessDecided]++
					}
				case "release":
					if party {
						want[events.AccessReleased]++
					}
				case "receipt":
					if party {
						want[events.AccessReceived]++
					}
				case "consent":
					var v contract.ConsentVersion
					if err := json.Unmarshal(w.Value, &v); err != nil {
						t.Fatal(err)
					}
					if party {
						switch {
						case v.Consent.Status == "withdrawn":
							want[events.ConsentWithdrawn]++
						case v.Consent.Version > 1:
							want[events.ConsentAmended]++
						default:
							want[events.ConsentGranted]++
						}
					}
				case "order":
					if party {
						want[events.DisclosureOrdered]++
					}
				}
			}
			for kind, n := range want {
				if got[kind] != n {
					t.Errorf("%d events %s, want %d", got[kind], kind, n)
				}
			}
			if m.Kind != registry.Regulator && (want[events.AccessReleased] == 0 || want[events.ConsentWithdrawn] == 0) {
				t.Error("the history holds too little to show anything")
			}
			if len(want) == 0 {
				t.Error("nothing was counted")
			}
		})
	}
}

// written yields what valid transactions wrote under Yitong's own chaincode.
func written(blocks []ledger.Block) iter.Seq[ledger.Write] {
	return func(yield func(ledger.Write) bool) {
		for _, b := range blocks {
			for _, tx := range b.Transactions {
				if !tx.Valid() || tx.Chaincode != projectiontest.Chaincode {
					continue
				}
				for _, w := range tx.Writes {
					if w.Namespace == projectiontest.Chaincode && !w.Delete && len(w.Attributes) > 0 && !yield(w) {
						return
					}
				}
			}
		}
	}
}

// A permit's end is told once, to who holds it, before it comes, by the ledger's own clock.
func TestTheEndOfAPermitIsToldBeforeItComes(t *testing.T) {
	blocks := projectiontest.Blocks(3, 3000)
	list := applied(t, config(t, "insurer"), blocks)
	granted, told := map[string]time.Time{}, map[string]bool{}
	for _, e := range list {
		switch e.Type {
		case events.AccessDecided:
			if e.Outcome == "permitted" {
				granted[e.Object] = e.Expires
			}
		case events.AccessExpiring:
			if !e.Expires.Equal(granted[e.Object]) || told[e.Object] {
				t.Errorf("%s tells of the end of %s at %s, told before: %v", e.Position, e.Object, e.Expires, told[e.Object])
			}
			if left := e.Expires.Sub(e.Time); left <= 0 || left > time.Hour {
				t.Errorf("%s is told %s before its end", e.Object, left)
			}
			told[e.Object] = true
		}
	}
	if len(told) == 0 {
		t.Error("no end was told of")
	}
	for _, e := range applied(t, config(t, "hospital-a"), blocks) {
		if e.Type == events.AccessExpiring {
			t.Fatal("the custodian is told of a permit's end")
		}
	}
}

// However the blocks come, in whatever pieces, with whatever kills in between, the feed is
// the same: position by position, id by id.
func TestTheFeedIsTheSameHoweverItWasMade(t *testing.T) {
	blocks := projectiontest.Blocks(11, 1500)
	want := applied(t, config(t, "hospital-a"), blocks)
	if len(want) < 100 {
		t.Fatalf("only %d events", len(want))
	}
	c := config(t, "hospital-a")
	for i := 0; i < len(blocks); {
		f, err := events.Open(t.Context(), c) // as after a kill: what was committed is there
		if err != nil {
			t.Fatal(err)
		}
		n := min(len(blocks)-i, 1+i%7)
		// A kill in the middle of a commit leaves nothing of it: the same blocks come again.
		dead, kill := context.WithCancel(t.Context())
		kill()
		if err := f.Apply(dead, blocks[i:i+n]...); err == nil {
			t.Fatal("a write that was cut off went through")
		}
		if err := f.Apply(t.Context(), blocks[i:i+n]...); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 { // the newest block once more
			if err := f.Apply(t.Context(), blocks[i+n-1]); err != nil {
				t.Errorf("a block that came twice: %v", err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		i += n
	}
	if diff := cmp.Diff(want, all(t, open(t, c))); diff != "" {
		t.Errorf("made piece by piece it is another (-want +got):\n%s", diff)
	}
}

func TestABlockThatDoesNotContinueTheFeedStopsIt(t *testing.T) {
	blocks, other := projectiontest.Blocks(1, 300), projectiontest.Blocks(2, 300)
	for name, tt := range map[string][]ledger.Block{
		"a gap":                    {blocks[6]},
		"a block from long before": {blocks[2]},
		"another chain's next":     {other[5]},
		"another chain's newest":   {other[4]},
		"two in the wrong order":   {blocks[6], blocks[5]},
		"a gap after a good one":   {blocks[5], blocks[7]},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, config(t, "hospital-a"))
			if err := f.Apply(t.Context(), blocks[:5]...); err != nil {
				t.Fatal(err)
			}
			var broken *ledger.BrokenChain
			if err := f.Apply(t.Context(), tt...); !errors.As(err, &broken) {
				t.Errorf("got %v", err)
			}
			good := 5
			if tt[0].Hash == blocks[5].Hash {
				good = 6
			}
			if n, err := f.Blocks(t.Context()); n != uint64(good) || err != nil {
				t.Errorf("it is made of %d blocks: %v", n, err)
			}
			if err := f.Apply(t.Context(), blocks[good:8]...); err != nil {
				t.Errorf("the right ones are no longer taken: %v", err)
			}
			if diff := cmp.Diff(applied(t, config(t, "hospital-a"), blocks[:8]), all(t, f)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// streamed is a chain whose stream does what a bad source does.
type streamed struct {
	projectiontest.Chain
	spoil func(from uint64, blocks []ledger.Block) ([]ledger.Block, error)
}

func (s streamed) Blocks(ctx context.Context, from uint64) iter.Seq2[ledger.Block, error] {
	return func(yield func(ledger.Block, error) bool) {
		blocks, err := s.spoil(from, slices.Clone(s.Chain[from:]))
		for _, b := range blocks {
			if !yield(b, nil) {
				return
			}
		}
		if err == nil {
			<-ctx.Done()
			err = ctx.Err()
		}
		yield(ledger.Block{}, err)
	}
}

func (s streamed) BlocksAfter(ctx context.Context, number uint64, _ [32]byte) iter.Seq2[ledger.Block, error] {
	return s.Blocks(ctx, number+1)
}

func TestAGapInTheStreamStopsTheFeedAndIsToldOf(t *testing.T) {
	chain := projectiontest.Blocks(5, 400)
	f := open(t, config(t, "insurer"))
	ctx, cancel := context.WithCancel(t.Context())
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		f.Keep(ctx, streamed{chain, func(_ uint64, blocks []ledger.Block) ([]ledger.Block, error) {
			return slices.Delete(blocks, 9, 10), nil
		}})
	}()
	var broken *ledger.BrokenChain
	for !errors.As(f.Problem(), &broken) {
		time.Sleep(time.Millisecond)
	}
	if broken.Block != 10 {
		t.Errorf("it stopped at block %d", broken.Block)
	}
	cancel()
	<-kept
	if n, _ := f.Blocks(context.Background()); n != 9 {
		t.Errorf("%d blocks were taken", n)
	}
}

func TestAStreamThatBreaksIsTakenUpAgain(t *testing.T) {
	chain := projectiontest.Blocks(5, 400)
	want := applied(t, config(t, "insurer"), chain)
	f := open(t, config(t, "insurer"))
	keep(t, f, streamed{chain, func(from uint64, blocks []ledger.Block) ([]ledger.Block, error) {
		if len(blocks) <= 40 {
			return blocks, nil
		}
		return blocks[:40], errors.New("cut")
	}})
	var got []events.Event
	for e, err := range f.Watch(t.Context(), events.Position{}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, e); len(got) == len(want) {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheFeedIsReadFromAnyPosition(t *testing.T) {
	f := open(t, config(t, "hospital-b"))
	if err := f.Apply(t.Context(), projectiontest.Blocks(4, 600)...); err != nil {
		t.Fatal(err)
	}
	whole := all(t, f)
	for i := 0; i < len(whole); i += 1 + len(whole)/20 {
		p, err := f.List(t.Context(), whole[i].Position, nil, events.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole[i+1:], p.Events, cmp.Transformer("", func(l []events.Event) int { return len(l) })); diff != "" {
			t.Errorf("after %s: %s", whole[i].Position, diff)
		}
	}
	for _, filter := range []string{"consent.*", "access.released"} {
		var want []events.Event
		for _, e := range whole {
			if strings.HasPrefix(string(e.Type), strings.TrimSuffix(filter, "*")) {
				want = append(want, e)
			}
		}
		if diff := cmp.Diff(want, all(t, f, filter)); diff != "" || len(want) == 0 {
			t.Errorf("%s (%d): %s", filter, len(want), diff)
		}
	}
	for _, bad := range []string{"consent", "*", "consent.*.*", "patient.*", ""} {
		if _, err := f.List(t.Context(), events.Position{}, []string{bad}, 1); err == nil {
			t.Errorf("the filter %q is taken", bad)
		}
	}
	if _, err := f.List(t.Context(), events.Position{Block: 1 << 40}, nil, 1); err == nil {
		t.Error("a position that the ledger hasn't come to is taken")
	}
}

// No event holds anything of a patient but the handle.
func TestEventsHoldNoMoreThanTheLedger(t *testing.T) {
	for _, e := range applied(t, config(t, "hospital-a"), projectiontest.Blocks(9, 800)) {
		if e.Handle != "" && access.CheckHandle(e.Handle) != nil {
			t.Errorf("%s: %q is no handle", e.Position, e.Handle)
		}
		if e.ID == "" || e.Role == "" || e.Time.IsZero() || e.Transaction == "" {
			t.Errorf("%+v lacks something", e)
		}
	}
}

func FuzzPosition(f *testing.F) {
	for _, s := range []string{"", "0-0-0", "1042-3-1", "1-2", "-1-2-3", "01-2-3", "1-2-3-4", "9223372036854775808-0-0", "1-2-3 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := events.ParsePosition(s)
		if err != nil {
			return
		}
		if s != "" && p.String() != s {
			t.Errorf("%q is read as %s", s, p)
		}
		if p.Block < 0 || p.Transaction < 0 || p.Place < 0 {
			t.Errorf("%q is %+v", s, p)
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"consent.*", "access.released", ".*", "*", "consent."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		filter := events.Filter{s}
		wanted := slices.ContainsFunc(events.Types, filter.Wants)
		if ok := filter.Check() == nil; ok != wanted {
			t.Errorf("%q is taken: %v, lets something pass: %v", s, ok, wanted)
		}
	})
}
