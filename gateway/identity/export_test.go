package identity

import (
	"time"

	"go.etcd.io/bbolt"
)

// At sets the clock of a verifier.
func At(v *Verifier, now func() time.Time) {
	for _, p := range v.providers {
		p.now = now
		if p.keys != nil {
			p.keys.now = now
		}
	}
}

// ServicesAt sets that of services.
func ServicesAt(s *Services, now func() time.Time) { s.now = now }

// Remembered counts what is remembered.
func Remembered(r *Replays) (n int) {
	_ = r.file.View(func(tx *bbolt.Tx) error {
		n = max(tx.Bucket(bucketTaken).Stats().KeyN, tx.Bucket(bucketExpiry).Stats().KeyN)
		return nil
	})
	return n
}
