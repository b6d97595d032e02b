package share

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/failpoint"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
)

// Erasing a record, or parts of it, is a row of steps, each of which can be taken again:
//
//	intended     what is to be erased is kept in the key store
//	tombstoned   the ledger has the tombstone, or refused: then nothing happened
//	destroyed    the part keys are deleted, and with them what was known of the parts
//	overwritten  no place in the key store's file holds them any more
//	deleted      the sealed parts are gone from the vault
//	             escrow is told, requesters are told, requesters acknowledge
//
// The ledger comes before the keys: once it refuses, because a regulator holds the record,
// everything is still there. The keys come before the sealed parts: these are worth nothing
// without them, whatever becomes of the vault and its backups. Whatever is cut short goes on
// by itself (Recall), so every crash ends in the same.
type step string

const (
	intended    step = "intended"
	tombstoned  step = "tombstoned"
	destroyed   step = "destroyed"
	overwritten step = "overwritten"
	deleted     step = "deleted"
)

// erasing is a record of which erasures aren't done with: not carried out, or not
// acknowledged by all who had opened what is gone.
type erasing struct {
	Record string               `json:"record"`
	Intent *intent              `json:"intent,omitempty"` // under way here
	Escrow *intent              `json:"escrow,omitempty"` // that escrow is still to be told of
	Told   map[string]*notified `json:"told,omitempty"`   // requesters by MSP id
}

// intent is what is to be erased.
type intent struct {
	Parts  []int          `json:"parts"` // all of them by index, of the whole record too
	Whole  bool           `json:"whole"`
	Reason record.Reason  `json:"reason"`
	By     access.Actor   `json:"by,omitzero"` // who has it erased
	Step   step           `json:"step"`
	Anchor *record.Anchor `json:"anchor,omitempty"` // once tombstoned
	Commit ledger.Commit  `json:"commit,omitzero"`
}

// named are the parts as the ledger and escrow are told of them: none are all.
func (i intent) named() []int {
	if i.Whole {
		return nil
	}
	return i.Parts
}

// Erasure is what Erase did.
type Erasure struct {
	Record     record.Anchor
	Commit     ledger.Commit // zero where it was erased before
	Requesters []Informed    // who had been released what is gone, by MSP id
}

// Erase erases parts of one of this hospital's records, the whole of it if none are named:
// keys here and in escrow, sealed parts, and the requesters are told. When it returns nil,
// what is here can't be opened any more. What a requester has opened is beyond recall: it is
// asked to delete it, and to say so on the ledger.
//
// An error that is no refusal leaves the erasure to be completed in the background, or by the
// same call again.
//
// Refusals: not-found, malformed, wrong-state (not anchored yet), on-hold.
func (g *Gateway) Erase(ctx context.Context, id string, reason record.Reason, parts []int) (Erasure, error) {
	if _, err := g.ownRecord(id); err != nil {
		return Erasure{}, err
	}
	defer g.records.lock(id)()
	pending, _, err := load[erasing](g.Keys, bucketErasures, id)
	if err != nil {
		return Erasure{}, err
	}
	if pending.Intent != nil { // cut short; a refusal of that one is none of this one
		if err := g.carryOut(ctx, &pending); err != nil && !refusedAtAll(err) {
			return Erasure{}, fmt.Errorf("completing the erasure of record %s that was begun before: %w", id, err)
		}
	}
	c, err := g.ownRecord(id)
	if err != nil {
		return Erasure{}, err
	}
	pending.Record = id
	if pending.Intent, err = c.intend(g.Self.MSP, reason, parts, g.now()); err != nil {
		return Erasure{}, err
	}
	if pending.Intent == nil {
		return Erasure{Record: c.anchor(g.Self.MSP), Requesters: pending.informed()}, nil
	}
	if pending.Intent.By, err = g.actor(ctx, id, doneErasing); err != nil {
		return Erasure{}, err
	}
	if err := g.reached(&pending, intended); err != nil {
		return Erasure{}, err
	}
	of := pending.Intent
	if err := g.carryOut(ctx, &pending); err != nil {
		return Erasure{}, fmt.Errorf("erasing record %s: %w", id, err)
	}
	g.inform(ctx, &pending)
	return Erasure{Record: *of.Anchor, Commit: of.Commit, Requesters: pending.informed()}, nil
}

func refusedAtAll(err error) bool {
	var refused *refusal.Refusal
	return errors.As(err, &refused)
}

