// Package backup writes what a gateway would miss into one encrypted file, while it runs, and
// brings it back.
//
// # The file
//
// It is an age file (age-encryption.org/v1), for recipients or under the key store's
// passphrase. In it is a tar archive:
//
//	backup.json    what it is of: member, channel, height of the ledger, time
//	outbox.db      SQLite, as of one moment
//	events.db      likewise: the webhooks (the feed itself is made anew of the blocks)
//	audit.db       likewise, if wanted
//	heights.jsonl  the signed heights of the other members
//	keys.db        the key store, as of one moment, sealed as it was
//	vault/NAME     every sealed part, if they are taken along
//	digests.json   size and SHA-256 of each of these, and the names and sizes in the vault
//
// Order is what makes it whole without stopping anything: the outbox comes before the key
// store, so what is open in it is known there; the vault comes after, so it has the parts of
// every record that the key store knows, unless they were erased in between, which is on the
// ledger. The end is digests.json: a file without it was cut off.
//
// # What it doesn't have
//
// Secrets that the gateway's configuration names (passphrase, private keys of certificates)
// and the configuration itself; databases that are named by a postgres URL, and an object
// store's objects: those have backups of their own, to be made after this one.
//
// # What comes back
//
// A key store of yesterday has the keys of what was erased today. So restoring holds it
// against the ledger before the gateway starts, and destroys again what is erased there
// (gateway/share, Reconcile); only then are the files put in their places.
package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"yitong/chaincode/record"
	"yitong/gateway/database"
	"yitong/gateway/keys"
	"yitong/gateway/vault"
)

// Names in the archive.
const (
	headerName  = "backup.json"
	outboxName  = "outbox.db"
	eventsName  = "events.db"
	auditName   = "audit.db"
	heightsName = "heights.jsonl"
	keysName    = "keys.db"
	vaultPrefix = "vault/"
	digestsName = "digests.json"
)

// version of the archive's layout.
const version = 1

// Header says what a backup is of.
type Header struct {
	Version int       `json:"version"`
	Member  string    `json:"member"` // MSP id
	Channel string    `json:"channel"`
	Height  uint64    `json:"height"` // blocks on the own peer before anything was read
	At      time.Time `json:"at"`
	Gateway string    `json:"gateway"` // version of the program
	Vault   bool      `json:"vault"`   // the sealed parts are in it
}

// Digest is what a file of the archive must be.
type Digest struct {
	Size   int64       `json:"size"`
	SHA256 record.Hash `json:"sha256"`
}

// Digests is the archive's last file.
type Digests struct {
	Files map[string]Digest `json:"files"`
	Vault map[string]int64  `json:"vault"` // every part's name and size, whether it is in the archive or not
}

// Source is what is backed up.
type Source struct {
	Header Header
	Keys   *keys.Store
	Vault  vault.Vault
	Dir    string // the vault's folder; "" where it is an object store
	// Databases are files of SQLite by their names in the archive, and Files others; those
	// that aren't there are left out.
	Databases, Files map[string]string
	Scratch          string // folder for copies of the databases
}

// Write writes a backup.
func Write(ctx context.Context, to io.Writer, s Source, recipients ...age.Recipient) error {
	sealed, err := age.Encrypt(to, recipients...)
	if err != nil {
		return fmt.Errorf("encrypting the backup: %w", err)
	}
	w := &writer{ctx: ctx, tar: tar.NewWriter(sealed), digests: Digests{Files: map[string]Digest{}, Vault: map[string]int64{}}}
	if err := w.all(s); err != nil {
		return err
	}
	if err := errors.Join(w.tar.Close(), sealed.Close()); err != nil {
		return fmt.Errorf("ending the backup: %w", err)
	}
	return nil
}

// scratchName begins the names of folders that hold copies while a backup is written.
const scratchName = ".backup-"

// Clean deletes what backups that were cut off by a crash left in their scratch folder: a copy of
// the key store there still has the keys of what is erased since. No backup may be under way.
func Clean(scratch string) error {
	entries, err := os.ReadDir(scratch)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for what a backup left: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), scratchName) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(scratch, e.Name())))
		}
	}
	return err
}

type writer struct {
	ctx     context.Context
	tar     *tar.Writer
	digests Digests
}

func (w *writer) all(s Source) error {
	s.Header.Version, s.Header.Vault = version, s.Dir != ""
	if err := w.document(headerName, s.Header); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(s.Scratch, scratchName)
	if err != nil {
		return fmt.Errorf("making room for the backup: %w", err)
	}
	defer os.RemoveAll(scratch)
	for _, name := range []string{outboxName, eventsName, auditName} {
		if path := s.Databases[name]; path != "" {
			if err := w.database(name, path, filepath.Join(scratch, name)); err != nil {
				return err
			}
		}
	}
	for name, path := range s.Files {
		if err := w.file(name, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := w.keys(s.Keys, filepath.Join(scratch, keysName)); err != nil {
		return err
	}
	if err := w.vault(s); err != nil {
		return err
	}
	return w.document(digestsName, w.digests)
}

func (w *writer) document(name string, value any) error {
	doc, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return err
	}
	return w.add(name, int64(len(doc)), strings.NewReader(string(doc)))
}

// database copies a database as of one moment.
func (w *writer) database(name, path, scratch string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := database.Copy(w.ctx, path, scratch); err != nil {
		return fmt.Errorf("copying %s: %w", name, err)
	}
	defer os.Remove(scratch)
	return w.file(name, scratch)
}

// keys copies the key store aside first: a slow reader of the backup must not hold up those
// who write to it.
func (w *writer) keys(store *keys.Store, scratch string) error {
	f, err := os.OpenFile(scratch, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = store.Backup(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return w.file(keysName, scratch)
}

func (w *writer) file(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return w.add(name, info.Size(), f)
}

func (w *writer) add(name string, size int64, from io.Reader) error {
	if err := w.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, Format: tar.FormatPAX}); err != nil {
		return fmt.Errorf("writing %s to the backup: %w", name, err)
	}
	digest := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(w.tar, digest), &stoppable{w.ctx, from}, size); err != nil {
		return fmt.Errorf("writing %s to the backup: %w", name, err)
	}
	w.digests.Files[name] = Digest{size, record.Hash(digest.Sum(nil))}
	return nil
}

// vault writes the sealed parts. They never change, and one that is deleted meanwhile is one
// that was erased, or whose record was discarded.
func (w *writer) vault(s Source) error {
	for e, err := range s.Vault.List(w.ctx) {
		if err != nil {
			return err
		}
		name := e.Name.String()
		if s.Dir != "" {
			err := w.file(vaultPrefix+name, filepath.Join(s.Dir, name[:2], name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
		}
		w.digests.Vault[name] = e.Size
	}
	return nil
}

// stoppable reads until a context ends.
type stoppable struct {
	ctx  context.Context
	from io.Reader
}

func (s *stoppable) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.from.Read(b)
}
