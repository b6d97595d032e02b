package contract_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

const valid, mvcc = peer.TxValidationCode_VALID, peer.TxValidationCode_MVCC_READ_CONFLICT

func TestTheWholeAccessFromRequestToReceipt(t *testing.T) {
	w := newWorld(t)
	permit := w.permitted(patient)
	if permit.Expires != permit.At+access.DefaultTTL || permit.Requester != insurer {
		t.Errorf("permit %+v", permit)
	}
	released := into[contract.Released](t, w.must(hospitalA, contract.AccessRelease, releaseOf(permit)).Response)
	received := into[contract.Received](t, w.must(insurer, contract.AccessReceive, receiptOf(permit)).Response)

	for _, who := range []string{hospitalA, insurer, regulator} {
		list := ask[contract.AccessList](w, who, contract.AccessAccess, contract.AccessQuery{Custodian: hospitalA, Requester: insurer, IDs: []string{permit.ID, w.id()}})
		if len(list.Accesses) != 2 || list.Accesses[1].Access != nil {
			t.Fatalf("%s reads %+v", who, list)
		}
		got := list.Accesses[0]
		if d := cmp.Diff(permit, *got.Access); d != "" {
			t.Errorf("%s reads another access:\n%s", who, d)
		}
		if *got.Release != *released.Results[0].Release || *got.Receipt != *received.Results[0].Receipt {
			t.Errorf("%s reads release %+v and receipt %+v", who, got.Release, got.Receipt)
		}
	}
	w.refused(registry.NotEntitled, hospitalB, contract.AccessAccess, contract.AccessQuery{Custodian: hospitalA, Requester: insurer, IDs: []string{permit.ID}})
}

func TestADenyIsRecordedWithItsRule(t *testing.T) {
	w := newWorld(t)
	tx := w.must(insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	a := into[access.Access](t, tx.Response)
	if a.Permitted() || a.Decision.Rule.Reason != consent.NothingSaid || a.Expires != 0 || len(tx.RWSet.Writes) != 1 {
		t.Errorf("decision %+v, expires %v, %d writes", a.Decision, a.Expires, len(tx.RWSet.Writes))
	}
	w.refused(refusal.NotPermitted, hospitalA, contract.AccessRelease, releaseOf(a))
}

func TestARequestReadsOnceAndWritesOneKey(t *testing.T) {
	w := newWorld(t)
	w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
	tx := w.must(insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	if want := (ledgertest.Calls{GetMultipleStates: 1, Put: 1}); tx.Calls != want {
		t.Errorf("calls %+v, want %+v", tx.Calls, want)
	}
	if len(tx.RWSet.Reads) != 8 || len(tx.RWSet.Writes) != 1 || len(tx.RWSet.MetadataWrites) != 0 || tx.Event != nil {
		t.Errorf("read-write set %v, event %v", tx.RWSet, tx.Event)
	}
}

// A decision reads no more keys when there are more consents of more patients.
func TestARequestReadsTheSameKeysHoweverManyConsentsThereAre(t *testing.T) {
	w := newWorld(t)
	before := len(w.endorse(insurer, contract.AccessRequest, w.requestFor(insurer, patient)).RWSet.Reads)
	for range consent.MaxConsents {
		w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
	}
	w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, other))
	w.refused(refusal.TooLarge, hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
	after := len(w.endorse(insurer, contract.AccessRequest, w.requestFor(insurer, patient)).RWSet.Reads)
	if before != after {
		t.Errorf("%d keys read, then %d", before, after)
	}
}

func TestSixtyFourRequestsOnOnePatientCommitTogether(t *testing.T) {
	w := newWorld(t)
	w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
	var txs []*ledgertest.Tx
	for range 64 {
		txs = append(txs, w.endorse(insurer, contract.AccessRequest, w.requestFor(insurer, patient)))
	}
	for i, code := range w.Commit(txs...) {
		if code != valid {
			t.Errorf("request %d: %v", i, code)
		}
	}
}

func TestAWithdrawalBeatsEveryRequestOrderedAfterIt(t *testing.T) {
	w := newWorld(t)
	grant := w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, grant)
	var txs []*ledgertest.Tx
	for range 64 {
		txs = append(txs, w.endorse(insurer, contract.AccessRequest, w.requestFor(insurer, patient)))
	}
	withdrawal := w.endorse(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: grant.ID, Requester: insurer, Handle: patient, Reason: "patient"})
	const place = 20
	block := append(append(append([]*ledgertest.Tx{}, txs[:place]...), withdrawal), txs[place:]...)
	for i, code := range w.Commit(block...) {
		want := valid
		if i > place {
			want = mvcc
		}
		if code != want {
			t.Errorf("transaction %d: %v, want %v", i, code, want)
		}
	}
	again := into[access.Access](t, w.must(insurer, contract.AccessRequest, w.requestFor(insurer, patient)).Response)
	if again.Permitted() || again.Decision.Rule.Reason != consent.IsWithdrawn {
		t.Errorf("after the withdrawal: %+v", again.Decision)
	}
}

