package share

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
)

// Draft is what a patient wants to direct, before it is a document to sign.
type Draft struct {
	Act       directive.Act // "" asks for no document, only how things stand
	Patient   Patient
	Custodian string // name or MSP id; "" is this member
	Requester string // likewise
	Consent   string // 32 hex digits; "" lets the gateway choose, for a grant
	Signed    record.Instant
	Period    record.Period
	Provision *consent.Provision
	Delegates []directive.Delegate
	Reason    string
	Key       *directive.Key
}

// Prepared is a document to sign, and how things stand in its relationship.
type Prepared struct {
	Directive            directive.Directive
	Document             []byte // canonical; nil if none was asked for
	Custodian, Requester registry.Member
	Handle               string
	Channel              string
	Consents             []consent.Consent
	Signer               *directive.Signer // nil while no key is bound
}

// Prepare makes the document that a patient has to sign. This member must be the custodian
// or the requester: of others it knows no handle. Nothing is kept, and nothing written.
func (g *Gateway) Prepare(ctx context.Context, d Draft) (Prepared, error) {
	p, err := g.directed(ctx, d)
	if err != nil || d.Act == "" {
		return p, err
	}
	doc := directive.Directive{
		Type: directive.Type, Channel: p.Channel, Act: d.Act, Custodian: p.Custodian.MSP, Requester: p.Requester.MSP, Handle: p.Handle,
		Consent: d.Consent, Signed: d.Signed, Period: d.Period, Provision: d.Provision, Delegates: d.Delegates, Reason: d.Reason, Key: d.Key,
	}
	if doc.Signed == 0 {
		doc.Signed = g.now()
	}
	if doc.Period.Start == 0 && doc.Provision != nil {
		doc.Period.Start = doc.Signed
	}
	if doc.Version, err = p.next(d.Act, d.Consent); err != nil {
		return p, err
	}
	if d.Act == directive.Grant && doc.Consent == "" {
		doc.Consent = NewID()
	}
	directive.Sort(doc.Delegates)
	if err := doc.Validate(); err != nil {
		return p, err
	}
	p.Directive = doc
	p.Document, err = doc.Canonical()
	return p, err
}

// directed reads how things stand between the two members about the patient.
func (g *Gateway) directed(ctx context.Context, d Draft) (p Prepared, err error) {
	for _, side := range []struct {
		name string
		to   *registry.Member
	}{{d.Custodian, &p.Custodian}, {d.Requester, &p.Requester}} {
		if side.name == "" {
			side.name = g.Self.MSP
		}
		if *side.to, err = g.members.named(ctx, side.name); err != nil {
			return p, err
		}
	}
	if p.Handle, err = g.handleBetween(ctx, p.Custodian.MSP, p.Requester.MSP, d.Patient); err != nil {
		return p, err
	}
	var out contract.SignerEntry
	in := contract.Relationship{Custodian: p.Custodian.MSP, Requester: p.Requester.MSP, Handle: p.Handle}
	if err := g.Ledger.Evaluate(ctx, contract.ConsentSigner, in, &out); err != nil {
		return p, fmt.Errorf("reading what the patient has directed: %w", err)
	}
	p.Channel, p.Consents, p.Signer = out.Channel, out.Consents, out.Signer
	return p, nil
}

// next is the version that an act makes.
func (p Prepared) next(act directive.Act, id string) (int, error) {
	switch act {
	case directive.Grant:
		return 1, nil
	case directive.Rebind:
		if p.Signer == nil {
			return 0, refusal.New(directive.NoSigner, "no key speaks for the patient in this relationship", "a grant first: it binds the key")
		}
		return p.Signer.Version + 1, nil
	}
	for _, c := range p.Consents {
		if c.ID == id {
			return c.Version + 1, nil
		}
	}
	return 0, refusal.New(refusal.NotFound, "consent "+id+" is not in this relationship", "a consent that was granted")
}

