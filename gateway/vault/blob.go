package vault

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"

	"yitong/chaincode/record"
)

// blob checks what passes through Read against the digest.
type blob struct {
	f    *os.File
	name Name
	want Sum
	sum  hash.Hash
	left int64
}

func newBlob(f *os.File, name Name, want Sum) *blob {
	return &blob{f: f, name: name, want: want, sum: sha256.New(), left: want.Size}
}

func (b *blob) Size() int64 { return b.want.Size }

func (b *blob) Close() error { return b.f.Close() }

func (b *blob) ReadAt(p []byte, off int64) (int, error) { return b.f.ReadAt(p, off) }

func (b *blob) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.end()
	}
	n, err := b.f.Read(p[:min(int64(len(p)), b.left)])
	b.sum.Write(p[:n])
	b.left -= int64(n)
	if err == io.EOF { // cut while it was open
		return n, b.corrupt()
	}
	return n, err
}

func (b *blob) end() error {
	if record.Hash(b.sum.Sum(nil)) != b.want.Digest {
		return b.corrupt()
	}
	return io.EOF
}

func (b *blob) corrupt() error { return fmt.Errorf("read part %s: %w", b.name, ErrCorrupt) }
