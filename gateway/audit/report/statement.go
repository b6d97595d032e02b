package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"time"

	"yitong/chaincode/record"
	"yitong/gateway/audit/history"
	"yitong/gateway/seal"
)

// Label is what the signature of a statement is made under (seal.SignStatement).
const Label = "yitong audit export v1"

// Statement is what a member signs of an export. Its canonical bytes are the JSON of
// this type: fields in this order, no white space, times in UTC to the second, digests
// in lower-case hex. Signature is Ed25519 over them under Label.
type Statement struct {
	Format    string         `json:"format"`
	SHA256    string         `json:"sha256"` // of the export
	Bytes     int64          `json:"bytes"`
	Channel   string         `json:"channel"`
	Height    uint64         `json:"height"`    // blocks that the export stands on
	BlockHash string         `json:"blockHash"` // of the newest of them
	Member    string         `json:"member"`    // MSP id of who exports
	Made      record.Instant `json:"made"`
}

// Canonical is what is signed.
func (s Statement) Canonical() ([]byte, error) {
	doc, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the statement of an export: %w", err)
	}
	return doc, nil
}

// Digester is written what is exported.
type Digester struct {
	sum   hash.Hash
	bytes int64
}

// NewDigester begins one.
func NewDigester() *Digester { return &Digester{sum: sha256.New()} }

// Write implements io.Writer.
func (d *Digester) Write(p []byte) (int, error) {
	d.bytes += int64(len(p))
	return d.sum.Write(p)
}

// Statement is the statement of what was written.
func (d *Digester) Statement(format, channel, member string, asOf history.AsOf, made time.Time) Statement {
	return Statement{
		Format: format, SHA256: hex.EncodeToString(d.sum.Sum(nil)), Bytes: d.bytes, Channel: channel,
		Height: asOf.Blocks, BlockHash: hex.EncodeToString(asOf.Hash[:]), Member: member, Made: record.At(made),
	}
}

// Verify checks an export against the statement beside it and the key that signed: that
// the key did, and that the export is what it was signed of. It doesn't say whose key it
// is; the registry does.
func Verify(export, statement, signature []byte, key seal.VerifyingKey) (Statement, error) {
	var s Statement
	if !key.VerifyStatement(Label, statement, signature) {
		return s, fmt.Errorf("the signature isn't by this key over this statement")
	}
	if err := json.Unmarshal(statement, &s); err != nil {
		return s, fmt.Errorf("the statement can't be read: %w", err)
	}
	if sum := sha256.Sum256(export); s.SHA256 != hex.EncodeToString(sum[:]) || s.Bytes != int64(len(export)) {
		return s, fmt.Errorf("the export isn't the one that was signed")
	}
	return s, nil
}