// Direct puts on the ledger what a patient, or a delegate, has signed. A withdrawal goes
// through any member. All else goes through the custodian, which verifies it first and
// keeps it: on consents that it doesn't keep it releases nothing.
func (g *Gateway) Direct(ctx context.Context, s directive.Signed) (contract.Directed, directive.Directive, ledger.Commit, error) {
	var out contract.Directed
	d, err := directive.Parse([]byte(s.Document))
	if err != nil {
		return out, d, ledger.Commit{}, err
	}
	if d.Act != directive.Withdraw {
		if err := g.accept(ctx, d, s); err != nil {
			return out, d, ledger.Commit{}, err
		}
	}
	commit, err := g.establish(ctx, contract.ConsentDirect, s, &out)
	if err != nil {
		return out, d, commit, fmt.Errorf("putting the patient's directive on the ledger: %w", err)
	}
	return out, d, commit, nil
}

// accept verifies what a patient signed by this gateway's own view, and keeps it.
func (g *Gateway) accept(ctx context.Context, d directive.Directive, s directive.Signed) error {
	if d.Custodian != g.Self.MSP {
		return refusal.New(refusal.NotCustodian, "only a withdrawal goes through another member than the custodian", "the gateway of "+d.Custodian)
	}
	of, known, err := load[whose](g.Keys, bucketWhose, d.Handle)
	if err != nil {
		return err
	}
	if !known || of.Requester != d.Requester {
		return refusal.New(refusal.NotFound, "this hospital has given out no such handle", "a document that it has prepared (Patients.Prepare)")
	}
	defer g.signing.lock(signerName(of, ""))()
	self, err := g.members.byMSP(ctx, g.Self.MSP)
	if err != nil {
		return err
	}
	if err := s.Verify(self.Policy.RelyingParties); err != nil {
		return err
	}
	if err := g.ownKey(of, s.Key); err != nil {
		return err
	}
	var present contract.SignerEntry
	in := contract.Relationship{Custodian: d.Custodian, Requester: d.Requester, Handle: d.Handle}
	if err := g.Ledger.Evaluate(ctx, contract.ConsentSigner, in, &present, ledger.OwnPeerOnly()); err != nil {
		return fmt.Errorf("reading what the patient has directed: %w", err)
	}
	if err := d.Check(present.Channel, g.now()); err != nil {
		return err
	}
	if err := g.agreed(of, present.Signer); err != nil {
		return err
	}
	if recorded(d, s.Key, present) {
		return nil // the ledger answers a repetition
	}
	verdict, err := directive.Standing{Signer: present.Signer, Consents: present.Consents}.Admit(d, s.Key, g.now())
	if err != nil {
		return err
	}
	return g.Keys.Update(func(tx *keys.Tx) error {
		if err := g.agree(tx, of, verdict.Signer); err != nil || d.Consent == "" {
			return err
		}
		return save(tx, bucketConsents, evidenceName(d.Consent, d.Version), evidence{Patient: of.Patient, Requester: of.Requester, Signed: &s})
	})
}

// recorded reports that the ledger has what a directive makes, so that it is sent again.
func recorded(d directive.Directive, by directive.Key, present contract.SignerEntry) bool {
	if d.Act == directive.Rebind {
		return present.Signer != nil && present.Signer.Version >= d.Version
	}
	for _, c := range present.Consents {
		if c.ID == d.Consent {
			return c.Version >= d.Version
		}
	}
	return false
}

// signerName is the name in the key store of a signer that this custodian agreed to, in
// one relationship, whatever handle it goes by in the present epoch.
func signerName(of whose, id string) string { return of.Requester + "|" + of.Patient.key() + "|" + id }

