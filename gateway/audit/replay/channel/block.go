package channel

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

// HeaderBytes is what is hashed and signed of a block: the header's ASN.1 DER encoding
// (Fabric: protoutil.BlockHeaderBytes).
func HeaderBytes(h *common.BlockHeader) []byte {
	der, err := asn1.Marshal(struct {
		Number       *big.Int
		PreviousHash []byte
		DataHash     []byte
	}{new(big.Int).SetUint64(h.GetNumber()), h.GetPreviousHash(), h.GetDataHash()})
	if err != nil {
		panic("a block header has no ASN.1 encoding: " + err.Error()) // integers and octets always have one
	}
	return der
}

// Hash is the hash of a block: what the next one names, and of block 0 the consortium's
// genesis digest.
func Hash(h *common.BlockHeader) [32]byte { return sha256.Sum256(HeaderBytes(h)) }

// DataHash is SHA-256 over the block's envelopes run together. It is flat: that one
// envelope is in a block can only be shown with all of them.
func DataHash(data [][]byte) []byte {
	sum := sha256.New()
	for _, one := range data {
		sum.Write(one)
	}
	return sum.Sum(nil)
}

// ErrSignature is a block signature that is bad, of nobody known, or there twice.
var ErrSignature = errors.New("a signature of the block is not good")

// ErrQuorum is too few good signatures, or those of the wrong ones.
var ErrQuorum = errors.New("the signatures of the block don't satisfy the channel's policy")

// ErrLastConfig is a block signed under another configuration than the one in force.
var ErrLastConfig = errors.New("the block names another configuration block than the last one")

// VerifyBlock checks the ordering nodes' signatures on a block under the configuration in
// force before it. lastConfig is the number of the newest configuration block, the block
// itself included. It returns who signed. Errors wrap ErrSignature, ErrQuorum or
// ErrLastConfig.
//
// Signatures are those of protoutil.BlockSignatureVerifier: over the metadata's value, the
// signer's header and the block's header. With BFT a signer is named by his number among
// the consenters, with raft by his certificate.
func (c *Config) VerifyBlock(header *common.BlockHeader, metadata [][]byte, lastConfig uint64) ([]*Identity, error) {
	signatures := &common.Metadata{}
	if len(metadata) <= int(common.BlockMetadataIndex_SIGNATURES) || proto.Unmarshal(metadata[common.BlockMetadataIndex_SIGNATURES], signatures) != nil {
		return nil, fmt.Errorf("%w: there are none", ErrQuorum)
	}
	head := HeaderBytes(header)
	var set []Signed
	for _, s := range signatures.Signatures {
		one, err := c.blockSignature(s, signatures.Value, head)
		if err != nil {
			return nil, err
		}
		set = append(set, one)
	}
	signers, bad := c.Signers(set)
	if bad > 0 || len(signers) != len(set) {
		return nil, fmt.Errorf("%w: %d of %d are", ErrSignature, len(signers), len(set))
	}
	if !c.Policy(BlockValidation).Satisfied(signers) {
		return nil, fmt.Errorf("%w: %d signatures", ErrQuorum, len(signers))
	}
	signed := &common.OrdererBlockMetadata{}
	if err := proto.Unmarshal(signatures.Value, signed); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrLastConfig, err)
	}
	if signed.GetLastConfig() == nil || signed.GetLastConfig().GetIndex() != lastConfig {
		return nil, fmt.Errorf("%w: block %d in place of %d", ErrLastConfig, signed.GetLastConfig().GetIndex(), lastConfig)
	}
	return signers, nil
}

func (c *Config) blockSignature(s *common.MetadataSignature, value, head []byte) (Signed, error) {
	out := Signed{Signature: s.Signature}
	by := s.SignatureHeader
	if len(s.SignatureHeader) == 0 && len(s.IdentifierHeader) > 0 {
		id := &common.IdentifierHeader{}
		if err := proto.Unmarshal(s.IdentifierHeader, id); err != nil {
			return out, fmt.Errorf("%w: %v", ErrSignature, err)
		}
		by, out.Identity = s.IdentifierHeader, c.consenters[id.Identifier]
		if out.Identity == nil {
			return out, fmt.Errorf("%w: %d is no consenter", ErrSignature, id.Identifier)
		}
	} else {
		h := &common.SignatureHeader{}
		if err := proto.Unmarshal(s.SignatureHeader, h); err != nil {
			return out, fmt.Errorf("%w: %v", ErrSignature, err)
		}
		if len(s.IdentifierHeader) > 0 {
			return out, fmt.Errorf("%w: it names its signer twice", ErrSignature)
		}
		out.Identity = h.Creator
	}
	out.Message = bytes.Join([][]byte{value, by, head}, nil)
	return out, nil
}

// Genesis reads the configuration that a channel's first block states. The caller has
// compared the block's hash with the digest he trusts.
func Genesis(header *common.BlockHeader, data [][]byte) (*Config, error) {
	if header.GetNumber() != 0 || len(header.GetPreviousHash()) != 0 {
		return nil, errors.New("this is not a first block")
	}
	if len(data) != 1 {
		return nil, errors.New("a first block holds one configuration and nothing else")
	}
	head, envelope, err := ReadConfig(data[0])
	if err != nil {
		return nil, err
	}
	return New(head.ChannelId, envelope.GetConfig())
}

// ReadConfig takes the configuration out of the envelope of a configuration block.
func ReadConfig(raw []byte) (*common.ChannelHeader, *common.ConfigEnvelope, error) {
	env, payload, header, config := &common.Envelope{}, &common.Payload{}, &common.ChannelHeader{}, &common.ConfigEnvelope{}
	for _, step := range []struct {
		raw  func() []byte
		into proto.Message
	}{
		{func() []byte { return raw }, env},
		{func() []byte { return env.GetPayload() }, payload},
		{func() []byte { return payload.GetHeader().GetChannelHeader() }, header},
	} {
		if err := proto.Unmarshal(step.raw(), step.into); err != nil {
			return nil, nil, fmt.Errorf("configuration block: %w", err)
		}
	}
	if common.HeaderType(header.Type) != common.HeaderType_CONFIG {
		return nil, nil, errors.New("the block holds no configuration")
	}
	if err := proto.Unmarshal(payload.GetData(), config); err != nil {
		return nil, nil, fmt.Errorf("configuration block: %w", err)
	}
	return header, config, nil
}
