package share

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/failpoint"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
)

// Directive is what a patient directs about one requester.
type Directive struct {
	ID        string // 32 hex digits; "" lets the gateway choose
	Patient   Patient
	Requester string // name or MSP id
	Period    record.Period
	Provision consent.Provision
	Form      []byte // the signed form, kept sealed; the ledger has a salted digest of it
	Names     []Name // what the institution's own software calls the consent; of a grant only
}

// maxForm is the largest signed form kept, in bytes.
const maxForm = 3 << 20

// evidence is what a version of a consent rests on: a signed form that the hospital keeps,
// or the directive that the patient signed and this gateway verified.
type evidence struct {
	Patient   Patient           `json:"patient"`
	Requester string            `json:"requester"`
	Form      []byte            `json:"form"`
	Signed    *directive.Signed `json:"signed,omitempty"`
}

// Relationship is a patient between this custodian and a requester.
type Relationship struct {
	Patient   Patient
	Requester registry.Member
	Handle    string
}

func (g *Gateway) relationship(ctx context.Context, p Patient, requester string) (Relationship, error) {
	if g.Self.Kind != registry.Hospital {
		return Relationship{}, refusal.New(refusal.KindNotAllowed, "a "+string(g.Self.Kind)+" keeps no consents", "the hospital that holds the record")
	}
	p, err := p.Normalise()
	if err != nil {
		return Relationship{}, err
	}
	m, err := g.members.named(ctx, requester)
	if err != nil {
		return Relationship{}, err
	}
	handle, err := g.handleBetween(ctx, g.Self.MSP, m.MSP, p)
	return Relationship{p, m, handle}, err
}

// Grant puts a patient's consent on the ledger.
func (g *Gateway) Grant(ctx context.Context, d Directive) (consent.Consent, Relationship, ledger.Commit, error) {
	var err error
	if d.ID, err = g.name(ctx, d.ID, d.Names); err != nil {
		return consent.Consent{}, Relationship{}, ledger.Commit{}, err
	}
	r, proof, by, err := g.attest(ctx, d, 1)
	if err != nil {
		return consent.Consent{}, r, ledger.Commit{}, err
	}
	in := contract.Grant{ID: d.ID, Requester: r.Requester.MSP, Handle: r.Handle, Period: d.Period, Provision: d.Provision, Evidence: proof, Actor: by}
	failpoint.Reach("grant: attested")
	var out consent.Consent
	commit, err := g.establish(ctx, contract.ConsentGrant, in, &out)
	if anew, ok := g.outdated(ctx, err); ok {
		return g.Grant(anew, d)
	}
	if err != nil {
		return out, r, commit, fmt.Errorf("granting consent %s: %w", d.ID, err)
	}
	return out, r, commit, nil
}

// establish submits what may be the first consent of a relationship. That one gives its
// state key a policy, and Fabric finds another in the same block invalid by this code, and
// not as a conflict.
func (g *Gateway) establish(ctx context.Context, function string, in, out any) (ledger.Commit, error) {
	commit, err := g.Ledger.Submit(ctx, function, in, out)
	var invalid *ledger.Invalid
	if errors.As(err, &invalid) && invalid.Code == peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE {
		return g.Ledger.Submit(ctx, function, in, out)
	}
	return commit, err
}

// Amend puts a new version of a consent on the ledger. version is the one that it
// replaces.
func (g *Gateway) Amend(ctx context.Context, d Directive, version int) (consent.Consent, Relationship, ledger.Commit, error) {
	r, proof, by, err := g.attest(ctx, d, version+1)
	if err != nil {
		return consent.Consent{}, r, ledger.Commit{}, err
	}
	in := contract.Amendment{
		ID: d.ID, Version: version + 1, Requester: r.Requester.MSP, Handle: r.Handle,
		Period: d.Period, Provision: d.Provision, Evidence: proof, Actor: by,
	}
	var out consent.Consent
	commit, err := g.Ledger.Submit(ctx, contract.ConsentAmend, in, &out)
	if err != nil {
		return out, r, commit, fmt.Errorf("amending consent %s: %w", d.ID, err)
	}
	return out, r, commit, nil
}

// evidenceName is that of a consent version's signed form in the key store.
func evidenceName(id string, version int) string { return fmt.Sprintf("%s/%d", id, version) }