func TestRequestsOfTwoPatientsAndConsentsOfAThirdDontConflict(t *testing.T) {
	w := newWorld(t)
	a := w.endorse(insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	b := w.endorse(insurer, contract.AccessRequest, w.requestFor(insurer, other))
	c := w.endorse(hospitalA, contract.ConsentGrant, w.grantFor(insurer, "1-"+strings.Repeat("ee", 32)))
	d := w.endorse(hospitalA, contract.ConsentGrant, w.grantFor(insurer, "1-"+strings.Repeat("ff", 32)))
	e := w.endorse(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{w.draft()}})
	for i, code := range w.Commit(a, c, d, e, b) {
		if code != valid {
			t.Errorf("transaction %d: %v", i, code)
		}
	}
}

func TestWhatEndsARelease(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(w *world, a access.Access, g contract.Grant)
		want refusal.Code
	}{
		{"the consent is withdrawn", func(w *world, a access.Access, g contract.Grant) {
			w.must(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: g.ID, Requester: insurer, Handle: patient, Reason: "patient"})
		}, refusal.ConsentChanged},
		{"the consent is amended to say less", func(w *world, a access.Access, g contract.Grant) {
			w.must(hospitalA, contract.ConsentAmend, contract.Amendment{
				ID: g.ID, Version: 2, Requester: insurer, Handle: patient,
				Provision: consent.Provision{Type: consent.Permit, DataPeriod: record.Period{Start: 1}}})
		}, refusal.ConsentChanged},
		{"another consent denies what the permit gave", func(w *world, a access.Access, g contract.Grant) {
			deny := w.grantFor(insurer, patient)
			deny.Provision.Type = consent.Deny
			w.must(hospitalA, contract.ConsentGrant, deny)
		}, refusal.ConsentChanged},
		{"the permit has expired", func(w *world, a access.Access, g contract.Grant) {
			w.Advance(access.DefaultTTL * 1e9)
		}, refusal.Expired},
		{"the requester is suspended", func(w *world, a access.Access, g contract.Grant) { w.suspend(insurer) }, refusal.MemberSuspended},
		{"the custodian is suspended", func(w *world, a access.Access, g contract.Grant) { w.suspend(hospitalA) }, refusal.MemberSuspended},
		{"nothing", func(w *world, a access.Access, g contract.Grant) {}, ""},
		{"an amendment that says the same", func(w *world, a access.Access, g contract.Grant) {
			w.must(hospitalA, contract.ConsentAmend, contract.Amendment{ID: g.ID, Version: 2, Requester: insurer, Handle: patient, Provision: g.Provision})
		}, ""},
		{"a change of another patient's consents", func(w *world, a access.Access, g contract.Grant) {
			w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, other))
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			grant := w.grantFor(insurer, patient)
			w.must(hospitalA, contract.ConsentGrant, grant)
			permit := w.permit(patient)
			test.do(w, permit, grant)
			if test.want == "" {
				w.must(hospitalA, contract.AccessRelease, releaseOf(permit))
				return
			}
			w.refused(test.want, hospitalA, contract.AccessRelease, releaseOf(permit))
		})
	}
}

func TestAReleaseOvertakenByAWithdrawalIsInvalid(t *testing.T) {
	w := newWorld(t)
	grant := w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, grant)
	release := w.endorse(hospitalA, contract.AccessRelease, releaseOf(w.permit(patient)))
	w.must(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: grant.ID, Requester: insurer, Handle: patient, Reason: "patient"})
	if code := w.Commit(release)[0]; code != mvcc {
		t.Errorf("the release is %v", code)
	}
}

// A release is decided by the consents of the permit's patient, not of one who would say yes.
func TestAReleaseCantBorrowAnotherPatientsConsent(t *testing.T) {
	w := newWorld(t)
	grant := w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, grant)
	permit := w.permit(patient)
	w.permitted(other)
	w.must(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: grant.ID, Requester: insurer, Handle: patient, Reason: "patient"})
	order := releaseOf(permit)
	order.Releases[0].Handle = other
	w.refused(refusal.NotFound, hospitalA, contract.AccessRelease, order)
}

func TestAPermitIsSingleUse(t *testing.T) {
	w := newWorld(t)
	permit := w.permitted(patient)
	first := w.must(hospitalA, contract.AccessRelease, releaseOf(permit))
	w.Advance(minute)
	again := w.must(hospitalA, contract.AccessRelease, releaseOf(permit))
	if len(again.RWSet.Writes) != 0 || string(again.Response) != string(first.Response) {
		t.Errorf("released again: %s with writes %q, first %s", again.Response, again.Writes(), first.Response)
	}
	second := releaseOf(permit)
	second.Releases[0].Manifest = strings.Repeat("1e", 32)
	w.refused(refusal.Exists, hospitalA, contract.AccessRelease, second)

	w.must(insurer, contract.AccessReceive, receiptOf(permit))
	if tx := w.must(insurer, contract.AccessReceive, receiptOf(permit)); len(tx.RWSet.Writes) != 0 {
		t.Errorf("received again with writes %q", tx.Writes())
	}
	failed := receiptOf(permit)
	failed.Receipts[0].Outcome = access.Failed
	w.refused(refusal.Exists, insurer, contract.AccessReceive, failed)
}

