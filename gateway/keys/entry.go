package keys

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// An entry in the file: key entry(place, name) in bucket place(bucket), value
// nonce | AES-256-GCM(bucket, name, value) | tag with place and key as
// associated data. Bucket and name are inside, so that entries can be listed and
// moved to another master key.

// close seals an entry for its place.
func (m *master) close(place, key []byte, bucket string, e Entry) []byte {
	b := text(text(nil, bucket), e.Name)
	b = append(b, e.Value...)
	defer clear(b)
	return m.values.Seal(nil, nil, b, append(bytes.Clone(place), key...))
}

// open is close's other side; ErrCorrupt where the bytes were changed or moved.
func (m *master) open(place, key, sealed []byte) (bucket string, e Entry, err error) {
	b, err := m.values.Open(nil, nil, sealed, append(bytes.Clone(place), key...))
	if err != nil {
		return "", Entry{}, ErrCorrupt
	}
	bucket, b, ok := cut(b)
	name, value, more := cut(b)
	if !ok || !more {
		return "", Entry{}, ErrCorrupt
	}
	return bucket, Entry{Name: name, Value: value}, nil
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func cut(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n := int64(binary.BigEndian.Uint32(b))
	if b = b[4:]; int64(len(b)) < n {
		return "", nil, false
	}
	return string(b[:n]), b[n:], true
}

// place is a bucket's key in the file, entry an entry's: HMACs, which tell
// nothing without the master key.
func (m *master) place(bucket string) []byte { return m.hmac("bucket", nil, bucket) }

func (m *master) entry(place []byte, name string) []byte { return m.hmac("entry", place, name) }

func (m *master) hmac(label string, place []byte, name string) []byte {
	h := hmac.New(sha256.New, m.names)
	h.Write(text(text(text(nil, label), string(place)), name))
	return h.Sum(nil)
}
