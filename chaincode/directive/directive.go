package directive

import (
	"fmt"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Type tags the document with its kind and version, so that no signature over anything else is one
// over a directive.
const Type = "yitong-directive-1"

// Act is what a directive does.
type Act string

// The acts.
const (
	Grant    Act = "grant"    // a new consent
	Amend    Act = "amend"    // its next version
	Withdraw Act = "withdraw" // takes back what it permits
	Rebind   Act = "rebind"   // another key speaks for the patient from now on
)

// Bounds of a directive.
const (
	MaxDocument  = 32 << 10          // bytes
	MaxAge       = 30 * 24 * 60 * 60 // seconds from signing to the ledger
	MaxVersion   = 1024              // of a consent but for its withdrawal, or of the binding of a key
	MaxDelegates = 8                 // of one consent
)

// Directive is the document that a patient signs.
type Directive struct {
	Type      string `json:"type"`
	Channel   string `json:"channel"` // of the ledger it is for
	Act       Act    `json:"act"`
	Custodian string `json:"custodian"` // MSP id
	Requester string `json:"requester"` // MSP id
	Handle    string `json:"handle"`    // the patient's in this relationship

	// Consent is the id of what is granted, amended or withdrawn, 32 hex digits; "" of a rebind.
	Consent string `json:"consent,omitempty"`
	// Version that this makes, the present one and one: of the consent, or of the binding.
	Version int `json:"version"`
	// Signed is when, by the signer's clock.
	Signed record.Instant `json:"signed"`

	Period    record.Period      `json:"period,omitzero"`     // of a grant or amendment: when it holds, from Signed at the earliest
	Provision *consent.Provision `json:"provision,omitempty"` // of a grant or amendment
	Delegates []Delegate         `json:"delegates,omitempty"` // of a grant or amendment, by key id
	Reason    string             `json:"reason,omitempty"`    // of a withdrawal: a code
	Key       *Key               `json:"key,omitempty"`       // of a rebind: the new one
}

// The codes of this package's own refusals.
const (
	NotCanonical      refusal.Code = "not-canonical"         // the document isn't in its one encoding
	BadSignature      refusal.Code = "bad-signature"         // the signature isn't one over the document by the key
	WrongLedger       refusal.Code = "wrong-ledger"          // signed for another channel
	SignedTooEarly    refusal.Code = "signed-too-early"      // too long ago, or before what it follows
	SignedInFuture    refusal.Code = "signed-in-future"      //
	BackDated         refusal.Code = "back-dated"            // holds from before it was signed
	NoSigner          refusal.Code = "no-signer"             // nobody's key speaks for the patient here
	NotSigner         refusal.Code = "not-signer"            // another key does
	SignatureRequired refusal.Code = "signature-required"    // an attestation can't alter what was signed
	BeyondDelegation  refusal.Code = "beyond-delegation"     // more than the delegate may
	UnknownSite       refusal.Code = "relying-party-unknown" // the passkey was used on another site
)

// Validate refuses a directive that breaks its schema: malformed, too-large, back-dated.
func (d Directive) Validate() error {
	if d.Type != Type {
		return malformed("it isn't a directive", "the type "+Type)
	}
	if d.Channel == "" || len(d.Channel) > 249 {
		return malformed("it names no channel", "the channel of the ledger")
	}
	for _, msp := range []string{d.Custodian, d.Requester} {
		if err := registry.CheckMSP(msp); err != nil {
			return err
		}
	}
	if err := access.CheckHandle(d.Handle); err != nil {
		return err
	}
	if d.Signed <= 0 {
		return malformed("it doesn't say when it was signed", "the instant of signing")
	}
	// The last version can be withdrawn too, or whoever amends often enough makes a consent for ever.
	last := MaxVersion
	if d.Act == Withdraw {
		last++
	}
	if d.Version < 1 || d.Version > last {
		return malformed("it makes no version", fmt.Sprintf("1 to %d", last))
	}
	switch d.Act {
	case Grant, Amend:
		return d.validateConsent()
	case Withdraw:
		return d.validateWithdrawal()
	case Rebind:
		return d.validateRebind()
	}
	return malformed("its act is unknown", "grant, amend, withdraw or rebind")
}

func (d Directive) validateConsent() error {
	switch {
	case (d.Act == Grant) != (d.Version == 1):
		return malformed("its act and version don't go together", "version 1 of a grant, a later one of an amendment")
	case d.Provision == nil:
		return malformed("it says nothing", "a provision")
	case d.Reason != "" || d.Key != nil:
		return malformed("it has what a "+string(d.Act)+" doesn't have", "no reason and no key")
	case d.Period.Start < d.Signed:
		return refusal.New(BackDated, "its period doesn't begin when it was signed, or later", "a period that begins at "+d.Signed.String()+" or later")
	}
	if err := d.Consented("", consent.Attested).Validate(); err != nil {
		return err
	}
	return checkDelegates(d.Delegates)
}

func (d Directive) validateWithdrawal() error {
	if d.Version < 2 || d.Provision != nil || !d.Period.IsZero() || d.Delegates != nil || d.Key != nil {
		return malformed("it isn't only a withdrawal", "consent, version from 2 on, and reason")
	}
	if err := access.CheckID(d.Consent); err != nil {
		return err
	}
	return registry.CheckCode(d.Reason)
}

func (d Directive) validateRebind() error {
	if d.Version < 2 || d.Consent != "" || d.Provision != nil || !d.Period.IsZero() || d.Delegates != nil || d.Reason != "" || d.Key == nil {
		return malformed("it isn't only a rebind", "version from 2 on, and the new key")
	}
	return d.Key.Check()
}

// Check refuses a directive for another ledger (wrong-ledger), and one that is not signed lately at
// the instant given (signed-in-future, signed-too-early).
func (d Directive) Check(channel string, at record.Instant) error {
	switch {
	case d.Channel != channel:
		return refusal.New(WrongLedger, "the directive is for another ledger", "one signed for "+channel)
	case d.Signed > at+registry.MaxSkew:
		return refusal.New(SignedInFuture, "the directive is signed in the future", "one signed by "+at.String()+"; look at the clock of the wallet")
	case d.Signed < at-MaxAge:
		return refusal.New(SignedTooEarly, "the directive was signed over 30 days ago", "one signed lately")
	}
	return nil
}

// Consented is the consent that a grant or an amendment makes, but for its instant.
func (d Directive) Consented(signer string, sure consent.Assurance) consent.Consent {
	c := consent.Consent{ID: d.Consent, Version: d.Version, Status: consent.Active, Period: d.Period, Assurance: sure, Signer: signer}
	if d.Provision != nil {
		c.Provision = *d.Provision
	}
	return c
}

func malformed(fault, allowed string) error {
	return refusal.New(refusal.Malformed, "the directive can't be used: "+fault, allowed)
}
