// Package vault keeps sealed parts at rest: files of random-looking bytes under
// names that mean nothing.
//
// A part is written once under its Name and never changed; a reader sees the whole
// part or none. Where it lies is told by OpenURL: a directory (Dir), or an S3 object
// store (Bucket). What is read is compared with the size and digest that the caller
// got when it sealed the part, so a flipped bit or a missing tail is an error, whoever
// runs the store.
//
// The vault needs no secret and gives none: what it holds is sealed, names are
// hashes, and no path ever comes from outside (a Name is 32 bytes, not a
// string). Symbolic links inside the directory are not followed out of it.
package vault

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"yitong/chaincode/record"
)

// Vault keeps sealed parts.
type Vault interface {
	// Put stores what write writes, durably when it returns nil. A part is
	// written once: a name that is taken gives ErrExists and changes nothing. On
	// any error nothing is left behind.
	Put(ctx context.Context, name Name, write func(io.Writer) error) error
	// Open gives a part for reading. It fails at once with ErrCorrupt when the
	// size is not want's, with ErrNotFound when there is none.
	Open(ctx context.Context, name Name, want Sum) (Blob, error)
	// Range gives n bytes of a part from off on, in order, as one request to where it
	// lies. Like ReadAt it doesn't check the digest. ErrCorrupt and ErrNotFound as of Open; a
	// range that isn't all within want.Size is an error.
	Range(ctx context.Context, name Name, want Sum, off, n int64) (io.ReadCloser, error)
	// Delete removes a part, durably. One that isn't there is no error.
	Delete(ctx context.Context, name Name) error
	// List yields every part, in the order of names; to find orphans.
	List(ctx context.Context) iter.Seq2[Entry, error]
	// Close lets go of the vault. Open blobs stay readable.
	Close() error
}

// Blob is one sealed part, open for reading.
type Blob interface {
	// Read gives the bytes in order and returns ErrCorrupt in place of io.EOF
	// when they are not those of the digest: what was read counts only after
	// io.EOF.
	io.Reader
	// ReadAt doesn't check the digest: the segments of a sealed part are
	// authenticated one by one when they are opened. It doesn't move Read.
	io.ReaderAt
	io.Closer
	Size() int64
}

// Sum is what a part must be.
type Sum struct {
	Size   int64
	Digest record.Hash // SHA-256
}

// SumOf takes from a record's part what Open needs.
func SumOf(p record.Part) Sum { return Sum{Size: p.SealedSize, Digest: p.SealedDigest} }

// within refuses a range that isn't within a part.
func within(name Name, want Sum, off, n int64) error {
	if off < 0 || n < 0 || off > want.Size-n {
		return fmt.Errorf("read part %s: %d bytes from %d on, of %d: there are none", name, n, off, want.Size)
	}
	return nil
}

// Entry is a part as List sees it.
type Entry struct {
	Name    Name
	Size    int64 // bytes
	Written time.Time
}

// Name is a part's place: a hash, made here.
type Name [32]byte

// NameOf names a part of a record: SHA-256 over label, record id and index.
func NameOf(recordID string, part int) Name {
	b := []byte("yitong vault name v1\x00")
	b = binary.BigEndian.AppendUint64(b, uint64(part))
	return sha256.Sum256(append(b, recordID...))
}

// ParseName reads 64 lower-case hex digits, the form of String.
func ParseName(s string) (Name, error) {
	var n Name
	if len(s) == 2*len(n) {
		if b, err := hex.DecodeString(s); err == nil && hex.EncodeToString(b) == s {
			return Name(b), nil
		}
	}
	return n, fmt.Errorf("vault name %.80q: want 64 lower-case hex digits", s)
}

// NewName draws a name at random, for what has no other.
func NewName() Name {
	var n Name
	rand.Read(n[:]) // never fails (crypto/rand.Read)
	return n
}

// MarshalText writes the form of String.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText is ParseName.
func (n *Name) UnmarshalText(text []byte) (err error) {
	*n, err = ParseName(string(text))
	return err
}

func (n Name) String() string { return hex.EncodeToString(n[:]) }

// Errors of a Vault.
var (
	ErrNotFound = errors.New("the vault has no such part")
	ErrExists   = errors.New("the vault already has this part")
	ErrCorrupt  = errors.New("the part in the vault is not what was put there")
	ErrLocked   = errors.New("the vault is in use by another process")
)
