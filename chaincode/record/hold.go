package record

import (
	"fmt"
	"slices"
	"strings"

	"yitong/chaincode/refusal"
)

// MaxHolds is how many regulators may hold one record at once.
const MaxHolds = 16

// Hold is a regulator's legal hold: while it stands, nothing of the record is erased, for whatever
// reason, be it the patient's own wish or a retention period that is over.
type Hold struct {
	Custodian string  `json:"custodian"`      // MSP id
	Record    string  `json:"record"`         // id
	Regulator string  `json:"regulator"`      // MSP id of who holds, and alone lifts
	Reason    string  `json:"reason"`         // a code, of the case for example
	Until     Instant `json:"until,omitzero"` // exclusive; none: until it is lifted
	At        Instant `json:"at"`
}

// Stands reports whether the hold is in force.
func (h Hold) Stands(at Instant) bool { return h.Until == 0 || at < h.Until }

// refusal says what the hold keeps from happening, and who lifts it.
func (h Hold) refusal() *refusal.Refusal {
	until := ""
	if h.Until != 0 {
		until = " until " + h.Until.String()
	}
	return refusal.New(OnHold, fmt.Sprintf("record %s is under a legal hold of %s since %s%s: %s", h.Record, h.Regulator, h.At, until, h.Reason),
		"erasing it once "+h.Regulator+" has lifted the hold")
}

// Holds are a record's holds, one a regulator, by its MSP id.
type Holds []Hold

// Standing is the first hold in force.
func (hs Holds) Standing(at Instant) (Hold, bool) {
	i := slices.IndexFunc(hs, func(h Hold) bool { return h.Stands(at) })
	if i < 0 {
		return Hold{}, false
	}
	return hs[i], true
}

// Put adds a regulator's hold on a record, or changes the one it has. The same again returns the
// holds as they are. What is erased can't be held. The caller has seen to it that h.Regulator is one,
// and that h.Reason is a code.
//
// Refusals: erased, malformed (the end has passed), too-large.
func (hs Holds) Put(a Anchor, h Hold, at Instant) (Holds, error) {
	if a.Status == Erased {
		return hs, refusal.New(Gone, fmt.Sprintf("record %s is erased; there is nothing left to hold", a.ID), "a hold on a record that isn't erased")
	}
	if h.Until != 0 && h.Until <= at {
		return hs, refusal.New(refusal.Malformed, "the hold would be over already", "an end after "+at.String()+", or none")
	}
	h.Custodian, h.Record, h.At = a.Custodian, a.ID, at
	i, found := hs.of(h.Regulator)
	if found {
		if old := hs[i]; old.Reason == h.Reason && old.Until == h.Until {
			return hs, nil
		}
		hs = slices.Clone(hs)
		hs[i] = h
		return hs, nil
	}
	if len(hs) >= MaxHolds {
		return hs, refusal.New(refusal.TooLarge, fmt.Sprintf("%d regulators hold this record", len(hs)), "a hold once one of them is lifted")
	}
	return slices.Insert(slices.Clone(hs), i, h), nil
}

// Lift takes a regulator's hold away. One that isn't there is no error: it is lifted.
func (hs Holds) Lift(regulator string) Holds {
	i, found := hs.of(regulator)
	if !found {
		return hs
	}
	return slices.Delete(slices.Clone(hs), i, i+1)
}

func (hs Holds) of(regulator string) (int, bool) {
	return slices.BinarySearchFunc(hs, regulator, func(h Hold, msp string) int { return strings.Compare(h.Regulator, msp) })
}
