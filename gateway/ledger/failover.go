package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

// errAway says that blocks are to be read elsewhere.
var errAway = errors.New("the own peer is away, or lags behind what the orderers have signed")

// errBack says that the own peer has what was read elsewhere.
var errBack = errors.New("the own peer is back")

// lookahead is how many blocks beyond the next one another member's peer is read.
const lookahead = 16

// keptVerdicts bounds how much of what was read elsewhere is compared with the own peer's
// copy when that is back: the newest.
const keptVerdicts = 1 << 17

// verdict is what a peer says of a block: its header, which transactions it found valid, and
// its commit hash.
type verdict [32]byte

func verdictOf(b *common.Block, hash [32]byte) verdict {
	sum := sha256.New()
	sum.Write(hash[:])
	meta := b.GetMetadata().GetMetadata()
	for _, i := range []common.BlockMetadataIndex{common.BlockMetadataIndex_TRANSACTIONS_FILTER, common.BlockMetadataIndex_COMMIT_HASH} {
		var one []byte
		if int(i) < len(meta) {
			one = meta[i]
		}
		own := sha256.Sum256(one)
		sum.Write(own[:])
	}
	return verdict(sum.Sum(nil))
}

// wantsElsewhere says whether blocks are to be read from others now.
func (s *standing) wantsElsewhere() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop != nil && s.config != nil && (s.gone() || s.lagging())
}

