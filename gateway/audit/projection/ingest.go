package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"yitong/gateway/ledger"
)

// Checkpoint is how far a projection has come.
type Checkpoint struct {
	Blocks       uint64   // taken so far; the next block has this number
	Hash         [32]byte // of the newest block; zero without any
	Transactions int64
	Entries      int64
}

// Checkpoint reads how far the projection has come.
func (d *Database) Checkpoint(ctx context.Context) (Checkpoint, error) {
	return checkpoint(d.db.Reads.QueryRowContext(ctx, newest))
}

const newest = `SELECT number, hash, transactions, entries FROM blocks ORDER BY number DESC LIMIT 1`

func checkpoint(row *sql.Row) (Checkpoint, error) {
	var c Checkpoint
	var number int64
	var hash []byte
	err := row.Scan(&number, &hash, &c.Transactions, &c.Entries)
	if errors.Is(err, sql.ErrNoRows) {
		return Checkpoint{}, nil
	}
	if err != nil {
		return c, fmt.Errorf("reading the checkpoint: %w", err)
	}
	c.Blocks = uint64(number) + 1
	copy(c.Hash[:], hash)
	return c, nil
}

// Apply takes blocks, in order, in one SQL transaction: all of them with the new
// checkpoint, or nothing. The error is a *ledger.BrokenChain or the database's.
func (d *Database) Apply(ctx context.Context, blocks ...ledger.Block) (err error) {
	d.applying.Lock()
	defer d.applying.Unlock()
	w, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreDone(w.tx.Rollback()))
			d.disconnect()
		}
	}()
	at, err := checkpoint(w.row(newest))
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if at, err = w.take(at, b); err != nil {
			return err
		}
	}
	if err := w.tx.Commit(); err != nil {
		return fmt.Errorf("keeping blocks up to %d: %w", at.Blocks, err)
	}
	d.following.grew()
	return nil
}

// take writes one block after the checkpoint and returns the one after it.
func (w *writer) take(at Checkpoint, b ledger.Block) (Checkpoint, error) {
	if err := b.Continues(at.Blocks, &at.Hash); err != nil {
		return at, err
	}
	clear(w.counts)
	for i, t := range b.Transactions {
		t.Block, t.Index = b.Number, i
		if err := w.transaction(&at, t); err != nil {
			return at, fmt.Errorf("block %d, transaction %d: %w", b.Number, i, err)
		}
	}
	if err := w.tally(); err != nil {
		return at, fmt.Errorf("block %d: %w", b.Number, err)
	}
	at.Blocks, at.Hash = b.Number+1, b.Hash
	err := w.exec(`INSERT INTO blocks (number, hash, transactions, entries) VALUES (?, ?, ?, ?)`,
		int64(b.Number), b.Hash[:], at.Transactions, at.Entries)
	if err != nil {
		return at, fmt.Errorf("block %d: %w", b.Number, err)
	}
	return at, nil
}

func (w *writer) transaction(at *Checkpoint, t ledger.Transaction) error {
	number, claimed := at.Transactions, t.Timestamp.Unix()
	if t.Timestamp.IsZero() {
		claimed = 0
	}
	at.Transactions++
	err := w.exec(`INSERT INTO transactions (number, block, idx, id, claimed, member, agent, chaincode, function, validation, endorsers, malformed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		number, int64(t.Block), t.Index, text(t.ID), claimed, text(t.Creator.MSP), text(t.Creator.Name),
		text(t.Chaincode), text(t.Function), t.Code.String(), endorsers(t), text(t.Malformed))
	if err != nil {
		return err
	}
	for _, e := range read(t, w.chaincode) {
		if err := w.entry(at.Entries, number, claimed, e); err != nil {
			return err
		}
		at.Entries++
	}
	return nil
}

func (w *writer) entry(number, tx, claimed int64, e effect) error {
	if err := w.relate(&e); err != nil {
		return err
	}
	if e.row != nil {
		if err := e.row.put(w, number); err != nil {
			return fmt.Errorf("keeping what a %s left: %w", e.Kind, err)
		}
	}
	if e.Outcome != Invalid {
		w.counts[tally{claimed / 3600, e.Member, e.Kind, e.Outcome}]++
	}
	err := w.exec(`INSERT INTO entries (number, tx, claimed, kind, action, outcome, reason, member, custodian, requester, handle, object, version,
		purpose, classes, policy, policy_version, policy_path, person, person_role) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		number, tx, claimed, string(e.Kind), string(e.Action), string(e.Outcome), e.Reason, e.Member, e.Custodian, e.Requester, e.Handle, e.Object,
		e.Version, e.Purpose, strings.Join(e.Classes, ","), e.Policy.Consent, e.Policy.Version, e.Policy.Path, e.User, e.UserRole)
	if err != nil {
		return fmt.Errorf("keeping an entry: %w", err)
	}
	return nil
}

// relate enters which relationship an entry is about, where its own transaction doesn't say but
// an earlier one does: a patient's history has it too.
func (w *writer) relate(e *effect) error {
	switch e.Kind {
	case KindRelease, KindReceipt, KindRecovery, KindReview:
		of, _, err := w.asked(accessKey{e.Custodian, e.Requester, e.Object})
		if err != nil {
			return err
		}
		e.Handle, e.Purpose = of.handle, of.purpose
	case KindOrder:
		if e.ordered == "" || e.Handle != "" {
			return nil
		}
		of, _, err := w.asked(accessKey{e.Custodian, e.Requester, e.ordered})
		if err != nil {
			return err
		}
		e.Handle = of.handle
	case KindAnswer, KindConclusion:
		if r, ok := e.row.(orderRow); ok {
			var err error
			e.Custodian, e.Requester, e.Handle, err = w.ordered(r.key)
			return err
		}
	}
	return nil
}

// tally is what is counted an hour.
type tally struct {
	hour    int64
	member  string
	kind    Kind
	outcome Outcome
}

func (w *writer) tally() error {
	for t, n := range w.counts { // the order makes no difference to what is stored
		err := w.exec(`INSERT INTO tallies (hour, member, kind, outcome, n) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (hour, member, kind, outcome) DO UPDATE SET n = tallies.n + excluded.n`,
			t.hour, t.member, string(t.kind), string(t.outcome), n)
		if err != nil {
			return fmt.Errorf("counting: %w", err)
		}
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
