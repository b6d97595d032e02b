package history

import (
	"context"
	"database/sql"
	"fmt"
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

const consents = `SELECT c.custodian, c.requester, c.handle, c.document, c.entry, t.block, t.id
	FROM consents c JOIN entries e ON e.number = c.entry JOIN transactions t ON t.number = e.tx`

// newestVersion leaves of each consent c its newest version.
const newestVersion = `NOT EXISTS (SELECT 1 FROM consents n
	WHERE n.custodian = c.custodian AND n.requester = c.requester AND n.handle = c.handle AND n.id = c.id AND n.version > c.version)`

// consent reads a row of the query consents.
func (s *snapshot) consent(rows *sql.Rows) (c Consent, err error) {
	var raw []byte
	var block int64
	if err := rows.Scan(&c.Custodian, &c.Requester, &c.Handle, &raw, &c.Entry, &block, &c.Transaction); err != nil {
		return c, err
	}
	doc, err := document[contract.ConsentVersion](raw)
	if err != nil || doc == nil {
		return c, fmt.Errorf("version of a consent in block %d: %w", block, err)
	}
	c.ConsentVersion, c.Block = *doc, uint64(block)
	c.CustodianName, c.RequesterName = s.members.name(c.Custodian), s.members.name(c.Requester)
	return c, nil
}

// consentsAlong looks for versions of consents c, joined to their entry e, along the ledger.
func (h History) consentsAlong(ctx context.Context, c clause, p Page) (list []Consent, next string, asOf AsOf, err error) {
	return paged(ctx, h, p, func(c Consent) int64 { return c.Entry }, func(s *snapshot, in stretch) ([]Consent, error) {
		return along(s, consents, "c.entry", in, c, s.consent)
	})
}

// Consent lists every version of a consent, oldest first. An id that the ledger doesn't
// have is refused: code not-found.
func (h History) Consent(ctx context.Context, id string, p Page) (list []Consent, next string, asOf AsOf, err error) {
	var c clause
	c.add("c.id = ?", id)
	list, next, asOf, err = h.consentsAlong(ctx, c, p)
	if err == nil && len(list) == 0 && p.Bookmark == "" {
		return nil, "", asOf, refusal.New(refusal.NotFound, fmt.Sprintf("the ledger has no consent %.40q", id), "the id of a consent, 32 hex digits")
	}
	return list, next, asOf, err
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
	var c clause
	c.add("c.status = 'active' AND c.ends <> 0")
	c.add("(c.ends > ? OR c.ends = ? AND c.id > ?)", ends, ends, id)
	c.add(newestVersion)
	c.within("c.ends", within)
	c.equal("c.custodian", custodian)
	c.equal("c.requester", requester)
	asOf, err = h.read(ctx, func(s *snapshot) (err error) {
		list, err = first(s, size+1, consents, c, "c.ends, c.id", s.consent)
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
		return 0, "", notABookmark
	}
	return ends, id, nil
}
