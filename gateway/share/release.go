package share

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

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

// Parcel is what a custodian sends for a permit: the signed manifest with the
// wrapped keys, and the sealed parts in the manifest's order.
type Parcel struct {
	Manifest *seal.Manifest
	Commit   ledger.Commit // of the release; zero where it was committed before
	gateway  *Gateway
}

// Sealed opens the sealed bytes of one part of the parcel. A part that was erased meanwhile is
// refused (erased).
func (p *Parcel) Sealed(ctx context.Context, recordID string, part record.Part) (io.ReadCloser, error) {
	return p.SealedFrom(ctx, recordID, part, 0)
}

// SealedFrom is Sealed without the first bytes, which the requester holds already.
func (p *Parcel) SealedFrom(ctx context.Context, recordID string, part record.Part, held int64) (sealed io.ReadCloser, err error) {
	name, sum := vault.NameOf(recordID, part.Index), vault.SumOf(part)
	if held < 0 || held > part.SealedSize {
		return nil, refusal.New(refusal.Malformed, "what is held of a part can't be more than there is of it", "0 to its sealed size")
	}
	if held == 0 {
		sealed, err = p.gateway.Vault.Open(ctx, name, sum)
	} else {
		sealed, err = p.gateway.Vault.Range(ctx, name, sum, held, part.SealedSize-held)
	}
	if errors.Is(err, vault.ErrNotFound) {
		err = cmp.Or(p.gateway.refuseGone(p.Manifest), err)
	}
	return sealed, err
}

// releaseOrder is one permit on its way into a release transaction.
type releaseOrder struct {
	permit   access.Access
	manifest *seal.Manifest
	carried  []string // the handles that the permit's was carried to, in order
}

type releaseCommit struct {
	release access.Release
	commit  ledger.Commit
}

