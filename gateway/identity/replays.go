package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Replays remember the assertions that were taken, in a file, until they expire. They are
// safe for concurrent use, by one process at a time.
//
// The file has two buckets, so that neither finding one nor forgetting the expired reads
// more than it has to:
//
//	taken   SHA-256 of client and jti ─▶ expiry
//	expiry  expiry, then the same SHA-256 ─▶ nothing
type Replays struct{ file *bbolt.DB }

// ErrReplayed says that an assertion was taken before.
var ErrReplayed = &Refusal{"the assertion was used before: sign a new one, with another jti, for each request"}

var bucketTaken, bucketExpiry = []byte("taken"), []byte("expiry")

// OpenReplays opens the file at path, and makes it the first time.
func OpenReplays(path string) (*Replays, error) {
	file, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("opening the memory of assertions: %w", err)
	}
	err = file.Update(func(tx *bbolt.Tx) error {
		_, taken := tx.CreateBucketIfNotExists(bucketTaken)
		_, expiry := tx.CreateBucketIfNotExists(bucketExpiry)
		return errors.Join(taken, expiry)
	})
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Replays{file}, nil
}

// Close closes the file.
func (r *Replays) Close() error { return r.file.Close() }

// forgetAtOnce bounds what one Take forgets: more than it adds, so that the file doesn't grow.
const forgetAtOnce = 16

// Take remembers an assertion until expires; ErrReplayed if it is remembered already.
func (r *Replays) Take(client, id string, expires, now time.Time) error {
	digest := sha256.Sum256([]byte(client + "\x00" + id)) // a client's id holds no NUL
	return r.file.Batch(func(tx *bbolt.Tx) error {
		taken, expiry := tx.Bucket(bucketTaken), tx.Bucket(bucketExpiry)
		if until := taken.Get(digest[:]); until != nil && !before(until, now) {
			return ErrReplayed
		}
		var past [][]byte
		oldest := expiry.Cursor()
		for k, _ := oldest.First(); k != nil && before(k[:8], now) && len(past) < forgetAtOnce; k, _ = oldest.Next() {
			past = append(past, bytes.Clone(k))
		}
		for _, k := range past {
			err := expiry.Delete(k)
			if bytes.Equal(taken.Get(k[8:]), k[:8]) { // otherwise it was taken anew since
				err = errors.Join(err, taken.Delete(k[8:]))
			}
			if err != nil {
				return err
			}
		}
		at := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
		return errors.Join(taken.Put(digest[:], at), expiry.Put(append(bytes.Clone(at), digest[:]...), nil))
	})
}

func before(at []byte, now time.Time) bool {
	return int64(binary.BigEndian.Uint64(at)) < now.Unix()
}
