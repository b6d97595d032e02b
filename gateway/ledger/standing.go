package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Uses says what a peer of another member may be used for. The own peer is used for
// everything. No flag lets another member's peer answer where OwnPeerOnly is asked.
type Uses uint8

// The uses.
const (
	Submitting Uses = 1 << iota // collecting endorsements, handing over to the orderers, telling what became of it
	Evaluating                  // reads on which nothing is released
	Blocks                      // reading blocks while the own peer is away, proven and agreed on by others (Failover)

	AllUses = Submitting | Evaluating | Blocks
)

// Failover is how blocks are read while the own peer is away.
type Failover struct {
	// Verifier makes one that begins after a configuration block that the own peer gave
	// (channel.Follow). Without it blocks are read from the own peer alone, and nobody
	// notices when that lags.
	Verifier func(config *common.Block) (Verifier, error)
	// Agree is how many other members have to say the same of a block. What the orderers
	// don't sign, each transaction's validation code, is only a peer's word: so it takes as
	// many as could decide it anyway. Default a majority of the members whose peers are
	// configured, this one counted.
	Agree int
	// Away is how long the own peer can't be reached before blocks are read elsewhere.
	// Default 3 s.
	Away time.Duration
	// Lag is how long the own peer may lack a block that the orderers have signed before
	// blocks are read elsewhere and OwnPeerOnly fails. Default 15 s.
	Lag time.Duration
	// Look is how often the peers are looked at. Default 1 s.
	Look time.Duration
}

// Verifier checks that the ordering nodes signed a block. Blocks come in order.
type Verifier interface {
	Verify(*common.Block) error
}

// Standing is what is known of the peers.
type Standing struct {
	Own       string        // address of the own peer
	Away      time.Duration // for how long it couldn't be reached; 0 if it can
	Lags      time.Duration // for how long it has lacked a block that the orderers signed; 0 if it lacks none
	Blocks    uint64        // on the own peer, when it was last asked
	Head      uint64        // that the orderers are known to have signed
	Elsewhere bool          // blocks are being read from other members' peers
	Switches  uint64        // how often reading went over to others or came back
}

// standing watches the peers. What it learns of other members' is believed only as far as
// the orderers signed it.
type standing struct {
	ledger *Ledger
	stop   context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	own      uint64    // blocks on the own peer
	away     time.Time // since when it can't be reached; zero if it can
	down     map[string]bool
	head     uint64        // blocks that the orderers have signed
	lacks    uint64        // a number of blocks that the own peer hasn't come to
	since    time.Time     // since when
	config   *common.Block // the newest configuration, as the own peer gave it
	changed  chan struct{} // closed when the own peer comes, goes or lags
	readers  int           // that read elsewhere
	switches uint64
}

const (
	// probeTime is how long one look at a peer may take.
	probeTime = 4 * time.Second
	// othersEvery is after how many looks at the own peer one other is looked at.
	othersEvery = 3
)

