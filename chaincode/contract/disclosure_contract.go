package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"yitong/chaincode/access"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

type disclosureContract struct {
	contractapi.Contract
	clock Clock
}

// Order records a regulator's order to open what the ledger has a digest of. The digest
// is the ledger's own at this block, whatever the regulator says.
func (d *disclosureContract) Order(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Ordering](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	draft := arg.Draft
	if err := draft.Check(); err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), d.clock, rights[DisclosureOrder])
	if err != nil {
		return "", err
	}
	of := orderName{holder: draft.Subject.Holder(), regulator: c.msp, id: draft.ID}
	holder := want[registry.Member](&c.reading, memberKey(of.holder))
	prior := want[disclosure.Order](&c.reading, of.key(orderKind))
	digest := c.wantDigest(draft.Subject)
	if err := c.fetch(); err != nil {
		return "", err
	}
	order, err := disclosure.Issue(draft, c.member(), holder.doc, digest(), prior.doc, c.at)
	if err != nil {
		return "", err
	}
	if prior.doc == nil {
		c.put(of.key(orderKind), order)
	}
	return c.answer(order)
}

// wantDigest asks for the digest that a subject names. Once fetched it is there, "" if
// the ledger has none.
func (c *call) wantDigest(s disclosure.Subject) (digest func() string) {
	of := Relationship{Custodian: s.Custodian, Requester: s.Requester, Handle: s.Handle}
	if s.OfConsent() {
		version := want[ConsentVersion](&c.reading, of.version(s.ID, s.Version))
		if s.What == disclosure.Form {
			return func() string { return version.or(ConsentVersion{}).Consent.Evidence }
		}
		return func() string { return version.or(ConsentVersion{}).User }
	}
	if s.OfRecord() {
		present := want[RecordState](&c.reading, recordKey(s.Custodian, s.ID))
		return func() string { return present.or(RecordState{}).User }
	}
	switch s.What {
	case disclosure.User:
		request := want[access.Access](&c.reading, of.step(accessKind, s.ID))
		return func() string { return request.or(access.Access{}).User }
	case disclosure.Reader:
		receipt := want[access.Receipt](&c.reading, of.step(receiptKind, s.ID))
		return func() string { return receipt.or(access.Receipt{}).User }
	case disclosure.Note:
		request := want[access.Access](&c.reading, of.step(accessKind, s.ID))
		return func() string { return request.or(access.Access{}).Emergency.Note }
	case disclosure.Claim:
		request := want[access.Access](&c.reading, of.step(accessKind, s.ID))
		return func() string { return request.or(access.Access{}).Claim }
	}
	release := want[access.Release](&c.reading, of.step(releaseKind, s.ID))
	return func() string { return release.or(access.Release{}).Manifest }
}

// orderName is what an order's keys are made of.
type orderName struct{ holder, regulator, id string }

func (o orderName) key(kind string) string { return key(kind, o.holder, o.regulator, o.id) }

// check refuses a name that isn't one: code malformed.
func (o orderName) check() error {
	for _, msp := range []string{o.holder, o.regulator} {
		if err := registry.CheckMSP(msp); err != nil {
			return err
		}
	}
	return access.CheckID(o.id)
}

// disclosureSlots are an order and what may have come of it.
type disclosureSlots struct {
	order      *slot[disclosure.Order]
	answer     *slot[disclosure.Answer]
	conclusion *slot[disclosure.Conclusion]
}

func (c *call) wantDisclosure(of orderName) disclosureSlots {
	return disclosureSlots{
		order:      want[disclosure.Order](&c.reading, of.key(orderKind)),
		answer:     want[disclosure.Answer](&c.reading, of.key(answerKind)),
		conclusion: want[disclosure.Conclusion](&c.reading, of.key(conclusionKind)),
	}
}

// noOrder refuses what names an order that isn't there.
func noOrder(of orderName) error {
	return refusal.New(refusal.NotFound, "there is no order "+of.id+" of "+of.regulator+" to "+of.holder, "the id and the parties of an order that is recorded")
}

