package history

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
)

// Access is one access from its request to its receipt, with where each stands.
type Access struct {
	Custodian, Requester string
	ID                   string
	Asked                *access.Access
	Release              *access.Release
	Receipt              *access.Receipt
	// The entries of the three; -1 where there is none.
	AskedAt, ReleasedAt, ReceivedAt int64
	// Where the release stands, for a disclosure.
	Block       uint64
	Transaction string
	// Names of the two members as they are now.
	CustodianName, RequesterName string
}

// accesses looks for accesses a along one of their steps, a.entry or a.released, joined to its
// entry e and transaction t.
func (s *snapshot) accesses(c clause, step string, in stretch) ([]Access, error) {
	query := `SELECT a.custodian, a.requester, a.id, a.document, a.release, a.receipt, a.entry, a.released, a.received, t.block, t.id
		FROM accesses a JOIN entries e ON e.number = ` + step + ` JOIN transactions t ON t.number = e.tx`
	c.add(step + " >= 0")
	return along(s, query, step, in, c, s.access)
}

func (s *snapshot) access(rows *sql.Rows) (a Access, err error) {
	var asked, release, receipt []byte
	var block int64
	if err := rows.Scan(&a.Custodian, &a.Requester, &a.ID, &asked, &release, &receipt, &a.AskedAt, &a.ReleasedAt, &a.ReceivedAt, &block, &a.Transaction); err != nil {
		return a, err
	}
	a.Block = uint64(block)
	a.CustodianName, a.RequesterName = s.members.name(a.Custodian), s.members.name(a.Requester)
	if a.Asked, err = document[access.Access](asked); err != nil {
		return a, err
	}
	if a.Release, err = document[access.Release](release); err != nil {
		return a, err
	}
	a.Receipt, err = document[access.Receipt](receipt)
	return a, err
}

// document reads what the ledger holds; nil where it holds nothing.
func document[T any](raw []byte) (*T, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var doc T
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("a document on the ledger can't be read: %w", err)
	}
	return &doc, nil
}

// Disclosures is the accounting of disclosures of 45 CFR 164.528, and the access report
// that PIPL article 45 and GDPR article 15 entitle to: everything that was let go about
// the patient, with when, to whom, what, and for what purpose. The period is of the
// release's own time.
func (h History) Disclosures(ctx context.Context, about []contract.Relationship, time record.Period, p Page) (list []Access, next string, asOf AsOf, err error) {
	return paged(ctx, h, p, releasedAt, func(s *snapshot, in stretch) (list []Access, err error) {
		for _, r := range about {
			var c clause
			c.add("a.handle = ?", r.Handle)
			c.equal("a.custodian", r.Custodian)
			c.equal("a.requester", r.Requester)
			c.within("e.claimed", time)
			some, err := s.accesses(c, "a.released", in)
			if err != nil {
				return nil, err
			}
			list = append(list, some...)
		}
		return list, nil
	})
}

func releasedAt(a Access) int64 { return a.ReleasedAt }

// Unreceipted lists what was released before an instant and has no receipt: the
// requester got the keys, or might have, and never said what came of it.
func (h History) Unreceipted(ctx context.Context, custodian, requester string, before record.Instant, p Page) (list []Access, next string, asOf AsOf, err error) {
	var c clause
	c.add("a.received < 0")
	c.equal("a.custodian", custodian)
	c.equal("a.requester", requester)
	c.within("e.claimed", record.Period{End: before})
	return paged(ctx, h, p, releasedAt, func(s *snapshot, in stretch) ([]Access, error) {
		return s.accesses(c, "a.released", in)
	})
}

// Released is when the release says it was; zero without one.
func (a Access) Released() time.Time {
	if a.Release == nil {
		return time.Time{}
	}
	return a.Release.At.Time()
}
