package history

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// Consent is one version of a consent, with whose it is and where it stands.
type Consent struct {
	contract.Relationship
	contract.ConsentVersion
	Entry                        int64
	Block                        uint64
	Transaction                  string
	CustodianName, RequesterName string
}

const consentColumns = `c.custodian, c.requester, c.handle, c.document, c.entry, t.block, t.id`

func (s *snapshot) consents(conditions []string, args []any, order string, limit int) ([]Consent, error) {
	query := `SELECT ` + consentColumns + ` FROM consents c JOIN entries e ON e.number = c.entry JOIN transactions t ON t.number = e.tx
		WHERE ` + strings.Join(conditions, " AND ") + ` ORDER BY ` + order + ` LIMIT ?`
	var list []Consent
	err := s.each(query, append(args, limit), func(rows *sql.Rows) error {
		var c Consent
		var raw []byte
		var block int64
		if err := rows.Scan(&c.Custodian, &c.Requester, &c.Handle, &raw, &c.Entry, &block, &c.Transaction); err != nil {
			return err
		}
		doc, err := document[contract.ConsentVersion](raw)
		if err != nil || doc == nil {
			return fmt.Errorf("version of a consent in block %d: %w", block, err)
		}
		c.ConsentVersion, c.Block = *doc, uint64(block)
		c.CustodianName, c.RequesterName = s.members.name(c.Custodian), s.members.name(c.Requester)
		list = append(list, c)
		return nil
	})
	return list, err
}

// Consent lists every version of a consent, oldest first. An id that the ledger doesn't
// have is refused: code not-found.
func (h History) Consent(ctx context.Context, id string, p Page) (list []Consent, next string, asOf AsOf, err error) {
	size, err := p.size()
	if err != nil {
		return nil, "", asOf, err
	}
	from, err := p.from()
	if err != nil {
		return nil, "", asOf, err
	}
	condition, order := p.along("c.version")
	asOf, err = h.read(ctx, func(s *snapshot) (err error) {
		list, err = s.consents([]string{"c.id = ?", condition}, []any{id, from}, order, size+1)
		return err
	})
	switch {
	case err != nil:
		return nil, "", asOf, err
	case len(list) == 0 && p.Bookmark == "":
		return nil, "", asOf, refusal.New(refusal.NotFound, fmt.Sprintf("the ledger has no consent %.40q", id), "the id of a consent, 32 hex digits")
	}
	list, next = cut(list, size, func(c Consent) int64 { return int64(c.Consent.Version) })
	return list, next, asOf, nil
}

// Expiring lists the consents that stand and whose period ends within a span of time,
// the first to end first.
func (h History) Expiring(ctx context.Context, within record.Period, custodian, requester string, p Page) (list []Consent, next string, asOf AsOf, err error) {
	size, err := p.size()
	if err != nil {
		return nil, "", asOf, err
	}
	ends, id, err := expiringBookmark(p.Bookmark)
	if err != nil {
		return nil, "", asOf, err
	}
	conditions := []string{"c.status = 'active' AND c.ends <> 0", "c.ends >= ?", "(c.ends > ? OR c.ends = ? AND c.id > ?)",
		`NOT EXISTS (SELECT 1 FROM consents n WHERE n.custodian = c.custodian AND n.requester = c.requester AND n.handle = c.handle AND n.id = c.id AND n.version > c.version)`}
	args := []any{int64(within.Start), ends, ends, id}
	if within.End != 0 {
		conditions, args = append(conditions, "c.ends < ?"), append(args, int64(within.End))
	}
	for _, c := range [][2]string{{"c.custodian", custodian}, {"c.requester", requester}} {
		if c[1] != "" {
			conditions, args = append(conditions, c[0]+" = ?"), append(args, c[1])
		}
	}
	asOf, err = h.read(ctx, func(s *snapshot) (err error) {
		list, err = s.consents(conditions, args, "c.ends, c.id", size+1)
		return err
	})
	if err != nil {
		return nil, "", asOf, err
	}
	if len(list) > size {
		list = list[:size]
		last := list[size-1].Consent
		next = strconv.FormatInt(int64(last.Period.End), 10) + "." + last.ID
	}
	return list, next, asOf, nil
}

func expiringBookmark(bookmark string) (ends int64, id string, err error) {
	if bookmark == "" {
		return 0, "", nil
	}
	number, id, ok := strings.Cut(bookmark, ".")
	ends, err = strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		return 0, "", refusal.New(refusal.Malformed, "that is not a bookmark", "the bookmark of the page before, unchanged")
	}
	return ends, id, nil
}

// sortBy sorts by a number, ascending or newest first.
func sortBy[T any](list []T, newest bool, number func(T) int64) {
	slices.SortFunc(list, func(a, b T) int {
		if newest {
			a, b = b, a
		}
		return cmp.Compare(number(a), number(b))
	})
}
