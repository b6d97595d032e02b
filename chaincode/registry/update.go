package registry

import "yitong/chaincode/refusal"

// Update is what a member may change of itself; nil leaves a thing as it is.
type Update struct {
	Gateway *string `json:"gateway,omitempty"`
	Keys    *Keys   `json:"keys,omitempty"`
	Policy  *Policy `json:"policy,omitempty"` // as a whole
}

// Apply returns the member and the keys after u, and which of the two differ from
// before. It refuses an empty or malformed update: code malformed.
func (u Update) Apply(m Member, k Keys) (Member, Keys, Changes, error) {
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
	if u.Keys != nil {
		if err := u.Keys.Check(); err != nil {
			return m, k, Changes{}, err
		}
		changed.Keys = !k.equal(*u.Keys)
		k = *u.Keys
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

// Changes says which of the two documents of a member an update has changed.
type Changes struct{ Member, Keys bool }
