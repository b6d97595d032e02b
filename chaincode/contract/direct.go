package contract

import (
	"encoding/hex"
	"fmt"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/directive"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Direct does what a patient, or a delegate, has signed. A grant, an amendment and a rebind go
// through the custodian; a withdrawal through any active member, and it touches no key that needs
// the custodian, so that it works while the custodian is down.
//
// The same directive again, however often it is signed, answers with what it made.
func (o *consentContract) Direct(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[directive.Signed](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	d, err := directive.Parse([]byte(arg.Document))
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	c, err := begin(stub, o.clock, rights[ConsentDirect])
	if err != nil {
		return "", err
	}
	if err := d.Check(stub.GetChannelID(), c.at); err != nil {
		return "", err
	}
	s := c.wantDirected(d)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if d.Act != directive.Withdraw && c.msp != d.Custodian {
		return "", refusal.New(refusal.NotCustodian, "only a withdrawal goes through another member than the custodian", "sending it through "+d.Custodian)
	}
	if s.custodian.doc == nil {
		return "", refusal.New(refusal.NotFound, d.Custodian+" is not a member", "the MSP id of a hospital")
	}
	if err := arg.VerifyAs(d.Act, s.custodian.doc.Policy.RelyingParties); err != nil {
		return "", err
	}
	switch d.Act {
	case directive.Withdraw:
		if s, err = c.follow(d, s); err != nil {
			return "", err
		}
		return c.directWithdrawal(arg, d, s)
	case directive.Rebind:
		return c.directRebind(arg, d, s)
	}
	return c.directConsent(arg, d, s)
}

// maxCarried bounds how often what a withdrawal is about was carried to another handle since.
const maxCarried = 16

// follow goes where the consents of a withdrawal's handle were carried: a patient who signs with
// what the wallet remembers needn't know of the epochs since. What the signature names stays the
// same, for a consent keeps its id and its version on the way.
func (c *call) follow(d directive.Directive, s directed) (directed, error) {
	for range maxCarried {
		to := s.directives.carried.doc
		if to == nil || s.recorded.doc != nil {
			return s, nil
		}
		d.Handle = to.To
		s = c.wantDirected(d)
		if err := c.reading.fetch(c.stub); err != nil {
			return s, err
		}
	}
	return s, s.directives.here()
}

// directed is what a directive reads.
type directed struct {
	of                   Relationship
	roster               *slot[registry.Roster]
	custodian, requester *slot[registry.Member]
	recorded             *slot[ConsentVersion]
	directives           directives
	signer               *slot[directive.Signer]
}

func (c *call) wantDirected(d directive.Directive) directed {
	of := Relationship{Custodian: d.Custodian, Requester: d.Requester, Handle: d.Handle}
	s := directed{
		of:         of,
		roster:     want[registry.Roster](&c.reading, key(rosterKind)),
		custodian:  want[registry.Member](&c.reading, memberKey(d.Custodian)),
		requester:  want[registry.Member](&c.reading, memberKey(d.Requester)),
		directives: wantDirectives(&c.reading, of),
		signer:     want[directive.Signer](&c.reading, of.of(signerKind)),
		recorded:   &slot[ConsentVersion]{},
	}
	if d.Consent != "" {
		s.recorded = want[ConsentVersion](&c.reading, of.version(d.Consent, d.Version))
	}
	return s
}

// admit asks the rule, over what was read.
func (s directed) admit(c *call, d directive.Directive, by directive.Key) (directive.Verdict, error) {
	return directive.Standing{Signer: s.signer.doc, Consents: s.directives.present()}.Admit(d, by, c.at)
}

// again answers a directive whose version is recorded: with it, if it is the same.
func (c *call) again(of Relationship, recorded ConsentVersion, arg directive.Signed) (string, error) {
	if recorded.Signed != nil && recorded.Signed.Document == arg.Document && recorded.Signed.Key.Equal(arg.Key) {
		return c.answer(Directed{Consent: &recorded.Consent, Handle: of.Handle})
	}
	return "", refusal.New(refusal.Exists, fmt.Sprintf("version %d of this consent says something else", recorded.Consent.Version),
		"the recorded version again, a new id, or the next version")
}

// directConsent grants or amends.
func (c *call) directConsent(arg directive.Signed, d directive.Directive, s directed) (string, error) {
	if s.recorded.doc != nil {
		return c.again(s.of, *s.recorded.doc, arg)
	}
	if err := access.MayAsk(s.requester.doc, c.member()); err != nil {
		return "", err
	}
	if err := s.directives.usable(c.at); err != nil {
		return "", err
	}
	if err := follows(s.directives.present(), d.Consented("", consent.Attested)); err != nil {
		return "", err
	}
	verdict, err := s.admit(c, d, arg.Key)
	if err != nil {
		return "", err
	}
	digest := directive.Digest([]byte(arg.Document))
	next := d.Consented(arg.Key.ID(), verdict.Assurance)
	next.Evidence, next.At = hex.EncodeToString(digest[:]), c.at
	granted, err := s.directives.with(next)
	if err != nil {
		return "", err
	}
	policy, err := countersign(s.roster.or(nil), d.Custodian)
	if err != nil {
		return "", err
	}
	c.establish(s.of, s.directives, granted, ConsentVersion{Consent: next, Signed: &arg, Delegate: verdict.Delegate}, policy)
	c.bound(s, verdict, policy)
	return c.answer(Directed{Consent: &next, Handle: s.of.Handle})
}

// directWithdrawal takes a consent back.
func (c *call) directWithdrawal(arg directive.Signed, d directive.Directive, s directed) (string, error) {
	if s.recorded.doc != nil {
		return c.again(s.of, *s.recorded.doc, arg)
	}
	if err := s.directives.here(); err != nil {
		return "", err
	}
	present := s.directives.present()
	i, ok := find(present, d.Consent)
	if !ok {
		return "", refusal.New(refusal.NotFound, "consent "+d.Consent+" is not in this relationship", "withdrawing a consent that was granted")
	}
	next := present[i]
	if next.Status == consent.Withdrawn {
		return "", refusal.New(refusal.Exists, "the consent is withdrawn already", "nothing more is needed")
	}
	if d.Version != next.Version+1 {
		return "", refusal.New(refusal.VersionConflict, fmt.Sprintf("the present version is %d", next.Version), fmt.Sprintf("version %d", next.Version+1))
	}
	verdict, err := s.admit(c, d, arg.Key)
	if err != nil {
		return "", err
	}
	policy, err := countersign(s.roster.or(nil), d.Custodian)
	if err != nil {
		return "", err
	}
	next.Status, next.Version, next.At = consent.Withdrawn, d.Version, c.at
	c.put(s.of.of(withdrawnKind), s.directives.withdrawing(withdrawn{ID: next.ID, Version: next.Version, Reason: d.Reason, At: c.at, Signer: arg.Key.ID()}))
	c.create(s.of.version(next.ID, next.Version), ConsentVersion{Consent: next, Reason: d.Reason, Signed: &arg, Delegate: verdict.Delegate}, policy)
	return c.answer(Directed{Consent: &next, Handle: s.of.Handle})
}

// directRebind names another key.
func (c *call) directRebind(arg directive.Signed, d directive.Directive, s directed) (string, error) {
	if now := s.signer.doc; now != nil && now.Version == d.Version && now.Key.Equal(*d.Key) {
		return c.answer(Directed{Signer: now, Handle: s.of.Handle})
	}
	if err := s.directives.here(); err != nil {
		return "", err
	}
	verdict, err := s.admit(c, d, arg.Key)
	if err != nil {
		return "", err
	}
	c.bound(s, verdict, nil) // it exists: nobody rebinds what isn't bound
	c.countersigned()
	return c.answer(Directed{Signer: &verdict.Signer, Handle: s.of.Handle})
}

// bound writes who speaks for the patient, if that has changed.
func (c *call) bound(s directed, v directive.Verdict, policy []byte) {
	switch {
	case !v.Changed:
	case s.signer.doc == nil:
		c.create(s.of.of(signerKind), v.Signer, policy)
	default:
		c.put(s.of.of(signerKind), v.Signer)
	}
}

// Recover puts a key in the place of a patient's lost one, on the custodian's word.
func (o *consentContract) Recover(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Recovery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := arg.Actor.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), o.clock, rights[ConsentRecover])
	if err != nil {
		return "", err
	}
	of := Relationship{Custodian: c.msp, Requester: arg.Requester, Handle: arg.Handle}
	if err := of.check(""); err != nil {
		return "", err
	}
	if err := access.CheckManifest(arg.Evidence); err != nil {
		return "", refusal.New(refusal.Malformed, "the evidence is not a salted digest", "64 lower-case hex digits, of the form that the patient signed")
	}
	signer := want[directive.Signer](&c.reading, of.of(signerKind))
	d := wantDirectives(&c.reading, of)
	if err := c.fetch(); err != nil {
		return "", err
	}
	if err := d.here(); err != nil {
		return "", err
	}
	if signer.doc == nil {
		return "", refusal.New(directive.NoSigner, "no key speaks for the patient in this relationship", "the patient's first signed grant")
	}
	after, changed, err := signer.doc.Recover(arg.Key, c.at)
	if err != nil {
		return "", err
	}
	if changed {
		c.put(of.of(signerKind), after)
		c.countersigned()
	}
	return c.answer(after)
}

// Signer reads who speaks for the patient in a relationship, and what a directive has to fit.
func (o *consentContract) Signer(ctx *contractapi.TransactionContext, argument string) (string, error) {
	of, err := decode[Relationship](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := of.check(""); err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	c, err := begin(stub, o.clock, rights[ConsentSigner])
	if err != nil {
		return "", err
	}
	d := wantDirectives(&c.reading, of)
	signer := want[directive.Signer](&c.reading, of.of(signerKind))
	if err := c.fetch(); err != nil {
		return "", err
	}
	if err := c.sees(of.Custodian, of.Requester); err != nil {
		return "", err
	}
	return c.answer(SignerEntry{Channel: stub.GetChannelID(), Consents: d.present(), Signer: signer.doc})
}
