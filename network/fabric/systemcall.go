package fabric

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// systemCall asks a system chaincode of the connection's own peer, outside any
// channel. Joining and installing are not transactions, so Fabric's gateway
// service doesn't carry them.
func (c *Connection) systemCall(ctx context.Context, kind common.HeaderType, chaincode, function string, args ...[]byte) ([]byte, error) {
	proposal, err := c.proposal(kind, chaincode, append([][]byte{[]byte(function)}, args...))
	if err != nil {
		return nil, final(err)
	}
	answer, err := peer.NewEndorserClient(c.conn).ProcessProposal(ctx, proposal)
	if err != nil {
		return nil, err
	}
	if answer.GetResponse().GetStatus() != 200 {
		return nil, fmt.Errorf("%s %s: status %d: %s", chaincode, function, answer.GetResponse().GetStatus(), answer.GetResponse().GetMessage())
	}
	return answer.Response.Payload, nil
}

func (c *Connection) proposal(kind common.HeaderType, chaincode string, args [][]byte) (*peer.SignedProposal, error) {
	from, err := c.signatureHeader()
	if err != nil {
		return nil, err
	}
	name := &peer.ChaincodeID{Name: chaincode}
	extension, err := proto.Marshal(&peer.ChaincodeHeaderExtension{ChaincodeId: name})
	if err != nil {
		return nil, err
	}
	channelHeader, err := proto.Marshal(&common.ChannelHeader{
		Type: int32(kind), Timestamp: timestamppb.Now(), Extension: extension,
		// Fabric's rule for transaction ids.
		TxId: fmt.Sprintf("%x", sha256.Sum256(slices.Concat(from.Nonce, from.Creator))),
	})
	if err != nil {
		return nil, err
	}
	signatureHeader, err := proto.Marshal(from)
	if err != nil {
		return nil, err
	}
	header, err := proto.Marshal(&common.Header{ChannelHeader: channelHeader, SignatureHeader: signatureHeader})
	if err != nil {
		return nil, err
	}
	input, err := proto.Marshal(&peer.ChaincodeInvocationSpec{ChaincodeSpec: &peer.ChaincodeSpec{
		Type: peer.ChaincodeSpec_GOLANG, ChaincodeId: name, Input: &peer.ChaincodeInput{Args: args},
	}})
	if err != nil {
		return nil, err
	}
	payload, err := proto.Marshal(&peer.ChaincodeProposalPayload{Input: input})
	if err != nil {
		return nil, err
	}
	raw, err := proto.Marshal(&peer.Proposal{Header: header, Payload: payload})
	if err != nil {
		return nil, err
	}
	signature, err := c.signed(raw)
	if err != nil {
		return nil, err
	}
	return &peer.SignedProposal{ProposalBytes: raw, Signature: signature}, nil
}

// signatureHeader says who signs something, and makes it unlike everything else.
func (c *Connection) signatureHeader() (*common.SignatureHeader, error) {
	creator, err := proto.Marshal(&msp.SerializedIdentity{Mspid: c.id.MspID(), IdBytes: c.id.Credentials()})
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, 24)
	_, err = rand.Read(nonce)
	return &common.SignatureHeader{Creator: creator, Nonce: nonce}, err
}

func (c *Connection) marshalSignatureHeader() ([]byte, error) {
	header, err := c.signatureHeader()
	if err != nil {
		return nil, err
	}
	return proto.Marshal(header)
}

func (c *Connection) signed(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return c.sign(digest[:])
}
