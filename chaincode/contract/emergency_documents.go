package contract

import "yitong/chaincode/access"

// EmergenciesQuery asks what break-glass a member has open.
type EmergenciesQuery struct {
	Requester string `json:"requester"`
}

// EmergencyList is what a member has open, as far as the caller may see it, oldest first.
type EmergencyList struct {
	Requester string                 `json:"requester"`
	Open      []access.OpenEmergency `json:"open"`
}

// ReviewPage is one page of reviews, by custodian, requester and id.
type ReviewPage struct {
	Reviews  []access.Review `json:"reviews"`
	Bookmark string          `json:"bookmark,omitempty"`
}
