package directive

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"

	"yitong/chaincode/consent"
	"yitong/chaincode/refusal"
)

// The algorithms of keys.
const (
	Ed25519 = "Ed25519" // RFC 8032: a wallet; public keys of 32 bytes
	ES256   = "ES256"   // ECDSA on P-256 with SHA-256: a passkey; public keys of 65 bytes, SEC 1 uncompressed
)

// Key is a public key that signs directives. One key is for one relationship: the same in two would
// link them.
type Key struct {
	Algorithm string `json:"algorithm"`
	Public    []byte `json:"public"` // base64 in JSON
}

// ID names a key: 32 hex digits of its digest.
func (k Key) ID() string {
	sum := sha256.Sum256(append([]byte("yitong patient key\x00"+k.Algorithm+"\x00"), k.Public...))
	return hex.EncodeToString(sum[:16])
}

// Equal reports the same key.
func (k Key) Equal(o Key) bool { return k.Algorithm == o.Algorithm && bytes.Equal(k.Public, o.Public) }

// Assurance is the most that a signature by the key gives.
func (k Key) Assurance() consent.Assurance {
	if k.Algorithm == Ed25519 {
		return consent.Wallet
	}
	return consent.Passkey
}

// Check refuses what can't be a key: code malformed.
func (k Key) Check() error {
	switch k.Algorithm {
	case Ed25519:
		if len(k.Public) == ed25519.PublicKeySize {
			return nil
		}
	case ES256:
		if _, err := k.ecdsa(); err == nil {
			return nil
		}
	}
	return refusal.New(refusal.Malformed, "that is not a key to sign directives with", "an Ed25519 key of 32 bytes, or an ES256 key: an uncompressed point of P-256")
}

func (k Key) ecdsa() (*ecdsa.PublicKey, error) {
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.Public)
}
