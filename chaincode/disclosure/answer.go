package disclosure

import (
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Word is what a holder says to an order.
type Word string

// Given: what is behind the digest goes to the regulator. Refused: it doesn't, and the
// reason says why.
const (
	Given   Word = "given"
	Refused Word = "refused"
)

// The codes with which a holder's gateway turns an order down that the ledger has.
const (
	NotGiven    refusal.Code = "not-given"    // the holder's answer is that it refuses
	UnderReview refusal.Code = "under-review" // the holder hasn't made up its mind
)

// NotKept is the reason of a holder that doesn't have what is behind the digest any more.
const NotKept = "not-kept"

// Answer is a holder's word on an order. It is committed before anything is handed over.
type Answer struct {
	Order  string         `json:"order"` // id
	Word   Word           `json:"word"`
	Reason string         `json:"reason,omitempty"` // code; of a refusal only
	At     record.Instant `json:"at"`
}

// Answer records the holder's answer, once. prior is the answer already recorded, nil if
// none; the same again answers with it. conclusion is what the regulator has concluded,
// nil if nothing: after that it is too late. caller is the holder that calls.
//
// Refusals: malformed, not-entitled, member-suspended, exists, wrong-state.
func (o Order) Answer(word Word, reason string, prior *Answer, conclusion *Conclusion, caller registry.Member, at record.Instant) (Answer, error) {
	if err := checkWord(word, reason); err != nil {
		return Answer{}, err
	}
	if caller.MSP != o.Holder {
		return Answer{}, refusal.New(registry.NotEntitled, "the order is to "+o.Holder, "an answer by "+o.Holder)
	}
	if err := active(caller); err != nil {
		return Answer{}, err
	}
	if prior != nil {
		if prior.Word == word && prior.Reason == reason {
			return *prior, nil
		}
		return Answer{}, refusal.New(refusal.Exists, "the order is answered: "+string(prior.Word), "the recorded answer again")
	}
	if conclusion != nil {
		return Answer{}, refusal.New(refusal.WrongState, "the order is concluded: "+string(conclusion.Outcome), "an answer to a new order")
	}
	return Answer{Order: o.ID, Word: word, Reason: reason, At: at}, nil
}

func checkWord(word Word, reason string) error {
	switch {
	case word == Refused:
		return registry.CheckCode(reason)
	case word != Given:
		return refusal.New(refusal.Malformed, "the answer is unknown", "given or refused")
	case reason != "":
		return refusal.New(refusal.Malformed, "what is given needs no reason", "a reason for a refusal only")
	}
	return nil
}
