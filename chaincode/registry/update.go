package registry

import (
	"fmt"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// Update is what a member may change of itself; nil leaves a thing as it is.
type Update struct {
	Gateway *string `json:"gateway,omitempty"`
	Keys    *Keys   `json:"keys,omitempty"`
	Policy  *Policy `json:"policy,omitempty"` // as a whole
	// Grace is how long the keys replaced are good for still, in seconds: DefaultGrace if
	// nil, 0 for a key that was stolen. Only with Keys.
	Grace *int64 `json:"grace,omitempty"`
}

// Apply returns the member and the keys after u at the instant given, and which of the two
// differ from before. spent says which of u's keys were replaced once. It refuses an empty
// or malformed update (malformed), a key that was replaced before (key-spent) and more
// changes than can be remembered (too-large).
func (u Update) Apply(m Member, k Keys, spent Spent, at record.Instant) (Member, Keys, Changes, error) {
	if u.Gateway == nil && u.Keys == nil && u.Policy == nil {
		return m, k, Changes{}, refusal.New(refusal.Malformed, "nothing to update", "gateway, keys or policy")
	}
	var changed Changes
	if u.Gateway != nil {
		if err := CheckGateway(*u.Gateway); err != nil {
			return m, k, Changes{}, err
		}
		changed.Member = m.Gateway != *u.Gateway
		m.Gateway = *u.Gateway
	}
	grace := int64(DefaultGrace)
	if u.Grace != nil {
		grace = *u.Grace
	}
	if grace < 0 || grace > MaxGrace || u.Grace != nil && u.Keys == nil {
		return m, k, Changes{}, refusal.New(refusal.Malformed, "that is no grace for keys", fmt.Sprintf("0 to %d seconds, with new keys", MaxGrace))
	}
	if u.Keys != nil {
		if err := u.Keys.Check(); err != nil {
			return m, k, Changes{}, err
		}
		next, err := k.replaced(*u.Keys, spent, grace, at)
		if err != nil {
			return m, k, Changes{}, err
		}
		changed.HPKE, changed.Signing = !k.HPKE.same(next.HPKE), !k.Signing.same(next.Signing)
		k = next
	}
	if u.Policy != nil {
		if err := u.Policy.Check(); err != nil {
			return m, k, Changes{}, err
		}
		changed.Member = changed.Member || !m.Policy.Equal(*u.Policy)
		m.Policy = *u.Policy
	}
	return m, k, changed, nil
}

// Changes says what of a member an update has changed.
type Changes struct{ Member, HPKE, Signing bool }

// Keys says whether any of the keys has changed.
func (c Changes) Keys() bool { return c.HPKE || c.Signing }
