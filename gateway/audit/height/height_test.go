package height_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"yitong/chaincode/registry"
	"yitong/gateway/audit/height"
)

// world is some members with a chain each, on one clock.
type world struct {
	t       *testing.T
	now     time.Time
	names   []string
	members map[string]*member
	cut     map[[2]string]bool // who doesn't reach whom
}

type member struct {
	w      *world
	name   string
	key    ed25519.PrivateKey
	blocks []string // what each holds; its hash follows from it and those before
	keeper *height.Keeper
}

func newWorld(t *testing.T, names ...string) *world {
	w := &world{t: t, now: time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC), names: names, members: map[string]*member{}, cut: map[[2]string]bool{}}
	dir := t.TempDir()
	for _, name := range names {
		seed := sha256.Sum256([]byte(name))
		m := &member{w: w, name: name, key: ed25519.NewKeyFromSeed(seed[:]), blocks: []string{"genesis"}}
		w.members[name] = m
		m.open(filepath.Join(dir, name))
	}
	return w
}

func (m *member) open(file string) {
	m.w.t.Helper()
	k, err := height.New(height.Config{
		Channel: "yitong", Self: m.name, Chain: m, Registry: m, Exchange: m,
		Signer: func() (string, func(message []byte) []byte) {
			return "key of " + m.name, func(message []byte) []byte { return ed25519.Sign(m.key, message) }
		},
		File: file, Now: func() time.Time { return m.w.now }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.keeper = k
}

func (m *member) Head(ctx context.Context) (uint64, [32]byte, error) {
	n := uint64(len(m.blocks))
	hash, err := m.HashOf(ctx, n-1)
	return n, hash, err
}

func (m *member) HashOf(_ context.Context, number uint64) ([32]byte, error) {
	return sha256.Sum256(fmt.Append(nil, m.blocks[:number+1])), nil
}

func (m *member) Others(context.Context) (out []registry.Member, err error) {
	for _, name := range m.w.names {
		if name != m.name {
			out = append(out, registry.Member{MSP: name})
		}
	}
	return out, nil
}

func (m *member) SigningKey(_ context.Context, msp, _ string) (registry.Key, error) {
	other, ok := m.w.members[msp]
	if !ok {
		return registry.Key{}, errors.New("no such member")
	}
	return registry.Key{ID: "key of " + msp, Public: []byte(other.key.Public().(ed25519.PublicKey))}, nil
}

// Heights is what gateway/api does at the other end.
func (m *member) Heights(ctx context.Context, to registry.Member, own height.Statement) ([]height.Statement, error) {
	if m.w.cut[[2]string{m.name, to.MSP}] {
		return nil, errors.New("not reached")
	}
	other := m.w.members[to.MSP].keeper
	if err := other.Take(ctx, own); err != nil {
		return nil, err
	}
	theirs, others, err := other.All(ctx)
	out := []height.Statement{theirs}
	for _, one := range others {
		out = append(out, one.Statement)
	}
	return out, err
}

func (w *world) grow(block string, names ...string) {
	for _, name := range names {
		w.members[name].blocks = append(w.members[name].blocks, block)
	}
}

func (w *world) round(names ...string) {
	w.t.Helper()
	for _, name := range names {
		_ = w.members[name].keeper.Round(w.t.Context()) // who isn't reached is an error that goes on
	}
	w.now = w.now.Add(height.Pace)
}

// verdicts are what a member holds of the others.
func (w *world) verdicts(of string) map[string]height.Verdict {
	w.t.Helper()
	_, others, err := w.members[of].keeper.All(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]height.Verdict{}
	for _, s := range others {
		out[s.Member] = s.Verdict
	}
	return out
}

func (w *world) want(of, member string, v height.Verdict) {
	w.t.Helper()
	if got := w.verdicts(of)[member]; got != v {
		w.t.Errorf("%s says of %s: %q, want %q", of, member, got, v)
	}
}

func TestMembersOfOneChainAgree(t *testing.T) {
	w := newWorld(t, "A", "B", "C")
	for n := range 20 {
		w.grow(fmt.Sprint(n), "A", "B", "C")
		w.round("A", "B", "C")
	}
	for _, of := range []string{"A", "B", "C"} {
		for _, member := range []string{"A", "B", "C"} {
			if of != member {
				w.want(of, member, height.Agrees)
			}
		}
	}
}

// The slowest way: what C isn't shown it hears of through B alone, and every round is just
// over when there is something to say.
func TestAHiddenTailShowsWithinAMinute(t *testing.T) {
	w := newWorld(t, "A", "B", "C")
	for _, pair := range [][2]string{{"A", "C"}, {"C", "A"}} {
		w.cut[pair] = true
	}
	w.grow("1", "A", "B", "C")
	w.round("A", "B", "C")
	w.grow("2", "A") // B and C are shown nothing more
	began := w.now
	for w.verdicts("C")["A"] != height.Behind {
		if w.now.Sub(began) > time.Minute {
			t.Fatalf("after a minute C still says %q of A", w.verdicts("C")["A"])
		}
		w.round("C", "B", "A")
	}
	w.want("B", "A", height.Behind)
	w.want("A", "B", height.Agrees) // what B has, A has too
	w.grow("2", "C")
	w.round("C")
	w.want("C", "A", height.Agrees)
}

func TestAPeerThatIsAlwaysALittleLateIsNotBehind(t *testing.T) {
	w := newWorld(t, "A", "B")
	for n := range 20 {
		w.grow(fmt.Sprint(n), "A")
		w.round("B")
		w.grow(fmt.Sprint(n), "B")
	}
	if got := w.verdicts("B")["A"]; got == height.Behind {
		t.Error("B is called behind")
	}
}

func TestAForkShowsAtOnceAndForGood(t *testing.T) {
	w := newWorld(t, "A", "B", "C")
	w.grow("1", "A", "B")
	w.grow("another", "C")
	w.round("A", "B", "C")
	w.want("A", "C", height.Fork)
	w.want("C", "A", height.Fork)
	w.members["C"].blocks[1] = "1" // C mends its chain; that it signed another stays
	w.round("A", "B", "C")
	w.want("A", "C", height.Fork)
}

func TestAForkIsHeardOfThroughAThirdMember(t *testing.T) {
	w := newWorld(t, "A", "B", "C")
	for _, pair := range [][2]string{{"A", "C"}, {"C", "A"}} {
		w.cut[pair] = true
	}
	w.grow("1", "A", "B")
	w.grow("another", "C")
	w.round("C", "A")
	w.want("A", "C", height.Fork)
}

func TestWhatIsKeptIsThereAfterARestart(t *testing.T) {
	w := newWorld(t, "A", "B")
	file := filepath.Join(t.TempDir(), "heights")
	w.members["A"].open(file)
	w.grow("1", "A")
	w.grow("another", "B")
	w.round("A")
	w.members["A"].open(file)
	w.want("A", "B", height.Fork)
}

func TestOnlyAMembersOwnWordIsTaken(t *testing.T) {
	w := newWorld(t, "A", "B")
	good, err := w.members["B"].keeper.Own(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := w.members["A"].keeper
	for name, change := range map[string]func(*height.Statement){
		"another channel": func(s *height.Statement) { s.Channel = "other" },
		"another member":  func(s *height.Statement) { s.Member = "Stranger" },
		"more blocks":     func(s *height.Statement) { s.Blocks++ },
		"no blocks":       func(s *height.Statement) { s.Blocks = 0 },
		"another hash":    func(s *height.Statement) { s.Hash[0] ^= 1 },
		"another time":    func(s *height.Statement) { s.At = s.At.Add(-time.Second) },
		"a time to come":  func(s *height.Statement) { s.At = s.At.Add(time.Hour) },
		"another key":     func(s *height.Statement) { s.Key = "other" },
		"no signature":    func(s *height.Statement) { s.Signature = nil },
		"another's sign": func(s *height.Statement) {
			s.Sign(s.Key, func(m []byte) []byte { return ed25519.Sign(w.members["A"].key, m) })
		},
		"a bit of another": func(s *height.Statement) { s.Signature[3] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			s.Signature = append([]byte{}, good.Signature...)
			change(&s)
			if err := a.Take(t.Context(), s); !errors.Is(err, height.ErrStatement) {
				t.Errorf("it gives %v", err)
			}
		})
	}
	if err := a.Take(t.Context(), good); err != nil {
		t.Errorf("the unchanged one: %v", err)
	}
}

func TestStatementsAreReadAsTheyAreWritten(t *testing.T) {
	w := newWorld(t, "A")
	s, err := w.members["A"].keeper.Own(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	all, err := height.ParseAll(append(append(raw, '\n', '\n'), raw...))
	if err != nil || len(all) != 2 || !all[1].Verify(w.members["A"].key.Public().(ed25519.PublicKey)) {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := height.ParseAll([]byte(`{"hash":"0g"}`)); err == nil {
		t.Error("a statement without a hash is read")
	}
}

func FuzzParseAll(f *testing.F) {
	f.Add([]byte(`{"channel":"yitong","member":"A","blocks":1,"hash":"00","at":"2026-11-21T07:00:00Z"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, err := height.ParseAll(raw)
		if err != nil {
			return
		}
		for _, s := range all {
			if s.Verify(make(ed25519.PublicKey, ed25519.PublicKeySize)) && len(s.Signature) == 0 {
				t.Error("an unsigned statement verifies")
			}
		}
	})
}