func TestTwoReleasesOfOnePermitRaceAndOneWins(t *testing.T) {
	w := newWorld(t)
	permit := w.permitted(patient)
	a := w.endorse(hospitalA, contract.AccessRelease, releaseOf(permit))
	second := releaseOf(permit)
	second.Releases[0].Manifest = strings.Repeat("1e", 32)
	b := w.endorse(hospitalA, contract.AccessRelease, second)
	if codes := w.Commit(a, b); codes[0] != valid || codes[1] != mvcc {
		t.Errorf("codes %v", codes)
	}
}

func TestABatchReleasesWhatItMay(t *testing.T) {
	w := newWorld(t)
	good, lost := w.permitted(patient), w.permitted(other)
	list := ask[contract.ConsentSet](w, hospitalA, contract.ConsentConsents, contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: other})
	w.must(hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: list.Consents[0].ID, Requester: insurer, Handle: other, Reason: "patient"})
	batch := contract.Releasing{Releases: append(releaseOf(lost).Releases, releaseOf(good).Releases...)}
	tx := w.must(hospitalA, contract.AccessRelease, batch)
	got := into[contract.Released](t, tx.Response).Results
	if got[0].Release != nil || got[0].Refusal.Code != refusal.ConsentChanged || got[1].Release == nil || got[1].Refusal != nil {
		t.Errorf("results %s", tx.Response)
	}
	if len(tx.RWSet.Writes) != 1 {
		t.Errorf("writes %q", tx.Writes())
	}
}

func TestAReceiptFollowsItsRelease(t *testing.T) {
	w := newWorld(t)
	permit := w.permitted(patient)
	w.refused(access.NotReleased, insurer, contract.AccessReceive, receiptOf(permit))
	w.must(hospitalA, contract.AccessRelease, releaseOf(permit))
	wrong := receiptOf(permit)
	wrong.Receipts[0].Manifest = strings.Repeat("1e", 32)
	w.refused(access.ManifestMismatch, insurer, contract.AccessReceive, wrong)
	w.refused(refusal.NotFound, hospitalB, contract.AccessReceive, receiptOf(permit))
}

func TestPurposesByKind(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		who     string
		purpose consent.Purpose
		want    refusal.Code
	}{
		{insurer, consent.HPAYMT, ""}, {insurer, consent.CLMATTCH, ""}, {insurer, consent.TREAT, access.PurposeNotAllowed},
		{insurer, consent.ETREAT, access.PurposeNotAllowed}, {hospitalB, consent.TREAT, ""}, {hospitalB, consent.ETREAT, ""},
		{hospitalB, consent.HPAYMT, access.PurposeNotAllowed}, {hospitalB, consent.CLMATTCH, access.PurposeNotAllowed},
	} {
		t.Run(test.who+" asks for "+test.purpose.String(), func(t *testing.T) {
			r := w.requestFor(test.who, patient)
			r.Purpose = test.purpose
			_, err := w.try(test.who, contract.AccessRequest, r)
			if got := codeOf(err); got != test.want {
				t.Errorf("refusal %q, want %q", got, test.want)
			}
		})
	}
}

func TestARequestAgain(t *testing.T) {
	w := newWorld(t)
	w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
	r := w.requestFor(insurer, patient)
	first := w.must(insurer, contract.AccessRequest, r)
	w.Advance(2 * minute)
	again := w.must(insurer, contract.AccessRequest, r)
	if string(first.Response) != string(again.Response) || len(again.RWSet.Writes) != 0 {
		t.Errorf("again %s with writes %q", again.Response, again.Writes())
	}
	r.Handle = other
	w.refused(refusal.Exists, insurer, contract.AccessRequest, r)
	// The id belongs to the requester: another may use the same without learning of it.
	mine := w.requestFor(hospitalB, patient)
	mine.ID = r.ID
	w.must(hospitalB, contract.AccessRequest, mine)
}

func TestTheShortestOfTTLAndConsentEndsAPermit(t *testing.T) {
	w := newWorld(t)
	g := w.grantFor(insurer, patient)
	g.Period.End = w.clock() + 600
	w.must(hospitalA, contract.ConsentGrant, g)
	if a := w.permit(patient); a.Expires != g.Period.End {
		t.Errorf("expires %v, want the consent's end %v", a.Expires, g.Period.End)
	}
	r := w.requestFor(insurer, patient)
	r.TTL = 60
	if a := into[access.Access](t, w.must(insurer, contract.AccessRequest, r).Response); a.Expires != a.At+60 {
		t.Errorf("expires %v, want 60 s after %v", a.Expires, a.At)
	}
}
