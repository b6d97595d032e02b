package share

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/ledger"
)

// freshFor is how long what the registry said is used without asking again. The
// ledger checks standing anew in every transaction; this only saves queries.
const freshFor = 5 * time.Second

// A directory knows the members and their public keys, from the registry on the
// member's own peer.
type directory struct {
	ledger Ledger
	now    func() time.Time

	mu    sync.Mutex
	list  []registry.Member
	asked time.Time
	keys  map[string]keysAsOf
}

type keysAsOf struct {
	entry contract.MemberEntry
	asked time.Time
}

func newDirectory(l Ledger, now func() time.Time) *directory {
	return &directory{ledger: l, now: now, keys: map[string]keysAsOf{}}
}

// all lists the members, suspended ones too.
func (d *directory) all(ctx context.Context) ([]registry.Member, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.list != nil && d.now().Sub(d.asked) < freshFor {
		return d.list, nil
	}
	var out contract.MemberList
	if err := d.ledger.Evaluate(ctx, contract.RegistryMembers, contract.Nothing{}, &out, ledger.OwnPeerOnly()); err != nil {
		return nil, fmt.Errorf("reading the registry: %w", err)
	}
	d.list, d.asked = out.Members, d.now()
	return d.list, nil
}

// forget makes the next question go to the ledger.
func (d *directory) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = nil
	clear(d.keys)
}

func (d *directory) byMSP(ctx context.Context, msp string) (registry.Member, error) {
	return d.find(ctx, msp, func(m registry.Member) bool { return m.MSP == msp })
}

// named finds a member by its name or its MSP id.
func (d *directory) named(ctx context.Context, name string) (registry.Member, error) {
	return d.find(ctx, name, func(m registry.Member) bool { return m.MSP == name || m.Name == name })
}

func (d *directory) find(ctx context.Context, name string, is func(registry.Member) bool) (registry.Member, error) {
	members, err := d.all(ctx)
	if err != nil {
		return registry.Member{}, err
	}
	var names []string
	for _, m := range members {
		if is(m) {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return registry.Member{}, refusal.New(refusal.NotFound, fmt.Sprintf("there is no member %q", name), "one of "+strings.Join(names, ", "))
}

// fresh gives a member and its keys as the ledger has them now.
func (d *directory) fresh(ctx context.Context, msp string) (contract.MemberEntry, error) {
	d.mu.Lock()
	delete(d.keys, msp)
	d.mu.Unlock()
	return d.withKeys(ctx, msp)
}

// withKeys gives a member and the public keys that the registry has of it.
func (d *directory) withKeys(ctx context.Context, msp string) (contract.MemberEntry, error) {
	d.mu.Lock()
	known, ok := d.keys[msp]
	d.mu.Unlock()
	if ok && d.now().Sub(known.asked) < freshFor {
		return known.entry, nil
	}
	var out contract.MemberEntry
	if err := d.ledger.Evaluate(ctx, contract.RegistryMember, contract.MemberQuery{MSP: msp}, &out, ledger.OwnPeerOnly()); err != nil {
		return out, fmt.Errorf("reading the keys of %s from the registry: %w", msp, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys[msp] = keysAsOf{out, d.now()}
	return out, nil
}
