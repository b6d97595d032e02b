package share

import (
	"context"
	"fmt"
	"slices"

	"yitong/chaincode/contract"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/ledger"
)

// Member is a member with the ids of its registered keys.
type Member = contract.MemberEntry

// Members lists the consortium, suspended members too.
func (g *Gateway) Members(ctx context.Context) ([]Member, error) {
	g.members.forget()
	list, err := g.members.all(ctx)
	if err != nil {
		return nil, err
	}
	members := make([]Member, len(list))
	for i, m := range list {
		if members[i], err = g.members.withKeys(ctx, m.MSP); err != nil {
			return nil, err
		}
	}
	return members, nil
}

// Names gives the members' names by their MSP ids.
func (g *Gateway) Names(ctx context.Context) (map[string]string, error) {
	list, err := g.members.all(ctx)
	names := map[string]string{}
	for _, m := range list {
		names[m.MSP] = m.Name
	}
	return names, err
}

// Suspend moves that a member be suspended, Reinstate that it be reinstated. A
// motion takes effect when a majority of the active members has moved it.
func (g *Gateway) Suspend(ctx context.Context, member, reason string) (contract.Moved, ledger.Commit, error) {
	return g.move(ctx, member, func(msp string) registry.Motion {
		return registry.Motion{Suspend: &registry.Suspension{MSP: msp, Reason: reason}}
	})
}

// Reinstate moves that a suspended member get its rights back.
func (g *Gateway) Reinstate(ctx context.Context, member string) (contract.Moved, ledger.Commit, error) {
	return g.move(ctx, member, func(msp string) registry.Motion {
		return registry.Motion{Reinstate: &registry.Reinstatement{MSP: msp}}
	})
}

func (g *Gateway) move(ctx context.Context, member string, motion func(msp string) registry.Motion) (contract.Moved, ledger.Commit, error) {
	m, err := g.members.named(ctx, member)
	if err != nil {
		return contract.Moved{}, ledger.Commit{}, err
	}
	in := contract.Moving{Motion: motion(m.MSP)}
	if in.Actor, err = g.actor(ctx, in.Motion.ID()[:idLength], doneMoving); err != nil {
		return contract.Moved{}, ledger.Commit{}, err
	}
	var out contract.Moved
	commit, err := g.Ledger.Submit(ctx, contract.RegistryMove, in, &out)
	if err != nil {
		return out, commit, fmt.Errorf("moving: %w", err)
	}
	g.members.forget()
	return out, commit, nil
}

// Found founds the registry with these members, if it isn't founded yet.
func (g *Gateway) Found(ctx context.Context, founders []registry.Candidate) error {
	var out contract.MemberList
	_, err := g.Ledger.Submit(ctx, contract.RegistryFound, contract.Founding{Members: founders}, &out)
	if err != nil {
		return fmt.Errorf("founding the registry: %w", err)
	}
	return nil
}

// Founded tells whether the registry has this member. Before the founding it has
// nobody.
func (g *Gateway) Founded(ctx context.Context) (bool, error) {
	g.members.forget()
	_, err := g.members.all(ctx)
	if refusedWith(err, refusal.MemberUnknown) {
		return false, nil
	}
	return err == nil, err
}

// Enrol makes the registry show this member's present keys and address. A registry
// that shows another name or kind than the configuration is an error: this gateway
// would serve another consortium than its owner thinks.
func (g *Gateway) Enrol(ctx context.Context) error {
	g.members.forget()
	listed, err := g.members.withKeys(ctx, g.Self.MSP)
	if err != nil {
		return err
	}
	if m := listed.Member; m.Name != g.Self.Name || m.Kind != g.Self.Kind {
		return fmt.Errorf("the registry has %s as %s %q, the configuration as %s %q", m.MSP, m.Kind, m.Name, g.Self.Kind, g.Self.Name)
	}
	g.rotating.Lock()
	defer g.rotating.Unlock()
	if _, err := g.settle(listed.Keys); err != nil {
		return err
	}
	c := g.Candidate()
	same := func(a, b registry.Key) bool { return a.ID == b.ID && slices.Equal(a.Public, b.Public) }
	if listed.Member.Gateway == c.Gateway && same(listed.Keys.HPKE, c.Keys.HPKE) && same(listed.Keys.Signing, c.Keys.Signing) {
		return nil
	}
	var out contract.MemberEntry
	_, err = g.Ledger.Submit(ctx, contract.RegistryUpdate, registry.Update{Gateway: &c.Gateway, Keys: &c.Keys}, &out)
	if refusedWith(err, registry.KeySpent) {
		if err := g.renew(listed.Keys); err != nil {
			return err
		}
		c = g.Candidate()
		_, err = g.Ledger.Submit(ctx, contract.RegistryUpdate, registry.Update{Gateway: &c.Gateway, Keys: &c.Keys}, &out)
	}
	if err != nil {
		return fmt.Errorf("registering this gateway's keys and address: %w", err)
	}
	g.members.forget()
	return nil
}

// Standing is how this gateway is.
type Standing struct {
	Member  Member
	Height  uint64 // blocks on the own peer
	Clock   registry.Clock
	Pending int // receipts and anchors that aren't on the ledger yet
}

// Standing reads how this gateway is.
func (g *Gateway) Standing(ctx context.Context) (Standing, error) {
	var s Standing
	var err error
	g.members.forget()
	s.Member, err = g.members.withKeys(ctx, g.Self.MSP)
	switch {
	case refusedWith(err, refusal.MemberSuspended):
		// A suspended member may not even read, and that says it all.
		c := g.Candidate()
		s.Member.Keys = c.Keys
		s.Member.Member = registry.Member{MSP: c.MSP, Name: c.Name, Kind: c.Kind, Status: registry.Suspended, Gateway: c.Gateway}
	case err != nil:
		return s, err
	}
	if s.Height, err = g.Ledger.Height(ctx); err != nil {
		return s, fmt.Errorf("reading the height of the ledger: %w", err)
	}
	s.Clock = g.clock.get()
	s.Pending, err = g.Pending(ctx)
	return s, err
}

// Pending is how many receipts and anchors aren't on the ledger yet. It costs what there is
// pending: it doesn't read the catalogue.
func (g *Gateway) Pending(context.Context) (int, error) {
	receipts, err := g.Keys.List(bucketReceipts)
	if err != nil {
		return 0, err
	}
	n := len(receipts)
	g.unanchored.Range(func(any, any) bool { n++; return true })
	return n, nil
}
