package seal

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
)

// SigningKey signs a custodian's manifests: Ed25519 (RFC 8032). It prints as a
// placeholder.
type SigningKey struct{ key ed25519.PrivateKey }

// VerifyingKey is its public side, registered on the ledger (32 bytes).
type VerifyingKey struct{ key ed25519.PublicKey }

// GenerateSigningKey makes a member's signing key.
func GenerateSigningKey() SigningKey {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return SigningKey{ed25519.NewKeyFromSeed(seed)}
}

// ParseSigningKey reads the 32 bytes of SigningKey.Bytes.
func ParseSigningKey(seed []byte) (SigningKey, error) {
	if len(seed) != ed25519.SeedSize {
		return SigningKey{}, fmt.Errorf("an Ed25519 seed has %d bytes, not %d", ed25519.SeedSize, len(seed))
	}
	return SigningKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// ParseVerifyingKey reads the 32 bytes of VerifyingKey.Bytes.
func ParseVerifyingKey(b []byte) (VerifyingKey, error) {
	if len(b) != ed25519.PublicKeySize {
		return VerifyingKey{}, fmt.Errorf("an Ed25519 public key has %d bytes, not %d", ed25519.PublicKeySize, len(b))
	}
	return VerifyingKey{append(ed25519.PublicKey(nil), b...)}, nil
}

// Bytes is the seed, for the key store only.
func (k SigningKey) Bytes() []byte { return k.key.Seed() }

// Public is the key to register.
func (k SigningKey) Public() VerifyingKey {
	return VerifyingKey{k.key.Public().(ed25519.PublicKey)}
}

// Bytes is the encoding that the registry holds (base64 in JSON).
func (k VerifyingKey) Bytes() []byte { return append([]byte(nil), k.key...) }

// ID names the key: 32 hex digits, the first half of SHA-256 over label and key.
func (k VerifyingKey) ID() string { return keyID("yitong signing key v1", k.key) }

// Format writes a placeholder whatever the verb.
func (SigningKey) Format(s fmt.State, _ rune) { io.WriteString(s, "seal.SigningKey(hidden)") }

// MarshalJSON refuses, as Key's does.
func (SigningKey) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a signing key has no JSON form")
}

// signed is what the signature covers: everything, the wrapped keys and the id
// of the key too, under a label that nothing else is signed under.
func (m *Manifest) signed() []byte {
	return m.encode("yitong signed manifest v1", true).text(m.Signing)
}

// Sign signs the manifest as it stands, by the custodian's key.
func (m *Manifest) Sign(key SigningKey) {
	m.Signing = key.Public().ID()
	m.Signature = ed25519.Sign(key.key, m.signed())
}

func (m *Manifest) signedBy(key VerifyingKey) bool {
	return len(key.key) == ed25519.PublicKeySize && m.Signing == key.ID() &&
		ed25519.Verify(key.key, m.signed(), m.Signature)
}
