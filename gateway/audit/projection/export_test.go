package projection

import (
	"context"

	"yitong/gateway/ledger"
)

// Tamper changes the database behind the projection's back.
func (d *Database) Tamper(statement string) error {
	d.applying.Lock()
	defer d.applying.Unlock()
	w, err := d.begin(context.Background())
	if err != nil {
		return err
	}
	if err := w.exec(statement); err != nil {
		return err
	}
	return w.tx.Commit()
}

// Statement is one that a projection ran, with its arguments.
type Statement struct {
	Query string
	Args  []any
}

// Traced takes blocks one by one and returns what ran for each.
func (d *Database) Traced(blocks []ledger.Block) ([][]Statement, error) {
	var all [][]Statement
	for _, b := range blocks {
		var ran []Statement
		d.trace = func(query string, args []any) { ran = append(ran, Statement{query, args}) }
		if err := d.Apply(context.Background(), b); err != nil {
			return nil, err
		}
		all = append(all, ran)
	}
	d.trace = nil
	return all, nil
}

// Bare runs statements as they are, one SQL transaction a block.
func (d *Database) Bare(blocks [][]Statement) error {
	for _, statements := range blocks {
		d.applying.Lock()
		w, err := d.begin(context.Background())
		if err != nil {
			return err
		}
		for _, s := range statements {
			prepared, err := w.statement(s.Query)
			if err != nil {
				return err
			}
			if _, err := prepared.ExecContext(w.ctx, s.Args...); err != nil {
				return err
			}
		}
		if err := w.tx.Commit(); err != nil {
			return err
		}
		d.applying.Unlock()
	}
	return nil
}
