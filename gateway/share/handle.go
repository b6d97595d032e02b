package share

import (
	"context"
	"fmt"

	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
)

// whose is what a custodian notes about a handle it gave out.
type whose struct {
	Requester string  `json:"requester"`
	Patient   Patient `json:"patient"`
}

// HandleFor gives a requester the handle of a patient, as the custodian that this
// gateway belongs to. Known patients and others get one alike: the answer doesn't
// tell whether the hospital has ever seen the person.
func (g *Gateway) HandleFor(ctx context.Context, requester string, p Patient) (string, error) {
	if g.Self.Kind != registry.Hospital {
		return "", refusal.New(refusal.KindNotAllowed, g.Self.Name+" holds no records", "a hospital's gateway")
	}
	p, err := p.Normalise()
	if err != nil {
		return "", err
	}
	asker, err := g.members.byMSP(ctx, requester)
	if err != nil {
		return "", err
	}
	if !asker.Active() {
		return "", refusal.New(refusal.MemberSuspended, asker.Name+" is suspended", "an active member")
	}
	handle := g.handles.handle(requester, p)
	_, known, err := load[whose](g.Keys, bucketHandles, handle)
	if err != nil || known {
		return handle, err
	}
	return handle, g.keep(bucketHandles, handle, whose{requester, p})
}

// handleAt is the handle of a patient at a custodian, this member asking. It is
// asked for once and kept.
func (g *Gateway) handleAt(ctx context.Context, custodian registry.Member, p Patient) (string, error) {
	name := custodian.MSP + "|" + p.key()
	handle, ok, err := load[string](g.Keys, bucketHandles, name)
	if err != nil || ok {
		return handle, err
	}
	if handle, err = g.Exchange.Handle(ctx, custodian, p); err != nil {
		return "", fmt.Errorf("asking %s for the patient's handle: %w", custodian.Name, err)
	}
	return handle, g.Keys.Update(func(tx *keys.Tx) error { return save(tx, bucketHandles, name, handle) })
}

// handleBetween is the current handle of a patient in a relationship that this member is
// party to, as its custodian or its requester; each is a member's MSP id. A relationship
// of others is refused (not-requester). Once known it is kept, and nobody is asked again.
func (g *Gateway) handleBetween(ctx context.Context, custodianMSP, requesterMSP string, p Patient) (string, error) {
	p, err := p.Normalise()
	if err != nil {
		return "", err
	}
	switch g.Self.MSP {
	case custodianMSP:
		return g.HandleFor(ctx, requesterMSP, p)
	case requesterMSP:
		custodian, err := g.members.byMSP(ctx, custodianMSP)
		if err != nil {
			return "", err
		}
		return g.handleAt(ctx, custodian, p)
	}
	return "", refusal.New(refusal.NotRequester, "this member is no party to that relationship", "a handle between this member and another")
}
