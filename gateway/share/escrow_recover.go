package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/escrow"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
)

// Recovered is what a regulator sends for a break-glass permit in the custodian's place.
type Recovered struct {
	Manifest *seal.Manifest    // without keys; its digest is the recovery's on the ledger
	Packages []*escrow.Package // of the manifest's records, in order
	Shares   seal.Message      // this regulator's, of the covered parts: []escrow.Share as JSON
	Commit   ledger.Commit     // of the recovery; zero where it was committed before
	vault    vault.Vault
}

// Sealed opens the sealed bytes of one part.
func (r *Recovered) Sealed(ctx context.Context, recordID string, part record.Part) (io.ReadCloser, error) {
	return r.vault.Open(ctx, entrusted(r.Manifest.Custodian, recordID, part.Index), vault.SumOf(part))
}

// RecoveryDelivery is a Recovered as the requester receives it.
type RecoveryDelivery interface {
	Delivery
	Packages() []*escrow.Package
	Shares() seal.Message
}

// ShareQuery asks a holder for its shares of what is recovered.
type ShareQuery struct {
	Custodian string
	Permit    string
	Manifest  *seal.Manifest // whose digest the recovery on the ledger carries
	Height    uint64         // blocks of the ledger that has the recovery
}

// recoveryPlace is what a holder's shares are encrypted for: this requester, this
// recovery, and nothing else.
func recoveryPlace(m *seal.Manifest, holder string) seal.Place {
	return seal.Place{Label: "yitong recovered shares v1", Fields: []string{
		m.Permit, m.Digest().String(), m.Custodian, m.Requester, holder, m.Expires.String(),
	}}
}

// aliveTime is how long a custodian has to show that it is there, before a regulator
// recovers its records in its place.
const aliveTime = 5 * time.Second

// RecoverFor opens to a requester, as a regulator, what a break-glass permit covers of a
// custodian that is out of reach. In order:
//
//  1. the permit is read from this member's own peer and holds by its own clock
//  2. the custodian doesn't answer this gateway either
//  3. the parts that it covers are chosen, and the choice is kept
//  4. the recovery that names the choice is committed
//  5. only then are this regulator's shares of those parts sent, and the sealed parts
//
// What (2) is worth: it keeps a requester from going round a custodian that is there. It
// can't tell a dead custodian from one that a network hides from this regulator; the
// permit has to hold either way, and the recovery is on the ledger.
func (g *Gateway) RecoverFor(ctx context.Context, requester, custodian, permit string, height uint64) (*Recovered, error) {
	if g.Self.Kind != registry.Regulator {
		return nil, refusal.New(refusal.KindNotAllowed, g.Self.Name+" is no regulator", "a recovery through a regulator's gateway")
	}
	if err := errors.Join(access.CheckID(permit), registry.CheckMSP(custodian)); err != nil {
		return nil, err
	}
	if err := g.Current(); err != nil {
		return nil, err
	}
	defer g.permits.lock(releaseName(custodian, requester, permit))()
	if err := g.reach(ctx, height); err != nil {
		return nil, err
	}
	entry, err := g.access(ctx, lookup{custodian: custodian, requester: requester, id: permit})
	if err != nil {
		return nil, err
	}
	of, err := g.members.byMSP(ctx, custodian)
	if err != nil {
		return nil, err
	}
	if err := g.permitStands(ctx, *entry.Access, entry.Review); err != nil {
		return nil, err
	}
	alive, cancel := context.WithTimeout(ctx, aliveTime)
	defer cancel()
	if g.Holders.Alive(alive, of) == nil {
		return nil, refusal.New(CustodianReachable, of.Name+" answers: what it holds isn't recovered from escrow", "asking "+of.Name+" for the keys")
	}
	r := &Recovered{vault: g.Vault}
	if r.Manifest, err = g.chooseKept(ctx, *entry.Access); err != nil {
		return nil, err
	}
	if r.Commit, err = g.commitRecovery(ctx, entry, r.Manifest); err != nil {
		return nil, fmt.Errorf("recovering under permit %s: %w", permit, err)
	}
	for _, c := range r.Manifest.Records {
		k, ok, err := load[kept](g.Keys, bucketKept, keptAs(custodian, c.Anchor))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, refusal.New(refusal.NotFound, "record "+c.Anchor+" is not kept in escrow any more", "a new request")
		}
		r.Packages = append(r.Packages, k.Package)
	}
	r.Shares, err = g.sharesFor(ctx, r.Manifest)
	return r, err
}

