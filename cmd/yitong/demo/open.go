package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"yitong/chaincode/record"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/seal"
)

// delivery is what came of an access, kept in memory to be compared.
type delivery struct {
	parts    []*yitongv1.Part
	contents []*bytes.Buffer
}

func newDelivery() *delivery { return new(delivery) }

func (d *delivery) part(p *yitongv1.Part) (io.Writer, error) {
	d.parts = append(d.parts, p)
	d.contents = append(d.contents, new(bytes.Buffer))
	return d.contents[len(d.contents)-1], nil
}

func (d *delivery) bytes() (n int) {
	for _, c := range d.contents {
		n += c.Len()
	}
	return n
}

// open has the permitted parts opened and compares them with what went in.
func (s *story) open(ctx context.Context) error {
	scene := s.begin(s.Insurer, "has the keys released, verifies the parts against the ledger and opens them")
	got := newDelivery()
	summary, err := s.Insurer.Open(ctx, s.permit.GetId(), s.Hospital.Profile.Member, got.part)
	if err != nil {
		return err
	}
	scene.did("access:Receive", summary.GetReceipt())
	scene.compare(got)
	scene.end()
	return nil
}

// compare holds what was delivered against what the consent covers.
func (s *scene) compare(got *delivery) {
	used := make([]bool, len(got.parts))
	closed := 0
	for _, want := range s.drafts {
		if !s.covered(want.Class, want.Labels) {
			closed++
			continue
		}
		what := fmt.Sprintf("%s%s came out byte for byte (%s)", want.Class, labelled(want.Labels), screen.Bytes(int64(len(want.Content))))
		s.check(got.take(s.recordID, want, used), what, "no such part was delivered")
	}
	for i, p := range got.parts {
		if used[i] {
			continue
		}
		if p.GetRecordId() == s.recordID {
			s.check(false, "nothing else is delivered", "part %d, %s, is", p.GetIndex(), p.GetDataClass())
			continue
		}
		class, labels, err := contentOf(p) // of an earlier record of the same patient
		s.check(err == nil && s.covered(class, labels), "a part of an earlier record is covered too", "%s isn't", p.GetDataClass())
	}
	s.check(!s.leaks(got), "not one resource of the parts that the consent doesn't cover is among it", "one is")
	s.note("%d parts opened; %d parts stay sealed, their keys never left %s", len(got.parts), closed, s.Hospital.Profile.Member)
}

// take finds the delivered part that is want, and marks it as used.
func (d *delivery) take(recordID string, want seal.Draft, used []bool) bool {
	for i, p := range d.parts {
		class, labels, err := contentOf(p)
		if !used[i] && err == nil && p.GetRecordId() == recordID && class == want.Class && labels == want.Labels &&
			bytes.Equal(d.contents[i].Bytes(), want.Content) {
			used[i] = true
			return true
		}
	}
	return false
}

func contentOf(p *yitongv1.Part) (class record.Class, labels record.Labels, err error) {
	if class, err = record.ParseClass(p.GetDataClass()); err != nil {
		return 0, 0, err
	}
	for _, code := range p.GetLabels() {
		label, err := record.ParseLabel(code)
		if err != nil {
			return 0, 0, err
		}
		labels = labels.With(label)
	}
	return class, labels, nil
}

// leaks looks for each resource that should have stayed closed in everything
// that was delivered, whatever part it came in.
func (s *scene) leaks(got *delivery) bool {
	for _, d := range s.drafts {
		if s.covered(d.Class, d.Labels) {
			continue
		}
		entries, err := seal.Entries(d.Content)
		if err != nil || len(entries) == 0 {
			entries = [][]byte{d.Content}
		}
		for _, entry := range entries {
			for _, c := range got.contents {
				if bytes.Contains(c.Bytes(), entry) {
					return true
				}
			}
		}
	}
	return false
}

func labelled(labels record.Labels) string {
	if labels.Empty() {
		return ""
	}
	return " labelled " + screen.List(labels.Codes())
}
