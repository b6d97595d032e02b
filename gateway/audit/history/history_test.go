package history_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/ledger"
)

func made(t testing.TB, blocks []ledger.Block) history.History {
	t.Helper()
	d, err := projection.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "audit.db"), projectiontest.Chaincode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Apply(t.Context(), blocks...); err != nil {
		t.Fatal(err)
	}
	return history.History{Database: d}
}

// everything is all entries that match, page by page.
func everything(t testing.TB, h history.History, f history.Filter, size int, newest bool) []history.Entry {
	t.Helper()
	var all []history.Entry
	for p := (history.Page{Size: size, Newest: newest}); ; {
		list, next, _, err := h.Entries(t.Context(), f, p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
		if next == "" {
			return all
		}
		p.Bookmark = next
	}
}

// Filtered by the database or by hand, in pages of whatever size, either way round: the
// same entries.
func TestFiltersAndPagesAgreeWithFilteringByHand(t *testing.T) {
	h := made(t, projectiontest.Blocks(11, 3000))
	all := everything(t, h, history.Filter{}, 1000, false)
	for i, e := range all {
		if e.Number != int64(i) {
			t.Fatalf("entry %d is numbered %d", i, e.Number)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		like := rapid.SampledFrom(all).Draw(r, "an entry")
		var f history.Filter
		if rapid.Bool().Draw(r, "about") && like.Handle != "" {
			f.About = []contract.Relationship{{Handle: like.Handle}}
			if other := rapid.SampledFrom(all).Draw(r, "another"); other.Handle != "" && other.Handle != like.Handle {
				f.About = append(f.About, contract.Relationship{Custodian: other.Custodian, Requester: other.Requester, Handle: other.Handle})
			}
		}
		if rapid.Bool().Draw(r, "member") {
			f.Member = like.Member
		}
		if rapid.Bool().Draw(r, "custodian") {
			f.Custodian = like.Custodian
		}
		if rapid.Bool().Draw(r, "requester") {
			f.Requester = like.Requester
		}
		if rapid.IntRange(0, 4).Draw(r, "object") == 0 {
			f.Object = like.Object
		}
		if rapid.Bool().Draw(r, "kind") {
			f.Kinds = []projection.Kind{like.Kind, projection.KindRelease}
		}
		if rapid.Bool().Draw(r, "outcome") {
			f.Outcomes = []projection.Outcome{like.Outcome}
		}
		if rapid.Bool().Draw(r, "purpose") {
			f.Purpose = like.Purpose
		}
		if rapid.Bool().Draw(r, "time") {
			at := record.At(like.Claimed)
			f.Time = record.Period{Start: at - record.Instant(rapid.IntRange(0, 1e6).Draw(r, "before")), End: at + record.Instant(rapid.IntRange(1, 1e6).Draw(r, "after"))}
		}
		newest := rapid.Bool().Draw(r, "newest")
		var want []history.Entry
		for _, e := range all {
			if matches(f, e) {
				want = append(want, e)
			}
		}
		if newest {
			slices.Reverse(want)
		}
		got := everything(t, h, f, min(1000, rapid.SampledFrom([]int{1, 3, 50, 1000}).Draw(r, "size")+len(want)/20), newest)
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatalf("filter %+v: -by hand +asked\n%s", f, diff)
		}
	})
}

func matches(f history.Filter, e history.Entry) bool {
	about := f.About == nil
	for _, r := range f.About {
		about = about || e.Handle == r.Handle
	}
	given := func(want, is string) bool { return want == "" || want == is }
	return about && given(f.Member, e.Member) && given(f.Custodian, e.Custodian) && given(f.Requester, e.Requester) && given(f.Object, e.Object) &&
		given(f.Purpose, e.Purpose) && (f.Kinds == nil || slices.Contains(f.Kinds, e.Kind)) && (f.Outcomes == nil || slices.Contains(f.Outcomes, e.Outcome)) &&
		f.Time.Contains(record.At(e.Claimed))
}

