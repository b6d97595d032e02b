package ledger

import (
	"context"
	"fmt"
	"strconv"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
)

// Head is the number of blocks on the own peer and the hash of the last one, as of one
// moment.
func (l *Ledger) Head(ctx context.Context) (blocks uint64, hash [32]byte, err error) {
	raw, err := l.query(ctx, "GetChainInfo")
	if err != nil {
		return 0, hash, fmt.Errorf("head of the ledger: %w", err)
	}
	info := &common.BlockchainInfo{}
	if err := unmarshal("chain information", raw, info); err != nil {
		return 0, hash, fmt.Errorf("head of the ledger: %w", err)
	}
	if len(info.GetCurrentBlockHash()) != len(hash) {
		return 0, hash, fmt.Errorf("head of the ledger: a hash of %d bytes", len(info.GetCurrentBlockHash()))
	}
	return info.GetHeight(), [32]byte(info.GetCurrentBlockHash()), nil
}

// HashOf is the hash of a block on the own peer.
func (l *Ledger) HashOf(ctx context.Context, number uint64) ([32]byte, error) {
	raw, err := l.query(ctx, "GetBlockByNumber", strconv.FormatUint(number, 10))
	if err != nil {
		return [32]byte{}, fmt.Errorf("hash of block %d: %w", number, err)
	}
	block := &common.Block{}
	if err := unmarshal("block", raw, block); err != nil {
		return [32]byte{}, fmt.Errorf("hash of block %d: %w", number, err)
	}
	b, err := decodeBlock(block)
	if err == nil && b.Number != number {
		err = fmt.Errorf("the peer gave block %d", b.Number)
	}
	if err != nil {
		return [32]byte{}, fmt.Errorf("hash of block %d: %w", number, err)
	}
	return b.Hash, nil
}
