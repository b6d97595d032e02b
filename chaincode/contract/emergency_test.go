package contract_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// clinician is a client of a member whose certificate says so.
func (w *world) clinician(msp string) ledgertest.Identity {
	w.Helper()
	return w.EnrolWith(msp, "clinicians", map[string]string{access.RoleAttribute: string(access.Clinician)})
}

// emergencyFor is hospitalB's break-glass request at hospitalA.
func (w *world) emergencyFor(handle string) access.Request {
	r := w.requestFor(hospitalB, handle)
	r.Purpose, r.Emergency = consent.ETREAT, access.Emergency{Reason: access.Unconscious}
	r.User, r.Role = digest, access.Clinician
	return r
}

func (w *world) broken(handle string) access.Access {
	w.Helper()
	tx, err := w.Invoke(w.Context(), w.clinician(hospitalB), contract.AccessRequest, text(w, w.emergencyFor(handle)))
	if err != nil {
		w.Fatal(err)
	}
	return into[access.Access](w, tx.Response)
}

func judgement(a access.Access, outcome access.Verdict) access.Judgement {
	return access.Judgement{Custodian: a.Custodian, Requester: a.Requester, ID: a.ID, Outcome: outcome, Reason: "seen"}
}

func settlement(a access.Access) access.Settlement {
	return access.Settlement{Custodian: a.Custodian, Requester: a.Requester, ID: a.ID, Reason: "trained"}
}

func TestAnEmergencyNeedsNoConsentAndBlocksUntilItIsReviewed(t *testing.T) {
	w := newWorld(t)
	doctor := w.clinician(hospitalB)
	again := func() error {
		_, err := w.Invoke(w.Context(), doctor, contract.AccessRequest, text(t, w.emergencyFor(patient)))
		return err
	}
	a := w.broken(patient)
	if !a.Permitted() {
		t.Fatalf("decision %+v", a.Decision)
	}
	w.must(hospitalA, contract.AccessRelease, releaseOf(a))
	w.must(hospitalB, contract.AccessReceive, receiptOf(a))
	if err := again(); err != nil {
		t.Fatalf("a second one, while the first may still be reviewed: %v", err)
	}
	w.Advance(access.ReviewTerm * time.Second)
	err := again()
	w.wantRefusal(access.EmergencyBlocked, err)
	if !strings.Contains(err.Error(), a.ID) {
		t.Errorf("%v doesn't name %s", err, a.ID)
	}
	w.must(hospitalB, contract.AccessRequest, w.requestFor(hospitalB, patient)) // by consent: denied, but not refused

	list := ask[contract.EmergencyList](w, regulator, contract.AccessEmergencies, contract.EmergenciesQuery{Requester: hospitalB})
	if len(list.Open) != 2 {
		t.Fatalf("open: %+v", list)
	}
	for _, o := range list.Open {
		w.must(regulator, contract.AccessReview, access.Judgement{Custodian: o.Custodian, Requester: hospitalB, ID: o.ID, Outcome: access.Accepted, Reason: "late"})
	}
	b := w.broken(patient)
	w.must(regulator, contract.AccessReview, judgement(b, access.Rejected))
	w.must(regulator, contract.AccessReview, judgement(b, access.Rejected)) // again: the same answer
	w.refused(refusal.Exists, regulator, contract.AccessReview, judgement(b, access.Accepted))
	w.wantRefusal(access.EmergencyBlocked, again())
	w.refused(access.ReviewRejected, hospitalA, contract.AccessRelease, releaseOf(b))
	w.must(regulator, contract.AccessResolve, settlement(b))
	w.must(regulator, contract.AccessResolve, settlement(b))
	if err := again(); err != nil {
		t.Errorf("after the resolution: %v", err)
	}
	w.refused(access.ReviewRejected, hospitalA, contract.AccessRelease, releaseOf(b)) // resolved isn't accepted
	entry := ask[contract.AccessList](w, hospitalA, contract.AccessAccess, contract.AccessQuery{Custodian: hospitalA, Requester: hospitalB, IDs: []string{b.ID}}).Accesses[0]
	if entry.Review == nil || entry.Review.Outcome != access.Rejected || entry.Review.Resolution == nil {
		t.Errorf("review %+v", entry.Review)
	}
}

func TestNobodyBreaksTheGlassWithoutTheCertificate(t *testing.T) {
	w := newWorld(t)
	as := func(who ledgertest.Identity) error {
		_, err := w.Invoke(w.Context(), who, contract.AccessRequest, text(t, w.emergencyFor(patient)))
		return err
	}
	w.wantRefusal(access.RoleNotAllowed, as(w.Client(hospitalB)))
	w.wantRefusal(access.RoleNotAllowed, as(w.EnrolWith(hospitalB, "desk", map[string]string{access.RoleAttribute: "records-officer"})))
	w.wantRefusal(access.RoleNotAllowed, as(w.EnrolWith(hospitalB, "desk", map[string]string{"role": "clinician"})))
	w.wantRefusal(refusal.KindNotAllowed, as(w.clinician(insurer)))
	w.wantRefusal(refusal.KindNotAllowed, as(w.clinician(hospitalA)))
	if err := as(w.clinician(hospitalB)); err != nil {
		t.Errorf("a clinician: %v", err)
	}
}

