package share

import (
	"context"

	"yitong/gateway/seal"
)

// Buckets are the buckets of the key store that this package writes to.
var Buckets = []string{
	bucketSecrets, bucketRetired, bucketRecords, bucketPartKeys, bucketPatients, bucketHandles,
	bucketConsents, bucketReleases, bucketReceipts, bucketClaims, bucketSigners,
	bucketUsers, bucketBroken, bucketNotes,
	bucketLodgings, bucketKept, bucketEscrowIndex,
	bucketErasures, bucketReceivers, bucketOpened, bucketWarned, bucketCopies, bucketUploads, bucketStaged,
}

// Where the secrets lie that a lying custodian would use.
const (
	BucketSecrets  = bucketSecrets
	BucketRetired  = bucketRetired
	BucketPartKeys = bucketPartKeys
	BucketConsents = bucketConsents
	BucketReleases = bucketReleases
	BucketClaims   = bucketClaims
	BucketCopies   = bucketCopies

	BucketLodgings    = bucketLodgings
	BucketKept        = bucketKept
	BucketEscrowIndex = bucketEscrowIndex
)

// RecoveryPlace is what recovered shares are encrypted for.
var RecoveryPlace = recoveryPlace

// ForgetEscrow is what an erasure calls.
func (g *Gateway) ForgetEscrow(ctx context.Context, recordID string, parts []int) error {
	return g.forgetEscrow(ctx, recordID, parts)
}

// Interrupt cuts erasures short: f is asked before and after each step.
func (g *Gateway) Interrupt(f func(at string) error) { g.interrupt = f }

// ObjectOf names a part's key in the store.
var ObjectOf = object

// Recipient is the key that shares and part keys are wrapped to.
func (g *Gateway) Recipient(ctx context.Context, msp string) (seal.PublicKey, error) {
	return g.recipient(ctx, msp)
}

// EndPermit is what a refusal or the end of a permit does.
func (g *Gateway) EndPermit(ctx context.Context, custodian, id string) error {
	return g.endPermit(ctx, custodian, id)
}
