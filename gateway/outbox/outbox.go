// Package outbox has every write that a caller asks for happen once: however often it is
// asked, whatever is killed in between, whichever answer is lost.
//
//	call ──▶ begin ────────▶ use case ──▶ keep ──▶ orderers ──▶ fate ──▶ finish ──▶ answer
//	         │ caller, key,               │ the signed                   │ the answer, and
//	         │ request, id                │ transaction                  │ the transactions go
//	         ▼                            ▼                              ▼
//	       entries                   transactions                     entries
//
// An entry is named by its caller, its method and its key. The same name again is the same
// write: while it is under way, one waits for it; once it is done, its answer is given
// again; where it was cut off, it goes on. The same name with another body is ErrReused.
//
// The id under which a use case puts something on the ledger follows from the entry's name
// and a secret of the key store (ID). So it is chosen once, also where the outbox is lost
// or restored from an older copy; and all salts follow from ids (gateway/share). Each
// transaction is kept signed before it is handed over (Keep), and an attempt begins by
// asking what became of those kept, by their ids (gateway/ledger). So there is no moment at
// which a crash leaves it open whether something was done.
//
// # One mechanism or two
//
// gateway/share keeps intents of its own in the key store: receipts, anchors, erasures. They
// stay there. They are what a use case owes once it has gone so far that it must end, with
// or without a caller (a tombstone is on the ledger: the keys have to go), they belong to
// the same transaction of the key store as the keys they are about, and several of them
// share one ledger transaction. The outbox is about calls: who asked, what was answered, and
// the ledger transactions on the way; it holds nothing that the key store needs to be
// right. What is large, a record's content, is in neither: Records.Submit takes its id from
// the key here, and is carried by share's catalogue.
//
// # What is kept, and how
//
// Requests name patients. So what an entry says, and its answer, are sealed (AES-256-GCM,
// bound to the row) under keys that are derived from a secret in the key store; names and
// bodies are keyed digests. In the clear are the method, the state, times and transaction
// ids, which are on the ledger anyway.
//
// Writes of calls at the same time share one commit, and one fsync, of the database. When
// it can't be written, nothing is begun and nothing handed over: ErrFull, or the error.
//
// Entries that are done are swept after Retention. Entries that can't be brought to an end
// wait longer and longer, and are given up after Patience, which is to be seen by operators:
// a caller's or operator's retry takes them up again.
package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"yitong/gateway/database"
)

// Errors of an Outbox.
var (
	ErrReused  = errors.New("the key was used for another request")
	ErrFull    = errors.New("the outbox is full")
	ErrMissing = errors.New("the outbox has no such entry")
	ErrBusy    = errors.New("the entry is being carried out")
	ErrKey     = errors.New("an idempotency key has 1 to 64 of A-Z a-z 0-9 _ . -")
	errClosed  = errors.New("the gateway is stopping")
)

// State is how an entry stands.
type State string

// The states.
const (
	Open    State = "open"     // it is being carried out, or will be tried again
	GivenUp State = "given-up" // tried for as long as Config.Patience says; a retry takes it up
	Done    State = "done"     // its answer is kept
)

// Config of an Outbox.
type Config struct {
	// URL is where it is kept: sqlite:PATH or postgres://… (gateway/database).
	URL string
	// Secret, 32 bytes of the key store, seals it and makes ids.
	Secret []byte
	// Retention is how long answers are kept. Default 7 days.
	Retention time.Duration
	// Patience is how long an entry is tried that doesn't end. Default 24 h.
	Patience time.Duration
	// Limit bounds the entries. Default 1,000,000.
	Limit int64
	// Attempt bounds how long one attempt may take. Default 2 min.
	Attempt time.Duration

	Now func() time.Time // default time.Now
	Log *slog.Logger     // default slog.Default()
}

// Outbox is an open one. It is safe for concurrent use; Drain it, then Close it.
type Outbox struct {
	Config
	sealer
	db       *database.Database
	prepared map[string]*sql.Stmt

	ops    chan op
	ending chan struct{} // closed: no more writes
	ended  chan struct{}

	mu      sync.Mutex
	flights map[name]*flight
	count   int64 // entries, about
	closed  bool  // nothing more begins
	gone    bool

	running sync.WaitGroup
	stop    context.CancelFunc
	ctx     context.Context
	due     chan struct{} // something is to be tried
}

// New opens an outbox and brings its schema up to date.
func New(ctx context.Context, c Config) (*Outbox, error) {
	if c.Retention <= 0 {
		c.Retention = 7 * 24 * time.Hour
	}
	if c.Patience <= 0 {
		c.Patience = 24 * time.Hour
	}
	if c.Limit <= 0 {
		c.Limit = 1_000_000
	}
	if c.Attempt <= 0 {
		c.Attempt = 2 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	o := &Outbox{Config: c, ops: make(chan op, 1024), ending: make(chan struct{}), ended: make(chan struct{}), flights: map[name]*flight{}, due: make(chan struct{}, 1)}
	var err error
	if o.sealer, err = newSealer(c.Secret); err != nil {
		return nil, err
	}
	if err := o.open(ctx); err != nil {
		return nil, fmt.Errorf("opening the outbox: %w", err)
	}
	o.ctx, o.stop = context.WithCancel(context.Background())
	go o.write()
	return o, nil
}

// Drain lets nothing more begin and waits for what is under way, for as long as ctx allows.
// What isn't done by then goes on at the next start.
func (o *Outbox) Drain(ctx context.Context) error {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	done := make(chan struct{})
	go func() { o.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("writes under way were cut off; they go on at the next start: %w", ctx.Err())
	}
}

// Close closes the database. Closing it again does nothing.
func (o *Outbox) Close() error {
	o.mu.Lock()
	again := o.gone
	o.closed, o.gone = true, true
	o.mu.Unlock()
	if again {
		return nil
	}
	o.stop()
	o.running.Wait()
	close(o.ending)
	<-o.ended
	return o.db.Close()
}

// Problem is why the outbox can't be written now, or is full; nil when it is well.
func (o *Outbox) Problem(ctx context.Context) error {
	o.mu.Lock()
	full := o.count >= o.Limit
	o.mu.Unlock()
	if full {
		return fmt.Errorf("%w (%d entries): answers are kept for %s, a shorter time makes room", ErrFull, o.Limit, o.Retention)
	}
	err := o.do(ctx, func(w *writer) error {
		return w.exec("UPDATE marks SET value = ? WHERE name = 'probed'", w.now)
	})
	if err != nil {
		return errors.New("the outbox can't be written; nothing is begun until it can") // the driver's words may quote an address
	}
	return nil
}
