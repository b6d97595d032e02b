package share

import (
	"context"
	"fmt"
	"slices"

	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/seal"
)

// KeySubstituted refuses to wrap keys to what the registry shows of a member, and the
// member doesn't know: somebody has put another key in its place.
const KeySubstituted refusal.Code = "key-substituted"

type recipientKey struct{}

// Expecting says of a call that asks for keys which HPKE keys the asking member has, by
// id. The registry alone would do, were it not that a majority which runs other chaincode
// can write what it likes there; what a member's gateway says over its own connection it can't.
func Expecting(ctx context.Context, ids []string) context.Context {
	return context.WithValue(ctx, recipientKey{}, ids)
}

// Expected are the ids that Expecting said; none where nothing was said.
func Expected(ctx context.Context) []string {
	ids, _ := ctx.Value(recipientKey{}).([]string)
	return ids
}

// recipient is the key that something for a member is wrapped to: the registry's, and,
// where the member says which are its own, one of these. Another is refused
// (key-substituted), and reported as what it is.
func (g *Gateway) recipient(ctx context.Context, msp string) (seal.PublicKey, error) {
	to, err := g.members.withKeys(ctx, msp)
	if err != nil {
		return seal.PublicKey{}, err
	}
	public, err := seal.ParsePublicKey(to.Keys.HPKE.Public)
	if err != nil {
		return seal.PublicKey{}, fmt.Errorf("the registered key of %s: %w", msp, err)
	}
	own := Expected(ctx)
	if len(own) == 0 || slices.Contains(own, public.ID()) {
		return public, nil
	}
	// What is known of the registry may be seconds old, and the key replaced since.
	if to, err = g.members.fresh(ctx, msp); err != nil {
		return seal.PublicKey{}, err
	}
	if public, err = seal.ParsePublicKey(to.Keys.HPKE.Public); err != nil {
		return seal.PublicKey{}, fmt.Errorf("the registered key of %s: %w", msp, err)
	}
	if slices.Contains(own, public.ID()) {
		return public, nil
	}
	g.Log.Error("the registry shows an HPKE key that the member says isn't its own: nothing is wrapped to it", "member", msp, "key", public.ID())
	return seal.PublicKey{}, refusal.New(KeySubstituted, "the registry shows key "+public.ID()+" for "+msp+", whose gateway doesn't have it",
		"once the member has registered a key of its own: yitong member rotate --key hpke")
}

// watchOwn reports keys that the registry shows of this member and that it never registered.
func (g *Gateway) watchOwn(ctx context.Context) error {
	shown, err := g.members.fresh(ctx, g.Self.MSP)
	if err != nil {
		return err
	}
	for use, key := range map[string]registry.Key{registry.UseHPKE: shown.Keys.HPKE, registry.UseSigning: shown.Keys.Signing} {
		if !g.ring.has(use, key.ID) {
			g.Log.Error("the registry shows a key of this member that this gateway doesn't have: find out who registered it (yitong audit history), then replace it (yitong member rotate)",
				"use", use, "key", key.ID)
		}
	}
	return nil
}

// recipients are the ids of the HPKE keys that this member opens with, in order.
func (r *ring) recipients() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := []string{r.hpke.Public().ID()}
	if r.nextHPKE != nil {
		ids = append(ids, r.nextHPKE.Public().ID())
	}
	for id := range r.retired {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// has reports whether the present or the next key of a use has this id.
func (r *ring) has(use, id string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if use == registry.UseSigning {
		return r.signing.Public().ID() == id || r.nextSigning != nil && r.nextSigning.Public().ID() == id
	}
	return r.hpke.Public().ID() == id || r.nextHPKE != nil && r.nextHPKE.Public().ID() == id
}
