package outbox

import (
	"context"
	"time"

	"yitong/gateway/ledger"
)

// signed is what is sealed of a transaction.
type signed struct {
	Envelope []byte `json:"envelope"`
	Result   []byte `json:"result"`
}

func placeOf(tx string) string { return "transaction " + tx }

// Keep keeps a signed transaction before it is handed over (ledger.Journal). It belongs to
// the entry that ctx is an attempt at, or to none.
func (o *Outbox) Keep(ctx context.Context, t ledger.Kept) error {
	sealed, err := o.sealer.close(placeOf(t.TxID), signed{t.Signed, t.Result})
	if err != nil {
		return err
	}
	argument, entry := digest(o.bodies, t.Function, string(t.Argument)), of(ctx)
	entry.kept.Store(true)
	return o.do(context.WithoutCancel(ctx), func(w *writer) error {
		if entry.number != 0 {
			if err := w.exec(stepEntry, t.Function+" "+t.TxID, entry.number); err != nil {
				return err
			}
		}
		return w.exec(keepSigned, t.TxID, entry.number, t.Function, argument[:], w.now, sealed)
	})
}

// Kept lists the transactions that were kept of the same function, oldest first: of the
// entry that ctx is an attempt at; outside of any, all with the same argument, for share's own
// intents go on before the entries do that they began under.
func (o *Outbox) Kept(ctx context.Context, function string, argument []byte) ([]ledger.Kept, error) {
	entry := of(ctx)
	if entry.fresh && !entry.kept.Load() {
		return nil, nil
	}
	asked := digest(o.bodies, function, string(argument))
	where, args := "function = ?", []any{function}
	if entry.number != 0 {
		where, args = where+" AND entry = ?", append(args, entry.number)
	}
	all, err := o.kept(ctx, where, args...)
	if err != nil {
		return nil, err
	}
	found := all[:0]
	for _, t := range all {
		t.Same = [32]byte(t.digest) == asked
		if t.Same {
			t.Kept.Argument = argument
		}
		if t.Same || entry.number != 0 {
			found = append(found, t)
		}
	}
	return plain(found), nil
}

// Left lists the transactions of no entry whose fate was not acted on when the gateway
// stopped, oldest first.
func (o *Outbox) Left(ctx context.Context) ([]ledger.Kept, error) {
	all, err := o.kept(ctx, "entry = 0")
	return plain(all), err
}

// Forget drops a transaction: what became of it is known, and acted on.
func (o *Outbox) Forget(ctx context.Context, txID string) error {
	return o.do(context.WithoutCancel(ctx), func(w *writer) error { return w.exec("DELETE FROM transactions WHERE id = ?", txID) })
}

// Settled says that a transaction's fate is known. One of an entry stays until the entry is
// done: were it cut off before, the attempt after it finds it here.
func (o *Outbox) Settled(ctx context.Context, txID string) error {
	if of(ctx).number != 0 {
		return nil
	}
	return o.do(context.WithoutCancel(ctx), func(w *writer) error {
		return w.exec("DELETE FROM transactions WHERE id = ? AND entry = 0", txID)
	})
}

type keptRow struct {
	ledger.Kept
	digest []byte
}

func plain(rows []keptRow) []ledger.Kept {
	out := make([]ledger.Kept, len(rows))
	for i, r := range rows {
		out[i] = r.Kept
	}
	return out
}

func (o *Outbox) kept(ctx context.Context, where string, args ...any) ([]keptRow, error) {
	rows, err := o.db.Reads.QueryContext(ctx, o.db.Bind("SELECT id, function, argument, created, sealed FROM transactions WHERE "+where+" ORDER BY created, id"), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []keptRow
	for rows.Next() {
		var t keptRow
		var sealed []byte
		var created int64
		if err := rows.Scan(&t.TxID, &t.Function, &t.digest, &created, &sealed); err != nil {
			return nil, err
		}
		var s signed
		if err := o.sealer.open(placeOf(t.TxID), sealed, &s); err != nil {
			return nil, err
		}
		if len(t.digest) != 32 {
			return nil, errSealed
		}
		t.Signed, t.Result, t.Since = s.Envelope, s.Result, time.UnixMilli(created)
		all = append(all, t)
	}
	return all, rows.Err()
}

var _ ledger.Journal = (*Outbox)(nil)
