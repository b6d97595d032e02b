package share

// Buckets are the buckets of the key store that this package writes to.
var Buckets = []string{
	bucketSecrets, bucketRetired, bucketRecords, bucketPartKeys, bucketPatients, bucketHandles,
	bucketConsents, bucketReleases, bucketReceipts, bucketClaims, bucketSigners,
	bucketUsers, bucketBroken, bucketNotes,
}

// Where the secrets lie that a lying custodian would use.
const (
	BucketSecrets  = bucketSecrets
	BucketRetired  = bucketRetired
	BucketPartKeys = bucketPartKeys
	BucketConsents = bucketConsents
	BucketReleases = bucketReleases
	BucketClaims   = bucketClaims
)
