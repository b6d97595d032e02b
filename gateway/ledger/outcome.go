package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/failpoint"
)

// Submit hands the transaction to the orderers and waits for its fate: nil, an
// *Invalid, or an *Unknown.
//
// After a failure it asks the peers, own first, what became of the transaction.
// Only once a peer was there to ask, and didn't see it commit in the time given,
// is the same envelope sent again, through the next peer.
// Should both have arrived, Fabric marks the later DUPLICATE_TXID: one effect.
func (p *Prepared) Submit(ctx context.Context) (commit Commit, err error) {
	l := p.ledger
	ctx, ended := l.observe(ctx, StepCommit, p.function)
	defer func() { ended(p.id, commit.Block, err) }()
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Patience)
	defer cancel()
	settle, wait := l.cfg.Settle, pauses()
	for at, n := p.via, 0; ; n++ {
		peers := l.conns.current()
		if n > 0 {
			at = l.standing.after(peers, at)
		}
		peer := peers[at]
		handed := l.hand(ctx, peer, p.signed)
		patience := settle
		if handed == nil {
			failpoint.Reach("ledger.handed " + p.function)
			// The orderers have it, so it is late rather than lost.
			patience = max(settle, l.cfg.Patience/4)
		} else {
			l.log.Warn("submit failed, asking for the outcome", "tx", p.id, "function", p.function, "peer", peer.address, "code", status.Code(handed).String())
		}
		commit, err := l.resolve(ctx, p.id, patience)
		if known(err) {
			return commit, err
		}
		err = errors.Join(ctx.Err(), handed, err)
		if ctx.Err() != nil || hopeless(handed) || pause(ctx, wait.NextBackOff()) != nil {
			return Commit{}, &Unknown{TxID: p.id, Err: err}
		}
		settle *= 2
	}
}

// hand submits the signed transaction at one peer. Whatever error it returns, the
// orderers may have the transaction.
func (l *Ledger) hand(ctx context.Context, at *peerConn, signed []byte) error {
	tx, err := at.gateway.NewTransaction(signed)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	_, err = tx.SubmitWithContext(ctx)
	return err
}

// hopeless says whether sending the same again can't help: the request itself was
// turned down. That it was turned down everywhere is not certain, hence *Unknown.
func hopeless(handed error) bool {
	switch status.Code(handed) {
	case codes.Aborted, codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return true
	}
	return false
}

// known says whether fate's answer is one.
func known(err error) bool {
	var invalid *Invalid
	return err == nil || errors.As(err, &invalid)
}

// errPending says that a peer was asked and the transaction didn't commit there in
// the time it was given.
var errPending = errors.New("not committed yet")

// resolve asks for the transaction's fate until a peer can be asked at all: while
// all are away nothing is known, and nothing may be sent again.
func (l *Ledger) resolve(ctx context.Context, id string, patience time.Duration) (Commit, error) {
	wait := pauses()
	for {
		commit, err := l.fate(ctx, id, patience)
		if known(err) || errors.Is(err, errPending) || pause(ctx, wait.NextBackOff()) != nil {
			return commit, err
		}
	}
}

// fate asks one peer after the other for the transaction's status and gives each
// that can be reached the patience to see it commit.
func (l *Ledger) fate(ctx context.Context, id string, patience time.Duration) (Commit, error) {
	var silent error
	peers := l.conns.current()
	for _, i := range l.standing.ordered(peers, Submitting) {
		at := peers[i]
		s, err := l.status(ctx, at, id, patience)
		if err != nil {
			silent = errors.Join(silent, fmt.Errorf("commit status at peer %s: %w", at.address, err))
			if ctx.Err() != nil {
				break
			}
			if status.Code(err) == codes.DeadlineExceeded {
				silent = errors.Join(silent, errPending)
			}
			continue
		}
		if !s.Successful {
			return Commit{}, &Invalid{TxID: id, Code: s.Code, Block: s.BlockNumber}
		}
		return Commit{TxID: id, Block: s.BlockNumber, Own: at.own}, nil
	}
	return Commit{}, silent
}

func (l *Ledger) status(ctx context.Context, at *peerConn, id string, patience time.Duration) (*client.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := proto.Marshal(&gateway.CommitStatusRequest{ChannelId: l.cfg.Channel, TransactionId: id, Identity: at.creator})
	if err != nil {
		return nil, err
	}
	signed, err := proto.Marshal(&gateway.SignedCommitStatusRequest{Request: request})
	if err != nil {
		return nil, err
	}
	commit, err := at.gateway.NewCommit(signed)
	if err != nil {
		return nil, err
	}
	s, err := commit.StatusWithContext(ctx)
	if err == nil && s.Code == peer.TxValidationCode_DUPLICATE_TXID {
		// We were told of the second arrival as it happened. The peer's index keeps the
		// first, and that one counts.
		s, err = commit.StatusWithContext(ctx)
	}
	return s, err
}

// Outcome looks a transaction up on the own peer's ledger, at once: where it took
// effect, *Invalid, or ErrNotFound. Not found is not "never": a transaction that
// the orderers have may still commit.
func (l *Ledger) Outcome(ctx context.Context, txID string) (Commit, error) {
	t, err := l.Transaction(ctx, txID)
	if err != nil {
		return Commit{}, err
	}
	if !t.Valid() {
		return Commit{}, &Invalid{TxID: txID, Code: t.Code, Block: t.Block}
	}
	return Commit{TxID: txID, Block: t.Block, Own: true}, nil
}

// Transaction reads a committed transaction, valid or not, from the own peer's
// ledger; ErrNotFound if it holds none of that id.
func (l *Ledger) Transaction(ctx context.Context, txID string) (Transaction, error) {
	block, err := l.blockOf(ctx, txID)
	if err != nil {
		return Transaction{}, fmt.Errorf("transaction %s: %w", txID, err)
	}
	// The first of that id: a second one is a duplicate without effect.
	i := slices.IndexFunc(block.Transactions, func(t Transaction) bool { return t.ID == txID })
	if i < 0 {
		return Transaction{}, fmt.Errorf("transaction %s: %w", txID, ErrNotFound)
	}
	return block.Transactions[i], nil
}
