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

// HeightSigner is what signs a statement about this member's peer (gateway/audit/height,
// whose message can't be taken for a manifest: both begin with their names), and the id of
// its key.
func (g *Gateway) HeightSigner() (id string, sign func(message []byte) []byte) {
	_, key := g.ring.present()
	return key.Public().ID(), func(message []byte) []byte {
		return ed25519.Sign(ed25519.NewKeyFromSeed(key.Bytes()), message)
	}
}
