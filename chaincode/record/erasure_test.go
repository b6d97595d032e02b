package record_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

const regulator = "RegulatorMSP"

func erased(t testing.TB, a record.Anchor, parts ...int) record.Anchor {
	t.Helper()
	e, err := a.Erase(custodian, parts, record.PatientRequest, nil, 300)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func held(t testing.TB, until record.Instant) record.Holds {
	t.Helper()
	a, err := record.New(id("a"), custodian, record.Hash{1}, 3, 4096, 100)
	if err != nil {
		t.Fatal(err)
	}
	hs, err := record.Holds(nil).Put(a, record.Hold{Regulator: regulator, Reason: "case-7", Until: until}, 200)
	if err != nil {
		t.Fatal(err)
	}
	return hs
}

func TestErasing(t *testing.T) {
	for _, c := range []struct {
		name   string
		a      record.Anchor
		caller string
		parts  []int
		reason record.Reason
		holds  record.Holds
		code   refusal.Code
		left   record.Status // once erased
		parted []int
		number int
	}{
		{name: "the whole of it", a: anchored(t, "a"), left: record.Erased, number: 1},
		{name: "once superseded", a: superseded(t), left: record.Erased, number: 1},
		{name: "once retracted", a: retracted(t), left: record.Erased, number: 1},
		{name: "a part of it", a: anchored(t, "a"), parts: []int{1}, left: record.Anchored, parted: []int{1}, number: 1},
		{name: "a part of what is superseded", a: superseded(t), parts: []int{0}, left: record.Superseded, parted: []int{0}, number: 1},
		{name: "one part after another", a: erased(t, anchored(t, "a"), 2), parts: []int{0}, left: record.Anchored, parted: []int{0, 2}, number: 2},
		{name: "the last part, which makes it the whole", a: erased(t, anchored(t, "a"), 0, 2), parts: []int{1}, left: record.Erased, number: 2},
		{name: "all parts by name", a: anchored(t, "a"), parts: []int{0, 1, 2}, left: record.Erased, number: 1},
		{name: "the rest after a part", a: erased(t, anchored(t, "a"), 2), left: record.Erased, number: 2},
		{name: "again", a: erased(t, anchored(t, "a")), left: record.Erased, number: 1},
		{name: "a part of what is all erased", a: erased(t, anchored(t, "a")), parts: []int{1}, left: record.Erased, number: 1},
		{name: "a part again", a: erased(t, anchored(t, "a"), 1, 2), parts: []int{2}, left: record.Anchored, parted: []int{1, 2}, number: 1},
		{name: "after a hold is over", a: anchored(t, "a"), holds: held(t, 400), left: record.Erased, number: 1},
		{name: "under a hold", a: anchored(t, "a"), holds: held(t, 0), code: record.OnHold},
		{name: "under a hold that ends later", a: anchored(t, "a"), holds: held(t, 401), code: record.OnHold},
		{name: "a part under a hold", a: anchored(t, "a"), parts: []int{1}, holds: held(t, 0), code: record.OnHold},
		{name: "for the patient under a hold", a: anchored(t, "a"), reason: record.PatientRequest, holds: held(t, 0), code: record.OnHold},
		{name: "by another hospital", a: anchored(t, "a"), caller: other, code: refusal.NotCustodian},
		{name: "for a reason in free text", a: anchored(t, "a"), reason: "Mr Wang asked", code: refusal.Malformed},
		{name: "without a reason", a: anchored(t, "a"), reason: "none", code: refusal.Malformed},
		{name: "a part that it doesn't have", a: anchored(t, "a"), parts: []int{3}, code: refusal.Malformed},
		{name: "a part below the first", a: anchored(t, "a"), parts: []int{-1}, code: refusal.Malformed},
		{name: "parts out of order", a: anchored(t, "a"), parts: []int{1, 0}, code: refusal.Malformed},
		{name: "a part named twice", a: anchored(t, "a"), parts: []int{1, 1}, code: refusal.Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			caller, reason := c.caller, c.reason
			if caller == "" {
				caller = custodian
			}
			if reason == "" {
				reason = record.RetentionOver
			}
			if reason == "none" {
				reason = ""
			}
			got, err := c.a.Erase(caller, c.parts, reason, c.holds, 400)
			wantCode(t, err, c.code)
			if err != nil {
				if diff := cmp.Diff(c.a, got); diff != "" {
					t.Error("the refusal changed the anchor", diff)
				}
				return
			}
			if got.Status != c.left || got.Erasure.Number != c.number || !slices.Equal(got.Erasure.Parts, c.parted) {
				t.Errorf("%s with %+v", got.Status, got.Erasure)
			}
			if got.Root != c.a.Root || got.Parts != c.a.Parts || got.Bytes != c.a.Bytes || got.Reason != c.a.Reason || got.Supersedes != c.a.Supersedes {
				t.Errorf("the erasure took more than the content: %+v", got)
			}
		})
	}
}

