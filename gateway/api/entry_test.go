package api

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"yitong/chaincode/access"
	"yitong/gateway/identity"
	"yitong/gateway/share"
)

// A14: nobody is taken for another one in the outbox, whose key is the caller's own; and
// everybody is who he was, whatever he shows.
func TestAKeyIsItsCallersOwn(t *testing.T) {
	software := func(name string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}}
	}
	li := share.Person{Name: "li", Role: access.Clinician}
	all := map[string]caller{
		"another member's software": {msp: "Other", cert: software("ehr")},
		"software":                  {msp: "Own", cert: software("ehr")},
		"other software":            {msp: "Own", cert: software("pacs")},
		"a person":                  {msp: "Own", cert: software("li"), holder: li},
		"the person as another":     {msp: "Own", cert: software("li"), holder: share.Person{Name: "li", Role: access.Auditor}},
		"another person":            {msp: "Own", bearer: &identity.Bearer{Name: "wang", Role: access.Clinician}},
		"a service":                 {msp: "Own", bearer: &identity.Bearer{Service: "ehr"}},
		"another service":           {msp: "Own", bearer: &identity.Bearer{Service: "li"}},
	}
	type key struct{ member, user, role string }
	of := func(c caller) key {
		e := entryCaller(context.WithValue(t.Context(), callerKey{}, c))
		return key{e.Member, e.User, e.Role}
	}
	who := map[key]string{}
	for name, c := range all {
		if other, taken := who[of(c)]; taken {
			t.Errorf("%s is taken for %s", name, other)
		}
		who[of(c)] = name
	}
	for name, c := range map[string]caller{
		"a person":  {msp: "Own", bearer: &identity.Bearer{Name: "li", Role: access.Clinician}},
		"a service": {msp: "Own", cert: software("pacs"), bearer: &identity.Bearer{Service: "ehr"}},
	} {
		if got := who[of(c)]; got != name {
			t.Errorf("%s, by a token: is %q", name, got)
		}
	}
}
