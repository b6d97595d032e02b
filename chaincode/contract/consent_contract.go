package contract

import (
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/directive"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

type consentContract struct {
	contractapi.Contract
	clock Clock
}

// Grant puts a new consent on the ledger. The same grant again answers with version 1 as
// it was recorded, whatever became of it since.
func (o *consentContract) Grant(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Grant](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	return o.establish(ctx, ConsentGrant, Amendment{
		ID: arg.ID, Version: 1, Requester: arg.Requester, Handle: arg.Handle,
		Period: arg.Period, Provision: arg.Provision, Evidence: arg.Evidence, Actor: arg.Actor,
	})
}

// Amend replaces a consent by its next version. The same amendment again answers with that
// version as it was recorded.
func (o *consentContract) Amend(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Amendment](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if arg.Version < 2 || arg.Version > MaxVersions {
		return "", refusal.New(refusal.Malformed, fmt.Sprintf("an amendment doesn't make version %d", arg.Version),
			fmt.Sprintf("the present version and one, from 2 to %d", MaxVersions))
	}
	return o.establish(ctx, ConsentAmend, arg)
}

// establish writes one version of a consent: the first is its grant, a later one amends.
func (o *consentContract) establish(ctx *contractapi.TransactionContext, function string, arg Amendment) (string, error) {
	c, err := begin(ctx.GetStub(), o.clock, rights[function])
	if err != nil {
		return "", err
	}
	of := Relationship{Custodian: c.msp, Requester: arg.Requester, Handle: arg.Handle}
	if err := of.check(arg.ID); err != nil {
		return "", err
	}
	next := consent.Consent{
		ID: arg.ID, Version: arg.Version, Status: consent.Active,
		Period: arg.Period, Provision: arg.Provision, Evidence: arg.Evidence, At: c.at,
	}
	if err := next.Validate(); err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	roster := want[registry.Roster](&c.reading, key(rosterKind))
	requester := want[registry.Member](&c.reading, memberKey(arg.Requester))
	recorded := want[ConsentVersion](&c.reading, of.version(arg.ID, arg.Version))
	d := wantDirectives(&c.reading, of)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if recorded.doc != nil {
		if sameDirective(recorded.doc.Consent, next) {
			return c.answer(recorded.doc.Consent)
		}
		return "", refusal.New(refusal.Exists, fmt.Sprintf("version %d of this consent says something else", arg.Version),
			"the recorded version again, a new id, or the next version")
	}
	if err := access.MayAsk(requester.doc, c.member()); err != nil {
		return "", err
	}
	if err := d.usable(c.at); err != nil {
		return "", err
	}
	if err := follows(d.present(), next); err != nil {
		return "", err
	}
	if i, ok := find(d.granted.or(nil), next.ID); ok {
		if err := directive.Attestable(d.granted.or(nil)[i], d.withdrawer(next.ID)); err != nil {
			return "", err
		}
	}
	granted, err := d.with(next)
	if err != nil {
		return "", err
	}
	policy, err := countersign(roster.or(nil), c.msp)
	if err != nil {
		return "", err
	}
	c.establish(of, d, granted, ConsentVersion{Consent: next, Actor: arg.Actor}, policy)
	return c.answer(next)
}

// establish writes the consents of a relationship with the version that is new among them.
func (c *call) establish(of Relationship, d directives, granted []consent.Consent, version ConsentVersion, policy []byte) {
	// The policy of the relationship's key is set once, when it is made: a transaction that
	// sets one makes every later write of that key in its block invalid.
	if d.granted.doc == nil {
		c.create(of.of(directivesKind), granted, policy)
	} else {
		c.put(of.of(directivesKind), granted)
	}
	c.create(of.version(version.Consent.ID, version.Consent.Version), version, policy)
	c.countersigned()
}

// follows refuses a version that isn't the next one: codes not-found, version-conflict.
func follows(present []consent.Consent, next consent.Consent) error {
	i, ok := find(present, next.ID)
	switch {
	case !ok && next.Version != 1:
		return refusal.New(refusal.NotFound, "consent "+next.ID+" is not in this relationship", "amending a consent that was granted")
	case ok && next.Version != present[i].Version+1:
		return refusal.New(refusal.VersionConflict, fmt.Sprintf("the present version is %d", present[i].Version),
			fmt.Sprintf("version %d", present[i].Version+1))
	}
	return nil
}

// Withdraw takes a consent back. Withdrawn for the same reason already, it is answered as
// recorded. It touches no countersigned key, so it doesn't depend on the custodian's peer.
func (o *consentContract) Withdraw(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Withdrawal](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), o.clock, rights[ConsentWithdraw])
	if err != nil {
		return "", err
	}
	of := Relationship{Custodian: c.msp, Requester: arg.Requester, Handle: arg.Handle}
	if err := of.check(arg.ID); err != nil {
		return "", err
	}
	if err := registry.CheckCode(arg.Reason); err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	roster := want[registry.Roster](&c.reading, key(rosterKind))
	d := wantDirectives(&c.reading, of)
	if err := c.fetch(); err != nil {
		return "", err
	}
	// The epoch may have ended: what only takes back is welcome at any time.
	if err := d.here(); err != nil {
		return "", err
	}
	present := d.present()
	i, ok := find(present, arg.ID)
	if !ok {
		return "", refusal.New(refusal.NotFound, "consent "+arg.ID+" is not in this relationship", "withdrawing a consent that was granted")
	}
	if present[i].Status == consent.Withdrawn {
		if d.reason(arg.ID) == arg.Reason {
			return c.answer(present[i])
		}
		return "", refusal.New(refusal.Exists, "the consent is withdrawn for another reason", "nothing more is needed")
	}
	next := present[i]
	next.Status, next.Version, next.At = consent.Withdrawn, next.Version+1, c.at
	policy, err := countersign(roster.or(nil), c.msp)
	if err != nil {
		return "", err
	}
	c.put(of.of(withdrawnKind), d.withdrawing(withdrawn{ID: next.ID, Version: next.Version, Reason: arg.Reason, At: c.at}))
	c.create(of.version(next.ID, next.Version), ConsentVersion{Consent: next, Reason: arg.Reason, Actor: arg.Actor}, policy)
	return c.answer(next)
}

