package registry

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"yitong/chaincode/consent"
	"yitong/chaincode/refusal"
)

// Policy is what a member demands on top of what all agreed on. Decisions read it with the
// member; the member alone changes it.
type Policy struct {
	// Assurance is the least that a consent must have to permit anything to this member as a
	// requester, or from it as a custodian. Denials count whatever their assurance.
	Assurance consent.Assurance `json:"assurance,omitzero"`

	// EmergencySeconds is the longest that a break-glass permit lasts at this custodian; 0 is
	// what chaincode/access has as the default.
	EmergencySeconds int64 `json:"emergencySeconds,omitzero"`

	// RelyingParties are the web sites of this custodian's on which patients sign with a
	// passkey, by id; at most MaxRelyingParties.
	RelyingParties []RelyingParty `json:"relyingParties,omitempty"`
}

// RelyingParty is a site as WebAuthn knows it (W3C WebAuthn Level 3).
type RelyingParty struct {
	ID      string   `json:"id"`      // the domain whose SHA-256 authenticators sign (§4, RP ID)
	Origins []string `json:"origins"` // scheme, host and port as browsers write them, 1 to MaxOrigins
}

// Bounds of a policy, which every decision reads.
const (
	MaxRelyingParties = 8
	MaxOrigins        = 8
	// MaxEmergencySeconds is a day: a break-glass permit that outlives the shift is no emergency's.
	MaxEmergencySeconds = 24 * 60 * 60
)

// Check refuses a policy with a malformed field: code malformed.
func (p Policy) Check() error {
	switch {
	case !p.Assurance.Known():
		return refusal.New(refusal.Malformed, "the policy demands an unknown assurance", "attested, passkey or wallet")
	case p.EmergencySeconds < 0 || p.EmergencySeconds > MaxEmergencySeconds:
		return refusal.New(refusal.Malformed, "a break-glass permit can't last that long", fmt.Sprintf("1 to %d seconds, or 0 for the default", MaxEmergencySeconds))
	case p.RelyingParties != nil && len(p.RelyingParties) == 0:
		return refusal.New(refusal.Malformed, "the list of relying parties is empty", "leaving it out for none")
	case len(p.RelyingParties) > MaxRelyingParties:
		return refusal.New(refusal.TooLarge, "too many relying parties", fmt.Sprintf("at most %d", MaxRelyingParties))
	}
	for i, r := range p.RelyingParties {
		if i > 0 && p.RelyingParties[i-1].ID >= r.ID {
			return refusal.New(refusal.Malformed, "the relying parties are not in order", "each once, sorted by id")
		}
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

func (r RelyingParty) check() error {
	if !domain(r.ID) {
		return refusal.New(refusal.Malformed, "a relying party has no usable id", "a domain in lower case, such as patients.hospital.example")
	}
	if len(r.Origins) < 1 || len(r.Origins) > MaxOrigins {
		return refusal.New(refusal.Malformed, "relying party "+r.ID+" has no or too many origins", fmt.Sprintf("1 to %d", MaxOrigins))
	}
	for _, o := range r.Origins {
		u, err := url.Parse(o)
		if err != nil || len(o) > 255 || "https://"+u.Host != o || !within(u.Hostname(), r.ID) {
			return refusal.New(refusal.Malformed, "relying party "+r.ID+" has an unusable origin",
				"https://host[:port] without a path, the host being "+r.ID+" or below it")
		}
	}
	return nil
}

// Equal reports that both demand the same.
func (p Policy) Equal(o Policy) bool {
	return p.Assurance == o.Assurance && p.EmergencySeconds == o.EmergencySeconds && slices.EqualFunc(p.RelyingParties, o.RelyingParties, RelyingParty.equal)
}

func (r RelyingParty) equal(o RelyingParty) bool {
	return r.ID == o.ID && slices.Equal(r.Origins, o.Origins)
}

// within reports that a host is a domain or below it.
func within(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// domain is a host name of letters, digits, dashes and dots, in lower case.
func domain(s string) bool {
	return len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" &&
		s != "" && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}
