package contract

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

type recordContract struct {
	contractapi.Contract
	clock Clock
}

// Anchor anchors records of the caller's, all or none. A record anchored already is
// answered with what is recorded if it says the same.
func (r *recordContract) Anchor(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Anchoring](argument, MaxBatchDocument)
	if err != nil {
		return "", err
	}
	if err := checkBatch(len(arg.Records), "records"); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RecordAnchor])
	if err != nil {
		return "", err
	}
	roster := want[registry.Roster](&c.reading, key(rosterKind))
	slots := make([]anchorSlots, len(arg.Records))
	named := map[string]bool{}
	for i, draft := range arg.Records {
		ids := []string{draft.ID}
		if draft.Supersedes != "" {
			ids = append(ids, draft.Supersedes)
		}
		if err := checkNamedOnce(ids, named); err != nil {
			return "", err
		}
		if err := draft.Actor.Check(); err != nil {
			return "", err
		}
		slots[i].present = want[RecordState](&c.reading, recordKey(c.msp, draft.ID))
		if draft.Supersedes != "" {
			slots[i].old = want[RecordState](&c.reading, recordKey(c.msp, draft.Supersedes))
		}
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	policy, err := countersign(roster.or(nil), c.msp)
	if err != nil {
		return "", err
	}
	var list AnchorList
	for i, draft := range arg.Records {
		anchor, err := c.anchor(draft, slots[i], policy)
		if err != nil {
			return "", err
		}
		list.Records = append(list.Records, anchor)
	}
	if len(c.writes) > 0 {
		c.countersigned()
	}
	return c.answer(list)
}

// checkNamedOnce refuses (malformed) an id that isn't one, and one that the batch has
// named before: what its own transaction writes, a function can't read.
func checkNamedOnce(ids []string, named map[string]bool) error {
	for _, id := range ids {
		if err := access.CheckID(id); err != nil {
			return err
		}
		if named[id] {
			return refusal.New(refusal.Malformed, id+" occurs twice", "each id once in a batch")
		}
		named[id] = true
	}
	return nil
}

type anchorSlots struct {
	present *slot[RecordState]
	old     *slot[RecordState] // superseded by it; nil if none is
}

func (c *call) anchor(draft AnchorDraft, s anchorSlots, policy []byte) (record.Anchor, error) {
	if p := s.present.doc; p != nil {
		if p.Status == record.Erased {
			return record.Anchor{}, p.Gone()
		}
		if p.Root == draft.Root && p.Parts == draft.Parts && p.Bytes == draft.Bytes && p.Supersedes == draft.Supersedes && p.Escrow == draft.Escrow {
			return p.Anchor, nil
		}
		return record.Anchor{}, refusal.New(refusal.Exists, "record "+draft.ID+" is anchored with other content", "a new id")
	}
	anchor, err := record.New(draft.ID, c.msp, draft.Root, draft.Parts, draft.Bytes, c.at)
	if err != nil {
		return record.Anchor{}, err
	}
	anchor.Escrow = draft.Escrow
	if draft.Supersedes != "" {
		if s.old.doc == nil {
			return record.Anchor{}, refusal.New(refusal.NotFound, "record "+draft.Supersedes+" is not anchored", "superseding a record of yours")
		}
		var old record.Anchor
		if old, anchor, err = record.Supersede(s.old.doc.Anchor, anchor, c.at); err != nil {
			return record.Anchor{}, err
		}
		c.put(recordKey(c.msp, old.ID), RecordState{old, draft.Actor})
	}
	c.create(recordKey(c.msp, anchor.ID), RecordState{anchor, draft.Actor}, policy)
	return anchor, nil
}

