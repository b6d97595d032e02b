package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Prepared is an endorsed and signed transaction that has not been submitted: the
// ledger knows nothing of it.
type Prepared struct {
	ledger   *Ledger
	id       string
	function string
	signed   []byte // gateway.PreparedTransaction
	result   []byte
	via      int // index of the peer that collected the endorsements
}

// TxID is the transaction's id, by which Outcome finds it once it is submitted.
func (p *Prepared) TxID() string { return p.id }

// Result decodes what the chaincode answered when it endorsed into out (nil:
// dropped). It holds only if the transaction commits.
func (p *Prepared) Result(out any) error { return decode(p.function, p.result, out) }

// Prepare proposes function with the JSON document of in and has it endorsed.
// Peers that can't be reached are passed over; endorsers that don't agree, as
// those that lag do, are asked again after a pause. The errors are Submit's as
// far as they concern endorsement.
func (l *Ledger) Prepare(ctx context.Context, function string, in any, opts ...Option) (prepared *Prepared, err error) {
	ctx, ended := l.observe(ctx, StepEndorse, function)
	defer func() {
		id := ""
		if prepared != nil {
			id = prepared.id
		}
		ended(id, 0, err)
	}()
	arg, err := document(in)
	if err != nil {
		return nil, fmt.Errorf("%s: encoding the argument: %w", function, err)
	}
	c, wait := calling(opts), pauses()
	for try := 1; ; try++ {
		p, err := l.endorse(ctx, function, arg, c)
		if err == nil {
			return p, nil
		}
		var again *disagreement
		if !errors.As(err, &again) && !errors.Is(err, ErrUnavailable) || try >= l.cfg.Tries {
			return nil, fmt.Errorf("%s: %w", function, err)
		}
		l.log.Debug("not endorsed, trying again", "function", function, "try", try)
		if stopped := pause(ctx, wait.NextBackOff()); stopped != nil {
			return nil, fmt.Errorf("%s: %w", function, errors.Join(stopped, err))
		}
	}
}

// endorse tries every peer once, in order, until one answers for the chaincode.
func (l *Ledger) endorse(ctx context.Context, function string, arg [][]byte, c call) (*Prepared, error) {
	var unreachable error
	peers := l.conns.current()
	for _, i := range l.standing.ordered(peers, Submitting) {
		at := peers[i]
		p, err := l.endorseAt(ctx, at, function, arg, c)
		switch {
		case err == nil:
			p.via = i
			return p, nil
		case ctx.Err() != nil:
			return nil, errors.Join(ctx.Err(), err)
		case !errors.Is(err, ErrUnavailable):
			return nil, err
		}
		unreachable = errors.Join(unreachable, fmt.Errorf("peer %s: %w", at.address, err))
	}
	return nil, unreachable
}

func (l *Ledger) endorseAt(ctx context.Context, at *peerConn, function string, arg [][]byte, c call) (*Prepared, error) {
	proposal, err := at.propose(l.cfg.Chaincode, function, arg, c)
	if err != nil {
		return nil, fmt.Errorf("making the proposal: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, endorseTimeout)
	defer cancel()
	tx, err := proposal.EndorseWithContext(ctx)
	if err != nil {
		return nil, endorseError(err, proposal.TransactionID(), len(c.endorsers) > 0)
	}
	signed, err := l.signTransaction(at, tx, proposal, function, arg)
	if err != nil {
		return nil, err
	}
	return &Prepared{ledger: l, id: proposal.TransactionID(), function: function, signed: signed, result: tx.Result()}, nil
}

func (p *peerConn) propose(chaincode, function string, arg [][]byte, c call) (*client.Proposal, error) {
	opts := []client.ProposalOption{client.WithBytesArguments(arg...)}
	if len(c.endorsers) > 0 {
		opts = append(opts, client.WithEndorsingOrganizations(c.endorsers...))
	}
	proposal, err := p.network.GetContract(chaincode).NewProposal(function, opts...)
	if err != nil || c.timestamp.IsZero() {
		return proposal, err
	}
	return p.claim(proposal, c.timestamp)
}

// claim puts another timestamp into an unsigned proposal. Its id doesn't depend on it.
func (p *peerConn) claim(proposal *client.Proposal, at time.Time) (*client.Proposal, error) {
	raw, err := proposal.Bytes()
	if err != nil {
		return nil, err
	}
	proposed, inner, header, channel := &gateway.ProposedTransaction{}, &peer.Proposal{}, &common.Header{}, &common.ChannelHeader{}
	if err := proto.Unmarshal(raw, proposed); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(proposed.GetProposal().GetProposalBytes(), inner); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(inner.GetHeader(), header); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(header.GetChannelHeader(), channel); err != nil {
		return nil, err
	}
	channel.Timestamp = timestamppb.New(at)
	if header.ChannelHeader, err = proto.Marshal(channel); err != nil {
		return nil, err
	}
	if inner.Header, err = proto.Marshal(header); err != nil {
		return nil, err
	}
	if proposed.Proposal.ProposalBytes, err = proto.Marshal(inner); err != nil {
		return nil, err
	}
	if raw, err = proto.Marshal(proposed); err != nil {
		return nil, err
	}
	return p.gateway.NewProposal(raw)
}

// signTransaction signs what the peer made of the proposal, once it is clear that
// it is what was proposed: a peer could ask for a signature under anything.
func (l *Ledger) signTransaction(at *peerConn, tx *client.Transaction, proposal *client.Proposal, function string, arg [][]byte) ([]byte, error) {
	raw, err := tx.Bytes()
	if err != nil {
		return nil, fmt.Errorf("reading the endorsed transaction: %w", err)
	}
	prepared := &gateway.PreparedTransaction{}
	if err := proto.Unmarshal(raw, prepared); err != nil {
		return nil, fmt.Errorf("reading the endorsed transaction: %w", err)
	}
	if err := sameAsProposed(prepared.GetEnvelope(), proposal, function, arg); err != nil {
		return nil, fmt.Errorf("%w: the peer handed back for signing what was not proposed: %w", ErrUnavailable, err)
	}
	if prepared.Envelope.Signature, err = at.signed(prepared.GetEnvelope().GetPayload()); err != nil {
		return nil, fmt.Errorf("signing the transaction: %w", err)
	}
	return proto.Marshal(prepared)
}

func sameAsProposed(env *common.Envelope, proposal *client.Proposal, function string, arg [][]byte) error {
	raw, err := proposal.Bytes()
	if err != nil {
		return err
	}
	proposed, inner, payload := &gateway.ProposedTransaction{}, &peer.Proposal{}, &common.Payload{}
	asked, got := &common.Header{}, Transaction{}
	if err := unmarshal("proposed transaction", raw, proposed); err != nil {
		return err
	}
	if err := unmarshal("proposal", proposed.GetProposal().GetProposalBytes(), inner); err != nil {
		return err
	}
	if err := unmarshal("header", inner.GetHeader(), asked); err != nil {
		return err
	}
	if err := unmarshal("payload", env.GetPayload(), payload); err != nil {
		return err
	}
	if !bytes.Equal(asked.GetChannelHeader(), payload.GetHeader().GetChannelHeader()) ||
		!bytes.Equal(asked.GetSignatureHeader(), payload.GetHeader().GetSignatureHeader()) {
		return errors.New("its header is another")
	}
	if err := got.decodeTransaction(payload.GetData()); err != nil {
		return err
	}
	if got.Function != function || !bytes.Equal(got.Argument, bytes.Join(arg, nil)) {
		return errors.New("its function or argument is another")
	}
	return nil
}
