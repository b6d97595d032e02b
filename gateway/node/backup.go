package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"yitong/chaincode/registry"
	"yitong/gateway/api"
	"yitong/gateway/backup"
	"yitong/gateway/credential"
	"yitong/gateway/database"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/share"
	"yitong/gateway/vault"
)

// backups writes backups of a gateway that runs.
func (c Config) backups(chain *ledger.Ledger, store *keys.Store, sealed vault.Vault, version string) api.Backup {
	return func(ctx context.Context, to io.Writer, chosen []string, withoutVault, withAudit bool) error {
		recipients, err := c.Backup.readers(chosen)
		if err != nil {
			return err
		}
		if len(recipients) == 0 {
			passphrase, err := readPassphrase(c.Passphrase)
			if err != nil {
				return err
			}
			defer clear(passphrase)
			r, err := age.NewScryptRecipient(string(passphrase))
			if err != nil {
				return fmt.Errorf("encrypting the backup: %w", err)
			}
			recipients = []age.Recipient{r}
		}
		height, err := chain.Height(ctx)
		if err != nil {
			return err
		}
		s := backup.Source{
			Header: backup.Header{Member: c.Member.MSP, Channel: c.Channel, Height: height, At: time.Now().UTC().Truncate(time.Second), Gateway: version},
			Keys:   store, Vault: sealed, Scratch: c.State,
			Databases: map[string]string{"outbox.db": database.File(c.Outbox.URL), "events.db": database.File(c.Events.Database)},
			Files:     map[string]string{"heights.jsonl": filepath.Join(c.State, "heights.jsonl")},
		}
		if withAudit {
			s.Databases["audit.db"] = database.File(c.Audit)
		}
		if !withoutVault && !strings.Contains(c.Vault, "://") {
			s.Dir = c.Vault
		}
		return backup.Write(ctx, to, s, recipients...)
	}
}

// Restored is what came back, and what didn't.
type Restored struct {
	Header backup.Header `json:"backup"`
	Height uint64        `json:"height"` // blocks on the own peer now
	// Age is how long before now the backup was begun: what happened since is on the ledger,
	// and what of it was in this gateway alone is gone (the recovery point).
	Age time.Duration `json:"age"`
	// Took is how long restoring took (of the recovery time).
	Took     time.Duration  `json:"took"`
	Holdings share.Holdings `json:"holdings"` // as it was restored
	Again    int            `json:"again"`    // records of which was erased again what the ledger says is
	Warnings []string       `json:"warnings,omitempty"`
}

// ErrNotEmpty says that there is something where a backup was to be restored.
var ErrNotEmpty = errors.New("there is a gateway's state already")

// Restore brings a backup back into the places that a configuration names, which must be
// empty. Before anything is put there it is held against the ledger on the own peer: what is
// erased there is erased again. The gateway must not run. say is told of each step.
func Restore(ctx context.Context, config Config, from io.Reader, identities []age.Identity, say func(string, ...any), log *slog.Logger) (r Restored, err error) {
	begun := time.Now()
	staging := config.staging()
	_, err = os.Lstat(staging)
	cutOff := err == nil // what lies in the places but the key store was put there by that try
	if err := config.emptyPlaces(cutOff); err != nil {
		return r, err
	}
	if err := os.RemoveAll(staging); err != nil {
		return r, err
	}
	if err := os.MkdirAll(staging, 0o700); err != nil {
		return r, err
	}
	placing := false
	defer func() {
		if err == nil || !placing && !cutOff { // else a gateway that starts must see that not all is there
			err = errors.Join(err, os.RemoveAll(staging))
		}
	}()
	say("reading the backup and checking every digest")
	content, err := backup.Read(from, staging, identities...)
	if err != nil {
		return r, err
	}
	r.Header = content.Header
	if r.Header.Member != config.Member.MSP || r.Header.Channel != config.Channel {
		return r, fmt.Errorf("the backup is of %s on channel %s, the configuration of %s on %s", r.Header.Member, r.Header.Channel, config.Member.MSP, config.Channel)
	}
	say("holding it against the ledger")
	if err := r.reconcile(ctx, config, staging, log); err != nil {
		return r, err
	}
	say("putting it in its places")
	placing = true
	if err := config.place(staging, r.Header.Vault); err != nil {
		return r, err
	}
	r.Age, r.Took = time.Since(r.Header.At).Round(time.Second), time.Since(begun).Round(time.Millisecond)
	return r, nil
}

