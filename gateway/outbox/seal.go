package outbox

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
)

// name is an entry's: a keyed digest of caller, method and key.
type name [sha256.Size]byte

// sealer has the keys that are derived from the outbox's secret.
type sealer struct {
	aead               cipher.AEAD
	names, bodies, ids []byte
}

func newSealer(secret []byte) (s sealer, err error) {
	if len(secret) != 32 {
		return s, errors.New("the outbox's secret has 32 bytes")
	}
	keys := map[string]*[]byte{"names": &s.names, "bodies": &s.bodies, "ids": &s.ids}
	for what, to := range keys {
		if *to, err = hkdf.Key(sha256.New, secret, nil, "yitong outbox v1 "+what, 32); err != nil {
			return s, err
		}
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "yitong outbox v1 seal", 32)
	if err != nil {
		return s, err
	}
	block, err := aes.NewCipher(key)
	if err == nil {
		s.aead, err = cipher.NewGCM(block)
	}
	return s, err
}

// digest is a keyed digest over fields, each preceded by its length.
func digest(key []byte, fields ...string) [sha256.Size]byte {
	m := hmac.New(sha256.New, key)
	for _, f := range fields {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		m.Write(n[:])
		m.Write([]byte(f))
	}
	return [sha256.Size]byte(m.Sum(nil))
}

func (s sealer) name(c Caller, method, key string) name {
	return digest(s.names, c.Member, c.User, c.Role, method, key)
}

// id is what an entry's use case names its work by: 32 hex digits.
func (s sealer) id(n name) string {
	d := digest(s.ids, string(n[:]))
	return hex.EncodeToString(d[:16])
}

// close seals a document for one place. Random nonces of 96 bits are good for 2^32 of them.
func (s sealer) close(place string, doc any) ([]byte, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(raw)+s.aead.Overhead())
	rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, raw, []byte(place)), nil
}

// errSealed says that a row is damaged, another's, or sealed under another key store's secret.
var errSealed = errors.New("what is sealed in the outbox can't be opened: it is damaged, or another key store's")

func (s sealer) open(place string, sealed []byte, doc any) error {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return errSealed
	}
	raw, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(place))
	if err != nil {
		return errSealed
	}
	return json.Unmarshal(raw, doc)
}
