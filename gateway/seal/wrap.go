package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/cloudflare/circl/hpke"
	"github.com/cloudflare/circl/kem"

	"yitong/chaincode/record"
)

// Sizes in bytes (draft-connolly-cfrg-xwing-kem).
const (
	PublicKeySize  = 1216
	PrivateKeySize = 32
	encSize        = 1120
)

// suite is HPKE (RFC 9180) base mode with X-Wing (0x647a), HKDF-SHA-256 and
// AES-256-GCM. Base mode authenticates no sender: the manifest's signature does.
var suite = hpke.NewSuite(hpke.KEM_XWING, hpke.KDF_HKDF_SHA256, hpke.AEAD_AES256GCM)

// PublicKey is a member's HPKE key, to which part keys are wrapped.
type PublicKey struct {
	key kem.PublicKey
	raw []byte
}

// PrivateKey opens what was wrapped to its public key. It prints as a
// placeholder.
type PrivateKey struct {
	key kem.PrivateKey
	raw []byte
}

// GenerateKeyPair makes a member's HPKE key.
func GenerateKeyPair() (PrivateKey, error) {
	raw := make([]byte, PrivateKeySize)
	rand.Read(raw)
	return ParsePrivateKey(raw)
}

// ParsePublicKey reads the 1216 bytes of PublicKey.Bytes.
func ParsePublicKey(b []byte) (PublicKey, error) {
	if len(b) != PublicKeySize {
		return PublicKey{}, fmt.Errorf("an X-Wing public key has %d bytes, not %d", PublicKeySize, len(b))
	}
	k, err := hpke.KEM_XWING.Scheme().UnmarshalBinaryPublicKey(b)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parse X-Wing public key: %w", err)
	}
	return PublicKey{k, append([]byte(nil), b...)}, nil
}

// ParsePrivateKey reads the 32 bytes of PrivateKey.Bytes.
func ParsePrivateKey(b []byte) (PrivateKey, error) {
	if len(b) != PrivateKeySize {
		return PrivateKey{}, fmt.Errorf("an X-Wing private key has %d bytes, not %d", PrivateKeySize, len(b))
	}
	k, err := hpke.KEM_XWING.Scheme().UnmarshalBinaryPrivateKey(b)
	if err != nil {
		return PrivateKey{}, errors.New("parse X-Wing private key: malformed")
	}
	return PrivateKey{k, append([]byte(nil), b...)}, nil
}

// Bytes is the encoding that the registry holds (base64 in JSON).
func (k PublicKey) Bytes() []byte { return append([]byte(nil), k.raw...) }

// ID names the key: 32 hex digits, the first half of SHA-256 over label and key.
func (k PublicKey) ID() string { return keyID("yitong hpke key v1", k.raw) }

// Bytes is for the key store only.
func (k PrivateKey) Bytes() []byte { return append([]byte(nil), k.raw...) }

// Public is the key to register.
func (k PrivateKey) Public() PublicKey {
	pub := k.key.Public()
	raw, err := pub.MarshalBinary()
	if err != nil {
		panic(err) // circl encodes a key it derived itself
	}
	return PublicKey{pub, raw}
}

// Format writes a placeholder whatever the verb.
func (PrivateKey) Format(s fmt.State, _ rune) { io.WriteString(s, "seal.PrivateKey(hidden)") }

// MarshalJSON refuses, as Key's does.
func (PrivateKey) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a private key has no JSON form")
}

func keyID(label string, key []byte) string {
	sum := sha256.Sum256(canonical(label).bytes(key))
	return hex.EncodeToString(sum[:16])
}

// Context is what a wrapped key is good for. All of it goes into HPKE's info, so
// a wrapped key moved to another permit, release, record, part, member or expiry
// doesn't open.
type Context struct {
	Permit    string         // access id
	Release   string         // manifest digest, hex, as the ledger's release carries it
	Record    string         // anchor id
	Part      int            // index
	Custodian string         // MSP id
	Requester string         // MSP id
	Expires   record.Instant // of the permit
}

// info is the only place where a Context becomes bytes: HPKE checks none of it.
func (c Context) info() []byte {
	return canonical("yitong wrapped part key v1").
		text(c.Permit).text(c.Release).text(c.Record).number(int64(c.Part)).
		text(c.Custodian).text(c.Requester).number(int64(c.Expires))
}

// Wrapped is one part key for one requester.
type Wrapped struct {
	Key        string `json:"key"`        // PublicKey.ID of the key it is wrapped to
	Enc        []byte `json:"enc"`        // KEM ciphertext, 1120 bytes; base64
	Ciphertext []byte `json:"ciphertext"` // key and tag, 48 bytes; base64
}

// Errors of Unwrap.
var (
	// ErrWrongKey: wrapped to another HPKE key, an older one perhaps.
	ErrWrongKey = errors.New("the part key is wrapped to another HPKE key")
	// ErrUnwrap: the wrapped key was changed, or belongs to another context.
	ErrUnwrap = errors.New("the wrapped part key doesn't open for this permit, release and part")
)

// Wrap encrypts a part's key to one requester in one context.
func Wrap(to PublicKey, c Context, key Key) (Wrapped, error) {
	sender, err := suite.NewSender(to.key, c.info())
	if err != nil {
		return Wrapped{}, fmt.Errorf("wrap part key: %w", err)
	}
	enc, sealer, err := sender.Setup(rand.Reader)
	if err != nil {
		return Wrapped{}, fmt.Errorf("wrap part key: %w", err)
	}
	ct, err := sealer.Seal(key[:], nil)
	if err != nil {
		return Wrapped{}, fmt.Errorf("wrap part key: %w", err)
	}
	return Wrapped{Key: to.ID(), Enc: enc, Ciphertext: ct}, nil
}

// Unwrap is the requester's side of Wrap. Check the result against the anchored
// commitment; Open does.
func Unwrap(priv PrivateKey, c Context, w Wrapped) (Key, error) {
	if id := priv.Public().ID(); w.Key != id {
		return Key{}, fmt.Errorf("%w: %q, this is %s", ErrWrongKey, w.Key, id)
	}
	if len(w.Enc) != encSize || len(w.Ciphertext) != len(Key{})+tagSize {
		return Key{}, ErrUnwrap
	}
	receiver, err := suite.NewReceiver(priv.key, c.info())
	if err != nil {
		return Key{}, fmt.Errorf("unwrap part key: %w", err)
	}
	opener, err := receiver.Setup(w.Enc)
	if err != nil {
		return Key{}, ErrUnwrap
	}
	raw, err := opener.Open(w.Ciphertext, nil)
	if err != nil || len(raw) != len(Key{}) {
		return Key{}, ErrUnwrap
	}
	defer clear(raw)
	return Key(raw), nil
}