// attest keeps the signed form and who attests it, and returns the digest that stands for
// each.
func (g *Gateway) attest(ctx context.Context, d Directive, version int) (r Relationship, form string, by access.Actor, err error) {
	if err := access.CheckID(d.ID); err != nil {
		return r, "", by, err
	}
	if len(d.Form) == 0 || len(d.Form) > maxForm {
		return r, "", by, refusal.New(refusal.Malformed, "the signed form is missing or larger than 3 MiB", "a scan or a signed document, at most 3 MiB")
	}
	if r, err = g.relationship(ctx, d.Patient, d.Requester); err != nil {
		return r, "", by, err
	}
	if by, err = g.actor(ctx, d.ID, doneAttesting+strconv.Itoa(version)); err != nil {
		return r, "", by, err
	}
	name := evidenceName(d.ID, version)
	err = g.Keys.Update(func(tx *keys.Tx) error {
		if err := g.setAside(tx, name, d.Form); err != nil {
			return err
		}
		return save(tx, bucketConsents, name, evidence{Patient: r.Patient, Requester: r.Requester.MSP, Form: d.Form})
	})
	return r, g.salted(saltedForm, name, d.Form), by, err
}

// setAside keeps the form that a new one takes the place of, under its digest: the ledger
// may have the old one and refuse the new.
func (g *Gateway) setAside(tx *keys.Tx, name string, form []byte) error {
	prior, ok, err := load[evidence](tx, bucketConsents, name)
	if ok && prior.Signed != nil {
		return refusal.New(directive.SignatureRequired, "the patient signed this version, and a form can't take its place", "the next version, or a new consent")
	}
	if err != nil || !ok || bytes.Equal(prior.Form, form) {
		return err
	}
	return save(tx, bucketConsents, g.salted(saltedForm, name, prior.Form), prior)
}

// Withdraw takes a consent back. From the next block on nothing is permitted, and
// nothing released, on its strength.
func (g *Gateway) Withdraw(ctx context.Context, p Patient, requester, id, reason string) (consent.Consent, Relationship, ledger.Commit, error) {
	r, err := g.relationship(ctx, p, requester)
	if err != nil {
		return consent.Consent{}, r, ledger.Commit{}, err
	}
	by, err := g.actor(ctx, id, doneWithdrawal)
	if err != nil {
		return consent.Consent{}, r, ledger.Commit{}, err
	}
	failpoint.Reach("withdraw: prepared")
	in := contract.Withdrawal{ID: id, Requester: r.Requester.MSP, Handle: r.Handle, Reason: reason, Actor: by}
	var out consent.Consent
	commit, err := g.Ledger.Submit(ctx, contract.ConsentWithdraw, in, &out)
	if err != nil {
		return out, r, commit, fmt.Errorf("withdrawing consent %s: %w", id, err)
	}
	return out, r, commit, nil
}

// Consents lists the consents of a patient about a requester as they stand.
func (g *Gateway) Consents(ctx context.Context, p Patient, requester string) ([]consent.Consent, Relationship, error) {
	r, err := g.relationship(ctx, p, requester)
	if err != nil {
		return nil, r, err
	}
	in := contract.Relationship{Custodian: g.Self.MSP, Requester: r.Requester.MSP, Handle: r.Handle}
	var out contract.ConsentSet
	if err := g.Ledger.Evaluate(ctx, contract.ConsentConsents, in, &out); err != nil {
		return nil, r, fmt.Errorf("reading the consents: %w", err)
	}
	return out.Consents, r, nil
}

// ConsentHistory lists every version of a consent, oldest first.
func (g *Gateway) ConsentHistory(ctx context.Context, p Patient, requester, id string) ([]contract.ConsentVersion, Relationship, error) {
	r, err := g.relationship(ctx, p, requester)
	if err != nil {
		return nil, r, err
	}
	in := contract.HistoryQuery{Custodian: g.Self.MSP, Requester: r.Requester.MSP, Handle: r.Handle, ID: id, Size: contract.MaxPage}
	var versions []contract.ConsentVersion
	for {
		var out contract.ConsentPage
		if err := g.Ledger.Evaluate(ctx, contract.ConsentHistory, in, &out); err != nil {
			return nil, r, fmt.Errorf("reading the history of consent %s: %w", id, err)
		}
		versions = append(versions, out.Versions...)
		if out.Bookmark == "" {
			return versions, r, nil
		}
		in.Bookmark = out.Bookmark
	}
}
