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

// By says who a call is by, for what it puts on the ledger.
func By(ctx context.Context, p Person) context.Context {
	return context.WithValue(ctx, personKey{}, p)
}

type personKey struct{}

// From says which caller of this member's a call is from, as its door tells them apart, software
// too. What a caller has begun and not finished is the caller's own.
func From(ctx context.Context, subject string) context.Context {
	return context.WithValue(ctx, subjectKey{}, subject)
}

type subjectKey struct{}

func subjectOf(ctx context.Context) string {
	subject, _ := ctx.Value(subjectKey{}).(string)
	return subject
}

// Under says which id a call is known by from its first attempt on (32 hex digits). What a use
// case names by itself follows from it, so that a later attempt says the same.
func Under(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, idKey{}, id)
}

type idKey struct{}

// chosenID is the id that a call is known by; a new one where nobody chose any.
func chosenID(ctx context.Context) string {
	if id, ok := ctx.Value(idKey{}).(string); ok {
		return id
	}
	return NewID()
}

// What persons do, as it follows an id in the name of a digest. The same by the same
// person is the same digest, so that a retry says what was said.
const (
	doneOpening    = "/opened" // of an access
	doneReviewing  = "/reviewed"
	doneResolving  = "/resolved"
	doneAnchoring  = "/anchored" // of a record
	doneRetracting = "/retracted"
	doneErasing    = "/erased"
	doneAttesting  = "/attested/" // of a consent, and the version
	doneWithdrawal = "/withdrawn"
	doneHolding    = "/held" // a record
	doneLifting    = "/lifted"
	doneAcking     = "/acknowledged" // a record's erasure
	doneOrdering   = "/ordered"      // an order to disclose
	doneAnswering  = "/answered"
	doneConcluding = "/concluded"
	doneMoving     = "/moved"     // a motion
	doneUpdating   = "/updated"   // this member's entry in the registry
	doneReplacing  = "/recovered" // a patient's key
)

// actor is the person behind a call, kept as keepUser does; nobody where the member's own
// software calls.
func (g *Gateway) actor(ctx context.Context, id, what string) (access.Actor, error) {
	p, _ := ctx.Value(personKey{}).(Person)
	digest, err := g.keepUser(ctx, id, what, p)
	return access.Actor{User: digest, Role: p.Role}, err
}

// acting is who is behind something on the ledger. The ledger has a salted digest of the user; a
// regulator may order to see it.
type acting struct {
	About string `json:"about"` // id of the access, or id/opened, …
	User  user   `json:"user"`
}

// user is what the digest is taken over, as JSON in this order.
type user struct {
	Name   string      `json:"user"`
	Role   access.Role `json:"role"`
	Member string      `json:"member"` // MSP id of the gateway that vouches for name and role
}

func (u user) content() ([]byte, error) { return json.Marshal(u) }

// idLength is that of an id: a longer one is cut where it only names a digest's salt.
const idLength = 32

// keepUser keeps who is behind an access, or what is done with it or something else, and returns the digest
// that stands for it; "" for nobody. It is kept by its digest, as a claim's reference is, and those of requests
// at the same time share one write of the key store.
func (g *Gateway) keepUser(ctx context.Context, id, what string, p Person) (digest string, err error) {
	if p == (Person{}) {
		return "", nil
	}
	if err := access.CheckID(id); err != nil {
		return "", err
	}
	return g.naming.do(ctx, acting{id + what, user{p.Name, p.Role, g.Self.MSP}})
}

func (g *Gateway) keepUsers(_ context.Context, all []acting) []outcome[string] {
	results := make([]outcome[string], len(all))
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for i, a := range all {
			content, err := a.User.content()
			if err != nil {
				return err
			}
			results[i].value = g.salted(saltedUser, a.About, content)
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
