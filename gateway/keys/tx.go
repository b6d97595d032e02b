package keys

import (
	"bytes"
	"fmt"
	"iter"

	bolt "go.etcd.io/bbolt"
)

// Tx is one transaction: what it reads is one state, what it writes is written
// as a whole or not at all. Valid until the function it was given to returns.
type Tx struct {
	tx    *bolt.Tx
	m     *master
	tally tally // of the entries, kept by Put and Delete
}

// Update runs f in a transaction that reads and writes. When f returns an error
// nothing is written; when Update returns nil everything is durable. Don't call
// the Store's own methods from f: they would wait for it.
func (s *Store) Update(f func(*Tx) error) error {
	return s.run((*bolt.DB).Update, func(t *Tx) (err error) {
		if t.tally, err = loadTally(t.m, t.tx); err != nil {
			return err
		}
		if err := f(t); err != nil {
			return err
		}
		return t.tally.store(t.m, t.tx)
	})
}

// View runs f in a transaction that only reads.
func (s *Store) View(f func(*Tx) error) error { return s.run((*bolt.DB).View, f) }

func (s *Store) run(mode func(*bolt.DB, func(*bolt.Tx) error) error, f func(*Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	return mode(s.db, func(tx *bolt.Tx) error { return f(&Tx{tx: tx, m: s.master}) })
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
	t.remove(place, key, b.Get(key))
	sealed := t.m.close(place, key, bucket, Entry{name, value})
	if err := b.Put(key, sealed); err != nil {
		return fmt.Errorf("write to key store: %w", err)
	}
	t.tally.toggle(t.m, place, key, sealed)
	t.tally.count++
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
	key := t.m.entry(place, name)
	t.remove(place, key, b.Get(key))
	if err := b.Delete(key); err != nil {
		return fmt.Errorf("delete from key store: %w", err)
	}
	return nil
}

// remove takes an entry out of the tally, if there is one.
func (t *Tx) remove(place, key, sealed []byte) {
	if sealed != nil {
		t.tally.toggle(t.m, place, key, sealed)
		t.tally.count--
	}
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

// copy writes every entry of the present file, if there is one, into another,
// sealed under m.
func (s *Store) copy(to *bolt.Tx, m *master) error {
	t := &Tx{tx: to, m: m}
	if s.db != nil {
		err := s.db.View(func(from *bolt.Tx) error {
			return s.master.each(from, func(_, _, _ []byte, bucket string, e Entry) error {
				return t.Put(bucket, e.Name, e.Value)
			})
		})
		if err != nil {
			return err
		}
	}
	return t.tally.store(m, to)
}

// each opens every entry of a file.
func (m *master) each(tx *bolt.Tx, f func(place, key, sealed []byte, bucket string, e Entry) error) error {
	return tx.ForEach(func(place []byte, b *bolt.Bucket) error {
		if bytes.Equal(place, headerBucket) {
			return nil
		}
		return b.ForEach(func(key, sealed []byte) error {
			bucket, e, err := m.open(place, key, sealed)
			if err != nil {
				return err
			}
			return f(place, key, sealed, bucket, e)
		})
	})
}
