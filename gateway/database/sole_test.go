package database_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yitong/gateway/database"
	"yitong/gateway/database/databasetest"
)

// oneGateways wants nobody else to open a database while one has it.
func oneGateways(t *testing.T, at string) {
	t.Helper()
	o := database.Options{Migrations: notes(), Readers: 1, Wait: time.Second}
	first := open(t, at, o)
	if second, err := database.Open(t.Context(), at, o); !errors.Is(err, database.ErrInUse) {
		t.Errorf("a second gateway opens it: %v, %v", second, err)
	} else if !strings.Contains(err.Error(), "stop") {
		t.Errorf("it isn't said what to do: %v", err)
	}
	note(t, first, 1, "the first one goes on")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, at, o)
	if got := read(t, next, 1); got == "" { // the control
		t.Error("the next one reads nothing")
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestADatabaseIsOneGateways(t *testing.T) {
	oneGateways(t, "sqlite:"+filepath.Join(t.TempDir(), "notes.db"))
}

// On PostgreSQL too; and whose session has ended takes the lock again before it writes, or
// doesn't write.
func TestWhoseSessionHasEndedWritesUnderTheLockOrNotAtAll(t *testing.T) {
	at := databasetest.Postgres(t)
	oneGateways(t, at)
	o := database.Options{Migrations: notes(), Readers: 1}
	first := open(t, at, o)
	end := func() {
		t.Helper()
		var pid int
		if err := first.Writes.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		if _, err := first.Reads.ExecContext(t.Context(), "SELECT pg_terminate_backend($1, 10000)", pid); err != nil {
			t.Fatal(err)
		}
	}
	write := func() error {
		_, err := first.Writes.ExecContext(t.Context(), "INSERT INTO notes (number, text) VALUES (2, 'x') ON CONFLICT DO NOTHING")
		return err
	}
	end()
	// The first try may meet the session that is gone.
	if err := write(); err != nil {
		if err := write(); err != nil {
			t.Errorf("nobody else has it: %v", err)
		}
	}
	if _, err := database.Open(t.Context(), at, o); !errors.Is(err, database.ErrInUse) {
		t.Errorf("the new session has no lock: %v", err)
	}
	end()
	second := open(t, at, o)
	for range 2 {
		if err := write(); err == nil {
			t.Error("it writes beside the one that has it now")
		}
	}
	if err := write(); !errors.Is(err, database.ErrInUse) {
		t.Errorf("it isn't said why: %v", err)
	}
	note(t, second, 3, "the one that has it")
}
