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

// How long, in seconds, an epoch goes on after the next one has opened. None is for a key
// that was stolen: what stands under the old handles can be carried afterwards too.
const (
	DefaultOverlap = 30 * 24 * 60 * 60
	MaxOverlap     = 90 * 24 * 60 * 60
)

// MaxEarlier bounds the epochs that are remembered as earlier ones.
const MaxEarlier = 16

// The codes of this package's own refusals.
const (
	Ended         refusal.Code = "epoch-ended"    // the handle's epoch is over
	Unknown       refusal.Code = "epoch-unknown"  // the handle's epoch has not opened
	CarriedAway   refusal.Code = "handle-carried" // what stood under the handle stands under another
	NotEvaluator  refusal.Code = "not-evaluator"  // the member evaluates in no epoch
	TooFew        refusal.Code = "too-few-evaluators"
	QuotaExceeded refusal.Code = "quota-exceeded" // the member had its evaluations; the gateways refuse with it
)

// KeySize is that of an evaluator's public key: an element of ristretto255 (RFC 9496).
const KeySize = 32

// Evaluator is a member and its key of one epoch.
type Evaluator struct {
	MSP string       `json:"msp"`
	Key registry.Key `json:"key"` // 32 bytes
}

// Epoch is a set of evaluators with their keys.
type Epoch struct {
	Number     int            `json:"number"`     // from 1
	Evaluators []Evaluator    `json:"evaluators"` // by MSP id
	Opened     record.Instant `json:"opened"`
}

// Evaluates reports whether a member is an evaluator of the epoch.
func (e Epoch) Evaluates(msp string) bool {
	return slices.ContainsFunc(e.Evaluators, func(v Evaluator) bool { return v.MSP == msp })
}

// MSPs lists the evaluators.
func (e Epoch) MSPs() []string {
	msps := make([]string, len(e.Evaluators))
	for i, v := range e.Evaluators {
		msps[i] = v.MSP
	}
	return msps
}

// Calendar says which epoch is the present one and when those before it end. It is one
// state key, read by every transaction that names a handle.
type Calendar struct {
	Latest  int      `json:"latest"`            // the present epoch
	Earlier []Ending `json:"earlier,omitempty"` // newest first, up to MaxEarlier
}

// Ending is when an earlier epoch ends, or ended.
type Ending struct {
	Number int            `json:"number"`
	Ends   record.Instant `json:"ends"` // exclusive
}

// Check refuses a handle whose epoch isn't open at the instant: epoch-ended, epoch-unknown.
func (c Calendar) Check(handle string, at record.Instant) error {
	n := access.Epoch(handle)
	if n > c.Latest {
		return refusal.New(Unknown, fmt.Sprintf("epoch %d has not opened", n), fmt.Sprintf("a handle of epoch %d", c.Latest))
	}
	if ends, open := c.Open(n, at); !open {
		return refusal.New(Ended, fmt.Sprintf("epoch %d ended%s; the present one is %d", n, since(ends), c.Latest),
			fmt.Sprintf("the patient's handle of epoch %d", c.Latest))
	}
	return nil
}

func since(ends record.Instant) string {
	if ends == 0 {
		return ""
	}
	return " at " + ends.String()
}

// Open reports whether an epoch is open at the instant, and when it ends: 0 for the present
// one, and for one too long ago to be remembered.
func (c Calendar) Open(n int, at record.Instant) (ends record.Instant, open bool) {
	if n < 1 || n >= c.Latest {
		return 0, n == c.Latest && n > 0
	}
	for _, e := range c.Earlier {
		if e.Number == n {
			return e.Ends, at < e.Ends
		}
	}
	return 0, false
}

// next is the calendar once another epoch has opened at the instant. No epoch outlives the
// one after it. It refuses (too-large) to forget one that is open.
func (c Calendar) next(overlap int64, at record.Instant) (Calendar, error) {
	ends := at + record.Instant(overlap)
	n := Calendar{Latest: c.Latest + 1, Earlier: []Ending{{c.Latest, ends}}}
	for _, e := range c.Earlier {
		e.Ends = min(e.Ends, ends)
		if len(n.Earlier) < MaxEarlier {
			n.Earlier = append(n.Earlier, e)
		} else if at < e.Ends {
			return c, refusal.New(refusal.TooLarge, fmt.Sprintf("%d earlier epochs are open", MaxEarlier), "the next one once some of them have ended")
		}
	}
	return n, nil
}

// Found opens the first epoch: by the candidates that bring an evaluator's key. It refuses
// (too-few-evaluators, malformed) none and a key that isn't one.
func Found(candidates []registry.Candidate, at record.Instant) (Epoch, Calendar, error) {
	e := Epoch{Number: 1, Opened: at}
	for _, c := range candidates {
		if c.Evaluator == nil {
			continue
		}
		if err := CheckKey(*c.Evaluator); err != nil {
			return Epoch{}, Calendar{}, err
		}
		key := *c.Evaluator
		key.From = at
		e.Evaluators = append(e.Evaluators, Evaluator{c.MSP, key})
	}
	if len(e.Evaluators) == 0 {
		return Epoch{}, Calendar{}, refusal.New(TooFew, "no founding member evaluates", "at least one founding member with an evaluator's key; two or more, so that one stolen key opens nothing")
	}
	slices.SortFunc(e.Evaluators, func(a, b Evaluator) int { return strings.Compare(a.MSP, b.MSP) })
	return e, Calendar{Latest: 1}, nil
}

// Same reports whether two epochs have the same evaluators with the same keys.
func (e Epoch) Same(o Epoch) bool {
	return slices.EqualFunc(e.Evaluators, o.Evaluators, func(a, b Evaluator) bool {
		return a.MSP == b.MSP && a.Key.ID == b.Key.ID && slices.Equal(a.Key.Public, b.Key.Public)
	})
}

// CheckKey refuses (malformed) what can't be an evaluator's key. Whether it is an element
// of the group, the gateways find out: with one that isn't, nothing can be derived.
func CheckKey(k registry.Key) error {
	if err := registry.CheckCode(k.ID); err != nil {
		return refusal.New(refusal.Malformed, "the evaluator's key has no usable id", "1 to 64 of A-Z a-z 0-9 . -")
	}
	if len(k.Public) != KeySize || !slices.ContainsFunc(k.Public, func(b byte) bool { return b != 0 }) {
		return refusal.New(refusal.Malformed, "that is not an evaluator's public key", "an element of ristretto255, 32 bytes in base64, not the identity")
	}
	if k.From != 0 || k.Until != 0 {
		return refusal.New(refusal.Malformed, "a key claims its own validity", "keys without from and until: the ledger sets them")
	}
	return nil
}
