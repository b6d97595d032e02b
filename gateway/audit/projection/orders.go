package projection

import (
	"database/sql"
	"errors"
)

// orderKey names an order to disclose and what came of it.
type orderKey struct{ holder, regulator, id string }

// orderRow is an order, its answer or its conclusion. One that comes without an order, which
// the chaincode never writes, still leaves a row.
type orderRow struct {
	key      orderKey
	step     string // a key of orderStatements
	due      int64  // of an order
	document []byte
}

var orderStatements = map[string]string{
	"order": `INSERT INTO orders (holder, regulator, id, entry, document, due, answered, answer, concluded, conclusion) VALUES (?, ?, ?, ?, ?, ?, -1, ?, -1, ?)
		ON CONFLICT (holder, regulator, id) DO UPDATE SET entry = excluded.entry, document = excluded.document, due = excluded.due`,
	"answer": `INSERT INTO orders (holder, regulator, id, answered, answer, due, entry, document, concluded, conclusion) VALUES (?, ?, ?, ?, ?, ?, -1, ?, -1, ?)
		ON CONFLICT (holder, regulator, id) DO UPDATE SET answered = excluded.answered, answer = excluded.answer`,
	"conclusion": `INSERT INTO orders (holder, regulator, id, concluded, conclusion, due, entry, document, answered, answer) VALUES (?, ?, ?, ?, ?, ?, -1, ?, -1, ?)
		ON CONFLICT (holder, regulator, id) DO UPDATE SET concluded = excluded.concluded, conclusion = excluded.conclusion`,
}

func (r orderRow) put(w *writer, entry int64) error {
	if r.document == nil {
		entry = none
	}
	return w.exec(orderStatements[r.step], r.key.holder, r.key.regulator, r.key.id, entry, blob(r.document), r.due, blob(nil), blob(nil))
}

// ordered is what an order is about, all empty where there is none.
func (w *writer) ordered(k orderKey) (custodian, requester, handle string, err error) {
	err = w.row(`SELECT e.custodian, e.requester, e.handle FROM orders o JOIN entries e ON e.number = o.entry WHERE o.holder = ? AND o.regulator = ? AND o.id = ?`,
		k.holder, k.regulator, k.id).Scan(&custodian, &requester, &handle)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return custodian, requester, handle, err
}