// whenElsewhere calls f once blocks are to be read elsewhere, until the returned function is
// called.
func (s *standing) whenElsewhere(ctx context.Context, f func()) (stop func()) {
	if s.stop == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for {
			changed := s.waits() // before looking
			if s.wantsElsewhere() {
				f()
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return cancel
}

// hasComeTo says whether the own peer answers, has so many blocks and doesn't lag.
func (s *standing) hasComeTo(blocks uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away.IsZero() && s.own >= blocks && !s.lagging()
}

// waits is closed at the next change of the own peer's standing.
func (s *standing) waits() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// elsewhere yields blocks that enough other members agree on and that the orderers signed,
// until the own peer has them too (errBack). It returns errStop, a *BrokenChain or the
// context's error otherwise.
func (r *reader) elsewhere(ctx context.Context, yield consumer) error {
	l := r.ledger
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	verifier, err := l.standing.enter(r.next)
	if err != nil {
		return err
	}
	defer l.standing.leave()
	p := &panel{ledger: l, next: r.next, moved: make(chan struct{}), offers: map[uint64]map[verdict]*offer{}}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	voters := map[string]bool{}
	for _, at := range l.conns.current()[1:] {
		if at.uses&Blocks != 0 && at.member != "" && at.member != l.cfg.MSP {
			voters[at.member] = true
			reading.Go(func() { p.read(ctx, at) })
		}
	}
	need := l.cfg.Failover.Agree
	if len(voters) < need {
		l.log.Error("the own peer is away and blocks can't be read elsewhere: too few other members' peers are configured", "members", len(voters), "wanted", need)
	} else {
		l.log.Warn("the own peer is away: blocks are read from other members' peers", "block", r.next, "members", len(voters), "agree", need)
	}
	waiting := time.NewTimer(stuckAfter)
	defer waiting.Stop()
	for {
		changed, moved := l.standing.waits(), p.waits() // before looking
		if l.standing.hasComeTo(r.next) {
			l.log.Info("the own peer is back", "block", r.next)
			return errBack
		}
		o := p.agreed(need)
		if o == nil {
			select {
			case <-changed:
			case <-moved:
			case <-waiting.C:
				l.log.Error("too few other members' peers say the same of the next block: reading waits for the own peer, or for more of them", "block", r.next, "agree", need)
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		waiting.Reset(stuckAfter)
		if err := verifier.Verify(o.raw); err != nil {
			return &BrokenChain{Block: o.block.Number, Reason: fmt.Sprintf("%d members' peers serve it, and the orderers didn't sign it: %v", len(o.members), err)}
		}
		if err := r.accept(o.block); err != nil {
			return err
		}
		r.took(o)
		l.standing.signed(r.next)
		p.advance(r.next)
		if !yield(o.raw, o.block, nil) {
			return errStop
		}
	}
}

// stuckAfter is how long nothing may come before the log says that something is wrong:
// minutes are closed about once in one.
const stuckAfter = 3 * time.Minute

// enter counts a reader elsewhere and returns what its blocks are verified with.
func (s *standing) enter(next uint64) (Verifier, error) {
	s.mu.Lock()
	config := s.config
	s.mu.Unlock()
	if next <= config.GetHeader().GetNumber() {
		return nil, fmt.Errorf("block %d is older than the channel's configuration of block %d: only the own peer is believed of it", next, config.GetHeader().GetNumber())
	}
	v, err := s.ledger.cfg.Failover.Verifier(config)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers++; s.readers == 1 {
		s.switches++
	}
	return v, nil
}

func (s *standing) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers--; s.readers == 0 {
		s.switches++
	}
}

// took remembers what was read elsewhere, to be compared with the own peer's copy.
func (r *reader) took(o *offer) {
	if r.taken == nil {
		r.taken = map[uint64]verdict{}
	}
	if len(r.taken) == 0 {
		r.first = o.block.Number
	}
	r.taken[o.block.Number] = o.says
	if len(r.taken) > keptVerdicts {
		delete(r.taken, r.first)
		r.first++
	}
}

// compare holds a block of the own peer's against what was read elsewhere in its place.
func (r *reader) compare(raw *common.Block, b Block) error {
	said, ok := r.taken[b.Number]
	if !ok || b.Number != r.first {
		return &BrokenChain{Block: b.Number, Reason: fmt.Sprintf("the own peer sent it in place of block %d", r.first)}
	}
	if verdictOf(raw, b.Hash) != said {
		return &BrokenChain{Block: b.Number, Reason: "the own peer says otherwise of it than the other members' peers did while it was away"}
	}
	delete(r.taken, b.Number)
	r.first++
	return nil
}

// panel gathers what other members' peers say of the next blocks.
type panel struct {
	ledger *Ledger
	mu     sync.Mutex
	next   uint64
	moved  chan struct{}
	offers map[uint64]map[verdict]*offer
}

// offer is a block as some members' peers say that it is.
type offer struct {
	raw     *common.Block
	block   Block
	says    verdict
	members map[string]bool
}

// read offers a peer's blocks from the next one on, for as long as it takes.
func (p *panel) read(ctx context.Context, at *peerConn) {
	wait := pauses()
	for ctx.Err() == nil {
		before := p.at()
		err := p.stream(ctx, at, before)
		if ctx.Err() != nil {
			return
		}
		p.ledger.log.Debug("another member's peer stopped serving blocks", "peer", at.address, "err", err)
		if p.at() > before {
			wait.Reset()
		}
		if pause(ctx, wait.NextBackOff()) != nil {
			return
		}
	}
}

func (p *panel) stream(ctx context.Context, at *peerConn, from uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.ledger.deliver(ctx, at, from)
	if err != nil {
		return err
	}
	for want := from; ; want++ {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		raw := response.GetBlock()
		if raw == nil {
			return ended(response.GetStatus())
		}
		b, err := decodeBlock(raw)
		if err != nil {
			return err
		}
		if err := b.Continues(want, nil); err != nil {
			return err
		}
		if err := p.offer(ctx, at, raw, b); err != nil {
			return err
		}
	}
}

// offer notes what a peer says of a block, once that is near.
func (p *panel) offer(ctx context.Context, at *peerConn, raw *common.Block, b Block) error {
	for {
		p.mu.Lock()
		if b.Number < p.next+lookahead {
			break
		}
		moved := p.moved
		p.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer p.mu.Unlock()
	if b.Number < p.next {
		return nil // decided already
	}
	says := verdictOf(raw, b.Hash)
	of := p.offers[b.Number]
	if of == nil {
		of = map[verdict]*offer{}
		p.offers[b.Number] = of
	}
	for other, o := range of {
		if other != says && !o.members[at.member] {
			p.ledger.log.Error("other members' peers disagree on a block: one of them lies, or is broken", "block", b.Number, "peer", at.address)
		}
		delete(o.members, at.member) // a member has one voice, and its last word counts
	}
	if of[says] == nil {
		of[says] = &offer{raw: proto.CloneOf(raw), block: b, says: says, members: map[string]bool{}}
	}
	of[says].members[at.member] = true
	p.tell()
	return nil
}

// agreed is the next block if enough members say the same of it, else nil.
func (p *panel) agreed(need int) *offer {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.offers[p.next] {
		if len(o.members) >= need {
			return o
		}
	}
	return nil
}

// advance forgets what is decided.
func (p *panel) advance(next uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = next
	for n := range p.offers {
		if n < next {
			delete(p.offers, n)
		}
	}
	p.tell()
}

func (p *panel) at() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next
}

func (p *panel) waits() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moved
}

// tell wakes who waits; the caller holds mu.
func (p *panel) tell() {
	close(p.moved)
	p.moved = make(chan struct{})
}

// majority is how many of the members whose peers are configured are more than half of them,
// this one counted.
func (c Config) majority() int {
	members := []string{c.MSP}
	for _, p := range c.Peers[1:] {
		if p.Member != "" && !slices.Contains(members, p.Member) {
			members = append(members, p.Member)
		}
	}
	return len(members)/2 + 1
}
