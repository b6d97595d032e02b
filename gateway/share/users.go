package share

import (
	"context"
	"encoding/json"
	"fmt"

	"yitong/chaincode/access"
	"yitong/gateway/keys"
)

// Person is somebody of this member who acts through its gateway, as the person's
// certificate says. The zero Person is nobody: the member's own software.
type Person struct {
	Name string      // common name of the certificate
	Role access.Role //
}

// acting is who is behind an access. The ledger has a salted digest of the user; a
// regulator may order to see it.
type acting struct {
	Access string `json:"access"` // id
	User   user   `json:"user"`
}

// user is what the digest is taken over, as JSON in this order.
type user struct {
	Name   string      `json:"user"`
	Role   access.Role `json:"role"`
	Member string      `json:"member"` // MSP id of the gateway that vouches for name and role
}

func (u user) content() ([]byte, error) { return json.Marshal(u) }

// keepUser keeps who is behind an access and returns the digest that stands for it; ""
// for nobody. It is kept by its digest, as a claim's reference is, and those of requests
// at the same time share one write of the key store.
func (g *Gateway) keepUser(ctx context.Context, id string, p Person) (digest string, err error) {
	if p == (Person{}) {
		return "", nil
	}
	if err := access.CheckID(id); err != nil {
		return "", err
	}
	return g.naming.do(ctx, acting{id, user{p.Name, p.Role, g.Self.MSP}})
}

func (g *Gateway) keepUsers(_ context.Context, all []acting) []outcome[string] {
	results := make([]outcome[string], len(all))
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for i, a := range all {
			content, err := a.User.content()
			if err != nil {
				return err
			}
			results[i].value = g.salted(saltedUser, a.Access, content)
			if err := save(tx, bucketUsers, results[i].value, a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for i := range results {
			results[i].err = fmt.Errorf("keeping who asks: %w", err)
		}
	}
	return results
}
