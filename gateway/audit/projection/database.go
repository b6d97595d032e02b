package projection

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"sync"
	"time"

	"yitong/gateway/database"
)

//go:embed migrations
var migrations embed.FS

// Database is a projection's SQL database. It is safe for concurrent use; Close it.
type Database struct {
	chaincode string
	db        *database.Database

	applying sync.Mutex // one writer; guards what follows
	conn     *sql.Conn  // the writer's; nil until it is needed
	prepared map[string]*sql.Stmt
	requests map[accessKey]asked
	trace    func(query string, args []any) // told of every statement; tests only

	following following
}

// Open opens the database at a URL (see gateway/database) and brings its schema up to date.
// chaincode is the name of Yitong's own on the channel.
func Open(ctx context.Context, at, chaincode string) (*Database, error) {
	// What is lost when power fails is read from the blocks again, so it needn't be durable.
	db, err := database.Open(ctx, at, database.Options{
		Migrations: migrations, Readers: 8, Wait: 10 * time.Second, WriterCache: 65536, ReaderCache: 16384,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the audit database: %w", err)
	}
	return &Database{db: db, chaincode: chaincode, prepared: map[string]*sql.Stmt{}, requests: map[accessKey]asked{}}, nil
}

// Close closes the database. What was applied is kept.
func (d *Database) Close() error {
	d.applying.Lock()
	defer d.applying.Unlock()
	d.disconnect()
	return d.db.Close()
}

// Bind writes the placeholders of a query (?) as the database wants them.
func (d *Database) Bind(query string) string { return d.db.Bind(query) }

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
		conn, err := d.db.Writes.Conn(ctx)
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
