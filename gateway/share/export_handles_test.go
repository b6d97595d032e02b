package share

import (
	"context"
	"strconv"
)

func init() {
	Buckets = append(Buckets, bucketAbout, bucketNamed, bucketNames, bucketEvaluate, bucketWhose, bucketQuota, bucketTallies)
}

// HandleBetween is what every use case finds a patient's handle by.
func (g *Gateway) HandleBetween(ctx context.Context, custodian, requester string, p Patient) (string, error) {
	return g.handleBetween(ctx, custodian, requester, p)
}

// DestroyEnded is what KeepHandles does once an epoch is over.
func (g *Gateway) DestroyEnded(ctx context.Context) error {
	all, err := g.Epochs(ctx)
	if err != nil {
		return err
	}
	return g.destroyEnded(all)
}

// HasEvaluatorKey says whether the key store has the secret of an epoch's key.
func (g *Gateway) HasEvaluatorKey(n int) bool {
	kept, _, err := load[evaluatorKey](g.Keys, bucketEvaluate, strconv.Itoa(n))
	return err != nil || len(kept.Secret) > 0
}

// BucketHandles and BucketWhose hold the handles a party has derived.
const (
	BucketHandles  = bucketHandles
	BucketWhose    = bucketWhose
	BucketEvaluate = bucketEvaluate
)
