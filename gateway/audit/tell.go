package audit

import (
	"encoding/json"
	"fmt"
	"strings"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/epoch"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/ledger"
)

// tell says in a sentence what a transaction did, or would have done were it
// valid, and which relationships it is about. What it wrote says more than what it
// was asked to write, so writes come first.
func tell(t ledger.Transaction) (summary string, handles []string) {
	switch t.Function {
	case contract.AccessRequest:
		return tellEach(t, "access", tellAccess)
	case contract.AccessRelease:
		return tellBatch[contract.Releasing](t.Argument, func(in contract.Releasing) (parts, handles []string) {
			for _, r := range in.Releases {
				parts = append(parts, fmt.Sprintf("permit %s to %s", short(r.Permit), r.Requester))
				handles = append(handles, r.Handle)
			}
			return parts, handles
		}, "released the keys of ")
	case contract.AccessReceive:
		return tellBatch[contract.Receiving](t.Argument, func(in contract.Receiving) (parts, handles []string) {
			for _, r := range in.Receipts {
				parts = append(parts, fmt.Sprintf("permit %s of %s (%s)", short(r.Permit), r.Custodian, r.Outcome))
			}
			return parts, nil
		}, "receipted ")
	case contract.AccessRecover:
		return tellOne(t.Argument, func(in contract.Recovering) (string, string) {
			return fmt.Sprintf("recovered from escrow, for %s, what permit %s of %s covers", in.Requester, short(in.Permit), in.Custodian), ""
		})
	case contract.AccessReview:
		return tellOne(t.Argument, func(in access.Judgement) (string, string) {
			return fmt.Sprintf("%s emergency %s of %s at %s: %s", in.Outcome, short(in.ID), in.Requester, in.Custodian, in.Reason), ""
		})
	case contract.AccessResolve:
		return tellOne(t.Argument, func(in access.Settlement) (string, string) {
			return fmt.Sprintf("resolved rejected emergency %s of %s at %s: %s", short(in.ID), in.Requester, in.Custodian, in.Reason), ""
		})
	case contract.RecordAnchor:
		return tellBatch[contract.Anchoring](t.Argument, func(in contract.Anchoring) (parts, handles []string) {
			for _, r := range in.Records {
				part := fmt.Sprintf("record %s (%d parts, %d bytes sealed)", short(r.ID), r.Parts, r.Bytes)
				if r.Supersedes != "" {
					part += " in place of " + short(r.Supersedes)
				}
				if !r.Escrow.IsZero() {
					part += ", keys in escrow"
				}
				parts = append(parts, part)
			}
			return parts, nil
		}, "anchored ")
	case contract.RecordRetract:
		return tellOne(t.Argument, func(in contract.Retraction) (string, string) {
			return fmt.Sprintf("retracted record %s: %s", short(in.ID), in.Reason), ""
		})
	case contract.RecordErase:
		return tellOne(t.Argument, func(in contract.Erasing) (string, string) {
			what := fmt.Sprintf("record %s", short(in.ID))
			switch n := len(in.Parts); {
			case n == 1:
				what = "1 part of " + what
			case n > 1:
				what = fmt.Sprintf("%d parts of ", n) + what
			}
			return fmt.Sprintf("erased %s: %s", what, in.Reason), ""
		})
	case contract.RecordHold:
		return tellOne(t.Argument, func(in contract.Holding) (string, string) {
			until := ""
			if in.Until != 0 {
				until = " until " + in.Until.String()
			}
			return fmt.Sprintf("put a legal hold on record %s of %s%s: %s", short(in.ID), in.Custodian, until, in.Reason), ""
		})
	case contract.RecordUnhold:
		return tellOne(t.Argument, func(in contract.Unholding) (string, string) {
			return fmt.Sprintf("lifted its legal hold on record %s of %s", short(in.ID), in.Custodian), ""
		})
	case contract.RecordAcknowledge:
		return tellOne(t.Argument, func(in contract.Acknowledging) (string, string) {
			fate := string(in.Fate)
			if in.Ground != "" {
				fate += " on the ground " + string(in.Ground)
			}
			return fmt.Sprintf("acknowledged erasure %d of record %s of %s: what it had opened is %s", in.Erasure, short(in.ID), in.Custodian, fate), ""
		})
	case contract.ConsentGrant:
		return tellOne(t.Argument, func(in contract.Grant) (string, string) {
			return fmt.Sprintf("granted consent %s: %s for %s", short(in.ID), in.Provision.Type, in.Requester), in.Handle
		})
	case contract.ConsentAmend:
		return tellOne(t.Argument, func(in contract.Amendment) (string, string) {
			return fmt.Sprintf("amended consent %s to version %d, for %s", short(in.ID), in.Version, in.Requester), in.Handle
		})
	case contract.ConsentWithdraw:
		return tellOne(t.Argument, func(in contract.Withdrawal) (string, string) {
			return fmt.Sprintf("withdrew consent %s for %s: %s", short(in.ID), in.Requester, in.Reason), in.Handle
		})
	case contract.ConsentDirect:
		return tellDirective(t)
	case contract.ConsentRecover:
		return tellOne(t.Argument, func(in contract.Recovery) (string, string) {
			return fmt.Sprintf("put key %s in the place of a patient's lost one, for %s", short(in.Key.ID()), in.Requester), in.Handle
		})
	case contract.DisclosureOrder:
		return tellOne(t.Argument, func(in contract.Ordering) (string, string) {
			return fmt.Sprintf("ordered %s to open %s: %s (order %s)", in.Subject.Holder(), tellSubject(in.Subject), in.Reason, short(in.ID)), in.Subject.Handle
		})
	case contract.DisclosureAnswer:
		return tellOne(t.Argument, func(in contract.Answering) (string, string) {
			if in.Word == disclosure.Given {
				return fmt.Sprintf("gave what order %s of %s is about", short(in.Order), in.Regulator), ""
			}
			return fmt.Sprintf("refused order %s of %s: %s", short(in.Order), in.Regulator, in.Reason), ""
		})
	case contract.DisclosureConclude:
		return tellOne(t.Argument, func(in contract.Concluding) (string, string) {
			return fmt.Sprintf("concluded order %s to %s: %s", short(in.Order), in.Holder, tellOutcome[in.Outcome]), ""
		})
	case contract.HandleAnnounce:
		return tellOne(t.Argument, func(in epoch.Draft) (string, string) {
			return fmt.Sprintf("announced its evaluator's key %s for epoch %d", in.Key.ID, in.Epoch), ""
		})
	case contract.HandleCarry:
		var in contract.CarryOrder
		if json.Unmarshal(t.Argument, &in) != nil {
			return "carried consents to another handle", nil
		}
		return fmt.Sprintf("carried what stands for %s from epoch %d to epoch %d", in.Requester, access.Epoch(in.From), access.Epoch(in.To)), []string{in.From, in.To}
	case contract.HandleAccount:
		return tellOne(t.Argument, func(in contract.Accounting) (string, string) {
			return fmt.Sprintf("accounted for its evaluations of %s for %d members", in.Day, len(in.Counts)), ""
		})
	case contract.RegistryFound:
		return tellOne(t.Argument, func(in contract.Founding) (string, string) {
			var names []string
			for _, m := range in.Members {
				names = append(names, fmt.Sprintf("%s (%s)", m.Name, m.Kind))
			}
			return "founded the consortium: " + strings.Join(names, ", "), ""
		})
	case contract.RegistryMove:
		return tellOne(t.Argument, func(in contract.Moving) (string, string) { return tellMotion(in.Motion) })
	case contract.RegistryUpdate:
		return "changed its own address or keys in the registry", nil
	case contract.RegistryClose:
		return tellOne(t.Argument, func(in contract.Closing) (string, string) {
			return "closed the minutes before " + registry.ClockAt(in.Through).Closed.String(), ""
		})
	}
	return "called " + t.Function, nil
}

