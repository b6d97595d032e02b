package share

import (
	"context"
	"fmt"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/failpoint"
	"yitong/gateway/ledger"
)

// Claim is what this member asks of a custodian.
type Claim struct {
	ID        string // 32 hex digits; "" lets the gateway choose
	Custodian string // name or MSP id
	Patient   Patient
	Purpose   consent.Purpose
	Action    consent.Action
	Classes   record.Classes
	Types     record.Types  // none asks for any
	Period    record.Period // of the data asked for
	Reference string        // of the claim; the ledger has a salted digest of it
	TTL       time.Duration // of the permit; 0 means the default
	User      Person        // who asks; nobody where the member's own software does
}

// Request puts a claim on the ledger and returns the decision taken there. The
// decision is recorded whether it permits or denies; a deny is no error.
func (g *Gateway) Request(ctx context.Context, c Claim) (access.Access, ledger.Commit, error) {
	in, custodian, err := g.draftRequest(ctx, &c, g.handleBetween)
	if err != nil {
		return access.Access{}, ledger.Commit{}, err
	}
	failpoint.Reach("request: drafted")
	decided, commit, err := g.submitRequest(ctx, g.Ledger, custodian, in)
	if anew, ok := g.outdated(ctx, err); ok {
		return g.Request(anew, c)
	}
	return decided, commit, err
}

// handleFinder finds the handle of a patient between a custodian and a requester.
type handleFinder func(ctx context.Context, custodianMSP, requesterMSP string, p Patient) (string, error)

// draftRequest is a claim as the ledger takes it, and whom it is put to. What its digests
// stand for is kept; an id is chosen where the claim has none.
func (g *Gateway) draftRequest(ctx context.Context, c *Claim, find handleFinder) (in access.Request, custodian registry.Member, err error) {
	if c.ID == "" {
		c.ID = chosenID(ctx)
	}
	patient, err := c.Patient.Normalise()
	if err != nil {
		return in, custodian, err
	}
	if custodian, err = g.members.named(ctx, c.Custodian); err != nil {
		return in, custodian, err
	}
	in = access.Request{
		ID: c.ID, Custodian: custodian.MSP, Purpose: c.Purpose, Action: c.Action,
		Classes: c.Classes, Types: c.Types, Period: c.Period, TTL: int64(c.TTL / time.Second), Actor: access.Actor{Role: c.User.Role},
	}
	if in.Handle, err = find(ctx, custodian.MSP, g.Self.MSP, patient); err != nil {
		return in, custodian, err
	}
	if c.Reference != "" {
		if in.Claim, err = g.keepClaim(ctx, c.ID, c.Reference); err != nil {
			return in, custodian, err
		}
	}
	in.User, err = g.keepUser(ctx, c.ID, "", c.User)
	return in, custodian, err
}

// submitRequest has the decision on a request from the ledger, under the given identity.
func (g *Gateway) submitRequest(ctx context.Context, as Submitter, custodian registry.Member, in access.Request) (access.Access, ledger.Commit, error) {
	var out access.Access
	commit, err := as.Submit(ctx, contract.AccessRequest, in, &out)
	if err != nil {
		return out, commit, fmt.Errorf("requesting access at %s: %w", custodian.Name, err)
	}
	switch known := (permitted{out, commit.Block + 1}); {
	case !out.Permitted():
	case commit.Own:
		g.permitted.add(known)
	default:
		g.told.add(known)
	}
	return out, commit, nil
}

// Access shows one access with its release and receipt. The side that is "" is
// this member's own.
func (g *Gateway) Access(ctx context.Context, custodian, requester, id string) (contract.AccessEntry, error) {
	if err := access.CheckID(id); err != nil {
		return contract.AccessEntry{}, err
	}
	l := lookup{custodian: g.Self.MSP, requester: g.Self.MSP, id: id}
	for side, name := range map[*string]string{&l.custodian: custodian, &l.requester: requester} {
		if name == "" {
			continue
		}
		m, err := g.members.named(ctx, name)
		if err != nil {
			return contract.AccessEntry{}, err
		}
		*side = m.MSP
	}
	return g.access(ctx, l)
}

// Accesses pages through accesses between the members named; "" means any, as far
// as this member may see.
func (g *Gateway) Accesses(ctx context.Context, custodian, requester, bookmark string, size int) (contract.AccessPage, error) {
	in := contract.ListQuery{Bookmark: bookmark, Size: size}
	for side, name := range map[*string]string{&in.Custodian: custodian, &in.Requester: requester} {
		if name == "" {
			continue
		}
		m, err := g.members.named(ctx, name)
		if err != nil {
			return contract.AccessPage{}, err
		}
		*side = m.MSP
	}
	var out contract.AccessPage
	if err := g.Ledger.Evaluate(ctx, contract.AccessAccesses, in, &out); err != nil {
		return out, fmt.Errorf("listing accesses: %w", err)
	}
	return out, nil
}
