package replaytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/contract"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
)

// The names on every chain.
const (
	ChannelName   = "yitong"
	ChaincodeName = "yitong"
)

// Options of New.
type Options struct {
	Seed uint64
	Raft bool // one ordering node's signature in place of a BFT quorum
	// PerBlock is how many transactions a block of the history holds at most. Default 20.
	PerBlock int
	// Version of the rules, as the members have agreed on it. Default "test", which is known.
	Version string
}

// Org is a member with everybody who signs for it.
type Org struct {
	MSP                               string
	CA, Peer, Orderer, Admin, Gateway *Party
}

// Chain is a channel's blocks, with the keys of everybody who made them.
type Chain struct {
	Orgs   []*Org // HospitalA, HospitalB, Insurer, Regulator
	Blocks []*common.Block
	Ledger *ledgertest.Ledger

	t       testing.TB
	options Options
	random  *rand.Rand
	config  *common.Config
	configs map[uint64]bool // numbers of the configuration blocks
	commit  []byte          // commit hash of the last block
	nonces  uint64
	story   story
}

// New makes a chain of two blocks, the configuration and the chaincode's definition, and a
// third in which the consortium is founded.
func New(t testing.TB, o Options) *Chain {
	t.Helper()
	if o.PerBlock == 0 {
		o.PerBlock = 20
	}
	if o.Version == "" {
		o.Version = "test"
	}
	names := []string{"HospitalA", "HospitalB", "Insurer", "Regulator"}
	c := &Chain{
		t: t, options: o, random: rand.New(rand.NewPCG(o.Seed, 1)), configs: map[uint64]bool{0: true},
		Ledger: ledgertest.New(t, names...),
	}
	for _, name := range names {
		ca := newAuthority(o.Seed, name)
		c.Orgs = append(c.Orgs, &Org{
			MSP: name, CA: ca, Peer: issue(o.Seed, name, "peer", "peer", ca, notAfter), Orderer: issue(o.Seed, name, "orderer", "orderer", ca, notAfter),
			Admin: issue(o.Seed, name, "admin", "admin", ca, notAfter), Gateway: issue(o.Seed, name, "gateway", "client", ca, notAfter),
		})
	}
	cc, err := contract.New(func() record.Instant { return record.At(c.Ledger.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	c.Ledger.Install(cc)
	c.config = &common.Config{ChannelGroup: c.configuration()}
	c.append([][]byte{c.configEnvelope(&common.ConfigEnvelope{Config: c.config}, nil)}, []byte{0}, nil, true)
	c.define()
	c.found()
	return c
}

// Org finds a member by its MSP id.
func (c *Chain) Org(msp string) *Org {
	i := slices.IndexFunc(c.Orgs, func(o *Org) bool { return o.MSP == msp })
	if i < 0 {
		c.t.Fatalf("replaytest: there is no member %q", msp)
	}
	return c.Orgs[i]
}

// Genesis is the digest to trust.
func (c *Chain) Genesis() [32]byte { return sha256.Sum256(headerBytes(c.Blocks[0].Header)) }

// Encoded is the blocks as bytes.
func (c *Chain) Encoded() [][]byte { return Encode(c.Blocks) }

// Encode is blocks as bytes.
func Encode(blocks []*common.Block) [][]byte {
	out := make([][]byte, len(blocks))
	for i, b := range blocks {
		out[i] = marshal(b)
	}
	return out
}

// Each yields them, for replay.Run.
func Each(raw [][]byte) func(func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		for _, one := range raw {
			if !yield(one, nil) {
				return
			}
		}
	}
}

func (c *Chain) nonce() []byte {
	c.nonces++
	sum := sha256.Sum256(fmt.Appendf(nil, "nonce %d %d", c.options.Seed, c.nonces))
	return sum[:24]
}

// change is what a block does to one key.
type change struct {
	space, key string
	value      []byte // nil deletes
	tx         uint64
}

// append adds a block of these envelopes.
func (c *Chain) append(data [][]byte, codes []byte, changes []change, config bool) {
	b := &common.Block{
		Header: &common.BlockHeader{Number: uint64(len(c.Blocks))}, Data: &common.BlockData{Data: data},
		Metadata: &common.BlockMetadata{Metadata: [][]byte{{}, {}, codes, {}, {}}},
	}
	if config {
		c.configs[b.Header.Number] = true
	}
	c.Blocks = append(c.Blocks, b)
	if b.Header.Number > 0 {
		c.commit = commitHash(codes, changes, b.Header.Number, c.commit)
		b.Metadata.Metadata[common.BlockMetadataIndex_COMMIT_HASH] = marshal(&common.Metadata{Value: c.commit})
	}
	c.seal(b)
}

// Reseal makes the blocks from one on an unbroken, signed chain again, as the orderers
// could who conspired.
func (c *Chain) Reseal(from int) {
	for _, b := range c.Blocks[from:] {
		c.seal(b)
	}
}

func (c *Chain) seal(b *common.Block) {
	sum := sha256.Sum256(bytes.Join(b.Data.Data, nil))
	b.Header.DataHash = sum[:]
	last := uint64(0)
	for n := range c.configs {
		if n <= b.Header.Number {
			last = max(last, n)
		}
	}
	signed := &common.Metadata{Value: marshal(&common.OrdererBlockMetadata{LastConfig: &common.LastConfig{Index: last}})}
	if b.Header.Number > 0 {
		before := sha256.Sum256(headerBytes(c.Blocks[b.Header.Number-1].Header))
		b.Header.PreviousHash = before[:]
		c.sign(b, signed)
	}
	b.Metadata.Metadata[common.BlockMetadataIndex_SIGNATURES] = marshal(signed)
	//lint:ignore SA1019 Fabric's ordering nodes still write it
	b.Metadata.Metadata[common.BlockMetadataIndex_LAST_CONFIG] = marshal(&common.Metadata{Value: marshal(&common.LastConfig{Index: last})})
}

func (c *Chain) sign(b *common.Block, m *common.Metadata) {
	head := headerBytes(b.Header)
	if c.options.Raft {
		by := marshal(&common.SignatureHeader{Creator: c.Orgs[0].Orderer.Serialized, Nonce: c.nonce()})
		m.Signatures = []*common.MetadataSignature{{SignatureHeader: by, Signature: c.Orgs[0].Orderer.Sign(bytes.Join([][]byte{m.Value, by, head}, nil))}}
		return
	}
	for i := range c.quorum() {
		n := (int(b.Header.Number) + i) % len(c.Orgs)
		by := marshal(&common.IdentifierHeader{Identifier: uint32(n + 1), Nonce: c.nonce()})
		m.Signatures = append(m.Signatures, &common.MetadataSignature{
			IdentifierHeader: by, Signature: c.Orgs[n].Orderer.Sign(bytes.Join([][]byte{m.Value, by, head}, nil)),
		})
	}
}

func headerBytes(h *common.BlockHeader) []byte {
	der, err := asn1.Marshal(struct {
		Number       *big.Int
		PreviousHash []byte
		DataHash     []byte
	}{new(big.Int).SetUint64(h.Number), h.PreviousHash, h.DataHash})
	if err != nil {
		panic(err)
	}
	return der
}

// commitHash is Fabric's, written a second time on purpose: the replay's own is tested
// against it, and both against a real peer's.
func commitHash(codes []byte, changes []change, block uint64, before []byte) []byte {
	last := map[[2]string]change{}
	for _, ch := range changes {
		last[[2]string{ch.space, ch.key}] = ch
	}
	keys := make([][2]string, 0, len(last))
	for k := range last {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var out []byte
	space := ""
	for _, k := range keys {
		ch := last[k]
		var kv []byte
		if ch.space != space {
			kv = protowire.AppendString(protowire.AppendTag(kv, 1, protowire.BytesType), ch.space)
			space = ch.space
		}
		kv = protowire.AppendString(protowire.AppendTag(kv, 3, protowire.BytesType), ch.key)
		if ch.value == nil {
			kv = protowire.AppendVarint(protowire.AppendTag(kv, 4, protowire.VarintType), 1)
		} else {
			kv = protowire.AppendBytes(protowire.AppendTag(kv, 5, protowire.BytesType), ch.value)
		}
		kv = protowire.AppendBytes(protowire.AppendTag(kv, 6, protowire.BytesType), append(ordered(block), ordered(ch.tx)...))
		out = protowire.AppendBytes(protowire.AppendTag(out, 1, protowire.BytesType), kv)
	}
	sum := sha256.Sum256(bytes.Join([][]byte{protowire.AppendVarint(nil, uint64(len(codes))), codes, out, before}, nil))
	return sum[:]
}

func ordered(n uint64) []byte {
	b := bytes.TrimLeft(binary.BigEndian.AppendUint64(nil, n), "\x00")
	return append([]byte{byte(len(b))}, b...)
}

// Clone is another chain with the same blocks, to be spoilt.
func (c *Chain) Clone() *Chain {
	out := *c
	out.Blocks = make([]*common.Block, len(c.Blocks))
	for i, b := range c.Blocks {
		out.Blocks[i] = proto.CloneOf(b)
	}
	return &out
}