// intend checks what is to be erased by the ledger's own rule, but for holds, of which only
// the ledger knows. It returns nil where all of it is erased already.
func (c catalogued) intend(self string, reason record.Reason, parts []int, at record.Instant) (*intent, error) {
	if c.Status == "" {
		return nil, refusal.New(refusal.WrongState, "record "+c.ID+" is not anchored yet", "erasing it once it is, or submitting it again first")
	}
	parts = slices.Compact(slices.Sorted(slices.Values(parts)))
	before := c.anchor(self)
	after, err := before.Erase(self, parts, reason, nil, at)
	if err != nil || after.Erasure == before.Erasure {
		return nil, err
	}
	i := &intent{Parts: parts, Reason: reason, Whole: after.Status == record.Erased}
	if i.Whole {
		i.Parts = nil
		for _, p := range c.Parts {
			i.Parts = append(i.Parts, p.Index)
		}
	}
	return i, nil
}

// anchor is what the catalogue knows of a record's anchor.
func (c catalogued) anchor(self string) record.Anchor {
	return record.Anchor{ID: c.ID, Custodian: self, Parts: len(c.Parts), Status: c.Status, Supersedes: c.Supersedes, SupersededBy: c.SupersededBy, Erasure: c.Erasure}
}

// gone is the refusal of what needs the record.
func (c catalogued) gone(self string) error { return c.anchor(self).Gone() }

// refuseGone refuses (erased) a manifest with a part that is erased, or about to be.
func (g *Gateway) refuseGone(m *seal.Manifest) error {
	for _, r := range m.Records {
		c, _, err := load[catalogued](g.Keys, bucketRecords, r.Anchor)
		if err != nil {
			return err
		}
		going, err := g.going(c)
		if err != nil {
			return err
		}
		for _, s := range r.Parts {
			if going(s.Part.Index) {
				return refusal.New(record.Gone, fmt.Sprintf("part %d of record %s is erased since this was released", s.Part.Index, r.Anchor), "a new request; it gives what is left")
			}
		}
	}
	return nil
}

// going tells which parts of a record are erased, or about to be.
func (g *Gateway) going(c catalogued) (func(part int) bool, error) {
	e, _, err := load[erasing](g.Keys, bucketErasures, c.ID)
	if err != nil {
		return nil, err
	}
	return func(part int) bool {
		return c.Erasure.Covers(part) || e.Intent != nil && slices.Contains(e.Intent.Parts, part)
	}, nil
}

