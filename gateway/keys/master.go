package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/crypto/argon2"
)

// header is stored in the clear under its own bucket: what the passphrase needs.
type header struct {
	Version int    `json:"version"`
	Time    uint32 `json:"time"`    // Argon2id passes
	Memory  uint32 `json:"memory"`  // Argon2id memory in KiB
	Threads uint8  `json:"threads"` // Argon2id lanes
	Salt    []byte `json:"salt"`    // 16 bytes
	Master  []byte `json:"master"`  // nonce, sealed master key, tag
}

// RFC 9106 section 4, second recommended option, the one for where 2 GiB are too
// much: t=3, 64 MiB, p=4.
const (
	argonTime    = 3
	argonMemory  = 64 * 1024
	argonThreads = 4
)

// What a header may ask of the machine: a damaged or planted one must neither
// weaken the derivation nor take all memory.
const (
	maxTime    = 16
	maxMemory  = 1024 * 1024
	maxThreads = 16
)

var (
	headerBucket = []byte("yitong key store")
	headerKey    = []byte("header")
	errHeader    = fmt.Errorf("%w: its header is not one", ErrCorrupt)
)

func (h header) check() error {
	switch {
	case h.Version != 1:
		return fmt.Errorf("key store version %d: this program knows version 1", h.Version)
	case h.Time < argonTime || h.Time > maxTime,
		h.Memory < argonMemory || h.Memory > maxMemory,
		h.Threads < 1 || h.Threads > maxThreads,
		len(h.Salt) != 16, len(h.Master) != 12+32+16:
		return fmt.Errorf("%w: Argon2id parameters out of bounds", errHeader)
	}
	return nil
}

func (h header) wrapping(passphrase []byte) cipher.AEAD {
	key := argon2.IDKey(passphrase, h.Salt, h.Time, h.Memory, h.Threads, 32)
	defer clear(key)
	return newAEAD(key)
}

// ad binds the sealed master key to the parameters it is sealed under.
func (h header) ad() []byte {
	b := []byte("yitong key store header v1\x00")
	b = binary.BigEndian.AppendUint32(b, h.Time)
	b = binary.BigEndian.AppendUint32(b, h.Memory)
	return append(append(b, h.Threads), h.Salt...)
}

// master is the master key and what is derived from it.
type master struct {
	key    []byte
	values cipher.AEAD
	names  []byte
}

func newMaster() *master { return masterOf(random(32)) }

func masterOf(key []byte) *master {
	values := derive(key, "yitong key store values v1")
	defer clear(values)
	return &master{key: key, values: newAEAD(values), names: derive(key, "yitong key store names v1")}
}

func (m *master) forget() {
	if m != nil {
		clear(m.key)
		clear(m.names)
	}
}

// seal writes the header that opens to this master key.
func (m *master) seal(tx *bolt.Tx, passphrase []byte) error {
	if err := checkPassphrase(passphrase); err != nil {
		return err
	}
	h := header{Version: 1, Time: argonTime, Memory: argonMemory, Threads: argonThreads, Salt: random(16)}
	h.Master = h.wrapping(passphrase).Seal(nil, nil, m.key, h.ad())
	doc, err := json.Marshal(h)
	if err != nil {
		return err
	}
	b, err := tx.CreateBucketIfNotExists(headerBucket)
	if err != nil {
		return err
	}
	return b.Put(headerKey, doc)
}

// unseal reads the master key.
func unseal(db *bolt.DB, passphrase []byte) (*master, error) {
	if db == nil {
		return nil, ErrClosed
	}
	var h header
	err := db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(headerBucket)
		if b == nil {
			return errHeader
		}
		if err := json.Unmarshal(b.Get(headerKey), &h); err != nil {
			return errHeader
		}
		return h.check()
	})
	if err != nil {
		return nil, err
	}
	key, err := h.wrapping(passphrase).Open(nil, nil, h.Master, h.ad())
	if err != nil {
		return nil, ErrPassphrase
	}
	return masterOf(key), nil
}

func derive(key []byte, label string) []byte {
	k, err := hkdf.Key(sha256.New, key, nil, label, 32)
	if err != nil {
		panic(err) // lengths are constants within HKDF's bounds
	}
	return k
}

// newAEAD is AES-256-GCM with a random nonce before each ciphertext.
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // 32 bytes always
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}