// credulous is a chaincode tampered with: it takes whoever signs for a clinician.
type credulous struct {
	shim.Chaincode
	doctor []byte
}

func (c credulous) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	return c.Chaincode.Invoke(signedBy{stub, c.doctor})
}

type signedBy struct {
	shim.ChaincodeStubInterface
	creator []byte
}

func (s signedBy) GetCreator() ([]byte, error) { return s.creator, nil }

// A hospital whose own chaincode takes its software for a clinician finds nobody to endorse
// what comes of it; where one endorsement is enough, it passes: the control.
func TestAHospitalAloneCantMakeAClinicianOfItsSoftware(t *testing.T) {
	for name, loose := range map[string]bool{"a majority endorses": false, "control: one endorsement is enough": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			honest, err := contract.New(w.clock)
			if err != nil {
				t.Fatal(err)
			}
			w.InstallAt(hospitalB, credulous{honest, w.clinician(hospitalB).Creator})
			if loose {
				w.Require(1)
			}
			in := text(t, w.emergencyFor(patient))
			if _, err := w.Endorse(w.Context(), w.Client(hospitalB), w.Members(), contract.AccessRequest, in); err == nil {
				t.Error("honest members endorsed it")
			}
			tx, err := w.Endorse(w.Context(), w.Client(hospitalB), []string{hospitalB}, contract.AccessRequest, in)
			if err != nil {
				t.Fatal(err)
			}
			if code := w.Commit(tx)[0]; (code == 0) != loose {
				t.Errorf("code %v", code)
			}
		})
	}
}

func TestWhoSeesEmergencies(t *testing.T) {
	w := newWorld(t)
	a := w.broken(patient)
	w.must(regulator, contract.AccessReview, judgement(a, access.Rejected))
	for who, want := range map[string]int{hospitalA: 1, hospitalB: 1, regulator: 1, insurer: 0} {
		list := ask[contract.EmergencyList](w, who, contract.AccessEmergencies, contract.EmergenciesQuery{Requester: hospitalB})
		if len(list.Open) != want {
			t.Errorf("%s sees %+v", who, list.Open)
		}
	}
	if page := ask[contract.ReviewPage](w, hospitalA, contract.AccessReviews, contract.ListQuery{}); len(page.Reviews) != 1 {
		t.Errorf("the custodian sees %+v", page)
	}
	if page := ask[contract.ReviewPage](w, hospitalB, contract.AccessReviews, contract.ListQuery{Custodian: hospitalA}); len(page.Reviews) != 1 {
		t.Errorf("the requester sees %+v", page)
	}
	_, err := w.Evaluate(w.Context(), w.Client(insurer), insurer, contract.AccessReviews, text(t, contract.ListQuery{Custodian: hospitalA, Requester: hospitalB}))
	w.wantRefusal(registry.NotEntitled, err)
	w.refused(refusal.NotFound, regulator, contract.AccessReview, access.Judgement{Custodian: hospitalA, Requester: hospitalB, ID: w.id(), Outcome: access.Accepted, Reason: "seen"})
	w.refused(refusal.NotFound, regulator, contract.AccessResolve, access.Settlement{Custodian: hospitalA, Requester: hospitalB, ID: w.id(), Reason: "seen"})
}

// Two at the same moment read the same list of what is open: one of them must be
// endorsed anew, or the list would lose the other.
func TestNoEmergencyIsLostToAnother(t *testing.T) {
	w := newWorld(t)
	doctor := w.clinician(hospitalB)
	endorse := func() *ledgertest.Tx {
		tx, err := w.Endorse(w.Context(), doctor, w.Members(), contract.AccessRequest, text(t, w.emergencyFor(patient)))
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	if codes := w.Commit(endorse(), endorse()); codes[0] != 0 || codes[1] == 0 {
		t.Errorf("codes %v", codes)
	}
}

// A rejection that is on its way when the custodian releases: the release doesn't commit.
func TestAReleaseDoesntOvertakeARejection(t *testing.T) {
	w := newWorld(t)
	a := w.broken(patient)
	release := w.endorse(hospitalA, contract.AccessRelease, releaseOf(a))
	w.must(regulator, contract.AccessReview, judgement(a, access.Rejected))
	if codes := w.Commit(release); codes[0] == 0 {
		t.Error("the release was committed after the rejection")
	}
	// An order that hides that the permit is a break-glass one, so that its review isn't
	// looked at, is refused.
	hiding := releaseOf(a)
	hiding.Releases[0].Emergency = false
	w.refused(refusal.NotFound, hospitalA, contract.AccessRelease, hiding)
}
