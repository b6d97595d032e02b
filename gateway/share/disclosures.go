package share

import (
	"context"
	"errors"
	"fmt"

	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/ledger"
)

// DisclosureOrder is what a regulator wants to see.
type DisclosureOrder struct {
	ID        string // 32 hex digits; "" lets the gateway choose
	What      disclosure.What
	Custodian string // name or MSP id
	Requester string // name or MSP id
	Subject   string // id of the access, or of the consent
	Handle    string // of the consent; "" has it looked up
	Version   int    // of the consent
	Reason    string // a code
}

// Disclosure is an order, what came of it, and what was disclosed.
type Disclosure struct {
	disclosure.Disclosure
	Disclosed Disclosed     // empty unless the conclusion is disclosed
	Commit    ledger.Commit // of the conclusion
}

// OrderDisclosure orders that a holder open a digest, fetches what is behind it, holds it
// against the digest as this member's own peer has it, and concludes. Nothing that
// doesn't verify is returned. A refusal and a mismatch are conclusions, not errors.
//
// An error after the order is recorded leaves it open: the same call under the same id
// goes on from there, and once the term is over concludes that it was refused.
func (g *Gateway) OrderDisclosure(ctx context.Context, o DisclosureOrder) (Disclosure, error) {
	draft, holder, err := g.draft(ctx, o)
	if err != nil {
		return Disclosure{}, err
	}
	by, err := g.actor(ctx, draft.ID, doneOrdering)
	if err != nil {
		return Disclosure{}, err
	}
	var order disclosure.Order
	commit, err := g.Ledger.Submit(ctx, contract.DisclosureOrder, contract.Ordering{Draft: draft, Actor: by}, &order)
	if err != nil {
		return Disclosure{}, fmt.Errorf("ordering %s: %w", draft.Subject, err)
	}
	if err := g.reach(ctx, commit.Block+1); err != nil {
		return Disclosure{}, err
	}
	given, gerr := g.Exchange.Disclose(ctx, holder, order.ID, commit.Block+1)
	name := contract.DisclosureQuery{Holder: order.Holder, Regulator: order.Regulator, Order: order.ID}
	standing, err := g.standing(ctx, name, gerr)
	if err != nil {
		return Disclosure{}, err
	}
	if c := standing.Conclusion; c != nil && c.Outcome != disclosure.Disclosed {
		return Disclosure{Disclosure: standing}, nil
	}
	if gerr != nil {
		if a := standing.Answer; (a == nil || a.Word != disclosure.Refused) && !standing.Overdue(g.now()) {
			return Disclosure{Disclosure: standing}, stands(order.ID, holder.Name, gerr)
		}
		return g.conclude(ctx, standing, disclosure.Withheld)
	}
	verified, err := given.verify(standing.Order)
	switch {
	case errors.Is(err, errMismatch):
		return g.conclude(ctx, standing, disclosure.Mismatch)
	case err != nil:
		return Disclosure{}, err
	}
	done, err := g.conclude(ctx, standing, disclosure.Disclosed)
	if err == nil {
		done.Disclosed = verified
	}
	return done, err
}

// stands says that an order is on the ledger and open, and why it isn't concluded. A
// refusal stays one, so that it says so as well where only refusals are told.
func stands(order, holder string, cause error) error {
	var refused *refusal.Refusal
	if errors.As(cause, &refused) {
		return refusal.New(refused.Code, "order "+order+" stands: "+refused.Message, refused.Allowed)
	}
	return fmt.Errorf("order %s stands; %s has not opened it: %w", order, holder, cause)
}

