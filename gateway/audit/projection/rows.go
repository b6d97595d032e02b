package projection

import (
	"database/sql"
	"errors"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
)

// The rows of the state. Each knows the statement that leaves it as the ledger's state
// is: written again replaces, an empty document deletes. Only members and their keys
// keep every version, because entries are told with the address and kind of then.

type memberRow struct {
	registry.Member
	msp      string
	document []byte
}

func (r memberRow) put(w *writer, entry int64) error {
	return w.exec(`INSERT INTO members (msp, entry, name, kind, status, gateway, document) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		r.msp, entry, text(r.Name), text(string(r.Kind)), text(string(r.Status)), text(r.Gateway), blob(r.document))
}

type keysRow struct {
	registry.Keys
	msp      string
	document []byte
}

func (r keysRow) put(w *writer, entry int64) error {
	return w.exec(`INSERT INTO member_keys (msp, entry, signing, hpke, document) VALUES (?, ?, ?, ?, ?)`,
		r.msp, entry, text(r.Signing.ID), text(r.HPKE.ID), blob(r.document))
}

type motionRow struct {
	id, target string
	document   []byte
}

func (r motionRow) put(w *writer, entry int64) error {
	if r.document == nil {
		return w.exec(`UPDATE motions SET entry = ?, document = ? WHERE id = ?`, entry, blob(nil), r.id)
	}
	return w.exec(`INSERT INTO motions (id, entry, target, document) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET entry = excluded.entry, target = excluded.target, document = excluded.document`,
		r.id, entry, r.target, r.document)
}

type closingRow int64

func (r closingRow) put(w *writer, entry int64) error {
	return w.exec(`INSERT INTO closings (entry, through) VALUES (?, ?)`, entry, int64(r))
}

type recordRow struct {
	custodian, id, status string
	document              []byte
}

func (r recordRow) put(w *writer, entry int64) error {
	if r.document == nil {
		return w.exec(`DELETE FROM records WHERE custodian = ? AND id = ?`, r.custodian, r.id)
	}
	return w.exec(`INSERT INTO records (custodian, id, entry, status, document) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (custodian, id) DO UPDATE SET entry = excluded.entry, status = excluded.status, document = excluded.document`,
		r.custodian, r.id, entry, r.status, r.document)
}

type consentRow struct {
	custodian, requester, handle, id string
	version                          int
	status, reason                   string
	period                           record.Period
	document                         []byte
	carried                          string // the handle that it stood under before
}

func (r consentRow) put(w *writer, entry int64) error {
	if r.document == nil {
		return w.exec(`DELETE FROM consents WHERE custodian = ? AND requester = ? AND handle = ? AND id = ? AND version = ?`,
			r.custodian, r.requester, r.handle, r.id, r.version)
	}
	if r.carried != "" {
		// Its versions of before go with it: they are one consent's. Not where the new handle
		// has some already, which the chaincode never lets happen.
		err := w.exec(`UPDATE consents SET handle = ? WHERE custodian = ? AND requester = ? AND handle = ? AND id = ?
			AND NOT EXISTS (SELECT 1 FROM consents n WHERE n.custodian = ? AND n.requester = ? AND n.handle = ? AND n.id = ?)`,
			r.handle, r.custodian, r.requester, r.carried, r.id, r.custodian, r.requester, r.handle, r.id)
		if err != nil {
			return err
		}
	}
	return w.exec(`INSERT INTO consents (custodian, requester, handle, id, version, entry, status, begins, ends, reason, document)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (custodian, requester, handle, id, version) DO UPDATE SET entry = excluded.entry, status = excluded.status,
		begins = excluded.begins, ends = excluded.ends, reason = excluded.reason, document = excluded.document`,
		r.custodian, r.requester, r.handle, r.id, r.version, entry, r.status,
		int64(r.period.Start), int64(r.period.End), r.reason, r.document)
}

// accessKey names an access and what came of it.
type accessKey struct{ custodian, requester, id string }

type requestRow struct {
	access.Access
	key            accessKey
	handle, reason string
	document       []byte
}

func (r requestRow) put(w *writer, entry int64) error {
	if r.document == nil {
		entry = none
	}
	w.remember(r.key, asked{r.handle, r.Purpose.String()})
	if err := r.emergency(w, entry); err != nil {
		return err
	}
	return w.exec(`INSERT INTO accesses (custodian, requester, id, entry, handle, purpose, outcome, reason, asked, expires, document,
		released, release, received, receipt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, -1, ?, -1, ?)
		ON CONFLICT (custodian, requester, id) DO UPDATE SET entry = excluded.entry, handle = excluded.handle, purpose = excluded.purpose,
		outcome = excluded.outcome, reason = excluded.reason, asked = excluded.asked, expires = excluded.expires, document = excluded.document`,
		r.key.custodian, r.key.requester, r.key.id, entry, r.handle, r.Purpose.String(), r.Decision.Outcome.String(), r.reason,
		int64(r.At), int64(r.Expires), blob(r.document), blob(nil), blob(nil))
}

// emergency keeps a break-glass request among the emergencies too. The chaincode never
// changes or deletes a request.
func (r requestRow) emergency(w *writer, entry int64) error {
	if !r.BreakGlass() {
		return nil
	}
	return w.exec(`INSERT INTO emergencies (custodian, requester, id, entry, asked, due, reason, verdict, reviewed, resolved, review) VALUES (?, ?, ?, ?, ?, ?, ?, '', -1, -1, ?)
		ON CONFLICT (custodian, requester, id) DO UPDATE SET entry = excluded.entry, asked = excluded.asked, due = excluded.due, reason = excluded.reason`,
		r.key.custodian, r.key.requester, r.key.id, entry, int64(r.At), int64(r.At+access.ReviewTerm), text(string(r.Emergency.Reason)), blob(nil))
}

// reviewRow is how the review of an emergency stands. One without an emergency, which the
// chaincode never writes, leaves none.
type reviewRow struct {
	key      accessKey
	verdict  string
	resolved bool
	document []byte
}

func (r reviewRow) put(w *writer, entry int64) error {
	switch {
	case r.document == nil:
		return w.exec(`UPDATE emergencies SET verdict = '', reviewed = -1, resolved = -1, review = ? WHERE custodian = ? AND requester = ? AND id = ?`,
			blob(nil), r.key.custodian, r.key.requester, r.key.id)
	case r.resolved:
		return w.exec(`UPDATE emergencies SET verdict = ?, resolved = ?, review = ? WHERE custodian = ? AND requester = ? AND id = ?`,
			r.verdict, entry, r.document, r.key.custodian, r.key.requester, r.key.id)
	}
	return w.exec(`UPDATE emergencies SET verdict = ?, reviewed = ?, review = ? WHERE custodian = ? AND requester = ? AND id = ?`,
		r.verdict, entry, r.document, r.key.custodian, r.key.requester, r.key.id)
}

// stepRow is a release or a receipt. One without a request, which the chaincode never
// writes, still leaves a row.
type stepRow struct {
	key      accessKey
	step     string
	document []byte
}

var stepStatements = map[string]string{
	"release": `UPDATE accesses SET released = ?, release = ? WHERE custodian = ? AND requester = ? AND id = ?`,
	"receipt": `UPDATE accesses SET received = ?, receipt = ? WHERE custodian = ? AND requester = ? AND id = ?`,
}

func (r stepRow) put(w *writer, entry int64) error {
	if r.document == nil {
		entry = none
	}
	if _, known, err := w.asked(r.key); err != nil {
		return err
	} else if !known {
		if err := (requestRow{key: r.key}).put(w, none); err != nil {
			return err
		}
	}
	return w.exec(stepStatements[r.step], entry, blob(r.document), r.key.custodian, r.key.requester, r.key.id)
}

// none stands where there is no entry.
const none = -1

// blob is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// asked is what a release or receipt inherits of its request.
type asked struct{ handle, purpose string }

// asked finds the request of an access.
func (w *writer) asked(key accessKey) (asked, bool, error) {
	if a, ok := w.requests[key]; ok {
		return a, true, nil
	}
	var a asked
	err := w.row(`SELECT handle, purpose FROM accesses WHERE custodian = ? AND requester = ? AND id = ?`, key.custodian, key.requester, key.id).Scan(&a.handle, &a.purpose)
	if errors.Is(err, sql.ErrNoRows) {
		return asked{}, false, nil
	}
	if err == nil {
		w.remember(key, a)
	}
	return a, err == nil, err
}

// remembered bounds the requests kept in memory: what was asked lately is released soon.
const remembered = 1 << 14

func (w *writer) remember(key accessKey, a asked) {
	if len(w.requests) >= remembered {
		clear(w.requests)
	}
	w.requests[key] = a
}
