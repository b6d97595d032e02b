package share

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"yitong/chaincode/record"
	"yitong/gateway/keys"
	"yitong/gateway/seal"
)

// A ring holds the private keys whose public ones the registry shows, or showed, of this
// member: of each use the present one and, while it is being replaced, the next; and the
// HPKE keys that were replaced, as long as something may be on its way that was wrapped to
// them. A signing key that was replaced is destroyed at once: others verify what it signed,
// nobody signs with it.
type ring struct {
	mu          sync.RWMutex
	hpke        seal.PrivateKey
	signing     seal.SigningKey
	nextHPKE    *seal.PrivateKey
	nextSigning *seal.SigningKey
	retired     map[string]retiredKey // by key id
}

// retiredKey is an HPKE key that was replaced, as the key store keeps it.
type retiredKey struct {
	Secret []byte         `json:"secret"`
	Until  record.Instant `json:"until"` // by the registry
}

// The names of keys to come in the key store, beside those of the present ones.
const (
	secretNextHPKE    = "hpke-next"
	secretNextSigning = "signing-next"
)

// load reads the ring from the key store; the present keys are made where there are none.
func (r *ring) load(tx *keys.Tx) error {
	hpke, err := secret(tx, secretHPKE)
	if err != nil {
		return err
	}
	signing, err := secret(tx, secretSigning)
	if err != nil {
		return err
	}
	next := ring{retired: map[string]retiredKey{}}
	if next.hpke, err = seal.ParsePrivateKey(hpke); err != nil {
		return err
	}
	if next.signing, err = seal.ParseSigningKey(signing); err != nil {
		return err
	}
	if err := next.loadNext(tx); err != nil {
		return err
	}
	for e, err := range tx.List(bucketRetired) {
		if err != nil {
			return err
		}
		var old retiredKey
		if err := json.Unmarshal(e.Value, &old); err != nil {
			return fmt.Errorf("reading a replaced key: %w", err)
		}
		next.retired[e.Name] = old
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hpke, r.signing, r.nextHPKE, r.nextSigning, r.retired = next.hpke, next.signing, next.nextHPKE, next.nextSigning, next.retired
	return nil
}

func (r *ring) loadNext(tx *keys.Tx) error {
	raw, err := tx.Get(bucketSecrets, secretNextHPKE)
	if err == nil {
		k, err := seal.ParsePrivateKey(raw)
		if err != nil {
			return err
		}
		r.nextHPKE = &k
	} else if !errors.Is(err, keys.ErrNotFound) {
		return err
	}
	raw, err = tx.Get(bucketSecrets, secretNextSigning)
	if err == nil {
		k, err := seal.ParseSigningKey(raw)
		if err != nil {
			return err
		}
		r.nextSigning = &k
	} else if !errors.Is(err, keys.ErrNotFound) {
		return err
	}
	return nil
}

// present are the keys in force.
func (r *ring) present() (seal.PrivateKey, seal.SigningKey) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.hpke, r.signing
}

// next are the keys about to be in force, nil where there is none.
func (r *ring) next() (*seal.PrivateKey, *seal.SigningKey) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.nextHPKE, r.nextSigning
}

// private finds the private key of an HPKE key id.
func (r *ring) private(id string) (seal.PrivateKey, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.hpke.Public().ID() == id {
		return r.hpke, nil
	}
	if r.nextHPKE != nil && r.nextHPKE.Public().ID() == id {
		return *r.nextHPKE, nil
	}
	old, ok := r.retired[id]
	if !ok {
		return seal.PrivateKey{}, fmt.Errorf("%w: %q, which this member doesn't have, or not any more", seal.ErrWrongKey, id)
	}
	return seal.ParsePrivateKey(old.Secret)
}

// over lists the replaced keys whose time is over.
func (r *ring) over(now record.Instant) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var ids []string
	for id, old := range r.retired {
		if now >= old.Until+destroyAfter {
			ids = append(ids, id)
		}
	}
	return ids
}
