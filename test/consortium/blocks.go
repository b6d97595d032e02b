package consortium

import (
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/channel"
)

// Blocks returns every block that a member's peer has, as it is on the wire.
func (c *Consortium) Blocks(t *testing.T, member string) (blocks [][]byte) {
	t.Helper()
	l := c.Ledger(t, member, Chaincode)
	height, err := l.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for raw, err := range replay.Encoded(l.RawBlocks(t.Context(), 0)) {
		if err != nil {
			t.Fatal(err)
		}
		if blocks = append(blocks, raw); uint64(len(blocks)) == height {
			break
		}
	}
	return blocks
}

// Genesis is the hash of the first of the blocks.
func Genesis(t *testing.T, blocks [][]byte) [32]byte {
	t.Helper()
	var b common.Block
	if err := proto.Unmarshal(blocks[0], &b); err != nil {
		t.Fatal(err)
	}
	return channel.Hash(b.Header)
}
