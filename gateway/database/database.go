// Package database opens the SQL databases that a gateway keeps its audit trail, its outbox
// and its feed of events in: a file of SQLite, or PostgreSQL.
//
// A database is named by a URL:
//
//	sqlite:/var/lib/yitong/audit.db      a file, made if it isn't there, for its owner alone
//	postgres://user@host:5432/database   PostgreSQL, as libpq has it; the password is best
//	                                     left to a .pgpass file
//
// It has one connection that writes and several that read, so that nobody who reads is held
// up and no two writers meet. Queries are written once, with ? for each argument (Bind), and
// so is each schema, in two dialects, by whoever owns the tables (Options.Migrations).
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Options say what a database is to be.
type Options struct {
	// Migrations are its schema, in the folders migrations/sqlite and migrations/postgres, as
	// goose has them; SchemaTable is where goose notes how far they have come, by default in
	// goose_db_version.
	Migrations  fs.FS
	SchemaTable string
	// Readers is how many connections may read at a time.
	Readers int

	// What follows is for SQLite alone.

	// Durable has what is committed stay when power fails. Without it the newest transactions
	// may be lost then, and none is broken apart.
	Durable bool
	// Wait is how long a lock on the file is waited for.
	Wait time.Duration
	// WriterCache and ReaderCache are how much of the file, in KiB, a connection keeps in
	// memory; by default what SQLite does.
	WriterCache, ReaderCache int
}

// Database is an open one, safe for concurrent use; Close it.
type Database struct {
	Reads    *sql.DB
	Writes   *sql.DB // has one connection
	Postgres bool    // whether it is PostgreSQL rather than SQLite

	lock *flock.Flock // of SQLite's file
}

// Open opens the database at a URL and brings its schema up to date. Until it is closed nobody
// else can: ErrInUse. No error quotes the URL.
func Open(ctx context.Context, at string, o Options) (*Database, error) {
	d := &Database{}
	if err := d.open(at, o); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := d.Writes.PingContext(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := d.migrate(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("bringing its schema up to date: %w", err), d.Close())
	}
	return d, nil
}

func (d *Database) open(at string, o Options) error {
	if err := Check(at); err != nil {
		return err
	}
	path := File(at)
	if path == "" {
		d.Postgres = true
		return d.connect(func() (*sql.DB, error) { return sessions(at) }, func() (*sql.DB, error) { return sql.Open("pgx", at) }, o.Readers)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// SQLite would make the file for everyone to read.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if d.lock, err = alone(path); err != nil {
		return err
	}
	synchronous := "NORMAL"
	if o.Durable {
		synchronous = "FULL"
	}
	name := fmt.Sprintf("%s&_pragma=journal_mode(WAL)&_pragma=synchronous(%s)&_pragma=foreign_keys(1)&_pragma=temp_store(2)", dsn(path, o.Wait), synchronous)
	connect := func(how string, kib int) func() (*sql.DB, error) {
		return func() (*sql.DB, error) { return sql.Open("sqlite", name+how+cache(kib)) }
	}
	return d.connect(connect("&_txlock=immediate", o.WriterCache), connect("&_pragma=query_only(1)", o.ReaderCache), o.Readers)
}

// dsn is how the driver has a file named.
func dsn(path string, wait time.Duration) string {
	return fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)", (&url.URL{Path: path}).EscapedPath(), wait.Milliseconds())
}

func cache(kib int) string {
	if kib == 0 {
		return ""
	}
	return fmt.Sprintf("&_pragma=cache_size(-%d)", kib)
}

func (d *Database) connect(writes, reads func() (*sql.DB, error), readers int) (err error) {
	unreadable := errors.New("its URL can't be read") // the driver's words may quote a password
	if d.Writes, err = writes(); err != nil {
		return unreadable
	}
	d.Writes.SetMaxOpenConns(1)
	if d.Reads, err = reads(); err != nil {
		return unreadable
	}
	d.Reads.SetMaxOpenConns(readers)
	return nil
}

func (d *Database) migrate(ctx context.Context, o Options) error {
	dialect, folder := goose.DialectSQLite3, "migrations/sqlite"
	if d.Postgres {
		dialect, folder = goose.DialectPostgres, "migrations/postgres"
	}
	files, err := fs.Sub(o.Migrations, folder)
	if err != nil {
		return err
	}
	var options []goose.ProviderOption
	if o.SchemaTable != "" {
		options = append(options, goose.WithTableName(o.SchemaTable))
	}
	p, err := goose.NewProvider(dialect, d.Writes, files, options...)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// Close closes the database. What was committed is kept.
func (d *Database) Close() error {
	var err error
	for _, db := range []*sql.DB{d.Reads, d.Writes} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Unlock())
	}
	return err
}

// Copy copies a file of SQLite, as of one moment, whoever else has it open. There must be
// nothing where the copy is to be.
func Copy(ctx context.Context, path, to string) error {
	db, err := sql.Open("sqlite", dsn(path, 10*time.Second))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	return errors.Join(err, db.Close())
}

// Bind writes the placeholders of a query (?) as the database wants them.
func (d *Database) Bind(query string) string {
	if !d.Postgres {
		return query
	}
	var b strings.Builder
	n := 0
	for i := range len(query) {
		if query[i] != '?' {
			b.WriteByte(query[i])
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}