// Retract ends a record of the caller's. Retracted for the same reason already, it is
// answered with what is recorded.
func (r *recordContract) Retract(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Retraction](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := access.CheckID(arg.ID); err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RecordRetract])
	if err != nil {
		return "", err
	}
	present := want[RecordState](&c.reading, recordKey(c.msp, arg.ID))
	if err := c.fetch(); err != nil {
		return "", err
	}
	if present.doc == nil {
		return "", refusal.New(refusal.NotFound, "record "+arg.ID+" is not anchored by "+c.msp, "retracting a record of yours")
	}
	if present.doc.Status == record.Retracted && present.doc.Reason == arg.Reason {
		return c.answer(present.doc.Anchor)
	}
	retracted, err := present.doc.Retract(c.msp, arg.Reason, c.at)
	if err != nil {
		return "", err
	}
	c.put(recordKey(c.msp, arg.ID), RecordState{retracted, arg.Actor})
	return c.answer(retracted)
}

// Record reads one anchor. Any member may: an anchor tells nothing but that a record is
// there, and whoever was released one verifies it by its anchor.
func (r *recordContract) Record(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[RecordQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := registry.CheckMSP(arg.Custodian); err != nil {
		return "", err
	}
	if err := access.CheckID(arg.ID); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RecordRecord])
	if err != nil {
		return "", err
	}
	anchor := want[record.Anchor](&c.reading, recordKey(arg.Custodian, arg.ID))
	if err := c.fetch(); err != nil {
		return "", err
	}
	if anchor.doc == nil {
		return "", refusal.New(refusal.NotFound, "record "+arg.ID+" is not anchored by "+arg.Custodian, "an anchored record")
	}
	return c.answer(*anchor.doc)
}

// Anchors reads anchors of one custodian by their ids, for any member as Record does: who
// verifies many releases at once asks once.
func (r *recordContract) Anchors(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[AnchorQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := registry.CheckMSP(arg.Custodian); err != nil {
		return "", err
	}
	if err := checkBatch(len(arg.IDs), "ids"); err != nil {
		return "", err
	}
	if err := checkNamedOnce(arg.IDs, map[string]bool{}); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RecordAnchors])
	if err != nil {
		return "", err
	}
	anchors := make([]*slot[record.Anchor], len(arg.IDs))
	for i, id := range arg.IDs {
		anchors[i] = want[record.Anchor](&c.reading, recordKey(arg.Custodian, id))
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	list := AnchorList{Records: []record.Anchor{}}
	for _, anchor := range anchors {
		if anchor.doc != nil {
			list.Records = append(list.Records, *anchor.doc)
		}
	}
	return c.answer(list)
}

// Records reads a page of a custodian's anchors, for itself or a regulator.
func (r *recordContract) Records(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[RecordsQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := registry.CheckMSP(arg.Custodian); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), r.clock, rights[RecordRecords])
	if err != nil {
		return "", err
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	if c.member().Kind != registry.Regulator && c.msp != arg.Custodian {
		return "", refusal.New(refusal.NotCustodian, "these are another custodian's records", "your own, or a single record")
	}
	p, err := readPage(c.stub, recordKind, []string{arg.Custodian}, arg.Bookmark, arg.Size)
	if err != nil {
		return "", err
	}
	result := AnchorPage{Bookmark: p.bookmark}
	for _, e := range p.entries {
		var anchor record.Anchor
		if err := json.Unmarshal(e.Value, &anchor); err != nil {
			return "", fmt.Errorf("read page: decode %q: %w", e.Key, err)
		}
		result.Records = append(result.Records, anchor)
	}
	return c.answer(result)
}

// checkBatch refuses (malformed, too-large) an empty and an overlong batch.
func checkBatch(n int, what string) error {
	allowed := fmt.Sprintf("1 to %d %s", MaxBatch, what)
	switch {
	case n == 0:
		return refusal.New(refusal.Malformed, "the batch is empty", allowed)
	case n > MaxBatch:
		return refusal.New(refusal.TooLarge, fmt.Sprintf("a batch of %d %s", n, what), allowed)
	}
	return nil
}
