package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
)

// Evaluate runs function on one peer, writes nothing, and decodes the result into
// out. The own peer is asked first; if it can't answer, the others are, one after
// the other, unless OwnPeerOnly is given: then an own peer that is known to lack blocks
// isn't asked either. Each is asked once.
//
// Errors: *Refused, ErrUnavailable, the context's error.
func (l *Ledger) Evaluate(ctx context.Context, function string, in, out any, opts ...Option) error {
	arg, err := document(in)
	if err != nil {
		return fmt.Errorf("%s: encoding the argument: %w", function, err)
	}
	c := calling(opts)
	if c.ownPeerOnly {
		if err := l.standing.stale(); err != nil {
			return fmt.Errorf("%s: %w", function, err)
		}
	}
	result, err := l.evaluate(ctx, l.cfg.Chaincode, function, arg, c.ownPeerOnly)
	if err != nil {
		return fmt.Errorf("%s: %w", function, err)
	}
	return decode(function, result, out)
}

// Height is the number of blocks on the own peer's ledger.
func (l *Ledger) Height(ctx context.Context) (uint64, error) {
	raw, err := l.query(ctx, "GetChainInfo")
	if err != nil {
		return 0, fmt.Errorf("height of the ledger: %w", err)
	}
	info := &common.BlockchainInfo{}
	if err := unmarshal("chain information", raw, info); err != nil {
		return 0, fmt.Errorf("height of the ledger: %w", err)
	}
	return info.GetHeight(), nil
}

func (l *Ledger) blockOf(ctx context.Context, txID string) (Block, error) {
	raw, err := l.query(ctx, "GetBlockByTxID", txID)
	if err != nil {
		// Fabric's common/ledger/blkstorage says it so, and a peer passes it on as text.
		if strings.Contains(err.Error(), "no such transaction ID") {
			return Block{}, ErrNotFound
		}
		return Block{}, err
	}
	block := &common.Block{}
	if err := unmarshal("block", raw, block); err != nil {
		return Block{}, err
	}
	return decodeBlock(block)
}

// query asks the own peer's system chaincode qscc about its copy of the channel.
func (l *Ledger) query(ctx context.Context, function string, more ...string) ([]byte, error) {
	args := [][]byte{[]byte(l.cfg.Channel)}
	for _, a := range more {
		args = append(args, []byte(a))
	}
	return l.evaluate(ctx, "qscc", function, args, true)
}

func (l *Ledger) evaluate(ctx context.Context, chaincode, function string, args [][]byte, ownOnly bool) ([]byte, error) {
	peers, opts := l.conns.current(), []client.ProposalOption{client.WithBytesArguments(args...)}
	order := l.standing.ordered(peers, Evaluating)
	if ownOnly {
		order = []int{0}
		if l.standing.ownGone() { // one that hangs must not hold up everybody who asks
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, goneTimeout, ErrUnavailable)
			defer cancel()
		}
		// Left alone, a peer whose own chaincode doesn't answer relays another member's answer.
		opts = append(opts, client.WithEndorsingOrganizations(l.cfg.MSP))
	}
	var unreachable error
	for _, i := range order {
		at := peers[i]
		result, err := at.evaluate(ctx, chaincode, function, opts)
		switch {
		case err == nil:
			return result, nil
		case errors.Is(context.Cause(ctx), ErrUnavailable):
			return nil, fmt.Errorf("peer %s: %w: it hasn't answered for a while", at.address, ErrUnavailable)
		case ctx.Err() != nil:
			return nil, errors.Join(ctx.Err(), err)
		case !errors.Is(err, ErrUnavailable):
			return nil, err
		}
		unreachable = errors.Join(unreachable, fmt.Errorf("peer %s: %w", at.address, err))
	}
	return nil, unreachable
}

func (p *peerConn) evaluate(ctx context.Context, chaincode, function string, opts []client.ProposalOption) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, evaluateTimeout)
	defer cancel()
	proposal, err := p.network.GetContract(chaincode).NewProposal(function, opts...)
	if err != nil {
		return nil, fmt.Errorf("making the proposal: %w", err)
	}
	result, err := proposal.EvaluateWithContext(ctx)
	if err != nil {
		return nil, evaluateError(err)
	}
	return result, nil
}
