package share

import (
	"context"
	"errors"
	"fmt"
	"time"

	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/seal"
)

// SigningKey is the public key of an id by which the registry knows a member's signatures,
// or knew them.
func (g *Gateway) SigningKey(ctx context.Context, msp, id string) (registry.Key, error) {
	entry, err := g.members.withKeys(ctx, msp)
	if err != nil {
		return registry.Key{}, err
	}
	key, ok := entry.Keys.SigningKey(id)
	if ok {
		return key, nil
	}
	if entry, err = g.members.fresh(ctx, msp); err != nil { // it may have been registered a moment ago
		return registry.Key{}, err
	}
	if key, ok = entry.Keys.SigningKey(id); !ok {
		return registry.Key{}, fmt.Errorf("the registry has no signing key %q of %s", id, msp)
	}
	return key, nil
}

// keyPatience is how long this member's own peer may not have heard of a key that another
// member signs with.
const keyPatience = 3 * time.Second

// signedBy finds the key that a custodian signed with just now. One that the registry
// doesn't know in time is answered with the present one, by which the signature is none.
func (g *Gateway) signedBy(ctx context.Context, msp, id string) (seal.VerifyingKey, error) {
	entry, err := g.members.withKeys(ctx, msp)
	if err != nil {
		return seal.VerifyingKey{}, err
	}
	key, ok := entry.Keys.SigningKey(id)
	if !ok {
		err = g.awaitFor(ctx, keyPatience, func(ctx context.Context) (done bool, err error) {
			entry, err = g.members.fresh(ctx, msp)
			key, ok = entry.Keys.SigningKey(id)
			return ok, err
		})
		if errors.Is(err, errBehind) {
			key, err = entry.Keys.Signing, nil
		}
		if err != nil {
			return seal.VerifyingKey{}, err
		}
	}
	// No proof of anything, where the key was replaced while the parts were on their way:
	// the next release is signed by the new one.
	if now := g.now(); !key.ValidAt(now) {
		return seal.VerifyingKey{}, refusal.New(OldKey, fmt.Sprintf("%s signed with key %s, which was good until %s", msp, key.ID, key.Until),
			"the same call again: it is signed anew")
	}
	public, err := seal.ParseVerifyingKey(key.Public)
	if err != nil {
		return seal.VerifyingKey{}, fmt.Errorf("the registered key of %s: %w", msp, err)
	}
	return public, nil
}

// OldKey is the refusal of what was signed by a key that isn't good any more.
const OldKey refusal.Code = "old-key"
