package contract

import (
	"fmt"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"yitong/chaincode/epoch"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

type registryContract struct {
	contractapi.Contract
	clock Clock
}

// Found founds the consortium. The same list again answers the same.
func (r *registryContract) Found(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Founding](argument, MaxBatchDocument)
	if err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, right{writes: true})
	if err != nil {
		return "", err
	}
	roster, members, keys, err := registry.Found(arg.Members, c.msp, c.at)
	if err != nil {
		return "", err
	}
	opened, calendar, err := epoch.Found(arg.Members, c.at)
	if err != nil {
		return "", err
	}
	before := want[registry.Roster](&c.reading, key(rosterKind))
	first := want[epoch.Epoch](&c.reading, epochKey(opened.Number))
	standing := make([]registry.Founded, len(members))
	var slots []foundedSlots
	for _, m := range members {
		slots = append(slots, foundedSlots{
			want[registry.Member](&c.reading, memberKey(m.MSP)), want[registry.Keys](&c.reading, keysKey(m.MSP)),
		})
	}
	// Not c.fetch: before the founding nobody is a member.
	if err := c.reading.fetch(c.stub); err != nil {
		return "", err
	}
	if before.doc != nil {
		for i, s := range slots {
			standing[i] = registry.Founded{Member: s.member.doc, Keys: s.keys.doc}
		}
		recorded, err := registry.FoundAgain(*before.doc, members, keys, standing)
		if err != nil {
			return "", err
		}
		if !first.or(epoch.Epoch{}).Same(opened) {
			return "", refusal.New(refusal.Exists, "the consortium is founded with other evaluators", "announcing keys for the next epoch")
		}
		return c.answer(MemberList{Members: recorded})
	}
	c.put(key(rosterKind), roster)
	c.put(epochKey(opened.Number), opened)
	c.put(key(epochLatestKind), calendar)
	// The first closing covers the minutes before the founding too, as far back as a
	// proposal may be dated that is endorsed after it.
	c.put(key(closedLatestKind), (c.at-2*registry.MaxSkew).Minute()-1)
	for i, m := range members {
		if err := c.seat(roster, m, keys[i]); err != nil {
			return "", err
		}
	}
	return c.answer(MemberList{Members: members})
}

type foundedSlots struct {
	member *slot[registry.Member]
	keys   *slot[registry.Keys]
}

// seat writes a new member, and for a custodian the key that its countersigned writes touch.
func (c *call) seat(roster registry.Roster, m registry.Member, k registry.Keys) error {
	c.put(memberKey(m.MSP), m)
	c.put(keysKey(m.MSP), k)
	if m.Kind != registry.Hospital {
		return nil
	}
	policy, err := countersign(roster, m.MSP)
	if err != nil {
		return err
	}
	c.create(custodianKey(m.MSP), true, policy)
	return nil
}

// Move votes for a motion.
func (r *registryContract) Move(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Moving](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	motion := arg.Motion
	if err := motion.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RegistryMove])
	if err != nil {
		return "", err
	}
	roster := want[registry.Roster](&c.reading, key(rosterKind))
	target := want[registry.Member](&c.reading, memberKey(motion.Target()))
	keys := want[registry.Keys](&c.reading, keysKey(motion.Target()))
	ballot := want[registry.Ballot](&c.reading, motionKey(motion.ID()))
	if err := c.fetch(); err != nil {
		return "", err
	}
	standing := registry.Standing{Roster: roster.or(nil), Target: target.doc, Keys: keys.doc, Ballot: ballot.doc}
	result, err := registry.Move(standing, motion, c.msp, c.at)
	if err != nil {
		return "", err
	}
	switch {
	case result.Changed && !result.Carried:
		c.put(motionKey(motion.ID()), result.Ballot)
	case result.Changed:
		if ballot.doc != nil {
			c.delete(motionKey(motion.ID()))
		}
		c.put(key(rosterKind), result.Roster)
		if result.Keys == nil {
			c.put(memberKey(result.Member.MSP), result.Member)
		} else if err := c.seat(result.Roster, *result.Member, *result.Keys); err != nil {
			return "", err
		}
	}
	return c.answer(Moved{Motion: motion.ID(), Votes: result.Ballot.Votes, Needed: result.Needed, Carried: result.Carried})
}

