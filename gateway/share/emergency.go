package share

import (
	"context"
	"errors"
	"fmt"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
)

// Emergency is what a clinician asks of a custodian without consent.
type Emergency struct {
	Claim
	Reason access.Cause
	Note   string // in the clinician's own words; the ledger has a salted digest of it
}

// broken is what this member notes of an emergency of its own: the custodian may never
// have derived the patient's handle, and a regulator may order to see the note.
type broken struct {
	Patient Patient `json:"patient"`
	Note    string  `json:"note,omitempty"`
}

// maxNote is the longest note, in bytes.
const maxNote = 4 << 10

// BreakGlass puts an emergency on the ledger, signed as a clinician, and returns the
// permit. It refuses (role-not-allowed) who isn't a clinician of this member before it
// signs anything; every other member's peer looks at the certificate again.
func (g *Gateway) BreakGlass(ctx context.Context, e Emergency) (access.Access, ledger.Commit, error) {
	if e.User.Role != access.Clinician {
		return access.Access{}, ledger.Commit{}, refusal.New(access.RoleNotAllowed, "only a clinician breaks the glass",
			"a call under a client certificate with "+access.RoleAttribute+"="+string(access.Clinician))
	}
	if g.Clinicians == nil {
		return access.Access{}, ledger.Commit{}, refusal.New(access.RoleNotAllowed, "this gateway holds no certificate that signs as a clinician",
			"an enrolment certificate with "+access.RoleAttribute+"="+string(access.Clinician)+" as \"clinicians\" in the gateway's configuration, of a hospital")
	}
	if len(e.Note) > maxNote {
		return access.Access{}, ledger.Commit{}, refusal.New(refusal.Malformed, "the note is too long", fmt.Sprintf("at most %d bytes", maxNote))
	}
	in, custodian, err := g.draftRequest(ctx, &e.Claim, g.handleInEmergency)
	if err != nil {
		return access.Access{}, ledger.Commit{}, err
	}
	if in.Emergency.Reason = e.Reason; e.Note != "" {
		in.Emergency.Note = g.salted(saltedNote, in.ID, []byte(e.Note))
	}
	if err := in.Check(); err != nil { // before anything is kept
		return access.Access{}, ledger.Commit{}, err
	}
	patient, err := e.Patient.Normalise()
	if err != nil {
		return access.Access{}, ledger.Commit{}, err
	}
	if err := g.keepBroken(in, broken{patient, e.Note}); err != nil {
		return access.Access{}, ledger.Commit{}, err
	}
	decided, commit, err := g.submitRequest(ctx, g.Clinicians, custodian, in)
	if anew, ok := g.outdated(ctx, err); ok {
		return g.BreakGlass(anew, e)
	}
	return decided, commit, err
}

// handleInEmergency is the handle that a break-glass request names: the one under which
// consents stand, or were carried to. Where nothing stands under any, it is the one of the
// oldest epoch that is open. A custodian that died before the present epoch opened, or
// before it had regulators find its records by the new handles, is found by the older ones
// alone, and who breaks the glass can't know whether it lived to do it; one that is alive
// answers to either.
//
// One handle that can't be derived, for an evaluator of its epoch is gone, doesn't stop the
// others.
func (g *Gateway) handleInEmergency(ctx context.Context, custodianMSP, requesterMSP string, p Patient) (string, error) {
	all, err := g.epochs(ctx)
	if err != nil {
		return "", err
	}
	numbers := openEpochs(all, g.now())
	if len(numbers) == 1 {
		return g.handleBetween(ctx, custodianMSP, requesterMSP, p)
	}
	if p, err = p.Normalise(); err != nil {
		return "", err
	}
	between := relation{custodianMSP, requesterMSP}
	var known []string // the newest first
	var failed error
	for _, n := range numbers {
		h, err := g.handleAt(ctx, all, between, p, n)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		known = append(known, h)
	}
	if len(known) == 0 {
		return "", failed
	}
	states, err := g.handleStates(ctx, between, known)
	if err != nil {
		return "", err
	}
	oldest := ""
	for _, s := range states {
		if s.Carried != nil {
			continue
		}
		if s.Consents > 0 {
			return s.Handle, nil
		}
		oldest = s.Handle
	}
	if oldest == "" { // all were carried to one that can't be derived
		return "", failed
	}
	return oldest, nil
}

// keepBroken keeps what is behind an emergency: by its id for Open, and the note by its
// digest, so that a request which the ledger refuses never takes the place of one that it
// took.
func (g *Gateway) keepBroken(in access.Request, b broken) error {
	err := g.Keys.Update(func(tx *keys.Tx) error {
		if in.Emergency.Note != "" {
			if err := save(tx, bucketNotes, in.Emergency.Note, claimed{in.ID, b.Note}); err != nil {
				return err
			}
		}
		return save(tx, bucketBroken, in.ID+"|"+in.Handle, b)
	})
	if err != nil {
		return fmt.Errorf("keeping whom the emergency is about: %w", err)
	}
	return nil
}

