package events

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/audit/projection"
	"yitong/gateway/ledger"
)

// Config says whose feed it is, and where it is kept.
type Config struct {
	Database    string // sqlite:PATH or postgres://… (gateway/database)
	Chaincode   string // Yitong's own on the channel
	Self        registry.Candidate
	KeyLifetime time.Duration // after which a registered key is to be replaced; 0 tells of none
	Webhooks    Webhooks
	Secrets     Secrets
	Log         *slog.Logger     // default slog.Default()
	Now         func() time.Time // default time.Now
}

// Feed is the member's feed with its subscriptions. It is safe for concurrent use.
type Feed struct {
	Config
	db store

	mu      sync.Mutex
	grown   chan struct{} // closed when there is more
	problem error         // why the feed doesn't go on; nil if it does
	ended   chan struct{} // closed once Keep has ended: nobody has to wait any longer

	posting posting
}

// Open opens the feed's database and makes it if it isn't there.
func Open(ctx context.Context, c Config) (*Feed, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Webhooks = c.Webhooks.complete()
	db, err := openStore(ctx, c.Database)
	if err != nil {
		return nil, fmt.Errorf("opening the database of events: %w", err)
	}
	f := &Feed{Config: c, db: db, grown: make(chan struct{}), ended: make(chan struct{})}
	f.posting.init(c.Webhooks)
	return f, nil
}

// Close closes the database. Keep has ended by then.
func (f *Feed) Close() error { return f.db.Close() }

// checkpoint is how far the feed has come.
type checkpoint struct {
	blocks  uint64
	hash    [32]byte // of the newest block
	genesis []byte   // of block 0
}

func readCheckpoint(row *sql.Row) (c checkpoint, err error) {
	var hash []byte
	err = row.Scan(&c.blocks, &hash, &c.genesis)
	if errors.Is(err, sql.ErrNoRows) {
		return checkpoint{}, nil
	}
	copy(c.hash[:], hash)
	return c, err
}

const selectCheckpoint = `SELECT blocks, hash, genesis FROM checkpoint`

// Blocks is how many blocks the feed is made of.
func (f *Feed) Blocks(ctx context.Context) (uint64, error) {
	at, err := readCheckpoint(f.db.Reads.QueryRowContext(ctx, selectCheckpoint))
	return at.blocks, err
}

// Apply takes blocks, in order, in one transaction with the new checkpoint. The newest that
// the feed has already, by number and hash, is passed over. The error is the database's, and
// then nothing was taken; or a *ledger.BrokenChain, and then what came before that block was.
func (f *Feed) Apply(ctx context.Context, blocks ...ledger.Block) error {
	var broken *ledger.BrokenChain
	err := f.db.write(ctx, func(w *writer) error {
		at, err := readCheckpoint(w.row(selectCheckpoint))
		if err != nil {
			return err
		}
		for _, b := range blocks {
			at, err = f.take(w, at, b)
			if errors.As(err, &broken) {
				break
			}
			if err != nil {
				return err
			}
		}
		return w.exec(`INSERT INTO checkpoint (one, blocks, hash, genesis) VALUES (1, ?, ?, ?)
			ON CONFLICT (one) DO UPDATE SET blocks = excluded.blocks, hash = excluded.hash, genesis = excluded.genesis`,
			int64(at.blocks), at.hash[:], at.genesis)
	})
	if err != nil {
		return err
	}
	f.grew()
	if broken != nil {
		return broken
	}
	return nil
}

func (f *Feed) take(w *writer, at checkpoint, b ledger.Block) (checkpoint, error) {
	if at.blocks > 0 && b.Number == at.blocks-1 && b.Hash == at.hash {
		return at, nil
	}
	if err := b.Continues(at.blocks, &at.hash); err != nil {
		return at, err
	}
	if b.Number == 0 {
		at.genesis = b.Hash[:]
	}
	t := teller{w, f.Self, record.Instant(f.KeyLifetime / time.Second)}
	for i, tx := range b.Transactions {
		tx.Block, tx.Index = b.Number, i
		place := int64(0)
		for _, effect := range projection.Effects(tx, f.Chaincode) {
			told, err := t.tell(tx, effect)
			if err != nil {
				return at, fmt.Errorf("block %d, transaction %d: %w", b.Number, i, err)
			}
			for _, e := range told {
				place++
				e.Position = Position{Block: int64(b.Number), Transaction: int64(i), Place: place}
				e.ID = hex.EncodeToString(at.genesis[:min(4, len(at.genesis))]) + "-" + e.Position.String()
				if err := w.keepEvent(e); err != nil {
					return at, fmt.Errorf("block %d, transaction %d: %w", b.Number, i, err)
				}
			}
		}
	}
	at.blocks, at.hash = b.Number+1, b.Hash
	return at, nil
}

// together is how many blocks one SQL transaction takes at most, when many wait.
const together = 64