func TestEveryEntryHasItsAuditFields(t *testing.T) {
	h := made(t, projectiontest.Blocks(12, 8000))
	ordered := map[projection.Kind]int{}
	for _, e := range everything(t, h, history.Filter{}, 1000, false) {
		if e.Kind == "" || e.Action == "" || e.Outcome == "" || e.Claimed.IsZero() || e.Member == "" || e.Validation == "" {
			t.Fatalf("entry lacks a field: %+v", e)
		}
		if e.Kind == projection.KindConfiguration {
			continue
		}
		if e.Block > 2 && (e.Role == "" || e.AccessPoint == "" || e.Agent == "" || len(e.Endorsers) == 0 || e.Function == "") {
			t.Fatalf("entry lacks who, where or by whom: %+v", e)
		}
		switch e.Kind {
		case projection.KindRequest, projection.KindRelease, projection.KindReceipt:
			if e.Handle == "" || e.Purpose == "" || e.Custodian == "" || e.Requester == "" || e.Object == "" {
				t.Fatalf("an access lacks whom it is about: %+v", e)
			}
			if e.Kind == projection.KindRequest && e.Outcome != projection.Invalid && e.Reason == "" {
				t.Fatalf("a decision lacks its reason: %+v", e)
			}
		case projection.KindOrder, projection.KindAnswer, projection.KindConclusion: // all of accesses here
			if e.Outcome == projection.Invalid {
				continue
			}
			ordered[e.Kind]++
			if e.Handle == "" || e.Custodian == "" || e.Requester == "" {
				t.Fatalf("an order lacks whom it is about: %+v", e)
			}
		}
	}
	if len(ordered) != 3 {
		t.Errorf("the history holds too little: %v", ordered)
	}
}

