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

func (n Name) String() string { return hex.EncodeToString(n[:]) }

// Errors of a Vault.
var (
	ErrNotFound = errors.New("the vault has no such part")
	ErrExists   = errors.New("the vault already has this part")
	ErrCorrupt  = errors.New("the part in the vault is not what was put there")
	ErrLocked   = errors.New("the vault is in use by another process")
)
