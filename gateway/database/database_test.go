package database_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"yitong/gateway/database"
	"yitong/gateway/database/databasetest"
)

// notes is a schema with one table.
func notes() fstest.MapFS {
	schema := &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL);\n")}
	return fstest.MapFS{"migrations/sqlite/00001_notes.sql": schema, "migrations/postgres/00001_notes.sql": schema}
}

func open(t *testing.T, at string, o database.Options) *database.Database {
	t.Helper()
	d, err := database.Open(t.Context(), at, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func note(t *testing.T, d *database.Database, number int, text string) {
	t.Helper()
	if _, err := d.Writes.ExecContext(t.Context(), d.Bind("INSERT INTO notes (number, text) VALUES (?, ?)"), number, text); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, d *database.Database, number int) (text string) {
	t.Helper()
	if err := d.Reads.QueryRowContext(t.Context(), d.Bind("SELECT text FROM notes WHERE number = ?"), number).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatWasWrittenIsThereWhenItIsOpenedAgain(t *testing.T) {
	for name, where := range map[string]func(t *testing.T) string{
		"SQLite": func(t *testing.T) string {
			return "sqlite:" + filepath.Join(t.TempDir(), "in a folder, 100 % new?#", "notes.db")
		},
		"PostgreSQL": databasetest.Postgres,
	} {
		t.Run(name, func(t *testing.T) {
			at, o := where(t), database.Options{Migrations: notes(), Readers: 2, Durable: true, Wait: time.Second}
			d := open(t, at, o)
			note(t, d, 1, "one")
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = open(t, at, o)
			note(t, d, 2, "two")
			if one, two := read(t, d, 1), read(t, d, 2); one != "one" || two != "two" {
				t.Errorf("%q, %q", one, two)
			}
		})
	}
}

// What is being written while it is copied is in the copy whole, or not at all.
func TestACopyIsOfOneMoment(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "100 %41?#")
	path, o := filepath.Join(folder, "notes.db"), database.Options{Migrations: notes(), Readers: 1}
	d := open(t, "sqlite:"+path, o)
	note(t, d, 1, "one")
	under, err := d.Writes.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := under.ExecContext(t.Context(), "INSERT INTO notes (number, text) VALUES (2, 'two')"); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(folder, "copy.db")
	if err := database.Copy(t.Context(), path, to); err != nil {
		t.Fatal(err)
	}
	if err := under.Commit(); err != nil {
		t.Fatal(err)
	}
	var count int
	if err := open(t, "sqlite:"+to, o).Reads.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM notes").Scan(&count); err != nil || count != 1 {
		t.Errorf("the copy has %d notes, %v", count, err)
	}
	if err := database.Copy(t.Context(), path, to); err == nil {
		t.Error("a copy is made where there is one")
	}
}

// Its owner's name for the table that the schema's version is in stays what it was, or the
// schema would be made a second time.
func TestTheSchemaIsNotedWhereItsOwnerSays(t *testing.T) {
	for name, table := range map[string]string{"": "goose_db_version", "notes_schema": "notes_schema"} {
		t.Run(table, func(t *testing.T) {
			d := open(t, "sqlite:"+filepath.Join(t.TempDir(), "notes.db"), database.Options{Migrations: notes(), SchemaTable: name, Readers: 1})
			var version int
			if err := d.Reads.QueryRowContext(t.Context(), "SELECT MAX(version_id) FROM "+table).Scan(&version); err != nil || version != 1 {
				t.Errorf("the schema's version is %d, %v", version, err)
			}
		})
	}
}

func TestAFileIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "notes.db")
	note(t, open(t, "sqlite:"+path, database.Options{Migrations: notes(), Readers: 1}), 1, "one")
	for _, made := range []string{path, path + "-wal", filepath.Dir(path)} {
		info, err := os.Stat(made)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be used by others: %v", filepath.Base(made), info.Mode())
		}
	}
}

// How safe a commit is, and what a connection may take, is as the owner says.
func TestAFileIsOpenedAsItsOwnerSays(t *testing.T) {
	for name, c := range map[string]struct {
		options                   database.Options
		synchronous, wait         int
		writerCache, readersCache int
	}{
		"durable":           {database.Options{Durable: true, Wait: 3 * time.Second}, 2, 3000, -2000, -2000},
		"fast, with memory": {database.Options{Wait: 10 * time.Second, WriterCache: 65536, ReaderCache: 16384}, 1, 10000, -65536, -16384},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.Migrations, c.options.Readers = notes(), 1
			d := open(t, "sqlite:"+filepath.Join(t.TempDir(), "notes.db"), c.options)
			for pragma, want := range map[string][2]int{
				"synchronous": {c.synchronous, c.synchronous}, "busy_timeout": {c.wait, c.wait}, "cache_size": {c.writerCache, c.readersCache},
				"query_only": {0, 1},
			} {
				var writes, reads int
				if err := d.Writes.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&writes); err != nil {
					t.Fatal(err)
				}
				if err := d.Reads.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&reads); err != nil {
					t.Fatal(err)
				}
				if writes != want[0] || reads != want[1] {
					t.Errorf("%s is %d, and %d for those who read; want %v", pragma, writes, reads, want)
				}
			}
		})
	}
}

func TestWhatNamesNoDatabaseIsRefused(t *testing.T) {
	for _, at := range []string{"", "sqlite:", "audit.db", "mysql://host/audit", "postgres:host"} {
		if database.Check(at) == nil {
			t.Errorf("%q is said to name a database", at)
		}
		if d, err := database.Open(t.Context(), at, database.Options{Migrations: notes()}); err == nil {
			d.Close()
			t.Errorf("%q is opened", at)
		}
	}
	for _, at := range []string{"sqlite:audit.db", "postgres://host/audit", "postgresql://host/audit"} {
		if err := database.Check(at); err != nil {
			t.Errorf("%q: %v", at, err)
		}
	}
}

func TestAPasswordIsNotToldWithAnError(t *testing.T) {
	for _, at := range []string{"postgres://yitong:hush%zz@127.0.0.1/audit", "postgres://yitong:hush@127.0.0.1:port/audit", "postgres://yitong:hush@127.0.0.1:1/audit"} {
		d, err := database.Open(t.Context(), at, database.Options{Migrations: notes(), Readers: 1})
		if err == nil {
			d.Close()
			t.Fatal("it is opened")
		}
		if strings.Contains(err.Error(), "hush") {
			t.Error("the error has the password")
		}
	}
}

func TestAURLIsResolved(t *testing.T) {
	for at, want := range map[string]string{
		"":                      "sqlite:/state/audit.db",
		"sqlite:audit.db":       "sqlite:/etc/yitong/audit.db",
		"sqlite:/else/audit.db": "sqlite:/else/audit.db",
		"sqlite:":               "sqlite:",
		"postgres://host/audit": "postgres://host/audit",
	} {
		if got := database.Resolve(at, "/etc/yitong", "/state/audit.db"); got != want {
			t.Errorf("%q is %q, want %q", at, got, want)
		}
	}
}