// The accounting of disclosures, releases without receipt and denials are all told from
// the entries too: both tell the same.
func TestTheSpecialQuestionsAgreeWithTheTrail(t *testing.T) {
	h := made(t, projectiontest.Blocks(13, 4000))
	all := everything(t, h, history.Filter{}, 1000, false)
	released, received, denials := map[string]history.Entry{}, map[string]bool{}, map[string]int64{}
	disclosed := map[string]int{}
	for _, e := range all {
		if e.Outcome == projection.Denied {
			denials[e.Reason]++
		}
		switch {
		case e.Outcome == projection.Invalid:
		case e.Kind == projection.KindRelease:
			released[e.Object] = e
			disclosed[e.Handle]++
		case e.Kind == projection.KindReceipt:
			received[e.Object] = true
		}
	}
	if len(released) == 0 || len(received) == 0 || len(denials) == 0 {
		t.Fatal("the history holds too little to compare")
	}
	for handle, n := range disclosed {
		list, next, asOf, err := h.Disclosures(t.Context(), []contract.Relationship{{Handle: handle}}, record.Period{}, history.Page{Size: 1000})
		if err != nil || next != "" || len(list) != n || asOf.Blocks == 0 {
			t.Fatalf("%d disclosures, want %d: %v", len(list), n, err)
		}
		for _, a := range list {
			e := released[a.ID]
			if a.Transaction != e.Transaction || a.Asked == nil || a.Release == nil || (a.Receipt != nil) != received[a.ID] || a.Asked.Purpose.String() != e.Purpose {
				t.Fatalf("disclosure %+v, entry %+v", a, e)
			}
		}
	}
	open := 0
	for id := range released {
		if !received[id] {
			open++
		}
	}
	var got int
	for p := (history.Page{Size: 7}); ; {
		list, next, _, err := h.Unreceipted(t.Context(), "", "", 0, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if received[a.ID] {
				t.Errorf("%s has a receipt", a.ID)
			}
		}
		if got += len(list); next == "" {
			break
		}
		p.Bookmark = next
	}
	if got != open {
		t.Errorf("%d releases without receipt, want %d", got, open)
	}
	reasons, _, err := h.Denials(t.Context(), "", "", record.Period{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reasons {
		if denials[r.Reason] != r.Count {
			t.Errorf("%d denials for %s, want %d", r.Count, r.Reason, denials[r.Reason])
		}
		delete(denials, r.Reason)
	}
	if len(denials) > 0 {
		t.Errorf("not counted: %v", denials)
	}
}

func TestLivesOfConsentsAndWhichEndSoon(t *testing.T) {
	h := made(t, projectiontest.Blocks(14, 4000))
	latest := map[string]history.Consent{}
	for _, e := range everything(t, h, history.Filter{Kinds: []projection.Kind{projection.KindConsent}}, 1000, false) {
		if _, ok := latest[e.Object]; ok {
			continue
		}
		versions, next, _, err := h.Consent(t.Context(), e.Object, history.Page{Size: 1000})
		if err != nil || next != "" {
			t.Fatal(err)
		}
		for i, v := range versions {
			if v.Consent.Version != i+1 || v.Handle != e.Handle || v.CustodianName == "" {
				t.Fatalf("version %d is %+v", i+1, v)
			}
		}
		latest[e.Object] = versions[len(versions)-1]
	}
	soon := record.Period{Start: record.At(projectiontest.Begin), End: record.At(projectiontest.Begin.Add(100 * 24 * time.Hour))}
	want := map[string]bool{}
	for id, v := range latest {
		if end := v.Consent.Period.End; v.Consent.Status == "active" && end >= soon.Start && end < soon.End && end != 0 {
			want[id] = true
		}
	}
	if len(want) == 0 {
		t.Fatal("none of the history's consents ends")
	}
	var last record.Instant
	for p := (history.Page{Size: 3}); ; {
		list, next, _, err := h.Expiring(t.Context(), soon, "", "", p)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if end := c.Consent.Period.End; !want[c.Consent.ID] || end < last {
				t.Errorf("consent %s, ending %v after %v, is not wanted here", c.Consent.ID, end, last)
			}
			last = c.Consent.Period.End
			delete(want, c.Consent.ID)
		}
		if next == "" {
			break
		}
		p.Bookmark = next
	}
	if len(want) > 0 {
		t.Errorf("%d consents that end were not told", len(want))
	}
	var refused *refusal.Refusal
	if _, _, _, err := h.Consent(t.Context(), "no such consent", history.Page{}); !errors.As(err, &refused) || refused.Code != refusal.NotFound {
		t.Errorf("an unknown consent: %v", err)
	}
}

// steady is a chain in which a member asks so often on each day.
func steady(counts ...int) projectiontest.Chain {
	var c projectiontest.Chain
	var previous []byte
	for day, n := range counts {
		var txs []ledger.Transaction
		for i := range n {
			id := fmt.Sprintf("%032x", day*1000+i)
			txs = append(txs, ledger.Transaction{
				ID: id, Chaincode: projectiontest.Chaincode, Function: contract.AccessRequest, Creator: ledger.Identity{MSP: "InsurerMSP"},
				Timestamp: projectiontest.Begin.Add(time.Duration(day)*24*time.Hour + time.Duration(i)*time.Minute),
				Writes: []ledger.Write{projectiontest.Put(map[string]any{
					"id": id, "custodian": "H", "requester": "InsurerMSP", "handle": "h", "purpose": "CLMATTCH", "action": "access", "classes": []string{"claim"}, "period": struct{}{},
					"at": "2026-01-01T00:00:00Z", "decision": map[string]any{"outcome": "deny", "rule": map[string]any{"reason": "nothing-said"}},
				}, "access", "H", "InsurerMSP", id)},
			})
		}
		b := projectiontest.Link(previous, uint64(day), txs)
		previous = b.Hash[:]
		c = append(c, b)
	}
	return c
}

func TestChangesTellDaysUnlikeThoseBefore(t *testing.T) {
	usual := []int{20, 22, 19, 21, 20, 18, 23, 20, 21, 20, 22, 19}
	for _, test := range []struct {
		name  string
		today int
		want  bool
	}{
		{"as ever", 21, false}, {"a little more", 30, false}, {"twice as many and more", 45, true}, {"none at all", 0, true}, {"ten times", 200, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := made(t, steady(append(slices.Clone(usual), test.today, 1)...))
			day := record.At(projectiontest.Begin.AddDate(0, 0, len(usual)))
			changes, _, err := h.Changes(t.Context(), record.Period{Start: day, End: day + 86400})
			if err != nil {
				t.Fatal(err)
			}
			// A day without requests is told only where a later one shows that it is over.
			if test.today == 0 {
				changes, _, err = h.Changes(t.Context(), record.Period{Start: day, End: day + 2*86400})
				if err != nil {
					t.Fatal(err)
				}
				changes = slices.DeleteFunc(changes, func(c history.Change) bool { return c.Day != day })
			}
			if (len(changes) == 1) != test.want {
				t.Fatalf("told %+v, want %v", changes, test.want)
			}
			if test.want && (changes[0].Requests != int64(test.today) || changes[0].Denied != int64(test.today) || changes[0].Usual != 20) {
				t.Errorf("told %+v", changes[0])
			}
		})
	}
	h := made(t, steady(5, 5, 500))
	if changes, _, err := h.Changes(t.Context(), record.Period{Start: record.At(projectiontest.Begin)}); err != nil || len(changes) > 0 {
		t.Errorf("with two days to compare: %+v, %v", changes, err)
	}
}

