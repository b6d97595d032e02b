// Package directive is the patient's own word: the document that a patient signs, how the signature
// is verified, and who may sign what.
//
//	wallet or passkey ──▶ Signed{document, key, signature}
//	                          │ Parse: exactly one encoding
//	                          │ Check: this channel, this relationship, now
//	                          │ Verify: Ed25519, or a WebAuthn assertion
//	                          ▼
//	      Standing.Admit ──▶ by whom, and how sure ──▶ consent, or withdrawal, or another key
//
// The threat it answers is a hospital that claims what its patient never said. What a hospital
// attests is marked as attested, and members may demand more (registry.Policy).
//
// # The document
//
// JSON canonicalised by RFC 8785 (JCS): names sorted, no blanks, minimal escapes. There is exactly
// one encoding of a directive; Parse refuses every other, so that what was shown, what was signed
// and what is on the ledger are the same bytes. Its only number is the version. The members are
// those of Directive. A passkey signs the SHA-256 of the document as its challenge.
//
// # Replay
//
// A directive names channel, custodian, requester, handle, consent and version. The version is the
// present one and one, so each directive counts once, in one place, and none signed before a
// withdrawal can revive what was withdrawn. It is good from the moment it was signed, give or take
// the skew of clocks, for MaxAge, and the consent's period may not begin before that moment.
//
// # Who signs
//
// The first directive that a custodian puts on the ledger for a relationship binds the key that
// speaks for the patient there. That the key is the patient's is the custodian's word, as an
// identity always is someone's: a hospital can bind a key of its own for a patient who never had
// one there. From then on nobody but that key alters what it signed. It names another key (rebind),
// or lets delegates grant and withdraw, each in a period of its own: a guardian of a minor, a proxy
// in incapacity. A delegate can let nobody do more, or for longer, than itself, and nobody at all but
// by amending the consent that names it: with that consent, all that follow from it are gone.
//
// A lost key is replaced by the custodian's attestation (Recover). What the new key signs counts as
// attested, and it can't amend what the lost key signed, only withdraw it. The key before the
// recovery can still withdraw, and can put itself or another in place again by a rebind, with which
// the full assurance returns: so a recovery that the patient never asked for doesn't last.
//
// The package is pure: no clock, no random, no input or output.
package directive
