package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	fabric "github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// Blocks yields the channel's blocks from number from on, each once and in order,
// and waits for new ones. They are the own peer's; while that is away, or lags, they
// are those that enough other members' peers agree on and the orderers signed
// (Failover), and the own peer's copy is compared with them when it is back. A stream
// that breaks is taken up at the next block, for as long as it takes. It ends with an
// error: *BrokenChain, a peer that won't serve blocks to this member, or the context's.
// The link of the first block to the one before it is not checked; BlocksAfter does.
func (l *Ledger) Blocks(ctx context.Context, from uint64) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		r := reader{ledger: l, next: from}
		r.run(ctx, decoded(yield))
	}
}

// RawBlocks is Blocks with each block as the peer sent it, metadata included, for
// those who verify for themselves (gateway/audit/replay) or keep a copy.
func (l *Ledger) RawBlocks(ctx context.Context, from uint64) iter.Seq2[*common.Block, error] {
	return func(yield func(*common.Block, error) bool) {
		r := reader{ledger: l, next: from}
		r.run(ctx, func(raw *common.Block, _ Block, err error) bool { return yield(raw, err) })
	}
}

// BlocksAfter is Blocks from the block after the given one, which it must name.
func (l *Ledger) BlocksAfter(ctx context.Context, number uint64, hash [32]byte) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		r := reader{ledger: l, next: number + 1, last: &hash}
		r.run(ctx, decoded(yield))
	}
}

// consumer takes a block as it came and as it was decoded.
type consumer func(raw *common.Block, b Block, err error) bool

func decoded(yield func(Block, error) bool) consumer {
	return func(_ *common.Block, b Block, err error) bool { return yield(b, err) }
}

// reader is where one iteration stands.
type reader struct {
	ledger *Ledger
	next   uint64
	last   *[32]byte // hash of the block before next; nil if not known

	first uint64             // the oldest that is in taken
	taken map[uint64]verdict // read elsewhere, and not compared with the own peer's copy yet
}

// errStop says that the consumer has had enough.
var errStop = errors.New("stopped by the consumer")

// errDenied says that asking again won't help.
var errDenied = errors.New("the peer won't serve its blocks")

func (r *reader) run(ctx context.Context, yield consumer) {
	wait := pauses()
	for level := slog.LevelInfo; ; level = slog.LevelDebug { // one line an outage
		before, own := r.next, r.ledger.conns.current()[0]
		var err error
		if r.ledger.standing.wantsElsewhere() {
			if err = r.elsewhere(ctx, yield); errors.Is(err, errBack) {
				wait.Reset()
				continue
			}
		} else {
			err = r.stream(ctx, own, yield)
		}
		var broken *BrokenChain
		switch {
		case errors.Is(err, errStop):
			return
		case ctx.Err() != nil:
			yield(nil, Block{}, ctx.Err())
			return
		case errors.As(err, &broken) || errors.Is(err, errDenied) && r.ledger.conns.current()[0] == own:
			yield(nil, Block{}, fmt.Errorf("blocks of peer %s: %w", own.address, err))
			return
		}
		if r.next > before {
			wait.Reset()
			level = slog.LevelInfo
		}
		r.ledger.log.Log(ctx, level, "block stream broke, taking it up again", "peer", own.address, "block", r.next, "err", err)
		if err := pause(ctx, wait.NextBackOff()); err != nil {
			yield(nil, Block{}, err)
			return
		}
	}
}

// stream yields the own peer's blocks until the stream breaks, or blocks are to be read
// elsewhere. It never returns nil. What was read elsewhere is compared first.
func (r *reader) stream(ctx context.Context, at *peerConn, yield consumer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer r.ledger.standing.whenElsewhere(ctx, func() { cancel(errAway) })()
	from := r.next
	if len(r.taken) > 0 {
		from = r.first
	}
	stream, err := r.ledger.deliver(ctx, at, from)
	if err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if err != nil && context.Cause(ctx) == errAway {
			return errAway
		}
		if err != nil {
			return err
		}
		if response.GetBlock() == nil {
			return ended(response.GetStatus())
		}
		block, err := decodeBlock(response.GetBlock())
		if err != nil {
			return err
		}
		if len(r.taken) > 0 && block.Number < r.next {
			if err := r.compare(response.GetBlock(), block); err != nil {
				return err
			}
			continue
		}
		if err := r.accept(block); err != nil {
			return err
		}
		if !yield(response.GetBlock(), block, nil) {
			return errStop
		}
	}
}

// accept checks that the block is the next one and moves on.
func (r *reader) accept(b Block) error {
	if err := b.Continues(r.next, r.last); err != nil {
		return err
	}
	r.next, r.last = b.Number+1, &b.Hash
	return nil
}

func ended(s common.Status) error {
	switch s {
	case common.Status_FORBIDDEN, common.Status_BAD_REQUEST:
		return fmt.Errorf("%w: %s; see whether the member's certificates are those of the channel", errDenied, s)
	}
	return fmt.Errorf("the peer ended the stream: %s", s)
}

// deliver has a peer send all blocks from the given one on.
func (l *Ledger) deliver(ctx context.Context, at *peerConn, from uint64) (fabric.Deliver_DeliverClient, error) {
	request, err := l.seek(at, from)
	if err != nil {
		return nil, err
	}
	return at.answer(ctx, request)
}

// answer has a peer answer a signed request for blocks.
func (p *peerConn) answer(ctx context.Context, request *common.Envelope) (fabric.Deliver_DeliverClient, error) {
	stream, err := p.deliver.Deliver(ctx)
	if err != nil {
		return nil, err
	}
	return stream, stream.Send(request)
}

// seek is the signed request for all blocks from the given one on. The SDK makes
// it but its channel of blocks hides why a stream ended, so it is sent by hand.
func (l *Ledger) seek(at *peerConn, from uint64) (*common.Envelope, error) {
	request, err := at.network.NewBlockEventsRequest(client.WithStartBlock(from))
	if err != nil {
		return nil, err
	}
	raw, err := request.Bytes()
	if err != nil {
		return nil, err
	}
	env := &common.Envelope{}
	if err := proto.Unmarshal(raw, env); err != nil {
		return nil, err
	}
	env.Signature, err = at.sign(request.Digest())
	return env, err
}
