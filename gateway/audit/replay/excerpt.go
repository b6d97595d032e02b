package replay

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode"
	"yitong/gateway/audit/replay/channel"
)

// Excerpt verifies some transactions of a chain without the rest of it: each in its whole
// block, each with everything that it read. It does for them what Run does for all of them,
// the rules included; gateway/audit/proof is made of it.
//
// What it can't see is what isn't there: that a transaction was found valid follows only
// from a later one whose endorsers read what it wrote (Transaction.Reads).
type Excerpt struct {
	genesis   [32]byte
	chaincode string
	configs   map[uint64]*channel.Config // by the number of their blocks
	last      uint64                     // number of the newest of them
	next      uint64                     // lowest number that the next block may have
	state     state
	engine    *engine
	newest    time.Time
}

// NewExcerpt begins an excerpt of the chain whose block 0 has the digest.
func NewExcerpt(genesis [32]byte, chaincode string) (*Excerpt, error) {
	e, err := newEngine()
	if err != nil {
		return nil, err
	}
	return &Excerpt{genesis: genesis, chaincode: chaincode, configs: map[uint64]*channel.Config{}, state: state{}, engine: e}, nil
}

// Transaction is what an excerpt says of one transaction.
type Transaction struct {
	Block     uint64     `json:"block"`
	Index     int        `json:"index"`
	ID        string     `json:"transaction"`
	Time      time.Time  `json:"time"` // its creator's claim
	Creator   string     `json:"creator"`
	Endorsers []string   `json:"endorsers"` // MSP ids of the good signatures
	Chaincode string     `json:"chaincode"`
	Function  string     `json:"function"`
	Argument  []byte     `json:"-"`
	Response  []byte     `json:"-"`
	Reads     []KeyRead  `json:"-"`
	Writes    []KeyWrite `json:"-"`
}

// KeyRead is a key with the transaction that wrote what was read; none if it didn't exist.
type KeyRead struct {
	Namespace, Key string
	Block, Tx      uint64
	Exists         bool
}

// KeyWrite is a key with its new value, nil if it is deleted.
type KeyWrite struct {
	Namespace, Key string
	Value          []byte
}

// Head is a verified block.
type Head struct {
	Number  uint64
	Hash    [32]byte
	Signers []string // MSP ids of the ordering nodes
}

// Block verifies a block and the transactions in it that matter, by their places. Blocks
// come in ascending order, block 0 first, and every configuration block up to the last one
// that another names. The error is a Divergence: it says what is wrong, by check.
func (e *Excerpt) Block(raw []byte, places []int) (Head, []Transaction, error) {
	b, err := readBlock(raw)
	if err != nil {
		return Head{}, nil, e.fail(&block{number: e.next}, Encoding, err.Error())
	}
	if len(b.found) > 0 {
		return Head{}, nil, e.fail(b, b.found[0].Check, b.found[0].Detail)
	}
	head := Head{Number: b.number, Hash: b.hash}
	if len(e.configs) == 0 {
		return head, nil, e.begin(b)
	}
	if b.number < e.next {
		return head, nil, e.fail(b, Number, "the blocks aren't in order")
	}
	e.next = b.number + 1
	b.config = e.configs[e.last]
	b.lastConfig = e.last
	if b.isConfig {
		b.lastConfig = b.number
		places = []int{0}
	}
	if b.verify(); len(b.found) > 0 {
		return head, nil, e.fail(b, b.found[0].Check, b.found[0].Detail)
	}
	for _, s := range b.signers {
		head.Signers = append(head.Signers, s.MSP)
	}
	found, err := e.transactions(b, places)
	return head, found, err
}

func (e *Excerpt) fail(b *block, check Check, detail string) error {
	return Divergence{Block: b.number, Index: -1, Check: check, Detail: detail}
}

func (e *Excerpt) begin(b *block) error {
	if b.hash != e.genesis {
		return e.fail(b, Genesis, fmt.Sprintf("the first block has the digest %s, not the one that is trusted", hex.EncodeToString(b.hash[:])))
	}
	config, err := channel.Genesis(b.header, b.data)
	if err != nil {
		return e.fail(b, Configuration, err.Error())
	}
	e.configs[0], e.next = config, 1
	return nil
}

