package share_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/gateway/seal"
	"yitong/gateway/share"
	"yitong/test/leak"
)

// The property of selective opening, over random records and consents and the real code of all steps
// between: the requester opens exactly what the consent covers, and of the rest nothing that was
// delivered holds or gives any key.
func TestOpenedIsExactlyWhatIsCoveredAndTheRestStaysClosed(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	patients, covered, closed := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		patients++
		s := &selection{consortium: c, rt: rt, patient: share.Patient{System: chen.System, Value: fmt.Sprintf("MRN-%07d", patients)}}
		s.submitSome()
		asked := s.agree()
		if !asked.Permitted() {
			for _, h := range s.holdings {
				if s.covers(h.part) {
					rt.Fatalf("part %d, %s %v %v of %v, is covered, and the decision is %+v", h.part.Index, h.part.Class, h.part.Type(), h.part.Labels.Codes(), h.part.Period, asked.Decision)
				}
			}
			return
		}
		open, shut := s.open(asked)
		covered, closed = covered+open, closed+shut
	})
	t.Logf("%d patients: %d parts opened, %d parts stayed closed", patients, covered, closed)
	if covered < patients/4 || closed < patients/4 {
		t.Error("the property was tested on next to nothing")
	}
}

// selection is one patient's records and what was agreed about them.
type selection struct {
	*consortium
	rt       *rapid.T
	patient  share.Patient
	holdings []holding
	rule     consent.Provision
	classes  record.Classes // asked for
	types    record.Types   // likewise
	data     record.Period  // likewise
}

// holding is a part that the hospital has.
type holding struct {
	record  string
	part    record.Part
	content []byte
}

var (
	drawnClasses = []record.Class{record.Laboratory, record.Condition, record.Medication, record.Document}
	drawnLabels  = []record.Label{record.HIV, record.STD, record.SDV} // none is a case of another
	drawnMedia   = []string{"application/pdf", "application/dicom", "text/plain"}
	drawnTypes   = []record.Type{record.FHIR, record.PDF, record.DICOM, record.Text}
)

func year(n int) record.Instant {
	i, err := record.ParseInstant(fmt.Sprintf("%d-01-01T00:00:00Z", n))
	if err != nil {
		panic(err)
	}
	return i
}

// submitSome submits one to three records: Bundles, and files of other types.
func (s *selection) submitSome() {
	for range rapid.IntRange(1, 3).Draw(s.rt, "records") {
		sub := share.Submission{Patient: s.patient, MediaType: share.FHIR}
		var content []byte
		var drafts []seal.Draft
		if rapid.IntRange(0, 2).Draw(s.rt, "bundle") > 0 {
			content = s.bundle()
			var err error
			if drafts, err = seal.Split(content); err != nil {
				s.rt.Fatal(err)
			}
		} else {
			sub.MediaType = rapid.SampledFrom(drawnMedia).Draw(s.rt, "media type")
			sub.Class = rapid.SampledFrom(drawnClasses).Draw(s.rt, "class")
			sub.Labels = record.LabelsOf(rapid.SliceOfN(rapid.SampledFrom(drawnLabels), 0, 2).Draw(s.rt, "labels")...)
			if y := rapid.IntRange(2019, 2025).Draw(s.rt, "year"); y > 2019 {
				sub.Period = record.Period{Start: year(y), End: year(y + 1)}
			}
			content = []byte(fmt.Sprintf("%x", rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(s.rt, "file")))
			drafts = []seal.Draft{{Content: content}}
		}
		r, _, err := s.gateways[hospitalA].Submit(s.t.Context(), sub, bytes.NewReader(content))
		if err != nil {
			s.rt.Fatal(err)
		}
		for i, p := range r.Parts {
			s.holdings = append(s.holdings, holding{r.ID, p.Part, drafts[i].Content})
		}
	}
}

// bundle makes up resources of some classes, labels and times.
func (s *selection) bundle() []byte {
	shapes := []string{
		`"resourceType":"Observation","category":[{"coding":[{"code":"laboratory"}]}]`,
		`"resourceType":"Condition"`, `"resourceType":"MedicationRequest"`,
	}
	dates := map[string]string{"Observation": "effectiveDateTime", "Condition": "recordedDate", "MedicationRequest": "authoredOn"}
	var entries []string
	for i := range rapid.IntRange(2, 8).Draw(s.rt, "resources") {
		shape := rapid.SampledFrom(shapes).Draw(s.rt, "resource")
		kind := strings.Split(shape, `"`)[3]
		doc := fmt.Sprintf(`{"resource":{%s,"id":"r%d"`, shape, i)
		if l := rapid.SampledFrom([]string{"", "HIV", "STD", "SDV"}).Draw(s.rt, "label"); l != "" {
			doc += fmt.Sprintf(`,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":%q}]}`, l)
		}
		if y := rapid.IntRange(2019, 2025).Draw(s.rt, "year"); y > 2019 {
			doc += fmt.Sprintf(`,%q:"%d-06-01"`, dates[kind], y)
		}
		entries = append(entries, doc+"}}")
	}
	return []byte(`{"resourceType":"Bundle","type":"collection","entry":[` + strings.Join(entries, ",") + `]}`)
}