// Consents reads the consents of a relationship as they stand.
func (o *consentContract) Consents(ctx *contractapi.TransactionContext, argument string) (string, error) {
	of, err := decode[Relationship](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := of.check(""); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), o.clock, rights[ConsentConsents])
	if err != nil {
		return "", err
	}
	d := wantDirectives(&c.reading, of)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if err := c.sees(of.Custodian, of.Requester); err != nil {
		return "", err
	}
	return c.answer(ConsentSet{Consents: d.present()})
}

// History reads the versions of one consent, oldest first.
func (o *consentContract) History(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[HistoryQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	of := Relationship{Custodian: arg.Custodian, Requester: arg.Requester, Handle: arg.Handle}
	if err := of.check(arg.ID); err != nil {
		return "", err
	}
	limit, err := pageSize(arg.Size)
	if err != nil {
		return "", err
	}
	first, err := versionBookmark(arg.Bookmark)
	if err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), o.clock, rights[ConsentHistory])
	if err != nil {
		return "", err
	}
	// Versions are numbered without gaps, so a page of them is known by name; one more
	// tells whether there is a next page.
	slots := make([]*slot[ConsentVersion], limit+1)
	for i := range slots {
		slots[i] = want[ConsentVersion](&c.reading, of.version(arg.ID, first+i))
	}
	d := wantDirectives(&c.reading, of)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if err := c.sees(of.Custodian, of.Requester); err != nil {
		return "", err
	}
	// The versions of before a carrying stand under the handle of then.
	var result ConsentPage
	known := slices.ContainsFunc(slots, func(s *slot[ConsentVersion]) bool { return s.doc != nil })
	if i, ok := find(d.present(), arg.ID); first == 1 && !known {
		if !ok {
			return "", refusal.New(refusal.NotFound, "consent "+arg.ID+" is not in this relationship", "a consent that was granted")
		}
		result.Bookmark = fmt.Sprint(d.present()[i].Version)
	}
	for i, s := range slots {
		switch {
		case s.doc == nil:
		case i == limit:
			result.Bookmark = fmt.Sprint(first + i)
		default:
			result.Versions = append(result.Versions, *s.doc)
		}
	}
	return c.answer(result)
}

// List reads a page of relationships and their consents.
func (o *consentContract) List(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[ListQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), o.clock, rights[ConsentList])
	if err != nil {
		return "", err
	}
	p, err := c.list(directivesKind, arg)
	if err != nil {
		return "", err
	}
	result := RelationshipPage{Bookmark: p.bookmark}
	var withdrawals []*slot[[]withdrawn]
	for _, e := range p.entries {
		a := attributes(e.Key)
		of := Relationship{Custodian: a[0], Requester: a[1], Handle: a[2]}
		granted, err := document[[]consent.Consent](e)
		if err != nil {
			return "", err
		}
		if len(granted) == 0 { // carried to another handle
			continue
		}
		result.Relationships = append(result.Relationships, RelationshipConsents{Relationship: of, Consents: granted})
		withdrawals = append(withdrawals, want[[]withdrawn](&c.reading, of.of(withdrawnKind)))
	}
	if err := c.reading.fetch(c.stub); err != nil {
		return "", err
	}
	for i, w := range withdrawals {
		one := &result.Relationships[i]
		one.Consents = standing(one.Consents, w.or(nil))
	}
	return c.answer(result)
}

// check refuses a relationship that isn't one, and an id, if given, that isn't: malformed.
func (r Relationship) check(id string) error {
	for _, msp := range []string{r.Custodian, r.Requester} {
		if err := registry.CheckMSP(msp); err != nil {
			return err
		}
	}
	if err := access.CheckHandle(r.Handle); err != nil || id == "" {
		return err
	}
	return access.CheckID(id)
}

// versionBookmark is the first version of a page of versions.
func versionBookmark(bookmark string) (int, error) {
	if bookmark == "" {
		return 1, nil
	}
	version := 0
	for i := range len(bookmark) {
		digit := int(bookmark[i]) - '0'
		if digit < 0 || digit > 9 || i > 3 {
			return 0, refusal.New(refusal.Malformed, "that is not a bookmark", "the bookmark of the page before, unchanged")
		}
		version = version*10 + digit
	}
	return max(version, 1), nil
}
