package share

import (
	"cmp"
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
	all, err := g.catalogue()
	if err != nil {
		return nil, "", err
	}
	if p != nil {
		of, err := p.Normalise()
		if err != nil {
			return nil, "", err
		}
		all = slices.DeleteFunc(all, func(c catalogued) bool { return c.Patient != of })
	}
	slices.SortFunc(all, func(a, b catalogued) int {
		return cmp.Or(cmp.Compare(a.Submitted, b.Submitted), cmp.Compare(a.ID, b.ID))
	})
	if bookmark != "" {
		at := slices.IndexFunc(all, func(c catalogued) bool { return c.ID == bookmark })
		if at < 0 {
			return nil, "", refusal.New(refusal.Malformed, "the bookmark is of another list", "the bookmark of the page before")
		}
		all = all[at+1:]
	}
	for _, c := range all[:min(size, len(all))] {
		page = append(page, c.Record)
	}
	if len(all) > size {
		next = all[size-1].ID
	}
	return page, next, nil
}