func TestAHoldSaysWhoHoldsAndWhoLifts(t *testing.T) {
	_, err := anchored(t, "a").Erase(custodian, nil, record.PatientRequest, held(t, 0), 400)
	var r *refusal.Refusal
	if !errors.As(err, &r) || !strings.Contains(r.Message, regulator) || !strings.Contains(r.Message, "case-7") || !strings.Contains(r.Allowed, regulator) {
		t.Errorf("refused with %v", err)
	}
}

func TestHolding(t *testing.T) {
	a := anchored(t, "a")
	one := held(t, 0)
	for _, c := range []struct {
		name  string
		a     record.Anchor
		holds record.Holds
		hold  record.Hold
		code  refusal.Code
		want  []string // reasons after it
	}{
		{"a first hold", a, nil, record.Hold{Regulator: regulator, Reason: "case-7"}, "", []string{"case-7"}},
		{"a part is erased", erased(t, a, 1), nil, record.Hold{Regulator: regulator, Reason: "case-7"}, "", []string{"case-7"}},
		{"the same again", a, one, record.Hold{Regulator: regulator, Reason: "case-7"}, "", []string{"case-7"}},
		{"another reason", a, one, record.Hold{Regulator: regulator, Reason: "case-8"}, "", []string{"case-8"}},
		{"by a second regulator", a, one, record.Hold{Regulator: "Another", Reason: "case-9"}, "", []string{"case-9", "case-7"}},
		{"until a moment to come", a, nil, record.Hold{Regulator: regulator, Reason: "case-7", Until: 500}, "", []string{"case-7"}},
		{"until a moment that has passed", a, nil, record.Hold{Regulator: regulator, Reason: "case-7", Until: 300}, refusal.Malformed, nil},
		{"of what is erased", erased(t, a), nil, record.Hold{Regulator: regulator, Reason: "case-7"}, record.Gone, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.holds)
			got, err := c.holds.Put(c.a, c.hold, 300)
			wantCode(t, err, c.code)
			if diff := cmp.Diff(before, c.holds); diff != "" {
				t.Error("the holds given were changed", diff)
			}
			if err != nil {
				return
			}
			var reasons []string
			for _, h := range got {
				reasons = append(reasons, h.Reason)
				if h.Custodian != custodian || h.Record != c.a.ID {
					t.Errorf("%+v", h)
				}
			}
			if !slices.Equal(reasons, c.want) {
				t.Errorf("held for %q", reasons)
			}
			left := got.Lift(c.hold.Regulator)
			if len(left) != len(got)-1 || len(left.Lift(c.hold.Regulator)) != len(left) {
				t.Errorf("lifted, there are %+v", left)
			}
		})
	}
}

