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
