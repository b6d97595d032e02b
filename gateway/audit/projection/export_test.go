package projection

import "context"

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
