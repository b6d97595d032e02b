package share

import (
	"context"
	"fmt"

	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
	"yitong/gateway/keys"
)

// claimed is the reference that this member gave for a claim. The ledger has a salted
// digest of it; a regulator may order to see it.
type claimed struct {
	Access    string `json:"access"` // id
	Reference string `json:"reference"`
}

// maxReference is the longest reference of a claim, in bytes.
const maxReference = 1 << 10

// keepClaim keeps a reference and returns the digest that stands for it. It is kept by
// its digest, so that a request that the ledger refuses never takes the place of the one
// that it took. Requests at the same time share one write of the key store.
func (g *Gateway) keepClaim(ctx context.Context, id, reference string) (digest string, err error) {
	if err := access.CheckID(id); err != nil {
		return "", err
	}
	if len(reference) > maxReference {
		return "", refusal.New(refusal.Malformed, "the claim reference is too long", fmt.Sprintf("at most %d bytes", maxReference))
	}
	return g.keeping.do(ctx, claimed{id, reference})
}

func (g *Gateway) keepClaims(_ context.Context, claims []claimed) []outcome[string] {
	results := make([]outcome[string], len(claims))
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for i, c := range claims {
			results[i].value = g.salted(saltedClaim, c.Access, []byte(c.Reference))
			if err := save(tx, bucketClaims, results[i].value, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for i := range results {
			results[i].err = fmt.Errorf("keeping the claim reference: %w", err)
		}
	}
	return results
}
