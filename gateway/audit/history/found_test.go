package history_test

import (
	"slices"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/gateway/audit/history"
)

// Consents come as they stand, accesses as they were asked for; each condition leaves out what it
// says and nothing else; and pages put together are the whole.
func TestConsentsAndAccessesAreFound(t *testing.T) {
	w := newWorld(t, 11)
	of := func(custodian, requester string) contract.Relationship {
		return contract.Relationship{Custodian: custodian, Requester: requester, Handle: "1-" + w.hex(64)}
	}
	one, other := of("H1", "I1"), of("H2", "I1")
	grant := func(r contract.Relationship, until record.Instant) string {
		id := w.hex(32)
		in := contract.Grant{ID: id, Requester: r.Requester, Handle: r.Handle, Period: record.Period{End: until}, Provision: consent.Provision{Type: consent.Permit}, Evidence: w.hex(64)}
		if !w.submit(r.Custodian, contract.ConsentGrant, in, nil) {
			t.Fatal("a consent was refused")
		}
		w.ledger.Advance(time.Minute)
		return id
	}
	begun := record.At(w.ledger.Now())
	first, ends, third := grant(one, 0), grant(one, begun+86400), grant(other, 0)
	later := record.At(w.ledger.Now())
	if !w.submit("H1", contract.ConsentWithdraw, contract.Withdrawal{ID: first, Requester: "I1", Handle: one.Handle, Reason: "patient-request"}, nil) {
		t.Fatal("a withdrawal was refused")
	}
	ask := func(r contract.Relationship, purpose consent.Purpose) string {
		w.ledger.Advance(time.Second)
		id := w.hex(32)
		in := access.Request{ID: id, Custodian: r.Custodian, Handle: r.Handle, Purpose: purpose, Action: consent.Access, Classes: record.ClassesOf(record.Laboratory)}
		if !w.submit(r.Requester, contract.AccessRequest, in, nil) {
			t.Fatal("a request was refused")
		}
		return id
	}
	asked := []string{ask(one, consent.CLMATTCH), ask(other, consent.CLMATTCH), ask(of("H2", "I1"), consent.HPAYMT)}
	h := made(t, w.chain)

	for name, c := range map[string]struct {
		wanted   history.Wanted
		consents []string // by the recording of their newest version
		accesses []string
	}{
		"everything":              {history.Wanted{}, []string{ends, third, first}, asked},
		"of a party":              {history.Wanted{Party: "H2"}, []string{third}, asked[1:]},
		"of a stranger":           {history.Wanted{Party: "R1"}, nil, nil},
		"of a custodian":          {history.Wanted{Custodian: "H1"}, []string{ends, first}, asked[:1]},
		"of a relationship":       {history.Wanted{About: []contract.Relationship{other}}, []string{third}, asked[1:2]},
		"of nobody":               {history.Wanted{About: []contract.Relationship{}}, nil, nil},
		"of its handle elsewhere": {history.Wanted{About: []contract.Relationship{{Custodian: "H2", Requester: "I1", Handle: one.Handle}}}, nil, nil},
		"by ids":                  {history.Wanted{IDs: []string{first, asked[2]}}, []string{first}, asked[2:]},
		"by no ids":               {history.Wanted{IDs: []string{}}, nil, nil},
		"recorded since":          {history.Wanted{Recorded: record.Period{Start: later}}, []string{first}, asked},
		"recorded before":         {history.Wanted{Recorded: record.Period{End: later}}, []string{ends, third}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, newest := range []bool{false, true} {
				var consents, accesses []string
				for p := (history.Page{Size: 1, Newest: newest}); ; {
					list, next, _, err := h.Consents(t.Context(), c.wanted, p)
					if err != nil {
						t.Fatal(err)
					}
					for _, v := range list {
						consents = append(consents, v.Consent.ID)
					}
					if p.Bookmark = next; next == "" {
						break
					}
				}
				for p := (history.Page{Size: 1, Newest: newest}); ; {
					list, next, _, err := h.Accesses(t.Context(), c.wanted, p)
					if err != nil {
						t.Fatal(err)
					}
					for _, a := range list {
						accesses = append(accesses, a.ID)
					}
					if p.Bookmark = next; next == "" {
						break
					}
				}
				if newest {
					slices.Reverse(consents)
					slices.Reverse(accesses)
				}
				if !slices.Equal(consents, c.consents) {
					t.Errorf("consents %v, want %v", consents, c.consents)
				}
				if !slices.Equal(accesses, c.accesses) {
					t.Errorf("accesses %v, want %v", accesses, c.accesses)
				}
			}
		})
	}
	for name, c := range map[string]struct {
		wanted history.Wanted
		want   []string
	}{
		"of a status":                 {history.Wanted{Statuses: []string{"withdrawn"}}, []string{first}},
		"in force later":              {history.Wanted{InForce: record.Period{Start: begun + 86400}}, []string{third, first}},
		"in force to the last second": {history.Wanted{InForce: record.Period{Start: begun + 86399}}, []string{ends, third, first}},
	} {
		list, _, _, err := h.Consents(t.Context(), c.wanted, history.Page{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range list {
			got = append(got, v.Consent.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	list, _, _, err := h.Accesses(t.Context(), history.Wanted{Outcomes: []string{"permit"}, Purpose: "CLMATTCH"}, history.Page{})
	if err != nil || len(list) != 2 {
		t.Errorf("%d permits, %v", len(list), err)
	}
	list, _, _, err = h.Accesses(t.Context(), history.Wanted{Outcomes: []string{"deny"}}, history.Page{})
	if err != nil || len(list) != 1 || list[0].ID != asked[2] {
		t.Errorf("%d denials, %v", len(list), err)
	}
}