// Release lets a permit's keys go to the member that asks, as the custodian. The
// order is the whole point of it:
//
//  1. the permit is read from this member's own peer, holds by its own clock, and
//     rests on consents that this member put on the ledger; a break-glass permit
//     rests on none, and isn't rejected. The requester's registered key is one that
//     the requester says is its own (Expecting)
//  2. the parts it covers are chosen, and the choice is kept
//  3. the release that names the choice is committed
//  4. only then are the keys wrapped, and the manifest signed
//
// The same permit again gives the same parts, as long as the permit still holds.
// height is how many blocks the requester's peer had with the permit in one of
// them: an own peer that is behind is given time to catch up. whom is the patient that the
// requester says a break-glass permit is about, nil of any other.
func (g *Gateway) Release(ctx context.Context, requester, permit string, height uint64, whom *Patient) (*Parcel, error) {
	if err := access.CheckID(permit); err != nil {
		return nil, err
	}
	if err := g.Current(); err != nil {
		return nil, err
	}
	defer g.permits.lock(releaseName(g.Self.MSP, requester, permit))()

	name := lookup{custodian: g.Self.MSP, requester: requester, id: permit}
	entry, err := g.looking.do(ctx, name)
	if err == nil && entry.Access == nil && height > 0 {
		if err = g.reach(ctx, height); err == nil {
			entry, err = g.looking.do(ctx, name)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := g.releasable(entry, requester); err != nil {
		return nil, err
	}
	if _, err := g.recipient(ctx, requester); err != nil {
		return nil, err
	}
	if entry.Access.BreakGlass() {
		err = g.identify(ctx, *entry.Access, whom)
	} else {
		err = g.attested(ctx, *entry.Access)
	}
	if err != nil {
		return nil, err
	}
	manifest, err := g.choose(entry)
	if err != nil {
		return nil, err
	}
	failpoint.Reach("release: chosen")
	commit, err := g.commitRelease(ctx, entry, manifest)
	failpoint.Reach("release: committed")
	if err != nil {
		return nil, fmt.Errorf("releasing under permit %s: %w", permit, err)
	}
	if err := g.refuseGone(manifest); err != nil {
		return nil, err
	}
	if err := g.wrap(ctx, manifest); err != nil {
		return nil, fmt.Errorf("wrapping the keys for permit %s: %w", permit, err)
	}
	failpoint.Reach("release: wrapped")
	return &Parcel{Manifest: manifest, Commit: commit, gateway: g}, nil
}

// releasable refuses what the ledger would refuse as well, sooner, and what only
// this member's own clock can tell.
func (g *Gateway) releasable(e contract.AccessEntry, requester string) error {
	switch {
	case e.Access == nil:
		return refusal.New(refusal.NotFound, "the ledger has no such permit of "+requester, "a permit that "+requester+" was given here")
	case e.Access.Requester != requester:
		return refusal.New(refusal.NotRequester, "the permit is another member's", "a permit of the calling member")
	case !e.Access.Permitted():
		return refusal.New(refusal.NotPermitted, "the decision on this request is deny", "a new request, once a consent permits it")
	case e.Review != nil && e.Review.Outcome == access.Rejected:
		return refusal.New(access.ReviewRejected, "a regulator rejected this emergency", "a request by consent")
	case g.now() >= e.Access.Expires:
		return refusal.New(refusal.Expired, "the permit expired at "+e.Access.Expires.String()+" by this custodian's clock", "a new request")
	}
	return nil
}

// releaseName is what is chosen for a permit kept under. Its id alone doesn't name it: that is
// the requester's to choose, and can be one that another member chose before.
func releaseName(custodian, requester, permit string) string {
	return custodian + "/" + requester + "/" + permit
}

// choose picks the parts that a permit covers. The first choice is kept, so that
// every later release under the permit names the same, unless something of it is erased
// before it was released.
func (g *Gateway) choose(e contract.AccessEntry) (*seal.Manifest, error) {
	permit := *e.Access
	kept, ok, err := load[seal.Manifest](g.Keys, bucketReleases, releaseName(permit.Custodian, permit.Requester, permit.ID))
	if err != nil {
		return nil, err
	}
	if ok && (e.Release != nil || g.refuseGone(&kept) == nil) {
		return &kept, nil
	}
	of, ok, err := load[whose](g.Keys, bucketWhose, permit.Handle)
	if err != nil {
		return nil, err
	}
	m := seal.NewManifest(permit.ID, permit.Custodian, permit.Requester, permit.Expires)
	if ok && of.Requester == permit.Requester {
		if err := g.cover(m, permit, of.Patient); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// cover adds to the manifest the covered parts of every record of the patient that
// is in force.
func (g *Gateway) cover(m *seal.Manifest, permit access.Access, p Patient) error {
	ids, _, err := load[[]string](g.Keys, bucketPatients, p.key())
	if err != nil {
		return err
	}
	for _, id := range ids {
		r, ok, err := load[catalogued](g.Keys, bucketRecords, id)
		if err != nil {
			return err
		}
		if !ok || r.Status != record.Anchored {
			continue
		}
		going, err := g.going(r)
		if err != nil {
			return err
		}
		var covered []int
		for _, part := range r.Parts {
			if permit.Decision.Scope.Covers(part.Part) && !going(part.Index) {
				covered = append(covered, part.Index)
			}
		}
		if len(covered) > 0 {
			m.Add(id, r.parts(), covered)
		}
	}
	return nil
}

// commitRelease has the release on the ledger when it returns nil.
func (g *Gateway) commitRelease(ctx context.Context, e contract.AccessEntry, m *seal.Manifest) (ledger.Commit, error) {
	digest := m.Digest().String()
	if e.Release == nil {
		carried, err := g.way(ctx, relation{e.Access.Custodian, e.Access.Requester}, e.Access.Handle)
		if err != nil {
			return ledger.Commit{}, err
		}
		done, err := g.releasing.do(ctx, releaseOrder{*e.Access, m, carried})
		switch {
		case err != nil:
			return done.commit, err
		case done.release.Manifest != digest:
			return done.commit, errors.New("the ledger's release names another manifest")
		case !done.commit.Own:
			// Another member's peer says that it is committed: no reason to let keys go.
			return done.commit, g.releaseSeen(ctx, *e.Access, digest)
		}
		return done.commit, nil
	}
	if e.Release.Manifest != digest {
		return ledger.Commit{}, refusal.New(refusal.Exists, "the permit was used before this gateway's key store was restored", "a new request")
	}
	return ledger.Commit{}, g.stillHolds(ctx, e, digest)
}

// releaseSeen waits until the own peer has the release.
func (g *Gateway) releaseSeen(ctx context.Context, permit access.Access, digest string) error {
	seen, err := g.released(ctx, lookup{custodian: permit.Custodian, requester: permit.Requester, id: permit.ID})
	switch {
	case errors.Is(err, errBehind):
		return fmt.Errorf("%w: it doesn't have the release yet: %w", ledger.ErrUnavailable, err)
	case err == nil && seen.Manifest != digest:
		return errors.New("the ledger's release names another manifest")
	}
	return err
}

// stillHolds asks, for a permit that was released before, whether it would be
// released now: the consents may have changed since. The rule is the chaincode's
// own, over state read from this member's own peer.
func (g *Gateway) stillHolds(ctx context.Context, e contract.AccessEntry, digest string) error {
	permit := *e.Access
	requester, err := g.members.byMSP(ctx, permit.Requester)
	if err != nil {
		return err
	}
	custodian, err := g.members.byMSP(ctx, permit.Custodian)
	if err != nil {
		return err
	}
	var out contract.ConsentSet
	in := contract.Relationship{Custodian: permit.Custodian, Requester: permit.Requester}
	if in.Handle, err = g.standsUnder(ctx, relation{in.Custodian, in.Requester}, permit.Handle); err != nil {
		return err
	}
	if err := g.Ledger.Evaluate(ctx, contract.ConsentConsents, in, &out, ledger.OwnPeerOnly()); err != nil {
		return fmt.Errorf("reading the consents: %w", err)
	}
	_, err = permit.Release(digest, nil, e.Review, custodian, requester, out.Consents, g.now())
	return err
}

// releaseAll keeps the choices of many permits and commits their releases in one
// transaction. The ledger answers each permit by itself.
func (g *Gateway) releaseAll(ctx context.Context, orders []releaseOrder) []outcome[releaseCommit] {
	results := make([]outcome[releaseCommit], len(orders))
	all := func(err error) []outcome[releaseCommit] {
		for i := range results {
			results[i].err = err
		}
		return results
	}
	var in contract.Releasing
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for _, o := range orders {
			if err := save(tx, bucketReleases, releaseName(o.permit.Custodian, o.permit.Requester, o.permit.ID), o.manifest); err != nil {
				return err
			}
			if err := noteReceiver(tx, o.manifest); err != nil {
				return err
			}
			in.Releases = append(in.Releases, contract.ReleaseOrder{
				Permit: o.permit.ID, Requester: o.permit.Requester, Handle: o.permit.Handle, Manifest: o.manifest.Digest().String(),
				Emergency: o.permit.BreakGlass(), Carried: o.carried,
			})
		}
		return nil
	})
	if err != nil {
		return all(fmt.Errorf("keeping what is released: %w", err))
	}
	var out contract.Released
	commit, err := g.Ledger.Submit(ctx, contract.AccessRelease, in, &out)
	if err != nil {
		return all(err)
	}
	if len(out.Results) != len(orders) {
		return all(fmt.Errorf("the ledger answered %d releases of %d", len(out.Results), len(orders)))
	}
	for i, r := range out.Results {
		switch {
		case r.Refusal != nil:
			results[i].err = r.Refusal
		case r.Release == nil:
			results[i].err = errors.New("the ledger answered a release with nothing")
		default:
			results[i].value = releaseCommit{*r.Release, commit}
		}
	}
	return results
}

// wrap wraps the keys of a committed release to the requester's registered HPKE
// key and signs the manifest.
func (g *Gateway) wrap(ctx context.Context, m *seal.Manifest) error {
	public, err := g.recipient(ctx, m.Requester)
	if err != nil {
		return err
	}
	err = m.Wrap(public, func(recordID string, part int) (seal.Key, error) {
		raw, err := g.Keys.Get(bucketPartKeys, object(recordID, part))
		if err != nil {
			return seal.Key{}, err
		}
		return seal.Key(raw), nil
	})
	if err != nil {
		return err
	}
	_, signing := g.ring.present()
	m.Sign(signing)
	return nil
}
