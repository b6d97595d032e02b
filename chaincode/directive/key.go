package directive

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"slices"

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
		if len(k.Public) == ed25519.PublicKeySize && !smallOrder(k.Public) {
			return nil
		}
	case ES256:
		if _, err := k.ecdsa(); err == nil {
			return nil
		}
	}
	return refusal.New(refusal.Malformed, "that is not a key to sign directives with", "an Ed25519 key of 32 bytes, or an ES256 key: an uncompressed point of P-256")
}

// smallOrders are the encodings of the points of edwards25519 of order 1, 2, 4 and 8, without the
// sign bit, in hex (as in libsodium's ed25519_ref10). Under such a key anybody signs anything.
var smallOrders = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func smallOrder(public []byte) bool {
	unsigned := slices.Clone(public)
	unsigned[len(unsigned)-1] &^= 0x80
	return slices.Contains(smallOrders, hex.EncodeToString(unsigned))
}

func (k Key) ecdsa() (*ecdsa.PublicKey, error) {
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.Public)
}
