package epoch

import (
	"fmt"
	"slices"
	"strings"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Announcement is an evaluator's word on the next epoch.
type Announcement struct {
	Evaluator string         `json:"evaluator"`  // MSP id
	Key       registry.Key   `json:"key"`        // its key then
	Overlap   int64          `json:"overlap"`    // seconds that the present epoch is to go on for
	Members   []string       `json:"evaluators"` // MSP ids of who is to evaluate then, ascending
	At        record.Instant `json:"at"`
}

// Draft is what an evaluator announces.
type Draft struct {
	Epoch   int          `json:"epoch"` // the next one
	Key     registry.Key `json:"key"`
	Overlap int64        `json:"overlap"`              // seconds, at most MaxOverlap
	Members []string     `json:"evaluators,omitempty"` // MSP ids; none: those of the present epoch that are active members
}

// Check refuses a malformed draft: code malformed.
func (d Draft) Check() error {
	if d.Epoch < 2 || d.Epoch > access.MaxEpoch {
		return refusal.New(refusal.Malformed, fmt.Sprintf("epoch %d is not announced", d.Epoch), fmt.Sprintf("the number after the present epoch's, 2 to %d", access.MaxEpoch))
	}
	if d.Overlap < 0 || d.Overlap > MaxOverlap {
		return refusal.New(refusal.Malformed, "the overlap can't be that long", fmt.Sprintf("0 to %d seconds", MaxOverlap))
	}
	if len(d.Members) > registry.MaxMembers || !slices.IsSorted(d.Members) || len(slices.Compact(slices.Clone(d.Members))) != len(d.Members) {
		return refusal.New(refusal.Malformed, "the evaluators are too many, out of order or listed twice", "their MSP ids in ascending order, each once")
	}
	for _, msp := range d.Members {
		if err := registry.CheckMSP(msp); err != nil {
			return err
		}
	}
	return CheckKey(d.Key)
}

// Standing is what an announcement meets on the ledger.
type Standing struct {
	Calendar  Calendar
	Present   *Epoch         // the one before the announced; nil if there is none
	Announced []Announcement // of the same epoch, by evaluator
	Active    func(msp string) bool
}

// Outcome of an announcement.
type Outcome struct {
	Announced []Announcement
	Changed   bool   // false for a retry
	Opened    *Epoch // the epoch, if this announcement was the last one missing
	Calendar  Calendar
}

// Announce takes an announcement. The same again changes nothing, before and after the
// epoch has opened; another one of the same member's replaces it while it hasn't.
//
// Refusals: malformed, epoch-unknown (it isn't the next one), exists (the epoch is open
// with another key), too-few-evaluators, not-evaluator (the member evaluates neither now nor,
// by its own word, then), too-large.
func Announce(s Standing, d Draft, caller string, at record.Instant) (Outcome, error) {
	if err := d.Check(); err != nil {
		return Outcome{}, err
	}
	present := s.present()
	i, found := slices.BinarySearchFunc(s.Announced, caller, func(a Announcement, msp string) int { return strings.Compare(a.Evaluator, msp) })
	// Who names nobody means those that are active now, as long as the epoch hasn't opened.
	fresh := d.Epoch <= s.Calendar.Latest || len(d.Members) > 0 || found && slices.Equal(s.Announced[i].Members, present)
	if found && fresh && s.Announced[i].says(d) {
		return Outcome{Announced: s.Announced, Calendar: s.Calendar}, nil
	}
	switch {
	case d.Epoch <= s.Calendar.Latest:
		return Outcome{}, refusal.New(refusal.Exists, fmt.Sprintf("epoch %d is open already", d.Epoch), fmt.Sprintf("announcing epoch %d", s.Calendar.Latest+1))
	case d.Epoch > s.Calendar.Latest+1 || s.Present == nil:
		return Outcome{}, refusal.New(Unknown, fmt.Sprintf("epoch %d isn't the next one", d.Epoch), fmt.Sprintf("announcing epoch %d", s.Calendar.Latest+1))
	}
	a := Announcement{Evaluator: caller, Key: d.Key, Overlap: d.Overlap, Members: d.Members, At: at}
	if len(a.Members) == 0 {
		a.Members = present
	}
	if err := s.fitting(a, present); err != nil {
		return Outcome{}, err
	}
	o := Outcome{Announced: slices.Clone(s.Announced), Changed: true, Calendar: s.Calendar}
	if found {
		o.Announced[i] = a
	} else {
		o.Announced = slices.Insert(o.Announced, i, a)
	}
	opened, overlap := agreed(present, o.Announced, s.Active)
	if opened == nil {
		return o, nil
	}
	opened.Number, opened.Opened = d.Epoch, at
	for i := range opened.Evaluators {
		opened.Evaluators[i].Key.From = at
	}
	var err error
	o.Opened = opened
	o.Calendar, err = s.Calendar.next(overlap, at)
	return o, err
}

// present lists the evaluators of the present epoch that are active members.
func (s Standing) present() []string {
	if s.Present == nil {
		return nil
	}
	return slices.DeleteFunc(s.Present.MSPs(), func(msp string) bool { return !s.Active(msp) })
}

// says reports whether a is what the draft says.
func (a Announcement) says(d Draft) bool {
	return a.Key.ID == d.Key.ID && slices.Equal(a.Key.Public, d.Key.Public) && a.Overlap == d.Overlap &&
		(len(d.Members) == 0 || slices.Equal(a.Members, d.Members))
}

// fitting refuses an announcement that could never open an epoch.
func (s Standing) fitting(a Announcement, present []string) error {
	for _, msp := range a.Members {
		if !s.Active(msp) {
			return refusal.New(refusal.NotFound, msp+" is not an active member", "evaluators among the active members")
		}
	}
	if !slices.Contains(present, a.Evaluator) && !slices.Contains(a.Members, a.Evaluator) {
		return refusal.New(NotEvaluator, a.Evaluator+" evaluates neither now nor in what it announces", "announcing by an evaluator, or naming oneself as one to be")
	}
	// Else two evaluators, one of them suspended, would become one whose key opens everything.
	if least := min(2, len(s.Present.Evaluators)); len(a.Members) < least {
		return refusal.New(TooFew, fmt.Sprintf("%d evaluators are too few: one stolen key would open every handle", len(a.Members)),
			fmt.Sprintf("at least %d; name other members as evaluators", least))
	}
	for _, v := range s.Present.Evaluators {
		if v.MSP == a.Evaluator && (slices.Equal(v.Key.Public, a.Key.Public) || v.Key.ID == a.Key.ID) {
			return refusal.New(registry.KeySpent, "that is the key of the present epoch", "a new key under a new id")
		}
	}
	return nil
}

// agreed is the epoch that the announcements make, and the shortest overlap they name; nil
// while somebody is missing or says otherwise.
func agreed(present []string, all []Announcement, active func(string) bool) (*Epoch, int64) {
	by := map[string]Announcement{}
	for _, a := range all {
		by[a.Evaluator] = a
	}
	if len(present) == 0 {
		return nil, 0
	}
	members := by[present[0]].Members
	overlap := int64(MaxOverlap)
	e := &Epoch{}
	for _, msp := range slices.Concat(present, members) {
		a, ok := by[msp]
		if !ok || !active(msp) || !slices.Equal(a.Members, members) {
			return nil, 0
		}
		overlap = min(overlap, a.Overlap)
	}
	for _, msp := range members {
		e.Evaluators = append(e.Evaluators, Evaluator{msp, by[msp].Key})
	}
	return e, overlap
}
