package projection

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations
var migrations embed.FS

// Database is a projection's SQL database. It is safe for concurrent use; Close it.
type Database struct {
	chaincode string
	postgres  bool
	reads     *sql.DB
	writes    *sql.DB

	applying sync.Mutex // one writer; guards what follows
	conn     *sql.Conn  // the writer's; nil until it is needed
	prepared map[string]*sql.Stmt
	requests map[accessKey]asked
	trace    func(query string, args []any) // told of every statement; tests only

	following following
}

// Open opens the database at a URL and brings its schema up to date. chaincode is the
// name of Yitong's own on the channel.
//
//	sqlite:/var/lib/yitong/audit.db      a file, made if it isn't there
//	postgres://user@host:5432/database   PostgreSQL, as libpq has it; the password is
//	                                     best left to a .pgpass file
func Open(ctx context.Context, at, chaincode string) (*Database, error) {
	d := &Database{chaincode: chaincode, prepared: map[string]*sql.Stmt{}, requests: map[accessKey]asked{}}
	path, isFile := strings.CutPrefix(at, "sqlite:")
	var err error
	switch {
	case isFile:
		err = d.openFile(path)
	case strings.HasPrefix(at, "postgres://"), strings.HasPrefix(at, "postgresql://"):
		err = d.openServer(at)
	default:
		err = errors.New("the audit database is named by sqlite:PATH or postgres://…")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the audit database: %w", errors.Join(err, d.Close()))
	}
	if err := d.migrate(ctx); err != nil {
		return nil, fmt.Errorf("bringing the audit database's schema up to date: %w", errors.Join(err, d.Close()))
	}
	return d, nil
}

func (d *Database) openFile(path string) (err error) {
	if path == "" {
		return errors.New("sqlite: names no file")
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
	// WAL with synchronous=NORMAL can lose the newest transactions when power fails,
	// never break one apart: those blocks are read again.
	name := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=temp_store(2)"
	if d.writes, err = sql.Open("sqlite", name+"&_txlock=immediate&_pragma=cache_size(-65536)"); err != nil {
		return err
	}
	d.writes.SetMaxOpenConns(1)
	d.reads, err = sql.Open("sqlite", name+"&_pragma=query_only(1)&_pragma=cache_size(-16384)")
	if err == nil {
		d.reads.SetMaxOpenConns(8)
	}
	return err
}

func (d *Database) openServer(at string) (err error) {
	d.postgres = true
	if d.writes, err = sql.Open("pgx", at); err != nil {
		return errors.New("the URL of the PostgreSQL database can't be read") // the driver's words may quote a password
	}
	d.writes.SetMaxOpenConns(1)
	if d.reads, err = sql.Open("pgx", at); err != nil {
		return errors.New("the URL of the PostgreSQL database can't be read")
	}
	d.reads.SetMaxOpenConns(8)
	return nil
}

func (d *Database) migrate(ctx context.Context) error {
	dialect, folder := goose.DialectSQLite3, "migrations/sqlite"
	if d.postgres {
		dialect, folder = goose.DialectPostgres, "migrations/postgres"
	}
	files, err := fs.Sub(migrations, folder)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, d.writes, files)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// Close closes the database. What was applied is kept.
func (d *Database) Close() error {
	d.applying.Lock()
	defer d.applying.Unlock()
	d.disconnect()
	var err error
	for _, db := range []*sql.DB{d.reads, d.writes} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return err
}

// Bind writes the placeholders of a query (?) as the database wants them.
func (d *Database) Bind(query string) string {
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
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// writer is one SQL transaction of the one writer. Its statements are prepared once on
// the connection that the transaction runs on.
type writer struct {
	*Database
	ctx    context.Context
	tx     *sql.Tx
	counts map[tally]int64
}

func (d *Database) begin(ctx context.Context) (*writer, error) {
	if d.conn == nil {
		conn, err := d.writes.Conn(ctx)
		if err != nil {
			return nil, fmt.Errorf("connecting to the audit database: %w", err)
		}
		d.conn = conn
	}
	tx, err := d.conn.BeginTx(ctx, nil)
	if err != nil {
		d.disconnect()
		return nil, fmt.Errorf("beginning to write to the audit database: %w", err)
	}
	return &writer{Database: d, ctx: ctx, tx: tx, counts: map[tally]int64{}}, nil
}

// disconnect forgets the writer's connection and all that hangs on it: after a failure
// nobody knows what of it is still good.
func (d *Database) disconnect() {
	clear(d.requests)
	for _, s := range d.prepared {
		s.Close() // nothing was written through it that isn't committed
	}
	clear(d.prepared)
	if d.conn != nil {
		d.conn.Close()
		d.conn = nil
	}
}

func (w *writer) statement(query string) (*sql.Stmt, error) {
	if s, ok := w.prepared[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(w.ctx, w.Bind(query))
	if err == nil {
		w.prepared[query] = s
	}
	return s, err
}

func (w *writer) exec(query string, args ...any) error {
	s, err := w.statement(query)
	if err != nil {
		return err
	}
	if w.trace != nil {
		w.trace(query, args)
	}
	_, err = s.ExecContext(w.ctx, args...)
	return err
}

func (w *writer) row(query string, args ...any) *sql.Row {
	s, err := w.statement(query)
	if err != nil {
		return w.tx.QueryRowContext(w.ctx, w.Bind(query), args...) // fails likewise, and says so
	}
	return s.QueryRowContext(w.ctx, args...)
}
