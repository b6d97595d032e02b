package replay

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

// The format of exported blocks; docs/formats/blocks.md is its specification.
const (
	exportMagic = "yitong blocks v1"
	// MaxBlock bounds one encoded block, in bytes.
	MaxBlock = 128 << 20
)

// ErrFraming says that an exported file is damaged, cut, or none.
var ErrFraming = errors.New("not a whole export of blocks")

// Writer writes blocks to a file. Close finishes it; without, it is not whole.
type Writer struct {
	to    *bufio.Writer
	sum   hash.Hash
	next  uint64
	count uint64
}

// NewWriter begins an export with the block numbered from.
func NewWriter(w io.Writer, from uint64) (*Writer, error) {
	out := &Writer{to: bufio.NewWriterSize(w, 1<<20), sum: sha256.New(), next: from}
	return out, out.write([]byte(exportMagic), binary.BigEndian.AppendUint64(nil, from))
}

func (w *Writer) write(parts ...[]byte) error {
	for _, p := range parts {
		w.sum.Write(p)
		if _, err := w.to.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// Write adds the next block.
func (w *Writer) Write(b *common.Block) error {
	if b.GetHeader().GetNumber() != w.next {
		return fmt.Errorf("block %d can't follow block %d in an export", b.GetHeader().GetNumber(), w.next-1)
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(b)
	if err != nil {
		return err
	}
	return w.WriteRaw(raw)
}

// WriteRaw adds a block that is encoded already, whatever it says.
func (w *Writer) WriteRaw(raw []byte) error {
	if len(raw) == 0 || len(raw) > MaxBlock {
		return fmt.Errorf("a block of %d bytes can't be exported", len(raw))
	}
	w.next++
	w.count++
	return w.write(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw)
}

// Close writes the end: how many blocks there are, and the digest of all before it.
func (w *Writer) Close() error {
	if err := w.write(make([]byte, 4), binary.BigEndian.AppendUint64(nil, w.count)); err != nil {
		return err
	}
	if _, err := w.to.Write(w.sum.Sum(nil)); err != nil {
		return err
	}
	return w.to.Flush()
}

// Read yields the encoded blocks of an export, and an error that wraps ErrFraming if the
// file isn't whole. What was yielded before is not thereby believed.
func Read(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		in := &exportReader{from: bufio.NewReaderSize(r, 1<<20), sum: sha256.New()}
		if _, err := in.begin(); err != nil {
			yield(nil, err)
			return
		}
		for {
			raw, err := in.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(raw, err) || err != nil {
				return
			}
		}
	}
}

// Said is the number after the last block of an export, as its end says; 0 where it has no end.
// It is for showing how far a reader is: nothing has checked it.
func Said(file io.ReadSeeker) uint64 {
	var head, end [8]byte
	read := func(into []byte, offset int64, whence int) error {
		if _, err := file.Seek(offset, whence); err != nil {
			return err
		}
		_, err := io.ReadFull(file, into)
		return err
	}
	defer func() { _, _ = file.Seek(0, io.SeekStart) }() // whoever can't go back finds no export either
	if read(head[:], int64(len(exportMagic)), io.SeekStart) != nil || read(end[:], -int64(len(end)+sha256.Size), io.SeekEnd) != nil {
		return 0
	}
	return binary.BigEndian.Uint64(head[:]) + binary.BigEndian.Uint64(end[:])
}

type exportReader struct {
	from  *bufio.Reader
	sum   hash.Hash
	count uint64
}

func (r *exportReader) take(n int) ([]byte, error) {
	// Grown as it is read: a length is believed only as far as there are bytes.
	var b bytes.Buffer
	if n <= 1<<20 {
		b.Grow(n)
	}
	if _, err := io.CopyN(&b, r.from, int64(n)); err != nil {
		return nil, fmt.Errorf("%w: it ends after %d blocks", ErrFraming, r.count)
	}
	r.sum.Write(b.Bytes())
	return b.Bytes(), nil
}

// begin returns the number of the first block.
func (r *exportReader) begin() (uint64, error) {
	head, err := r.take(len(exportMagic) + 8)
	if err != nil || string(head[:len(exportMagic)]) != exportMagic {
		return 0, fmt.Errorf("%w: it doesn't begin with %q", ErrFraming, exportMagic)
	}
	return binary.BigEndian.Uint64(head[len(exportMagic):]), nil
}

// next returns the next block, io.EOF after the last one.
func (r *exportReader) next() ([]byte, error) {
	size, err := r.take(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size)
	if n == 0 {
		return nil, r.end()
	}
	if n > MaxBlock {
		return nil, fmt.Errorf("%w: a block of %d bytes", ErrFraming, n)
	}
	raw, err := r.take(int(n))
	r.count++
	return raw, err
}

func (r *exportReader) end() error {
	count, err := r.take(8)
	if err != nil {
		return err
	}
	if n := binary.BigEndian.Uint64(count); n != r.count {
		return fmt.Errorf("%w: it says that it holds %d blocks and holds %d", ErrFraming, n, r.count)
	}
	want := r.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r.from, got); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its digest isn't that of its content", ErrFraming)
	}
	if _, err := r.from.ReadByte(); err == nil {
		return fmt.Errorf("%w: something follows its end", ErrFraming)
	}
	return io.EOF
}

// Encoded turns a peer's blocks (gateway/ledger.RawBlocks) into encoded ones.
func Encoded(blocks iter.Seq2[*common.Block, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for b, err := range blocks {
			var raw []byte
			if err == nil {
				raw, err = proto.MarshalOptions{Deterministic: true}.Marshal(b)
			}
			if !yield(raw, err) || err != nil {
				return
			}
		}
	}
}
