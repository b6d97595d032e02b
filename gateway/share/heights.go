package share

import (
	"context"
	"crypto/ed25519"
	"slices"

	"yitong/chaincode/registry"
)

// Others are the active members but this one.
func (g *Gateway) Others(ctx context.Context) ([]registry.Member, error) {
	all, err := g.members.all(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(m registry.Member) bool { return m.MSP == g.Self.MSP || !m.Active() }), nil
}

// SigningKey is the public key by which the registry knows a member's signatures.
func (g *Gateway) SigningKey(ctx context.Context, msp string) (registry.Key, error) {
	entry, err := g.members.withKeys(ctx, msp)
	return entry.Keys.Signing, err
}

// SignHeight signs a statement about this member's peer (gateway/audit/height, whose
// message can't be taken for a manifest: both begin with their names). id is the key's.
func (g *Gateway) SignHeight(message []byte) (id string, signature []byte) {
	return g.signing.Public().ID(), ed25519.Sign(ed25519.NewKeyFromSeed(g.signing.Bytes()), message)
}
