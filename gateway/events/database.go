package events

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"
)

//go:embed migrations
var migrations embed.FS

// database is where the feed and its subscriptions are kept. There is one writer.
type database struct {
	reads, writes *sql.DB
	postgres      bool
}

// openDatabase opens sqlite:PATH or postgres://… and brings its schema up to date.
func openDatabase(ctx context.Context, at string) (d *database, err error) {
	d = &database{}
	path, isFile := strings.CutPrefix(at, "sqlite:")
	switch {
	case isFile && path != "":
		err = d.openFile(path)
	case strings.HasPrefix(at, "postgres://"), strings.HasPrefix(at, "postgresql://"):
		err = d.openServer(at)
	default:
		err = errors.New("it is named by sqlite:PATH or postgres://…")
	}
	if err == nil {
		err = d.migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *database) openFile(path string) (err error) {
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
	// Subscriptions can't be made anew of the blocks, so every commit is durable (FULL).
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)"
	if d.writes, err = sql.Open("sqlite", name+"&_txlock=immediate"); err != nil {
		return err
	}
	d.writes.SetMaxOpenConns(1)
	if d.reads, err = sql.Open("sqlite", name+"&_pragma=query_only(1)"); err != nil {
		return err
	}
	d.reads.SetMaxOpenConns(8)
	return nil
}

func (d *database) openServer(at string) (err error) {
	d.postgres = true
	for _, one := range []struct {
		db  **sql.DB
		max int
	}{{&d.writes, 1}, {&d.reads, 8}} {
		if *one.db, err = sql.Open("pgx", at); err != nil {
			return errors.New("the URL of the PostgreSQL database can't be read") // the driver's words may quote a password
		}
		(*one.db).SetMaxOpenConns(one.max)
	}
	return nil
}

func (d *database) migrate(ctx context.Context) error {
	dialect, folder := goose.DialectSQLite3, "migrations/sqlite"
	if d.postgres {
		dialect, folder = goose.DialectPostgres, "migrations/postgres"
	}
	files, err := fs.Sub(migrations, folder)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, d.writes, files, goose.WithTableName("events_schema"))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func (d *database) close() error {
	var err error
	for _, db := range []*sql.DB{d.reads, d.writes} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return err
}

// bind writes the placeholders of a query (?) as the database wants them.
func (d *database) bind(query string) string {
	if !d.postgres {
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

// writer is one transaction of the one writer.
type writer struct {
	*database
	ctx context.Context
	tx  *sql.Tx
}

// write runs f in a transaction: all of what it writes is kept, or nothing.
func (d *database) write(ctx context.Context, f func(*writer) error) error {
	tx, err := d.writes.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(&writer{d, ctx, tx}); err != nil {
		if rolled := tx.Rollback(); rolled != nil && !errors.Is(rolled, sql.ErrTxDone) {
			err = errors.Join(err, rolled)
		}
		return err
	}
	return tx.Commit()
}

func (w *writer) exec(query string, args ...any) error {
	_, err := w.tx.ExecContext(w.ctx, w.bind(query), args...)
	return err
}

// change is an exec that must find something to change.
func (w *writer) change(query string, args ...any) error {
	done, err := w.tx.ExecContext(w.ctx, w.bind(query), args...)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, sql.ErrNoRows)
	}
	return nil
}

func (w *writer) row(query string, args ...any) *sql.Row {
	return w.tx.QueryRowContext(w.ctx, w.bind(query), args...)
}
