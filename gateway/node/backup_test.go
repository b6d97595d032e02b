package node

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// places is a configuration whose places are in an empty folder.
func places(t *testing.T) Config {
	t.Helper()
	var c Config
	c.State = filepath.Join(t.TempDir(), "state")
	c.Outbox.URL = "sqlite:" + filepath.Join(c.State, "outbox.db")
	c.Events.Database = "sqlite:" + filepath.Join(c.State, "events.db")
	c.Audit = "sqlite:" + filepath.Join(c.State, "audit.db")
	return c
}

func written(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(filepath.Base(path)), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// A log that a killed gateway left beside a database that was moved away is of another database
// than the restored one, and SQLite would not know.
func TestNothingIsRestoredBesideAnOldLog(t *testing.T) {
	if err := places(t).emptyPlaces(false); err != nil {
		t.Fatalf("the control, an empty place: %v", err)
	}
	for _, name := range []string{"keys.db", "outbox.db", "outbox.db-wal", "outbox.db-shm", "events.db", "events.db-wal"} {
		c := places(t)
		written(t, filepath.Join(c.State, name))
		if err := c.emptyPlaces(false); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("beside %s: %v", name, err)
		}
	}
	c, staging := places(t), t.TempDir()
	written(t, filepath.Join(c.State, "audit.db"))
	written(t, filepath.Join(c.State, "audit.db-wal"))
	written(t, filepath.Join(staging, "audit.db"))
	if err := c.place(staging, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(c.State, "audit.db-wal")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old log of what was replaced is still there: %v", err)
	}
}

// A gateway that finds a key store takes it for whole.
func TestTheKeyStoreIsNotPlacedWhereSomethingElseCannotBe(t *testing.T) {
	c, staging := places(t), t.TempDir()
	for _, name := range []string{"outbox.db", "events.db", "keys.db"} {
		written(t, filepath.Join(staging, name))
	}
	written(t, filepath.Join(c.State, "outbox.db", "in the way"))
	if err := c.place(staging, false); err == nil {
		t.Fatal("a folder is replaced by a database")
	}
	if _, err := os.Lstat(filepath.Join(c.State, "keys.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key store was placed without its outbox: %v", err)
	}
}

// A restore that was killed is done again over what it had put there; until then no gateway
// starts and makes a key store in the place of the one that is missing.
func TestARestoreThatWasCutOffIsSeenAndDoneAgain(t *testing.T) {
	c := places(t)
	run := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return Run(ctx, c, "test", slog.New(slog.DiscardHandler), nil)
	}
	if err := run(); err == nil || strings.Contains(err.Error(), "backup") {
		t.Errorf("the control, without one: %v", err) // it fails further on, at the passphrase
	}
	written(t, filepath.Join(c.State, "outbox.db"))
	written(t, filepath.Join(c.staging(), "keys.db"))
	if err := run(); err == nil || !strings.Contains(err.Error(), "restore it again") {
		t.Errorf("a gateway starts on half a restore: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(c.staging(), "keys.db")); err != nil {
		t.Errorf("what is missing was deleted: %v", err)
	}
	if err := c.emptyPlaces(true); err != nil {
		t.Errorf("it can't be restored again: %v", err)
	}
	if err := c.place(c.staging(), false); err != nil {
		t.Fatal(err)
	}
	if err := c.emptyPlaces(true); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("it is restored over a key store: %v", err)
	}
	if err := run(); err == nil || strings.Contains(err.Error(), "backup") {
		t.Errorf("a restore that is whole: %v", err)
	}
	if _, err := os.Lstat(c.staging()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a whole restore left is still there: %v", err)
	}
}

func TestEachDatabaseIsOneOfItsOwn(t *testing.T) {
	const shared = "must be three databases"
	c := places(t)
	if err := c.check(); err == nil || strings.Contains(err.Error(), shared) {
		t.Fatalf("the control, three files: %v", err)
	}
	c.Audit, c.Outbox.URL = "postgres://db/yitong", "postgres://db/yitong"
	if err := c.check(); err == nil || !strings.Contains(err.Error(), shared) {
		t.Errorf("two in one database: %v", err)
	}
}