// agree has the patient consent to something, and the insurer ask for something.
func (s *selection) agree() access.Access {
	s.rule = s.draw(consent.Permit)
	for range rapid.IntRange(0, 2).Draw(s.rt, "exceptions") {
		s.rule.Provisions = append(s.rule.Provisions, s.draw(consent.Deny))
	}
	_, _, _, err := s.gateways[hospitalA].Grant(s.t.Context(), share.Directive{
		Patient: s.patient, Requester: "Insurer", Provision: s.rule, Form: []byte("signed by the patient"),
	})
	if err != nil {
		s.rt.Fatal(err)
	}
	ask := s.draw(consent.Permit)
	s.classes, s.types, s.data = ask.Classes, ask.Types, ask.DataPeriod
	if s.classes.Empty() {
		s.classes = record.AllClasses
	}
	a, _, err := s.gateways[insurer].Request(s.t.Context(), share.Claim{
		Custodian: "HospitalA", Patient: s.patient, Purpose: consent.CLMATTCH, Action: consent.Access,
		Classes: s.classes, Types: s.types, Period: s.data,
	})
	if err != nil {
		s.rt.Fatal(err)
	}
	return a
}

// draw makes a rule with some criteria and not others.
func (s *selection) draw(t consent.Outcome) consent.Provision {
	p := consent.Provision{Type: t}
	maybe := func(what string) bool { return rapid.IntRange(0, 3).Draw(s.rt, what) == 0 }
	if maybe("by class") {
		p.Classes = record.ClassesOf(rapid.SliceOfN(rapid.SampledFrom(drawnClasses), 1, 3).Draw(s.rt, "classes")...)
	}
	if maybe("by label") && t == consent.Deny {
		p.Labels = record.LabelsOf(rapid.SliceOfN(rapid.SampledFrom(drawnLabels), 1, 2).Draw(s.rt, "labels")...)
	}
	if maybe("by record type") {
		p.Types = record.TypesOf(rapid.SliceOfN(rapid.SampledFrom(drawnTypes), 1, 3).Draw(s.rt, "types")...)
	}
	if maybe("by data period") {
		from := rapid.IntRange(2019, 2024).Draw(s.rt, "from")
		p.DataPeriod = record.Period{Start: year(from), End: year(from + rapid.IntRange(1, 4).Draw(s.rt, "years"))}
	}
	return p
}

// covers says of a part what the rule and the request come to, worked out here and not by the code
// under test.
func (s *selection) covers(p record.Part) bool {
	in := func(c consent.Provision) bool {
		return (c.Classes == 0 || c.Classes.Has(p.Class)) && (c.Types == 0 || c.Types.Has(p.Type()))
	}
	within := func(d record.Period) bool {
		return d.IsZero() || p.Period.Start != 0 && p.Period.Start >= d.Start && p.Period.End != 0 && p.Period.End <= d.End
	}
	overlaps := func(d record.Period) bool {
		return d.IsZero() || p.Period.IsZero() || p.Period.Start < d.End && d.Start < p.Period.End
	}
	if !in(consent.Provision{Classes: s.classes, Types: s.types}) || !within(s.data) || !in(s.rule) || !within(s.rule.DataPeriod) {
		return false
	}
	for _, x := range s.rule.Provisions {
		if in(x) && overlaps(x.DataPeriod) && (x.Labels == 0 || x.Labels&p.Labels != 0) {
			return false
		}
	}
	return true
}

