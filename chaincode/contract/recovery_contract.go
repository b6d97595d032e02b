package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// The functions of accessContract that are about escrow.

// Recover records that a regulator has a break-glass permit's parts recovered from escrow.
// Like an access it needs the majority and not the custodian, who is out of reach.
func (a *accessContract) Recover(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Recovering](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	of := Relationship{Custodian: arg.Custodian, Requester: arg.Requester}
	if err := of.checkStep(arg.Permit); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessRecover])
	if err != nil {
		return "", err
	}
	permit := want[access.Access](&c.reading, of.step(accessKind, arg.Permit))
	outcome := c.wantOutcome(of, arg.Permit)
	custodian := want[registry.Member](&c.reading, memberKey(of.Custodian))
	requester := want[registry.Member](&c.reading, memberKey(of.Requester))
	if err := c.fetch(); err != nil {
		return "", err
	}
	if permit.doc == nil || custodian.doc == nil || requester.doc == nil {
		return "", noPermit(of)
	}
	prior := outcome.recovery.doc
	recovery, err := permit.doc.Recover(arg.Manifest, prior, outcome.receipt.doc, outcome.review.doc, c.member(), *custodian.doc, *requester.doc, c.at)
	if err != nil {
		return "", err
	}
	if prior == nil {
		c.put(of.step(recoveryKind, arg.Permit), recovery)
	}
	return c.answer(recovery)
}

// Recovery reads a recovery and its permit. Any member may: whoever holds a share has to
// see both on its own peer before it gives it.
func (a *accessContract) Recovery(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[RecoveryQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	of := Relationship{Custodian: arg.Custodian, Requester: arg.Requester}
	if err := of.checkStep(arg.Permit); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), a.clock, rights[AccessRecovery])
	if err != nil {
		return "", err
	}
	permit := want[access.Access](&c.reading, of.step(accessKind, arg.Permit))
	outcome := c.wantOutcome(of, arg.Permit)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if permit.doc == nil || outcome.recovery.doc == nil {
		return "", refusal.New(refusal.NotFound, "nothing is recovered under a permit "+arg.Permit+" of "+of.Requester+" at "+of.Custodian, "a permit that a regulator recorded the recovery of")
	}
	return c.answer(RecoveryEntry{Recovery: *outcome.recovery.doc, Access: *permit.doc, Review: outcome.review.doc})
}

// checkStep refuses (malformed) what can't name an access or what came of it.
func (r Relationship) checkStep(id string) error {
	for _, msp := range []string{r.Custodian, r.Requester} {
		if err := registry.CheckMSP(msp); err != nil {
			return err
		}
	}
	return access.CheckID(id)
}

func noPermit(of Relationship) error {
	return refusal.New(refusal.NotFound, "there is no such permit of "+of.Requester+" at "+of.Custodian, "the id and the parties of a break-glass permit")
}