// whom is the patient of a break-glass permit of this member's; nil of any other permit,
// and where the key store was restored from one that is older than the emergency.
func (g *Gateway) whom(permit access.Access) (*Patient, error) {
	if !permit.BreakGlass() {
		return nil, nil
	}
	b, ok, err := load[broken](g.Keys, bucketBroken, permit.ID+"|"+permit.Handle)
	if err != nil || !ok {
		return nil, err
	}
	return &b.Patient, nil
}

// maxMisnamed is how often the patient of a break-glass permit may be named wrongly: each time
// costs this member an evaluation of its own quota.
const maxMisnamed = 3

// identify learns whom a break-glass permit is about: where there is no consent, this
// custodian may never have derived the handle. It derives it from what the requester says
// and compares, so that nobody is taken for somebody else.
func (g *Gateway) identify(ctx context.Context, permit access.Access, named *Patient) error {
	if _, known, err := load[whose](g.Keys, bucketWhose, permit.Handle); err != nil || known {
		return err
	}
	if named == nil {
		return refusal.New(refusal.NotFound, "this custodian doesn't know whom the emergency is about", "the patient's identifier with the permit")
	}
	patient, err := named.Normalise()
	if err != nil {
		return err
	}
	another := refusal.New(refusal.NotPermitted, "the permit is about another patient", "the patient that the emergency was opened for")
	permitted := releaseName(permit.Custodian, permit.Requester, permit.ID)
	wrong, _ := g.misnamed.LoadOrStore(permitted, 0)
	if wrong.(int) >= maxMisnamed {
		return another
	}
	all, err := g.epochs(ctx)
	if err != nil {
		return err
	}
	handle, err := g.handleAt(ctx, all, relation{permit.Custodian, permit.Requester}, patient, epochOf(permit.Handle))
	if err != nil {
		return fmt.Errorf("deriving the handle of the emergency: %w", err)
	}
	if handle != permit.Handle {
		g.misnamed.Store(permitted, wrong.(int)+1) // the caller holds the permit's lock
		return another
	}
	return nil // handleAt has noted whose it is
}

// OpenEmergency is a break-glass access that is unreviewed or unresolved, and who made it.
type OpenEmergency struct {
	access.OpenEmergency
	Requester string // MSP id
}

// Emergencies lists what is unreviewed or unresolved, of one hospital (name or MSP id) or
// of all, as far as this member may see.
func (g *Gateway) Emergencies(ctx context.Context, requester string) ([]OpenEmergency, error) {
	var of []registry.Member
	if requester != "" {
		m, err := g.members.named(ctx, requester)
		if err != nil {
			return nil, err
		}
		of = append(of, m)
	} else {
		all, err := g.members.all(ctx)
		if err != nil {
			return nil, err
		}
		of = all
	}
	var list []OpenEmergency
	for _, m := range of {
		if m.Kind != registry.Hospital {
			continue
		}
		var out contract.EmergencyList
		if err := g.Ledger.Evaluate(ctx, contract.AccessEmergencies, contract.EmergenciesQuery{Requester: m.MSP}, &out); err != nil {
			return nil, fmt.Errorf("listing the emergencies of %s: %w", m.Name, err)
		}
		for _, o := range out.Open {
			list = append(list, OpenEmergency{o, m.MSP})
		}
	}
	return list, nil
}

// ReviewEmergency records this regulator's review of an emergency. The members are named by name
// or MSP id.
func (g *Gateway) ReviewEmergency(ctx context.Context, j access.Judgement) (access.Review, ledger.Commit, error) {
	if err := g.resolveNames(ctx, &j.Custodian, &j.Requester); err != nil {
		return access.Review{}, ledger.Commit{}, err
	}
	var err error
	if j.Actor, err = g.actor(ctx, j.ID, doneReviewing); err != nil {
		return access.Review{}, ledger.Commit{}, err
	}
	var out access.Review
	commit, err := g.Ledger.Submit(ctx, contract.AccessReview, j, &out)
	if err != nil {
		return out, commit, fmt.Errorf("reviewing emergency %s: %w", j.ID, err)
	}
	return out, commit, nil
}

// ResolveEmergency records that what a rejected emergency set off is done. The members are named
// by name or MSP id.
func (g *Gateway) ResolveEmergency(ctx context.Context, s access.Settlement) (access.Review, ledger.Commit, error) {
	if err := g.resolveNames(ctx, &s.Custodian, &s.Requester); err != nil {
		return access.Review{}, ledger.Commit{}, err
	}
	var err error
	if s.Actor, err = g.actor(ctx, s.ID, doneResolving); err != nil {
		return access.Review{}, ledger.Commit{}, err
	}
	var out access.Review
	commit, err := g.Ledger.Submit(ctx, contract.AccessResolve, s, &out)
	if err != nil {
		return out, commit, fmt.Errorf("resolving emergency %s: %w", s.ID, err)
	}
	return out, commit, nil
}

// resolveNames turns names of members into their MSP ids.
func (g *Gateway) resolveNames(ctx context.Context, names ...*string) error {
	for _, name := range names {
		m, err := g.members.named(ctx, *name)
		if err != nil {
			return err
		}
		*name = m.MSP
	}
	return nil
}
