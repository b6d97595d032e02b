package ledger_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// chain is what all peers share: the orderers' work and the blocks that come of it.
type chain struct {
	t  *testing.T
	mu sync.Mutex

	blocks  []*common.Block
	grown   chan struct{} // closed when a block is added
	fate    map[string]verdict
	effects map[string]int // argument -> how often it took effect
	ids     []string       // of what was ordered, in order

	// judge gives the validation code of the n-th transaction ordered (from 1).
	judge func(n int) peer.TxValidationCode
}

type verdict struct {
	code  peer.TxValidationCode
	block uint64
}

func newChain(t *testing.T) *chain {
	c := &chain{t: t, fate: map[string]verdict{}, effects: map[string]int{}, grown: make(chan struct{})}
	c.add(marshal(&common.Envelope{Payload: marshal(&common.Payload{Header: &common.Header{
		ChannelHeader: marshal(&common.ChannelHeader{Type: int32(common.HeaderType_CONFIG), ChannelId: "yitong"}),
	}})}), peer.TxValidationCode_VALID)
	return c
}

// order puts the envelope into a block of its own, as Fabric would: a second
// transaction of one id is a duplicate.
func (c *chain) order(env *common.Envelope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, arg := facts(env)
	c.ids = append(c.ids, id)
	code := peer.TxValidationCode_VALID
	if c.judge != nil {
		code = c.judge(len(c.ids))
	}
	if _, twice := c.fate[id]; twice {
		code = peer.TxValidationCode_DUPLICATE_TXID
	} else {
		c.fate[id] = verdict{code, uint64(len(c.blocks))}
	}
	if code == peer.TxValidationCode_VALID {
		c.effects[arg]++
	}
	c.add(marshal(env), code)
}

func (c *chain) add(env []byte, code peer.TxValidationCode) {
	b := &common.Block{
		Header:   &common.BlockHeader{Number: uint64(len(c.blocks))},
		Data:     &common.BlockData{Data: [][]byte{env}},
		Metadata: &common.BlockMetadata{Metadata: [][]byte{nil, nil, {byte(code)}, nil, nil}},
	}
	sum := sha256.Sum256(env)
	b.Header.DataHash = sum[:]
	if n := len(c.blocks); n > 0 {
		b.Header.PreviousHash = hashOf(c.blocks[n-1].GetHeader())
	}
	orderersSign(b)
	c.blocks = append(c.blocks, b)
	close(c.grown)
	c.grown = make(chan struct{})
}

// orderersSign has the orderers sign a block, as far as the fake verifier looks.
func orderersSign(b *common.Block) {
	signature := sha256.Sum256(append([]byte("orderers"), hashOf(b.GetHeader())...))
	b.Metadata.Metadata[common.BlockMetadataIndex_SIGNATURES] = marshal(&common.Metadata{
		Value:      marshal(&common.OrdererBlockMetadata{LastConfig: &common.LastConfig{}}),
		Signatures: []*common.MetadataSignature{{Signature: signature[:]}},
	})
}

// signed is a verifier of them.
type signed struct{}

func (signed) Verify(b *common.Block) error {
	meta := &common.Metadata{}
	must(proto.Unmarshal(b.GetMetadata().GetMetadata()[common.BlockMetadataIndex_SIGNATURES], meta))
	want := sha256.Sum256(append([]byte("orderers"), hashOf(b.GetHeader())...))
	if len(meta.GetSignatures()) != 1 || !bytes.Equal(meta.GetSignatures()[0].GetSignature(), want[:]) {
		return errors.New("the orderers didn't sign it")
	}
	return nil
}

