package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/contract"
	"yitong/chaincode/registry"
)

// Peer is a member's peer as it answers questions, to be held against the rebuilt state:
// who changes a value in the peer's database changes no block.
type Peer struct {
	Member string // MSP id of who asks
	// Ask evaluates a function of the contracts on the peer.
	Ask func(ctx context.Context, function string, argument []byte) ([]byte, error)
	// Height is how many blocks the peer has now. Nil says that it gets no more.
	Height func(ctx context.Context) (uint64, error)
	// Blocks yields the peer's encoded blocks from one number to before another.
	Blocks func(ctx context.Context, from, until uint64) iter.Seq2[[]byte, error]
}

// ErrRestless says that a peer got new blocks faster than it could be asked anything.
var ErrRestless = errors.New("new blocks came all the time while the peer's state was compared")

// A question is asked again when blocks have come since, and before a peer is said to answer
// otherwise: it appends a block before it changes its state.
const (
	maxAsked  = 200
	maxDiffer = 5
	breath    = 100 * time.Millisecond
)

// errStopped ends a comparison whose new blocks can't be judged; the report has why.
var errStopped = errors.New("the new blocks can't be judged")

// compareState asks the peer whatever the member may read, page by page, and the contracts
// the same over the rebuilt state. Each answer and its counterpart are of one height: blocks
// that have come meanwhile are replayed first, and what was asked is asked again if one came
// while it was answered.
func (c *committer) compareState(ctx context.Context, p *Peer) error {
	if n := len(c.report.Definitions); n > 0 && !c.report.Definitions[n-1].Known {
		return nil // other rules answer there; that is told
	}
	if err := c.compareAll(ctx, p); !errors.Is(err, errStopped) {
		return err
	}
	return nil
}

func (c *committer) compareAll(ctx context.Context, p *Peer) error {
	members, differ, err := c.compareAnswer(ctx, p, contract.RegistryMembers, "", "")
	if err != nil || differ {
		return err
	}
	var all contract.MemberList
	if err := json.Unmarshal(members, &all); err != nil {
		return fmt.Errorf("the members by the rebuilt state: %w", err)
	}
	for _, m := range all.Members {
		if m.Kind != registry.Hospital {
			continue
		}
		for _, function := range []string{contract.RecordRecords, contract.ConsentList, contract.AccessAccesses} {
			if err := c.comparePages(ctx, p, function, m.MSP); err != nil {
				return err
			}
		}
	}
	_, _, err = c.compareAnswer(ctx, p, contract.RegistryClock, "", "")
	return err
}

func (c *committer) comparePages(ctx context.Context, p *Peer, function, custodian string) error {
	for bookmark := ""; ; {
		answer, differ, err := c.compareAnswer(ctx, p, function, custodian, bookmark)
		if err != nil || differ || answer == nil {
			return err
		}
		var page struct {
			Bookmark string `json:"bookmark"`
		}
		if err := json.Unmarshal(answer, &page); err != nil || page.Bookmark == "" {
			return err
		}
		bookmark = page.Bookmark
	}
}

// compareAnswer returns the answer by the rebuilt state, nil if the member may not ask this.
func (c *committer) compareAnswer(ctx context.Context, p *Peer, function, custodian, bookmark string) (answer []byte, differ bool, err error) {
	ask := map[string]any{}
	if custodian != "" {
		ask["custodian"], ask["size"] = custodian, contract.MaxPage
	}
	if bookmark != "" {
		ask["bookmark"] = bookmark
	}
	argument, err := json.Marshal(ask)
	if err != nil {
		return nil, false, err
	}
	for asked, differed := 0, 0; differed < maxDiffer; asked++ {
		if asked == maxAsked {
			return nil, false, ErrRestless
		}
		if err := c.catchUp(ctx, p); err != nil {
			return nil, false, err
		}
		if answer = c.ask(p.Member, function, argument); answer == nil {
			return nil, false, nil
		}
		said, err := p.Ask(ctx, function, argument)
		if err != nil {
			return nil, false, fmt.Errorf("asking the peer %s: %w", function, err)
		}
		if p.Height != nil {
			now, err := p.Height(ctx)
			if err != nil {
				return nil, false, err
			}
			if now > c.at.next {
				continue
			}
		}
		if bytes.Equal(said, answer) {
			c.report.Compared++
			return answer, false, nil
		}
		if differed++; p.Height == nil {
			break
		}
		select {
		case <-time.After(breath):
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	c.report.diverge(Divergence{Block: c.at.next - 1, Index: -1, Check: State, Rule: function,
		Detail: fmt.Sprintf("what the peer answers to %s isn't what the blocks give", argument)})
	return answer, true, nil
}

// catchUp replays the blocks that the peer has got since.
func (c *committer) catchUp(ctx context.Context, p *Peer) error {
	if p.Height == nil {
		return nil
	}
	now, err := p.Height(ctx)
	if err != nil {
		return fmt.Errorf("asking the peer for its height: %w", err)
	}
	if now <= c.at.next {
		return nil
	}
	o := c.options
	o.Until = now
	if err := c.replay(ctx, p.Blocks(ctx, c.at.next, now), o); err != nil {
		return err
	}
	if c.at.next < now {
		return errStopped
	}
	return nil
}

// ask has the contracts answer over the rebuilt state, nil if they refuse.
func (c *committer) ask(member, function string, argument []byte) []byte {
	creator, err := proto.Marshal(&msp.SerializedIdentity{Mspid: member})
	if err != nil {
		return nil
	}
	e := <-c.engines
	defer func() { c.engines <- e }()
	answer := e.chaincode.Invoke(&stub{
		tx:    &transaction{chaincode: c.options.Chaincode, creator: creator, args: [][]byte{[]byte(function), argument}, timestamp: time.Now()},
		chain: c.at.config.Channel, state: c.state,
		writes: map[string]*kvrwset.KVWrite{}, sets: map[string][]byte{}, reads: map[string]version{},
	})
	if answer.GetStatus() >= 400 {
		return nil
	}
	return answer.GetPayload()
}