// signerID tells signers apart in all but when they were put on the ledger.
func signerID(s directive.Signer) (string, error) {
	s.Since = 0
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encoding a signer: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// agree notes that this custodian verified what leads to a signer. It is noted before
// the ledger has it, so that a crash in between loses nothing.
func (g *Gateway) agree(tx *keys.Tx, of whose, s directive.Signer) error {
	id, err := signerID(s)
	if err != nil {
		return err
	}
	if err := save(tx, bucketSigners, signerName(of, id), s); err != nil {
		return err
	}
	return save(tx, bucketSigners, s.Key.ID(), of)
}

// agreed refuses (not-signer) a signer on the ledger that this custodian never agreed to:
// a majority whose chaincode lies could have bound a key of its own making.
func (g *Gateway) agreed(of whose, s *directive.Signer) error {
	if s == nil {
		return nil
	}
	id, err := signerID(*s)
	if err != nil {
		return err
	}
	if _, ok, err := load[directive.Signer](g.Keys, bucketSigners, signerName(of, id)); err != nil || ok {
		return err
	}
	return refusal.New(directive.NotSigner, "the ledger has a key for this patient that this hospital didn't put there",
		"nothing under that key; have the regulator replay the ledger (`yitong audit replay`)")
}

// ownKey refuses (not-signer) a key that speaks in another relationship: on the ledger the
// same key in two would show everybody that they are of one patient.
func (g *Gateway) ownKey(of whose, key directive.Key) error {
	other, ok, err := load[whose](g.Keys, bucketSigners, key.ID())
	if err != nil || !ok || other == of {
		return err
	}
	return refusal.New(directive.NotSigner, "the key signs in another relationship, and would link the two", "a key of its own for each relationship: another passkey, or the wallet's")
}

// Recover puts a key in the place of one that a patient has lost, on this hospital's word.
// form is what the patient signed at the desk.
func (g *Gateway) Recover(ctx context.Context, p Patient, requester string, key directive.Key, form []byte) (directive.Signer, ledger.Commit, error) {
	var out directive.Signer
	if len(form) == 0 || len(form) > maxForm {
		return out, ledger.Commit{}, refusal.New(refusal.Malformed, "the signed form is missing or larger than 3 MiB", "a scan or a signed document, at most 3 MiB")
	}
	r, err := g.relationship(ctx, p, requester)
	if err != nil {
		return out, ledger.Commit{}, err
	}
	of := whose{Requester: r.Requester.MSP, Patient: r.Patient}
	defer g.signing.lock(signerName(of, ""))()
	var present contract.SignerEntry
	at := contract.Relationship{Custodian: g.Self.MSP, Requester: r.Requester.MSP, Handle: r.Handle}
	if err := g.Ledger.Evaluate(ctx, contract.ConsentSigner, at, &present, ledger.OwnPeerOnly()); err != nil {
		return out, ledger.Commit{}, fmt.Errorf("reading what the patient has directed: %w", err)
	}
	if err := g.ownKey(of, key); err != nil {
		return out, ledger.Commit{}, err
	}
	name := "recovery/" + key.ID()
	by, err := g.actor(ctx, key.ID(), doneReplacing)
	if err != nil {
		return out, ledger.Commit{}, err
	}
	in := contract.Recovery{Requester: r.Requester.MSP, Handle: r.Handle, Key: key, Evidence: g.salted(saltedForm, name, form), Actor: by}
	err = g.Keys.Update(func(tx *keys.Tx) error {
		if present.Signer != nil {
			after, _, err := present.Signer.Recover(key, g.now())
			if err != nil {
				return err
			}
			if err := g.agree(tx, of, after); err != nil {
				return err
			}
		}
		return save(tx, bucketConsents, name, evidence{Patient: r.Patient, Requester: r.Requester.MSP, Form: form})
	})
	if err != nil {
		return out, ledger.Commit{}, err
	}
	commit, err := g.Ledger.Submit(ctx, contract.ConsentRecover, in, &out)
	if err != nil {
		return out, commit, fmt.Errorf("recovering the patient's key: %w", err)
	}
	return out, commit, nil
}

// SetPolicy changes what this member demands; change is given the present policy.
func (g *Gateway) SetPolicy(ctx context.Context, change func(*registry.Policy)) (registry.Policy, ledger.Commit, error) {
	g.members.forget()
	self, err := g.members.byMSP(ctx, g.Self.MSP)
	if err != nil {
		return registry.Policy{}, ledger.Commit{}, err
	}
	policy := self.Policy
	change(&policy)
	if err := policy.Check(); err != nil {
		return policy, ledger.Commit{}, err
	}
	by, err := g.actor(ctx, chosenID(ctx), doneUpdating)
	if err != nil {
		return policy, ledger.Commit{}, err
	}
	var out contract.MemberEntry
	in := contract.Updating{Update: registry.Update{Policy: &policy}, Actor: by}
	commit, err := g.Ledger.Submit(ctx, contract.RegistryUpdate, in, &out)
	if err != nil {
		return policy, commit, fmt.Errorf("changing this member's policy: %w", err)
	}
	g.members.forget()
	return out.Member.Policy, commit, nil
}

// Policy is what a member demands; "" is this member.
func (g *Gateway) Policy(ctx context.Context, member string) (registry.Member, error) {
	if member == "" {
		member = g.Self.MSP
	}
	g.members.forget()
	return g.members.named(ctx, member)
}
