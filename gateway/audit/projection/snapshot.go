package projection

import (
	"context"
	"database/sql"
	"fmt"
)

// Snapshot begins to read the projection as it is at one moment. Roll it back when done.
func (d *Database) Snapshot(ctx context.Context) (*sql.Tx, error) {
	options := &sql.TxOptions{ReadOnly: true}
	if d.db.Postgres {
		options.Isolation = sql.LevelRepeatableRead
	}
	tx, err := d.db.Reads.BeginTx(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("reading the audit database: %w", err)
	}
	return tx, nil
}

// CheckpointOf reads how far the projection had come in a snapshot.
func CheckpointOf(ctx context.Context, tx *sql.Tx) (Checkpoint, error) {
	return checkpoint(tx.QueryRowContext(ctx, newest))
}
