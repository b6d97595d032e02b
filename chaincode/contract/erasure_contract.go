package contract

import (
	"slices"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

func holdKey(msp, id string) string { return key(holdKind, msp, id) }

func erasedKey(msp, id, requester string) string { return key(erasedKind, msp, id, requester) }

// Erase puts the tombstone on parts, or all, of a record of the caller's. What is erased already is
// answered with what is recorded. It reads the record's holds, so that of an erasure and a hold in one
// block the second finds the first.
func (r *recordContract) Erase(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Erasing](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := access.CheckID(arg.ID); err != nil {
		return "", err
	}
	if arg.Parts != nil && len(arg.Parts) == 0 { // no word for the whole record: it would be gone for good
		return "", refusal.New(refusal.Malformed, "the list of parts is empty", "the indices of the parts to erase; leaving the list out for the whole record")
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RecordErase])
	if err != nil {
		return "", err
	}
	present := want[RecordState](&c.reading, recordKey(c.msp, arg.ID))
	holds := want[record.Holds](&c.reading, holdKey(c.msp, arg.ID))
	if err := c.fetch(); err != nil {
		return "", err
	}
	if present.doc == nil {
		return "", notAnchored(c.msp, arg.ID)
	}
	erased, err := present.doc.Erase(c.msp, arg.Parts, arg.Reason, holds.or(nil), c.at)
	if err != nil {
		return "", err
	}
	if erased.Erasure != present.doc.Erasure {
		c.put(recordKey(c.msp, arg.ID), RecordState{erased, arg.Actor})
	}
	return c.answer(erased)
}

func notAnchored(custodian, id string) error {
	return refusal.New(refusal.NotFound, "record "+id+" is not anchored by "+custodian, "an anchored record of its custodian's")
}

// held is a record and its holds, for a regulator to change.
type held struct {
	key    string
	record *slot[record.Anchor]
	holds  *slot[record.Holds]
}

func (c *call) fetchHeld(custodian, id string) (held, error) {
	if err := registry.CheckMSP(custodian); err != nil {
		return held{}, err
	}
	if err := access.CheckID(id); err != nil {
		return held{}, err
	}
	h := held{
		key:    holdKey(custodian, id),
		record: want[record.Anchor](&c.reading, recordKey(custodian, id)),
		holds:  want[record.Holds](&c.reading, holdKey(custodian, id)),
	}
	if err := c.fetch(); err != nil {
		return h, err
	}
	if h.record.doc == nil {
		return h, notAnchored(custodian, id)
	}
	return h, nil
}

// Hold puts a legal hold of the calling regulator's on a record. The majority endorses: the custodian,
// whom it binds, must not be able to prevent it.
func (r *recordContract) Hold(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Holding](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	if err := registry.CheckCode(arg.Reason); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RecordHold])
	if err != nil {
		return "", err
	}
	h, err := c.fetchHeld(arg.Custodian, arg.ID)
	if err != nil {
		return "", err
	}
	before := h.holds.or(nil)
	after, err := before.Put(*h.record.doc, record.Hold{Regulator: c.msp, Reason: arg.Reason, Until: arg.Until}, c.at)
	if err != nil {
		return "", err
	}
	if !slices.Equal(before, after) {
		c.put(h.key, after)
	}
	return c.answer(HoldList{Holds: after})
}

// Unhold lifts the calling regulator's hold. One that isn't there is lifted already.
func (r *recordContract) Unhold(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Unholding](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RecordUnhold])
	if err != nil {
		return "", err
	}
	h, err := c.fetchHeld(arg.Custodian, arg.ID)
	if err != nil {
		return "", err
	}
	before := h.holds.or(nil)
	after := before.Lift(c.msp)
	switch {
	case len(after) == len(before):
	case len(after) == 0:
		c.delete(h.key)
	default:
		c.put(h.key, after)
	}
	return c.answer(HoldList{Holds: append(record.Holds{}, after...)})
}

// Acknowledge records the calling requester's word on a record's erasures.
func (r *recordContract) Acknowledge(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Acknowledging](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	if err := registry.CheckMSP(arg.Custodian); err != nil {
		return "", err
	}
	if err := access.CheckID(arg.ID); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RecordAcknowledge])
	if err != nil {
		return "", err
	}
	present := want[record.Anchor](&c.reading, recordKey(arg.Custodian, arg.ID))
	prior := want[record.Acknowledgement](&c.reading, erasedKey(arg.Custodian, arg.ID, c.msp))
	if err := c.fetch(); err != nil {
		return "", err
	}
	if present.doc == nil {
		return "", notAnchored(arg.Custodian, arg.ID)
	}
	word, err := present.doc.Acknowledge(c.msp, arg.Erasure, arg.Fate, arg.Ground, prior.doc, c.at)
	if err != nil {
		return "", err
	}
	if prior.doc == nil || word != *prior.doc {
		c.put(erasedKey(arg.Custodian, arg.ID, c.msp), word)
	}
	return c.answer(word)
}

// Holds reads the holds on a custodian's records, for itself or a regulator.
func (r *recordContract) Holds(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[HoldsQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	c, attributes, err := r.ofRecords(ctx, RecordHolds, arg.Custodian, arg.ID)
	if err != nil {
		return "", err
	}
	if c.member().Kind != registry.Regulator && c.msp != arg.Custodian {
		return "", refusal.New(refusal.NotCustodian, "these are holds on another custodian's records", "those on your own")
	}
	p, err := readPage(c.stub, holdKind, attributes, arg.Bookmark, arg.Size)
	if err != nil {
		return "", err
	}
	result := HoldPage{Holds: record.Holds{}, Bookmark: p.bookmark}
	for _, e := range p.entries {
		holds, err := document[record.Holds](e)
		if err != nil {
			return "", err
		}
		result.Holds = append(result.Holds, holds...)
	}
	return c.answer(result)
}

// Acknowledgements reads what requesters said to erasures.
func (r *recordContract) Acknowledgements(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[AcknowledgementsQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	c, attributes, err := r.ofRecords(ctx, RecordAcknowledgements, arg.Custodian, arg.ID)
	if err != nil {
		return "", err
	}
	if c.member().Kind != registry.Regulator && c.msp != arg.Custodian {
		if arg.ID == "" {
			return "", refusal.New(refusal.NotCustodian, "these are acknowledgements to another custodian", "your own, on a single record")
		}
		attributes = append(attributes, c.msp)
	}
	p, err := readPage(c.stub, erasedKind, attributes, arg.Bookmark, arg.Size)
	if err != nil {
		return "", err
	}
	result := AcknowledgementPage{Acknowledgements: []record.Acknowledgement{}, Bookmark: p.bookmark}
	for _, e := range p.entries {
		word, err := document[record.Acknowledgement](e)
		if err != nil {
			return "", err
		}
		result.Acknowledgements = append(result.Acknowledgements, word)
	}
	return c.answer(result)
}

// ofRecords opens a query about a custodian's records, or one of them.
func (r *recordContract) ofRecords(ctx *contractapi.TransactionContext, function, custodian, id string) (*call, []string, error) {
	if err := registry.CheckMSP(custodian); err != nil {
		return nil, nil, err
	}
	attributes := []string{custodian}
	if id != "" {
		if err := access.CheckID(id); err != nil {
			return nil, nil, err
		}
		attributes = append(attributes, id)
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[function])
	if err != nil {
		return nil, nil, err
	}
	return c, attributes, c.fetch()
}
