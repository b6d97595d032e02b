package keys

import (
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// Backup writes the file as of one moment, while others go on reading and writing. What it
// writes is a key store: sealed, and opened by the passphrase of that moment.
func (s *Store) Backup(to io.Writer) (int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return 0, ErrClosed
	}
	var n int64
	err := s.db.View(func(tx *bolt.Tx) (err error) {
		n, err = tx.WriteTo(to)
		return err
	})
	if err != nil {
		return n, fmt.Errorf("backing up key store %s: %w", s.path, err)
	}
	return n, nil
}