func TestPagesThatCannotBeAreRefused(t *testing.T) {
	h := made(t, projectiontest.Blocks(15, 100))
	for name, p := range map[string]history.Page{
		"too large": {Size: history.MaxPage + 1}, "negative": {Size: -1}, "no bookmark": {Bookmark: "x"}, "another's bookmark": {Bookmark: "-4"},
	} {
		var refused *refusal.Refusal
		if _, _, _, err := h.Entries(t.Context(), history.Filter{}, p); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whoever was a member, or did something, is known; nobody else is.
func TestTheLedgerKnowsWhomItTellsOf(t *testing.T) {
	h := made(t, projectiontest.Blocks(14, 400))
	seen := map[string]bool{}
	for _, e := range everything(t, h, history.Filter{}, 1000, false) {
		seen[e.Member], seen[e.Custodian] = true, true
	}
	delete(seen, "")
	if len(seen) < 3 {
		t.Fatalf("the history has only %v", seen)
	}
	members, err := h.Members(t.Context())
	if err != nil || len(members) < 3 {
		t.Fatalf("%d members, %v", len(members), err)
	}
	for _, m := range members {
		if seen[m.MSP] = true; m.Name == "" || m.Gateway == "" {
			t.Errorf("%s is called %q, at %q", m.MSP, m.Name, m.Gateway)
		}
	}
	seen["Nobody"], seen[""] = false, false
	for msp, want := range seen {
		if known, err := h.Knows(t.Context(), msp); err != nil || known != want {
			t.Errorf("%q is known: %v, %v", msp, known, err)
		}
	}
}

// A day is told the same, however long before the first one the time begins.
func TestALongTimeBeforeTheFirstDayChangesNothing(t *testing.T) {
	h := made(t, projectiontest.Blocks(15, 3000))
	all := everything(t, h, history.Filter{}, 1000, false)
	first := record.At(all[0].Claimed)
	for name, ask := range map[string]func(record.Period) (any, error){
		"changes": func(p record.Period) (any, error) { list, _, err := h.Changes(t.Context(), p); return list, err },
		"rates": func(p record.Period) (any, error) {
			list, _, err := h.EmergencyRates(t.Context(), p, first)
			return list, err
		},
	} {
		long, err := ask(record.Period{})
		if err != nil {
			t.Fatal(err)
		}
		near, err := ask(record.Period{Start: first - 30*24*60*60})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(near, long); diff != "" {
			t.Errorf("%s: -near +long\n%s", name, diff)
		}
	}
}