// open opens what was permitted and looks through all that was delivered.
func (s *selection) open(permit access.Access) (open, shut int) {
	type place struct {
		record string
		index  int
	}
	contents := map[place]*bytes.Buffer{}
	_, err := s.gateways[insurer].Open(s.t.Context(), "HospitalA", permit.ID, func(id string, p record.Part) (io.Writer, error) {
		contents[place{id, p.Index}] = new(bytes.Buffer)
		return contents[place{id, p.Index}], nil
	})
	if err != nil {
		s.rt.Fatal(err)
	}
	parcel, err := s.gateways[hospitalA].Release(s.t.Context(), insurer, permit.ID, 0, nil) // the same again
	if err != nil {
		s.rt.Fatal(err)
	}
	delivered, keys := s.delivered(parcel)

	var secrets, shown []leak.Secret
	for _, h := range s.holdings {
		got, opened := contents[place{h.record, h.part.Index}]
		if want := s.covers(h.part); opened != want {
			s.rt.Fatalf("part %d, %s %s %v of %v: opened is %v, want %v", h.part.Index, h.part.Class, h.part.Type(), h.part.Labels.Codes(), h.part.Period, opened, want)
		}
		key, err := stores[hospitalA].Get(share.BucketPartKeys, fmt.Sprintf("%s/%d", h.record, h.part.Index))
		if err != nil {
			s.rt.Fatal(err)
		}
		if opened {
			open++
			if !bytes.Equal(got.Bytes(), h.content) {
				s.rt.Fatalf("part %d didn't come out as it went in", h.part.Index)
			}
			shown = append(shown, leak.Secret{Name: "key", Value: key}, leak.Secret{Name: "salt", Value: h.part.Salt[:]})
			continue
		}
		shut++
		for what, value := range map[string][]byte{
			"key": key, "salt": h.part.Salt[:], "key commitment": h.part.KeyCommitment[:], "sealed digest": h.part.SealedDigest[:],
		} {
			secrets = append(secrets, leak.Secret{Name: fmt.Sprintf("the %s of closed part %d", what, h.part.Index), Value: value})
		}
		s.staysClosed(parcel, h, keys)
	}
	if len(contents) != open {
		s.rt.Fatalf("%d parts were opened, %d are held and covered", len(contents), open)
	}
	if found := leak.New(secrets...).Bytes("delivered", delivered); len(found) > 0 {
		s.rt.Fatalf("delivered: %v", found)
	}
	// Control: what was opened is found, the key once it is unwrapped.
	for _, k := range keys {
		delivered = append(delivered, k[:]...)
	}
	if found := leak.New(shown...).Bytes("delivered", delivered); len(found) < len(shown) {
		s.rt.Fatalf("of %d secrets that were delivered, the search finds %d", len(shown), len(found))
	}
	return open, shut
}

// delivered is every byte that a parcel holds, and the keys that the requester unwraps.
func (s *selection) delivered(p *share.Parcel) (all []byte, keys []seal.Key) {
	all, err := json.Marshal(p.Manifest)
	if err != nil {
		s.rt.Fatal(err)
	}
	raw, err := stores[insurer].Get(share.BucketSecrets, "hpke")
	if err != nil {
		s.rt.Fatal(err)
	}
	private, err := seal.ParsePrivateKey(raw)
	if err != nil {
		s.rt.Fatal(err)
	}
	for _, r := range p.Manifest.Records {
		for _, shared := range r.Parts {
			key, err := seal.Unwrap(private, p.Manifest.Context(r.Anchor, shared.Part.Index), *shared.Wrapped)
			if err != nil {
				s.rt.Fatal(err)
			}
			keys = append(keys, key)
			all = append(all, s.sealed(p, r.Anchor, shared.Part)...)
		}
	}
	return all, keys
}

func (s *selection) sealed(p *share.Parcel, id string, part record.Part) []byte {
	file, err := p.Sealed(s.t.Context(), id, part)
	if err != nil {
		s.rt.Fatal(err)
	}
	defer file.Close()
	raw, err := io.ReadAll(file)
	if err != nil {
		s.rt.Fatal(err)
	}
	return raw
}

// staysClosed tries every delivered key and proof on a part that isn't covered, whose sealed bytes the
// requester has got hold of.
func (s *selection) staysClosed(parcel *share.Parcel, h holding, keys []seal.Key) {
	file := s.sealed(parcel, h.record, h.part)
	ad := seal.AD{Record: h.record, Part: h.part.Index, Class: h.part.Class}
	for _, k := range keys {
		want := seal.SealedOf(h.part)
		if err := seal.Open(io.Discard, bytes.NewReader(file), k, ad, want); !errors.Is(err, seal.ErrKey) {
			s.rt.Fatalf("a delivered key and closed part %d: %v", h.part.Index, err)
		}
		want.Commitment = k.Commitment() // as who doesn't check it would
		if err := seal.Open(io.Discard, bytes.NewReader(file), k, ad, want); !errors.Is(err, seal.ErrTampered) {
			s.rt.Fatalf("a delivered key and closed part %d, the commitment left unchecked: %v", h.part.Index, err)
		}
	}
	for _, r := range parcel.Manifest.Records {
		for _, shared := range r.Parts {
			if shared.Proof.Verify(r.Root, h.part.Leaf(), r.Total) {
				s.rt.Fatalf("the proof of part %d proves closed part %d", shared.Part.Index, h.part.Index)
			}
		}
	}
}
