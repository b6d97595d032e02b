package events

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"time"

	"yitong/gateway/database"
)

//go:embed migrations
var migrations embed.FS

// store is where the feed and its subscriptions are kept. There is one writer.
type store struct{ *database.Database }

// openStore opens the database at a URL. It is durable: subscriptions can't be made anew of
// the blocks.
func openStore(ctx context.Context, at string) (store, error) {
	db, err := database.Open(ctx, at, database.Options{
		Migrations: migrations, SchemaTable: "events_schema", Readers: 8, Durable: true, Wait: 10 * time.Second,
	})
	return store{db}, err
}

// writer is one transaction of the one writer.
type writer struct {
	store
	ctx context.Context
	tx  *sql.Tx
}

// write runs f in a transaction: all of what it writes is kept, or nothing.
func (s store) write(ctx context.Context, f func(*writer) error) error {
	tx, err := s.Writes.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(&writer{s, ctx, tx}); err != nil {
		if rolled := tx.Rollback(); rolled != nil && !errors.Is(rolled, sql.ErrTxDone) {
			err = errors.Join(err, rolled)
		}
		return err
	}
	return tx.Commit()
}

func (w *writer) exec(query string, args ...any) error {
	_, err := w.tx.ExecContext(w.ctx, w.Bind(query), args...)
	return err
}

// change is an exec that must find something to change.
func (w *writer) change(query string, args ...any) error {
	done, err := w.tx.ExecContext(w.ctx, w.Bind(query), args...)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, sql.ErrNoRows)
	}
	return nil
}

func (w *writer) row(query string, args ...any) *sql.Row {
	return w.tx.QueryRowContext(w.ctx, w.Bind(query), args...)
}
