package share_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/share"
)

// Pages, of whatever size, put together are the list: whole, in order, nothing twice; also of
// what was added since the first page, and without what was discarded or has ended.
func TestPagesTogetherAreTheList(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	other := share.Patient{System: chen.System, Value: "MRN-0099"}
	g := c.gateways[hospitalA]
	put := func(p share.Patient) string {
		t.Helper()
		r, _, err := g.Submit(t.Context(), share.Submission{Patient: p, MediaType: "video/mp4", Class: record.Laboratory}, bytes.NewReader(random(100)))
		if err != nil {
			t.Fatal(err)
		}
		c.ledger.Advance(time.Second)
		return r.ID
	}
	var came []string
	for i := range 7 {
		came = append(came, put([]share.Patient{chen, other}[i%2]))
	}
	c.submit(bundle(3))
	c.grant(toPayers())
	for range 2 {
		c.opens(c.request(record.Laboratory))
	}
	place := func(of share.Content) string {
		return fmt.Sprintf("%s/%s/%s/%d", of.Custodian, of.Access, of.Record, of.Part.Index)
	}
	inPages := func(msp string, q share.ContentQuery, size int) (places []string) {
		t.Helper()
		for bookmark, n := "", 0; ; n++ {
			page, next, err := c.gateways[msp].Contents(t.Context(), q, bookmark, size)
			if err != nil || len(page) > size || n > 100 {
				t.Fatalf("page %d has %d contents: %v", n, len(page), err)
			}
			for _, of := range page {
				places = append(places, place(of))
			}
			if bookmark = next; next == "" {
				return places
			}
		}
	}
	check := func(msp string, q share.ContentQuery, want int) {
		t.Helper()
		whole := inPages(msp, q, 100)
		if len(whole) != want || !slices.IsSorted(whole) || len(slices.Compact(slices.Clone(whole))) != want {
			t.Errorf("%s, %+v: the list has %d contents, not %d", msp, q, len(whole), want)
		}
		for _, size := range []int{1, 2, 3} {
			if got := inPages(msp, q, size); !slices.Equal(got, whole) {
				t.Errorf("%s, %+v: in pages of %d it is %q, not %q", msp, q, size, got, whole)
			}
		}
	}
	parts := len(inPages(hospitalA, share.ContentQuery{}, 100)) - 7 // of the Bundle
	opened := len(inPages(insurer, share.ContentQuery{}, 100))
	if parts < 2 || opened < 8 || opened%2 != 0 {
		t.Fatalf("the Bundle has %d parts, the insurer %d contents: the test shows little", parts, opened)
	}
	check(hospitalA, share.ContentQuery{}, 7+parts)
	check(hospitalA, share.ContentQuery{Patient: &chen}, 4+parts)
	check(hospitalA, share.ContentQuery{Patient: &other}, 3)
	check(hospitalA, share.ContentQuery{Record: came[2]}, 1)
	check(hospitalA, share.ContentQuery{Custodian: "Insurer"}, 0)
	check(insurer, share.ContentQuery{}, opened)
	check(insurer, share.ContentQuery{Patient: &chen, Custodian: "HospitalA"}, opened)
	check(insurer, share.ContentQuery{Patient: &other}, 0)
	check(insurer, share.ContentQuery{Record: came[0]}, 2)
	came = append(came, put(chen)) // the indices are made by now
	check(hospitalA, share.ContentQuery{}, 8+parts)
	c.opens(c.request(record.Laboratory))
	check(insurer, share.ContentQuery{}, opened+opened/2+1)
	_, _, err := g.Submit(t.Context(), share.Submission{Patient: chen, MediaType: "video/mp4", Class: record.Laboratory, Supersedes: share.NewID()}, bytes.NewReader(random(100)))
	if err == nil {
		t.Fatal("a record that supersedes none is taken")
	}
	check(hospitalA, share.ContentQuery{}, 8+parts)

	for _, tc := range []struct {
		of   *share.Patient
		want []string
	}{{nil, came}, {&other, []string{came[1], came[3], came[5]}}} {
		for _, size := range []int{1, 2, 100} {
			var got []string
			for bookmark, n := "", 0; n < 20; n++ {
				page, next, err := g.Records(tc.of, bookmark, size)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range page {
					if r.MediaType != share.FHIR {
						got = append(got, r.ID)
					}
				}
				if bookmark = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("records in pages of %d: %q, not %q", size, got, tc.want)
			}
		}
	}
	_, _, err = g.Records(&other, came[0], 0)
	wantRefusal(t, err, refusal.Malformed)
	_, _, err = g.Records(nil, share.NewID(), 0)
	wantRefusal(t, err, refusal.Malformed)

	// Many permits end at once, and with them all that was opened.
	c.ledger.Advance(25 * time.Hour)
	c.tick()
	if err := c.gateways[insurer].SweepCopies(t.Context()); err != nil || c.kept(insurer) != 0 {
		t.Errorf("%d sealed parts are left, %v", c.kept(insurer), err)
	}
	check(insurer, share.ContentQuery{}, 0)
}

// BenchmarkContents lists everything a hospital has, page by page.
func BenchmarkContents(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newConsortium(b)
			g := c.gateways[hospitalA]
			if err := g.Catalogue(n); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			pages := 0
			for b.Loop() {
				bookmark := ""
				for range 100 { // pages; the whole list would take the slow way hours
					_, next, err := g.Contents(b.Context(), share.ContentQuery{}, bookmark, 100)
					if err != nil {
						b.Fatal(err)
					}
					pages++
					bookmark = next
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(pages), "µs/page")
		})
	}
}
