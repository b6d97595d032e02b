package disclosure

import (
	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Term is how long a holder has, in seconds: 72 hours. After that an order without a
// conclusion is overdue, and the regulator may conclude that it was refused.
const Term = 72 * 60 * 60

// Draft is an order as a regulator gives it.
type Draft struct {
	ID string `json:"id"` // 32 hex digits, random, chosen by the regulator: the idempotency key
	// Subject is what is to be opened.
	Subject Subject `json:"subject"`
	// Reason is a code, 1 to 64 of [A-Za-z0-9.-], for example of a case file.
	Reason string `json:"reason"`
}

// Check refuses a draft with a malformed field: code malformed.
func (d Draft) Check() error {
	if err := access.CheckID(d.ID); err != nil {
		return err
	}
	if err := d.Subject.Check(); err != nil {
		return err
	}
	return registry.CheckCode(d.Reason)
}

// Order is a regulator's order that a holder open one digest.
type Order struct {
	Draft
	Regulator string         `json:"regulator"` // MSP id of who orders
	Holder    string         `json:"holder"`    // MSP id of who has it
	Digest    string         `json:"digest"`    // 64 hex digits: what stands on the ledger, to be opened
	At        record.Instant `json:"at"`
	Due       record.Instant `json:"due"` // At and Term
}

// Issue records an order, once. caller is who orders, holder the member that the subject
// lies with (nil if there is none), digest what the ledger has for the subject, "" if
// nothing. prior is the order already recorded under the id, nil if none; the same draft
// again answers with it.
//
// Refusals: malformed, kind-not-allowed, member-suspended, exists, not-found (of the
// holder, or of a digest to open).
func Issue(d Draft, caller registry.Member, holder *registry.Member, digest string, prior *Order, at record.Instant) (Order, error) {
	if err := d.Check(); err != nil {
		return Order{}, err
	}
	if err := regulates(caller); err != nil {
		return Order{}, err
	}
	if prior != nil {
		if prior.Draft == d && prior.Regulator == caller.MSP {
			return *prior, nil
		}
		return Order{}, refusal.New(refusal.Exists, "the id names another order", "the recorded order again, or a new id")
	}
	if holder == nil {
		return Order{}, refusal.New(refusal.NotFound, d.Subject.Holder()+" is not a member", "an order to a member")
	}
	if digest == "" {
		return Order{}, refusal.New(refusal.NotFound, "the ledger has no digest of "+d.Subject.String(), "an order for what stands on the ledger as a digest")
	}
	return Order{
		Draft: d, Regulator: caller.MSP, Holder: holder.MSP, Digest: digest,
		At: at, Due: at + Term,
	}, nil
}

// regulates refuses who isn't an active regulator: codes kind-not-allowed, member-suspended.
func regulates(m registry.Member) error {
	if m.Kind != registry.Regulator {
		return refusal.New(refusal.KindNotAllowed, "a "+string(m.Kind)+" orders no disclosure", "an order by a regulator")
	}
	return active(m)
}

func active(m registry.Member) error {
	if !m.Active() {
		return refusal.New(refusal.MemberSuspended, m.MSP+" is suspended", "reinstatement by a majority of the active members")
	}
	return nil
}
