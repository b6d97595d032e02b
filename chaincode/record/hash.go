package record

import (
	"encoding/hex"
	"fmt"
)

// Hash is a SHA-256 digest, a Merkle root or a key commitment. Its JSON is 64 lower-case hex digits.
type Hash [32]byte

// ParseHash reads 64 lower-case hex digits.
func ParseHash(s string) (Hash, error) {
	var h Hash
	err := h.UnmarshalText([]byte(s))
	return h, err
}

// IsZero reports the hash of nothing; no digest is ever zero.
func (h Hash) IsZero() bool { return h == Hash{} }

// String is the hash in hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes hex.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads exactly 64 lower-case hex digits: one hash has one spelling.
func (h *Hash) UnmarshalText(text []byte) error { return readHex(h[:], text) }

// Salt blinds a leaf, so that nobody can guess a part's class and size from its leaf hash.
// 16 random bytes; its JSON is 32 lower-case hex digits.
type Salt [16]byte

// IsZero reports a salt that was never drawn.
func (s Salt) IsZero() bool { return s == Salt{} }

// MarshalText writes hex.
func (s Salt) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(s[:])), nil }

// UnmarshalText reads exactly 32 lower-case hex digits.
func (s *Salt) UnmarshalText(text []byte) error { return readHex(s[:], text) }

func readHex(dst, text []byte) error {
	if !isHex(string(text), 2*len(dst)) {
		return fmt.Errorf("want %d lower-case hex digits", 2*len(dst))
	}
	_, err := hex.Decode(dst, text)
	return err
}

// isHex reports exactly n lower-case hex digits.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
