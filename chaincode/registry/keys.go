package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// Sizes of the public keys in bytes.
const (
	HPKEKeySize    = 1216
	SigningKeySize = 32
)

// How long a key that is replaced is good for after that, in seconds.
const (
	DefaultGrace = 24 * 60 * 60
	MaxGrace     = MaxRetired * DefaultGrace
)

// MaxRetired bounds the keys of one use that are remembered after they were replaced.
const MaxRetired = 16

// The uses of keys.
const (
	UseHPKE    = "hpke"
	UseSigning = "signing"
)

// Key is a public key, the name it goes by and when it is valid. The ledger sets the
// validity: whoever registers a key leaves it empty.
type Key struct {
	ID     string         `json:"id"`               // 1 to 64 of [A-Za-z0-9.-], chosen by the member, new with each key
	Public []byte         `json:"public,omitempty"` // base64 in JSON; left out of HPKE keys that were replaced
	From   record.Instant `json:"from,omitzero"`    // when it was registered
	Until  record.Instant `json:"until,omitzero"`   // exclusive; when it was replaced plus its grace, 0 for a present key
}

// Keys are the public keys of a member. They are kept apart from Member because a
// decision doesn't need them.
type Keys struct {
	HPKE    Key     `json:"hpke"`             // X-Wing (draft-connolly-cfrg-xwing-kem), 1216 bytes: part keys are wrapped to it
	Signing Key     `json:"signing"`          // Ed25519 (RFC 8032), 32 bytes: it signs releases
	Retired Retired `json:"retired,omitzero"` // set by the ledger
}

// Retired are the keys that were replaced, the newest first, up to MaxRetired of each use.
// What a signing key signed while it was valid can thus be verified later.
type Retired struct {
	HPKE    []Key `json:"hpke,omitempty"`
	Signing []Key `json:"signing,omitempty"`
}

// IsZero reports whether no key was replaced yet.
func (r Retired) IsZero() bool { return len(r.HPKE) == 0 && len(r.Signing) == 0 }

// ValidAt reports whether the key was, or is, valid at the instant. The start is the claim
// of a clock up to MaxSkew ahead of another member's.
func (k Key) ValidAt(at record.Instant) bool {
	return at >= k.From-MaxSkew && (k.Until == 0 || at < k.Until)
}

// SigningKey finds the signing key of an id among the present and the replaced ones.
func (k Keys) SigningKey(id string) (Key, bool) {
	if k.Signing.ID == id {
		return k.Signing, true
	}
	i := slices.IndexFunc(k.Retired.Signing, func(r Key) bool { return r.ID == id })
	if i < 0 {
		return Key{}, false
	}
	return k.Retired.Signing[i], true
}

// Check refuses keys of the wrong size or without a usable id, and such as claim what the
// ledger sets: code malformed.
func (k Keys) Check() error {
	if len(k.HPKE.Public) != HPKEKeySize {
		return refusal.New(refusal.Malformed, "the HPKE public key has the wrong size", "an X-Wing public key of 1216 bytes in base64")
	}
	if len(k.Signing.Public) != SigningKeySize {
		return refusal.New(refusal.Malformed, "the signing public key has the wrong size", "an Ed25519 public key of 32 bytes in base64")
	}
	for _, one := range []Key{k.HPKE, k.Signing} {
		if !identifier(one.ID) {
			return refusal.New(refusal.Malformed, "a key has no usable id", "1 to 64 of A-Z a-z 0-9 . -, starting with a letter or digit")
		}
		if one.From != 0 || one.Until != 0 {
			return refusal.New(refusal.Malformed, "a key claims its own validity", "keys without from and until: the ledger sets them")
		}
	}
	if !k.Retired.IsZero() {
		return refusal.New(refusal.Malformed, "the keys claim which ones they replace", "keys without retired: the ledger keeps them")
	}
	return nil
}

// from is the keys as valid since at.
func (k Keys) from(at record.Instant) Keys {
	k.HPKE.From, k.Signing.From = at, at
	return k
}

func (k Keys) equal(o Keys) bool { return k.HPKE.same(o.HPKE) && k.Signing.same(o.Signing) }

// same reports whether k and o are one key, whatever their validity.
func (k Key) same(o Key) bool { return k.ID == o.ID && bytes.Equal(k.Public, o.Public) }

// Digest names a public key by its content: 64 hex digits of its SHA-256.
func (k Key) Digest() string {
	sum := sha256.Sum256(k.Public)
	return hex.EncodeToString(sum[:])
}

// Spent says which of the keys to be registered were replaced before.
type Spent struct{ HPKE, Signing bool }

// replaced returns k with the keys of next in force since at, and what was in force before
// valid for the grace after that, seconds. A key that was in force once never comes back
// (key-spent): who replaced it had a reason.
func (k Keys) replaced(next Keys, spent Spent, grace int64, at record.Instant) (Keys, error) {
	var err error
	out := k
	if out.HPKE, out.Retired.HPKE, err = replace(k.HPKE, next.HPKE, k.Retired.HPKE, spent.HPKE, grace, at); err != nil {
		return k, err
	}
	// Nobody wraps to a key that was replaced, and 1216 bytes each would be read with every
	// question for the present one.
	out.Retired.HPKE = slices.Clone(out.Retired.HPKE)
	for i := range out.Retired.HPKE {
		out.Retired.HPKE[i].Public = nil
	}
	if out.Signing, out.Retired.Signing, err = replace(k.Signing, next.Signing, k.Retired.Signing, spent.Signing, grace, at); err != nil {
		return k, err
	}
	return out, nil
}

func replace(present, next Key, retired []Key, spent bool, grace int64, at record.Instant) (Key, []Key, error) {
	if present.same(next) {
		return present, retired, nil
	}
	named := func(k Key) bool { return k.ID == next.ID }
	if spent || named(present) || slices.ContainsFunc(retired, named) {
		return present, retired, refusal.New(KeySpent, "key "+next.ID+" was in force before and was replaced", "a new key under a new id")
	}
	next.From, next.Until = at, 0
	if present.ID == "" { // none registered yet
		return next, retired, nil
	}
	present.Until = at + record.Instant(grace)
	kept := append([]Key{present}, retired...)
	if len(kept) <= MaxRetired {
		return next, kept, nil
	}
	oldest := kept[len(kept)-1]
	if grace > 0 && oldest.Until > at {
		return present, retired, refusal.New(refusal.TooLarge, fmt.Sprintf("%d replaced keys are in their grace still", MaxRetired),
			"a change after "+oldest.Until.String()+", or one with grace 0")
	}
	return next, kept[:MaxRetired], nil
}
