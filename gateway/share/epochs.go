package share

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/epoch"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/handle"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
)

// almanac is the epochs of the evaluators' keys as the own peer last told them.
type almanac struct {
	mu    sync.Mutex
	known contract.Epochs
	asked time.Time
}

// Epochs reads which epochs are open, and what is announced for the next one.
func (g *Gateway) Epochs(ctx context.Context) (contract.Epochs, error) {
	g.almanac.mu.Lock()
	defer g.almanac.mu.Unlock()
	return g.readEpochs(ctx)
}

// epochs is what Epochs read lately: the ledger itself looks in every transaction.
func (g *Gateway) epochs(ctx context.Context) (contract.Epochs, error) {
	g.almanac.mu.Lock()
	defer g.almanac.mu.Unlock()
	if g.almanac.known.Latest > 0 && g.Now().Sub(g.almanac.asked) < freshFor {
		return g.almanac.known, nil
	}
	return g.readEpochs(ctx)
}

func (g *Gateway) readEpochs(ctx context.Context) (contract.Epochs, error) {
	var out contract.Epochs
	if err := g.Ledger.Evaluate(ctx, contract.HandleEpochs, contract.Nothing{}, &out, ledger.OwnPeerOnly()); err != nil {
		return out, fmt.Errorf("reading the epochs of the evaluators' keys: %w", err)
	}
	g.almanac.known, g.almanac.asked = out, g.Now()
	return out, nil
}

// once marks a context in which a use case was begun anew.
type once struct{}

// outdated says whether the ledger refused a handle because another epoch has opened, or
// the consents were carried, since this gateway looked last; it looks again. The context is
// for doing the whole once more, and no more often.
func (g *Gateway) outdated(ctx context.Context, err error) (context.Context, bool) {
	if ctx.Value(once{}) != nil || !refusedWith(err, epoch.CarriedAway) && !refusedWith(err, epoch.Ended) {
		return ctx, false
	}
	_, rerr := g.Epochs(ctx)
	return context.WithValue(ctx, once{}, true), rerr == nil
}

// open finds an epoch that is open, by its number.
func open(all contract.Epochs, n int, at record.Instant) (epoch.Epoch, bool) {
	if _, ok := all.Open(n, at); !ok {
		return epoch.Epoch{}, false
	}
	i := slices.IndexFunc(all.Epochs, func(e epoch.Epoch) bool { return e.Number == n })
	if i < 0 {
		return epoch.Epoch{}, false
	}
	return all.Epochs[i], true
}

// openEpochs are the numbers of the epochs that are open, the newest first.
func openEpochs(all contract.Epochs, at record.Instant) []int {
	open := []int{all.Latest}
	for _, e := range all.Earlier {
		if at < e.Ends {
			open = append(open, e.Number)
		}
	}
	return open
}

// Roll announces this member's key for the next epoch, and how long the present one is to
// go on for. The next one opens when every evaluator has announced. evaluators are the
// names or MSP ids of who is to evaluate from then on; none: who does now.
//
// The key is in the key store before the ledger hears of it, and the same for every
// announcement of one epoch.
func (g *Gateway) Roll(ctx context.Context, overlap time.Duration, evaluators []string) (contract.Announced, ledger.Commit, error) {
	var out contract.Announced
	now, err := g.Epochs(ctx)
	if err != nil {
		return out, ledger.Commit{}, err
	}
	draft := epoch.Draft{Epoch: now.Latest + 1, Overlap: int64(overlap / time.Second)}
	for _, name := range evaluators {
		m, err := g.members.named(ctx, name)
		if err != nil {
			return out, ledger.Commit{}, err
		}
		draft.Members = append(draft.Members, m.MSP)
	}
	slices.Sort(draft.Members)
	var key handle.PrivateKey
	err = g.Keys.Update(func(tx *keys.Tx) (err error) {
		key, err = g.eval.make(tx, draft.Epoch)
		return err
	})
	if err != nil {
		return out, ledger.Commit{}, fmt.Errorf("making the key of epoch %d: %w", draft.Epoch, err)
	}
	if key.IsZero() {
		return out, ledger.Commit{}, refusal.New(refusal.WrongState, fmt.Sprintf("this gateway has destroyed its key of epoch %d", draft.Epoch), "a key store that isn't newer than the ledger")
	}
	g.eval.set(draft.Epoch, key)
	draft.Key = *registeredKey(key)
	commit, err := g.Ledger.Submit(ctx, contract.HandleAnnounce, draft, &out)
	if err != nil {
		return out, commit, fmt.Errorf("announcing the key of epoch %d: %w", draft.Epoch, err)
	}
	_, err = g.Epochs(ctx)
	return out, commit, err
}

// Evaluations lists what evaluators accounted for on the ledger: by one evaluator (name or
// MSP id) for one member, "" meaning any.
func (g *Gateway) Evaluations(ctx context.Context, evaluator, member string) ([]contract.EvaluationTally, error) {
	in := contract.EvaluationsQuery{Size: contract.MaxPage}
	for side, name := range map[*string]string{&in.Evaluator: evaluator, &in.Member: member} {
		if name == "" {
			continue
		}
		m, err := g.members.named(ctx, name)
		if err != nil {
			return nil, err
		}
		*side = m.MSP
	}
	member, of := in.Member, ""
	if in.Evaluator == "" { // the ledger's keys begin with the evaluator
		in.Member, of = "", member
	}
	var all []contract.EvaluationTally
	for {
		var out contract.EvaluationPage
		if err := g.Ledger.Evaluate(ctx, contract.HandleEvaluations, in, &out); err != nil {
			return nil, fmt.Errorf("reading the evaluators' accounts: %w", err)
		}
		for _, t := range out.Tallies {
			if of == "" || t.Member == of {
				all = append(all, t)
			}
		}
		if in.Bookmark = out.Bookmark; in.Bookmark == "" {
			return all, nil
		}
	}
}