// draft is an order as the ledger takes it, and the member that it is to.
func (g *Gateway) draft(ctx context.Context, o DisclosureOrder) (disclosure.Draft, registry.Member, error) {
	if o.ID == "" {
		o.ID = chosenID(ctx)
	}
	d := disclosure.Draft{ID: o.ID, Reason: o.Reason, Subject: disclosure.Subject{What: o.What, ID: o.Subject, Handle: o.Handle, Version: o.Version}}
	var holder registry.Member
	for side, name := range map[*string]string{&d.Subject.Custodian: o.Custodian, &d.Subject.Requester: o.Requester} {
		m, err := g.members.named(ctx, name)
		if err != nil {
			return d, holder, err
		}
		*side = m.MSP
	}
	if d.Subject.OfConsent() && o.Handle == "" {
		var err error
		if d.Subject.Handle, err = g.handleOf(ctx, d.Subject); err != nil {
			return d, holder, err
		}
	}
	if err := d.Check(); err != nil {
		return d, holder, err
	}
	holder, err := g.members.byMSP(ctx, d.Subject.Holder())
	return d, holder, err
}

// handleOf finds the relationship that a consent is in.
func (g *Gateway) handleOf(ctx context.Context, s disclosure.Subject) (string, error) {
	in := contract.ListQuery{Custodian: s.Custodian, Requester: s.Requester, Size: contract.MaxPage}
	for {
		var out contract.RelationshipPage
		if err := g.Ledger.Evaluate(ctx, contract.ConsentList, in, &out); err != nil {
			return "", fmt.Errorf("looking for consent %s: %w", s.ID, err)
		}
		for _, r := range out.Relationships {
			for _, c := range r.Consents {
				if c.ID == s.ID {
					return r.Handle, nil
				}
			}
		}
		if in.Bookmark = out.Bookmark; in.Bookmark == "" {
			return "", refusal.New(refusal.NotFound, "there is no consent "+s.ID+" between "+s.Custodian+" and "+s.Requester, "the id and the parties of a consent that was granted")
		}
	}
}

// standing is the order as the own peer has it. Where the holder says that it answered,
// given or refused, the answer is waited for: without it nothing that came is looked at.
func (g *Gateway) standing(ctx context.Context, name contract.DisclosureQuery, gerr error) (disclosure.Disclosure, error) {
	if gerr == nil || refusedWith(gerr, disclosure.NotGiven) {
		return g.answered(ctx, name)
	}
	return g.disclosure(ctx, name)
}

func (g *Gateway) conclude(ctx context.Context, d disclosure.Disclosure, outcome disclosure.Outcome) (Disclosure, error) {
	by, err := g.actor(ctx, d.Order.ID, doneConcluding)
	if err != nil {
		return Disclosure{Disclosure: d}, err
	}
	var out disclosure.Conclusion
	in := contract.Concluding{Order: d.Order.ID, Holder: d.Order.Holder, Outcome: outcome, Actor: by}
	commit, err := g.Ledger.Submit(ctx, contract.DisclosureConclude, in, &out)
	if err != nil {
		return Disclosure{Disclosure: d}, fmt.Errorf("concluding order %s as %s: %w", d.Order.ID, outcome, err)
	}
	d.Conclusion = &out
	return Disclosure{Disclosure: d, Commit: commit}, nil
}

// Disclosures pages through orders and what came of them: those to one holder (name or
// MSP id), or all that this member may see.
func (g *Gateway) Disclosures(ctx context.Context, holder, bookmark string, size int) (contract.DisclosurePage, error) {
	in := contract.DisclosuresQuery{Bookmark: bookmark, Size: size}
	if holder != "" {
		m, err := g.members.named(ctx, holder)
		if err != nil {
			return contract.DisclosurePage{}, err
		}
		in.Holder = m.MSP
	}
	var out contract.DisclosurePage
	if err := g.Ledger.Evaluate(ctx, contract.DisclosureDisclosures, in, &out); err != nil {
		return out, fmt.Errorf("listing orders: %w", err)
	}
	return out, nil
}

// Time is this gateway's own clock, to the second: what orders are overdue by.
func (g *Gateway) Time() record.Instant { return g.now() }
