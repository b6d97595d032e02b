package share

import (
	"context"
	"fmt"

	"yitong/chaincode/record"
	"yitong/gateway/keys"
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
	return g.endPermits(ctx, map[lookup]bool{{custodian: custodian, requester: g.Self.MSP, id: id}: true})
}

// Catalogue enters n records, of one part each, of which nothing else is there.
func (g *Gateway) Catalogue(n int) error {
	for at := 0; at < n; at += 10_000 {
		err := g.Keys.Update(func(tx *keys.Tx) error {
			for i := at; i < min(at+10_000, n); i++ {
				c := catalogued{Record: Record{ID: NewID(), Patient: Patient{"urn:x", fmt.Sprint(i)}, MediaType: "application/pdf", Status: record.Anchored, Submitted: record.Instant(i + 1)}}
				c.Parts = []Part{{Part: record.Part{Class: record.Laboratory, MediaType: "application/pdf", SealedSize: 1}, ContentSize: 1}}
				if err := save(tx, bucketRecords, c.ID, c); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
