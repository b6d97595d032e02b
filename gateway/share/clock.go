package share

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/ledger"
)

// maxLag is how far, in seconds, the newest minute closed on the own peer may lie
// behind this gateway's clock before it releases nothing more: the peer may be cut
// off and not know of a withdrawal.
const maxLag = 6 * 60

// pace is how often a gateway looks whether a minute is to be closed.
const pace = 5 * time.Second

// closings knows how far the ledger's minutes are closed.
type closings struct {
	mu     sync.Mutex
	latest registry.Clock
	minute int64          // the first that isn't closed though it could be
	seen   record.Instant // when this gateway first saw that
}

func (c *closings) set(clock registry.Clock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = clock
}

func (c *closings) get() registry.Clock {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

// open is how many seconds this gateway has seen a minute stay open.
func (c *closings) open(minute int64, now record.Instant) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.minute != minute {
		c.minute, c.seen = minute, now
	}
	return int64(now - c.seen)
}

// fresh refuses (stale-clock) when the newest closed minute is too old.
func (c *closings) fresh(now record.Instant) error {
	closed := c.get().Closed
	lag := int64(now - closed)
	if lag <= maxLag {
		return nil
	}
	view := fmt.Sprintf("this gateway's view of the ledger is %d s old", lag)
	if closed == 0 {
		view = "this gateway hasn't seen the ledger yet"
	}
	return refusal.New(refusal.StaleClock, view+"; nothing is released on it", "a release once its peer has caught up and the minutes are closed again")
}

// Current refuses (stale-clock) when this gateway's view of the ledger is too old to
// release anything on it.
func (g *Gateway) Current() error {
	if g.Config.Current != nil {
		if err := g.Config.Current(); err != nil {
			return err
		}
	}
	return g.clock.fresh(g.now())
}

// maxBehind is how far, in seconds, the own clock may be behind what the ledger closed: less
// than endorsers allow.
const maxBehind = 60

// ClockBehind refuses (stale-clock) when this machine's clock is behind the minutes that the
// members closed.
func (g *Gateway) ClockBehind() error {
	if behind := int64(g.clock.get().Closed - g.now()); behind > maxBehind {
		return refusal.New(refusal.StaleClock, fmt.Sprintf("this machine's clock is %d s behind the ledger's", behind), "transactions once the clock is set (NTP)")
	}
	return nil
}

// KeepTime closes the ledger's minutes, in turn with the other members, until the
// gateway is closed. Whoever's turn it is goes first; the others step in, one
// after the other, when a minute stays open.
func (g *Gateway) KeepTime() {
	g.work.Go(func() {
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for {
			if err := g.Tick(g.ctx); err != nil && g.ctx.Err() == nil {
				g.Log.Warn("the ledger's minutes could not be closed", "error", err)
			}
			select {
			case <-ticker.C:
			case <-g.ctx.Done():
				return
			}
		}
	})
}

// Tick reads how far minutes are closed and closes what is ripe, if it is up to
// this member.
func (g *Gateway) Tick(ctx context.Context) error {
	var clock registry.Clock
	if err := g.Ledger.Evaluate(ctx, contract.RegistryClock, contract.Nothing{}, &clock, ledger.OwnPeerOnly()); err != nil {
		return err
	}
	g.clock.set(clock)
	now := g.now()
	if clock.Latest >= g.ripe(now) || g.clock.open(clock.Latest+1, now) < g.turn(ctx, clock.Latest+1) {
		return nil
	}
	for clock.Latest < g.ripe(now) { // after a long standstill there are more than one transaction takes
		through := min(g.ripe(now), clock.Latest+registry.MaxClosings)
		if _, err := g.Ledger.Submit(ctx, contract.RegistryClose, contract.Closing{Through: through}, &clock); err != nil {
			return err
		}
		g.clock.set(clock)
	}
	return nil
}

// ripe is the newest minute that every endorser will agree is over. The gateway
// leaves endorsers' clocks 5 s.
func (g *Gateway) ripe(now record.Instant) int64 { return (int64(now)-registry.MaxSkew-5)/60 - 1 }

// turn is how many seconds this member lets pass once it sees a ripe minute open,
// for those before it in the row.
func (g *Gateway) turn(ctx context.Context, minute int64) int64 {
	members, err := g.members.all(ctx)
	if err != nil {
		return 0
	}
	active := slices.DeleteFunc(slices.Clone(members), func(m registry.Member) bool { return !m.Active() })
	self := slices.IndexFunc(active, func(m registry.Member) bool { return m.MSP == g.Self.MSP })
	if self < 0 {
		return 0
	}
	n := int64(len(active))
	return (int64(self) - minute%n + n) % n * 15
}
