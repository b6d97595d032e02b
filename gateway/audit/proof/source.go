package proof

import (
	"context"
	"fmt"
	"iter"

	"yitong/gateway/audit/replay"
)

// Blocks is a source that holds all blocks of a chain, encoded, from block 0 on.
type Blocks [][]byte

// All implements Source.
func (b Blocks) All(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, raw := range b {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !yield(raw, nil) {
				return
			}
		}
	}
}

// Block implements Source.
func (b Blocks) Block(_ context.Context, number uint64) ([]byte, error) {
	if number >= uint64(len(b)) {
		return nil, fmt.Errorf("there are %d blocks", len(b))
	}
	return b[number], nil
}

// Stream is a source that reads blocks one after the other: from a peer, or an export.
type Stream func(ctx context.Context, from uint64) iter.Seq2[[]byte, error]

// All implements Source.
func (s Stream) All(ctx context.Context) iter.Seq2[[]byte, error] { return s(ctx, 0) }

// Block implements Source.
func (s Stream) Block(ctx context.Context, number uint64) ([]byte, error) {
	for raw, err := range s(ctx, number) {
		if err != nil {
			return nil, err
		}
		at, err := replay.NumberOf(raw)
		if err != nil {
			return nil, err
		}
		if at == number {
			return raw, nil
		}
		if at > number {
			break
		}
	}
	return nil, fmt.Errorf("block %d is not there", number)
}
