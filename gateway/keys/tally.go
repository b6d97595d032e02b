package keys

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// tally is a digest of the set of entries: the XOR of a MAC of each, and how
// many there are. bbolt's pages carry no checksum, so a flipped bit in a page's
// head could hide entries whose own bytes are whole; and one who knows the
// format could put an older sealed value back. The tally, sealed in the header
// bucket and written with every transaction, shows both at Open.
type tally struct {
	mac   [32]byte
	count uint64
}

var (
	tallyKey = []byte("tally")
	tallyAD  = []byte("yitong key store tally v1")
)

// toggle adds an entry, or takes out one that is in.
func (t *tally) toggle(m *master, place, key, sealed []byte) {
	subtle.XORBytes(t.mac[:], t.mac[:], m.hmac("tally", append(append([]byte(nil), place...), key...), string(sealed)))
}

func (t tally) store(m *master, tx *bolt.Tx) error {
	b := binary.BigEndian.AppendUint64(t.mac[:], t.count)
	return tx.Bucket(headerBucket).Put(tallyKey, m.values.Seal(nil, nil, b, tallyAD))
}

func loadTally(m *master, tx *bolt.Tx) (t tally, err error) {
	b, err := m.values.Open(nil, nil, tx.Bucket(headerBucket).Get(tallyKey), tallyAD)
	if err != nil || len(b) != 40 {
		return t, fmt.Errorf("%w: its tally is not one", ErrCorrupt)
	}
	return tally{mac: [32]byte(b[:32]), count: binary.BigEndian.Uint64(b[32:])}, nil
}

// verify opens every entry and compares their tally.
func (m *master) verify(tx *bolt.Tx) error {
	want, err := loadTally(m, tx)
	if err != nil {
		return err
	}
	var got tally
	err = m.each(tx, func(place, key, sealed []byte, _ string, _ Entry) error {
		got.toggle(m, place, key, sealed)
		got.count++
		return nil
	})
	if err == nil && got != want {
		err = fmt.Errorf("%w: %d entries, %d were written, or not these", ErrCorrupt, got.count, want.count)
	}
	return err
}
