package contract_test

import (
	"strings"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/refusal"
)

func manifestOf(a access.Access) disclosure.Subject {
	return disclosure.Subject{What: disclosure.Manifest, Custodian: a.Custodian, Requester: a.Requester, ID: a.ID}
}

func (w *world) orderFor(s disclosure.Subject) disclosure.Draft {
	return disclosure.Draft{ID: w.id(), Subject: s, Reason: "case-7"}
}

func (w *world) ordered(s disclosure.Subject) disclosure.Order {
	w.Helper()
	return into[disclosure.Order](w, w.must(regulator, contract.DisclosureOrder, w.orderFor(s)).Response)
}

// released is a permit whose release is on the ledger.
func (w *world) released() access.Access {
	w.Helper()
	permit := w.permitted(patient)
	w.must(hospitalA, contract.AccessRelease, releaseOf(permit))
	return permit
}

func given(o disclosure.Order) contract.Answering {
	return contract.Answering{Order: o.ID, Regulator: o.Regulator, Word: disclosure.Given}
}

func refusing(o disclosure.Order) contract.Answering {
	return contract.Answering{Order: o.ID, Regulator: o.Regulator, Word: disclosure.Refused, Reason: "under-seal"}
}

func concluding(o disclosure.Order, outcome disclosure.Outcome) contract.Concluding {
	return contract.Concluding{Order: o.ID, Holder: o.Holder, Outcome: outcome}
}

func queryOf(o disclosure.Order) contract.DisclosureQuery {
	return contract.DisclosureQuery{Holder: o.Holder, Regulator: o.Regulator, Order: o.ID}
}

func TestEveryDigestOnTheLedgerCanBeOrdered(t *testing.T) {
	w := newWorld(t)
	permit := w.released()
	claimed := w.requestFor(insurer, patient)
	claimed.Claim = strings.Repeat("1d", 32)
	w.must(insurer, contract.AccessRequest, claimed)
	grant := w.grantFor(insurer, other)
	w.must(hospitalA, contract.ConsentGrant, grant)
	second := strings.Repeat("2e", 32)
	w.must(hospitalA, contract.ConsentAmend, contract.Amendment{
		ID: grant.ID, Version: 2, Requester: insurer, Handle: other, Provision: consent.Provision{Type: consent.Deny}, Evidence: second,
	})
	form := disclosure.Subject{What: disclosure.Form, Custodian: hospitalA, Requester: insurer, ID: grant.ID, Handle: other}
	version := func(n int) disclosure.Subject { s := form; s.Version = n; return s }
	claim := manifestOf(access.Access{Request: claimed, Requester: insurer})
	claim.What = disclosure.Claim
	for _, test := range []struct {
		name           string
		subject        disclosure.Subject
		holder, digest string
	}{
		{"the manifest of a release", manifestOf(permit), hospitalA, digest},
		{"the claim reference of a request", claim, insurer, claimed.Claim},
		{"the form of a consent", version(1), hospitalA, digest},
		{"the form of its amendment", version(2), hospitalA, second},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.TB = t
			o := w.ordered(test.subject)
			if o.Holder != test.holder || o.Digest != test.digest || o.Regulator != regulator {
				t.Errorf("order %+v", o)
			}
		})
	}
	w.TB = t
	none := manifestOf(permit)
	none.What = disclosure.Claim // this request named none
	for name, s := range map[string]disclosure.Subject{
		"a claim that the request doesn't have": none,
		"a version that isn't there":            version(3),
		"a release that wasn't made":            manifestOf(w.permit(patient)),
		"another custodian's release":           {What: disclosure.Manifest, Custodian: hospitalB, Requester: insurer, ID: permit.ID},
	} {
		if _, err := w.try(regulator, contract.DisclosureOrder, w.orderFor(s)); codeOf(err) != refusal.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADisclosureFromOrderToConclusion(t *testing.T) {
	w := newWorld(t)
	o := w.ordered(manifestOf(w.released()))
	w.refused(refusal.WrongState, regulator, contract.DisclosureConclude, concluding(o, disclosure.Disclosed))
	w.refused(refusal.NotFound, hospitalB, contract.DisclosureAnswer, given(o))
	w.must(hospitalA, contract.DisclosureAnswer, given(o))
	w.refused(refusal.Exists, hospitalA, contract.DisclosureAnswer, refusing(o))
	w.refused(refusal.WrongState, regulator, contract.DisclosureConclude, concluding(o, disclosure.Withheld))
	w.must(regulator, contract.DisclosureConclude, concluding(o, disclosure.Disclosed))
	w.refused(refusal.Exists, regulator, contract.DisclosureConclude, concluding(o, disclosure.Mismatch))

	d := ask[disclosure.Disclosure](w, hospitalA, contract.DisclosureDisclosure, queryOf(o))
	if d.Order != o || d.Answer == nil || d.Answer.Word != disclosure.Given || d.Conclusion == nil || d.Conclusion.Outcome != disclosure.Disclosed {
		t.Errorf("the ledger has %+v", d)
	}
	// Each step again is answered as recorded and writes nothing.
	for function, arg := range map[string]any{
		contract.DisclosureOrder: o.Draft, contract.DisclosureConclude: concluding(o, disclosure.Disclosed),
	} {
		if tx := w.must(regulator, function, arg); len(tx.RWSet.Writes) != 0 {
			t.Errorf("%s again writes %q", function, tx.Writes())
		}
	}
	if tx := w.must(hospitalA, contract.DisclosureAnswer, given(o)); len(tx.RWSet.Writes) != 0 {
		t.Errorf("the answer again writes %q", tx.Writes())
	}
}

func TestARefusalAndSilenceAreOnTheRecord(t *testing.T) {
	w := newWorld(t)
	s := manifestOf(w.released())
	refused, silent := w.ordered(s), w.ordered(s)
	w.must(hospitalA, contract.DisclosureAnswer, refusing(refused))
	w.must(regulator, contract.DisclosureConclude, concluding(refused, disclosure.Withheld))
	w.refused(refusal.WrongState, regulator, contract.DisclosureConclude, concluding(silent, disclosure.Withheld))
	w.Advance(disclosure.Term * time.Second)
	page := ask[contract.DisclosurePage](w, regulator, contract.DisclosureDisclosures, contract.DisclosuresQuery{})
	var overdue []string
	for _, d := range page.Disclosures {
		if d.Overdue(w.clock()) {
			overdue = append(overdue, d.Order.ID)
		}
	}
	if len(page.Disclosures) != 2 || len(overdue) != 1 || overdue[0] != silent.ID {
		t.Errorf("overdue are %q of %+v", overdue, page.Disclosures)
	}
	w.must(regulator, contract.DisclosureConclude, concluding(silent, disclosure.Withheld))
	w.refused(refusal.WrongState, hospitalA, contract.DisclosureAnswer, given(silent))
}

// The answer and the conclusion of one order read each other: in one block one of them
// comes first, and the other is taken again on what it then finds.
func TestAnAnswerAndAConclusionInOneBlockDontPassEachOther(t *testing.T) {
	w := newWorld(t)
	o := w.ordered(manifestOf(w.released()))
	w.Advance(disclosure.Term * time.Second)
	answer := w.endorse(hospitalA, contract.DisclosureAnswer, given(o))
	conclusion := w.endorse(regulator, contract.DisclosureConclude, concluding(o, disclosure.Withheld))
	if codes := w.Commit(answer, conclusion); codes[0] != valid || codes[1] != mvcc {
		t.Errorf("codes %v", codes)
	}
}