// Update changes the caller's own gateway address and keys.
func (r *registryContract) Update(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Updating](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	update := arg.Update
	c, err := begin(ctx.GetStub(), r.clock, rights[RegistryUpdate])
	if err != nil {
		return "", err
	}
	keys := want[registry.Keys](&c.reading, keysKey(c.msp))
	hpke, signing := &slot[bool]{}, &slot[bool]{}
	if next := update.Keys; next != nil {
		hpke = want[bool](&c.reading, spentKey(c.msp, registry.UseHPKE, next.HPKE))
		signing = want[bool](&c.reading, spentKey(c.msp, registry.UseSigning, next.Signing))
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	before := keys.or(registry.Keys{})
	spent := registry.Spent{HPKE: hpke.or(false), Signing: signing.or(false)}
	m, k, changed, err := update.Apply(c.member(), before, spent, c.at)
	if err != nil {
		return "", err
	}
	if changed.Member {
		c.put(memberKey(c.msp), m)
	}
	if changed.Keys() {
		c.put(keysKey(c.msp), k)
	}
	if changed.HPKE {
		c.put(spentKey(c.msp, registry.UseHPKE, before.HPKE), true)
	}
	if changed.Signing {
		c.put(spentKey(c.msp, registry.UseSigning, before.Signing), true)
	}
	return c.answer(MemberEntry{Member: m, Keys: k})
}

// Close closes minutes.
func (r *registryContract) Close(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Closing](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RegistryClose])
	if err != nil {
		return "", err
	}
	latest := want[int64](&c.reading, key(closedLatestKind))
	if err := c.fetch(); err != nil {
		return "", err
	}
	clock := registry.ClockAt(latest.or(0))
	first, last, err := clock.Close(arg.Through, c.now)
	if err != nil {
		return "", err
	}
	for minute := first; minute <= last; minute++ {
		c.put(closedKey(minute), true)
	}
	if first <= last {
		c.put(key(closedLatestKind), last)
		clock = registry.ClockAt(last)
	}
	return c.answer(clock)
}

// Member reads one member.
func (r *registryContract) Member(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[MemberQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := registry.CheckMSP(arg.MSP); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RegistryMember])
	if err != nil {
		return "", err
	}
	member := want[registry.Member](&c.reading, memberKey(arg.MSP))
	keys := want[registry.Keys](&c.reading, keysKey(arg.MSP))
	if err := c.fetch(); err != nil {
		return "", err
	}
	if member.doc == nil {
		return "", refusal.New(refusal.NotFound, arg.MSP+" is not a member", "the MSP id of a member")
	}
	return c.answer(MemberEntry{Member: *member.doc, Keys: keys.or(registry.Keys{})})
}

// Members reads all members.
func (r *registryContract) Members(ctx *contractapi.TransactionContext, argument string) (string, error) {
	if _, err := decode[Nothing](argument, MaxDocument); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RegistryMembers])
	if err != nil {
		return "", err
	}
	roster := want[registry.Roster](&c.reading, key(rosterKind))
	if err := c.fetch(); err != nil {
		return "", err
	}
	var slots []*slot[registry.Member]
	for _, s := range roster.or(nil) {
		slots = append(slots, want[registry.Member](&c.reading, memberKey(s.MSP)))
	}
	if err := c.reading.fetch(c.stub); err != nil {
		return "", err
	}
	var list MemberList
	for _, s := range slots {
		if s.doc == nil {
			return "", fmt.Errorf("read state: the roster names a member that isn't there")
		}
		list.Members = append(list.Members, *s.doc)
	}
	return c.answer(list)
}

// Clock reads the consortium's agreed time.
func (r *registryContract) Clock(ctx *contractapi.TransactionContext, argument string) (string, error) {
	if _, err := decode[Nothing](argument, MaxDocument); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RegistryClock])
	if err != nil {
		return "", err
	}
	latest := want[int64](&c.reading, key(closedLatestKind))
	if err := c.fetch(); err != nil {
		return "", err
	}
	return c.answer(registry.ClockAt(latest.or(0)))
}
