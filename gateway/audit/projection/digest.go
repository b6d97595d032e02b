package projection

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash"
)

// Digest is what a projection holds, hashed.
type Digest struct {
	Checkpoint
	Whole  [32]byte // over the digests of the tables
	Tables []TableDigest
}

// TableDigest is one table, hashed.
type TableDigest struct {
	Name string
	Rows int64
	Sum  [32]byte
}

// dumped lists every table with its columns and the order of its rows: the canonical
// dump. A number is written as 'i' and 8 bytes big-endian, text as 't' and bytes as
// 'b', each with their length in 8 bytes before; SHA-256 over all of it.
var dumped = []struct{ name, columns, order string }{
	{"blocks", "number, hash, transactions, entries", "number"},
	{"transactions", "number, block, idx, id, claimed, member, agent, chaincode, function, validation, endorsers, malformed", "number"},
	{"entries", "number, tx, claimed, kind, action, outcome, reason, member, custodian, requester, handle, object, version, purpose, classes, policy, policy_version, policy_path, person, person_role", "number"},
	{"members", "msp, entry, name, kind, status, gateway, document", "msp, entry"},
	{"member_keys", "msp, entry, signing, hpke, document", "msp, entry"},
	{"motions", "id, entry, target, document", "id"},
	{"closings", "entry, through", "entry"},
	{"records", "custodian, id, entry, status, document", "custodian, id"},
	{"consents", "custodian, requester, handle, id, version, entry, status, begins, ends, reason, document", "custodian, requester, handle, id, version"},
	{"accesses", "custodian, requester, id, entry, handle, purpose, outcome, reason, asked, expires, document, released, release, received, receipt", "custodian, requester, id"},
	{"emergencies", "custodian, requester, id, entry, asked, due, reason, verdict, reviewed, resolved, review", "custodian, requester, id"},
	{"orders", "holder, regulator, id, entry, due, document, answered, answer, concluded, conclusion", "holder, regulator, id"},
	{"tallies", "hour, member, kind, outcome, n", "hour, member, kind, outcome"},
}

// Digest hashes the whole projection as it is at one moment. Two projections of the
// same blocks have the same digest, whichever database they are in and however they
// came there.
func (d *Database) Digest(ctx context.Context) (Digest, error) {
	tx, err := d.Snapshot(ctx)
	if err != nil {
		return Digest{}, err
	}
	defer tx.Rollback() // it has only read
	var out Digest
	if out.Checkpoint, err = checkpoint(tx.QueryRowContext(ctx, newest)); err != nil {
		return Digest{}, err
	}
	whole := sha256.New()
	for _, t := range dumped {
		one, err := digestTable(ctx, tx, t.name, t.columns, t.order)
		if err != nil {
			return Digest{}, fmt.Errorf("hashing %s: %w", t.name, err)
		}
		out.Tables = append(out.Tables, one)
		field(whole, 't', []byte(one.Name))
		whole.Write(one.Sum[:])
	}
	whole.Sum(out.Whole[:0])
	return out, nil
}

func digestTable(ctx context.Context, tx *sql.Tx, name, columns, order string) (TableDigest, error) {
	out := TableDigest{Name: name}
	rows, err := tx.QueryContext(ctx, "SELECT "+columns+" FROM "+name+" ORDER BY "+order)
	if err != nil {
		return out, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return out, err
	}
	values, into := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	sum := sha256.New()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return out, err
		}
		for _, v := range values {
			switch v := v.(type) {
			case int64:
				field(sum, 'i', binary.BigEndian.AppendUint64(nil, uint64(v)))
			case string:
				field(sum, 't', []byte(v))
			case []byte:
				field(sum, 'b', v)
			default:
				return out, fmt.Errorf("a column holds a %T", v)
			}
		}
		out.Rows++
	}
	sum.Sum(out.Sum[:0])
	return out, rows.Err()
}

func field(h hash.Hash, kind byte, content []byte) {
	var head [9]byte
	head[0] = kind
	binary.BigEndian.PutUint64(head[1:], uint64(len(content)))
	h.Write(head[:])
	h.Write(content)
}
