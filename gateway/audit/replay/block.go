package replay

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/audit/replay/channel"
)

// block is one block with everything worked out that needs no state.
type block struct {
	number   uint64
	size     int
	header   *common.BlockHeader
	data     [][]byte
	metadata [][]byte
	hash     [32]byte
	isConfig bool // it holds a configuration
	found    []Divergence

	config       *channel.Config // in force for this block
	after        *channel.Config // in force for the next one
	lastConfig   uint64          // number of the newest configuration block, this one included
	transactions []*transaction
	signers      []*channel.Identity
	signatures   int // of orderers
}

func (b *block) diverge(check Check, format string, args ...any) {
	b.found = append(b.found, Divergence{Block: b.number, Index: -1, Check: check, Detail: fmt.Sprintf(format, args...)})
}

// errAmbiguous is a message that can be read, and could have been written otherwise.
var errAmbiguous = errors.New("it isn't encoded in the one way there is")

// strict refuses what isn't the one encoding of a message of known fields: two readers of
// the same bytes must read the same, and no byte may be without meaning.
func strict(raw []byte, m proto.Message) error {
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, m); err != nil {
		return err
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, raw) {
		return errAmbiguous
	}
	return nil
}

// readBlock decodes a block and checks what it says of itself. An error is a block that
// can't be read at all.
func readBlock(raw []byte) (*block, error) {
	m := &common.Block{}
	err := strict(raw, m)
	if err != nil && !errors.Is(err, errAmbiguous) {
		return nil, fmt.Errorf("it is no block: %w", err)
	}
	if m.Header == nil {
		return nil, errors.New("it is a block without a header")
	}
	b := &block{size: len(raw), header: m.Header, data: m.GetData().GetData(), metadata: m.GetMetadata().GetMetadata()}
	b.number, b.hash = b.header.Number, channel.Hash(b.header)
	b.isConfig = len(b.data) == 1 && holdsConfig(b.data[0])
	if err != nil {
		b.diverge(Encoding, "the block: %v", err)
	}
	if !bytes.Equal(channel.DataHash(b.data), b.header.DataHash) {
		b.diverge(DataHash, "its transactions don't have the hash that its header names")
	}
	if len(b.data) == 0 {
		b.diverge(Encoding, "it holds no transaction")
	}
	b.checkMetadata()
	return b, nil
}

// slot is a part of the metadata, nil if it isn't there.
func (b *block) slot(i common.BlockMetadataIndex) []byte {
	if int(i) < len(b.metadata) {
		return b.metadata[i]
	}
	return nil
}

// checkMetadata looks at what can be said of the metadata without configuration or state.
// Whatever no signature covers and no check works out again must be empty.
func (b *block) checkMetadata() {
	const parts = 5
	if len(b.metadata) != parts {
		b.diverge(Encoding, "its metadata have %d parts in place of %d", len(b.metadata), parts)
	}
	signatures := &common.Metadata{}
	if err := strict(b.slot(common.BlockMetadataIndex_SIGNATURES), signatures); err != nil {
		b.diverge(Encoding, "its signatures: %v", err)
	}
	b.signatures = len(signatures.Signatures)
	//lint:ignore SA1019 a part that Fabric has given up has to be empty, so it is named
	if unused := common.BlockMetadataIndex_ORDERER; len(b.slot(unused)) > 0 {
		b.diverge(Unsigned, "its metadata hold %d bytes under %s, which nobody signs", len(b.slot(unused)), unused)
	}
	if b.number > 0 {
		return
	}
	// Nobody signs the first block: what isn't in its hash must be what follows from it.
	value := &common.OrdererBlockMetadata{}
	if b.signatures > 0 || proto.Unmarshal(signatures.Value, value) != nil || len(value.ConsenterMetadata) > 0 || value.GetLastConfig().GetIndex() > 0 {
		b.diverge(Unsigned, "the first block carries what no first block does")
	}
	if len(b.slot(common.BlockMetadataIndex_COMMIT_HASH)) > 0 {
		b.diverge(Unsigned, "the first block carries a commit hash")
	}
}

func holdsConfig(raw []byte) bool {
	_, _, err := channel.ReadConfig(raw)
	return err == nil
}

// checkLastConfig looks at a part of the metadata that Fabric has given up and that its
// ordering nodes still write: unsigned, it has to say what the signed one says.
func (b *block) checkLastConfig() {
	want := &common.Metadata{}
	if b.lastConfig > 0 {
		want.Value, _ = proto.Marshal(&common.LastConfig{Index: b.lastConfig})
	}
	raw, _ := proto.Marshal(want)
	//lint:ignore SA1019 see above
	if said := b.slot(common.BlockMetadataIndex_LAST_CONFIG); len(said) > 0 && !bytes.Equal(said, raw) {
		b.diverge(Unsigned, "its metadata hold %d bytes under LAST_CONFIG, which nobody signs, and they don't name block %d", len(said), b.lastConfig)
	}
}

// verify checks the orderers' signatures under the configuration in force.
func (b *block) verify() {
	b.checkLastConfig()
	if b.number == 0 {
		return
	}
	signers, err := b.config.VerifyBlock(b.header, b.metadata, b.lastConfig)
	b.signers = signers
	switch {
	case errors.Is(err, channel.ErrSignature):
		b.diverge(OrdererSign, "%v", err)
	case errors.Is(err, channel.ErrQuorum):
		b.diverge(OrdererQuorum, "%v", err)
	case err != nil:
		b.diverge(LastConfig, "%v", err)
	}
}

// configure works out the configuration that a configuration block leads to. One that
// doesn't follow is not followed: what comes after is judged by the one before.
func (b *block) configure() {
	b.after = b.config
	if b.number == 0 || !b.isConfig || len(b.transactions) != 1 {
		return
	}
	t := b.transactions[0]
	if t.code != peer.TxValidationCode_VALID || t.config == nil {
		b.diverge(Configuration, "a configuration that a peer must refuse: %s: %s", t.code, t.reason)
		return
	}
	next, err := b.config.Update(t.config)
	if err != nil {
		b.diverge(Configuration, "%v", err)
		t.fail(peer.TxValidationCode_INVALID_CONFIG_TRANSACTION, "%v", err)
		return
	}
	b.after = next
}

// newest is the latest timestamp of the block's transactions.
func (b *block) newest() time.Time {
	var newest time.Time
	for _, t := range b.transactions {
		if t.timestamp.After(newest) {
			newest = t.timestamp
		}
	}
	return newest
}
