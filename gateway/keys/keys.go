// Package keys is an organisation's key store: one file that holds part keys,
// the private catalogue of records, HPKE and signing keys and unfinished work,
// all of it sealed.
//
// # Layout
//
//	passphrase ──Argon2id──▶ wrapping key ──AES-256-GCM──▶ master key (in the header)
//	master key ──HKDF──▶ value key: seals each entry's name and value (AES-256-GCM)
//	           └──HKDF──▶ name key: HMAC-SHA-256 turns bucket and entry names into keys of the file
//
// The file is a bbolt database: transactions are atomic and durable when they
// return, a crash at any point leaves the last committed state. Each value is
// authenticated for its bucket and name, so values can't be swapped; a sealed
// tally of all entries shows at Open when one is missing or an older one was put
// back.
//
// # Threats it answers
//
// A stolen disk or backup: nothing in the file is readable, names included, and
// a passphrase guess costs 64 MiB and about a tenth of a second. It doesn't hide
// how many entries there are and how long, and an older copy of the whole file
// can't be told from the newest.
//
// Deleting an entry frees its place in the file, where its sealed bytes may
// stay for a while, and the master key opens them; Scrub overwrites them. Rekey
// leaves nothing that the new master key opens, and drops the old file.
//
// # Backups
//
// What was destroyed here is still in a backup of this file made before, for
// whoever has a passphrase of that time: a backup that can be restored without
// help restores what was erased, whatever is rotated here afterwards. So how
// long backups of the key store are kept is how long erasures take to be
// complete; keep few, keep them short, keep them apart from those of the vault
// and the ledger, which by themselves open nothing. A gateway that starts on a
// restored key store destroys again what the ledger says is erased.
package keys

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gofrs/flock"
	bolt "go.etcd.io/bbolt"
)

// Errors of a Store.
var (
	ErrNotFound       = errors.New("the key store has no such entry")
	ErrPassphrase     = errors.New("wrong passphrase for the key store, or its header is damaged")
	ErrLocked         = errors.New("the key store is in use by another process")
	ErrCorrupt        = errors.New("the key store is damaged")
	ErrExists         = errors.New("there is a key store already")
	ErrMissing        = errors.New("there is no key store yet")
	ErrClosed         = errors.New("the key store is closed")
	ErrReadOnly       = errors.New("this transaction only reads")
	ErrPassphraseSize = fmt.Errorf("a passphrase has %d to %d bytes", minPassphrase, maxPassphrase)
)

// Store is an open key store. Safe for concurrent use; one process at a time.
type Store struct {
	path string
	lock *flock.Flock

	mu     sync.RWMutex // held for writing while the file is replaced
	db     *bolt.DB
	master *master
}

// Create makes a new store at path (mode 0600) and opens it. ErrExists when
// there is one.
func Create(path string, passphrase []byte) (*Store, error) {
	s, err := lock(path)
	if err != nil {
		return nil, err
	}
	if err := s.create(passphrase); err != nil {
		s.lock.Unlock()
		return nil, fmt.Errorf("create key store %s: %w", path, err)
	}
	return s, nil
}

// Open opens the store at path. ErrMissing, ErrLocked, ErrPassphrase or
// ErrCorrupt say what is wrong. It takes about a tenth of a second on purpose.
func Open(path string, passphrase []byte) (*Store, error) {
	s, err := lock(path)
	if err != nil {
		return nil, err
	}
	if err := s.open(passphrase); err != nil {
		s.lock.Unlock()
		return nil, fmt.Errorf("open key store %s: %w", path, err)
	}
	return s, nil
}

// Close forgets the master key and gives the file back.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	err := errors.Join(s.db.Close(), s.lock.Unlock())
	s.db = nil
	s.master.forget()
	return err
}

// lock keeps other processes out. The lock is a file of its own, because the
// store's file is replaced when it is rekeyed.
func lock(path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("key store %s: %w", path, err)
	}
	l := flock.New(path+".lock", flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock key store %s: %w", path, err)
	}
	if !ok {
		return nil, fmt.Errorf("key store %s: %w; stop the gateway that has it open", path, ErrLocked)
	}
	// A crash while the store was rekeyed leaves the unfinished copy.
	if err := os.Remove(path + unfinished); err != nil && !errors.Is(err, os.ErrNotExist) {
		l.Unlock()
		return nil, fmt.Errorf("remove unfinished copy: %w", err)
	}
	return &Store{path: path, lock: l}, nil
}

func (s *Store) create(passphrase []byte) error {
	if _, err := os.Lstat(s.path); err == nil {
		return ErrExists
	}
	return s.replace(passphrase, newMaster())
}

func (s *Store) open(passphrase []byte) error {
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		return ErrMissing
	}
	db, err := openFile(s.path)
	if err != nil {
		return err
	}
	m, err := load(db, passphrase)
	if err != nil {
		db.Close()
		return err
	}
	s.db, s.master = db, m
	return nil
}

// load reads the master key and every entry once, so that damage shows at Open
// and not in the middle of a release.
func load(db *bolt.DB, passphrase []byte) (m *master, err error) {
	defer damage(&err)
	// A page number out of the file is a fault in bbolt's memory map.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	m, err = unseal(db, passphrase)
	if err != nil {
		return nil, err
	}
	return m, db.View(m.verify)
}

// damage turns bbolt's panic over a damaged file into ErrCorrupt.
func damage(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %v", ErrCorrupt, r)
	}
}

// openFile opens the database; a damaged one is an error, not a panic.
func openFile(path string) (db *bolt.DB, err error) {
	defer damage(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return db, nil
}

const unfinished = ".new"

// ChangePassphrase seals the master key under another passphrase. The file is
// written anew, so that nothing sealed under the old passphrase stays in it.
func (s *Store) ChangePassphrase(old, new []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := unseal(s.db, old)
	if err != nil {
		return fmt.Errorf("change passphrase: %w", err)
	}
	m.forget()
	if err := s.replace(new, s.master); err != nil {
		return fmt.Errorf("change passphrase: %w", err)
	}
	return nil
}

// Rekey makes a new master key and seals every entry under it. The file is
// written anew and takes the old one's place at once: a crash leaves one or the
// other whole. After Rekey no deleted entry can be recovered from the file.
func (s *Store) Rekey(passphrase []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := unseal(s.db, passphrase)
	if err != nil {
		return fmt.Errorf("rekey: %w", err)
	}
	old.forget()
	if err := s.replace(passphrase, newMaster()); err != nil {
		return fmt.Errorf("rekey: %w", err)
	}
	return nil
}

// replace writes the entries beside the present file, sealed under m, and puts
// the new file in its place.
func (s *Store) replace(passphrase []byte, m *master) error {
	db, err := s.write(passphrase, m)
	if err != nil {
		return err
	}
	if s.db != nil {
		s.db.Close() // the old file is gone with it
	}
	if s.master != m {
		s.master.forget()
	}
	s.db, s.master = db, m
	return syncDir(filepath.Dir(s.path))
}

func (s *Store) write(passphrase []byte, m *master) (*bolt.DB, error) {
	path := s.path + unfinished
	db, err := openFile(path)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		if err := m.seal(tx, passphrase); err != nil {
			return err
		}
		return s.copy(tx, m)
	})
	if err == nil {
		err = os.Rename(path, s.path)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close(), os.Remove(path))
	}
	return db, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
