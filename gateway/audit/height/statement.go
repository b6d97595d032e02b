package height

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Statement is a member's word on its own peer's chain.
type Statement struct {
	Channel   string    `json:"channel"`
	Member    string    `json:"member"` // MSP id
	Blocks    uint64    `json:"blocks"` // how many there are
	Hash      Hash      `json:"hash"`   // of the last one
	At        time.Time `json:"at"`     // UTC, to the second; the member's claim
	Key       string    `json:"key"`    // id of the signing key in the registry
	Signature []byte    `json:"signature"`
}

// Hash is a block's, 64 hexadecimal digits in JSON.
type Hash [32]byte

// MarshalText writes it in hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText reads what MarshalText writes.
func (h *Hash) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != len(h) {
		return fmt.Errorf("a block's hash has %d hexadecimal digits", 2*len(h))
	}
	*h = Hash(raw)
	return nil
}

// signed is the bytes under the signature: "yitong height v1", a line feed, channel, member
// and key id, each with its length before it in 8 bytes, then blocks and seconds since 1970,
// 8 bytes each, the most significant first, and the hash.
func (s Statement) signed() []byte {
	out := []byte("yitong height v1\n")
	for _, field := range []string{s.Channel, s.Member, s.Key} {
		out = append(binary.BigEndian.AppendUint64(out, uint64(len(field))), field...)
	}
	out = binary.BigEndian.AppendUint64(out, s.Blocks)
	out = binary.BigEndian.AppendUint64(out, uint64(s.At.Unix()))
	return append(out, s.Hash[:]...)
}

// Sign signs the statement with the key that the registry knows by the id.
func (s *Statement) Sign(id string, sign func(message []byte) []byte) {
	s.Key = id
	s.Signature = sign(s.signed())
}

// Verify reports whether the statement was signed by the key.
func (s Statement) Verify(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && s.Blocks > 0 && ed25519.Verify(key, s.signed(), s.Signature)
}

// Last is the number of the last block.
func (s Statement) Last() uint64 { return s.Blocks - min(1, s.Blocks) }

// ParseAll reads statements, one JSON document a line.
func ParseAll(raw []byte) ([]Statement, error) {
	var out []Statement
	for n, line := range lines(raw) {
		var s Statement
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("line %d is no statement of height: %w", n+1, err)
		}
		out = append(out, s)
	}
	return out, nil
}
