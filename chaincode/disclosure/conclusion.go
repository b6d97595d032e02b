package disclosure

import (
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Outcome is how an order ended.
type Outcome string

// The outcomes of an order. Refused is the holder's own word, hence Withheld.
const (
	Disclosed Outcome = "disclosed" // what was given opens the digest
	Withheld  Outcome = "refused"   // the holder refused, or gave nothing within the term
	Mismatch  Outcome = "mismatch"  // what was given doesn't open the digest
)

// Conclusion is the regulator's word on how an order ended.
type Conclusion struct {
	Order   string         `json:"order"` // id
	Outcome Outcome        `json:"outcome"`
	At      record.Instant `json:"at"`
}

// Conclude records the regulator's conclusion, once. answer is the holder's, nil if there
// is none. prior is the conclusion already recorded, nil if none; the same again answers
// with it. caller is the regulator that calls.
//
// Refusals: malformed, kind-not-allowed, member-suspended, not-entitled (another
// regulator's order), exists, wrong-state (the answer, or its absence before the order is
// due, allows no such outcome).
func (o Order) Conclude(outcome Outcome, answer *Answer, prior *Conclusion, caller registry.Member, at record.Instant) (Conclusion, error) {
	if outcome != Disclosed && outcome != Withheld && outcome != Mismatch {
		return Conclusion{}, refusal.New(refusal.Malformed, "the outcome is unknown", "disclosed, refused or mismatch")
	}
	if err := regulates(caller); err != nil {
		return Conclusion{}, err
	}
	if caller.MSP != o.Regulator {
		return Conclusion{}, refusal.New(registry.NotEntitled, "the order is "+o.Regulator+"'s", "a conclusion by "+o.Regulator+", or an order of your own")
	}
	if prior != nil {
		if prior.Outcome == outcome {
			return *prior, nil
		}
		return Conclusion{}, refusal.New(refusal.Exists, "the order is concluded: "+string(prior.Outcome), "the recorded conclusion again, or a new order")
	}
	if err := o.follows(outcome, answer, at); err != nil {
		return Conclusion{}, err
	}
	return Conclusion{Order: o.ID, Outcome: outcome, At: at}, nil
}

// follows refuses (wrong-state) an outcome that the answer doesn't lead to.
func (o Order) follows(outcome Outcome, answer *Answer, at record.Instant) error {
	switch {
	case outcome == Withheld && (answer != nil && answer.Word == Refused || at >= o.Due):
		return nil
	case outcome == Withheld:
		return refusal.New(refusal.WrongState, "the holder hasn't refused and has time until "+o.Due.String(), "a refusal by the holder, or its silence past the term")
	case answer == nil:
		return refusal.New(refusal.WrongState, "the holder hasn't answered", "a conclusion after the holder's answer")
	case answer.Word != Given:
		return refusal.New(refusal.WrongState, "the holder refused, so nothing was given", "the outcome refused")
	}
	return nil
}

// Disclosure is an order with what came of it.
type Disclosure struct {
	Order      Order       `json:"order"`
	Answer     *Answer     `json:"answer,omitempty"`
	Conclusion *Conclusion `json:"conclusion,omitempty"`
}

// Overdue reports an order that has no conclusion at an instant past its term.
func (d Disclosure) Overdue(at record.Instant) bool { return d.Conclusion == nil && at >= d.Order.Due }
