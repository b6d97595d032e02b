package events

import (
	"database/sql"
	"encoding/json"
	"errors"

	"yitong/chaincode/record"
)

// keepAccess remembers a request for the events that follow it.
func (w *writer) keepAccess(e Event, warn, expires record.Instant) error {
	return w.exec(`INSERT INTO accesses (custodian, requester, id, handle, purpose, warn, expires) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (custodian, requester, id) DO NOTHING`,
		e.Custodian, e.Requester, e.Object, e.Handle, e.Purpose, int64(warn), int64(expires))
}

// recallAccess gives an event handle and purpose of its request.
func (w *writer) recallAccess(e *Event) error {
	err := w.row(`SELECT handle, purpose FROM accesses WHERE custodian = ? AND requester = ? AND id = ?`, e.Custodian, e.Requester, e.Object).Scan(&e.Handle, &e.Purpose)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

func (w *writer) keepPartner(custodian string) error {
	return w.exec(`INSERT INTO partners (custodian) VALUES (?) ON CONFLICT (custodian) DO NOTHING`, custodian)
}

func (w *writer) isPartner(custodian string) (known bool, err error) {
	err = w.row(`SELECT EXISTS (SELECT 1 FROM partners WHERE custodian = ?)`, custodian).Scan(&known)
	return known, err
}

// keepKey remembers until when a key of the member's own holds, once for each key.
func (w *writer) keepKey(use, id string, due record.Instant) error {
	return w.exec(`INSERT INTO keys_due (use, id, due) VALUES (?, ?, ?)
		ON CONFLICT (use) DO UPDATE SET due = excluded.due, id = excluded.id WHERE keys_due.id <> excluded.id`, use, id, int64(due))
}

// nearEnd takes the permits whose end is to be told of by now.
func (w *writer) nearEnd(now record.Instant) (told []Event, err error) {
	rows, err := w.tx.QueryContext(w.ctx, w.Bind(`SELECT custodian, requester, id, handle, purpose, expires FROM accesses
		WHERE warn > 0 AND warn <= ? ORDER BY expires, custodian, requester, id`), int64(now))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e Event
		var expires int64
		if err := rows.Scan(&e.Custodian, &e.Requester, &e.Object, &e.Handle, &e.Purpose, &expires); err != nil {
			return nil, err
		}
		if e.Expires = timeOf(record.Instant(expires)); record.Instant(expires) > now {
			told = append(told, e)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	return told, w.exec(`UPDATE accesses SET warn = 0 WHERE warn > 0 AND warn <= ?`, int64(now))
}

// nearDue takes the keys that are to be replaced by then.
func (w *writer) nearDue(by record.Instant) (told []Event, err error) {
	rows, err := w.tx.QueryContext(w.ctx, w.Bind(`SELECT use, id, due FROM keys_due WHERE due > 0 AND due <= ? ORDER BY use`), int64(by))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e Event
		var due int64
		if err := rows.Scan(&e.Reason, &e.Object, &due); err != nil {
			return nil, err
		}
		e.Expires = timeOf(record.Instant(due))
		told = append(told, e)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	return told, w.exec(`UPDATE keys_due SET due = 0 WHERE due > 0 AND due <= ?`, int64(by))
}

// keepEvent writes an event of the feed.
func (w *writer) keepEvent(e Event) error {
	document, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return w.exec(`INSERT INTO events (block, tx, place, type, document) VALUES (?, ?, ?, ?, ?)`,
		e.Position.Block, e.Position.Transaction, e.Position.Place, string(e.Type), document)
}
