package share

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/escrow"
	"yitong/gateway/keys"
	"yitong/gateway/vault"
)

// kept is what this member keeps of another one's record. Its share is opened from the
// message it came in: what was sealed to an HPKE key that is rotated away would be lost.
type kept struct {
	Custodian string          `json:"custodian"`
	Record    string          `json:"record"`
	Digest    record.Hash     `json:"digest"` // of the package, as the anchor has it
	Share     escrow.Share    `json:"share"`
	Package   *escrow.Package `json:"package,omitempty"` // regulators only
	Parts     []record.Part   `json:"parts,omitempty"`   // likewise
	// Found is under which handle it is indexed, by hospital and epoch; regulators only.
	Found map[string]string `json:"found,omitempty"`
}

func keptAs(custodian, recordID string) string { return custodian + "/" + recordID }

// Keep takes a deposit of the calling custodian, once it is what the ledger says: the
// anchor on this member's own peer names this package, the share is what the package
// commits to and, with a regulator, parts and sealed bytes are those that were anchored.
// What is kept already is acknowledged again. sealed reads the parts in order.
func (g *Gateway) Keep(ctx context.Context, custodian string, d Deposit, sealed func(part int) (io.Reader, error)) error {
	malformed := func(what string) error {
		return refusal.New(refusal.Malformed, "the deposit is refused: "+what, "a deposit of a record of the caller's, as it is anchored")
	}
	p := d.Package
	if p == nil || p.Check() != nil || access.CheckID(p.Record) != nil {
		return malformed("its package isn't one")
	}
	if p.Custodian != custodian {
		return refusal.New(refusal.NotCustodian, "the package is of "+p.Custodian, "a deposit of the caller's own records")
	}
	if !p.Holds(g.Self.MSP) {
		return malformed(g.Self.MSP + " holds no share of it")
	}
	from, err := g.members.byMSP(ctx, custodian)
	if err != nil {
		return err
	}
	if from.Kind != registry.Hospital || !from.Active() {
		return refusal.New(refusal.KindNotAllowed, from.Name+" is no active hospital", "a deposit by an active hospital")
	}
	defer g.records.lock(keptAs(custodian, p.Record))()
	known, ok, err := load[kept](g.Keys, bucketKept, keptAs(custodian, p.Record))
	if err != nil {
		return err
	}
	if ok && known.Digest == p.Digest() {
		return nil
	}
	if err := g.reach(ctx, d.Height); err != nil {
		return err
	}
	anchor, ok, err := g.anchorOf(ctx, anchored{custodian, p.Record})
	switch {
	case err != nil:
		return err
	case !ok:
		return refusal.New(refusal.NotFound, "the ledger has no record "+p.Record+" of "+custodian, "a record that is anchored first")
	case goneOf(&anchor).whole || len(goneOf(&anchor).parts) > 0:
		return refusal.New(refusal.WrongState, "record "+p.Record+" is retracted or erased", "a record that stands")
	case anchor.Escrow != p.Digest():
		return malformed("the anchor names another package")
	case anchor.Parts != len(p.Parts):
		return malformed("the package has another number of parts than the record")
	}
	k := kept{Custodian: custodian, Record: p.Record, Digest: p.Digest()}
	raw, err := g.openMessage(depositPlace(p, g.Self.MSP), d.Share)
	if err != nil {
		return malformed("the share can't be opened: " + err.Error())
	}
	defer clear(raw)
	if err := json.Unmarshal(raw, &k.Share); err != nil || k.Share.Holder != g.Self.MSP {
		return malformed("the share is not this member's")
	}
	if err := p.CheckShare(k.Share, upTo(len(p.Parts))); err != nil {
		return malformed(err.Error())
	}
	if p.IsRegulator(g.Self.MSP) {
		k.Package, k.Parts = p, d.Parts
		if err := anchoredParts(d.Parts, anchor); err != nil {
			return malformed(err.Error())
		}
		if err := g.keepSealed(ctx, k, sealed); err != nil {
			return err
		}
	}
	return g.keep(bucketKept, keptAs(custodian, p.Record), k)
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// anchoredParts holds all parts of a record against its anchor.
func anchoredParts(parts []record.Part, a record.Anchor) error {
	size := int64(0)
	for i, p := range parts {
		if p.Index != i || p.Validate() != nil {
			return fmt.Errorf("part %d is not one that could have been anchored", i)
		}
		size += p.SealedSize
	}
	if len(parts) != a.Parts || roughly(size) != a.Bytes || record.Root(record.Leaves(parts)) != a.Root {
		return errors.New("its parts are not those that were anchored")
	}
	return nil
}

// keepSealed takes the sealed parts into the vault, each only if it is what its leaf says.
func (g *Gateway) keepSealed(ctx context.Context, k kept, sealed func(part int) (io.Reader, error)) error {
	for _, p := range k.Parts {
		from, err := sealed(p.Index)
		if err != nil {
			return fmt.Errorf("receiving part %d of record %s: %w", p.Index, k.Record, err)
		}
		// A part that is there without its entry is what a broken deposit left behind.
		name := entrusted(k.Custodian, k.Record, p.Index)
		if err := g.Vault.Delete(ctx, name); err != nil {
			return err
		}
		err = g.Vault.Put(ctx, name, func(w io.Writer) error {
			h := sha256.New()
			n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(from, p.SealedSize+1))
			if err == nil && (n != p.SealedSize || record.Hash(h.Sum(nil)) != p.SealedDigest) {
				err = refusal.New(refusal.Malformed, fmt.Sprintf("the sealed bytes of part %d are not those that were anchored", p.Index), "the bytes as they were sealed")
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("keeping part %d of record %s: %w", p.Index, k.Record, err)
		}
	}
	return nil
}

// maxIndexed bounds how many records of one patient a regulator's index lists.
const maxIndexed = 1 << 14

// Find takes entries of the calling custodian's into this regulator's index.
func (g *Gateway) Find(ctx context.Context, custodian string, entries []IndexEntry) error {
	if g.Self.Kind != registry.Regulator {
		return refusal.New(refusal.KindNotAllowed, g.Self.Name+" keeps no index of others' records", "a regulator's gateway")
	}
	all, err := g.epochs(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		malformed := refusal.New(refusal.Malformed, "that is no entry of the index", "another hospital, its handle of the patient, and the record")
		if access.CheckHandle(e.Handle) != nil || access.CheckID(e.Record) != nil {
			return malformed
		}
		switch m, err := g.members.byMSP(ctx, e.Requester); {
		case refusedWith(err, refusal.NotFound):
			return malformed
		case err != nil:
			return err
		case m.Kind != registry.Hospital || m.MSP == custodian:
			return malformed
		}
		if epochOf(e.Handle) > all.Latest { // the caller's peer may be ahead
			if all, err = g.Epochs(ctx); err != nil {
				return err
			}
			if epochOf(e.Handle) > all.Latest {
				return malformed
			}
		}
	}
	return g.Keys.Update(func(tx *keys.Tx) error {
		for _, e := range entries {
			k, ok, err := load[kept](tx, bucketKept, keptAs(custodian, e.Record))
			if err != nil || !ok {
				return errors.Join(err, refusal.New(refusal.NotFound, "this member keeps no record "+e.Record+" of "+custodian, "the deposit first"))
			}
			name := custodian + "/" + e.Requester + "/" + e.Handle
			ids, _, err := load[[]string](tx, bucketEscrowIndex, name)
			if err != nil {
				return err
			}
			if slices.Contains(ids, e.Record) {
				continue
			}
			// One handle: else a custodian could have this key store grow by what it makes up.
			at := fmt.Sprintf("%s/%d", e.Requester, epochOf(e.Handle))
			if one, ok := k.Found[at]; ok && one != e.Handle {
				return refusal.New(refusal.Exists, "record "+e.Record+" is in the index under another handle of "+e.Requester, "one handle a hospital and epoch")
			}
			if k.Found == nil {
				k.Found = map[string]string{}
			}
			k.Found[at] = e.Handle
			if err := save(tx, bucketKept, keptAs(custodian, e.Record), k); err != nil {
				return err
			}
			if len(ids) >= maxIndexed {
				return refusal.New(refusal.TooLarge, "the index lists too many records under one handle", fmt.Sprintf("at most %d", maxIndexed))
			}
			if err := save(tx, bucketEscrowIndex, name, append(ids, e.Record)); err != nil {
				return err
			}
		}
		return nil
	})
}

// keepsSealed lists the sealed parts that this member keeps for others.
func (g *Gateway) keepsSealed() (map[vault.Name]bool, error) {
	all, err := g.Keys.List(bucketKept)
	if err != nil {
		return nil, fmt.Errorf("reading what is kept in escrow: %w", err)
	}
	names := map[vault.Name]bool{}
	for _, raw := range all {
		var k kept
		if err := json.Unmarshal(raw, &k); err != nil {
			return nil, fmt.Errorf("reading what is kept in escrow: %w", err)
		}
		for _, p := range k.Parts {
			names[entrusted(k.Custodian, k.Record, p.Index)] = true
		}
	}
	return names, nil
}

// Alive returns nil if this gateway could release now: its view of the ledger is fresh
// and its peer answers.
func (g *Gateway) Alive(ctx context.Context) error {
	if err := g.Current(); err != nil {
		return err
	}
	_, err := g.Ledger.Height(ctx)
	return err
}
