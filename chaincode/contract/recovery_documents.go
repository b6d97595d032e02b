package contract

import "yitong/chaincode/access"

// Recovering recovers one break-glass permit. The caller is a regulator.
type Recovering struct {
	Permit    string `json:"permit"` // id of the request
	Custodian string `json:"custodian"`
	Requester string `json:"requester"`
	Manifest  string `json:"manifest"` // 64 hex digits: salted digest
}

// RecoveryQuery asks for one recovery.
type RecoveryQuery struct {
	Permit    string `json:"permit"`
	Custodian string `json:"custodian"`
	Requester string `json:"requester"`
}

// RecoveryEntry is a recovery with the permit that it rests on, and that one's review
// where there is one.
type RecoveryEntry struct {
	Recovery access.Recovery `json:"recovery"`
	Access   access.Access   `json:"access"`
	Review   *access.Review  `json:"review,omitempty"`
}
