package keys

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	bolt "go.etcd.io/bbolt"
)

// Tx is one transaction: what it reads is one state, what it writes is written
// as a whole or not at all. Valid until the function it was given to returns.
type Tx struct {
	tx *bolt.Tx
	m  *master
}

// Update runs f in a transaction that reads and writes. When f returns an error
// nothing is written; when Update returns nil everything is durable. Don't call
// the Store's own methods from f: they would wait for it.
func (s *Store) Update(f func(*Tx) error) error {
	return s.run(f, (*bolt.DB).Update)
}

// View runs f in a transaction that only reads.
func (s *Store) View(f func(*Tx) error) error {
	return s.run(f, (*bolt.DB).View)
}

func (s *Store) run(f func(*Tx) error, mode func(*bolt.DB, func(*bolt.Tx) error) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return errors.New("the key store is closed")
	}
	return mode(s.db, func(tx *bolt.Tx) error { return f(&Tx{tx, s.master}) })
}

// Get reads one entry; ErrNotFound when there is none.
func (s *Store) Get(bucket, name string) (value []byte, err error) {
	err = s.View(func(tx *Tx) error {
		value, err = tx.Get(bucket, name)
		return err
	})
	return value, err
}

// Put writes one entry.
func (s *Store) Put(bucket, name string, value []byte) error {
	return s.Update(func(tx *Tx) error { return tx.Put(bucket, name, value) })
}

// Delete removes one entry; one that isn't there is no error.
func (s *Store) Delete(bucket, name string) error {
	return s.Update(func(tx *Tx) error { return tx.Delete(bucket, name) })
}

// List gives all entries of a bucket, in no order that means anything.
func (s *Store) List(bucket string) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := s.View(func(tx *Tx) error {
		for e, err := range tx.List(bucket) {
			if err != nil {
				return err
			}
			all[e.Name] = e.Value
		}
		return nil
	})
	return all, err
}

// Entry is one name and value of a bucket.
type Entry struct {
	Name  string
	Value []byte
}

// Get reads one entry; the value is the caller's. ErrNotFound when there is none.
func (t *Tx) Get(bucket, name string) ([]byte, error) {
	place := t.m.place(bucket)
	b := t.tx.Bucket(place)
	if b == nil {
		return nil, fmt.Errorf("%w in %s", ErrNotFound, bucket)
	}
	key := t.m.entry(place, name)
	sealed := b.Get(key)
	if sealed == nil {
		return nil, fmt.Errorf("%w in %s", ErrNotFound, bucket)
	}
	_, e, err := t.m.open(place, key, sealed)
	return e.Value, err
}

// Put writes one entry.
func (t *Tx) Put(bucket, name string, value []byte) error {
	if !t.tx.Writable() {
		return ErrReadOnly
	}
	place := t.m.place(bucket)
	b, err := t.tx.CreateBucketIfNotExists(place)
	if err != nil {
		return fmt.Errorf("write to key store: %w", err)
	}
	key := t.m.entry(place, name)
	if err := b.Put(key, t.m.close(place, key, bucket, Entry{name, value})); err != nil {
		return fmt.Errorf("write to key store: %w", err)
	}
	return nil
}

// Delete removes one entry; one that isn't there is no error.
func (t *Tx) Delete(bucket, name string) error {
	if !t.tx.Writable() {
		return ErrReadOnly
	}
	place := t.m.place(bucket)
	b := t.tx.Bucket(place)
	if b == nil {
		return nil
	}
	if err := b.Delete(t.m.entry(place, name)); err != nil {
		return fmt.Errorf("delete from key store: %w", err)
	}
	return nil
}

// List yields all entries of a bucket, in no order that means anything. The
// bucket must not be written to meanwhile.
func (t *Tx) List(bucket string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		place := t.m.place(bucket)
		b := t.tx.Bucket(place)
		if b == nil {
			return
		}
		c := b.Cursor()
		for key, sealed := c.First(); key != nil; key, sealed = c.Next() {
			_, e, err := t.m.open(place, key, sealed)
			if !yield(e, err) {
				return
			}
		}
	}
}

// copy writes every entry of the present file into another, sealed under m.
func (s *Store) copy(to *bolt.Tx, m *master) error {
	return s.db.View(func(from *bolt.Tx) error {
		return s.master.each(from, func(bucket string, e Entry) error {
			return (&Tx{to, m}).Put(bucket, e.Name, e.Value)
		})
	})
}

// each opens every entry of a file.
func (m *master) each(tx *bolt.Tx, f func(bucket string, e Entry) error) error {
	return tx.ForEach(func(place []byte, b *bolt.Bucket) error {
		if bytes.Equal(place, headerBucket) {
			return nil
		}
		return b.ForEach(func(key, sealed []byte) error {
			bucket, e, err := m.open(place, key, sealed)
			if err != nil {
				return err
			}
			return f(bucket, e)
		})
	})
}
