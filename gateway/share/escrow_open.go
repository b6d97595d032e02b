package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/escrow"
	"yitong/gateway/seal"
)

// Recovery says how parts were opened without their custodian.
type Recovery struct {
	Regulator string   // MSP id of who recovered them
	Shares    []string // MSP ids of whose shares opened them, ascending
	Bad       []string // what was wrong with other shares, naming whose they are
}

// emergencyTime is how long a custodian has, in an emergency, to begin to send. One that is
// connected and doesn't answer (a hang, a cut line) is out of reach too.
const emergencyTime = 10 * time.Second

// askRelease asks a custodian for the keys of a permit, and in an emergency not for ever.
func (g *Gateway) askRelease(ctx context.Context, custodian registry.Member, permit access.Access, q ReleaseQuery) (Delivery, error) {
	said := g.ring.recipients()
	delivery, err := g.askReleaseTo(Expecting(ctx, said), custodian, permit, q)
	if now := g.ring.recipients(); refusedWith(err, KeySubstituted) && !slices.Equal(said, now) {
		// What the registry shows was made while this was on its way.
		return g.askReleaseTo(Expecting(ctx, now), custodian, permit, q)
	}
	return delivery, err
}

func (g *Gateway) askReleaseTo(ctx context.Context, custodian registry.Member, permit access.Access, q ReleaseQuery) (Delivery, error) {
	if g.Holders == nil || !permit.BreakGlass() {
		return g.Exchange.Release(ctx, custodian, q)
	}
	limited, cancel := context.WithCancel(ctx) // what is delivered is read under it
	timer := time.AfterFunc(emergencyTime, cancel)
	delivery, err := g.Exchange.Release(limited, custodian, q)
	if !timer.Stop() && ctx.Err() == nil && err != nil {
		err = fmt.Errorf("%w: %s doesn't answer", ErrUnavailable, custodian.Name)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return delivery, nil
}

// shareTime is how long a holder has to give its shares.
const shareTime = 15 * time.Second

// openFromEscrow opens what a break-glass permit covers out of escrow. cause is why the
// custodian's gateway didn't do.
func (g *Gateway) openFromEscrow(ctx context.Context, name lookup, sink Sink, cause error) (Opened, error) {
	ctx = Expecting(ctx, g.ring.recipients())
	g.Log.Warn("the custodian is out of reach; recovering from escrow", "permit", name.id, "custodian", name.custodian, "error", cause)
	delivery, regulator, err := g.askRegulators(ctx, name)
	if err != nil {
		return Opened{}, fmt.Errorf("%s can't be asked for the keys (%w), and %w", name.custodian, cause, err)
	}
	defer delivery.Close()
	entry, err := g.recovered(ctx, name.custodian, name.requester, name.id)
	if err != nil {
		return Opened{}, err
	}
	m := delivery.Manifest()
	if err := g.verifyRecovery(ctx, m, entry); err != nil {
		return Opened{}, fmt.Errorf("what %s sent is refused: %w", regulator.Name, err)
	}
	packages, err := g.checkPackages(ctx, m, delivery.Packages())
	if err != nil {
		return Opened{}, fmt.Errorf("what %s sent is refused: %w", regulator.Name, err)
	}
	c := &collection{manifest: m, packages: packages, shares: map[string][]escrow.Share{}}
	own, err := g.openShares(m, regulator.MSP, delivery.Shares())
	c.take(regulator.MSP, own, err)
	if len(c.from) == 0 {
		return Opened{}, c.short()
	}
	if err := g.collect(ctx, c, name); err != nil {
		return Opened{}, err
	}
	if err := g.noteOpened(ctx, m); err != nil {
		return Opened{}, err
	}
	opened := Opened{Manifest: m.Digest().String(), Recovery: &Recovery{Regulator: regulator.MSP, Bad: c.bad}}
	opened.Recovery.Shares = slices.Sorted(slices.Values(c.from))
	for _, r := range m.Records {
		for _, s := range r.Parts {
			key, err := packages[r.Anchor].Combine(s.Part.Index, c.shares[r.Anchor])
			if err != nil {
				return Opened{}, fmt.Errorf("part %d of record %s: %w", s.Part.Index, r.Anchor, err)
			}
			n, err := g.openRecovered(ctx, incoming{permit: entry.Access, manifest: opened.Manifest, record: r.Anchor, part: s.Part, key: key}, delivery, sink)
			if err != nil {
				return Opened{}, err
			}
			opened.Parts++
			opened.Bytes += n
		}
	}
	by, err := g.actor(ctx, name.id, doneOpening)
	if err != nil {
		return opened, err
	}
	opened.Receipt, err = g.receiving.do(ctx, receiptOrder{Permit: name.id, Custodian: name.custodian, Manifest: opened.Manifest, Outcome: access.Opened, Recovered: true, Actor: by})
	if err != nil {
		return opened, fmt.Errorf("everything was opened; the receipt is not on the ledger yet: %w", err)
	}
	return opened, nil
}

// openRecovered opens the next part of what a regulator sends: all of it comes, whatever of it
// is kept.
func (g *Gateway) openRecovered(ctx context.Context, in incoming, d Delivery, sink Sink) (int64, error) {
	sealed, err := d.Part()
	if err != nil {
		return 0, fmt.Errorf("receiving part %d of record %s: %w", in.part.Index, in.record, err)
	}
	to, err := sink(in.record, in.part)
	if err != nil {
		return 0, err
	}
	asked := false
	in.from = func(offset int64) (io.Reader, error) {
		asked = true
		_, err := io.CopyN(io.Discard, sealed, offset)
		return sealed, err
	}
	n, err := g.take(ctx, in, to)
	if err == nil && !asked {
		_, err = io.Copy(io.Discard, sealed) // the next part comes after it
	}
	return n, err
}

// askRegulators asks one regulator after the other, until one recovers.
func (g *Gateway) askRegulators(ctx context.Context, name lookup) (RecoveryDelivery, registry.Member, error) {
	height, err := g.Ledger.Height(ctx)
	if err != nil {
		return nil, registry.Member{}, err
	}
	others, err := g.Others(ctx)
	if err != nil {
		return nil, registry.Member{}, err
	}
	var failed []error
	for _, m := range others {
		if m.Kind != registry.Regulator {
			continue
		}
		delivery, err := g.Holders.Recover(ctx, m, name.custodian, name.id, height)
		if err == nil {
			return delivery, m, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", m.Name, err))
	}
	if len(failed) == 0 {
		failed = append(failed, refusal.New(EscrowShort, "there is no active regulator, whose share it takes", "the custodian, once it is back"))
	}
	return nil, registry.Member{}, fmt.Errorf("nothing is recovered without a regulator's share: %w", errors.Join(failed...))
}

// checkPackages holds the packages that a regulator sent against the anchors.
func (g *Gateway) checkPackages(ctx context.Context, m *seal.Manifest, sent []*escrow.Package) (map[string]*escrow.Package, error) {
	packages := map[string]*escrow.Package{}
	for _, p := range sent {
		if p == nil || p.Check() != nil || p.Custodian != m.Custodian {
			return nil, errors.New("a package isn't one")
		}
		packages[p.Record] = p
	}
	for _, c := range m.Records {
		p := packages[c.Anchor]
		anchor, ok, err := g.anchorOf(ctx, anchored{m.Custodian, c.Anchor})
		switch {
		case err != nil:
			return nil, err
		case !ok || p == nil || anchor.Escrow != p.Digest() || len(p.Parts) != anchor.Parts:
			return nil, fmt.Errorf("the package of record %s is not the one that was anchored", c.Anchor)
		}
	}
	return packages, nil
}

// collection is shares as they come together at the requester.
type collection struct {
	manifest *seal.Manifest
	packages map[string]*escrow.Package
	shares   map[string][]escrow.Share // by record; checked
	from     []string                  // MSP ids of whose shares are good
	bad      []string                  // what is wrong with others
	missing  []string                  // why others gave none
}

// take checks what came from one holder. A bad share is never combined: it is told, with
// the name of who gave it.
func (c *collection) take(holder string, shares map[string]escrow.Share, err error) {
	if err != nil {
		c.bad = append(c.bad, fmt.Sprintf("%s: %v", holder, err))
		return
	}
	good := false
	for _, r := range c.manifest.Records {
		s, ok := shares[r.Anchor]
		if !ok {
			if c.packages[r.Anchor].Holds(holder) {
				c.missing = append(c.missing, fmt.Sprintf("%s keeps no share of record %s", holder, r.Anchor))
			}
			continue
		}
		if err := c.packages[r.Anchor].CheckShare(s, indices(r)); err != nil {
			c.bad = append(c.bad, err.Error())
			continue
		}
		c.shares[r.Anchor], good = append(c.shares[r.Anchor], s), true
	}
	if good {
		c.from = append(c.from, holder)
	}
}

// enough reports whether every record's shares reach its threshold.
func (c *collection) enough() bool {
	for _, r := range c.manifest.Records {
		p := c.packages[r.Anchor]
		others, regulator := 0, false
		for _, s := range c.shares[r.Anchor] {
			if p.IsRegulator(s.Holder) {
				regulator = true
			} else {
				others++
			}
		}
		if !regulator || others < p.Threshold-1 {
			return false
		}
	}
	return true
}

// short refuses (escrow-short), saying who gave a good share, who a bad one and who none.
func (c *collection) short() error {
	k := 0
	for _, p := range c.packages {
		k = max(k, p.Threshold)
	}
	why := []string{fmt.Sprintf("it takes the shares of %d members, a regulator among them, and %d gave good ones", k, len(c.from))}
	why = append(append(why, c.bad...), c.missing...)
	return refusal.New(EscrowShort, "too few good shares came together: "+strings.Join(why, "; "),
		"the same call again, once the members named are back or their shares mended")
}

// collect asks all other holders at once, this member's own share first, until there are
// enough.
func (g *Gateway) collect(ctx context.Context, c *collection, name lookup) error {
	holders := map[string]bool{}
	for _, p := range c.packages {
		for _, holder := range p.Others {
			holders[holder] = true
		}
	}
	if holders[g.Self.MSP] {
		shares, err := g.ownShares(ctx, c.manifest)
		own := map[string]escrow.Share{}
		for _, s := range shares {
			own[s.Record] = s
		}
		c.take(g.Self.MSP, own, err)
	}
	height, err := g.Ledger.Height(ctx)
	if err != nil {
		return err
	}
	others, err := g.Others(ctx)
	if err != nil {
		return err
	}
	type answer struct {
		member  registry.Member
		message seal.Message
		err     error
	}
	ctx, cancel := context.WithTimeout(ctx, shareTime)
	defer cancel()
	answers := make(chan answer, len(others))
	asked := 0
	for _, m := range others {
		if !holders[m.MSP] {
			continue
		}
		asked++
		go func() {
			message, err := g.Holders.Share(ctx, m, ShareQuery{Custodian: name.custodian, Permit: name.id, Manifest: c.manifest, Height: height})
			answers <- answer{m, message, err}
		}()
	}
	for ; asked > 0 && !c.enough(); asked-- {
		a := <-answers
		if a.err != nil {
			c.missing = append(c.missing, fmt.Sprintf("%s gave none: %v", a.member.MSP, a.err))
			continue
		}
		shares, err := g.openShares(c.manifest, a.member.MSP, a.message)
		c.take(a.member.MSP, shares, err)
	}
	for _, bad := range c.bad {
		g.Log.Error("a bad share was refused", "permit", name.id, "share", bad)
	}
	if !c.enough() {
		return c.short()
	}
	return nil
}