func TestAcknowledging(t *testing.T) {
	const insurer = "InsurerMSP"
	a := erased(t, erased(t, anchored(t, "a"), 1))
	word := func(n int, f record.Fate, g record.Ground) *record.Acknowledgement {
		return &record.Acknowledgement{Custodian: custodian, Record: id("a"), Requester: insurer, Erasure: n, Fate: f, Ground: g, At: 350}
	}
	for _, c := range []struct {
		name   string
		a      record.Anchor
		by     string
		n      int
		fate   record.Fate
		ground record.Ground
		prior  *record.Acknowledgement
		code   refusal.Code
		at     record.Instant
	}{
		{"deleted", a, insurer, 2, record.Deleted, "", nil, "", 400},
		{"retained by law", a, insurer, 2, record.Retained, record.LegalObligation, nil, "", 400},
		{"the first of two", a, insurer, 1, record.Deleted, "", nil, "", 400},
		{"the second after the first", a, insurer, 2, record.Deleted, "", word(1, record.Deleted, ""), "", 400},
		{"the same again", a, insurer, 2, record.Deleted, "", word(2, record.Deleted, ""), "", 350},
		{"deleted once the ground is over", a, insurer, 2, record.Deleted, "", word(2, record.Retained, record.LegalClaims), "", 400},
		{"retained on another ground", a, insurer, 2, record.Retained, record.Archiving, word(2, record.Retained, record.LegalClaims), "", 400},
		{"retained after it was deleted", a, insurer, 2, record.Retained, record.LegalClaims, word(2, record.Deleted, ""), refusal.Exists, 0},
		{"an older one after a newer", a, insurer, 1, record.Deleted, "", word(2, record.Retained, record.LegalClaims), refusal.Exists, 0},
		{"an erasure to come", a, insurer, 3, record.Deleted, "", nil, refusal.WrongState, 0},
		{"of what isn't erased", anchored(t, "a"), insurer, 1, record.Deleted, "", nil, refusal.WrongState, 0},
		{"by the custodian", a, custodian, 2, record.Deleted, "", nil, refusal.NotRequester, 0},
		{"without a number", a, insurer, 0, record.Deleted, "", nil, refusal.Malformed, 0},
		{"retained for nothing", a, insurer, 2, record.Retained, "", nil, refusal.Malformed, 0},
		{"retained for convenience", a, insurer, 2, record.Retained, "we like it", nil, refusal.Malformed, 0},
		{"deleted on a ground", a, insurer, 2, record.Deleted, record.LegalClaims, nil, refusal.Malformed, 0},
		{"lost", a, insurer, 2, "lost", "", nil, refusal.Malformed, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.a.Acknowledge(c.by, c.n, c.fate, c.ground, c.prior, 400)
			wantCode(t, err, c.code)
			if err != nil {
				return
			}
			want := *word(c.n, c.fate, c.ground)
			want.At = c.at
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnErasedAnchorsJSON(t *testing.T) {
	doc, err := json.Marshal(erased(t, anchored(t, "a"), 0, 2))
	if err != nil {
		t.Fatal(err)
	}
	if want := `"erasure":{"number":1,"parts":[0,2],"reason":"patient-request","at":"1970-01-01T00:05:00Z"}`; !strings.Contains(string(doc), want) {
		t.Errorf("%s", doc)
	}
}

// TestWhateverHappensToARecord draws lives of a record and holds them against a model of sets.
func TestWhateverHappensToARecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 6).Draw(t, "parts")
		a, err := record.New(id("a"), custodian, record.Hash{1}, total, 4096, 100)
		if err != nil {
			t.Fatal(err)
		}
		var holds record.Holds
		gone, standing, now, number := map[int]bool{}, map[string]record.Instant{}, record.Instant(100), 0
		heldNow := func() bool {
			for _, until := range standing {
				if until == 0 || now < until {
					return true
				}
			}
			return false
		}
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) { now += record.Instant(rapid.IntRange(1, 50).Draw(t, "s")) },
			"hold": func(t *rapid.T) {
				h := record.Hold{Regulator: rapid.SampledFrom([]string{"R", "S"}).Draw(t, "by"), Reason: "c", Until: rapid.SampledFrom([]record.Instant{0, now + 20}).Draw(t, "until")}
				next, err := holds.Put(a, h, now)
				if (err != nil) != (a.Status == record.Erased) {
					t.Fatalf("held a record that is %s: %v", a.Status, err)
				}
				if err == nil {
					holds, standing[h.Regulator] = next, h.Until
				}
			},
			"lift": func(t *rapid.T) {
				by := rapid.SampledFrom([]string{"R", "S"}).Draw(t, "by")
				holds = holds.Lift(by)
				delete(standing, by)
			},
			"retract": func(t *rapid.T) {
				if next, err := a.Retract(custodian, record.EnteredInError, now); err == nil {
					if a.Status != record.Anchored {
						t.Fatalf("retracted a record that is %s", a.Status)
					}
					a = next
				}
			},
			"erase": func(t *rapid.T) {
				parts := rapid.SliceOfNDistinct(rapid.IntRange(0, total-1), 0, total, rapid.ID).Draw(t, "parts")
				slices.Sort(parts)
				nothingNew := len(gone) == total || len(parts) > 0
				for _, p := range parts {
					nothingNew = nothingNew && gone[p]
				}
				next, err := a.Erase(custodian, parts, record.PatientRequest, holds, now)
				if (err == nil) != (nothingNew || !heldNow()) {
					t.Fatalf("erasing %v of %v gone, held %v: %v", parts, gone, heldNow(), err)
				}
				if err != nil {
					return
				}
				if !nothingNew {
					number++
				}
				for p := range total {
					if len(parts) == 0 || slices.Contains(parts, p) {
						gone[p] = true
					}
				}
				a = next
			},
			"": func(t *rapid.T) {
				for p := range total {
					if a.Erasure.Covers(p) != gone[p] {
						t.Fatalf("part %d erased is %v, want %v", p, a.Erasure.Covers(p), gone[p])
					}
				}
				if (a.Status == record.Erased) != (len(gone) == total) || a.Erasure != nil && a.Erasure.Number != number {
					t.Fatalf("%+v with %v gone", a, gone)
				}
			},
		})
	})
}
