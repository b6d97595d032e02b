package record_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

const custodian, other = "HospitalAMSP", "HospitalBMSP"

func id(letter string) string { return strings.Repeat(letter, 32) }

func anchored(t *testing.T, letter string) record.Anchor {
	t.Helper()
	a, err := record.New(id(letter), custodian, record.Hash{1}, 3, 4096, 100)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func superseded(t *testing.T) record.Anchor {
	t.Helper()
	old, _, err := record.Supersede(anchored(t, "a"), anchored(t, "b"), 200)
	if err != nil {
		t.Fatal(err)
	}
	return old
}

func retracted(t *testing.T) record.Anchor {
	t.Helper()
	a, err := anchored(t, "a").Retract(custodian, record.EnteredInError, 200)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func wantCode(t *testing.T, err error, code refusal.Code) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	var r *refusal.Refusal
	if !errors.As(err, &r) || r.Code != code || r.Allowed == "" {
		t.Fatalf("refused with %v, want %s and what is allowed", err, code)
	}
}

func TestANewAnchorIsChecked(t *testing.T) {
	for _, c := range []struct {
		name, id, custodian string
		root                record.Hash
		parts               int
		bytes               int64
		code                refusal.Code
	}{
		{"all is well", id("a"), custodian, record.Hash{1}, 1, 1, ""},
		{"as large as allowed", id("a"), custodian, record.Hash{1}, record.MaxParts, record.MaxBytes, ""},
		{"an id that isn't one", "rec-1", custodian, record.Hash{1}, 1, 1, refusal.Malformed},
		{"an id in capitals", id("A"), custodian, record.Hash{1}, 1, 1, refusal.Malformed},
		{"no custodian", id("a"), "", record.Hash{1}, 1, 1, refusal.Malformed},
		{"no root", id("a"), custodian, record.Hash{}, 1, 1, refusal.Malformed},
		{"no parts", id("a"), custodian, record.Hash{1}, 0, 1, refusal.TooLarge},
		{"too many parts", id("a"), custodian, record.Hash{1}, record.MaxParts + 1, 1, refusal.TooLarge},
		{"no bytes", id("a"), custodian, record.Hash{1}, 1, 0, refusal.TooLarge},
		{"too many bytes", id("a"), custodian, record.Hash{1}, 1, record.MaxBytes + 1, refusal.TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := record.New(c.id, c.custodian, c.root, c.parts, c.bytes, 100)
			wantCode(t, err, c.code)
			if err == nil && (a.Status != record.Anchored || a.At != 100) {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestSupersedingLinksBothAnchors(t *testing.T) {
	old, next, err := record.Supersede(anchored(t, "a"), anchored(t, "b"), 200)
	if err != nil {
		t.Fatal(err)
	}
	wantOld, wantNext := anchored(t, "a"), anchored(t, "b")
	wantOld.Status, wantOld.SupersededBy, wantOld.At = record.Superseded, id("b"), 200
	wantNext.Supersedes, wantNext.At = id("a"), 200
	if diff := cmp.Diff([]record.Anchor{wantOld, wantNext}, []record.Anchor{old, next}); diff != "" {
		t.Error(diff)
	}
}

func TestSupersedingIsRefused(t *testing.T) {
	foreign := anchored(t, "b")
	foreign.Custodian = other
	broken := anchored(t, "b")
	broken.Parts = 0
	for _, c := range []struct {
		name      string
		old, next record.Anchor
		code      refusal.Code
		allowed   string
	}{
		{"by another custodian", anchored(t, "a"), foreign, refusal.NotCustodian, "custodian"},
		{"twice, naming the record to supersede instead", superseded(t), anchored(t, "c"), refusal.WrongState, id("b")},
		{"once retracted", retracted(t), anchored(t, "b"), refusal.WrongState, "new record"},
		{"once erased", erased(t, anchored(t, "a")), anchored(t, "b"), record.Gone, "new record"},
		{"by itself", anchored(t, "a"), anchored(t, "a"), refusal.Malformed, "new id"},
		{"by a broken anchor", anchored(t, "a"), broken, refusal.TooLarge, "parts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, _, err := record.Supersede(c.old, c.next, 300)
			wantCode(t, err, c.code)
			if r := new(refusal.Refusal); errors.As(err, &r) && !strings.Contains(r.Allowed, c.allowed) {
				t.Errorf("allowed is %q, want something of %q", r.Allowed, c.allowed)
			}
			if diff := cmp.Diff(c.old, old); diff != "" {
				t.Error("the refusal changed the anchor", diff)
			}
		})
	}
}

func TestRetracting(t *testing.T) {
	for _, c := range []struct {
		name   string
		a      record.Anchor
		caller string
		reason record.Reason
		code   refusal.Code
	}{
		{"by its custodian", anchored(t, "a"), custodian, record.EnteredInError, ""},
		{"by another hospital", anchored(t, "a"), other, record.EnteredInError, refusal.NotCustodian},
		{"twice", retracted(t), custodian, record.EnteredInError, refusal.WrongState},
		{"once superseded", superseded(t), custodian, record.EnteredInError, refusal.WrongState},
		{"once erased", erased(t, anchored(t, "a")), custodian, record.EnteredInError, record.Gone},
		{"as erased, which it isn't by being retracted", anchored(t, "a"), custodian, "erased", refusal.Malformed},
		{"without a reason", anchored(t, "a"), custodian, "", refusal.Malformed},
		{"for a reason in free text", anchored(t, "a"), custodian, "the patient asked", refusal.Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.a.Retract(c.caller, c.reason, 300)
			wantCode(t, err, c.code)
			want := c.a
			if c.code == "" {
				want.Status, want.Reason, want.At = record.Retracted, c.reason, 300
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnchorsJSONSaysNothingOfPatientOrClass(t *testing.T) {
	doc, err := json.Marshal(anchored(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"` + id("a") + `","custodian":"HospitalAMSP","root":"01` + strings.Repeat("0", 62) +
		`","parts":3,"bytes":4096,"status":"anchored","at":"1970-01-01T00:01:40Z"}`
	if diff := cmp.Diff(want, string(doc)); diff != "" {
		t.Error(diff)
	}
}