// permitStands refuses a permit under which nothing may be recovered: one that isn't
// break-glass, or that doesn't hold any more, by the rules of the chaincode and this
// gateway's own clock.
func (g *Gateway) permitStands(ctx context.Context, permit access.Access, review *access.Review) error {
	custodian, err := g.members.byMSP(ctx, permit.Custodian)
	if err != nil {
		return err
	}
	requester, err := g.members.byMSP(ctx, permit.Requester)
	if err != nil {
		return err
	}
	if !permit.BreakGlass() {
		return refusal.New(refusal.NotPermitted, "what is in escrow is opened under break-glass permits only", "a break-glass request by a hospital's clinician")
	}
	return permit.Standing(review, custodian, requester, g.now())
}

// chooseKept picks, of what this regulator keeps, the parts that a permit covers. The
// first choice is kept, so that every later recovery under the permit names the same.
func (g *Gateway) chooseKept(ctx context.Context, permit access.Access) (*seal.Manifest, error) {
	name := releaseName(permit.Custodian, permit.Requester, permit.ID)
	chosen, ok, err := load[seal.Manifest](g.Keys, bucketReleases, name)
	if err != nil || ok {
		return &chosen, err
	}
	ids, err := g.foundUnder(ctx, permit)
	if err != nil {
		return nil, err
	}
	m := seal.NewManifest(permit.ID, permit.Custodian, permit.Requester, permit.Expires)
	for _, id := range ids {
		k, ok, err := load[kept](g.Keys, bucketKept, keptAs(permit.Custodian, id))
		if err != nil {
			return nil, err
		}
		anchor, there, err := g.anchorOf(ctx, anchored{permit.Custodian, id})
		if err != nil {
			return nil, err
		}
		if !ok || !there || anchor.Status != record.Anchored || anchor.Escrow != k.Digest {
			continue
		}
		var covered []int
		for _, part := range k.Parts {
			if permit.Decision.Scope.Covers(part) && !anchor.Erasure.Covers(part.Index) {
				covered = append(covered, part.Index)
			}
		}
		if len(covered) > 0 {
			m.Add(id, k.Parts, covered)
		}
	}
	if len(m.Records) == 0 {
		return nil, refusal.New(refusal.NotFound, "nothing that this permit covers lies in escrow with "+g.Self.Name, "another regulator's gateway, or the custodian once it is back")
	}
	return m, g.keep(bucketReleases, name, m)
}

// commitRecovery has the recovery on the ledger, as this member's own peer has it, when it
// returns nil.
func (g *Gateway) commitRecovery(ctx context.Context, e contract.AccessEntry, m *seal.Manifest) (ledger.Commit, error) {
	digest := m.Digest().String()
	var commit ledger.Commit
	if e.Recovery == nil {
		in := contract.Recovering{Permit: m.Permit, Custodian: m.Custodian, Requester: m.Requester, Manifest: digest}
		var out access.Recovery
		var err error
		if commit, err = g.Ledger.Submit(ctx, contract.AccessRecover, in, &out); err != nil {
			return commit, err
		}
	}
	seen, err := g.recovered(ctx, m.Custodian, m.Requester, m.Permit)
	if err == nil && seen.Recovery.Manifest != digest {
		err = refusal.New(refusal.Exists, "the permit was recovered before this gateway's key store was restored, or by another regulator", "a new request")
	}
	return commit, err
}

// recovered waits until the own peer has the recovery of a permit.
func (g *Gateway) recovered(ctx context.Context, custodian, requester, permit string) (contract.RecoveryEntry, error) {
	var out contract.RecoveryEntry
	in := contract.RecoveryQuery{Permit: permit, Custodian: custodian, Requester: requester}
	err := g.await(ctx, func(ctx context.Context) (done bool, err error) {
		out, err = g.recovery(ctx, in)
		if refusedWith(err, refusal.NotFound) {
			return false, nil
		}
		return err == nil, err
	})
	if errors.Is(err, errBehind) {
		return out, refusal.New(refusal.NotFound, "this member's peer has no recovery of permit "+permit, "a recovery that a regulator commits first")
	}
	return out, err
}

// recovery reads the recovery of a permit from the own peer.
func (g *Gateway) recovery(ctx context.Context, in contract.RecoveryQuery) (out contract.RecoveryEntry, err error) {
	return out, g.Ledger.Evaluate(ctx, contract.AccessRecovery, in, &out, ledger.OwnPeerOnly())
}

