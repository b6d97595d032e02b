package outbox

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

// open opens the database. It is durable: nothing else knows of what is in it.
func (o *Outbox) open(ctx context.Context) (err error) {
	o.db, err = database.Open(ctx, o.URL, database.Options{Migrations: migrations, Readers: 4, Durable: true, Wait: 3 * time.Second})
	if err != nil {
		return err
	}
	err = o.db.Reads.QueryRowContext(ctx, "SELECT COUNT(*) FROM entries").Scan(&o.count)
	if err == nil {
		err = o.prepare(ctx)
	}
	if err == nil {
		_, err = o.db.Writes.ExecContext(ctx, "INSERT INTO marks (name, value) VALUES ('probed', 0) ON CONFLICT (name) DO NOTHING")
	}
	if err != nil {
		return errors.Join(err, o.db.Close())
	}
	return nil
}

// An op is one caller's part of a commit.
type op struct {
	do   func(*writer) error
	done chan error
}

// writer is one SQL transaction, which several callers' ops share.
type writer struct {
	*Outbox
	ctx   context.Context
	tx    *sql.Tx
	now   int64 // milliseconds since 1970 UTC
	added int64 // entries
}

// most is how many ops share one commit.
const most = 256

// do has f's writes committed, together with others'. Once f has been called its fate is
// waited for, whoever hangs up: nil means that it is durable.
func (o *Outbox) do(ctx context.Context, f func(*writer) error) error {
	one := op{f, make(chan error, 1)}
	select {
	case o.ops <- one:
	case <-ctx.Done():
		return ctx.Err()
	case <-o.ending:
		return errClosed
	}
	select {
	case err := <-one.done:
		return err
	case <-o.ended:
		select {
		case err := <-one.done:
			return err
		default:
			return errClosed
		}
	}
}

// write commits what is asked, as many at a time as wait.
func (o *Outbox) write() {
	defer close(o.ended)
	for {
		var batch []op
		select {
		case first := <-o.ops:
			batch = append(batch, first)
		case <-o.ending:
			return
		}
	gathering:
		for len(batch) < most {
			select {
			case next := <-o.ops:
				batch = append(batch, next)
			default:
				break gathering
			}
		}
		o.commit(batch)
	}
}

// commit writes a batch. An op that can't be written must not take the others with it: then
// each goes by itself.
func (o *Outbox) commit(batch []op) {
	err := o.together(batch)
	if err != nil && len(batch) > 1 {
		for _, one := range batch {
			one.done <- o.together([]op{one})
		}
		return
	}
	for _, one := range batch {
		one.done <- err
	}
}

func (o *Outbox) together(batch []op) error {
	// No caller's context: a commit that is cut off is one whose fate nobody knows.
	ctx := context.Background()
	tx, err := o.db.Writes.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	w := &writer{Outbox: o, ctx: ctx, tx: tx, now: o.Now().UnixMilli()}
	for _, one := range batch {
		if err := one.do(w); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	o.mu.Lock()
	o.count += w.added
	o.mu.Unlock()
	return nil
}

// statement is a query of the writer's, prepared once.
func (w *writer) statement(query string) (*sql.Stmt, error) {
	s, ok := w.prepared[query]
	if !ok {
		var err error
		if s, err = w.tx.PrepareContext(w.ctx, w.db.Bind(query)); err != nil {
			return nil, err
		}
		return s, nil
	}
	return w.tx.StmtContext(w.ctx, s), nil
}

func (w *writer) exec(query string, args ...any) error {
	_, err := w.affected(query, args...)
	return err
}

func (w *writer) affected(query string, args ...any) (int64, error) {
	s, err := w.statement(query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(w.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// scan reads the one row of a query.
func (w *writer) scan(query string, args []any, to ...any) error {
	s, err := w.statement(query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(w.ctx, args...).Scan(to...)
}

// often are the writes of every call.
const (
	findEntry   = "SELECT number, state, body, sealed, answer FROM entries WHERE name = ?"
	enterEntry  = "INSERT INTO entries (name, body, method, state, step, attempts, outcome, next, created, ended, sealed) VALUES (?, ?, ?, ?, '', 1, '', ?, ?, 0, ?) RETURNING number"
	stepEntry   = "UPDATE entries SET step = ? WHERE number = ?"
	keepSigned  = "INSERT INTO transactions (id, entry, function, argument, created, sealed) VALUES (?, ?, ?, ?, ?, ?)"
	dropSigned  = "DELETE FROM transactions WHERE entry = ?"
	finishEntry = "UPDATE entries SET state = ?, outcome = ?, ended = ?, answer = ? WHERE number = ?"
)

// prepare prepares what every call writes, on the writer's one connection.
func (o *Outbox) prepare(ctx context.Context) error {
	o.prepared = map[string]*sql.Stmt{}
	for _, query := range []string{findEntry, enterEntry, stepEntry, keepSigned, dropSigned, finishEntry} {
		s, err := o.db.Writes.PrepareContext(ctx, o.db.Bind(query))
		if err != nil {
			return err
		}
		o.prepared[query] = s
	}
	return nil
}

func (o *Outbox) row(ctx context.Context, query string, args ...any) *sql.Row {
	return o.db.Reads.QueryRowContext(ctx, o.db.Bind(query), args...)
}
