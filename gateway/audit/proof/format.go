package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"

	"yitong/gateway/audit/replay"
)

const magic = "yitong proof v1\n"

// Bounds on a file that somebody hands in, in bytes and pieces.
const (
	MaxFile         = 1 << 30
	maxIndex        = 1 << 20
	maxTransactions = 1 << 14
)

// ErrFormat says that a file is no proof, or not a whole one.
var ErrFormat = errors.New("not a whole proof")

// Index says what the blocks of a proof are there for.
type Index struct {
	Channel   string  `json:"channel"`
	Chaincode string  `json:"chaincode"`
	Access    string  `json:"access"` // id of the request
	Custodian string  `json:"custodian"`
	Requester string  `json:"requester"`
	Places    []Place `json:"transactions"` // ascending
}

// Place is where a transaction stands.
type Place struct {
	Block uint64 `json:"block"`
	Index int    `json:"index"`
}

// write puts a proof together.
func write(index Index, blocks [][]byte) ([]byte, error) {
	head, err := json.Marshal(index, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	out := []byte(magic)
	for _, part := range append([][]byte{head}, blocks...) {
		if len(part) == 0 || len(part) > replay.MaxBlock {
			return nil, fmt.Errorf("a part of %d bytes can't be in a proof", len(part))
		}
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(part))), part...)
	}
	out = binary.BigEndian.AppendUint32(out, 0)
	sum := sha256.Sum256(out)
	return append(out, sum[:]...), nil
}

// read takes a proof apart.
func read(r io.Reader) (index Index, blocks [][]byte, err error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return index, nil, err
	}
	bad := func(format string, args ...any) (Index, [][]byte, error) {
		return Index{}, nil, fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
	}
	if len(raw) > MaxFile {
		return bad("it is longer than %d bytes", MaxFile)
	}
	body, ok := bytes.CutPrefix(raw, []byte(magic))
	if !ok {
		return bad("it doesn't begin with %q", magic)
	}
	if len(body) < 4+sha256.Size {
		return bad("it is cut")
	}
	if sum := sha256.Sum256(raw[:len(raw)-sha256.Size]); !bytes.Equal(sum[:], raw[len(raw)-sha256.Size:]) {
		return bad("its digest isn't that of its content")
	}
	body = body[:len(body)-sha256.Size]
	var parts [][]byte
	for {
		if len(body) < 4 {
			return bad("it ends within a length")
		}
		n := int(binary.BigEndian.Uint32(body))
		body = body[4:]
		if n == 0 {
			break
		}
		if n > len(body) || n > replay.MaxBlock {
			return bad("a part of %d bytes", n)
		}
		parts, body = append(parts, body[:n]), body[n:]
	}
	if len(body) > 0 {
		return bad("something follows its end")
	}
	if len(parts) < 2 || len(parts[0]) > maxIndex {
		return bad("its index is missing or too long")
	}
	if err := json.Unmarshal(parts[0], &index, json.RejectUnknownMembers(true)); err != nil {
		return bad("its index can't be read: %v", err)
	}
	if len(index.Places) == 0 || len(index.Places) > maxTransactions {
		return bad("its index names %d transactions", len(index.Places))
	}
	for i, p := range index.Places {
		if p.Index < 0 || i > 0 && !before(index.Places[i-1], p) {
			return bad("its index isn't in order")
		}
	}
	return index, parts[1:], nil
}

func before(a, b Place) bool {
	return a.Block < b.Block || a.Block == b.Block && a.Index < b.Index
}
