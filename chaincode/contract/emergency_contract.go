package contract

import (
	"fmt"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/cid"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// The functions of accessContract that are about break-glass. The request itself is
// access:Request, with an emergency in it.

// role is the role in the certificate that signed the proposal, none if it has none. The
// peer has checked that the caller's own member issued the certificate.
func (c *call) role() (access.Role, error) {
	id, err := cid.New(c.stub)
	if err != nil {
		return "", fmt.Errorf("read creator: %w", err)
	}
	role, _, err := id.GetAttributeValue(access.RoleAttribute)
	if err != nil {
		return "", fmt.Errorf("read creator: %w", err)
	}
	return access.Role(role), nil
}

// decide takes the decision on a request: by the consents or, in an emergency, by the
// caller's certificate and what its member has open.
func (c *call) decide(r access.Request, custodian registry.Member, open *slot[access.Emergencies], d directives) (access.Access, error) {
	if open == nil {
		return access.Decide(r, c.member(), custodian, d.present(), c.at)
	}
	role, err := c.role()
	if err != nil {
		return access.Access{}, err
	}
	decided, more, err := access.BreakGlass(r, role, c.member(), custodian, open.or(access.Emergencies{}), d.present(), c.at)
	if err == nil {
		c.put(emergenciesKey(c.msp), more)
	}
	return decided, err
}

// Review records a regulator's review of a break-glass access.
func (a *accessContract) Review(ctx *contractapi.TransactionContext, argument string) (string, error) {
	j, err := decode[access.Judgement](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := j.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessReview])
	if err != nil {
		return "", err
	}
	s := c.wantEmergency(Relationship{Custodian: j.Custodian, Requester: j.Requester}, j.ID)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if s.access.doc == nil {
		return "", noEmergency(j.Custodian, j.Requester)
	}
	review, open, err := s.access.doc.Review(j, s.review.doc, s.open.or(access.Emergencies{}), c.member(), c.at)
	if err != nil {
		return "", err
	}
	if s.review.doc == nil {
		c.put(s.key, review)
		c.put(emergenciesKey(j.Requester), open)
	}
	return c.answer(review)
}

// Resolve records that what a rejected break-glass access set off is done.
func (a *accessContract) Resolve(ctx *contractapi.TransactionContext, argument string) (string, error) {
	settlement, err := decode[access.Settlement](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := settlement.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessResolve])
	if err != nil {
		return "", err
	}
	s := c.wantEmergency(Relationship{Custodian: settlement.Custodian, Requester: settlement.Requester}, settlement.ID)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if s.review.doc == nil {
		return "", refusal.New(refusal.NotFound, "there is no review of this emergency", "the resolution of a rejected one")
	}
	resolved, open, err := s.review.doc.Resolve(settlement, s.open.or(access.Emergencies{}), c.member(), c.at)
	if err != nil {
		return "", err
	}
	if s.review.doc.Resolution == nil {
		c.put(s.key, resolved)
		c.put(emergenciesKey(settlement.Requester), open)
	}
	return c.answer(resolved)
}

// emergencySlots are an access, its review, and what its requester has open.
type emergencySlots struct {
	key    string // of the review
	access *slot[access.Access]
	review *slot[access.Review]
	open   *slot[access.Emergencies]
}

func (c *call) wantEmergency(of Relationship, id string) emergencySlots {
	key := of.step(reviewKind, id)
	return emergencySlots{
		key:    key,
		access: want[access.Access](&c.reading, of.step(accessKind, id)),
		review: want[access.Review](&c.reading, key),
		open:   want[access.Emergencies](&c.reading, emergenciesKey(of.Requester)),
	}
}

func noEmergency(custodian, requester string) error {
	return refusal.New(refusal.NotFound, "there is no such access of "+requester+" at "+custodian, "the id and the parties of a break-glass access")
}

// Emergencies reads what a member has open: all of it for the member itself and a
// regulator, for a custodian what was broken at it.
func (a *accessContract) Emergencies(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[EmergenciesQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := registry.CheckMSP(arg.Requester); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessEmergencies])
	if err != nil {
		return "", err
	}
	open := want[access.Emergencies](&c.reading, emergenciesKey(arg.Requester))
	if err := c.fetch(); err != nil {
		return "", err
	}
	all := c.msp == arg.Requester || c.member().Kind == registry.Regulator
	result := EmergencyList{Requester: arg.Requester}
	for _, o := range open.or(access.Emergencies{}).Open {
		if all || o.Custodian == c.msp {
			result.Open = append(result.Open, o)
		}
	}
	return c.answer(result)
}

// Reviews reads a page of reviews.
func (a *accessContract) Reviews(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[ListQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessReviews])
	if err != nil {
		return "", err
	}
	p, err := c.list(reviewKind, arg)
	if err != nil {
		return "", err
	}
	result := ReviewPage{Bookmark: p.bookmark}
	for _, e := range p.entries {
		one, err := document[access.Review](e)
		if err != nil {
			return "", err
		}
		result.Reviews = append(result.Reviews, one)
	}
	return c.answer(result)
}