// Keep makes the feed of the chain's blocks and delivers it to its subscriptions, until ctx
// ends. Once the chain breaks the feed stops, and Problem says why; what is in it is
// delivered all the same.
func (f *Feed) Keep(ctx context.Context, chain ledger.Chain) {
	defer context.AfterFunc(ctx, func() { close(f.ended) })()
	defer f.post(ctx)()
	_ = ledger.Follower{ // it tells why it ended
		What: "the feed of events", Batch: together,
		Taken: func(ctx context.Context) (uint64, [32]byte, error) {
			at, err := readCheckpoint(f.db.Reads.QueryRowContext(ctx, selectCheckpoint))
			return at.blocks, at.hash, err
		},
		Apply: f.Apply, Tell: f.setProblem, Log: f.Log,
	}.Follow(ctx, chain)
	<-ctx.Done()
}

// Problem is why the feed doesn't go on at the moment; nil if it does.
func (f *Feed) Problem() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problem
}

func (f *Feed) setProblem(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problem = err
}

func (f *Feed) grew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.grown)
	f.grown = make(chan struct{})
}

// more is closed when there is more than there is now.
func (f *Feed) more() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.grown
}

// MaxPage is how many events one page holds at most.
const MaxPage = 1000

// Page is a part of the feed.
type Page struct {
	Events []Event
	Next   Position // where to go on
	More   bool     // whether there are more already
	Blocks uint64   // that the feed is made of
}

// scan is how many events one page looks at, so that a rare type costs no endless read.
const scan = 5000

// List reads the events after a position. Refusals: malformed (the filter, the limit, a
// position that the ledger hasn't come to).
func (f *Feed) List(ctx context.Context, after Position, filter Filter, limit int) (p Page, err error) {
	if limit < 1 || limit > MaxPage {
		return p, refusal.New(refusal.Malformed, "that is no size of a page", fmt.Sprintf("1 to %d", MaxPage))
	}
	if err := filter.Check(); err != nil {
		return p, err
	}
	if p.Blocks, err = f.Blocks(ctx); err != nil {
		return p, err
	}
	if after.Compare(endOf(int64(p.Blocks))) > 0 {
		return p, refusal.New(refusal.Malformed, fmt.Sprintf("the ledger hasn't come to this position: the feed is made of %d blocks", p.Blocks),
			"a position of an event of this ledger. Where the gateway's database was put back to an older one, the same position again later")
	}
	return p, f.read(ctx, &p, after, filter, limit)
}

// read fills a page with what comes after a position.
func (f *Feed) read(ctx context.Context, p *Page, after Position, filter Filter, limit int) error {
	p.Next = after
	rows, err := f.db.Reads.QueryContext(ctx, f.db.Bind(`SELECT block, tx, place, type, document FROM events WHERE (block, tx, place) > (?, ?, ?) ORDER BY block, tx, place LIMIT ?`),
		after.Block, after.Transaction, after.Place, scan)
	if err != nil {
		return err
	}
	defer rows.Close()
	looked := 0
	for rows.Next() {
		var at Position
		var kind Type
		var document []byte
		if err := rows.Scan(&at.Block, &at.Transaction, &at.Place, &kind, &document); err != nil {
			return err
		}
		if looked++; len(p.Events) == limit {
			p.More = true
			return nil
		}
		p.Next = at
		if !filter.Wants(kind) {
			continue
		}
		var e Event
		if err := json.Unmarshal(document, &e); err != nil {
			return fmt.Errorf("the event at %s can't be read: %w", at, err)
		}
		p.Events = append(p.Events, e)
	}
	p.More = looked == scan
	return rows.Err()
}

// Head is the position of the newest event.
func (f *Feed) Head(ctx context.Context) (Position, error) {
	var at Position
	err := f.db.Reads.QueryRowContext(ctx, `SELECT block, tx, place FROM events ORDER BY block DESC, tx DESC, place DESC LIMIT 1`).Scan(&at.Block, &at.Transaction, &at.Place)
	if errors.Is(err, sql.ErrNoRows) {
		return Position{}, nil
	}
	return at, err
}

// ErrStopping says that the gateway is about to stop; whoever watches goes on from the
// position that was reached.
var ErrStopping = errors.New("the gateway is stopping: watch again from the last position")

// Watch yields the events after a position, and goes on as they come, until ctx ends or the
// feed does (ErrStopping).
func (f *Feed) Watch(ctx context.Context, after Position, filter Filter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			more := f.more() // before looking, so that nothing is missed in between
			p, err := f.List(ctx, after, filter, 100)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range p.Events {
				if !yield(e, nil) {
					return
				}
			}
			after = p.Next
			if p.More {
				continue
			}
			select {
			case <-more:
			case <-f.ended:
				yield(Event{}, ErrStopping)
				return
			case <-ctx.Done():
				yield(Event{}, ctx.Err())
				return
			}
		}
	}
}
