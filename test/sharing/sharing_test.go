package sharing_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/seal"
	"yitong/test/consortium"
	"yitong/test/patient"
)

// terms is a consent drawn at random, and what it covers, worked out from its
// parts alone: it permits classes within a period of data, and takes labels out.
type terms struct {
	classes  record.Classes
	withheld record.Labels
	data     record.Period
}

// draw makes terms about a record: one to all of the classes in it and one that
// isn't, half of the time a label out of it withheld and half of the time only
// data of the years from some year on.
func draw(r *rand.Rand, drafts []seal.Draft) terms {
	var c terms
	var labels []record.Label
	var days []record.Instant
	for _, d := range drafts {
		if r.IntN(2) == 0 {
			c.classes = c.classes.With(d.Class)
		}
		for l := range d.Labels.All() {
			labels = append(labels, l)
		}
		if d.Period.Start != 0 {
			days = append(days, d.Period.Start)
		}
	}
	c.classes = c.classes.With(drafts[r.IntN(len(drafts))].Class).With(record.Genomics)
	if len(labels) > 0 && r.IntN(2) == 0 {
		c.withheld = record.LabelsOf(labels[r.IntN(len(labels))])
	}
	if len(days) > 0 && r.IntN(2) == 0 {
		// The first day of a year: the ledger holds what a consent says, and an infant's
		// oldest data are of the birth date.
		day := time.Unix(int64(days[r.IntN(len(days))]), 0).UTC()
		c.data.Start = record.At(time.Date(day.Year(), 1, 1, 0, 0, 0, 0, time.UTC))
	}
	return c
}

func (c terms) covers(d seal.Draft) bool {
	if !c.classes.Has(d.Class) || !d.Labels.Intersect(c.withheld).Empty() {
		return false
	}
	return c.data.Start == 0 || d.Period.Start != 0 && d.Period.Start >= c.data.Start
}

func (c terms) provision() *yitongv1.Provision {
	p := consortium.ForPayment(c.classes.Codes()...)
	if c.data.Start != 0 {
		p.DataPeriod = &yitongv1.Period{Start: timestamppb.New(time.Unix(int64(c.data.Start), 0))}
	}
	if !c.withheld.Empty() {
		p.Provisions = []*yitongv1.Provision{{Type: "deny", Labels: c.withheld.Codes()}}
	}
	return p
}

func (c terms) String() string {
	return fmt.Sprintf("classes %v, withheld %v, data from %v", c.classes.Codes(), c.withheld.Codes(), c.data.Start)
}

func TestAnInsurerOpensExactlyWhatTheConsentCovers(t *testing.T) {
	c := consortium.Shared(t)
	patients := patient.Synthea(t, 5)
	for seed := range uint64(4) {
		patients = append(patients, patient.Synthetic(t, 100+seed))
	}
	for i, p := range patients {
		t.Run(p.Name, func(t *testing.T) {
			shareUnderRandomConsent(t, c, p, rand.New(rand.NewPCG(uint64(i), 7)))
		})
	}
}

