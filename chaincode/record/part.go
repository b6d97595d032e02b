package record

import (
	"fmt"

	"yitong/chaincode/refusal"
)

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

// MaxMediaType bounds a part's media type (RFC 6838 section 4.2 allows 127 characters a name).
const MaxMediaType = 127

// Validate refuses a part that breaks its schema. Whoever reads a part from elsewhere calls it
// before Leaf: Leaf's encoding is unambiguous for valid parts only. The error is a *refusal.Refusal.
func (p Part) Validate() error {
	switch {
	case p.Index < 0 || p.Index >= MaxParts:
		return refusal.New(refusal.Malformed, fmt.Sprintf("part index %d", p.Index), fmt.Sprintf("0 to %d", MaxParts-1))
	case p.Class.String() == "":
		return refusal.New(refusal.Malformed, "a part without a data class", "one of "+classes.Known())
	case !p.Labels.Without(AllLabels).Empty():
		return refusal.New(refusal.Malformed, "a part with an unknown sensitivity label", "any of "+labels.Known())
	case len(p.MediaType) > MaxMediaType || !isGraphic(p.MediaType):
		return refusal.New(refusal.Malformed, "a part's media type isn't one", fmt.Sprintf("at most %d graphic ASCII characters and blanks", MaxMediaType))
	case !p.Period.Valid():
		return refusal.New(refusal.Malformed, "a part's data period doesn't start before its end", "start < end; leave a side out for no bound")
	case p.SealedSize < 1 || p.SealedSize > MaxBytes:
		return refusal.New(refusal.Malformed, fmt.Sprintf("a part of %d sealed bytes", p.SealedSize), fmt.Sprintf("1 to %d bytes", int64(MaxBytes)))
	case p.SealedDigest.IsZero() || p.KeyCommitment.IsZero() || p.Salt.IsZero():
		return refusal.New(refusal.Malformed, "a part without digest, key commitment or salt", "all three")
	}
	return nil
}

// isGraphic reports ASCII from blank to tilde.
func isGraphic(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
