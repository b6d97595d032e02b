package registry

import "yitong/chaincode/refusal"

// The codes of this package's own refusals.
const (
	NotEntitled refusal.Code = "not-entitled" // the accused has no vote in its own case
	MinuteOpen  refusal.Code = "minute-open"  // the minute, or the skew after it, is not over
	KeySpent    refusal.Code = "key-spent"    // the key was in force once and was replaced
)
