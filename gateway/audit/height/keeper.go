package height

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"yitong/chaincode/record"
	"yitong/chaincode/registry"
)

// Pace is how often a gateway tells the others its height.
const Pace = 10 * time.Second

// Patience is how long blocks that another member has may be missing on the own peer. What is
// missing shows within a minute: a statement of them takes up to two rounds to come (the
// second where somebody in between hands it on), and one round more to be looked at again.
const Patience = time.Minute - 3*Pace

// Chain is the own peer's (*ledger.Ledger).
type Chain interface {
	Head(ctx context.Context) (blocks uint64, hash [32]byte, err error)
	HashOf(ctx context.Context, number uint64) ([32]byte, error)
}

// Registry is what the own peer knows of the members.
type Registry interface {
	// Others are the active members but this one.
	Others(ctx context.Context) ([]registry.Member, error)
	// SigningKey is a member's of this id, present or replaced.
	SigningKey(ctx context.Context, msp, id string) (registry.Key, error)
}

// Exchange reaches the other members' gateways.
type Exchange interface {
	// Heights hands over this gateway's statement and returns all that the other knows,
	// its own among them.
	Heights(ctx context.Context, to registry.Member, own Statement) ([]Statement, error)
}

// Config of a Keeper.
type Config struct {
	Channel, Self string // Self is this member's MSP id
	Chain         Chain
	Registry      Registry
	Exchange      Exchange
	Signer        func() (id string, sign func(message []byte) []byte) // this member's present signing key
	File          string                                               // where statements are kept; "" nowhere
	Now           func() time.Time                                     // default time.Now
	Log           *slog.Logger                                         // default slog.Default()
}

// Verdict is what a statement comes to beside the own peer's chain.
type Verdict string

// The verdicts.
const (
	Agrees Verdict = "agrees" // the own peer has the block
	Ahead  Verdict = "ahead"  // it hasn't, and may yet
	Behind Verdict = "behind" // it hasn't had it for longer than Patience: the own peer lags, or is kept in the dark
	Fork   Verdict = "fork"   // it has another block of that number
)

// Seen is a member's newest statement, and what it comes to.
type Seen struct {
	Statement
	Verdict Verdict   `json:"verdict"`
	Since   time.Time `json:"since"` // when it was first heard
}

// Keeper exchanges statements, keeps and compares them. It is safe for concurrent use.
type Keeper struct {
	Config
	mu   sync.Mutex
	seen map[string]Seen // by member
	own  uint64          // blocks on the own peer when it was last asked
}

// New makes a keeper that goes on with what is kept.
func New(c Config) (*Keeper, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	k := &Keeper{Config: c, seen: map[string]Seen{}}
	if c.File == "" {
		return k, nil
	}
	raw, err := os.ReadFile(c.File)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the heights kept: %w", err)
	}
	for _, line := range lines(raw) {
		var s Seen
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("reading the heights kept in %s: %w", c.File, err)
		}
		k.seen[s.Member] = s
	}
	return k, nil
}

