package history_test

import (
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
)

// breakGlass has H2 break the glass at H1, under the real chaincode.
func (w *world) breakGlass(handle string) (a access.Access, ok bool) {
	w.Helper()
	in := access.Request{
		ID: w.hex(32), Custodian: "H1", Handle: handle, Purpose: consent.ETREAT, Action: consent.Access, Classes: record.ClassesOf(record.Laboratory),
		Actor: access.Actor{User: w.hex(64), Role: access.Clinician}, Emergency: access.Emergency{Reason: access.Unconscious},
	}
	ok = w.submitAs(w.ledger.EnrolWith("H2", "clinicians", map[string]string{access.RoleAttribute: string(access.Clinician)}), contract.AccessRequest, in, &a)
	return a, ok
}

func (w *world) judge(a access.Access, outcome access.Verdict) {
	w.Helper()
	if !w.submit("R1", contract.AccessReview, access.Judgement{Custodian: "H1", Requester: "H2", ID: a.ID, Outcome: outcome, Reason: "seen"}, nil) {
		w.Fatal("the review was refused")
	}
}

// What the projection answers of emergencies is what the chaincode answers of its state.
func TestEmergenciesAgreeWithTheChaincode(t *testing.T) {
	w := newWorld(t, 11)
	handle := "1-" + w.hex(64)
	broken := map[string]access.Access{}
	for range 60 {
		w.ledger.Advance(time.Duration(w.IntN(10)) * time.Hour)
		switch a, ok := w.breakGlass(handle); {
		case ok:
			broken[a.ID] = a
		default: // blocked: the regulator catches up
			for _, o := range ask[contract.EmergencyList](w, contract.AccessEmergencies, contract.EmergenciesQuery{Requester: "H2"}).Open {
				if !o.Rejected.IsZero() {
					w.submit("R1", contract.AccessResolve, access.Settlement{Custodian: "H1", Requester: "H2", ID: o.ID, Reason: "trained"}, nil)
				} else if w.IntN(3) > 0 {
					w.judge(broken[o.ID], []access.Verdict{access.Accepted, access.Rejected}[w.IntN(2)])
				}
			}
		}
	}
	h := made(t, w.chain)
	now := record.At(w.ledger.Now())
	states := map[history.ReviewState]map[string]bool{}
	for _, s := range append(history.ReviewStates, "") {
		states[s] = map[string]bool{}
		for bookmark, more := "", true; more; more = bookmark != "" {
			list, next, _, err := h.Emergencies(t.Context(), history.EmergencyFilter{State: s}, now, history.Page{Size: 7, Bookmark: bookmark})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				states[s][e.ID] = true
				agree(t, "emergency "+e.ID, broken[e.ID], e.Access)
			}
			bookmark = next
		}
	}
	want := map[history.ReviewState]map[string]bool{"": {}, history.Unreviewed: {}, history.Overdue: {}, history.Accepted: {}, history.Rejected: {}, history.Unresolved: {}}
	for id := range broken {
		direct := ask[contract.AccessList](w, contract.AccessAccess, contract.AccessQuery{Custodian: "H1", Requester: "H2", IDs: []string{id}}).Accesses[0]
		want[""][id] = true
		switch r := direct.Review; {
		case r == nil:
			want[history.Unreviewed][id] = true
			if now >= broken[id].At+access.ReviewTerm {
				want[history.Overdue][id] = true
			}
		case r.Outcome == access.Accepted:
			want[history.Accepted][id] = true
		default:
			want[history.Rejected][id] = true
			if r.Resolution == nil {
				want[history.Unresolved][id] = true
			}
		}
	}
	agree(t, "states", want, states)
	for s, ids := range want {
		if len(ids) == 0 && s != history.Unresolved && s != history.Overdue {
			t.Errorf("no emergency is %s", s)
		}
	}
	// The trail has the person's digest and role, and each review.
	reviews := everything(t, h, history.Filter{Kinds: []projection.Kind{projection.KindReview}}, 1000, false)
	if len(reviews) == 0 {
		t.Error("the trail has no review")
	}
	for _, e := range reviews {
		if e.Handle != handle || e.Purpose != "ETREAT" || e.Member != "R1" {
			t.Errorf("review %+v", e)
		}
	}
	for _, e := range everything(t, h, history.Filter{Kinds: []projection.Kind{projection.KindRequest}}, 1000, false) {
		if a := broken[e.Object]; !e.BreakGlass() || e.User != a.User || e.UserRole != string(access.Clinician) {
			t.Errorf("request %+v", e)
		}
	}
}

// A hospital that breaks the glass once a day and then nine times on one is told.
func TestRatesTellAnUnusualDay(t *testing.T) {
	w := newWorld(t, 12)
	handle := "1-" + w.hex(64)
	start := record.At(w.ledger.Now())
	for day := range 12 {
		times := 1
		if day == 10 {
			times = 9
		}
		for range times {
			a, ok := w.breakGlass(handle)
			if !ok {
				t.Fatal("blocked")
			}
			if day < 11 {
				w.judge(a, access.Accepted)
			}
		}
		w.ledger.Advance(24 * time.Hour)
	}
	h := made(t, w.chain)
	now := record.At(w.ledger.Now()) + access.ReviewTerm
	rates, _, err := h.EmergencyRates(t.Context(), record.Period{Start: start}, now)
	if err != nil || len(rates) != 1 {
		t.Fatalf("%+v, %v", rates, err)
	}
	r := rates[0]
	if r.Member != "H2" || r.Emergencies != 20 || r.Overdue != 1 || r.Rejected != 0 {
		t.Errorf("rates %+v", r)
	}
	if len(r.Days) != 1 || r.Days[0].Requests != 9 || r.Days[0].Usual != 1 {
		t.Errorf("unusual days %+v", r.Days)
	}
	if rates, _, err = h.EmergencyRates(t.Context(), record.Period{Start: start}, now, "H1"); err != nil || len(rates) != 0 {
		t.Errorf("of another member: %+v, %v", rates, err)
	}
}
