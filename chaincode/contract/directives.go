package contract

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"yitong/chaincode/consent"
	"yitong/chaincode/epoch"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// directives are the consents of one relationship as two keys hold them: as granted and
// amended, which takes the custodian's endorsement, and which of those versions are
// withdrawn, which doesn't.
//
// With them come whether the handle was carried away, and the calendar of the epochs.
type directives struct {
	of        Relationship
	granted   *slot[[]consent.Consent]
	withdrawn *slot[[]withdrawn]
	carried   *slot[epoch.Carried]
	calendar  *slot[epoch.Calendar]
}

// withdrawn is the withdrawal of the version before its own.
type withdrawn struct {
	ID      string         `json:"id"`
	Version int            `json:"version"` // that the withdrawal made
	Reason  string         `json:"reason"`
	At      record.Instant `json:"at"`
	Signer  string         `json:"signer,omitempty"` // id of the key that signed it; "" if the custodian attests it
}

func wantDirectives(r *reading, of Relationship) directives {
	return directives{
		of:        of,
		granted:   want[[]consent.Consent](r, of.of(directivesKind)),
		withdrawn: want[[]withdrawn](r, of.of(withdrawnKind)),
		carried:   want[epoch.Carried](r, of.of(carriedKind)),
		calendar:  want[epoch.Calendar](r, key(epochLatestKind)),
	}
}

// usable refuses a handle on whose strength nothing is permitted any more: one of an epoch
// that isn't open (epoch-ended, epoch-unknown), or carried away (handle-carried).
func (d directives) usable(at record.Instant) error {
	if err := d.here(); err != nil {
		return err
	}
	return d.calendar.or(epoch.Calendar{}).Check(d.of.Handle, at)
}

// here refuses (handle-carried) a handle whose consents stand under another.
func (d directives) here() error {
	if d.carried.doc != nil {
		return d.carried.doc.Away()
	}
	return nil
}

// present is the consents as they stand, by id: a withdrawal holds until a later version
// is granted by amendment.
func (d directives) present() []consent.Consent {
	return standing(d.granted.or(nil), d.withdrawn.or(nil))
}

func standing(granted []consent.Consent, withdrawals []withdrawn) []consent.Consent {
	if len(withdrawals) == 0 {
		return granted
	}
	present := slices.Clone(granted)
	for _, w := range withdrawals {
		if i, ok := find(present, w.ID); ok && present[i].Version < w.Version {
			present[i].Status, present[i].Version, present[i].At = consent.Withdrawn, w.Version, w.At
		}
	}
	return present
}

// with is the granted consents with one more, or with a new version of one. It refuses
// (too-large) what a decision could not read any more.
func (d directives) with(c consent.Consent) ([]consent.Consent, error) {
	next := slices.Clone(d.granted.or(nil))
	if i, ok := find(next, c.ID); ok {
		next[i] = c
	} else {
		next = slices.Insert(next, i, c)
	}
	return next, bounded(next)
}

// bounded refuses (too-large) more consents than a decision could read.
func bounded(all []consent.Consent) error {
	text, err := encode(all)
	if err != nil {
		return err
	}
	if len(all) > consent.MaxConsents || len(text) > MaxDirectives {
		return refusal.New(refusal.TooLarge, "the relationship holds too many consents",
			fmt.Sprintf("%d consents of %d bytes together; amend one of them", consent.MaxConsents, MaxDirectives))
	}
	return nil
}

// withdrawing is the withdrawals with one more; a later one of the same consent replaces
// the earlier, which an amendment has outdated.
func (d directives) withdrawing(w withdrawn) []withdrawn {
	next := slices.Clone(d.withdrawn.or(nil))
	i, ok := slices.BinarySearchFunc(next, w.ID, func(w withdrawn, id string) int { return strings.Compare(w.ID, id) })
	if ok {
		next[i] = w
		return next
	}
	return slices.Insert(next, i, w)
}

// withdrawer is the id of the key that signed the withdrawal of a consent; "" if it stands, or the
// custodian attests its withdrawal.
func (d directives) withdrawer(id string) string {
	i, ok := find(d.granted.or(nil), id)
	for _, w := range d.withdrawn.or(nil) {
		if ok && w.ID == id && w.Version > d.granted.or(nil)[i].Version {
			return w.Signer
		}
	}
	return ""
}

// reason is why the present version of a consent is withdrawn.
func (d directives) reason(id string) string {
	for _, w := range d.withdrawn.or(nil) {
		if w.ID == id {
			return w.Reason
		}
	}
	return ""
}

func find(consents []consent.Consent, id string) (int, bool) {
	return slices.BinarySearchFunc(consents, id, func(c consent.Consent, id string) int { return strings.Compare(c.ID, id) })
}

// sameDirective reports whether two versions of a consent say the same, whenever they were
// made. They are compared as the ledger would hold them.
func sameDirective(a, b consent.Consent) bool {
	a.At = b.At
	x, errX := encode(a)
	y, errY := encode(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
