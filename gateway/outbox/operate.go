package outbox

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

// Shown is an entry as operators see it: nothing of what was asked or answered.
type Shown struct {
	Number       int64
	Method       string
	Caller       Caller // without its certificate
	State        State
	Step         string // the last transaction that was prepared: its function and id
	Attempts     int
	Outcome      string // code of the last attempt's end
	Created      time.Time
	Ended        time.Time // zero while it isn't done
	Next         time.Time // of the next attempt, where it is open
	UnderWay     bool
	Waits        bool     // for its caller
	Transactions []string // that are kept
}

// MaxPage is how many entries one page has at most.
const MaxPage = 1000

// List pages through entries in the given states (none: all), from the one after a number on.
func (o *Outbox) List(ctx context.Context, after int64, size int, states ...State) ([]Shown, error) {
	if size <= 0 || size > MaxPage {
		size = MaxPage
	}
	where, args := "", []any{after}
	for i, s := range states {
		where += map[bool]string{true: " AND state IN (?", false: ", ?"}[i == 0]
		args = append(args, string(s))
	}
	if where != "" {
		where += ")"
	}
	return o.shown(ctx, "number > ?"+where+" ORDER BY number LIMIT ?", append(args, size)...)
}

// Show shows one entry, or is ErrMissing.
func (o *Outbox) Show(ctx context.Context, number int64) (Shown, error) {
	all, err := o.shown(ctx, "number = ?", number)
	if err != nil || len(all) == 0 {
		return Shown{}, errors.Join(err, ErrMissing)
	}
	s := all[0]
	rows, err := o.db.Reads.QueryContext(ctx, o.db.Bind("SELECT id FROM transactions WHERE entry = ? ORDER BY created, id"), number)
	if err != nil {
		return s, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return s, err
		}
		s.Transactions = append(s.Transactions, id)
	}
	return s, rows.Err()
}

func (o *Outbox) shown(ctx context.Context, where string, args ...any) ([]Shown, error) {
	rows, err := o.db.Reads.QueryContext(ctx, o.db.Bind("SELECT number, name, method, state, step, attempts, outcome, next, created, ended, sealed FROM entries WHERE "+where), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Shown
	for rows.Next() {
		var s Shown
		var raw, sealed []byte
		var next, created, ended int64
		if err := rows.Scan(&s.Number, &raw, &s.Method, &s.State, &s.Step, &s.Attempts, &s.Outcome, &next, &created, &ended, &sealed); err != nil {
			return nil, err
		}
		var k kept
		if len(raw) != len(name{}) {
			return nil, errSealed
		}
		n := name(raw)
		if err := o.sealer.open(n.place("entry"), sealed, &k); err != nil {
			return nil, err
		}
		s.Caller = Caller{Member: k.Caller.Member, User: k.Caller.User, Role: k.Caller.Role}
		s.Created = time.UnixMilli(created).UTC()
		if ended != 0 {
			s.Ended = time.UnixMilli(ended).UTC()
		}
		o.mu.Lock()
		_, s.UnderWay = o.flights[n]
		o.mu.Unlock()
		s.Waits = s.State == Open && k.Alone && s.Step == ""
		if s.State == Open && !s.UnderWay && !s.Waits {
			s.Next = time.UnixMilli(next).UTC()
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// Retry has an entry that isn't done tried at once.
func (o *Outbox) Retry(ctx context.Context, number int64) error {
	var n int64
	err := o.do(ctx, func(w *writer) (err error) {
		n, err = w.affected("UPDATE entries SET state = ?, next = ?, created = ? WHERE number = ? AND state <> ?", Open, w.now, w.now, number, Done)
		return err
	})
	if err == nil && n == 0 {
		return ErrMissing
	}
	select {
	case o.due <- struct{}{}:
	default:
	}
	return err
}

// Drop forgets an entry, and its answer. What it has put on the ledger stays there; a repeat
// under the same key is carried out anew, under the same id. One that is being carried out is
// ErrBusy.
func (o *Outbox) Drop(ctx context.Context, number int64) error {
	var verdict error
	err := o.do(ctx, func(w *writer) error {
		verdict = nil
		var raw []byte
		err := w.scan("SELECT name FROM entries WHERE number = ?", []any{number}, &raw)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			verdict = ErrMissing
			return nil
		case err != nil:
			return err
		case len(raw) != len(name{}):
			return errSealed
		}
		if slices.Contains(o.takenUp(), name(raw)) {
			verdict = ErrBusy
			return nil
		}
		return w.drop(number)
	})
	return errors.Join(err, verdict)
}

// Figures are how many entries there are by state, and since when the oldest isn't done.
type Figures struct {
	Open, GivenUp, Done int64
	Oldest              time.Time // zero where all are done
}

// Figures counts.
func (o *Outbox) Figures(ctx context.Context) (f Figures, err error) {
	rows, err := o.db.Reads.QueryContext(ctx, "SELECT state, COUNT(*), MIN(created) FROM entries GROUP BY state")
	if err != nil {
		return f, err
	}
	defer rows.Close()
	for rows.Next() {
		var s State
		var n, oldest int64
		if err := rows.Scan(&s, &n, &oldest); err != nil {
			return f, err
		}
		switch s {
		case Open:
			f.Open = n
		case GivenUp:
			f.GivenUp = n
		default:
			f.Done = n
			continue
		}
		if at := time.UnixMilli(oldest).UTC(); f.Oldest.IsZero() || at.Before(f.Oldest) {
			f.Oldest = at
		}
	}
	return f, rows.Err()
}

// Height is the highest height of the ledger that was noted here (Note).
func (o *Outbox) Height(ctx context.Context) (uint64, error) {
	var v int64
	err := o.row(ctx, "SELECT value FROM marks WHERE name = 'height'").Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return uint64(v), err
}

// Note notes the height of the ledger; a lower one than noted changes nothing.
func (o *Outbox) Note(ctx context.Context, height uint64) error {
	return o.do(ctx, func(w *writer) error {
		return w.exec("INSERT INTO marks (name, value) VALUES ('height', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > marks.value", int64(height))
	})
}

// GiveUp has everything that is open wait for a retry by its caller or an operator, and says
// how much that is. why is shown as its outcome.
func (o *Outbox) GiveUp(ctx context.Context, why string) (n int64, err error) {
	err = o.do(ctx, func(w *writer) (err error) {
		n, err = w.affected("UPDATE entries SET state = ?, outcome = ? WHERE state = ?", GivenUp, why, Open)
		return err
	})
	return n, err
}
