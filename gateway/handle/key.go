package handle

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudflare/circl/oprf"
)

// PrivateKey is an evaluator's key of one epoch. It prints as a placeholder.
type PrivateKey struct{ key *oprf.PrivateKey }

// PublicKey is what the ledger has of it.
type PublicKey struct {
	key *oprf.PublicKey
	raw []byte
}

// NewKey makes a key from the system's random source.
func NewKey() (PrivateKey, error) {
	k, err := oprf.GenerateKey(suite, rand.Reader)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("making an evaluator's key: %w", err)
	}
	return PrivateKey{k}, nil
}

// ParsePrivateKey reads the 32 bytes of PrivateKey.Bytes.
func ParsePrivateKey(b []byte) (PrivateKey, error) {
	k := new(oprf.PrivateKey)
	if len(b) != PrivateKeySize || k.UnmarshalBinary(suite, b) != nil {
		return PrivateKey{}, errors.New("that is not an evaluator's private key: 32 bytes, a scalar of ristretto255 that isn't 0")
	}
	return PrivateKey{k}, nil
}

// ParsePublicKey reads the 32 bytes of PublicKey.Bytes. Each key has one encoding.
func ParsePublicKey(b []byte) (PublicKey, error) {
	k := new(oprf.PublicKey)
	if len(b) != PublicKeySize || k.UnmarshalBinary(suite, b) != nil {
		return PublicKey{}, errors.New("that is not an evaluator's public key: 32 bytes, an element of ristretto255 that isn't the identity")
	}
	return PublicKey{k, slices.Clone(b)}, nil
}

// Bytes is the key for a key store, 32 bytes.
func (k PrivateKey) Bytes() []byte {
	b, err := k.key.MarshalBinary()
	if err != nil {
		panic(err) // a scalar always encodes
	}
	return b
}

// Public is the public key of k.
func (k PrivateKey) Public() PublicKey {
	b, err := k.key.Public().MarshalBinary()
	if err != nil {
		panic(err) // an element always encodes
	}
	return PublicKey{k.key.Public(), b}
}

func (PrivateKey) String() string   { return "[evaluator's private key]" }
func (PrivateKey) GoString() string { return "[evaluator's private key]" }

// Bytes is the key as the ledger has it, 32 bytes.
func (k PublicKey) Bytes() []byte { return slices.Clone(k.raw) }

// ID names the key: the first 16 hex digits of its SHA-256.
func (k PublicKey) ID() string {
	sum := sha256.Sum256(k.raw)
	return hex.EncodeToString(sum[:8])
}

// IsZero reports whether k is no key.
func (k PrivateKey) IsZero() bool { return k.key == nil }
