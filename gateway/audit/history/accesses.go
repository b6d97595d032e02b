package history

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
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

const accessColumns = `a.custodian, a.requester, a.id, a.document, a.release, a.receipt, a.entry, a.released, a.received, t.block, t.id`

// accesses runs a query on accesses a, joined to the transaction t of their release.
func (s *snapshot) accesses(conditions []string, args []any, order string, limit int) ([]Access, error) {
	query := `SELECT ` + accessColumns + ` FROM accesses a JOIN entries e ON e.number = a.released JOIN transactions t ON t.number = e.tx
		WHERE ` + strings.Join(conditions, " AND ") + ` ORDER BY ` + order + ` LIMIT ?`
	var list []Access
	err := s.each(query, append(args, limit), func(rows *sql.Rows) error {
		a, err := s.access(rows)
		list = append(list, a)
		return err
	})
	return list, err
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
	size, err := p.size()
	if err != nil {
		return nil, "", asOf, err
	}
	from, err := p.from()
	if err != nil {
		return nil, "", asOf, err
	}
	condition, order := p.along("a.released")
	asOf, err = h.read(ctx, func(s *snapshot) error {
		for _, r := range about {
			conditions := []string{"a.handle = ? AND a.released >= 0", condition}
			args := []any{r.Handle, from}
			for column, value := range map[string]string{"a.custodian": r.Custodian, "a.requester": r.Requester} {
				if value != "" {
					conditions, args = append(conditions, column+" = ?"), append(args, value)
				}
			}
			if time.Start != 0 {
				conditions, args = append(conditions, "e.claimed >= ?"), append(args, int64(time.Start))
			}
			if time.End != 0 {
				conditions, args = append(conditions, "e.claimed < ?"), append(args, int64(time.End))
			}
			some, err := s.accesses(conditions, args, order, size+1)
			if err != nil {
				return err
			}
			list = append(list, some...)
		}
		return nil
	})
	if err != nil {
		return nil, "", asOf, err
	}
	sortBy(list, p.Newest, func(a Access) int64 { return a.ReleasedAt })
	list, next = cut(list, size, func(a Access) int64 { return a.ReleasedAt })
	return list, next, asOf, nil
}

// Unreceipted lists what was released before an instant and has no receipt: the
// requester got the keys, or might have, and never said what came of it.
func (h History) Unreceipted(ctx context.Context, custodian, requester string, before record.Instant, p Page) (list []Access, next string, asOf AsOf, err error) {
	size, err := p.size()
	if err != nil {
		return nil, "", asOf, err
	}
	from, err := p.from()
	if err != nil {
		return nil, "", asOf, err
	}
	condition, order := p.along("a.released")
	conditions, args := []string{"a.released >= 0 AND a.received < 0", condition}, []any{from}
	for _, c := range [][2]string{{"a.custodian", custodian}, {"a.requester", requester}} {
		if c[1] != "" {
			conditions, args = append(conditions, c[0]+" = ?"), append(args, c[1])
		}
	}
	if before != 0 {
		conditions, args = append(conditions, "e.claimed < ?"), append(args, int64(before))
	}
	asOf, err = h.read(ctx, func(s *snapshot) (err error) {
		list, err = s.accesses(conditions, args, order, size+1)
		return err
	})
	if err != nil {
		return nil, "", asOf, err
	}
	list, next = cut(list, size, func(a Access) int64 { return a.ReleasedAt })
	return list, next, asOf, nil
}

// Released is when the release says it was; zero without one.
func (a Access) Released() time.Time {
	if a.Release == nil {
		return time.Time{}
	}
	return a.Release.At.Time()
}
