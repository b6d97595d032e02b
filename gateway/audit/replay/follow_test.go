package replay_test

import (
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/audit/replay/channel"
	"yitong/gateway/audit/replay/replaytest"
)

// Whoever follows a channel without its state takes what those who order signed under the
// configuration in force, and nothing else.
func TestAFollowerTakesWhatTheOrderersSigned(t *testing.T) {
	c := replaytest.New(t, replaytest.Options{Seed: 5})
	for n := range uint32(2) {
		c.Configure(func(root *common.ConfigGroup) {
			v := root.Groups["Orderer"].Values["BatchSize"]
			v.Version++
			v.Value, _ = proto.Marshal(&orderer.BatchSize{MaxMessageCount: 7 + n})
		}, c.Orgs[:3]...)
		c.History(30)
	}
	follow := func() *channel.Follower {
		f, err := channel.Follow(c.Blocks[0])
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := follow()
	for _, b := range c.Blocks[1:] {
		if err := f.Verify(b); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.Blocks) < 5 {
		t.Fatalf("only %d blocks", len(c.Blocks))
	}
	for name, spoil := range map[string]func(*common.Block){
		"another header":     func(b *common.Block) { b.Header.PreviousHash[0] ^= 1 },
		"no signature":       func(b *common.Block) { b.Metadata.Metadata[common.BlockMetadataIndex_SIGNATURES] = nil },
		"no metadata":        func(b *common.Block) { b.Metadata = nil },
		"of another's block": func(b *common.Block) { b.Metadata = c.Blocks[2].Metadata },
	} {
		bad := proto.CloneOf(c.Blocks[1])
		spoil(bad)
		if err := follow().Verify(bad); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	last := c.Blocks[len(c.Blocks)-1] // under the third configuration
	if err := follow().Verify(last); err == nil {
		t.Error("a block is taken with the configurations before it left out")
	}
	if _, err := channel.Follow(c.Blocks[1]); err == nil {
		t.Error("a block without configuration is followed")
	}
}
