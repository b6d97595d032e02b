package directive

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"

	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Signed is a directive with its signature: by a wallet, or by a passkey. Exactly one of the two is
// there. It is kept on the ledger whole, so that anybody may verify it again.
type Signed struct {
	Document  string     `json:"document"` // canonical
	Key       Key        `json:"key"`
	Signature []byte     `json:"signature,omitempty"` // Ed25519 over the document, 64 bytes, base64 in JSON
	Passkey   *Assertion `json:"passkey,omitempty"`   // WebAuthn by an ES256 key
}

// Verify refuses (bad-signature, relying-party-unknown) a signature that isn't the key's over the
// document. sites are where a passkey may be used.
func (s Signed) Verify(sites []registry.RelyingParty) error {
	if err := s.Key.Check(); err != nil {
		return err
	}
	switch {
	case s.Key.Algorithm == Ed25519 && s.Passkey == nil:
		if !verifyEd25519(s.Key.Public, []byte(s.Document), s.Signature) {
			return badSignature("the signature isn't this key's over this document")
		}
		return nil
	case s.Key.Algorithm == ES256 && s.Passkey != nil && s.Signature == nil:
		return s.Passkey.verify(s.Key, Digest([]byte(s.Document)), sites)
	}
	return badSignature("the signature is not of the key's kind")
}

// VerifyAs is Verify for what the document does. A withdrawal may be signed on any site: the key was
// bound on one of the custodian's, and a custodian that gives up its sites, or says so, doesn't
// thereby keep its patients from withdrawing.
func (s Signed) VerifyAs(act Act, sites []registry.RelyingParty) error {
	err := s.Verify(sites)
	var r *refusal.Refusal
	if act == Withdraw && errors.As(err, &r) && r.Code == UnknownSite {
		return nil
	}
	return err
}

// verifyEd25519 follows RFC 8032, §5.1.7, as crypto/ed25519 does: it refuses an S that isn't reduced.
func verifyEd25519(public, message, signature []byte) bool {
	return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, message, signature)
}

// verifyES256 wants the signature in strict DER (X.690), SEC 1's ECDSA-Sig-Value.
func verifyES256(key Key, message, signature []byte) bool {
	public, err := key.ecdsa()
	if err != nil {
		return false
	}
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(public, sum[:], signature)
}

func badSignature(fault string) error {
	return refusal.New(BadSignature, "the directive isn't signed: "+fault, "the signature of the patient's wallet or passkey over the canonical document")
}
