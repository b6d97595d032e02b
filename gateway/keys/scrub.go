package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

// Scrub overwrites every place in the file that holds no entry: what was deleted or replaced before is
// gone from it when Scrub returns nil, sealed bytes included, and durably. It takes no other master
// key. Deleting alone isn't enough to destroy a key: the database only notes that its page is free,
// and the master key still opens what lies there.
//
// It reads each free page once and writes those that aren't blank yet, while everybody else waits. A
// crash leaves the entries as they are; Scrub again then does the rest.
//
// What Scrub can't reach is below the file and beside it: copies that a file system with snapshots or
// a disk with wear levelling keeps, and backups of the file.
func (s *Store) Scrub() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return ErrClosed
	}
	if err := scrub(s.db, s.path); err != nil {
		return fmt.Errorf("overwriting what was deleted from key store %s: %w", s.path, err)
	}
	return nil
}

func scrub(db *bolt.DB, path string) (err error) {
	defer damage(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	// A transaction that may write is the only one there is, and changes nothing unless committed.
	tx, err := db.Begin(true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := int64(db.Info().PageSize)
	blank, found := make([]byte, size), make([]byte, size)
	for id := int64(0); id*size < info.Size(); id++ {
		page, err := tx.Page(int(id))
		if err != nil {
			return err
		}
		if page != nil && page.Type != "free" {
			id += int64(page.OverflowCount)
			continue
		}
		// Free, or past the last page: where a crash in the middle of a commit leaves copies.
		n, err := f.ReadAt(found, id*size)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if bytes.Equal(found[:n], blank[:n]) {
			continue
		}
		if _, err := f.WriteAt(blank[:n], id*size); err != nil {
			return err
		}
	}
	return f.Sync()
}
