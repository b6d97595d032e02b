package fhir

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/url"
)

// A bookmark is where a page begins and of which search it is. It travels sealed: it may
// name a patient, and addresses end up in logs.
type bookmark struct {
	Path   string     `json:"p"`
	Form   url.Values `json:"f,omitempty"`
	Cursor string     `json:"c,omitempty"`
}

type bookmarks struct{ seals cipher.AEAD }

func newBookmarks(key []byte) *bookmarks {
	block, err := aes.NewCipher(key)
	if err != nil { // 32 bytes are a key
		panic(err)
	}
	// Random 96-bit nonces, drawn by the cipher (NIST SP 800-38D, section 8.2.2).
	seals, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &bookmarks{seals}
}

func (b *bookmarks) seal(m bookmark) string {
	return base64.RawURLEncoding.EncodeToString(b.seals.Seal(nil, nil, marshal(m), nil))
}

func (b *bookmarks) open(token string) (m bookmark, err error) {
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return m, err
	}
	if len(sealed) < b.seals.Overhead() {
		return m, errors.New("too short")
	}
	doc, err := b.seals.Open(nil, nil, sealed, nil)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(doc, &m)
}

// deriver makes ids out of what they stand for: always the same of the same, and nothing
// to be told from them without the key.
func deriver(key []byte) func(purpose string, parts ...string) []byte {
	return func(purpose string, parts ...string) []byte {
		h := hmac.New(sha256.New, key)
		for _, s := range append([]string{purpose}, parts...) {
			var n [8]byte
			binary.BigEndian.PutUint64(n[:], uint64(len(s)))
			h.Write(n[:])
			h.Write([]byte(s))
		}
		return h.Sum(nil)
	}
}