// ShareFor gives a requester this member's shares of what a recovery names, once this
// member's own peer has permit and recovery, the manifest is the recovery's, its parts are
// those of the anchors, and the permit covers each of them.
func (g *Gateway) ShareFor(ctx context.Context, requester string, q ShareQuery) (seal.Message, error) {
	if q.Manifest == nil || access.CheckID(q.Permit) != nil || registry.CheckMSP(q.Custodian) != nil {
		return seal.Message{}, refusal.New(refusal.Malformed, "that asks for no shares", "the permit, its custodian and the recovery's manifest")
	}
	if err := g.Current(); err != nil {
		return seal.Message{}, err
	}
	if err := g.reach(ctx, q.Height); err != nil {
		return seal.Message{}, err
	}
	e, err := g.recovery(ctx, contract.RecoveryQuery{Permit: q.Permit, Custodian: q.Custodian, Requester: requester})
	if err != nil {
		return seal.Message{}, err
	}
	if err := g.permitStands(ctx, e.Access, e.Review); err != nil {
		return seal.Message{}, err
	}
	if err := g.verifyRecovery(ctx, q.Manifest, e); err != nil {
		return seal.Message{}, refusal.New(refusal.Malformed, err.Error(), "the manifest that the recovery on the ledger names")
	}
	return g.sharesFor(ctx, q.Manifest)
}

// verifyRecovery holds a recovery's manifest against ledger and permit.
func (g *Gateway) verifyRecovery(ctx context.Context, m *seal.Manifest, e contract.RecoveryEntry) error {
	digest, err := record.ParseHash(e.Recovery.Manifest)
	if err != nil {
		return fmt.Errorf("the recovery on the ledger: %w", err)
	}
	permit := e.Access
	err = m.VerifyPlaces(seal.Evidence{
		Permit: permit.ID, Custodian: permit.Custodian, Requester: permit.Requester, Expires: permit.Expires, Manifest: digest,
		Anchor: func(id string) (record.Anchor, bool, error) { return g.anchorOf(ctx, anchored{permit.Custodian, id}) },
	})
	if err != nil {
		return err
	}
	return covered(m, permit)
}

// ownShares are this member's shares of the parts that a manifest names, and of no others.
// A record that this member keeps no share of, or one of another package, is left out.
func (g *Gateway) ownShares(ctx context.Context, m *seal.Manifest) ([]escrow.Share, error) {
	shares := []escrow.Share{}
	for _, c := range m.Records {
		k, ok, err := load[kept](g.Keys, bucketKept, keptAs(m.Custodian, c.Anchor))
		if err != nil {
			return nil, err
		}
		anchor, there, err := g.anchorOf(ctx, anchored{m.Custodian, c.Anchor})
		if err != nil {
			return nil, err
		}
		if ok && there && anchor.Escrow == k.Digest {
			shares = append(shares, k.Share.Covering(indices(c)))
		}
	}
	return shares, nil
}

func indices(c seal.Content) []int {
	all := make([]int, len(c.Parts))
	for i, s := range c.Parts {
		all[i] = s.Part.Index
	}
	return all
}

// sharesFor encrypts this member's shares to the requester's registered key.
func (g *Gateway) sharesFor(ctx context.Context, m *seal.Manifest) (seal.Message, error) {
	shares, err := g.ownShares(ctx, m)
	if err != nil {
		return seal.Message{}, err
	}
	public, err := g.recipient(ctx, m.Requester)
	if err != nil {
		return seal.Message{}, err
	}
	raw, err := json.Marshal(shares)
	if err != nil {
		return seal.Message{}, fmt.Errorf("encoding shares: %w", err)
	}
	defer clear(raw)
	return seal.SealTo(public, recoveryPlace(m, g.Self.MSP), raw)
}

// openShares is sharesFor's other side: at most one share a record, each the holder's.
func (g *Gateway) openShares(m *seal.Manifest, holder string, sealed seal.Message) (map[string]escrow.Share, error) {
	raw, err := g.openMessage(recoveryPlace(m, holder), sealed)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	var shares []escrow.Share
	if err := json.Unmarshal(raw, &shares); err != nil {
		return nil, errors.New("what came are no shares")
	}
	byRecord := map[string]escrow.Share{}
	for _, s := range shares {
		if _, twice := byRecord[s.Record]; twice || s.Holder != holder || !slices.ContainsFunc(m.Records, func(c seal.Content) bool { return c.Anchor == s.Record }) {
			return nil, errors.New("what came are not this holder's shares of what is recovered")
		}
		byRecord[s.Record] = s
	}
	return byRecord, nil
}
