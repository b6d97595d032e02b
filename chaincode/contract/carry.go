package contract

import (
	"fmt"
	"slices"
	"strings"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/epoch"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// maxWay bounds the handles that one was carried to in turn.
const maxWay = epoch.MaxEarlier

// way is how a handle was carried on: pointer by pointer to the handle that the
// consents stand under.
type way struct {
	handles  []string // the first is the handle that the way begins at
	pointers []*slot[epoch.Carried]
	last     directives
}

func wantWay(r *reading, of Relationship, carried []string) (way, error) {
	if len(carried) > maxWay {
		return way{}, refusal.New(refusal.TooLarge, "the handle was carried too often", fmt.Sprintf("%d handles at most", maxWay))
	}
	w := way{handles: append([]string{of.Handle}, carried...)}
	for i, h := range w.handles {
		if err := access.CheckHandle(h); err != nil {
			return way{}, err
		}
		of.Handle = h
		if i < len(carried) {
			w.pointers = append(w.pointers, want[epoch.Carried](r, of.of(carriedKind)))
		}
	}
	w.last = wantDirectives(r, of)
	return w, nil
}

// end is the directives at the end of the way. It refuses (not-found) a way that the ledger
// doesn't know, and one that ends at a handle that isn't usable.
func (w way) end(at record.Instant) (directives, error) {
	for i, p := range w.pointers {
		if p.doc == nil || p.doc.To != w.handles[i+1] {
			return directives{}, refusal.New(refusal.NotFound, "the handle wasn't carried there", "the handles that the ledger names, in order")
		}
	}
	return w.last, w.last.usable(at)
}

// movedInto is what stands under this handle once all of another's is carried to it. It
// refuses an id that both have (exists) and more than a decision could read (too-large).
func (d directives) movedInto(from directives) (granted []consent.Consent, withdrawals []withdrawn, err error) {
	granted = slices.Clone(d.granted.or(nil))
	for _, c := range from.granted.or(nil) {
		i, ok := find(granted, c.ID)
		if ok {
			return nil, nil, refusal.New(refusal.Exists, "consent "+c.ID+" stands under both handles", "carrying before anything is granted under the new handle")
		}
		granted = slices.Insert(granted, i, c)
	}
	if err := bounded(granted); err != nil {
		return nil, nil, err
	}
	withdrawals = slices.Concat(d.withdrawn.or(nil), from.withdrawn.or(nil))
	slices.SortFunc(withdrawals, func(a, b withdrawn) int { return strings.Compare(a.ID, b.ID) })
	return granted, withdrawals, nil
}
