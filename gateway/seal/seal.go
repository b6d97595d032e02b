// Package seal cuts a medical record into parts, seals each under a key of its
// own, and hands single keys to single requesters.
//
// # Flow
//
//	custodian   Split      a FHIR R4 Bundle into one draft per data class and labels
//	            Seal       each draft's content under a fresh Key
//	            record.Part  from what Seal returns; its leaves are anchored on the ledger
//	            Manifest   names the parts a permit covers, with their inclusion proofs
//	            Wrap       each part's key to the requester's HPKE key
//	            Sign       the manifest by the custodian's registered signing key
//	requester   Verify     the manifest against the anchors, the release and the registered key
//	            Unwrap     each key
//	            Open       each part; commitment first, then segment by segment
//
// # Threats it answers
//
// A vault or a disk that is read, changed, cut short or put together from other
// files (streaming AEAD: AES-256-GCM in segments, each bound to its place, the
// last one marked). A custodian that shows two readers two contents: AES-GCM
// doesn't commit to its key, so one sealed file can be made to open under two
// keys to two texts; the anchored key commitment is checked before a byte is
// opened, and the anchored digest at the end. A wrapped key that is moved to
// another permit, part, member or time (HPKE info). A copy of today's traffic
// kept for a quantum computer (X-Wing: X25519 and ML-KEM-768 together). An
// observer who tells from a part's size what it holds (sizes are padded to buckets).
//
// Only this package and gateway/escrow touch circl.
package seal

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"yitong/chaincode/record"
)

// Key seals one part and nothing else: 32 random bytes. It prints as a
// placeholder, so that no log or error can carry it.
type Key [32]byte

// NewKey makes a key from the system's random source.
func NewKey() Key {
	var k Key
	rand.Read(k[:]) // never fails (crypto/rand.Read)
	return k
}

// Commitment binds the part to this one key: HKDF-SHA-256 of the key under its
// own label (RFC 5869). It reveals nothing about the key and no second key with
// the same commitment can be found.
func (k Key) Commitment() record.Hash {
	c, err := hkdf.Key(sha256.New, k[:], nil, commitmentLabel, 32)
	if err != nil {
		panic(err) // lengths are constants within HKDF's bounds
	}
	return record.Hash(c)
}

const commitmentLabel = "yitong key commitment v1"

// Format writes a placeholder whatever the verb.
func (Key) Format(s fmt.State, _ rune) { io.WriteString(s, "seal.Key(hidden)") }

// MarshalJSON refuses: a key leaves the process wrapped or not at all.
func (Key) MarshalJSON() ([]byte, error) { return nil, errors.New("a part key has no JSON form") }

// AD is the place a sealed part belongs to. It is authenticated with every
// segment and not stored with it: a part opened in another place doesn't open.
type AD struct {
	Record string // anchor id
	Part   int    // index within the record, from 0
	Class  record.Class
}

func (a AD) bytes() []byte {
	b := canonical("yitong sealed part v2")
	return b.text(a.Record).number(int64(a.Part)).text(a.Class.String())
}

// Sealed is what an anchor commits to about the sealed bytes of a part.
type Sealed struct {
	Size       int64       // bytes, header and tags included
	Digest     record.Hash // SHA-256 of all sealed bytes
	Commitment record.Hash // Key.Commitment of the key they are sealed under
}

// SealedOf takes from a part what Open and NewReader need.
func SealedOf(p record.Part) Sealed {
	return Sealed{Size: p.SealedSize, Digest: p.SealedDigest, Commitment: p.KeyCommitment}
}

// Errors of Open and Reader; each comes inside a *PartError.
var (
	// ErrKey: the key isn't the one that was anchored. Nothing was opened.
	ErrKey = errors.New("the key is not the one that was anchored for this part")
	// ErrTampered: a segment was changed, cut, moved, or belongs elsewhere.
	// Nothing of that segment was written.
	ErrTampered = errors.New("the sealed bytes are not those that were sealed")
	// ErrAnchor: every segment is authentic under the key, yet size or digest
	// is not what was anchored. What was written must be thrown away.
	ErrAnchor = errors.New("the sealed bytes are not those that were anchored")
	// ErrTooLong: more than 2^32-1 segments (4 PiB).
	ErrTooLong = errors.New("a part holds at most 4 PiB")
)

// PartError names the part, and where it is known the segment of 1 MiB, that
// didn't open.
type PartError struct {
	Record  string
	Part    int
	Segment int64 // -1 where the fault isn't in one segment
	Err     error
}

func (e *PartError) Error() string {
	if e.Segment < 0 {
		return fmt.Sprintf("open part %d of record %s: %v", e.Part, e.Record, e.Err)
	}
	return fmt.Sprintf("open part %d of record %s, segment %d: %v", e.Part, e.Record, e.Segment, e.Err)
}

func (e *PartError) Unwrap() error { return e.Err }

func (a AD) fault(segment int64, err error) error {
	return &PartError{Record: a.Record, Part: a.Part, Segment: segment, Err: err}
}

// Seal reads src to its end, writes it padded and sealed to dst and returns what to anchor.
// Memory is constant (a few segments of 1 MiB) whatever the size. The next
// segment is encrypted on one core while the last is hashed on another. On error
// dst holds an unfinished file, which doesn't open.
func Seal(dst io.Writer, src io.Reader, key Key, ad AD) (Sealed, error) {
	d := newDigester()
	size, err := encrypt(dst, &padder{src: src}, key, ad.bytes(), d)
	sum := d.sum()
	if err != nil {
		return Sealed{}, fmt.Errorf("seal part %d of record %s: %w", ad.Part, ad.Record, err)
	}
	return Sealed{Size: size, Digest: sum, Commitment: key.Commitment()}, nil
}

// Open checks the key against the commitment, then verifies and opens src
// segment by segment into dst; nothing of a segment is written before it is
// verified. At the end it compares size and digest with what was anchored, so
// what was written counts only when Open returns nil: write to a temporary
// place. Errors are *PartError over ErrKey, ErrTampered, ErrAnchor, ErrPadding or the
// reader's and writer's own.
func Open(dst io.Writer, src io.Reader, key Key, ad AD, want Sealed) error {
	if err := checkKey(key, ad, want); err != nil {
		return err
	}
	d := newDigester()
	// One byte more than anchored is enough to know that it is too long.
	to := &unpadder{dst: dst}
	size, err := decrypt(to, io.LimitReader(src, want.Size+1), key, ad, d)
	sum := d.sum()
	switch {
	case err != nil:
		return err
	case size != want.Size || sum != want.Digest:
		return ad.fault(-1, ErrAnchor)
	}
	if err := to.finish(); errors.Is(err, ErrPadding) {
		return ad.fault(-1, err)
	} else if err != nil {
		return fmt.Errorf("write opened bytes: %w", err)
	}
	return nil
}

func checkKey(key Key, ad AD, want Sealed) error {
	c := key.Commitment()
	if subtle.ConstantTimeCompare(c[:], want.Commitment[:]) != 1 {
		return ad.fault(-1, ErrKey)
	}
	return nil
}
