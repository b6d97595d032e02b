package contract

import (
	"errors"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

type accessContract struct {
	contractapi.Contract
	clock Clock
}

// Request takes the decision on a request and records it, permit or deny, under one key
// that nobody else writes: requests of one patient don't conflict. The same request again
// answers with the decision recorded. A break-glass request also writes what the caller
// has open, so those of one member follow each other.
func (a *accessContract) Request(ctx *contractapi.TransactionContext, argument string) (string, error) {
	request, err := decode[access.Request](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := request.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessRequest])
	if err != nil {
		return "", err
	}
	of := Relationship{Custodian: request.Custodian, Requester: c.msp, Handle: request.Handle}
	custodian := want[registry.Member](&c.reading, memberKey(request.Custodian))
	recorded := want[access.Access](&c.reading, of.step(accessKind, request.ID))
	d := wantDirectives(&c.reading, of)
	var open *slot[access.Emergencies]
	if request.BreakGlass() {
		open = want[access.Emergencies](&c.reading, emergenciesKey(c.msp))
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	if recorded.doc != nil {
		if recorded.doc.Same(request) {
			return c.answer(*recorded.doc)
		}
		return "", refusal.New(refusal.Exists, "the id names another request", "the recorded request again, or a new id")
	}
	if custodian.doc == nil {
		return "", refusal.New(refusal.NotFound, request.Custodian+" is not a member", "a request to a hospital")
	}
	if err := d.usable(c.at); err != nil {
		return "", err
	}
	decided, err := c.decide(request, *custodian.doc, open, d)
	if err != nil {
		return "", err
	}
	c.put(of.step(accessKind, request.ID), decided)
	return c.answer(decided)
}

// Release releases permits of the caller's, each on its own.
func (a *accessContract) Release(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Releasing](argument, MaxBatchDocument)
	if err != nil {
		return "", err
	}
	if err := checkBatch(len(arg.Releases), "releases"); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessRelease])
	if err != nil {
		return "", err
	}
	slots := make([]releaseSlots, len(arg.Releases))
	named := map[string]bool{}
	for i, order := range arg.Releases {
		of := Relationship{Custodian: c.msp, Requester: order.Requester, Handle: order.Handle}
		if err := of.check(""); err != nil {
			return "", err
		}
		if err := checkNamedOnce([]string{order.Permit}, named); err != nil {
			return "", err
		}
		slots[i] = releaseSlots{
			of:        of,
			permit:    want[access.Access](&c.reading, of.step(accessKind, order.Permit)),
			prior:     want[access.Release](&c.reading, of.step(releaseKind, order.Permit)),
			requester: want[registry.Member](&c.reading, memberKey(order.Requester)),
			review:    &slot[access.Review]{},
		}
		if slots[i].way, err = wantWay(&c.reading, of, order.Carried); err != nil {
			return "", err
		}
		if order.Emergency {
			slots[i].review = want[access.Review](&c.reading, of.step(reviewKind, order.Permit))
		}
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	var result Released
	var first *refusal.Refusal
	released := 0
	for i, order := range arg.Releases {
		one := ReleaseResult{Permit: order.Permit}
		release, err := c.release(order, slots[i])
		switch {
		case errors.As(err, &one.Refusal):
			if first == nil {
				first = one.Refusal
			}
		case err != nil:
			return "", err
		default:
			one.Release = &release
			released++
		}
		result.Results = append(result.Results, one)
	}
	if released == 0 {
		return "", first
	}
	return c.answer(result)
}

type releaseSlots struct {
	of        Relationship
	permit    *slot[access.Access]
	prior     *slot[access.Release]
	review    *slot[access.Review]
	requester *slot[registry.Member]
	way       way
}

func (c *call) release(order ReleaseOrder, s releaseSlots) (access.Release, error) {
	if s.permit.doc == nil || s.requester.doc == nil || s.permit.doc.Handle != order.Handle || s.permit.doc.BreakGlass() != order.Emergency {
		return access.Release{}, refusal.New(refusal.NotFound, "there is no such permit of "+c.msp, "the permit, requester and handle of a request to you, and `emergency` if and only if it is a break-glass one")
	}
	directives, err := s.way.end(c.at)
	if err != nil {
		return access.Release{}, err
	}
	release, err := s.permit.doc.Release(order.Manifest, s.prior.doc, s.review.doc, c.member(), *s.requester.doc, directives.present(), c.at)
	if err == nil && s.prior.doc == nil {
		c.put(s.of.step(releaseKind, order.Permit), release)
	}
	return release, err
}

