package ledger_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/ledger"
)

// fill submits n transactions, so that the chain is n+1 blocks long.
func fill(t *testing.T, l *ledger.Ledger, n int) []ledger.Commit {
	t.Helper()
	var out []ledger.Commit
	for range n {
		commit, err := l.Submit(t.Context(), "record:Anchor", document{ID: "42"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, commit)
	}
	return out
}

// take reads n blocks; fewer if the iteration ends with an error, which it returns.
func take(blocks iter.Seq2[ledger.Block, error], n int) ([]ledger.Block, error) {
	var out []ledger.Block
	for b, err := range blocks {
		if err != nil {
			return out, err
		}
		if out = append(out, b); len(out) == n {
			break
		}
	}
	return out, nil
}

func numbers(blocks []ledger.Block) []uint64 {
	out := []uint64{}
	for _, b := range blocks {
		out = append(out, b.Number)
	}
	return out
}

func TestBlocksTellWhoDidWhat(t *testing.T) {
	c := newConsortium(t, 1)
	l := c.dial(t)
	commit := fill(t, l, 1)[0]
	blocks, err := take(l.Blocks(t.Context(), 0), 2)
	if err != nil {
		t.Fatal(err)
	}
	if genesis := blocks[0].Transactions; len(genesis) != 1 || !genesis[0].Config || !genesis[0].Valid() || genesis[0].Malformed != "" {
		t.Errorf("block 0 is %+v", genesis)
	}
	got := blocks[1].Transactions[0]
	if age := time.Since(got.Timestamp); age < 0 || age > time.Minute {
		t.Errorf("its timestamp is %v", got.Timestamp)
	}
	got.Timestamp = time.Time{}
	want := ledger.Transaction{
		ID: commit.TxID, Block: 1, Creator: ledger.Identity{MSP: "AMSP", Name: "gateway.a"},
		Chaincode: "yitong", Function: "record:Anchor", Argument: []byte(arg),
		Endorsers: []string{"AMSP", "BMSP"}, Code: peer.TxValidationCode_VALID,
		Writes: []ledger.Write{
			{Namespace: "yitong", Key: "\x00record\x00AMSP\x0042\x00", ObjectType: "record", Attributes: []string{"AMSP", "42"}, Value: []byte(arg)},
			{Namespace: "yitong", Key: "plain", Delete: true},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("transaction (-want +got):\n%s", diff)
	}
	if string(blocks[1].Previous) != string(blocks[0].Hash[:]) {
		t.Error("block 1 doesn't name the hash of block 0")
	}
}

func TestBlocksWaitForNewOnes(t *testing.T) {
	c := newConsortium(t, 1)
	l := c.dial(t)
	fill(t, l, 1)
	var got []uint64
	for b, err := range l.Blocks(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, b.Number); len(got) == 3 {
			break
		}
		fill(t, l, 1) // the next one comes while the reader waits for it
	}
	if diff := cmp.Diff([]uint64{1, 2, 3}, got); diff != "" {
		t.Error(diff)
	}
}

func TestBlocksHaveNoGapAndNoDuplicateAfterBrokenStreams(t *testing.T) {
	c := newConsortium(t, 1)
	l := c.dial(t)
	fill(t, l, 6)
	c.peers[0].onDeliver = func(n int, b *common.Block) (*peer.DeliverResponse, error) {
		switch n % 3 {
		case 0:
			return nil, lostAnswer
		case 1:
			return nil, nil
		}
		if n == 2 {
			return ending(common.Status_SERVICE_UNAVAILABLE), nil
		}
		return nil, nil
	}
	blocks, err := take(l.Blocks(t.Context(), 2), 5)
	if diff := cmp.Diff([]uint64{2, 3, 4, 5, 6}, numbers(blocks)); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestBlocksSurviveARestartOfThePeer(t *testing.T) {
	c := newConsortium(t, 1)
	l := c.dial(t)
	fill(t, l, 3)
	var got []uint64
	for b, err := range l.Blocks(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, b.Number); len(got) == 2 {
			c.peers[0].stop()
			c.peers[0].start()
		}
		if len(got) == 4 {
			break
		}
	}
	if diff := cmp.Diff([]uint64{0, 1, 2, 3}, got); diff != "" {
		t.Error(diff)
	}
}

func TestBlocksThatDoNotHoldTogetherEndTheReading(t *testing.T) {
	for name, tt := range map[string]struct {
		number uint64
		spoil  func(*common.Block)
	}{
		"a transaction was changed":       {2, func(b *common.Block) { b.Data.Data[0][9] ^= 1 }},
		"a transaction was added":         {2, func(b *common.Block) { b.Data.Data = append(b.Data.Data, []byte("x")) }},
		"the block before is another":     {2, func(b *common.Block) { b.Header.PreviousHash[0] ^= 1 }},
		"the block is another's number":   {2, func(b *common.Block) { b.Header.Number = 3 }},
		"the header is missing":           {2, func(b *common.Block) { b.Header = nil }},
		"the first block has one before":  {0, func(b *common.Block) { b.Header.PreviousHash = []byte("x") }},
		"the first block holds something": {0, func(b *common.Block) { b.Data.Data = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t, 1)
			l := c.dial(t)
			fill(t, l, 3)
			c.peers[0].onDeliver = func(_ int, b *common.Block) (*peer.DeliverResponse, error) {
				if b.GetHeader().GetNumber() != tt.number {
					return nil, nil
				}
				bad := proto.Clone(b).(*common.Block)
				tt.spoil(bad)
				return &peer.DeliverResponse{Type: &peer.DeliverResponse_Block{Block: bad}}, nil
			}
			blocks, err := take(l.Blocks(t.Context(), 0), 4)
			var broken *ledger.BrokenChain
			if !errors.As(err, &broken) || len(blocks) != int(tt.number) {
				t.Errorf("got %v after %d blocks, want a broken chain after %d", err, len(blocks), tt.number)
			}
		})
	}
}

