package record

// Part is what a custodian keeps, and a manifest shows, about one sealed piece of a record.
type Part struct {
	Index         int    `json:"index"` // place in the record, from 0
	Class         Class  `json:"class"`
	MediaType     string `json:"mediaType"` // of the content, IANA, at most 127 bytes
	Labels        Labels `json:"labels,omitzero"`
	Period        Period `json:"period,omitzero"` // of the data; zero when unknown
	SealedSize    int64  `json:"sealedSize"`      // bytes
	SealedDigest  Hash   `json:"sealedDigest"`    // SHA-256 of the sealed bytes
	KeyCommitment Hash   `json:"keyCommitment"`
	Salt          Salt   `json:"salt"`
}
