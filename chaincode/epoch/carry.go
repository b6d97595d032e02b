package epoch

import (
	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// Carried is what remains of a handle whose consents stand under another.
type Carried struct {
	To string         `json:"to"` // the handle
	At record.Instant `json:"at"`
}

// Away is the refusal of a handle that was carried away: code handle-carried.
func (c Carried) Away() error {
	return refusal.New(CarriedAway, "what stood under this handle was carried to "+c.To, "the handle that it was carried to")
}

// Carry says whether what stands under a handle can be carried to another: to one of a
// later, open epoch, that nothing was carried away from. already is true if it was carried
// there before. Whether both are one patient's only the parties can tell: each derives
// both, and a requester that finds another handle than its own uses neither.
//
// Refusals: malformed, epoch-unknown, epoch-ended, exists (it was carried elsewhere),
// handle-carried.
func Carry(c Calendar, from, to string, was, target *Carried, at record.Instant) (already bool, err error) {
	if access.Epoch(from) == 0 || access.Epoch(from) >= access.Epoch(to) {
		return false, refusal.New(refusal.Malformed, "a handle is carried to a later epoch", "the handle of the present epoch")
	}
	if was != nil {
		if was.To == to {
			return true, nil
		}
		return false, refusal.New(refusal.Exists, "the handle was carried to "+was.To, "nothing more, or carrying that one on")
	}
	if err := c.Check(to, at); err != nil {
		return false, err
	}
	if target != nil {
		return false, target.Away()
	}
	return false, nil
}
