package report_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"testing"

	"yitong/gateway/audit/auditevent"
	"yitong/gateway/audit/projection"
)

// What is exported names a user and a role for every entry that a certificate stands behind.
func TestExportsNameUserAndRole(t *testing.T) {
	entries, asOf := trail(t)
	rows, err := csv.NewReader(bytes.NewReader(write(t, "csv", "en", entries, asOf))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	user, role := slices.Index(rows[0], "user"), slices.Index(rows[0], "user_role")
	for i, e := range entries {
		if e.Kind == projection.KindConfiguration {
			continue
		}
		if row := rows[i+1]; row[user] == "" || row[role] == "" {
			t.Errorf("entry %d, a %s: user %q, role %q", e.Number, e.Kind, row[user], row[role])
		}
		v := auditevent.Of(e, auditevent.Source{Member: "RegulatorMSP", Channel: "consortium"}, "")
		named := slices.ContainsFunc(v.Agent, func(a auditevent.Agent) bool {
			return a.Who.Identifier != nil && a.Who.Identifier.Value == e.User && len(a.Role) == 1 && a.Role[0].Coding[0].Code == e.UserRole
		})
		if !named {
			t.Errorf("entry %d, a %s: no agent is %q as %s", e.Number, e.Kind, e.User, e.UserRole)
		}
	}
}
