package directive

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"

	"github.com/go-json-experiment/json"

	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Assertion is what an authenticator answers to navigator.credentials.get (W3C Web Authentication
// Level 3). All are base64 in JSON.
type Assertion struct {
	AuthenticatorData []byte `json:"authenticatorData"` // §6.1
	ClientData        []byte `json:"clientData"`        // §5.8.1, JSON as the browser wrote it
	Signature         []byte `json:"signature"`         // §6.5.5, DER
}

// Flags of authenticator data, §6.1.
const (
	userPresent    = 0x01
	userVerified   = 0x04
	backupEligible = 0x08
	backedUp       = 0x10
)

// Sizes in bytes. Authenticator data is as long as it is without attested credential data, which
// is for registration, and without extensions, which we don't ask for.
const (
	authenticatorDataSize = 37
	maxClientData         = 2 << 10
)

// clientData is the part of the client data that says what was signed where. Browsers add to it.
type clientData struct {
	Type        string  `json:"type"`
	Challenge   string  `json:"challenge"`
	Origin      string  `json:"origin"`
	CrossOrigin bool    `json:"crossOrigin"`
	TopOrigin   *string `json:"topOrigin"`
}

// verify follows §7.2, steps 10 to 21, as far as they concern an assertion without extensions. The
// signature counter is not looked at: passkeys that are synchronised have none.
func (a *Assertion) verify(key Key, challenge [32]byte, sites []registry.RelyingParty) error {
	if len(a.ClientData) > maxClientData {
		return badSignature("the client data is too long")
	}
	var c clientData
	if err := json.Unmarshal(a.ClientData, &c); err != nil { // refuses duplicate names and invalid UTF-8
		return badSignature("the client data isn't JSON")
	}
	if c.Type != "webauthn.get" {
		return badSignature("the client data isn't that of an assertion")
	}
	if c.Challenge != base64.RawURLEncoding.EncodeToString(challenge[:]) {
		return badSignature("the challenge isn't the SHA-256 of the document")
	}
	if c.CrossOrigin || c.TopOrigin != nil {
		return badSignature("the passkey was used within another site's frame")
	}
	if len(a.AuthenticatorData) != authenticatorDataSize {
		return badSignature("the authenticator data has extensions, or isn't any")
	}
	switch flags := a.AuthenticatorData[32]; {
	case flags&userPresent == 0 || flags&userVerified == 0:
		return badSignature("the authenticator didn't verify the user")
	case flags&^(userPresent|userVerified|backupEligible|backedUp) != 0:
		return badSignature("the authenticator data has unknown flags")
	case flags&backedUp != 0 && flags&backupEligible == 0:
		return badSignature("the authenticator contradicts itself about its backup")
	}
	sum := sha256.Sum256(a.ClientData)
	if !verifyES256(key, slices.Concat(a.AuthenticatorData, sum[:]), a.Signature) {
		return badSignature("the signature isn't this passkey's over this document")
	}
	if !usedAt(sites, a.AuthenticatorData[:32], c.Origin) { // the last: see VerifyAs
		return refusal.New(UnknownSite, "the passkey was used on a site that isn't the custodian's", "a site of the custodian's policy (`yitong member policy`)")
	}
	return nil
}

// usedAt finds the site whose id was hashed, and looks for the origin among that site's.
func usedAt(sites []registry.RelyingParty, idHash []byte, origin string) bool {
	for _, s := range sites {
		sum := sha256.Sum256([]byte(s.ID))
		if subtle.ConstantTimeCompare(sum[:], idHash) == 1 {
			return slices.Contains(s.Origins, origin)
		}
	}
	return false
}
