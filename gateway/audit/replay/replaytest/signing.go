package replaytest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
)

// Signing is a member's gateway's signing key, whose public half is in the registry.
type Signing struct {
	Public  ed25519.PublicKey
	Private ed25519.PrivateKey
}

// SigningKey is derived from the chain's seed.
func SigningKey(seed uint64, msp string) Signing {
	sum := sha256.Sum256(fmt.Appendf(nil, "signing %d %s", seed, msp))
	key := ed25519.NewKeyFromSeed(sum[:])
	return Signing{Public: key.Public().(ed25519.PublicKey), Private: key}
}