func TestBlocksAfterACheckpointMustNameIt(t *testing.T) {
	c := newConsortium(t, 1)
	l := c.dial(t)
	fill(t, l, 3)
	blocks, err := take(l.Blocks(t.Context(), 1), 1)
	if err != nil {
		t.Fatal(err)
	}
	next, err := take(l.BlocksAfter(t.Context(), 1, blocks[0].Hash), 2)
	if diff := cmp.Diff([]uint64{2, 3}, numbers(next)); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	var broken *ledger.BrokenChain
	if _, err := take(l.BlocksAfter(t.Context(), 1, [32]byte{1}), 1); !errors.As(err, &broken) || broken.Block != 2 {
		t.Errorf("after a forged checkpoint got %v", err)
	}
}

func TestATransactionNobodyCanDecodeDoesNotStopTheReading(t *testing.T) {
	c := newConsortium(t, 1)
	l := c.dial(t)
	c.chain.mu.Lock()
	c.chain.add([]byte("no envelope"), peer.TxValidationCode_BAD_PAYLOAD)
	c.chain.mu.Unlock()
	commit := fill(t, l, 1)[0]
	blocks, err := take(l.Blocks(t.Context(), 0), 3)
	if err != nil {
		t.Fatal(err)
	}
	if bad := blocks[1].Transactions[0]; bad.Malformed == "" || bad.Valid() || bad.Code != peer.TxValidationCode_BAD_PAYLOAD {
		t.Errorf("the malformed transaction is %+v", bad)
	}
	if blocks[2].Transactions[0].ID != commit.TxID {
		t.Error("the one after it is lost")
	}
}

func TestAPeerThatRefusesItsBlocksEndsTheReading(t *testing.T) {
	c := newConsortium(t, 1)
	c.peers[0].onDeliver = func(int, *common.Block) (*peer.DeliverResponse, error) {
		return ending(common.Status_FORBIDDEN), nil
	}
	if _, err := take(c.dial(t).Blocks(t.Context(), 0), 1); err == nil {
		t.Error("no error")
	}
}

func TestBlocksEndWithTheContext(t *testing.T) {
	c := newConsortium(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	for _, err := range c.dial(t).Blocks(ctx, 0) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			break
		}
		seen++
		cancel() // while the reader waits for block 1
	}
	if seen != 1 {
		t.Errorf("%d blocks were read", seen)
	}
}