// tellDirective says what a patient, or a delegate, signed. That it was a delegate the write says; a
// transaction without one changed nothing.
func tellDirective(t ledger.Transaction) (string, []string) {
	by := "the patient"
	for _, w := range t.Writes {
		var v contract.ConsentVersion
		if w.ObjectType == "consent" && json.Unmarshal(w.Value, &v) == nil && v.Delegate {
			by = "a delegate"
		}
	}
	return tellOne(t.Argument, func(in directive.Signed) (string, string) {
		d, err := directive.Parse([]byte(in.Document))
		if err != nil {
			return "sent a directive that can't be used", ""
		}
		signed := fmt.Sprintf(", signed by %s's %s %s", by, in.Key.Assurance(), short(in.Key.ID()))
		switch d.Act {
		case directive.Grant:
			return fmt.Sprintf("granted consent %s: %s for %s%s", short(d.Consent), d.Provision.Type, d.Requester, signed), d.Handle
		case directive.Amend:
			return fmt.Sprintf("amended consent %s to version %d, for %s%s", short(d.Consent), d.Version, d.Requester, signed), d.Handle
		case directive.Withdraw:
			return fmt.Sprintf("withdrew consent %s of %s for %s: %s%s", short(d.Consent), d.Custodian, d.Requester, d.Reason, signed), d.Handle
		}
		return fmt.Sprintf("had key %s speak for the patient, for %s%s", short(d.Key.ID()), d.Requester, signed), d.Handle
	})
}

