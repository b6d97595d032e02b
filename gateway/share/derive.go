package share

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"yitong/chaincode/epoch"
	"yitong/gateway/handle"
	"yitong/gateway/identifier"
)

// insistence is how long an evaluator that doesn't answer is asked again.
const insistence = 2 * time.Second

// derive finds the handles of normalised patients in a relation, with every evaluator of
// its epoch: up to handle.MaxBatch of them, nothing cached.
func (g *Gateway) derive(ctx context.Context, e epoch.Epoch, r handle.Relation, patients []Patient) ([]string, error) {
	inputs := make([][]byte, len(patients))
	for i, p := range patients {
		inputs[i] = []byte(identifier.Identifier(p).String())
	}
	outputs := make([][]handle.Output, len(e.Evaluators))
	all, each := errgroup.WithContext(ctx)
	for i, v := range e.Evaluators {
		all.Go(func() (err error) {
			outputs[i], err = g.outputsOf(each, v, r, inputs)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	handles := make([]string, len(patients))
	for i := range patients {
		shares := make([]handle.Share, len(e.Evaluators))
		for j, v := range e.Evaluators {
			shares[j] = handle.Share{Evaluator: v.MSP, Output: outputs[j][i]}
		}
		var err error
		if handles[i], err = handle.Combine(r, shares); err != nil {
			return nil, err
		}
	}
	return handles, nil
}

// outputsOf is one evaluator's contribution, checked against its key on the ledger.
func (g *Gateway) outputsOf(ctx context.Context, v epoch.Evaluator, r handle.Relation, inputs [][]byte) ([]handle.Output, error) {
	member, err := g.members.byMSP(ctx, v.MSP)
	if err != nil {
		return nil, err
	}
	key, err := handle.ParsePublicKey(v.Key.Public)
	if err != nil {
		return nil, fmt.Errorf("the key of evaluator %s on the ledger: %w", member.Name, err)
	}
	blinding, err := handle.Blind(key, inputs)
	if err != nil {
		return nil, err
	}
	pace := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: 500 * time.Millisecond}
	answer, err := backoff.Retry(ctx, func() (handle.Evaluation, error) {
		var answer handle.Evaluation
		var err error
		if v.MSP == g.Self.MSP {
			answer, err = g.EvaluateFor(ctx, g.Self.MSP, r, blinding.Elements())
		} else {
			answer, err = g.Exchange.Evaluate(ctx, member, r, blinding.Elements())
		}
		if err != nil && !errors.Is(err, ErrUnavailable) {
			err = backoff.Permanent(err)
		}
		return answer, err
	}, backoff.WithBackOff(pace), backoff.WithMaxElapsedTime(insistence))
	switch {
	case errors.Is(err, ErrUnavailable):
		return nil, fmt.Errorf("%w: evaluator %s doesn't answer, and this patient was not seen before in this relationship; "+
			"patients seen before go on working, and this one will once %s is back", ErrUnavailable, member.Name, member.Name)
	case err != nil:
		return nil, fmt.Errorf("having the handle evaluated by %s: %w", member.Name, err)
	}
	outputs, err := blinding.Finalise(r, answer)
	if err != nil {
		return nil, fmt.Errorf("evaluator %s answered what can't be used, and nothing was derived from it; have the regulator look at it: %w", member.Name, err)
	}
	return outputs, nil
}
