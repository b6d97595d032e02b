package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/epoch"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/handle"
	"yitong/gateway/keys"
)

// evaluating is what this member evaluates with: a key for each epoch that it is an
// evaluator of.
type evaluating struct {
	mu   sync.RWMutex
	keys map[int]handle.PrivateKey // by epoch
}

// evaluatorKey is a key in the key store. Without a secret it was destroyed when its epoch
// had ended; it is never made again.
type evaluatorKey struct {
	Secret []byte `json:"secret,omitempty"`
}

// load reads the keys from the store. An evaluator of the founding gets the first one.
func (e *evaluating) load(tx *keys.Tx, founding bool) error {
	if founding {
		if _, err := e.make(tx, 1); err != nil {
			return err
		}
	}
	all := map[int]handle.PrivateKey{}
	for entry, err := range tx.List(bucketEvaluate) {
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(entry.Name)
		var kept evaluatorKey
		if err = errors.Join(err, json.Unmarshal(entry.Value, &kept)); err != nil {
			return fmt.Errorf("reading an evaluator's key: %w", err)
		}
		if len(kept.Secret) == 0 {
			continue
		}
		if all[n], err = handle.ParsePrivateKey(kept.Secret); err != nil {
			return fmt.Errorf("reading the evaluator's key of epoch %d: %w", n, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys = all
	return nil
}

// make returns the key of an epoch from the store, made there if there never was one: none
// where it was destroyed.
func (e *evaluating) make(tx *keys.Tx, n int) (k handle.PrivateKey, err error) {
	name := strconv.Itoa(n)
	kept, known, err := load[evaluatorKey](tx, bucketEvaluate, name)
	switch {
	case err != nil:
		return k, err
	case known && len(kept.Secret) > 0:
		return handle.ParsePrivateKey(kept.Secret)
	case known:
		return k, nil
	}
	if k, err = handle.NewKey(); err != nil {
		return k, err
	}
	return k, save(tx, bucketEvaluate, name, evaluatorKey{k.Bytes()})
}

// key is the key of an epoch, if this member has one.
func (e *evaluating) key(n int) (handle.PrivateKey, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	k, ok := e.keys[n]
	return k, ok
}

func (e *evaluating) set(n int, k handle.PrivateKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys[n] = k
}

// registeredKey is a key as the ledger is told of it.
func registeredKey(k handle.PrivateKey) *registry.Key {
	p := k.Public()
	return &registry.Key{ID: p.ID(), Public: p.Bytes()}
}

// EvaluateFor evaluates blinded identifiers for a member, as one of the evaluators. It
// learns who asks, about which relationship, and how often; never whom.
//
// It refuses a caller that isn't one of the two (not-requester), two between which there is
// no access (kind-not-allowed, not-found), a suspended one (member-suspended), an epoch that
// isn't open (epoch-ended, epoch-unknown) or that this member doesn't evaluate in
// (not-evaluator), what is no batch of elements (malformed), and, as an *Exceeded, what is
// over the caller's quota.
func (g *Gateway) EvaluateFor(ctx context.Context, caller string, r handle.Relation, blinded [][]byte) (handle.Evaluation, error) {
	if caller != r.Custodian && caller != r.Requester {
		return handle.Evaluation{}, refusal.New(refusal.NotRequester, "this relationship is of "+r.Custodian+" and "+r.Requester, "evaluations for a relationship of one's own")
	}
	if err := g.related(ctx, r.Custodian, r.Requester); err != nil {
		return handle.Evaluation{}, err
	}
	if len(blinded) < 1 || len(blinded) > handle.MaxBatch || r.Channel != g.Channel {
		return handle.Evaluation{}, refusal.New(refusal.Malformed, "that can't be evaluated", fmt.Sprintf("1 to %d blinded elements, for channel %s", handle.MaxBatch, g.Channel))
	}
	key, err := g.evaluatorKeyOf(ctx, r.Epoch)
	if err != nil {
		return handle.Evaluation{}, err
	}
	if err := g.charge(caller, len(blinded)); err != nil {
		return handle.Evaluation{}, err
	}
	done, err := key.Evaluate(r, blinded)
	if errors.Is(err, handle.ErrElement) {
		err = refusal.New(refusal.Malformed, "what was sent is not blinded", "elements of ristretto255, 32 bytes each")
	}
	return done, err
}

// evaluatorKeyOf is this member's key of an epoch that is open.
func (g *Gateway) evaluatorKeyOf(ctx context.Context, n int) (handle.PrivateKey, error) {
	all, err := g.epochs(ctx)
	if err == nil && n > all.Latest { // the caller's peer may be ahead
		all, err = g.Epochs(ctx)
	}
	if err != nil {
		return handle.PrivateKey{}, err
	}
	if err := all.Check(access.Handle(n, strings.Repeat("0", 64)), g.now()); err != nil {
		return handle.PrivateKey{}, err
	}
	e, _ := open(all, n, g.now())
	key, ok := g.eval.key(n)
	if !e.Evaluates(g.Self.MSP) || !ok {
		return key, refusal.New(epoch.NotEvaluator, fmt.Sprintf("%s doesn't evaluate in epoch %d", g.Self.Name, n), "asking "+strings.Join(e.MSPs(), " and "))
	}
	return key, nil
}

// related refuses two members between which no access is possible.
func (g *Gateway) related(ctx context.Context, custodian, requester string) error {
	c, err := g.members.byMSP(ctx, custodian)
	if err != nil {
		return err
	}
	r, err := g.members.byMSP(ctx, requester)
	if err != nil {
		return err
	}
	for _, m := range []registry.Member{c, r} {
		if !m.Active() {
			return refusal.New(refusal.MemberSuspended, m.Name+" is suspended", "an active member")
		}
	}
	return access.MayAsk(&r, c)
}

// tallied is how often this member evaluated for another on one day.
type tallied struct {
	Member    string `json:"member"`
	Day       string `json:"day"` // YYYY-MM-DD, UTC
	Count     int64  `json:"count"`
	Accounted int64  `json:"accounted"` // of them, on the ledger
}

// charge counts evaluations and takes them off the member's quota, which the own member
// has none of.
func (g *Gateway) charge(member string, n int) error {
	now := g.now()
	day := g.Now().UTC().Format(time.DateOnly)
	return g.Keys.Update(func(tx *keys.Tx) error {
		if member != g.Self.MSP {
			left, _, err := load[allowance](tx, bucketQuota, member)
			if err != nil {
				return err
			}
			next, wait := g.Quota.take(left, n, now)
			if wait > 0 {
				return exceeded(g.Quota, wait)
			}
			if err := save(tx, bucketQuota, member, next); err != nil {
				return err
			}
		}
		t, _, err := load[tallied](tx, bucketTallies, day+"|"+member)
		if err != nil {
			return err
		}
		t.Member, t.Day = member, day
		t.Count += int64(n)
		return save(tx, bucketTallies, day+"|"+member, t)
	})
}

// keptTallies is how long tallies that are on the ledger stay in the key store.
const keptTallies = 40 * 24 * time.Hour

// Account puts on the ledger how often this member evaluated, as far as it isn't there.
func (g *Gateway) Account(ctx context.Context) error {
	all, err := g.Keys.List(bucketTallies)
	if err != nil {
		return fmt.Errorf("reading the evaluations: %w", err)
	}
	due := map[string][]tallied{}
	var old []string
	for name, raw := range all {
		var t tallied
		if err := json.Unmarshal(raw, &t); err != nil {
			return fmt.Errorf("reading the evaluations: %w", err)
		}
		switch day, _ := time.Parse(time.DateOnly, t.Day); {
		case g.Now().Sub(day) > keptTallies: // the ledger takes no account of so long ago
			old = append(old, name)
		case t.Count > t.Accounted:
			due[t.Day] = append(due[t.Day], t)
		}
	}
	for day, list := range due {
		for len(list) > 0 {
			n := min(len(list), contract.MaxBatch)
			if err := g.accountFor(ctx, day, list[:n]); err != nil {
				return err
			}
			list = list[n:]
		}
	}
	return g.Keys.Update(func(tx *keys.Tx) error {
		for _, name := range old {
			if err := tx.Delete(bucketTallies, name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (g *Gateway) accountFor(ctx context.Context, day string, list []tallied) error {
	in := contract.Accounting{Day: day}
	for _, t := range list {
		in.Counts = append(in.Counts, contract.Evaluations{Member: t.Member, Count: t.Count})
	}
	var out contract.Accounted
	if _, err := g.Ledger.Submit(ctx, contract.HandleAccount, in, &out); err != nil {
		return fmt.Errorf("accounting for the evaluations of %s: %w", day, err)
	}
	return g.Keys.Update(func(tx *keys.Tx) error {
		for _, was := range list {
			name := day + "|" + was.Member
			t, ok, err := load[tallied](tx, bucketTallies, name)
			if err != nil || !ok {
				return err
			}
			t.Accounted = was.Count
			if err := save(tx, bucketTallies, name, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// destroyEnded destroys this member's keys of epochs that are over: what they could have
// given away, they can't any more.
func (g *Gateway) destroyEnded(all contract.Epochs) error {
	g.eval.mu.Lock()
	defer g.eval.mu.Unlock()
	for n := range g.eval.keys {
		if _, ok := all.Open(n, g.now()); ok || n > all.Latest {
			continue
		}
		err := g.Keys.Update(func(tx *keys.Tx) error { return save(tx, bucketEvaluate, strconv.Itoa(n), evaluatorKey{}) })
		if err != nil {
			return fmt.Errorf("destroying the evaluator's key of epoch %d: %w", n, err)
		}
		if err := g.Keys.Scrub(); err != nil { // replaced, it still lies in the file
			return fmt.Errorf("destroying the evaluator's key of epoch %d: %w", n, err)
		}
		delete(g.eval.keys, n)
		g.Log.Info("destroyed the evaluator's key of an epoch that is over", "epoch", n)
	}
	return nil
}