func tellClasses(c record.Classes) string {
	if c == record.AllClasses {
		return "every class"
	}
	return strings.Join(c.Codes(), ", ")
}

func tellAccess(value []byte) (string, string) {
	var a access.Access
	if json.Unmarshal(value, &a) != nil {
		return "asked for access", ""
	}
	rule := string(a.Decision.Rule.Reason)
	if a.Decision.Rule.Consent != "" {
		rule += fmt.Sprintf(", consent %s version %d", short(a.Decision.Rule.Consent), a.Decision.Rule.Version)
	}
	what := tellClasses(a.Classes)
	if !a.Types.Empty() {
		what += " as " + strings.Join(a.Types.Codes(), " or ")
	}
	asked := fmt.Sprintf("asked %s for %s under %s: ", a.Custodian, what, a.Purpose)
	if a.BreakGlass() {
		asked = fmt.Sprintf("broke the glass at %s (%s) for %s under %s: ", a.Custodian, a.Emergency.Reason, what, a.Purpose)
	}
	if !a.Permitted() {
		return asked + "deny (" + rule + ")", a.Handle
	}
	return asked + "permit for " + tellClasses(a.Decision.Scope.Classes) + " (" + rule + ")", a.Handle
}

// tellOutcome says what a conclusion means.
var tellOutcome = map[disclosure.Outcome]string{
	disclosure.Disclosed: "disclosed, and it opens the digest on the ledger",
	disclosure.Withheld:  "refused",
	disclosure.Mismatch:  "mismatch: what was given doesn't open the digest on the ledger",
}

func tellSubject(s disclosure.Subject) string {
	s.ID = short(s.ID)
	return s.String()
}

func tellMotion(m registry.Motion) (string, string) {
	switch {
	case m.Admit != nil:
		return "moved to admit " + m.Admit.MSP, ""
	case m.Suspend != nil:
		return "moved to suspend " + m.Suspend.MSP + ": " + m.Suspend.Reason, ""
	case m.Reinstate != nil:
		return "moved to reinstate " + m.Reinstate.MSP, ""
	}
	return "moved nothing", ""
}

// tellEach tells every write of one type.
func tellEach(t ledger.Transaction, objectType string, one func(value []byte) (string, string)) (string, []string) {
	var sentences, handles []string
	for _, w := range t.Writes {
		if w.ObjectType != objectType || w.Delete {
			continue
		}
		sentence, handle := one(w.Value)
		sentences = append(sentences, sentence)
		if handle != "" {
			handles = append(handles, handle)
		}
	}
	if len(sentences) == 0 {
		return "called " + t.Function + " again; nothing changed", nil
	}
	return strings.Join(sentences, "; "), handles
}

func tellOne[In any](argument []byte, one func(In) (string, string)) (string, []string) {
	var in In
	if json.Unmarshal(argument, &in) != nil {
		return "sent an argument that can't be read", nil
	}
	sentence, handle := one(in)
	if handle == "" {
		return sentence, nil
	}
	return sentence, []string{handle}
}

func tellBatch[In any](argument []byte, all func(In) (parts, handles []string), verb string) (string, []string) {
	var in In
	if json.Unmarshal(argument, &in) != nil {
		return "sent an argument that can't be read", nil
	}
	parts, handles := all(in)
	return verb + strings.Join(parts, "; "), handles
}

// short is enough of an id for a person to tell it from others.
func short(id string) string { return id[:min(8, len(id))] }
