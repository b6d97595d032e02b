package share

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
)

// A requester's gateway keeps nothing of what it opens: contents go through it to the
// member's own software. It keeps which parts those were, and so knows, once a custodian
// erases them, whether this member has copies:
//
//	none   nothing of what is erased was ever opened here: the gateway acknowledges by itself
//	some   the member's software finds the record among the Notices, deletes its copies, or
//	       retains them where the law has it, and says so (Acknowledge); only then does the
//	       gateway put its word on the ledger
//
// No custodian is believed: a notice only has the gateway look at the anchor on its own peer.
// It looks by itself, too (CheckOpened), so that a custodian that can't or won't tell is told
// by its own tombstone.

// copied is what this member has opened of one record.
type copied struct {
	Custodian string         `json:"custodian"` // MSP id
	Record    string         `json:"record"`
	Parts     []int          `json:"parts"` // ascending
	Opened    record.Instant `json:"opened,omitzero"`

	Notice *record.Erasure `json:"notice,omitempty"` // the tombstone that waits for this member's word
	Gone   []int           `json:"gone,omitempty"`   // of Parts, what it is about
	Word   *word           `json:"word,omitempty"`   // this member's, on its way to the ledger

	Acknowledged int           `json:"acknowledged,omitzero"` // newest erasure that is done with
	Retained     []int         `json:"retained,omitempty"`    // of Parts, what the law has this member keep
	Ground       record.Ground `json:"ground,omitempty"`      // why
}

// word is what this member says became of its copies.
type word struct {
	Fate   record.Fate   `json:"fate"`
	Ground record.Ground `json:"ground,omitempty"`

	access.Actor // whose it is
}

func copyOf(custodian, recordID string) string { return custodian + "/" + recordID }

// noteOpened notes what is about to be opened, before any of it is handed out.
func (g *Gateway) noteOpened(ctx context.Context, m *seal.Manifest) error {
	_, err := g.noting.do(ctx, m)
	return err
}