func (s *standing) begin(l *Ledger) {
	s.ledger, s.down, s.changed = l, map[string]bool{}, make(chan struct{})
	if !l.cfg.failsOver() {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.done = stop, make(chan struct{})
	go s.keep(ctx)
}

func (s *standing) end() {
	if s.stop != nil {
		s.stop()
		<-s.done
	}
}

// failsOver says whether there is anything to watch.
func (c Config) failsOver() bool {
	return c.Failover.Verifier != nil && slices.ContainsFunc(c.Peers[1:], func(p Peer) bool { return p.Uses&Blocks != 0 })
}

func (s *standing) keep(ctx context.Context) {
	defer close(s.done)
	ticker := time.NewTicker(s.ledger.cfg.Failover.Look)
	defer ticker.Stop()
	for n := 0; ; n++ {
		peers := s.ledger.conns.current()
		s.lookAtOwn(ctx, peers[0])
		if n%othersEvery == 0 && len(peers) > 1 {
			s.lookAt(ctx, peers[1+n/othersEvery%(len(peers)-1)])
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *standing) lookAtOwn(ctx context.Context, own *peerConn) {
	within, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	b, err := s.ledger.newest(within, own)
	if err == nil {
		err = s.learnConfig(within, own, b)
	}
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell(s.gone(), s.lagging())
	now := time.Now()
	if err != nil {
		if s.away.IsZero() {
			s.away = now
		}
		s.ledger.log.Debug("the own peer doesn't answer", "peer", own.address, "err", err)
		return
	}
	s.away = time.Time{}
	s.own = b.GetHeader().GetNumber() + 1
	s.seen(s.own)
	if s.own >= s.lacks {
		if s.lacks = 0; s.head > s.own {
			s.lacks, s.since = s.head, now
		}
	}
}

// lookAt asks another member's peer for its newest block. It counts if the orderers signed it.
func (s *standing) lookAt(ctx context.Context, at *peerConn) {
	within, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	b, err := s.ledger.newest(within, at)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[at.address] = err != nil
	if err != nil || s.config == nil || b.GetHeader().GetNumber() < s.head {
		return
	}
	// A new configuration that the own peer hasn't shown yet can't be followed over a gap: such
	// a head isn't believed until the own peer has it, or it is read block by block.
	fresh, err := s.ledger.cfg.Failover.Verifier(s.config)
	if err != nil || fresh.Verify(b) != nil {
		return
	}
	if _, err := decodeBlock(b); err != nil {
		return
	}
	defer s.tell(s.gone(), s.lagging())
	s.seen(b.GetHeader().GetNumber() + 1)
}

// seen takes note of so many blocks that the orderers have signed. The caller holds mu.
func (s *standing) seen(blocks uint64) {
	s.head = max(s.head, blocks)
	if s.lacks == 0 && s.head > s.own {
		s.lacks, s.since = s.head, time.Now()
	}
}

// signed takes note of a verified block that was read elsewhere.
func (s *standing) signed(blocks uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen(blocks)
}

func (s *standing) ownGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone()
}

// gone and lagging say so of the own peer; the caller holds mu.
func (s *standing) gone() bool {
	return !s.away.IsZero() && time.Since(s.away) >= s.ledger.cfg.Failover.Away
}

func (s *standing) lagging() bool {
	return s.lacks > s.own && time.Since(s.since) >= s.ledger.cfg.Failover.Lag
}

// tell wakes who waits for the own peer to come, go or lag. The caller holds mu.
func (s *standing) tell(gone, lagging bool) {
	if now, lags := s.gone(), s.lagging(); now != gone || lags != lagging || now || lags || s.readers > 0 {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// learnConfig keeps the newest configuration block, by the own peer's word.
func (s *standing) learnConfig(ctx context.Context, own *peerConn, newest *common.Block) error {
	index, err := lastConfig(newest)
	if err != nil {
		return err
	}
	s.mu.Lock()
	known := s.config != nil && s.config.GetHeader().GetNumber() == index
	s.mu.Unlock()
	if known {
		return nil
	}
	config := newest
	if newest.GetHeader().GetNumber() != index {
		if config, err = s.ledger.blockAt(ctx, own, index); err != nil {
			return fmt.Errorf("reading the configuration in block %d: %w", index, err)
		}
	}
	if _, err := s.ledger.cfg.Failover.Verifier(config); err != nil {
		return fmt.Errorf("the configuration in block %d: %w", index, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config = config
	return nil
}

// lastConfig is the number of the configuration block in force after a block, as those who
// signed it say.
func lastConfig(b *common.Block) (uint64, error) {
	if b.GetHeader().GetNumber() == 0 {
		return 0, nil
	}
	meta := b.GetMetadata().GetMetadata()
	if len(meta) <= int(common.BlockMetadataIndex_SIGNATURES) {
		return 0, errors.New("the block has no signatures")
	}
	signatures, signed := &common.Metadata{}, &common.OrdererBlockMetadata{}
	if err := unmarshal("signatures of a block", meta[common.BlockMetadataIndex_SIGNATURES], signatures); err != nil {
		return 0, err
	}
	if err := unmarshal("what orderers sign of a block", signatures.GetValue(), signed); err != nil {
		return 0, err
	}
	return signed.GetLastConfig().GetIndex(), nil
}

// stale refuses (ErrUnavailable) what rests on the own peer's word while that is known to
// lack what the orderers signed: it may not know of a withdrawal.
func (s *standing) stale() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.lagging() {
		return nil
	}
	return fmt.Errorf("%w: the own peer has %d of at least %d blocks and has lacked some for %d s: nothing that releases data is decided on it",
		ErrUnavailable, s.own, s.lacks, int(time.Since(s.since).Seconds()))
}

// Standing tells what is known of the peers. Nothing is if there is nobody to fail over to.
func (l *Ledger) Standing() Standing {
	s := &l.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Standing{Own: l.cfg.Peers[0].Address, Blocks: s.own, Head: s.head, Elsewhere: s.readers > 0, Switches: s.switches}
	if !s.away.IsZero() {
		out.Away = max(time.Since(s.away), 1)
	}
	if s.lacks > s.own {
		out.Lags = max(time.Since(s.since), 1)
	}
	return out
}

// ordered are the peers for a call of one kind: the own first, and last those that are known
// not to answer.
func (s *standing) ordered(peers []*peerConn, use Uses) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var well, down []int
	for i, p := range peers {
		switch {
		case i > 0 && p.uses&use == 0:
		case i == 0 && s.gone(), i > 0 && s.down[p.address]:
			down = append(down, i)
		default:
			well = append(well, i)
		}
	}
	return append(well, down...)
}

// after is the peer to submit at once the one given has failed.
func (s *standing) after(peers []*peerConn, at int) int {
	order := s.ordered(peers, Submitting)
	i := slices.Index(order, at)
	return order[(i+1)%len(order)]
}

// newest is a peer's newest block.
func (l *Ledger) newest(ctx context.Context, at *peerConn) (*common.Block, error) {
	newest := &orderer.SeekPosition{Type: &orderer.SeekPosition_Newest{Newest: &orderer.SeekNewest{}}}
	return l.seekOne(ctx, at, newest)
}

func (l *Ledger) blockAt(ctx context.Context, at *peerConn, number uint64) (*common.Block, error) {
	b, err := l.seekOne(ctx, at, &orderer.SeekPosition{Type: &orderer.SeekPosition_Specified{Specified: &orderer.SeekSpecified{Number: number}}})
	if err == nil && b.GetHeader().GetNumber() != number {
		err = fmt.Errorf("the peer sent block %d", b.GetHeader().GetNumber())
	}
	return b, err
}

func (l *Ledger) seekOne(ctx context.Context, at *peerConn, where *orderer.SeekPosition) (*common.Block, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := l.seekRequest(at, where)
	if err != nil {
		return nil, err
	}
	stream, err := at.answer(ctx, request)
	if err != nil {
		return nil, err
	}
	response, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if response.GetBlock() == nil {
		return nil, ended(response.GetStatus())
	}
	return response.GetBlock(), nil
}

// seekRequest asks for one block. The SDK's own requests all begin at a number.
func (l *Ledger) seekRequest(at *peerConn, where *orderer.SeekPosition) (*common.Envelope, error) {
	nonce := make([]byte, 24)
	rand.Read(nonce) // never fails (crypto/rand)
	var raw [3][]byte
	for i, m := range []proto.Message{
		&common.ChannelHeader{Type: int32(common.HeaderType_DELIVER_SEEK_INFO), ChannelId: l.cfg.Channel, Timestamp: timestamppb.Now(), TlsCertHash: at.tlsHash},
		&common.SignatureHeader{Creator: at.creator, Nonce: nonce},
		&orderer.SeekInfo{Start: where, Stop: where, Behavior: orderer.SeekInfo_BLOCK_UNTIL_READY},
	} {
		var err error
		if raw[i], err = proto.Marshal(m); err != nil {
			return nil, err
		}
	}
	payload, err := proto.Marshal(&common.Payload{Header: &common.Header{ChannelHeader: raw[0], SignatureHeader: raw[1]}, Data: raw[2]})
	if err != nil {
		return nil, err
	}
	signature, err := at.signed(payload)
	return &common.Envelope{Payload: payload, Signature: signature}, err
}
