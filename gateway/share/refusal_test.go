package share_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/share"
)

// refusals are three patients for whom an insurer gets nothing: one that the hospital never
// heard of, one without a consent, one who withdrew it.
func refusals(t testing.TB) (*consortium, map[string]share.Patient) {
	t.Helper()
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	c.grant(toPayers())
	c.withdraw()
	known := share.Patient{System: chen.System, Value: "MRN-0099"}
	if _, _, _, err := c.gateways[hospitalA].Grant(t.Context(), share.Directive{ // of another requester
		Patient: known, Requester: "HospitalB", Provision: consent.Provision{Type: consent.Permit}, Form: []byte("signed"),
	}); err != nil {
		t.Fatal(err)
	}
	return c, map[string]share.Patient{
		"unknown": {System: chen.System, Value: "MRN-4711"}, "no consent": known, "withdrawn": chen,
	}
}

func (c *consortium) ask(t testing.TB, p share.Patient) access.Access {
	t.Helper()
	a, _, err := c.gateways[insurer].Request(t.Context(), share.Claim{
		Custodian: "HospitalA", Patient: p, Purpose: consent.CLMATTCH, Action: consent.Access, Classes: record.ClassesOf(record.Laboratory),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A34: a refusal doesn't tell whom a hospital knows. Of a consent that was withdrawn the
// ledger tells the parties themselves, under their own handle, and so does the decision; no
// gateway tells anything more.
func TestARefusalTellsNotWhomAHospitalKnows(t *testing.T) {
	c, patients := refusals(t)
	bare := func(a access.Access) access.Access {
		a.ID, a.Handle, a.At = "", "", 0
		return a
	}
	unknown, none, withdrawn := c.ask(t, patients["unknown"]), c.ask(t, patients["no consent"]), c.ask(t, patients["withdrawn"])
	if diff := cmp.Diff(bare(unknown), bare(none)); diff != "" {
		t.Errorf("a patient whom the hospital doesn't know is answered otherwise:\n%s", diff)
	}
	gone := bare(withdrawn)
	if gone.Decision.Rule.Reason != consent.IsWithdrawn {
		t.Errorf("a withdrawn consent is told as %s", gone.Decision.Rule.Reason)
	}
	gone.Decision = bare(none).Decision // what the ledger tells the parties
	if diff := cmp.Diff(bare(none), gone); diff != "" {
		t.Errorf("a withdrawn consent shows besides:\n%s", diff)
	}

	// What the custodian says of each, and of one that was never asked.
	var texts []string
	for _, a := range []access.Access{unknown, none, withdrawn} {
		_, err := c.gateways[hospitalA].Release(t.Context(), insurer, a.ID, 0, nil)
		var r *refusal.Refusal
		if !errors.As(err, &r) {
			t.Fatalf("released: %v", err)
		}
		texts = append(texts, r.Error())
	}
	if len(slices.Compact(texts)) != 1 {
		t.Errorf("the custodian says %q", texts)
	}

	t.Run("control: with a consent the answer differs", func(t *testing.T) {
		c.grant(toPayers())
		if got := bare(c.ask(t, chen)); cmp.Equal(got, bare(none)) {
			t.Error("it doesn't: the comparison sees nothing")
		}
	})
}

// BenchmarkRefusal measures the three refusals in turn, so that a noisy machine bears on
// all alike, and reports by how much their medians differ from that of no consent.
func BenchmarkRefusal(b *testing.B) {
	c, patients := refusals(b)
	for _, p := range patients {
		c.ask(b, p) // derives the handle: who asks first about a patient waits for that whoever knows the patient
	}
	took := map[string][]time.Duration{}
	order := []string{"unknown", "no consent", "withdrawn"}
	for i := 0; b.Loop(); i++ {
		for k := range order {
			name := order[(i+k)%len(order)]
			begun := time.Now()
			c.ask(b, patients[name])
			took[name] = append(took[name], time.Since(begun))
		}
	}
	median := func(name string) float64 {
		slices.Sort(took[name])
		return float64(took[name][len(took[name])/2])
	}
	for _, name := range []string{"unknown", "withdrawn"} {
		b.ReportMetric(100*(median(name)/median("no consent")-1), fmt.Sprintf("%%_%s", name))
	}
	b.ReportMetric(median("no consent")/1e3, "us_p50")
}

// The ledger dates a release by what a client says; a custodian's own clock ends a permit too.
func TestAPermitThatIsOverByTheCustodiansClockReleasesNothing(t *testing.T) {
	c := sharing(t)
	a, _, err := c.gateways[insurer].Request(t.Context(), share.Claim{
		Custodian: "HospitalA", Patient: chen, Purpose: consent.CLMATTCH, Action: consent.Access, Classes: record.ClassesOf(record.Laboratory), TTL: time.Minute,
	})
	if err != nil || !a.Permitted() {
		t.Fatalf("%+v, %v", a, err)
	}
	own := c.gateways[hospitalA].Now
	c.gateways[hospitalA].Now = func() time.Time { return own().Add(61 * time.Second) }
	_, err = c.open(a.ID)
	wantRefusal(t, err, refusal.Expired)
	if e, err := c.gateways[regulator].Access(t.Context(), hospitalA, insurer, a.ID); err != nil || e.Release != nil {
		t.Errorf("the ledger has the release %+v, %v", e.Release, err)
	}
	c.gateways[hospitalA].Now = own
	if n, err := c.open(a.ID); err != nil || n == 0 {
		t.Errorf("control: by the ledger's time it holds still: %d parts, %v", n, err)
	}
}

// What goes out is what the ledger has: where that names another manifest than the one that
// was sent, no key leaves.
func TestNoKeyLeavesUnderAnotherManifest(t *testing.T) {
	c := sharing(t)
	a := c.request(record.Laboratory)
	twisted := 0
	c.chains[hospitalA].twist = func(function string, out any) {
		if released, ok := out.(*contract.Released); ok && function == contract.AccessRelease {
			released.Results[0].Release.Manifest = strings.Repeat("ab", 32)
			twisted++
		}
	}
	parcel, err := c.gateways[hospitalA].Release(t.Context(), insurer, a.ID, 0, nil)
	if err == nil || parcel != nil || twisted == 0 {
		t.Errorf("released %v, %v", parcel, err)
	}
	c.chains[hospitalA].twist = nil
	if n, err := c.open(a.ID); err != nil || n == 0 {
		t.Errorf("control: %d parts, %v", n, err)
	}
}