// staging is where a backup is read to before its files are put in their places.
func (c Config) staging() string { return c.State + ".restoring" }

// emptyPlaces makes sure that nothing is overwritten but what a restore that was cut off has
// put there.
func (c Config) emptyPlaces(cutOff bool) error {
	all := []string{filepath.Join(c.State, "keys.db"), database.File(c.Outbox.URL), database.File(c.Events.Database)}
	if cutOff {
		all = all[:1] // it comes last, so that try ended before
	}
	for _, path := range all {
		if path == "" {
			continue
		}
		// SQLite would play an old log back into the database that was restored.
		for _, there := range append([]string{path}, besides(path)...) {
			if _, err := os.Lstat(there); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w: %s; move it away first", ErrNotEmpty, there)
			}
		}
	}
	return nil
}

// wholeRestore refuses to start on what a restore that was cut off has left: a gateway that
// finds no key store would make one. Where the restore had come to its end, what it left is
// deleted.
func (c Config) wholeRestore() error {
	if _, err := os.Lstat(c.staging()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(c.State, "keys.db")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("a backup was being restored, and isn't whole: restore it again (yitong backup restore); "+
			"to begin without it, delete %s and what lies in %s", c.staging(), c.State)
	}
	return os.RemoveAll(c.staging())
}

// besides are the files that SQLite keeps beside a database: they belong to that one alone.
func besides(path string) []string { return []string{path + "-wal", path + "-shm", path + "-journal"} }

// reconcile opens what was read, compares it with the ledger, and erases again what is erased
// there.
func (r *Restored) reconcile(ctx context.Context, config Config, staging string, log *slog.Logger) (err error) {
	passphrase, err := readPassphrase(config.Passphrase)
	if err != nil {
		return err
	}
	store, err := keys.Open(filepath.Join(staging, "keys.db"), passphrase)
	clear(passphrase)
	if errors.Is(err, keys.ErrPassphrase) {
		return fmt.Errorf("%w: it takes the passphrase of when the backup was made", err)
	}
	if err != nil {
		return err
	}
	defer closing(&err, store.Close)
	at := config.Vault
	if r.Header.Vault {
		at = filepath.Join(staging, "vault")
	}
	sealed, err := vault.OpenURL(ctx, at)
	if err != nil {
		return err
	}
	defer closing(&err, sealed.Close)
	chain, err := dial(ctx, config, config.Identity, nil, log)
	if err != nil {
		return err
	}
	defer closing(&err, chain.Close)
	trust, err := readTrust(config.Trust)
	if err != nil {
		return err
	}
	shown, err := credential.Open(credential.Files(config.TLS))
	if err != nil {
		return err
	}
	others := api.NewCounterparts(trust, nil, shown.ForClient)
	defer closing(&err, others.Close)
	if r.Height, err = chain.Height(ctx); err != nil {
		return fmt.Errorf("the backup can't be held against the ledger, so nothing was restored: %w", err)
	}
	if r.Height < r.Header.Height {
		return fmt.Errorf("the own peer has %d blocks, fewer than the %d when the backup was made: have it catch up first; nothing was restored", r.Height, r.Header.Height)
	}
	gateway, err := share.New(share.Config{
		Self:   registry.Candidate{MSP: config.Member.MSP, Name: config.Member.Name, Kind: config.Member.Kind, Gateway: config.Member.Gateway},
		Ledger: chain, Keys: store, Vault: sealed, Exchange: others, Holders: others, Log: log, Channel: config.Channel,
	})
	if err != nil {
		return err
	}
	defer closing(&err, func() error { return gateway.Close(ctx) })
	if r.Holdings, err = gateway.Holdings(ctx); err != nil {
		return err
	}
	if err := gateway.Reconcile(ctx); err != nil {
		return fmt.Errorf("what is erased on the ledger couldn't be erased again, so nothing was restored: %w", err)
	}
	after, err := gateway.Holdings(ctx)
	if err != nil {
		return err
	}
	if len(after.Erased) > 0 {
		return fmt.Errorf("%d records that are erased on the ledger still have keys here; nothing was restored", len(after.Erased))
	}
	r.Again = len(r.Holdings.Erased)
	r.warn()
	return nil
}