// Receive records receipts of the caller's, each on its own.
func (a *accessContract) Receive(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Receiving](argument, MaxBatchDocument)
	if err != nil {
		return "", err
	}
	if err := checkBatch(len(arg.Receipts), "receipts"); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessReceive])
	if err != nil {
		return "", err
	}
	slots := make([]receiptSlots, len(arg.Receipts))
	named := map[string]bool{}
	for i, order := range arg.Receipts {
		if err := registry.CheckMSP(order.Custodian); err != nil {
			return "", err
		}
		if err := checkNamedOnce([]string{order.Permit}, named); err != nil {
			return "", err
		}
		of := Relationship{Custodian: order.Custodian, Requester: c.msp}
		slots[i] = receiptSlots{
			of:     of,
			permit: want[access.Access](&c.reading, of.step(accessKind, order.Permit)),
			prior:  want[access.Receipt](&c.reading, of.step(receiptKind, order.Permit)),
		}
		if order.Recovered {
			slots[i].recovery = want[access.Recovery](&c.reading, of.step(recoveryKind, order.Permit))
		} else {
			slots[i].release = want[access.Release](&c.reading, of.step(releaseKind, order.Permit))
		}
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	var result Received
	var first *refusal.Refusal
	received := 0
	for i, order := range arg.Receipts {
		one := ReceiptResult{Permit: order.Permit}
		receipt, err := c.receive(order, slots[i])
		switch {
		case errors.As(err, &one.Refusal):
			if first == nil {
				first = one.Refusal
			}
		case err != nil:
			return "", err
		default:
			one.Receipt = &receipt
			received++
		}
		result.Results = append(result.Results, one)
	}
	if received == 0 {
		return "", first
	}
	return c.answer(result)
}

type receiptSlots struct {
	of       Relationship
	permit   *slot[access.Access]
	prior    *slot[access.Receipt]
	release  *slot[access.Release]  // either of the two
	recovery *slot[access.Recovery] // nil
}

// released is what the receipt answers to, nil if it isn't there.
func (s receiptSlots) released() *access.Release {
	if s.recovery != nil {
		return s.recovery.doc.Release()
	}
	return s.release.doc
}

func (c *call) receive(order ReceiptOrder, s receiptSlots) (access.Receipt, error) {
	if s.permit.doc == nil {
		return access.Receipt{}, refusal.New(refusal.NotFound, "there is no such permit for "+c.msp, "the permit and custodian of a request of yours")
	}
	receipt, err := s.permit.doc.Receive(order.Manifest, order.Outcome, order.Actor, s.released(), s.prior.doc, c.member(), c.at)
	if err == nil && s.prior.doc == nil {
		c.put(s.of.step(receiptKind, order.Permit), receipt)
	}
	return receipt, err
}

// Access reads accesses of one requester to one custodian by their ids.
func (a *accessContract) Access(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[AccessQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := checkBatch(len(arg.IDs), "ids"); err != nil {
		return "", err
	}
	for _, msp := range []string{arg.Custodian, arg.Requester} {
		if err := registry.CheckMSP(msp); err != nil {
			return "", err
		}
	}
	for _, id := range arg.IDs {
		if err := access.CheckID(id); err != nil {
			return "", err
		}
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessAccess])
	if err != nil {
		return "", err
	}
	of := Relationship{Custodian: arg.Custodian, Requester: arg.Requester}
	var slots []entrySlots
	for _, id := range arg.IDs {
		slots = append(slots, entrySlots{
			id:            id,
			access:        want[access.Access](&c.reading, of.step(accessKind, id)),
			wantedOutcome: c.wantOutcome(of, id),
		})
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	if err := c.sees(of.Custodian, of.Requester); err != nil {
		return "", err
	}
	var list AccessList
	for _, s := range slots {
		list.Accesses = append(list.Accesses, AccessEntry{
			ID: s.id, Access: s.access.doc, Release: s.release.doc, Receipt: s.receipt.doc, Review: s.review.doc,
			Recovery: s.recovery.doc,
		})
	}
	return c.answer(list)
}

type entrySlots struct {
	id     string
	access *slot[access.Access]
	wantedOutcome
}

// wantedOutcome is what may have come of an access.
type wantedOutcome struct {
	release *slot[access.Release]
	receipt *slot[access.Receipt]
	review  *slot[access.Review]

	recovery *slot[access.Recovery]
}

func (c *call) wantOutcome(of Relationship, id string) wantedOutcome {
	return wantedOutcome{
		release: want[access.Release](&c.reading, of.step(releaseKind, id)),
		receipt: want[access.Receipt](&c.reading, of.step(receiptKind, id)),
		review:  want[access.Review](&c.reading, of.step(reviewKind, id)),

		recovery: want[access.Recovery](&c.reading, of.step(recoveryKind, id)),
	}
}

// Accesses reads a page of accesses.
func (a *accessContract) Accesses(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[ListQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessAccesses])
	if err != nil {
		return "", err
	}
	p, err := c.list(accessKind, arg)
	if err != nil {
		return "", err
	}
	result := AccessPage{Bookmark: p.bookmark}
	var outcomes []wantedOutcome
	for _, e := range p.entries {
		one, err := document[access.Access](e)
		if err != nil {
			return "", err
		}
		result.Accesses = append(result.Accesses, AccessEntry{ID: one.ID, Access: &one})
		outcomes = append(outcomes, c.wantOutcome(Relationship{Custodian: one.Custodian, Requester: one.Requester}, one.ID))
	}
	if err := c.reading.fetch(c.stub); err != nil {
		return "", err
	}
	for i, o := range outcomes {
		result.Accesses[i].Release, result.Accesses[i].Receipt, result.Accesses[i].Review = o.release.doc, o.receipt.doc, o.review.doc
		result.Accesses[i].Recovery = o.recovery.doc
	}
	return c.answer(result)
}
