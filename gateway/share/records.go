package share

import (
	"iter"
	"slices"

	"yitong/chaincode/refusal"
)

// maxPage is the most entries a page has.
const maxPage = 100

// Records pages through this hospital's records, in the order they were submitted.
// With a patient, only that patient's. next is "" on the last page.
func (g *Gateway) Records(p *Patient, bookmark string, size int) (page []Record, next string, err error) {
	if size == 0 {
		size = maxPage / 2
	}
	if size < 0 || size > maxPage {
		return nil, "", refusal.New(refusal.Malformed, "a page can't have that size", "1 to 100 entries, or 0 for 50")
	}
	var of *Patient
	if p != nil {
		normal, err := p.Normalise()
		if err != nil {
			return nil, "", err
		}
		of = &normal
	}
	var from submitted
	if bookmark != "" {
		c, err := g.ownRecord(bookmark)
		if refusedAtAll(err) || err == nil && of != nil && c.Patient != *of {
			err = refusal.New(refusal.Malformed, "the bookmark is of another list", "the bookmark of the page before")
		}
		if err != nil {
			return nil, "", err
		}
		from = c.entered()
	}
	for c, err := range g.recordsSince(of, from) {
		if err != nil {
			return nil, "", err
		}
		if c.ID == bookmark {
			continue
		}
		if len(page) == size {
			return page, page[size-1].ID, nil
		}
		page = append(page, c.Record)
	}
	return page, "", nil
}

// entered is a record's place in the order they were submitted.
func (c catalogued) entered() submitted { return submitted{c.Submitted, nameOf(c.ID)} }

// recordsSince yields records, or a patient's, in the order they were submitted, from one on.
func (g *Gateway) recordsSince(of *Patient, from submitted) iter.Seq2[catalogued, error] {
	return func(yield func(catalogued, error) bool) {
		if of != nil {
			var all []catalogued
			for c, err := range g.recordsFrom(ContentQuery{Patient: of}, recordName{}) {
				if err != nil {
					yield(c, err)
					return
				}
				if c.Patient == *of && c.entered().compare(from) >= 0 {
					all = append(all, c)
				}
			}
			slices.SortFunc(all, func(a, b catalogued) int { return a.entered().compare(b.entered()) })
			for _, c := range all {
				if !yield(c, nil) {
					return
				}
			}
			return
		}
		recordsOf(g, g.lists.byTime.since(from), func(s submitted) string { return s.id.String() })(yield)
	}
}