// Keep exchanges statements until ctx ends.
func (k *Keeper) Keep(ctx context.Context) {
	ticker := time.NewTicker(Pace)
	defer ticker.Stop()
	for {
		if err := k.Round(ctx); err != nil && ctx.Err() == nil {
			k.Log.Warn("heights could not be exchanged with everybody", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Round tells everybody this member's height, takes what they say, and compares.
func (k *Keeper) Round(ctx context.Context) error {
	own, err := k.Own(ctx)
	if err != nil {
		return err
	}
	others, err := k.Registry.Others(ctx)
	if err != nil {
		return err
	}
	failures := make([]error, len(others))
	var all sync.WaitGroup
	for i, m := range others {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, Pace/2)
			defer cancel()
			heard, err := k.Exchange.Heights(ctx, m, own)
			if err != nil {
				failures[i] = fmt.Errorf("%s: %w", m.MSP, err)
				return
			}
			for _, s := range heard {
				if err := k.Take(ctx, s); err != nil {
					failures[i] = errors.Join(failures[i], fmt.Errorf("what %s hands on of %s: %w", m.MSP, s.Member, err))
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errors.Join(failures...), k.compare(ctx))
}

// head is the own peer's, remembered for Take.
func (k *Keeper) head(ctx context.Context) (blocks uint64, hash [32]byte, err error) {
	if blocks, hash, err = k.Chain.Head(ctx); err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.own = blocks
	}
	return blocks, hash, err
}

// Own is this member's statement, now.
func (k *Keeper) Own(ctx context.Context) (Statement, error) {
	blocks, hash, err := k.head(ctx)
	if err != nil {
		return Statement{}, err
	}
	s := Statement{Channel: k.Channel, Member: k.Self, Blocks: blocks, Hash: hash, At: k.Now().UTC().Truncate(time.Second)}
	s.Sign(k.Signer())
	return s, nil
}

// ErrStatement is a statement that isn't one of a member of this channel.
var ErrStatement = errors.New("not a statement that this member can take")

// Take verifies and keeps a statement. The highest of each member is kept: one that falls
// behind its own word is told by it. A fork is kept for good.
func (k *Keeper) Take(ctx context.Context, s Statement) error {
	if s.Member == k.Self {
		return nil
	}
	if s.Channel != k.Channel {
		return fmt.Errorf("%w: it is of channel %q", ErrStatement, s.Channel)
	}
	if s.At.After(k.Now().Add(registry.MaxSkew * time.Second)) {
		return fmt.Errorf("%w: it is dated ahead of this member's clock", ErrStatement)
	}
	key, err := k.Registry.SigningKey(ctx, s.Member, s.Key)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrStatement, err)
	}
	if key.ID != s.Key || !key.ValidAt(record.At(s.At)) || !s.Verify(key.Public) {
		return fmt.Errorf("%w: it isn't signed by the key that the registry has of %s", ErrStatement, s.Member)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	before, ok := k.seen[s.Member]
	if ok && (before.Verdict == Fork || before.Blocks > s.Blocks || before.Blocks == s.Blocks && before.Hash == s.Hash && !s.At.After(before.At)) {
		return nil
	}
	now := Seen{Statement: s, Verdict: Ahead, Since: k.Now().UTC()}
	if ok && before.Verdict != Agrees && before.Blocks > k.own {
		now.Since = before.Since // still waiting for what was heard of then
	}
	k.seen[s.Member] = now
	return nil
}

// compare holds every statement against the own peer's chain.
func (k *Keeper) compare(ctx context.Context) error {
	blocks, _, err := k.head(ctx)
	if err != nil {
		return err
	}
	for _, s := range k.statements() {
		next := s
		switch {
		case s.Verdict == Fork || s.Verdict == Agrees:
			continue
		case s.Blocks > blocks:
			if next.Verdict = Ahead; k.Now().Sub(s.Since) > Patience {
				next.Verdict = Behind
			}
		default:
			hash, err := k.Chain.HashOf(ctx, s.Last())
			if err != nil {
				return err
			}
			if next.Verdict = Agrees; hash != s.Hash {
				next.Verdict = Fork
			}
		}
		k.settle(s, next)
	}
	return k.save()
}

func (k *Keeper) settle(before, next Seen) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.seen[next.Member]; now.Blocks != before.Blocks || now.Hash != before.Hash {
		return // a newer one has come meanwhile
	}
	k.seen[next.Member] = next
	if next.Verdict == before.Verdict {
		return
	}
	switch next.Verdict {
	case Fork:
		k.Log.Error("another member has signed another chain", "member", next.Member, "block", next.Last())
	case Behind:
		k.Log.Error("another member has blocks that the own peer doesn't get", "member", next.Member, "blocks", next.Blocks)
	}
}

func (k *Keeper) statements() []Seen {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]Seen, 0, len(k.seen))
	for _, member := range slices.Sorted(maps.Keys(k.seen)) {
		out = append(out, k.seen[member])
	}
	return out
}

// All are this member's own statement, now, and the others' newest, by member.
func (k *Keeper) All(ctx context.Context) (own Statement, others []Seen, err error) {
	if own, err = k.Own(ctx); err != nil {
		return own, nil, err
	}
	if err := k.compare(ctx); err != nil {
		return own, nil, err
	}
	return own, k.statements(), nil
}

func (k *Keeper) save() error {
	if k.File == "" {
		return nil
	}
	var out bytes.Buffer
	for _, s := range k.statements() {
		if err := json.NewEncoder(&out).Encode(s); err != nil {
			return err
		}
	}
	if err := renameio.WriteFile(k.File, out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("keeping the heights: %w", err)
	}
	return nil
}

// lines are the numbered lines of a text that aren't empty.
func lines(raw []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		n := 0
		for line := range strings.Lines(string(raw)) {
			if strings.TrimSpace(line) != "" && !yield(n, []byte(line)) {
				return
			}
			n++
		}
	}
}