func shareUnderRandomConsent(t *testing.T, c *consortium.Consortium, p patient.Patient, r *rand.Rand) {
	drafts, err := seal.Split(p.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	holdsEveryEntryOnce(t, p.Bundle, drafts)

	submitted := c.Submit(t, p)
	if got := len(submitted.GetRecord().GetParts()); got != len(drafts) {
		t.Fatalf("the record has %d parts, want %d", got, len(drafts))
	}
	early := c.Ask(t, p, "laboratory")
	if early.GetOutcome() != "deny" || early.GetRule().GetReason() == "" {
		t.Errorf("before any consent the decision is %s by %v", early.GetOutcome(), early.GetRule())
	}

	agreed := draw(r, drafts)
	t.Logf("consent: %v", agreed)
	granted := c.Grant(t, p, agreed.provision())
	asked := agreed.classes.With(record.Condition).With(record.Claim)
	got := c.Ask(t, p, asked.Codes()...)
	if got.GetOutcome() != "permit" || got.GetRule().GetConsentId() != granted.GetConsent().GetId() {
		t.Fatalf("the decision is %s by %v, want a permit by consent %s", got.GetOutcome(), got.GetRule(), granted.GetConsent().GetId())
	}
	if !slices.Equal(got.GetGranted(), agreed.classes.Codes()) {
		t.Errorf("granted are %v, want %v", got.GetGranted(), agreed.classes.Codes())
	}
	for _, class := range asked.Codes() {
		i := slices.IndexFunc(got.GetRefused(), func(r *yitongv1.RefusedClass) bool { return r.GetDataClass() == class })
		if refused := i >= 0; refused == slices.Contains(got.GetGranted(), class) {
			t.Errorf("%s is refused: %v", class, refused)
		} else if refused && got.GetRefused()[i].GetRule().GetReason() == "" {
			t.Errorf("%s is refused by no rule", class)
		}
	}

	parts, summary, err := c.Open(t.Context(), t, got.GetId())
	if err != nil {
		t.Fatal(err)
	}
	if summary.GetReceipt().GetTransactionId() == "" || int(summary.GetParts()) != len(parts) {
		t.Errorf("%d parts came, the summary is %v", len(parts), summary)
	}
	deliversExactly(t, drafts, agreed, parts)
	namesExactly(t, c, got.GetId(), submitted.GetRecord().GetId(), parts)
	ledgerTells(t, c, p, drafts, agreed, got.GetId(), []string{
		submitted.GetCommit().GetTransactionId(), granted.GetCommit().GetTransactionId(), summary.GetReceipt().GetTransactionId(),
	})
}

// holdsEveryEntryOnce wants the parts together to hold the entries of the Bundle,
// each once and byte for byte.
func holdsEveryEntryOnce(t *testing.T, bundle []byte, drafts []seal.Draft) {
	t.Helper()
	want := map[string]int{}
	for _, e := range entries(t, bundle) {
		want[string(e)]++
	}
	for _, d := range drafts {
		for _, e := range entries(t, d.Content) {
			if want[string(e)]--; want[string(e)] < 0 {
				t.Fatalf("a part of class %v holds an entry that the Bundle doesn't, or one too often", d.Class)
			}
		}
	}
	for _, n := range want {
		if n != 0 {
			t.Fatal("an entry of the Bundle is in no part")
		}
	}
}

func entries(t *testing.T, bundle []byte) [][]byte {
	t.Helper()
	all, err := seal.Entries(bundle)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// deliversExactly wants the covered parts, byte for byte, and of the others not
// one entry.
func deliversExactly(t *testing.T, drafts []seal.Draft, agreed terms, parts []consortium.Part) {
	t.Helper()
	covered := 0
	for i, d := range drafts {
		at := slices.IndexFunc(parts, func(p consortium.Part) bool { return int(p.GetIndex()) == i })
		if !agreed.covers(d) {
			if at >= 0 {
				t.Errorf("part %d, %v %v of %v, was delivered", i, d.Class, d.Labels.Codes(), d.Period)
			}
			for _, e := range entries(t, d.Content) {
				for _, p := range parts {
					if bytes.Contains(p.Content, e) {
						t.Fatalf("an entry of part %d was delivered in part %d", i, p.GetIndex())
					}
				}
			}
			continue
		}
		covered++
		switch {
		case at < 0:
			t.Errorf("part %d, %v %v of %v, was not delivered", i, d.Class, d.Labels.Codes(), d.Period)
		case parts[at].GetDataClass() != d.Class.String() || !bytes.Equal(parts[at].Content, d.Content):
			t.Errorf("part %d did not come out as it went in", i)
		}
	}
	if covered != len(parts) {
		t.Errorf("%d parts were delivered, %d are covered", len(parts), covered)
	}
	t.Logf("%d of %d parts opened", covered, len(drafts))
}

// namesExactly wants the custodian's manifest to name, and to wrap the key of, no
// part but those delivered. It asks as the insurer's gateway would, and so sees
// all that ever leaves the custodian.
func namesExactly(t *testing.T, c *consortium.Consortium, permit, recordID string, parts []consortium.Part) {
	t.Helper()
	raw, _, err := consortium.Manifest(t.Context(), c.Exchange(t, consortium.Insurer, consortium.HospitalA), permit)
	if err != nil {
		t.Fatal(err)
	}
	var m seal.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, content := range m.Records {
		for _, s := range content.Parts {
			named++
			if content.Anchor != recordID || s.Wrapped == nil ||
				!slices.ContainsFunc(parts, func(p consortium.Part) bool { return int(p.GetIndex()) == s.Part.Index }) {
				t.Errorf("the manifest names part %d of record %s", s.Part.Index, content.Anchor)
			}
		}
	}
	if named != len(parts) {
		t.Errorf("the manifest names %d parts, %d were delivered", named, len(parts))
	}
}

// ledgerTells reads the access back as the regulator: what happened and in which
// order, why each part was or wasn't covered, and nothing of whom it was about.
func ledgerTells(t *testing.T, c *consortium.Consortium, p patient.Patient, drafts []seal.Draft, agreed terms, permit string, transactions []string) {
	t.Helper()
	history := c.History(t)
	var order []string
	for _, e := range history {
		if slices.Contains(transactions, e.GetTransactionId()) || bytes.Contains(e.GetArgument(), []byte(permit)) {
			if e.GetValidation() != "VALID" || len(e.GetEndorsers()) < 3 {
				t.Errorf("%s is %s, endorsed by %v", e.GetFunction(), e.GetValidation(), e.GetEndorsers())
			}
			order = append(order, e.GetFunction())
		}
		if e.GetFunction() == "access:Request" && bytes.Contains(e.GetArgument(), []byte(permit)) {
			scopeTells(t, e, drafts, agreed)
		}
		for _, secret := range p.Identifying {
			if len(secret) >= 6 && (bytes.Contains(e.GetArgument(), []byte(secret)) || bytes.Contains([]byte(e.GetSummary()), []byte(secret))) {
				t.Errorf("%s tells who the patient is", e.GetFunction())
			}
		}
	}
	if want := []string{"record:Anchor", "consent:Grant", "access:Request", "access:Release", "access:Receive"}; !slices.Equal(order, want) {
		t.Errorf("the regulator sees %v, want %v", order, want)
	}
	answer, err := c.Client(t, consortium.Regulator).Accesses.Get(t.Context(), &yitongv1.GetAccessRequest{
		Id: permit, Custodian: consortium.HospitalA, Requester: consortium.Insurer,
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := answer.GetAccess(); a.GetRelease() == nil || a.GetReceipt().GetOutcome() != "opened" {
		t.Errorf("the regulator sees release %v and receipt %v", a.GetRelease(), a.GetReceipt())
	}
}

// scopeTells wants the decision on the ledger to say of each part whether it is
// covered, and nothing else to be needed for that.
func scopeTells(t *testing.T, e *yitongv1.Event, drafts []seal.Draft, agreed terms) {
	t.Helper()
	var decided access.Access
	for _, w := range e.GetWrites() {
		if len(w.GetKey()) > 0 && w.GetKey()[0] == "access" {
			if err := json.Unmarshal(w.GetValue(), &decided); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, d := range drafts {
		if got := decided.Decision.Scope.Covers(record.Part{Class: d.Class, Labels: d.Labels, Period: d.Period, MediaType: consortium.FHIR}); got != agreed.covers(d) {
			t.Errorf("by the scope on the ledger part %d is covered: %v", i, got)
		}
	}
}

func TestAFileThatIsNotFHIRIsOnePartOfItsDeclaredClass(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 200)
	file := make([]byte, 5<<20)
	content := rand.NewChaCha8([32]byte{5})
	content.Read(file) // never fails
	copy(file, "%PDF-1.7\n")

	submit := func(class string) *yitongv1.Record {
		answer, err := c.Client(t, consortium.HospitalA).Submit(t.Context(), &yitongv1.SubmitHeader{
			Id: client.NewID(), Patient: p.ID, MediaType: "application/pdf", DataClass: class,
		}, bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetRecord()
	}
	letter, image := submit("document"), submit("imaging")
	c.Grant(t, p, consortium.ForPayment("document"))
	got := c.Ask(t, p, "document", "imaging")
	parts, _, err := c.Open(t.Context(), t, got.GetId())
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != 1 || parts[0].GetRecordId() != letter.GetId() || parts[0].GetMediaType() != "application/pdf" {
		t.Fatalf("%d parts were delivered, want the one of record %s and not that of %s", len(parts), letter.GetId(), image.GetId())
	}
	if !bytes.Equal(parts[0].Content, file) {
		t.Error("the file did not come out as it went in")
	}
}