// transactions verifies those of a block that matter and applies what they write.
func (e *Excerpt) transactions(b *block, places []int) ([]Transaction, error) {
	u, v := newUpdates(), newValidator(b.config, e.state)
	var out []Transaction
	var ruled []*transaction
	for n, i := range places {
		if i < 0 || i >= len(b.data) || n > 0 && i <= places[n-1] {
			return nil, e.fail(b, Number, fmt.Sprintf("there is no transaction %d", i))
		}
		t := readTransaction(b.config, i, b.data[i])
		b.transactions = append(b.transactions, t)
		if t.endorsed && t.code == peer.TxValidationCode_VALID {
			if v.checkEndorsements(t); t.code == peer.TxValidationCode_VALID {
				v.checkReads(t, u)
			}
		}
		if t.code != peer.TxValidationCode_VALID {
			return nil, e.at(b, t, ValidationCode, fmt.Sprintf("%s: %s", t.code, t.reason))
		}
		if err := e.signers(b, t); err != nil {
			return nil, err
		}
		if t.config != nil {
			continue
		}
		v.collect(t, u, version{Block: b.number, Tx: uint64(t.index), Set: true})
		out = append(out, t.tell(b.number))
		if t.chaincode == e.chaincode {
			ruled = append(ruled, t)
		}
	}
	if b.configure(); len(b.found) > 0 {
		return nil, e.fail(b, b.found[0].Check, b.found[0].Detail)
	}
	if b.after != b.config {
		e.configs[b.number], e.last = b.after, b.number
	}
	d, _ := definitionOf(e.state, e.chaincode)
	for _, t := range ruled {
		if !chaincode.Known(d.version) {
			return nil, e.at(b, t, UnknownRules, fmt.Sprintf("it was decided by version %q of the rules, and this program's is %s: verify it with the program of that version", d.version, chaincode.Version()))
		}
		if r := e.engine.run(b.config.Channel, t, e.state, d.version); !r.same() {
			return nil, e.at(b, t, r.check, r.detail)
		}
	}
	e.state.apply(u)
	return out, nil
}

func (e *Excerpt) at(b *block, t *transaction, check Check, detail string) error {
	return Divergence{Block: b.number, Index: t.index, Transaction: t.id, Check: check, Rule: t.function(), Detail: detail}
}

// signers checks the certificates' time, and that the creator may write.
func (e *Excerpt) signers(b *block, t *transaction) error {
	if t.timestamp.After(e.newest) {
		e.newest = t.timestamp
	}
	for _, who := range append([]*channel.Identity{t.who}, t.endorsers...) {
		if !who.HeldAt(t.timestamp) {
			return e.at(b, t, Certificate, who.Name+" signed out of the certificate's time")
		}
	}
	for _, who := range b.signers {
		if !who.HeldAt(t.timestamp) {
			return e.at(b, t, Certificate, "an ordering node signed out of its certificate's time")
		}
	}
	if !b.config.Policy(channel.Writers).Satisfied([]*channel.Identity{t.who}) {
		return e.at(b, t, NotWriter, "its creator may not write to the channel")
	}
	return nil
}

// NumberOf is the number that a block says it has.
func NumberOf(raw []byte) (uint64, error) {
	m := &common.Block{}
	if err := proto.Unmarshal(raw, m); err != nil {
		return 0, fmt.Errorf("it is no block: %w", err)
	}
	return m.GetHeader().GetNumber(), nil
}

// Channel is the channel's name, once block 0 is read.
func (e *Excerpt) Channel() string {
	if c, ok := e.configs[0]; ok {
		return c.Channel
	}
	return ""
}

func (t *transaction) tell(block uint64) Transaction {
	out := Transaction{Block: block, Index: t.index, ID: t.id, Time: t.timestamp.UTC(), Chaincode: t.chaincode, Function: t.function()}
	if t.who != nil {
		out.Creator = t.who.MSP
	}
	if len(t.args) > 1 {
		out.Argument = t.args[1]
	}
	for _, e := range t.endorsers {
		out.Endorsers = append(out.Endorsers, e.MSP)
	}
	slices.Sort(out.Endorsers)
	for _, n := range t.sets {
		for _, r := range n.kv.Reads {
			v := versionOf(r.Version)
			out.Reads = append(out.Reads, KeyRead{Namespace: n.namespace, Key: r.Key, Block: v.Block, Tx: v.Tx, Exists: v.Set})
		}
		for _, c := range n.collections {
			for _, r := range c.set.HashedReads {
				v := versionOf(r.Version)
				out.Reads = append(out.Reads, KeyRead{Namespace: collectionSpace(n.namespace, c.name), Key: string(r.KeyHash), Block: v.Block, Tx: v.Tx, Exists: v.Set})
			}
		}
		for _, w := range n.kv.Writes {
			out.Writes = append(out.Writes, writeOf(n.namespace, w))
		}
	}
	return out
}

func writeOf(namespace string, w *kvrwset.KVWrite) KeyWrite {
	out := KeyWrite{Namespace: namespace, Key: w.Key}
	if !w.IsDelete && len(w.Value) > 0 {
		out.Value = w.Value
	}
	return out
}

// Look decodes a block without verifying anything: the transactions that the peer calls
// valid, and whether the block holds a configuration. It is for those who look for
// something to verify afterwards.
func Look(raw []byte) (number uint64, config bool, valid []Transaction, err error) {
	b, err := readBlock(raw)
	if err != nil {
		return 0, false, nil, err
	}
	if b.isConfig {
		return b.number, true, nil, nil
	}
	flags := b.slot(common.BlockMetadataIndex_TRANSACTIONS_FILTER)
	for i, one := range b.data {
		if i >= len(flags) || peer.TxValidationCode(flags[i]) != peer.TxValidationCode_VALID {
			continue
		}
		if t := lookAt(i, one); t != nil {
			valid = append(valid, t.tell(b.number))
		}
	}
	return b.number, false, valid, nil
}