// carryOut takes the steps that are left of an intent. The caller holds the record's lock. A
// refusal by the ledger ends the intent.
func (g *Gateway) carryOut(ctx context.Context, e *erasing) error {
	for e.Intent != nil {
		var err error
		switch e.Intent.Step {
		case intended:
			err = g.tombstone(ctx, e)
		case tombstoned:
			err = g.destroyKeys(ctx, e)
		case destroyed:
			if err = g.Keys.Scrub(); err == nil {
				err = g.reached(e, overwritten)
			}
		case overwritten:
			if err = g.deleteSealed(ctx, e); err == nil {
				err = g.reached(e, deleted)
			}
		default:
			err = g.handOver(ctx, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reached keeps how far an erasure has come.
func (g *Gateway) reached(e *erasing, s step) error {
	if err := g.interrupted("before " + s); err != nil {
		return err
	}
	e.Intent.Step = s
	if err := g.keep(bucketErasures, e.Record, e); err != nil {
		return err
	}
	return g.interrupted("after " + s)
}

// interrupted is where a test cuts an erasure short.
func (g *Gateway) interrupted(at step) error {
	failpoint.Reach("erase: " + string(at))
	if g.interrupt == nil {
		return nil
	}
	return g.interrupt(string(at))
}

// tombstone has the tombstone on the ledger when it returns nil.
func (g *Gateway) tombstone(ctx context.Context, e *erasing) error {
	var anchor record.Anchor
	in := contract.Erasing{ID: e.Record, Reason: e.Intent.Reason, Parts: e.Intent.named(), Actor: e.Intent.By}
	commit, err := g.Ledger.Submit(ctx, contract.RecordErase, in, &anchor)
	if refusedAtAll(err) {
		e.Intent = nil
		return errors.Join(err, g.keepOrForget(e))
	}
	if err != nil {
		return err
	}
	e.Intent.Anchor, e.Intent.Commit = &anchor, commit
	return g.reached(e, tombstoned)
}

// destroyKeys deletes the part keys and what the catalogue knew of the parts, and notes who
// has to be told, all at once.
func (g *Gateway) destroyKeys(ctx context.Context, e *erasing) error {
	members, err := g.members.all(ctx)
	if err != nil {
		return err
	}
	if err := g.interrupted("before " + destroyed); err != nil {
		return err
	}
	err = g.Keys.Update(func(tx *keys.Tx) error {
		for _, p := range e.Intent.Parts {
			if err := tx.Delete(bucketPartKeys, object(e.Record, p)); err != nil {
				return err
			}
		}
		for _, m := range members {
			if err := e.address(tx, m.MSP); err != nil {
				return err
			}
		}
		err := amendRecord(tx, e.Record, func(c *catalogued) { c.empty(*e.Intent.Anchor) })
		if err != nil {
			return err
		}
		if e.Intent.Whole {
			if err := tx.Delete(bucketWarned, e.Record); err != nil {
				return err
			}
		}
		e.Intent.Step = destroyed
		return save(tx, bucketErasures, e.Record, e)
	})
	if err != nil {
		return fmt.Errorf("destroying the keys of record %s: %w", e.Record, err)
	}
	return g.interrupted("after " + destroyed)
}

// address notes that a requester is to be told, if it was released any of the parts.
func (e *erasing) address(tx *keys.Tx, requester string) error {
	had, ok, err := load[[]int](tx, bucketReceivers, receiver(e.Record, requester))
	if err != nil || !ok {
		return err
	}
	if !slices.ContainsFunc(had, func(p int) bool { return slices.Contains(e.Intent.Parts, p) }) {
		return nil
	}
	if e.Told == nil {
		e.Told = map[string]*notified{}
	}
	n := &notified{Erasure: e.Intent.Anchor.Erasure.Number}
	if e.Intent.Commit.TxID != "" {
		n.Height = e.Intent.Commit.Block + 1
	}
	e.Told[requester] = n
	if e.Intent.Whole {
		return tx.Delete(bucketReceivers, receiver(e.Record, requester))
	}
	return nil
}

// empty takes out of a record's entry what is erased. Of the whole record it stays that there
// was one, whose, and when and why it was erased: the hospital has to be able to show that
// much. Of parts the fields of their leaves stay as well, without which nothing that is left
// could be proved to belong to the anchor.
func (c *catalogued) empty(a record.Anchor) {
	c.Status, c.Erasure = a.Status, a.Erasure
	c.Content, c.Size = record.Hash{}, 0 // of all that was submitted, and not salted
	for i := range c.Parts {
		if a.Erasure.Covers(c.Parts[i].Index) {
			c.Parts[i].Content = record.Hash{}
		}
	}
	if a.Status == record.Erased {
		c.Parts, c.MediaType = nil, ""
	}
}

func (g *Gateway) deleteSealed(ctx context.Context, e *erasing) error {
	for _, p := range e.Intent.Parts {
		if err := g.Vault.Delete(ctx, vault.NameOf(e.Record, p)); err != nil {
			return err
		}
	}
	return nil
}

// handOver ends what is done here: what is left is to tell escrow and the requesters.
func (g *Gateway) handOver(ctx context.Context, e *erasing) error {
	whole := e.Intent.Whole || e.Escrow != nil && e.Escrow.Whole
	parts := e.Intent.Parts
	if e.Escrow != nil {
		parts = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(parts), e.Escrow.Parts...))))
	}
	g.Log.Info("erased", "record", e.Record, "parts", len(e.Intent.Parts), "whole", whole, "reason", e.Intent.Reason, "tx", e.Intent.Commit.TxID, "requesters", len(e.Told))
	e.Escrow, e.Intent = &intent{Parts: parts, Whole: whole}, nil
	if err := g.keep(bucketErasures, e.Record, e); err != nil {
		return err
	}
	g.tellEscrow(ctx, e)
	return g.keepOrForget(e)
}

// tellEscrow has what lies in escrow erased. Who can't be told is told later.
func (g *Gateway) tellEscrow(ctx context.Context, e *erasing) {
	err := g.forgetEscrow(ctx, e.Record, e.Escrow.named())
	err = errors.Join(err, g.Keys.Scrub()) // shares may have waited here to be handed out
	if err != nil {
		g.Log.Warn("escrow has not forgotten an erased record yet", "record", e.Record, "error", err)
		return
	}
	e.Escrow = nil
}

// keepOrForget keeps an erasure until there is nothing more to do for it.
func (g *Gateway) keepOrForget(e *erasing) error {
	if e.Intent != nil || e.Escrow != nil || len(e.Told) > 0 {
		return g.keep(bucketErasures, e.Record, e)
	}
	if err := g.Keys.Delete(bucketErasures, e.Record); err != nil {
		return fmt.Errorf("writing %s to the key store: %w", bucketErasures, err)
	}
	return nil
}
