package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/ledger"
)

// direct is what the chaincode answers on a peer: the state itself.
type direct struct {
	accesses                    map[string]contract.AccessEntry
	standing                    []contract.RelationshipConsents
	records                     map[string]record.Anchor
	grants, amends, withdrawals int
}

// evaluate asks the own peer's chaincode.
func evaluate[Out any](t *testing.T, l *ledger.Ledger, function string, in any) (out Out) {
	t.Helper()
	if err := l.Evaluate(t.Context(), function, in, &out, ledger.OwnPeerOnly()); err != nil {
		t.Fatalf("%s: %v", function, err)
	}
	return out
}

var custodians = []string{"HospitalA", "HospitalB"}

func read(t *testing.T, l *ledger.Ledger) direct {
	t.Helper()
	d := direct{accesses: map[string]contract.AccessEntry{}, records: map[string]record.Anchor{}}
	for _, custodian := range custodians {
		for bookmark := ""; ; {
			page := evaluate[contract.AccessPage](t, l, contract.AccessAccesses, contract.ListQuery{Custodian: custodian, Size: contract.MaxPage, Bookmark: bookmark})
			for _, a := range page.Accesses {
				d.accesses[a.ID] = a
			}
			if bookmark = page.Bookmark; bookmark == "" {
				break
			}
		}
		for bookmark := ""; ; {
			page := evaluate[contract.RelationshipPage](t, l, contract.ConsentList, contract.ListQuery{Custodian: custodian, Size: contract.MaxPage, Bookmark: bookmark})
			d.standing = append(d.standing, page.Relationships...)
			if bookmark = page.Bookmark; bookmark == "" {
				break
			}
		}
		for bookmark := ""; ; {
			page := evaluate[contract.AnchorPage](t, l, contract.RecordRecords, contract.RecordsQuery{Custodian: custodian, Size: contract.MaxPage, Bookmark: bookmark})
			for _, a := range page.Records {
				d.records[a.ID] = a
			}
			if bookmark = page.Bookmark; bookmark == "" {
				break
			}
		}
	}
	for _, r := range d.standing {
		for _, c := range r.Consents {
			d.grants++
			d.amends += c.Version - 1
			if c.Status == consent.Withdrawn {
				d.withdrawals, d.amends = d.withdrawals+1, d.amends-1
			}
		}
	}
	return d
}

// compare asks the projection every question, and works the answers out from the state.
func compare(t *testing.T, d direct, audit yitongv1.AuditClient, l *ledger.Ledger) {
	requests := map[string]bool{}
	denied := map[string]int64{}
	byMember := map[string]int{}
	for e := range entries(t, audit, &yitongv1.EntryFilter{Kinds: []string{"request"}}) {
		a := d.accesses[e.GetObject()].Access
		if a == nil || requests[e.GetObject()] {
			t.Fatalf("the projection has request %s, the chaincode %v", e.GetObject(), a)
		}
		requests[e.GetObject()] = true
		byMember[e.GetMember()]++
		rule, classes := a.Decision.Rule, a.Classes
		if a.Permitted() {
			classes = a.Decision.Scope.Classes
		}
		same := e.GetHandle() == a.Handle && e.GetCustodian() == a.Custodian && e.GetRequester() == a.Requester && e.GetPurpose() == fmt.Sprint(a.Purpose) &&
			slices.Equal(e.GetClasses(), classes.Codes()) && (e.GetOutcome() == "success") == a.Permitted() && e.GetReason() == string(rule.Reason) &&
			e.GetPolicy().GetConsentId() == rule.Consent && int(e.GetPolicy().GetVersion()) == rule.Version
		if !same {
			t.Errorf("request %s: chaincode %+v, projection %v", a.ID, a, e)
		}
		if !a.Permitted() {
			denied[e.GetReason()]++
		}
	}
	equal(t, "requests", len(requests), len(d.accesses))
	denials, err := audit.Denials(t.Context(), &yitongv1.DenialsRequest{})
	must(t, err)
	equal(t, "reasons of denial", len(denials.GetReasons()), len(denied))
	for _, r := range denials.GetReasons() {
		equal(t, "denied for "+r.GetReason(), r.GetCount(), denied[r.GetReason()])
	}

	released, received, unreceipted := map[string]*access.Release{}, map[string]*access.Receipt{}, map[string]bool{}
	let := map[string][]string{} // by handle
	for id, a := range d.accesses {
		if a.Release == nil {
			continue
		}
		released[id] = a.Release
		let[a.Access.Handle] = append(let[a.Access.Handle], id)
		if received[id] = a.Receipt; a.Receipt == nil {
			delete(received, id)
			unreceipted[id] = true
		}
	}
	for e := range entries(t, audit, &yitongv1.EntryFilter{Kinds: []string{"release"}}) {
		if released[e.GetObject()] == nil {
			t.Errorf("the projection has release %s, the chaincode doesn't", e.GetObject())
		}
		delete(released, e.GetObject())
	}
	equal(t, "releases that the projection lacks", len(released), 0)
	for e := range entries(t, audit, &yitongv1.EntryFilter{Kinds: []string{"receipt"}}) {
		r := received[e.GetObject()]
		if r == nil || (e.GetOutcome() == "success") != (r.Outcome == access.Opened) {
			t.Errorf("receipt %s: the projection says %s, the chaincode %+v", e.GetObject(), e.GetOutcome(), r)
		}
		delete(received, e.GetObject())
	}
	equal(t, "receipts that the projection lacks", len(received), 0)
	page := &yitongv1.Page{Size: 100}
	for {
		answer, err := audit.Unreceipted(t.Context(), &yitongv1.UnreceiptedRequest{Page: page})
		must(t, err)
		for _, one := range answer.GetReleases() {
			if !unreceipted[one.GetAccess().GetId()] {
				t.Errorf("the projection says that %s has no receipt", one.GetAccess().GetId())
			}
			delete(unreceipted, one.GetAccess().GetId())
		}
		if page.Bookmark = answer.GetNextBookmark(); page.Bookmark == "" {
			break
		}
	}
	equal(t, "releases without receipt that the projection lacks", len(unreceipted), 0)
	compareDisclosures(t, let, audit)
	compareConsents(t, d, audit, l)
	compareRecords(t, d, audit)
}

