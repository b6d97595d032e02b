package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
)

// Disclosed is what is behind a digest on the ledger.
type Disclosed struct {
	// Content of a manifest is its JSON (seal.Manifest without wrapped keys and
	// signature), of a claim its reference, of a consent the signed form.
	Content []byte
	// Salt that the content was digested with: 32 bytes, a manifest's own 16.
	Salt []byte
}

// Disclose opens one digest to the regulator whose order says so, as the member that has
// what is behind it:
//
//  1. the order is read from this member's own peer: it is to this member, and the
//     caller's own
//  2. what is kept is held against the digest
//  3. the answer is committed, given or refused
//  4. only then does anything go
//
// The same order again gives the same. height is how many blocks the regulator's peer had
// with the order in one of them.
//
// Refusals: malformed, stale-clock, kind-not-allowed, member-suspended, not-found,
// wrong-state, under-review, not-given.
func (g *Gateway) Disclose(ctx context.Context, regulator, order string, height uint64) (Disclosed, error) {
	if err := access.CheckID(order); err != nil {
		return Disclosed{}, err
	}
	if err := g.Current(); err != nil {
		return Disclosed{}, err
	}
	if err := g.regulates(ctx, regulator); err != nil {
		return Disclosed{}, err
	}
	defer g.orders.lock(order)()

	name := contract.DisclosureQuery{Holder: g.Self.MSP, Regulator: regulator, Order: order}
	d, err := g.disclosure(ctx, name)
	if refusedWith(err, refusal.NotFound) && height > 0 {
		if err = g.reach(ctx, height); err == nil {
			d, err = g.disclosure(ctx, name)
		}
	}
	if err != nil {
		return Disclosed{}, err
	}
	content, kept, err := g.behind(d.Order)
	if err != nil {
		return Disclosed{}, err
	}
	if d.Answer == nil {
		if kept && g.Review {
			return Disclosed{}, refusal.New(disclosure.UnderReview, "the order is being reviewed by "+g.Self.Name, "the same order again, once "+g.Self.Name+" has answered it")
		}
		if d.Answer, err = g.comply(ctx, name, kept); err != nil {
			return Disclosed{}, err
		}
	}
	switch {
	case d.Answer.Word != disclosure.Given:
		return Disclosed{}, refusal.New(disclosure.NotGiven, g.Self.Name+" refuses: "+d.Answer.Reason, "the conclusion that it was refused; the answer is on the ledger")
	case !kept:
		return Disclosed{}, errors.New("what was given before isn't in the key store any more")
	}
	return content, nil
}

// comply answers an order: with what is kept, or that it isn't.
func (g *Gateway) comply(ctx context.Context, name contract.DisclosureQuery, kept bool) (*disclosure.Answer, error) {
	word, reason := disclosure.Given, ""
	if !kept {
		word, reason = disclosure.Refused, disclosure.NotKept
	}
	answer, _, err := g.answer(ctx, name, word, reason)
	if err != nil {
		return nil, fmt.Errorf("answering order %s: %w", name.Order, err)
	}
	return answer, nil
}

// AnswerDisclosure answers an order on behalf of this member: that it complies, or that
// it refuses and why (a code). It is for a member that reviews orders, and for refusing
// one that the regulator hasn't fetched yet. What isn't kept can't be promised
// (not-found).
func (g *Gateway) AnswerDisclosure(ctx context.Context, regulator, order string, word disclosure.Word, reason string) (disclosure.Disclosure, ledger.Commit, error) {
	from, err := g.members.named(ctx, regulator)
	if err != nil {
		return disclosure.Disclosure{}, ledger.Commit{}, err
	}
	defer g.orders.lock(order)()
	name := contract.DisclosureQuery{Holder: g.Self.MSP, Regulator: from.MSP, Order: order}
	d, err := g.disclosure(ctx, name)
	if err != nil {
		return d, ledger.Commit{}, err
	}
	if word == disclosure.Given {
		_, kept, err := g.behind(d.Order)
		if err != nil {
			return d, ledger.Commit{}, err
		}
		if !kept {
			return d, ledger.Commit{}, refusal.New(refusal.NotFound, "this gateway doesn't keep "+d.Order.Subject.String()+" any more", "a refusal for the reason "+disclosure.NotKept)
		}
	}
	answer, commit, err := g.answer(ctx, name, word, reason)
	if err != nil {
		return d, commit, fmt.Errorf("answering order %s: %w", order, err)
	}
	d.Answer = answer
	return d, commit, nil
}

// regulates refuses who isn't an active regulator by the registry.
func (g *Gateway) regulates(ctx context.Context, msp string) error {
	m, err := g.members.byMSP(ctx, msp)
	switch {
	case err != nil:
		return err
	case m.Kind != registry.Regulator:
		return refusal.New(refusal.KindNotAllowed, m.Name+" is no regulator", "an order by a regulator")
	case !m.Active():
		return refusal.New(refusal.MemberSuspended, m.Name+" is suspended", "an active regulator")
	}
	return nil
}

// disclosure reads an order and what came of it from the own peer. What it doesn't have
// is refused (not-found).
func (g *Gateway) disclosure(ctx context.Context, name contract.DisclosureQuery) (disclosure.Disclosure, error) {
	var out disclosure.Disclosure
	if err := g.Ledger.Evaluate(ctx, contract.DisclosureDisclosure, name, &out, ledger.OwnPeerOnly()); err != nil {
		return out, fmt.Errorf("reading order %s from the ledger: %w", name.Order, err)
	}
	if o := out.Order; o.ID != name.Order || o.Holder != name.Holder || o.Regulator != name.Regulator {
		return out, errors.New("the ledger answered with another order")
	}
	return out, nil
}

