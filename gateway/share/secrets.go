package share

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"yitong/chaincode/registry"
	"yitong/gateway/keys"
)

// The secrets of a member, by their name in the key store.
const (
	secretHPKE    = "hpke"
	secretSigning = "signing"
	secretSalt    = "salt"
)

// loadSecrets reads the member's own keys, and makes those that aren't there yet.
func (g *Gateway) loadSecrets() error {
	return g.Keys.Update(func(tx *keys.Tx) error {
		if err := g.ring.load(tx); err != nil {
			return err
		}
		if err := g.eval.load(tx, g.Evaluator); err != nil {
			return err
		}
		var err error
		g.salts, err = secret(tx, secretSalt)
		return err
	})
}

// secret reads 32 secret bytes, or makes them.
func secret(tx *keys.Tx, name string) ([]byte, error) {
	raw, err := tx.Get(bucketSecrets, name)
	if err == nil {
		return raw, nil
	}
	if !errors.Is(err, keys.ErrNotFound) {
		return nil, err
	}
	raw = make([]byte, 32)
	rand.Read(raw)
	return raw, tx.Put(bucketSecrets, name, raw)
}

// Candidate is what this member says of itself to the consortium, with the public
// keys that this gateway holds the private ones of.
func (g *Gateway) Candidate() registry.Candidate {
	c := g.Self
	c.Keys = g.registered()
	if k, ok := g.eval.key(1); ok && g.Evaluator {
		c.Evaluator = registeredKey(k)
	}
	return c
}

// salted is the digest under which something of low entropy may stand on the
// ledger. The salt follows from the entry's id and a secret of the member, so a retry
// gives the same digest, and showing one salt to a regulator opens one digest.
func (g *Gateway) salted(what, id string, content []byte) string {
	return saltedDigest(g.salt(what, id), content)
}

// The things that are salted, by their name in the derivation.
const (
	saltedClaim = "claim"    // id: of the access
	saltedForm  = "evidence" // id: of the consent, "/" and the version
	saltedUser  = "user"     // id: of the access, or of that or another thing and what was done with it
	saltedNote  = "note"     // likewise
)

// saltSize is the length of every salt, in bytes.
const saltSize = sha256.Size

func (g *Gateway) salt(what, id string) []byte {
	m := hmac.New(sha256.New, g.salts)
	fmt.Fprintf(m, "yitong salt v1\x00%s\x00%s", what, id)
	return m.Sum(nil)
}

// saltedDigest is SHA-256 over a salt of saltSize and the content, in hex.
func saltedDigest(salt, content []byte) string {
	h := sha256.New()
	h.Write(salt)
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}
