package outbox

import "context"

// Synchronous is how far SQLite waits for the disk at a commit: 2 is FULL.
func (o *Outbox) Synchronous(ctx context.Context) (level int, err error) {
	return level, o.db.Writes.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&level)
}
