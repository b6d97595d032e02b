package history

import (
	"context"
	"database/sql"
	"strings"

	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
)

// OrderFilter says which orders to disclose are wanted; a zero field leaves all.
type OrderFilter struct {
	Holder, Regulator string        // MSP ids
	Open              bool          // only those without a conclusion
	Time              record.Period // when it was ordered
}

// Order is an order to disclose, and what came of it.
type Order struct {
	disclosure.Disclosure
	Number      int64 // entry of the order
	Block       uint64
	Transaction string
}

// Orders lists orders to disclose.
func (h History) Orders(ctx context.Context, f OrderFilter, p Page) (list []Order, next string, asOf AsOf, err error) {
	size, err := p.size()
	if err != nil {
		return nil, "", asOf, err
	}
	from, err := p.from()
	if err != nil {
		return nil, "", asOf, err
	}
	along, order := p.along("o.entry")
	conditions, args := []string{"o.entry >= 0", along}, []any{from}
	add := func(condition string, values ...any) {
		conditions, args = append(conditions, condition), append(args, values...)
	}
	if f.Holder != "" {
		add("o.holder = ?", f.Holder)
	}
	if f.Regulator != "" {
		add("o.regulator = ?", f.Regulator)
	}
	if f.Open {
		add("o.concluded < 0")
	}
	if f.Time.Start != 0 {
		add("e.claimed >= ?", int64(f.Time.Start))
	}
	if f.Time.End != 0 {
		add("e.claimed < ?", int64(f.Time.End))
	}
	asOf, err = h.read(ctx, func(s *snapshot) error {
		query := `SELECT o.entry, t.block, t.id, o.document, o.answer, o.conclusion FROM orders o
			JOIN entries e ON e.number = o.entry JOIN transactions t ON t.number = e.tx
			WHERE ` + strings.Join(conditions, " AND ") + ` ORDER BY ` + order + ` LIMIT ?`
		return s.each(query, append(args, size+1), func(rows *sql.Rows) error {
			o, err := readOrder(rows)
			list = append(list, o)
			return err
		})
	})
	if err != nil {
		return nil, "", asOf, err
	}
	list, next = cut(list, size, func(o Order) int64 { return o.Number })
	return list, next, asOf, nil
}

func readOrder(rows *sql.Rows) (o Order, err error) {
	var block int64
	var ordered, answer, conclusion []byte
	if err := rows.Scan(&o.Number, &block, &o.Transaction, &ordered, &answer, &conclusion); err != nil {
		return o, err
	}
	o.Block = uint64(block)
	given, err := document[disclosure.Order](ordered)
	if err != nil || given == nil {
		return o, err
	}
	o.Order = *given
	if o.Answer, err = document[disclosure.Answer](answer); err != nil {
		return o, err
	}
	o.Conclusion, err = document[disclosure.Conclusion](conclusion)
	return o, err
}
