// Package checkpoint keeps a replay's knowledge in a file, so that it can be interrupted and
// gone on with. Only what has changed is written, in one transaction: a chain of a million
// keys costs no more to keep than the blocks since the last time.
package checkpoint

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"yitong/gateway/audit/replay"
)

// The buckets, and the one key of the first.
var (
	headBucket = []byte("yitong replay v2")
	keptBucket = []byte("kept")
	headKey    = []byte("head")
)

// File is a replay.Store. It is one replay's at a time.
type File struct{ db *bbolt.DB }

// Open opens a file or makes it. Error: replay.ErrCheckpoint for one that is something else,
// damaged, or in use.
func Open(path string) (f *File, err error) {
	defer damaged(&err)()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s is in use by another replay", replay.ErrCheckpoint, path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %v", replay.ErrCheckpoint, path, err)
	}
	return &File{db}, nil
}

// damaged turns into an error what bbolt makes of a file that was cut or overwritten: a
// panic, or a read where nothing is mapped.
func damaged(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			*err = fmt.Errorf("%w: it is damaged: %v", replay.ErrCheckpoint, p)
		}
	}
}

// Close lets go of the file.
func (f *File) Close() error { return f.db.Close() }

// Load implements replay.Store.
func (f *File) Load(each func(key, value []byte) error) (head []byte, err error) {
	defer damaged(&err)()
	err = f.db.View(func(tx *bbolt.Tx) error {
		first := tx.Bucket(headBucket)
		if first == nil {
			if name, _ := tx.Cursor().First(); name != nil {
				return fmt.Errorf("%w: it is no checkpoint", replay.ErrCheckpoint)
			}
			return nil // new
		}
		stored := first.Get(headKey)
		if len(stored) < sha256.Size {
			return fmt.Errorf("%w: it is damaged", replay.ErrCheckpoint)
		}
		head = append([]byte{}, stored[sha256.Size:]...)
		sum := digestOf(headKey, head)
		if err := tx.Bucket(keptBucket).ForEach(func(key, value []byte) error {
			add(&sum, digestOf(key, value))
			return nil
		}); err != nil {
			return err
		}
		if [sha256.Size]byte(stored[:sha256.Size]) != sum {
			return fmt.Errorf("%w: it is damaged", replay.ErrCheckpoint)
		}
		return tx.Bucket(keptBucket).ForEach(each)
	})
	return head, err
}

// Save implements replay.Store.
func (f *File) Save(head []byte, changed iter.Seq2[[]byte, []byte]) error {
	return f.db.Update(func(tx *bbolt.Tx) error {
		first, err := tx.CreateBucketIfNotExists(headBucket)
		if err != nil {
			return err
		}
		kept, err := tx.CreateBucketIfNotExists(keptBucket)
		if err != nil {
			return err
		}
		var sum [sha256.Size]byte
		if before := first.Get(headKey); before != nil {
			sum = [sha256.Size]byte(before)
			add(&sum, digestOf(headKey, before[sha256.Size:]))
		}
		for key, value := range changed {
			if before := kept.Get(key); before != nil {
				add(&sum, digestOf(key, before))
			}
			if value == nil {
				err = kept.Delete(key)
			} else {
				add(&sum, digestOf(key, value))
				err = kept.Put(key, value)
			}
			if err != nil {
				return err
			}
		}
		add(&sum, digestOf(headKey, head))
		return first.Put(headKey, append(sum[:], head...))
	})
}

// add adds a key with its value to the sum over all of them, or takes it out again: the sum
// is the exclusive or, which needs no order. It is there to tell damage, not forgery.
func add(sum *[sha256.Size]byte, one [sha256.Size]byte) { subtle.XORBytes(sum[:], sum[:], one[:]) }

func digestOf(key, value []byte) [sha256.Size]byte {
	raw := binary.AppendUvarint(make([]byte, 0, len(key)+len(value)+8), uint64(len(key)))
	return sha256.Sum256(append(append(raw, key...), value...))
}