// warn says what of the restored is not as it was.
func (r *Restored) warn() {
	h := r.Holdings
	say := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	if n := len(h.Missing); n > 0 {
		say("%d records have parts that aren't in the vault: the vault is older than the key store. Restore a vault that is as new; until then they can't be released", n)
	}
	if n := len(h.Lost); n > 0 {
		say("%d records were anchored after the backup and aren't in it: submit them again, or have their keys recovered from escrow", n)
	}
	if h.Strange > 0 {
		say("%d sealed parts in the vault are of no record in the key store: the vault is newer. The gateway deletes them when it starts; keep a copy of the vault if keys of a newer backup may turn up", h.Strange)
	}
	if r.Again > 0 {
		say("%d records were erased after the backup: their keys were destroyed again", r.Again)
	}
	if behind := r.Height - r.Header.Height; behind > 0 {
		say("%d blocks have come since the backup; patients' evidence and handles that were made since in this gateway alone are gone, and are asked for anew", behind)
	}
}

// place moves what was read to where the configuration wants it, the key store last: a
// gateway that finds none makes a new one, so it must find all or nothing.
func (c Config) place(staging string, withVault bool) error {
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return err
	}
	move := func(name, to string) error {
		if to == "" {
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		err := moveFile(filepath.Join(staging, name), to)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if withVault {
		if err := c.placeVault(filepath.Join(staging, "vault")); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(filepath.Join(staging, "audit.db")); err == nil && database.File(c.Audit) != "" {
		for _, old := range besides(database.File(c.Audit)) { // of one that was made of the same blocks
			if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for _, f := range []struct{ name, to string }{
		{"outbox.db", database.File(c.Outbox.URL)}, {"events.db", database.File(c.Events.Database)}, {"audit.db", database.File(c.Audit)},
		{"heights.jsonl", filepath.Join(c.State, "heights.jsonl")}, {"keys.db", filepath.Join(c.State, "keys.db")},
	} {
		if err := move(f.name, f.to); err != nil {
			return err
		}
	}
	return nil
}

// placeVault moves parts into the vault's folder; those that are there already are the same.
func (c Config) placeVault(from string) error {
	shards, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, shard := range shards {
		if len(shard.Name()) != 2 {
			continue // the vault's own
		}
		parts, err := os.ReadDir(filepath.Join(from, shard.Name()))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(c.Vault, shard.Name()), 0o700); err != nil {
			return err
		}
		for _, p := range parts {
			if err := moveFile(filepath.Join(from, shard.Name(), p.Name()), filepath.Join(c.Vault, shard.Name(), p.Name())); err != nil {
				return fmt.Errorf("putting a part into the vault: %w", err)
			}
		}
	}
	return nil
}

// moveFile also moves to another file system, durably.
func moveFile(from, to string) error {
	err := os.Rename(from, to)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := renameio.NewPendingFile(to, renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer out.Cleanup()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return errors.Join(out.CloseAtomicallyReplace(), os.Remove(from))
}
