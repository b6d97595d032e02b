package vault

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"yitong/chaincode/record"
)

// source is a stored part as it comes from where it lies.
type source interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

// checked checks what passes through Read against the digest.
type checked struct {
	source
	name Name
	want Sum
	sum  hash.Hash
	left int64
}

func newChecked(from source, name Name, want Sum) *checked {
	return &checked{source: from, name: name, want: want, sum: sha256.New(), left: want.Size}
}

func (c *checked) Size() int64 { return c.want.Size }

func (c *checked) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, c.end()
	}
	n, err := c.source.Read(p[:min(int64(len(p)), c.left)])
	c.sum.Write(p[:n])
	c.left -= int64(n)
	if err == io.EOF {
		if c.left > 0 { // cut while it was open
			return n, c.corrupt()
		}
		err = nil // some say so with the last bytes; the digest has the last word
	}
	return n, err
}

func (c *checked) end() error {
	if record.Hash(c.sum.Sum(nil)) != c.want.Digest {
		return c.corrupt()
	}
	return io.EOF
}

func (c *checked) corrupt() error { return fmt.Errorf("read part %s: %w", c.name, ErrCorrupt) }
