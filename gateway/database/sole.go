package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// ErrInUse says that another gateway, or another database of the same gateway, is what this
// one was opened as.
var ErrInUse = errors.New("it is in use, and one database belongs to one gateway")

// A database has one gateway that writes: what an outbox says of what is under way, and how
// far a feed or a projection has come, is believed by nobody but who wrote it. So whoever
// opens one keeps the others out, for as long as it is there to write:
//
//	SQLite      a lock on a file beside it, which ends with the process
//	PostgreSQL  an advisory lock of the session that writes: a session that has lost it can't
//	            write, because it is over, and the next one takes it again before it writes
//
// A pooler that hands one session to several clients in turn (pgbouncer in transaction mode)
// takes that away.

// alone locks the file that a database of SQLite is in.
func alone(path string) (*flock.Flock, error) {
	l := flock.New(path+".lock", flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking it: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("%w: stop the gateway that has %s open, or give this one a database of its own", ErrInUse, path)
	}
	return l, nil
}

// aloneAfter is how long a session waits for the one before it to end: that of a gateway which
// was killed ends when the server notices.
const aloneAfter = 5 * time.Second

// sessions are connections to PostgreSQL of which each has the database for itself.
func sessions(at string) (*sql.DB, error) {
	c, err := pgx.ParseConfig(at)
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*c, stdlib.OptionAfterConnect(hold)), nil
}

// advisory is the lock's name within a database of PostgreSQL: schemas are told apart, as
// their tables are.
const advisory = "hashtextextended('yitong ' || current_schema(), 0)"

func hold(ctx context.Context, session *pgx.Conn) error {
	wait, cancel := context.WithTimeout(ctx, 2*aloneAfter) // of a server that doesn't answer
	defer cancel()
	_, err := session.Exec(wait, fmt.Sprintf("SET lock_timeout = %d", aloneAfter.Milliseconds()))
	if err == nil {
		_, err = session.Exec(wait, "SELECT pg_advisory_lock("+advisory+")")
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == lockNotAvailable {
		return fmt.Errorf("%w: %s", ErrInUse, holder(wait, session))
	}
	if err == nil {
		_, err = session.Exec(wait, "RESET lock_timeout")
	}
	return err
}

// lockNotAvailable is PostgreSQL's code for a lock that wasn't had within lock_timeout.
const lockNotAvailable = "55P03"

// holder says which session has the lock, and what to do about it.
func holder(ctx context.Context, session *pgx.Conn) string {
	var pid int
	var from string
	err := session.QueryRow(ctx, `SELECT l.pid, COALESCE(host(a.client_addr), 'the server itself')
		FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND (l.classid::bigint << 32 | l.objid::bigint) = `+advisory).Scan(&pid, &from)
	if err != nil {
		return "stop the gateway that has it open, or give this one a database of its own"
	}
	return fmt.Sprintf("session %d, from %s, has it: stop that gateway, or give this one a database of its own; if that machine is gone, "+
		"end its session (SELECT pg_terminate_backend(%d)) and start this one again", pid, from, pid)
}
