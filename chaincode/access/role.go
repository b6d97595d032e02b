package access

import (
	"slices"
	"strings"

	"yitong/chaincode/refusal"
)

// Role is what a person is to a member, by the attribute RoleAttribute of the person's
// certificate. None is the member's own software, which acts for the member as a whole.
type Role string

// The roles.
const (
	Clinician      Role = "clinician"       // treats patients; may break the glass
	RecordsOfficer Role = "records-officer" // keeps a hospital's records and consents
	ClaimsHandler  Role = "claims-handler"  // settles an insurer's claims
	Auditor        Role = "auditor"         // reads and reviews for a regulator
	Operator       Role = "operator"        // runs the member's systems
	PatientRole    Role = "patient"         // the data subject
)

// RoleAttribute names the attribute of a certificate that holds the role, in Fabric's
// extension of attributes (OID 1.2.3.4.5.6.7.8.1).
const RoleAttribute = "yitong.role"

var roles = []Role{Clinician, RecordsOfficer, ClaimsHandler, Auditor, Operator, PatientRole}

// Known reports whether r is one of the roles; none isn't.
func (r Role) Known() bool { return slices.Contains(roles, r) }

// Actor is a person behind something on the ledger, as the gateway of the person's member
// says; zero where the member's own software acts.
type Actor struct {
	User string `json:"user,omitempty"` // 64 hex digits: salted digest of the person and the role
	Role Role   `json:"role,omitempty"`
}

// Check refuses an actor with a malformed field: code malformed.
func (a Actor) Check() error {
	switch {
	case a.User != "" && !hexDigits(a.User, 64):
		return refusal.New(refusal.Malformed, "the user is not a salted digest", "64 lower-case hex digits, or none")
	case a.Role != "" && a.User == "":
		return refusal.New(refusal.Malformed, "a role is named and no user", "the salted digest of the user too")
	case a.User != "" && a.Role == "":
		return refusal.New(refusal.Malformed, "a user is named and no role", "the user's role too")
	}
	return CheckRole(a.Role)
}

// CheckRole refuses what is neither a role nor none: code malformed.
func CheckRole(r Role) error {
	if r == "" || r.Known() {
		return nil
	}
	known := make([]string, len(roles))
	for i, one := range roles {
		known[i] = string(one)
	}
	return refusal.New(refusal.Malformed, "that is not a role", strings.Join(known, ", ")+", or none")
}
