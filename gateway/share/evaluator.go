package share

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"yitong/chaincode/registry"
	"yitong/gateway/handle"
	"yitong/gateway/keys"
)

// evaluating is what this member evaluates with: a key for each epoch that it is an
// evaluator of.
type evaluating struct {
	mu   sync.RWMutex
	keys map[int]handle.PrivateKey // by epoch
}

// evaluatorKey is a key in the key store. Without a secret it was destroyed when its epoch
// had ended; it is never made again.
type evaluatorKey struct {
	Secret []byte `json:"secret,omitempty"`
}

// load reads the keys from the store. An evaluator of the founding gets the first one.
func (e *evaluating) load(tx *keys.Tx, founding bool) error {
	e.keys = map[int]handle.PrivateKey{}
	if founding {
		if _, err := e.make(tx, 1); err != nil {
			return err
		}
	}
	for entry, err := range tx.List(bucketEvaluate) {
		if err != nil {
			return err
		}
		epoch, err := strconv.Atoi(entry.Name)
		var kept evaluatorKey
		if err = errors.Join(err, json.Unmarshal(entry.Value, &kept)); err != nil {
			return fmt.Errorf("reading an evaluator's key: %w", err)
		}
		if len(kept.Secret) == 0 {
			continue
		}
		if e.keys[epoch], err = handle.ParsePrivateKey(kept.Secret); err != nil {
			return fmt.Errorf("reading the evaluator's key of epoch %d: %w", epoch, err)
		}
	}
	return nil
}

// make returns the key of an epoch from the store, made there if there never was one. ok is
// false where it was destroyed.
func (e *evaluating) make(tx *keys.Tx, epoch int) (k handle.PrivateKey, err error) {
	name := strconv.Itoa(epoch)
	kept, known, err := load[evaluatorKey](tx, bucketEvaluate, name)
	switch {
	case err != nil:
		return k, err
	case known && len(kept.Secret) > 0:
		return handle.ParsePrivateKey(kept.Secret)
	case known:
		return k, nil
	}
	if k, err = handle.NewKey(); err != nil {
		return k, err
	}
	return k, save(tx, bucketEvaluate, name, evaluatorKey{k.Bytes()})
}

// key is the key of an epoch, if this member has one.
func (e *evaluating) key(epoch int) (handle.PrivateKey, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	k, ok := e.keys[epoch]
	return k, ok
}

// registeredKey is a key as the ledger is told of it.
func registeredKey(k handle.PrivateKey) *registry.Key {
	p := k.Public()
	return &registry.Key{ID: p.ID(), Public: p.Bytes()}
}