func (g *Gateway) noteAll(_ context.Context, manifests []*seal.Manifest) []outcome[struct{}] {
	results := make([]outcome[struct{}], len(manifests))
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for _, m := range manifests {
			for _, r := range m.Records {
				if err := g.noteCopy(tx, m.Custodian, r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		for i := range results {
			results[i].err = fmt.Errorf("noting what is opened: %w", err)
		}
	}
	return results
}

func (g *Gateway) noteCopy(tx *keys.Tx, custodian string, r seal.Content) error {
	name := copyOf(custodian, r.Anchor)
	c, ok, err := load[copied](tx, bucketOpened, name)
	if err != nil {
		return err
	}
	parts := slices.Clone(c.Parts)
	for _, s := range r.Parts {
		parts = append(parts, s.Part.Index)
	}
	parts = slices.Compact(slices.Sorted(slices.Values(parts)))
	if ok && slices.Equal(parts, c.Parts) {
		return nil
	}
	c.Custodian, c.Record, c.Parts, c.Opened = custodian, r.Anchor, parts, g.now()
	c.Acknowledged = 0 // what is new may have been erased while it was on its way
	return save(tx, bucketOpened, name, c)
}

// NoticeOf is a record that the member's software is to delete its copies of.
type NoticeOf struct {
	Custodian string // MSP id
	Record    string // id
	Parts     []int  // that were opened and are erased
	Opened    record.Instant
	Erasure   int // number
	Reason    record.Reason
	Erased    record.Instant
	Sent      bool // the software's word is on its way to the ledger
}

// Notices lists what this member's software is to delete, by custodian and record.
func (g *Gateway) Notices() ([]NoticeOf, error) {
	all, err := list[copied](g.Keys, bucketOpened)
	if err != nil {
		return nil, err
	}
	var notices []NoticeOf
	for _, c := range all {
		if c.Notice != nil && len(c.Gone) > 0 {
			notices = append(notices, NoticeOf{
				Custodian: c.Custodian, Record: c.Record, Parts: c.Gone, Opened: c.Opened,
				Erasure: c.Notice.Number, Reason: c.Notice.Reason, Erased: c.Notice.At, Sent: c.Word != nil,
			})
		}
	}
	slices.SortFunc(notices, func(a, b NoticeOf) int {
		return cmp.Or(cmp.Compare(a.Custodian, b.Custodian), cmp.Compare(a.Record, b.Record))
	})
	return notices, nil
}

// Erased is a custodian's notice that something of its record is erased. It is held against
// the anchor on this member's own peer.
//
// Refusals: malformed, wrong-state (the own peer's anchor doesn't say so).
func (g *Gateway) Erased(ctx context.Context, custodian string, n Notice) error {
	if err := access.CheckID(n.Record); err != nil {
		return err
	}
	if n.Height > 0 {
		if err := g.reach(ctx, n.Height); err != nil {
			return err
		}
	}
	anchor, ok, err := g.anchorOf(ctx, anchored{custodian, n.Record})
	if err != nil {
		return err
	}
	if !ok || anchor.Erasure == nil || anchor.Erasure.Number < n.Erasure {
		return refusal.New(refusal.WrongState, "the ledger doesn't say that this is erased", "a notice after the tombstone is on the ledger")
	}
	return g.notice(ctx, anchor)
}

// notice takes note of a tombstone that this member's own peer has.
func (g *Gateway) notice(ctx context.Context, a record.Anchor) error {
	// This gateway's own copy goes at once: no word that it is deleted is true before.
	if err := g.dropErased(ctx, a); err != nil {
		return fmt.Errorf("deleting what is kept of record %s: %w", a.ID, err)
	}
	name := copyOf(a.Custodian, a.ID)
	defer g.copies.lock(name)()
	known := false
	c, err := g.amendCopy(name, func(c *copied) {
		c.Custodian, c.Record = a.Custodian, a.ID
		if known = a.Erasure.Number <= c.Acknowledged || c.Notice != nil && a.Erasure.Number <= c.Notice.Number; known {
			return
		}
		c.Notice, c.Gone, c.Word = a.Erasure, nil, nil
		for _, p := range c.Parts {
			if a.Erasure.Covers(p) {
				c.Gone = append(c.Gone, p)
			}
		}
		switch {
		case len(c.Gone) == 0: // nothing of it is here
			c.Word = &word{Fate: record.Deleted}
		case slices.Equal(c.Gone, c.Retained): // nothing new of it
			c.Word = &word{Fate: record.Retained, Ground: c.Ground}
		}
	})
	switch {
	case err != nil || known:
		return err
	case c.Word == nil:
		g.Log.Warn("a custodian erased what this member had opened: delete the copies, and acknowledge", "custodian", c.Custodian, "record", c.Record, "parts", len(c.Gone), "reason", c.Notice.Reason)
		return nil
	}
	if _, _, err := g.sendWord(ctx, c); err != nil {
		g.Log.Warn("an acknowledgement is not on the ledger yet", "custodian", c.Custodian, "record", c.Record, "error", err)
	}
	return nil
}

// amendCopy changes what is noted of one record's copies. That an erasure is done with stays
// noted, or every further notice of it would make a transaction.
func (g *Gateway) amendCopy(name string, change func(*copied)) (c copied, err error) {
	err = g.Keys.Update(func(tx *keys.Tx) error {
		if c, _, err = load[copied](tx, bucketOpened, name); err != nil {
			return err
		}
		change(&c)
		return save(tx, bucketOpened, name, c)
	})
	if err != nil {
		return c, fmt.Errorf("writing %s to the key store: %w", bucketOpened, err)
	}
	return c, nil
}

// Acknowledge says on the ledger what became of this member's copies of an erased record: they
// are deleted, or the law has it retain them. It is the word of the member's own software,
// which holds the copies. What was retained may be deleted later.
//
// Refusals: not-found (there is no such notice), malformed.
func (g *Gateway) Acknowledge(ctx context.Context, custodian, recordID string, fate record.Fate, ground record.Ground) (record.Acknowledgement, ledger.Commit, error) {
	var none record.Acknowledgement
	holder, err := g.members.named(ctx, custodian)
	if err != nil {
		return none, ledger.Commit{}, err
	}
	name := copyOf(holder.MSP, recordID)
	defer g.copies.lock(name)()
	before, _, err := load[copied](g.Keys, bucketOpened, name)
	if err != nil {
		return none, ledger.Commit{}, err
	}
	if before.Notice == nil && len(before.Retained) == 0 {
		return none, ledger.Commit{}, refusal.New(refusal.NotFound, "there is no notice that record "+recordID+" of "+holder.Name+" is erased", "a record among the notices")
	}
	number := before.Acknowledged
	if before.Notice != nil {
		number = before.Notice.Number
	}
	// The ledger's own rule, before the word is kept.
	stand := record.Anchor{ID: recordID, Custodian: holder.MSP, Erasure: &record.Erasure{Number: number}}
	if _, err := stand.Acknowledge(g.Self.MSP, number, fate, ground, nil, g.now()); err != nil {
		return none, ledger.Commit{}, err
	}
	by, err := g.actor(ctx, recordID, doneAcking)
	if err != nil {
		return none, ledger.Commit{}, err
	}
	c, err := g.amendCopy(name, func(c *copied) {
		if c.Notice == nil { // retained until now
			c.Notice, c.Gone = &record.Erasure{Number: number}, c.Retained
		}
		c.Word = &word{fate, ground, by}
	})
	if err != nil {
		return none, ledger.Commit{}, err
	}
	return g.sendWord(ctx, c)
}

// sendWord puts a kept word on the ledger, and then forgets what is done with. The caller holds
// the copy's lock.
func (g *Gateway) sendWord(ctx context.Context, sent copied) (record.Acknowledgement, ledger.Commit, error) {
	name := copyOf(sent.Custodian, sent.Record)
	var ack record.Acknowledgement
	in := contract.Acknowledging{Custodian: sent.Custodian, ID: sent.Record, Erasure: sent.Notice.Number, Fate: sent.Word.Fate, Ground: sent.Word.Ground, Actor: sent.Word.Actor}
	commit, err := g.Ledger.Submit(ctx, contract.RecordAcknowledge, in, &ack)
	switch {
	case refusedAtAll(err): // it will never be taken: the software is asked again
		_, kerr := g.amendCopy(name, func(c *copied) { c.Word = nil })
		return ack, commit, errors.Join(err, kerr)
	case err != nil:
		return ack, commit, fmt.Errorf("acknowledging the erasure of record %s: %w", sent.Record, err)
	}
	_, err = g.amendCopy(name, func(c *copied) {
		c.Retained, c.Ground = nil, ""
		if sent.Word.Fate == record.Retained {
			c.Retained, c.Ground = sent.Gone, sent.Word.Ground
		} else {
			c.Parts = slices.DeleteFunc(c.Parts, func(p int) bool { return slices.Contains(sent.Gone, p) })
		}
		c.Acknowledged, c.Notice, c.Gone, c.Word = sent.Notice.Number, nil, nil, nil
	})
	return ack, commit, err
}

// CheckOpened looks on the own peer whether anything is erased that this member has opened, and
// sends the words that aren't on the ledger yet.
func (g *Gateway) CheckOpened(ctx context.Context) error {
	if g.Self.Kind == registry.Regulator {
		return nil
	}
	all, err := list[copied](g.Keys, bucketOpened)
	if err != nil {
		return err
	}
	maps.DeleteFunc(all, func(_ string, c copied) bool { return len(c.Parts) == 0 && c.Notice == nil })
	var failed error
	for some := range slices.Chunk(slices.Sorted(maps.Keys(all)), batchSize) {
		names := make([]anchored, len(some))
		for i, name := range some {
			names[i] = anchored{all[name].Custodian, all[name].Record}
		}
		for i, found := range g.anchorsOf(ctx, names) {
			failed = errors.Join(failed, found.err)
			if a := found.value; a != nil && a.Erasure != nil {
				failed = errors.Join(failed, g.notice(ctx, *a), g.resend(ctx, some[i]))
			}
		}
	}
	return failed
}

func (g *Gateway) resend(ctx context.Context, name string) error {
	defer g.copies.lock(name)()
	c, ok, err := load[copied](g.Keys, bucketOpened, name)
	if err != nil || !ok || c.Word == nil {
		return err
	}
	_, _, err = g.sendWord(ctx, c)
	return err
}