// block waits for block n.
func (c *chain) block(ctx context.Context, n uint64) (*common.Block, error) {
	for {
		c.mu.Lock()
		if n < uint64(len(c.blocks)) {
			defer c.mu.Unlock()
			return c.blocks[n], nil
		}
		grown := c.grown
		c.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *chain) verdict(ctx context.Context, id string) (verdict, error) {
	for {
		c.mu.Lock()
		v, ok := c.fate[id]
		grown := c.grown
		c.mu.Unlock()
		if ok {
			return v, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

func (c *chain) ordered() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ids)
}

func (c *chain) tookEffect(arg string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.effects[arg]
}

// fakePeer is a peer's gateway and deliver service. The hooks act out faults; each
// is called with how often its service was called at this peer, from 1.
type fakePeer struct {
	gateway.UnimplementedGatewayServer
	peer.UnimplementedDeliverServer

	chain   *chain
	msp     string
	address string
	tls     *tls.Config

	onEndorse  func(n int, in *gateway.EndorseRequest) error
	onPrepared func(*common.Envelope) *common.Envelope
	onSubmit   func(ctx context.Context, n int, order func()) error
	onStatus   func(ctx context.Context, n int) (peer.TxValidationCode, error) // VALID, nil: answer truly
	onEvaluate func(n int, in *gateway.EvaluateRequest) error
	onDeliver  func(n int, b *common.Block) (*peer.DeliverResponse, error) // nil, nil: send the block
	onSeek     func(ctx context.Context) error                             // before anything is delivered
	serves     atomic.Uint64                                               // it has no more blocks than these; 0 has all

	mu                                            sync.Mutex
	server                                        *grpc.Server
	endorsed, submitted, asked, evaluated, served int
}

// deliver changes what the peer sends, while it does.
func (p *fakePeer) deliver(f func(n int, b *common.Block) (*peer.DeliverResponse, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onDeliver = f
}

func (p *fakePeer) delivers() func(n int, b *common.Block) (*peer.DeliverResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.onDeliver
}

func (p *fakePeer) count(n *int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	*n++
	return *n
}

func (p *fakePeer) counts() (endorsed, submitted, asked int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endorsed, p.submitted, p.asked
}

func (p *fakePeer) start() {
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		p.chain.t.Error(err)
		return
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(p.tls)))
	gateway.RegisterGatewayServer(server, p)
	peer.RegisterDeliverServer(server, p)
	p.mu.Lock()
	p.server = server
	p.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

func (p *fakePeer) stop() {
	p.mu.Lock()
	server := p.server
	p.mu.Unlock()
	server.Stop()
}

// kill stops the peer from within one of its own calls, which Stop waits for.
func (p *fakePeer) kill() { go p.stop() }

func (p *fakePeer) Endorse(_ context.Context, in *gateway.EndorseRequest) (*gateway.EndorseResponse, error) {
	n := p.count(&p.endorsed)
	if err := verify(in.GetProposedTransaction().GetProposalBytes(), in.GetProposedTransaction().GetSignature(), creatorOf(in.GetProposedTransaction())); err != nil {
		return nil, status.Error(codes.PermissionDenied, err.Error())
	}
	if p.onEndorse != nil {
		if err := p.onEndorse(n, in); err != nil {
			return nil, err
		}
	}
	env := endorse(in.GetProposedTransaction())
	if p.onPrepared != nil {
		env = p.onPrepared(env)
	}
	return &gateway.EndorseResponse{PreparedTransaction: env}, nil
}

func (p *fakePeer) Submit(ctx context.Context, in *gateway.SubmitRequest) (*gateway.SubmitResponse, error) {
	n := p.count(&p.submitted)
	env := in.GetPreparedTransaction()
	payload := &common.Payload{}
	if err := errors.Join(proto.Unmarshal(env.GetPayload(), payload), verify(env.GetPayload(), env.GetSignature(), signatureHeader(payload.GetHeader()).GetCreator())); err != nil {
		return nil, status.Error(codes.PermissionDenied, err.Error())
	}
	if p.onSubmit != nil {
		if err := p.onSubmit(ctx, n, func() { p.chain.order(env) }); err != nil {
			return nil, err
		}
		return &gateway.SubmitResponse{}, nil
	}
	p.chain.order(env)
	return &gateway.SubmitResponse{}, nil
}

func (p *fakePeer) CommitStatus(ctx context.Context, in *gateway.SignedCommitStatusRequest) (*gateway.CommitStatusResponse, error) {
	n := p.count(&p.asked)
	request := &gateway.CommitStatusRequest{}
	if err := errors.Join(proto.Unmarshal(in.GetRequest(), request), verify(in.GetRequest(), in.GetSignature(), request.GetIdentity())); err != nil {
		return nil, status.Error(codes.PermissionDenied, err.Error())
	}
	if p.onStatus != nil {
		if code, err := p.onStatus(ctx, n); err != nil || code != peer.TxValidationCode_VALID {
			return &gateway.CommitStatusResponse{Result: code}, err
		}
	}
	v, err := p.chain.verdict(ctx, request.GetTransactionId())
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	return &gateway.CommitStatusResponse{Result: v.code, BlockNumber: v.block}, nil
}

func (p *fakePeer) Evaluate(_ context.Context, in *gateway.EvaluateRequest) (*gateway.EvaluateResponse, error) {
	n := p.count(&p.evaluated)
	if p.onEvaluate != nil {
		if err := p.onEvaluate(n, in); err != nil {
			return nil, err
		}
	}
	args := argsOf(in.GetProposedTransaction())
	p.chain.mu.Lock()
	defer p.chain.mu.Unlock()
	switch string(args[0]) {
	case "GetChainInfo":
		return result(marshal(&common.BlockchainInfo{Height: uint64(len(p.chain.blocks))})), nil
	case "GetBlockByTxID":
		v, ok := p.chain.fate[string(args[2])]
		if !ok {
			return nil, failure(codes.Unknown, "evaluate call to endorser returned error: ", "AMSP",
				"chaincode response 500, Failed to get block for txID "+string(args[2])+", error no such transaction ID ["+string(args[2])+"] in index")
		}
		return result(marshal(p.chain.blocks[v.block])), nil
	}
	return result(args[1]), nil
}

func (p *fakePeer) Deliver(stream grpc.BidiStreamingServer[common.Envelope, peer.DeliverResponse]) error {
	env, err := stream.Recv()
	if err != nil {
		return err
	}
	payload, seek, channel := &common.Payload{}, &orderer.SeekInfo{}, &common.ChannelHeader{}
	if err := errors.Join(proto.Unmarshal(env.GetPayload(), payload), proto.Unmarshal(payload.GetData(), seek),
		proto.Unmarshal(payload.GetHeader().GetChannelHeader(), channel),
		verify(env.GetPayload(), env.GetSignature(), signatureHeader(payload.GetHeader()).GetCreator())); err != nil {
		return stream.Send(ending(common.Status_FORBIDDEN))
	}
	if len(channel.GetTlsCertHash()) != sha256.Size {
		return stream.Send(ending(common.Status_BAD_REQUEST)) // Fabric's binding inspector under mutual TLS
	}
	if p.onSeek != nil {
		if err := p.onSeek(stream.Context()); err != nil {
			return err
		}
	}
	at := seek.GetStart().GetSpecified().GetNumber()
	if seek.GetStart().GetNewest() != nil {
		at = p.newest()
	}
	for ; ; at++ {
		if !p.has(stream.Context(), at) {
			return stream.Context().Err()
		}
		b, err := p.chain.block(stream.Context(), at)
		if err != nil {
			return err
		}
		response := &peer.DeliverResponse{Type: &peer.DeliverResponse_Block{Block: b}}
		if deliver := p.delivers(); deliver != nil {
			other, err := deliver(p.count(&p.served), b)
			if err != nil {
				return err
			}
			if other != nil {
				response = other
			}
		}
		if err := stream.Send(response); err != nil {
			return err
		}
		if response.GetBlock() == nil || proto.Equal(seek.GetStart(), seek.GetStop()) {
			return nil
		}
	}
}

func (p *fakePeer) newest() uint64 {
	p.chain.mu.Lock()
	defer p.chain.mu.Unlock()
	n := uint64(len(p.chain.blocks))
	if s := p.serves.Load(); s != 0 {
		n = min(n, s)
	}
	return n - 1
}

// has waits until the peer has a block.
func (p *fakePeer) has(ctx context.Context, number uint64) bool {
	for {
		if s := p.serves.Load(); s == 0 || number < s {
			return true
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}

// What Fabric's messages look like inside.

func endorse(proposed *peer.SignedProposal) *common.Envelope {
	var args []string
	for _, a := range argsOf(proposed) {
		args = append(args, string(a))
	}
	header := proposalHeader(proposed)
	return &common.Envelope{Payload: marshal(&common.Payload{Header: header, Data: transactionCalling(header, args...)})}
}

// transactionCalling is an endorsed call whose answer is its argument.
func transactionCalling(header *common.Header, args ...string) []byte {
	input := &peer.ChaincodeInput{}
	for _, a := range args {
		input.Args = append(input.Args, []byte(a))
	}
	var answer []byte
	if len(args) > 1 {
		answer = []byte(args[1])
	}
	writes := marshal(&kvrwset.KVRWSet{Writes: []*kvrwset.KVWrite{
		{Key: "\x00record\x00AMSP\x0042\x00", Value: answer},
		{Key: "plain", IsDelete: true},
	}})
	response := marshal(&peer.ProposalResponsePayload{Extension: marshal(&peer.ChaincodeAction{
		Response: &peer.Response{Status: 200, Payload: answer},
		Results:  marshal(&rwset.TxReadWriteSet{NsRwset: []*rwset.NsReadWriteSet{{Namespace: "yitong", Rwset: writes}}}),
	})})
	action := &peer.ChaincodeActionPayload{
		ChaincodeProposalPayload: marshal(&peer.ChaincodeProposalPayload{
			Input: marshal(&peer.ChaincodeInvocationSpec{ChaincodeSpec: &peer.ChaincodeSpec{Input: input}}),
		}),
		Action: &peer.ChaincodeEndorsedAction{ProposalResponsePayload: response, Endorsements: []*peer.Endorsement{
			{Endorser: marshal(&msp.SerializedIdentity{Mspid: "AMSP"})},
			{Endorser: marshal(&msp.SerializedIdentity{Mspid: "BMSP"})},
		}},
	}
	return marshal(&peer.Transaction{Actions: []*peer.TransactionAction{{Header: header.GetSignatureHeader(), Payload: marshal(action)}}})
}

func argsOf(proposed *peer.SignedProposal) [][]byte {
	proposal := &peer.Proposal{}
	must(proto.Unmarshal(proposed.GetProposalBytes(), proposal))
	return invocation(proposal.GetPayload())
}

func invocation(proposalPayload []byte) [][]byte {
	payload, spec := &peer.ChaincodeProposalPayload{}, &peer.ChaincodeInvocationSpec{}
	must(proto.Unmarshal(proposalPayload, payload))
	must(proto.Unmarshal(payload.GetInput(), spec))
	return spec.GetChaincodeSpec().GetInput().GetArgs()
}

// facts are a transaction's id and argument.
func facts(env *common.Envelope) (id, arg string) {
	payload, tx, action := &common.Payload{}, &peer.Transaction{}, &peer.ChaincodeActionPayload{}
	must(proto.Unmarshal(env.GetPayload(), payload))
	must(proto.Unmarshal(payload.GetData(), tx))
	must(proto.Unmarshal(tx.GetActions()[0].GetPayload(), action))
	if args := invocation(action.GetChaincodeProposalPayload()); len(args) > 1 {
		arg = string(args[1])
	}
	return channelHeader(payload.GetHeader()).GetTxId(), arg
}

func proposalHeader(proposed *peer.SignedProposal) *common.Header {
	proposal, header := &peer.Proposal{}, &common.Header{}
	must(proto.Unmarshal(proposed.GetProposalBytes(), proposal))
	must(proto.Unmarshal(proposal.GetHeader(), header))
	return header
}

func creatorOf(proposed *peer.SignedProposal) []byte {
	return signatureHeader(proposalHeader(proposed)).GetCreator()
}

func channelHeader(h *common.Header) *common.ChannelHeader {
	out := &common.ChannelHeader{}
	must(proto.Unmarshal(h.GetChannelHeader(), out))
	return out
}

func signatureHeader(h *common.Header) *common.SignatureHeader {
	out := &common.SignatureHeader{}
	must(proto.Unmarshal(h.GetSignatureHeader(), out))
	return out
}

func verify(message, signature, creator []byte) error {
	id := &msp.SerializedIdentity{}
	must(proto.Unmarshal(creator, id))
	block, _ := pem.Decode(id.GetIdBytes())
	if block == nil {
		return errors.New("creator has no certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(message)
	if !ecdsa.VerifyASN1(cert.PublicKey.(*ecdsa.PublicKey), digest[:], signature) {
		return errors.New("signature doesn't verify")
	}
	return nil
}

func hashOf(h *common.BlockHeader) []byte {
	der, err := asn1.Marshal(struct {
		Number         *big.Int
		Previous, Data []byte
	}{new(big.Int).SetUint64(h.GetNumber()), h.GetPreviousHash(), h.GetDataHash()})
	must(err)
	sum := sha256.Sum256(der)
	return sum[:]
}

func result(payload []byte) *gateway.EvaluateResponse {
	return &gateway.EvaluateResponse{Result: &peer.Response{Status: 200, Payload: payload}}
}

func ending(s common.Status) *peer.DeliverResponse {
	return &peer.DeliverResponse{Type: &peer.DeliverResponse_Status{Status: s}}
}

// failure is a status of the gateway service with one endorser's detail.
func failure(code codes.Code, message, msp, detail string) error {
	s, err := status.New(code, message).WithDetails(&gateway.ErrorDetail{Address: "peer." + msp + ":7051", MspId: msp, Message: detail})
	must(err)
	return s.Err()
}

func marshal(m proto.Message) []byte {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	must(err)
	return raw
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
