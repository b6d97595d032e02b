package history

import (
	"context"
	"database/sql"
	"strings"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
)

// Wanted says which consents, or accesses, are looked for; a zero field leaves all.
type Wanted struct {
	About     []contract.Relationship // set but empty, it matches nothing
	IDs       []string                // likewise
	Party     string                  // MSP id of the custodian or the requester
	Custodian string
	Requester string
	Statuses  []string      // of consents: active, withdrawn
	Outcomes  []string      // of accesses: permit, deny
	Purpose   string        // of accesses, exactly
	Recorded  record.Period // when the version, or the request, was
	InForce   record.Period // consents in force at some time of it
}

// on is the wanted as SQL on a table t of consents or accesses, joined to the entries e of theirs.
func (w Wanted) on() (c clause, nothing bool) {
	if w.About != nil {
		if len(w.About) == 0 {
			return c, true
		}
		var or []string
		var args []any
		for _, r := range w.About {
			or, args = append(or, "c.handle = ? AND c.custodian = ? AND c.requester = ?"), append(args, r.Handle, r.Custodian, r.Requester)
		}
		c.add("("+strings.Join(or, " OR ")+")", args...)
	}
	if w.IDs != nil {
		if len(w.IDs) == 0 {
			return c, true
		}
		c.add("c.id IN ("+marks(len(w.IDs))+")", anys(w.IDs)...)
	}
	if w.Party != "" {
		c.add("(c.custodian = ? OR c.requester = ?)", w.Party, w.Party)
	}
	if w.Custodian != "" {
		c.add("c.custodian = ?", w.Custodian)
	}
	if w.Requester != "" {
		c.add("c.requester = ?", w.Requester)
	}
	if len(w.Statuses) > 0 {
		c.add("c.status IN ("+marks(len(w.Statuses))+")", anys(w.Statuses)...)
	}
	if len(w.Outcomes) > 0 {
		c.add("c.outcome IN ("+marks(len(w.Outcomes))+")", anys(w.Outcomes)...)
	}
	if w.Purpose != "" {
		c.add("c.purpose = ?", w.Purpose)
	}
	if w.Recorded.Start != 0 {
		c.add("e.claimed >= ?", int64(w.Recorded.Start))
	}
	if w.Recorded.End != 0 {
		c.add("e.claimed < ?", int64(w.Recorded.End))
	}
	if w.InForce.End != 0 {
		c.add("c.begins < ?", int64(w.InForce.End))
	}
	if w.InForce.Start != 0 {
		c.add("(c.ends = 0 OR c.ends > ?)", int64(w.InForce.Start))
	}
	return c, false
}

// Consents lists the consents wanted as they stand, each in its newest version, in the order in
// which those were recorded.
func (h History) Consents(ctx context.Context, w Wanted, p Page) (list []Consent, next string, asOf AsOf, err error) {
	size, err := p.size()
	if err != nil {
		return nil, "", asOf, err
	}
	from, err := p.from()
	if err != nil {
		return nil, "", asOf, err
	}
	c, nothing := w.on()
	condition, order := p.along("c.entry")
	c.add(condition, from)
	c.add(`NOT EXISTS (SELECT 1 FROM consents n WHERE n.custodian = c.custodian AND n.requester = c.requester AND n.handle = c.handle AND n.id = c.id AND n.version > c.version)`)
	asOf, err = h.read(ctx, func(s *snapshot) (err error) {
		if !nothing {
			list, err = s.consents(c.conditions, c.args, order, size+1)
		}
		return err
	})
	if err != nil {
		return nil, "", asOf, err
	}
	list, next = cut(list, size, func(c Consent) int64 { return c.Entry })
	return list, next, asOf, nil
}

// Accesses lists the accesses wanted, in the order in which they were asked for. Where their
// releases stand isn't told; see Disclosures.
func (h History) Accesses(ctx context.Context, w Wanted, p Page) (list []Access, next string, asOf AsOf, err error) {
	size, err := p.size()
	if err != nil {
		return nil, "", asOf, err
	}
	from, err := p.from()
	if err != nil {
		return nil, "", asOf, err
	}
	c, nothing := w.on()
	condition, order := p.along("c.entry")
	c.add(condition, from)
	c.add("c.entry >= 0")
	query := `SELECT c.custodian, c.requester, c.id, c.document, c.release, c.receipt, c.entry, c.released, c.received, t.block, t.id
		FROM accesses c JOIN entries e ON e.number = c.entry JOIN transactions t ON t.number = e.tx
		WHERE ` + strings.Join(c.conditions, " AND ") + ` ORDER BY ` + order + ` LIMIT ?`
	asOf, err = h.read(ctx, func(s *snapshot) error {
		if nothing {
			return nil
		}
		return s.each(query, append(c.args, size+1), func(rows *sql.Rows) error {
			a, err := s.access(rows)
			list = append(list, a)
			return err
		})
	})
	if err != nil {
		return nil, "", asOf, err
	}
	list, next = cut(list, size, func(a Access) int64 { return a.AskedAt })
	return list, next, asOf, nil
}