// some takes every n-th, so that about so many are looked at one by one.
func some[T any](all []T, about int) []T {
	step := max(1, len(all)/about)
	var out []T
	for i := 0; i < len(all); i += step {
		out = append(out, all[i])
	}
	return out
}

func compareDisclosures(t *testing.T, let map[string][]string, audit yitongv1.AuditClient) {
	var handles []string
	for handle := range let {
		handles = append(handles, handle)
	}
	slices.SortFunc(handles, func(a, b string) int { return len(let[b]) - len(let[a]) })
	for _, handle := range some(handles, 400) {
		var got []string
		page := &yitongv1.Page{Size: 100}
		for {
			answer, err := audit.Disclosures(t.Context(), &yitongv1.DisclosuresRequest{Handle: handle, Page: page})
			must(t, err)
			for _, one := range answer.GetDisclosures() {
				got = append(got, one.GetAccess().GetId())
			}
			if page.Bookmark = answer.GetNextBookmark(); page.Bookmark == "" {
				break
			}
		}
		slices.Sort(got)
		slices.Sort(let[handle])
		if !slices.Equal(got, let[handle]) {
			t.Errorf("disclosures about %s: projection %v, chaincode %v", handle, got, let[handle])
		}
	}
}

func compareConsents(t *testing.T, d direct, audit yitongv1.AuditClient, l *ledger.Ledger) {
	type known struct {
		contract.RelationshipConsents
		consent.Consent
	}
	var all []known
	ending := map[string]string{} // by when and id
	for _, r := range d.standing {
		for _, c := range r.Consents {
			all = append(all, known{r, c})
			if c.Status == consent.Active && c.Period.End != 0 {
				ending[c.ID] = c.Period.End.String()
			}
		}
	}
	versions := 0
	for range entries(t, audit, &yitongv1.EntryFilter{Kinds: []string{"consent"}}) {
		versions++
	}
	equal(t, "versions of consents", versions, d.grants+d.amends+d.withdrawals)
	for _, k := range some(all, 500) {
		history := evaluate[contract.ConsentPage](t, l, contract.ConsentHistory, contract.HistoryQuery{Custodian: k.Custodian, Requester: k.Requester, Handle: k.Handle, ID: k.ID, Size: contract.MaxPage})
		life, err := audit.Consent(t.Context(), &yitongv1.ConsentLifeRequest{Id: k.ID, Page: &yitongv1.Page{Size: 100}})
		must(t, err)
		equal(t, "versions of "+k.ID, len(life.GetVersions()), len(history.Versions))
		for i, v := range history.Versions {
			if i >= len(life.GetVersions()) {
				break
			}
			got := life.GetVersions()[i]
			if got.GetConsent().GetStatus() != string(v.Consent.Status) || int(got.GetConsent().GetVersion()) != v.Consent.Version || got.GetReason() != v.Reason {
				t.Errorf("consent %s version %d: chaincode %+v, projection %v", k.ID, v.Consent.Version, v, got)
			}
		}
	}
	before := ""
	page := &yitongv1.Page{Size: 100}
	for {
		answer, err := audit.Expiring(t.Context(), &yitongv1.ExpiringRequest{Page: page})
		must(t, err)
		for _, one := range answer.GetConsents() {
			id := one.GetConsent().GetId()
			if ending[id] == "" || ending[id] < before {
				t.Errorf("consent %s ends %q by the chaincode, and is listed after %s", id, ending[id], before)
			}
			before = ending[id]
			delete(ending, id)
		}
		if page.Bookmark = answer.GetNextBookmark(); page.Bookmark == "" {
			break
		}
	}
	equal(t, "consents with an end that the projection lacks", len(ending), 0)
}

func compareRecords(t *testing.T, d direct, audit yitongv1.AuditClient) {
	last := map[string]string{}
	for e := range entries(t, audit, &yitongv1.EntryFilter{Kinds: []string{"record"}}) {
		last[e.GetObject()] = e.GetAction()
	}
	equal(t, "records", len(last), len(d.records))
	for id, a := range d.records {
		if last[id] != string(a.Status) {
			t.Errorf("record %s is %s, the projection's trail ends with %s", id, a.Status, last[id])
		}
	}
}

// entries yields the audit trail that matches, oldest first.
func entries(t *testing.T, audit yitongv1.AuditClient, f *yitongv1.EntryFilter) func(func(*yitongv1.AuditEntry) bool) {
	return func(yield func(*yitongv1.AuditEntry) bool) {
		page := &yitongv1.Page{Size: 100}
		for {
			answer, err := audit.Entries(t.Context(), &yitongv1.EntriesRequest{Filter: f, Page: page})
			must(t, err)
			for _, e := range answer.GetEntries() {
				if e.GetOutcome() != "invalid" && !yield(e) {
					return
				}
			}
			if page.Bookmark = answer.GetNextBookmark(); page.Bookmark == "" {
				return
			}
		}
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", strings.TrimSpace(what), got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