// Answer records the calling holder's answer to an order.
func (d *disclosureContract) Answer(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Answering](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), d.clock, rights[DisclosureAnswer])
	if err != nil {
		return "", err
	}
	of := orderName{holder: c.msp, regulator: arg.Regulator, id: arg.Order}
	if err := of.check(); err != nil {
		return "", err
	}
	s := c.wantDisclosure(of)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if s.order.doc == nil {
		return "", noOrder(of)
	}
	answer, err := s.order.doc.Answer(arg.Word, arg.Reason, s.answer.doc, s.conclusion.doc, c.member(), c.at)
	if err != nil {
		return "", err
	}
	if s.answer.doc == nil {
		c.put(of.key(answerKind), answer)
	}
	return c.answer(answer)
}

// Conclude records how an order of the calling regulator's ended.
func (d *disclosureContract) Conclude(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Concluding](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), d.clock, rights[DisclosureConclude])
	if err != nil {
		return "", err
	}
	of := orderName{holder: arg.Holder, regulator: c.msp, id: arg.Order}
	if err := of.check(); err != nil {
		return "", err
	}
	s := c.wantDisclosure(of)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if s.order.doc == nil {
		return "", noOrder(of)
	}
	conclusion, err := s.order.doc.Conclude(arg.Outcome, s.answer.doc, s.conclusion.doc, c.member(), c.at)
	if err != nil {
		return "", err
	}
	if s.conclusion.doc == nil {
		c.put(of.key(conclusionKind), conclusion)
	}
	return c.answer(conclusion)
}

// Disclosure reads one order and what came of it. Its holder and the regulators see it.
func (d *disclosureContract) Disclosure(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[DisclosureQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	of := orderName{holder: arg.Holder, regulator: arg.Regulator, id: arg.Order}
	if err := of.check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), d.clock, rights[DisclosureDisclosure])
	if err != nil {
		return "", err
	}
	s := c.wantDisclosure(of)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if err := c.seesOrders(of.holder); err != nil {
		return "", err
	}
	if s.order.doc == nil {
		return "", noOrder(of)
	}
	return c.answer(disclosure.Disclosure{Order: *s.order.doc, Answer: s.answer.doc, Conclusion: s.conclusion.doc})
}

// Disclosures reads a page of orders and what came of them.
func (d *disclosureContract) Disclosures(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[DisclosuresQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	for _, msp := range []string{arg.Holder, arg.Regulator} {
		if msp == "" {
			continue
		}
		if err := registry.CheckMSP(msp); err != nil {
			return "", err
		}
	}
	c, err := begin(ctx.GetStub(), d.clock, rights[DisclosureDisclosures])
	if err != nil {
		return "", err
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	if arg.Holder == "" && c.member().Kind != registry.Regulator {
		arg.Holder = c.msp
	}
	if arg.Holder == "" && arg.Regulator != "" {
		return "", refusal.New(refusal.Malformed, "a regulator without a holder", "naming the holder too, or neither")
	}
	if err := c.seesOrders(arg.Holder); err != nil {
		return "", err
	}
	var attributes []string
	for _, msp := range []string{arg.Holder, arg.Regulator} {
		if msp != "" {
			attributes = append(attributes, msp)
		}
	}
	p, err := readPage(c.stub, orderKind, attributes, arg.Bookmark, arg.Size)
	if err != nil {
		return "", err
	}
	result := DisclosurePage{Bookmark: p.bookmark}
	var slots []disclosureSlots
	for _, e := range p.entries {
		order, err := document[disclosure.Order](e)
		if err != nil {
			return "", err
		}
		of := orderName{holder: order.Holder, regulator: order.Regulator, id: order.ID}
		result.Disclosures = append(result.Disclosures, disclosure.Disclosure{Order: order})
		slots = append(slots, disclosureSlots{
			answer:     want[disclosure.Answer](&c.reading, of.key(answerKind)),
			conclusion: want[disclosure.Conclusion](&c.reading, of.key(conclusionKind)),
		})
	}
	if err := c.reading.fetch(c.stub); err != nil {
		return "", err
	}
	for i, s := range slots {
		result.Disclosures[i].Answer, result.Disclosures[i].Conclusion = s.answer.doc, s.conclusion.doc
	}
	return c.answer(result)
}