// answer has the answer on the own peer when it returns nil.
func (g *Gateway) answer(ctx context.Context, name contract.DisclosureQuery, word disclosure.Word, reason string) (*disclosure.Answer, ledger.Commit, error) {
	by, err := g.actor(ctx, name.Order, doneAnswering)
	if err != nil {
		return nil, ledger.Commit{}, err
	}
	var out disclosure.Answer
	in := contract.Answering{Order: name.Order, Regulator: name.Regulator, Word: word, Reason: reason, Actor: by}
	commit, err := g.Ledger.Submit(ctx, contract.DisclosureAnswer, in, &out)
	if err != nil || commit.Own {
		return &out, commit, err
	}
	// Another member's peer says that it is committed: no reason to let anything go.
	d, err := g.answered(ctx, name)
	return d.Answer, commit, err
}

// answered waits until the own peer has the answer to an order.
func (g *Gateway) answered(ctx context.Context, name contract.DisclosureQuery) (d disclosure.Disclosure, err error) {
	err = g.await(ctx, func(ctx context.Context) (done bool, err error) {
		d, err = g.disclosure(ctx, name)
		return d.Answer != nil, err
	})
	if errors.Is(err, errBehind) {
		err = fmt.Errorf("%w: it doesn't have the answer to order %s yet: %w", ledger.ErrUnavailable, name.Order, err)
	}
	return d, err
}

// behind finds what an order is about, and holds it against the digest: what doesn't
// open it, because the key store was restored from an older one, isn't kept.
func (g *Gateway) behind(o disclosure.Order) (d Disclosed, kept bool, err error) {
	switch o.Subject.What {
	case disclosure.Manifest:
		var m seal.Manifest
		if m, kept, err = load[seal.Manifest](g.Keys, bucketReleases, releaseName(o.Subject.Custodian, o.Subject.Requester, o.Subject.ID)); err == nil && kept {
			d, err = disclosedManifest(&m)
		}
	case disclosure.Claim:
		var c claimed
		c, kept, err = load[claimed](g.Keys, bucketClaims, o.Digest)
		d = Disclosed{Content: []byte(c.Reference), Salt: g.salt(saltedClaim, c.Access)}
	case disclosure.User, disclosure.Reader:
		var a acting
		if a, kept, err = load[acting](g.Keys, bucketUsers, o.Digest); err == nil {
			d.Content, err = a.User.content()
		}
		d.Salt = g.salt(saltedUser, a.About)
	case disclosure.Note:
		var n claimed
		n, kept, err = load[claimed](g.Keys, bucketNotes, o.Digest)
		d = Disclosed{Content: []byte(n.Reference), Salt: g.salt(saltedNote, n.Access)}
	case disclosure.Form:
		return g.form(o)
	}
	if err != nil || !kept {
		return Disclosed{}, false, err
	}
	if d, err = d.verify(o); err != nil {
		g.Log.Error("what is kept doesn't open the digest on the ledger", "order", o.ID, "what", o.Subject.What)
		return Disclosed{}, false, nil
	}
	return d, true, nil
}

// form finds the signed form of a consent by its digest. A withdrawal makes a version
// that rests on the form of the one before.
func (g *Gateway) form(o disclosure.Order) (d Disclosed, kept bool, err error) {
	for version := o.Subject.Version; version > 0; version-- {
		name := evidenceName(o.Subject.ID, version)
		for _, place := range []string{name, o.Digest} {
			e, ok, err := load[evidence](g.Keys, bucketConsents, place)
			if err != nil {
				return Disclosed{}, false, err
			}
			if ok && g.salted(saltedForm, name, e.Form) == o.Digest {
				return Disclosed{Content: e.Form, Salt: g.salt(saltedForm, name)}, true, nil
			}
		}
	}
	return Disclosed{}, false, nil
}

// errMismatch says that what was given doesn't open the digest.
var errMismatch = errors.New("what was given doesn't open the digest on the ledger")

// verify holds what a holder gave against the order's digest, and returns it without
// anything that the digest doesn't cover.
func (d Disclosed) verify(o disclosure.Order) (Disclosed, error) {
	if o.Subject.What != disclosure.Manifest {
		// The length matters: digested is one after the other, and a byte that moves from
		// one to the other would change the content under the same digest.
		if len(d.Salt) != saltSize || saltedDigest(d.Salt, d.Content) != o.Digest {
			return Disclosed{}, errMismatch
		}
		return d, nil
	}
	var m seal.Manifest
	if json.Unmarshal(d.Content, &m) != nil || m.Digest().String() != o.Digest ||
		m.Permit != o.Subject.ID || m.Custodian != o.Subject.Custodian || m.Requester != o.Subject.Requester {
		return Disclosed{}, errMismatch
	}
	return disclosedManifest(&m)
}

// disclosedManifest is a manifest as a regulator gets to see it: what was released, and
// none of the keys.
func disclosedManifest(m *seal.Manifest) (Disclosed, error) {
	m.Signing, m.Signature = "", nil
	for i := range m.Records {
		for j := range m.Records[i].Parts {
			m.Records[i].Parts[j].Wrapped = nil
		}
	}
	content, err := json.Marshal(m)
	if err != nil {
		return Disclosed{}, fmt.Errorf("encoding the manifest: %w", err)
	}
	return Disclosed{Content: content, Salt: m.Salt[:]}, nil
}
