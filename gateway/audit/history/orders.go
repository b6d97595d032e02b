package history

import (
	"context"
	"database/sql"

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
	var c clause
	c.add("o.entry >= 0")
	c.equal("o.holder", f.Holder)
	c.equal("o.regulator", f.Regulator)
	if f.Open {
		c.add("o.concluded < 0")
	}
	c.within("e.claimed", f.Time)
	return paged(ctx, h, p, func(o Order) int64 { return o.Number }, func(s *snapshot, in stretch) ([]Order, error) {
		return along(s, `SELECT o.entry, t.block, t.id, o.document, o.answer, o.conclusion FROM orders o
			JOIN entries e ON e.number = o.entry JOIN transactions t ON t.number = e.tx`, "o.entry", in, c, readOrder)
	})
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
