package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
)

// Block is one block of the channel, decoded.
type Block struct {
	Number       uint64
	Hash         [32]byte // of its header, what the next block names
	Previous     []byte   // hash of the block before; empty in block 0
	Transactions []Transaction
}

// Transaction is what a block says about one transaction. It has had an effect
// only if it is Valid.
type Transaction struct {
	ID        string
	Block     uint64
	Index     int  // place in the block, from 0
	Config    bool // a configuration of the channel; the chaincode fields are empty then
	Creator   Identity
	Timestamp time.Time // UTC; the client's claim, checked by nobody but the chaincode
	Chaincode string
	Function  string
	Argument  []byte   // the first argument as sent: a JSON document in Yitong's own contracts
	Endorsers []string // MSP ids, in the order of the endorsements
	Code      peer.TxValidationCode
	Writes    []Write // in the order of namespace and key
	Malformed string  // why it could not be decoded wholly; empty if it could. No other field is certain then
}

// Valid says whether the transaction took effect.
func (t Transaction) Valid() bool { return t.Code == peer.TxValidationCode_VALID }

// Identity is who signed a proposal.
type Identity struct {
	MSP  string
	Name string // subject common name of the certificate; empty if it has none or can't be parsed
}

// Write is one change of the state.
type Write struct {
	Namespace  string   // chaincode name
	Key        string   // as stored
	ObjectType string   // of a composite key; empty for a plain one
	Attributes []string // of a composite key
	Value      []byte   // nil if Delete
	Delete     bool
}

// decodeBlock checks the block's data hash and decodes what it holds. The error is
// a *BrokenChain; a transaction that can't be decoded is none, see Malformed.
func decodeBlock(b *common.Block) (Block, error) {
	h := b.GetHeader()
	if h == nil {
		return Block{}, &BrokenChain{Reason: "it has no header"}
	}
	data := b.GetData().GetData()
	// Fabric protoutil.ComputeBlockDataHash: SHA-256 of the envelopes run together.
	sum := sha256.New()
	for _, env := range data {
		sum.Write(env)
	}
	if !bytes.Equal(sum.Sum(nil), h.GetDataHash()) {
		return Block{}, &BrokenChain{Block: h.GetNumber(), Reason: "its data don't have the hash that its header names"}
	}
	out := Block{Number: h.GetNumber(), Hash: headerHash(h), Previous: h.GetPreviousHash(), Transactions: make([]Transaction, len(data))}
	for i, env := range data {
		t := decodeEnvelope(env)
		t.Block, t.Index, t.Code = out.Number, i, validationCode(b, i)
		out.Transactions[i] = t
	}
	return out, nil
}

// headerHash is Fabric's hash of a block: SHA-256 of the header's ASN.1 DER
// encoding (protoutil.BlockHeaderBytes).
func headerHash(h *common.BlockHeader) [32]byte {
	der, err := asn1.Marshal(struct {
		Number       *big.Int
		PreviousHash []byte
		DataHash     []byte
	}{new(big.Int).SetUint64(h.GetNumber()), h.GetPreviousHash(), h.GetDataHash()})
	if err != nil {
		panic("a block header has no ASN.1 encoding: " + err.Error()) // integers and octets always have one
	}
	return sha256.Sum256(der)
}

// validationCode is the peer's verdict, one byte a transaction in the block's
// metadata. NOT_VALIDATED where there is none.
func validationCode(b *common.Block, i int) peer.TxValidationCode {
	meta := b.GetMetadata().GetMetadata()
	if len(meta) <= int(common.BlockMetadataIndex_TRANSACTIONS_FILTER) {
		return peer.TxValidationCode_NOT_VALIDATED
	}
	codes := meta[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
	if i >= len(codes) {
		return peer.TxValidationCode_NOT_VALIDATED
	}
	return peer.TxValidationCode(codes[i])
}
