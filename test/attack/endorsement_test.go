package attack_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	"yitong/gateway/ledger"
	"yitong/test/consortium"
	"yitong/test/liar"
	"yitong/test/patient"
)

// A1: an insurer whose chaincode permits whatever it asks for.
func TestAPermitThatOneOrTwoMembersMadeUpIsInvalidAndReleasesNothing(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 300)
	c.Submit(t, p)
	of := handle(t, c, p)
	insurer := c.Ledger(t, consortium.Insurer, consortium.Chaincode)
	alone, both := demand(of), demand(of)

	c.Order(t, consortium.Chaincode, liar.Orders{Permit: true}, consortium.Insurer)
	commit(t, insurer, contract.AccessRequest, alone, []string{consortium.InsurerMSP}, policyFailure)
	if _, err := insurer.Prepare(t.Context(), contract.AccessRequest, both, ledger.EndorsedBy(consortium.InsurerMSP, consortium.RegulatorMSP)); err == nil {
		t.Error("an honest member endorsed what the liar did")
	}
	c.Order(t, consortium.Chaincode, liar.Orders{Permit: true}, consortium.Regulator)
	commit(t, insurer, contract.AccessRequest, both, []string{consortium.InsurerMSP, consortium.RegulatorMSP}, policyFailure)

	exchange := c.Exchange(t, consortium.Insurer, consortium.HospitalA)
	for _, permit := range []access.Request{alone, both} {
		t.Run("the custodian's gateway releases nothing", func(t *testing.T) {
			manifest, sealed, err := consortium.Manifest(t.Context(), exchange, permit.ID)
			if status.Code(err) != codes.NotFound || manifest != nil || sealed != 0 {
				t.Errorf("released a manifest of %d bytes and %d sealed bytes, error %v", len(manifest), sealed, err)
			}
		})
	}

	t.Run("control: where any one member's endorsement does, the same is a permit", func(t *testing.T) {
		loosen(t, c)
		c.Order(t, loose, liar.Orders{Permit: true}, consortium.Insurer)
		commit(t, c.Ledger(t, consortium.Insurer, loose), contract.AccessRequest, alone, []string{consortium.InsurerMSP}, valid)
		var got contract.AccessList
		in := contract.AccessQuery{Custodian: consortium.HospitalAMSP, Requester: consortium.InsurerMSP, IDs: []string{alone.ID}}
		if err := c.Ledger(t, consortium.Insurer, loose).Evaluate(t.Context(), contract.AccessAccess, in, &got); err != nil {
			t.Fatal(err)
		}
		if a := got.Accesses[0].Access; a == nil || !a.Permitted() {
			t.Errorf("the access is %+v", a)
		}
	})
}

// change is something that a custodian does, or that is done in its name.
type change struct {
	name, function string
	in             any
}

// draft is a record to be anchored.
func draft() contract.AnchorDraft {
	d := contract.AnchorDraft{ID: client.NewID(), Parts: 1, Bytes: 100}
	rand.Read(d.Root[:])
	return d
}

func grant(of string) contract.Grant {
	return contract.Grant{
		ID: client.NewID(), Requester: consortium.InsurerMSP, Handle: of,
		Provision: consent.Provision{Type: consent.Permit}, Evidence: strings.Repeat("0f", 32),
	}
}

// custody makes a record and a consent of hospital-a on a chaincode, endorsed by
// everyone, and returns what a custodian could do next.
func custody(t *testing.T, c *consortium.Consortium, chaincode, of string) []change {
	t.Helper()
	hospital := c.Ledger(t, consortium.HospitalA, chaincode)
	anchored, granted := draft(), grant(of)
	for function, in := range map[string]any{
		contract.RecordAnchor: contract.Anchoring{Records: []contract.AnchorDraft{anchored}}, contract.ConsentGrant: granted,
	} {
		if _, err := hospital.Submit(t.Context(), function, in, nil); err != nil {
			t.Fatal(err)
		}
	}
	amended := contract.Amendment{
		ID: granted.ID, Version: 2, Requester: granted.Requester, Handle: granted.Handle,
		Provision: consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Claim)}, Evidence: granted.Evidence,
	}
	next := draft()
	next.Supersedes = anchored.ID
	return []change{
		{"a new anchor", contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{draft()}}},
		{"an anchor superseded", contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{next}}},
		{"a record retracted", contract.RecordRetract, contract.Retraction{ID: anchored.ID, Reason: record.EnteredInError}},
		{"a new consent", contract.ConsentGrant, grant(of)},
		{"a consent amended", contract.ConsentAmend, amended},
	}
}

// A2: anchors and consents without the custodian's endorsement, by a majority that
// would do for everything else.
func TestWithoutTheCustodianNoAnchorAndNoConsentIsValid(t *testing.T) {
	c := consortium.Shared(t)
	of := handle(t, c, patient.Synthetic(t, 301))
	hospital, insurer := c.Ledger(t, consortium.HospitalA, consortium.Chaincode), c.Ledger(t, consortium.Insurer, consortium.Chaincode)
	changes := custody(t, c, consortium.Chaincode, of)
	for _, one := range changes {
		t.Run(one.name+", endorsed by three honest others", func(t *testing.T) {
			commit(t, hospital, one.function, one.in, withoutCustodian, policyFailure)
		})
	}
	t.Run("in its name", func(t *testing.T) {
		c.Order(t, consortium.Chaincode, liar.Orders{Caller: consortium.HospitalAMSP}, others...)
		for _, one := range changes {
			t.Run(one.name+", sent by the insurer and endorsed by three others that lie", func(t *testing.T) {
				commit(t, insurer, one.function, one.in, withoutCustodian, policyFailure)
			})
		}
	})
	for _, one := range changes {
		t.Run("control: "+one.name+", endorsed by the custodian and two others", func(t *testing.T) {
			if one.name == "an anchor superseded" {
				t.Skip("of one record either this or its retraction can be done")
			}
			commit(t, hospital, one.function, one.in, []string{consortium.HospitalAMSP, consortium.InsurerMSP, consortium.RegulatorMSP}, valid)
		})
	}
	t.Run("control: where keys have no policy of their own, the insurer does it all alone", func(t *testing.T) {
		loosen(t, c)
		anywhere := c.Ledger(t, consortium.Insurer, loose)
		changes := custody(t, c, loose, of)
		c.Order(t, loose, liar.Orders{Caller: consortium.HospitalAMSP, NoPolicies: true}, consortium.Insurer)
		for _, one := range changes {
			if one.name != "an anchor superseded" {
				commit(t, anywhere, one.function, one.in, []string{consortium.InsurerMSP}, valid)
			}
		}
	})
}

// A2: a policy of a key binds only once the key is there, and what binds the first
// write is that the chaincode touches another key with it. Where all the others
// run a chaincode that doesn't, they begin a relationship with a consent of their
// own. It is on the ledger, and honest members decide by it; the custodian, who
// keeps the form of every consent that is its own, lets no key go.
func TestAConsentThatAllTheOthersMadeUpOpensNothing(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 304)
	c.Submit(t, p)
	of := handle(t, c, p)
	insurer := c.Ledger(t, consortium.Insurer, consortium.Chaincode)
	c.Order(t, consortium.Chaincode, liar.Orders{Caller: consortium.HospitalAMSP, Forget: []string{"custodian"}}, others...)
	commit(t, insurer, contract.ConsentGrant, grant(of), withoutCustodian, valid)
	c.Order(t, consortium.Chaincode, liar.Orders{}, others...)

	permit := c.Ask(t, p, "laboratory")
	if permit.GetOutcome() != "permit" {
		t.Fatalf("the decision is %s: this test proves nothing", permit.GetOutcome())
	}
	manifest, sealed, err := consortium.Manifest(t.Context(), c.Exchange(t, consortium.Insurer, consortium.HospitalA), permit.GetId())
	if status.Code(err) != codes.PermissionDenied && status.Code(err) != codes.FailedPrecondition || manifest != nil || sealed != 0 {
		t.Errorf("released a manifest of %d bytes and %d sealed bytes, error %v", len(manifest), sealed, err)
	}
	if parts, _, err := c.Open(t.Context(), t, permit.GetId()); err == nil || len(parts) != 0 {
		t.Errorf("%d parts were opened, error %v", len(parts), err)
	}

	t.Run("control: once the patient has consented at the custodian, keys go", func(t *testing.T) {
		other := patient.Synthetic(t, 305)
		c.Submit(t, other)
		c.Grant(t, other, consortium.ForPayment("laboratory"))
		if parts, _, err := c.Open(t.Context(), t, c.Ask(t, other, "laboratory").GetId()); err != nil || len(parts) == 0 {
			t.Errorf("%d parts were opened, error %v", len(parts), err)
		}
	})
}

// A2: the policies themselves.
func TestWithoutTheCustodianNobodyChangesWhoHasToEndorse(t *testing.T) {
	c := consortium.Shared(t)
	of := handle(t, c, patient.Synthetic(t, 302))
	attempts := func(anchored string) []struct {
		name string
		in   liar.Write
	} {
		custodian, anchor := []string{consortium.HospitalAMSP}, []string{consortium.HospitalAMSP, anchored}
		consents := []string{consortium.HospitalAMSP, consortium.InsurerMSP, of}
		return []struct {
			name string
			in   liar.Write
		}{
			{"the policy of an anchor", liar.Write{Kind: "record", Attributes: anchor, Endorsers: withoutCustodian}},
			{"the policy of the consents", liar.Write{Kind: "directives", Attributes: consents, Endorsers: withoutCustodian}},
			{"the policy of what every first write touches", liar.Write{Kind: "custodian", Attributes: custodian, Endorsers: withoutCustodian}},
			{"the anchor, past every rule", liar.Write{Kind: "record", Attributes: anchor, Value: "{}"}},
			{"the consents, past every rule", liar.Write{Kind: "directives", Attributes: consents, Value: "[]"}},
			{"the consents, deleted", liar.Write{Kind: "directives", Attributes: consents, Delete: true}},
			{"the anchor, deleted", liar.Write{Kind: "record", Attributes: anchor, Delete: true}},
			{"what every first write touches, deleted", liar.Write{Kind: "custodian", Attributes: custodian, Delete: true}},
		}
	}
	hospital, insurer := c.Ledger(t, consortium.HospitalA, consortium.Chaincode), c.Ledger(t, consortium.Insurer, consortium.Chaincode)
	anchored := draft()
	for function, in := range map[string]any{
		contract.RecordAnchor: contract.Anchoring{Records: []contract.AnchorDraft{anchored}}, contract.ConsentGrant: grant(of),
	} {
		if _, err := hospital.Submit(t.Context(), function, in, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range attempts(anchored.ID) {
		t.Run(one.name, func(t *testing.T) {
			commit(t, insurer, liar.WriteFunction, one.in, withoutCustodian, policyFailure)
		})
	}
	t.Run("control: where keys have no policy of their own", func(t *testing.T) {
		loosen(t, c)
		hospital, insurer := c.Ledger(t, consortium.HospitalA, loose), c.Ledger(t, consortium.Insurer, loose)
		anchored := draft()
		if _, err := hospital.Submit(t.Context(), contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{anchored}}, nil); err != nil {
			t.Fatal(err)
		}
		for _, one := range attempts(anchored.ID) {
			if one.in.Kind == "record" && len(one.in.Endorsers) == 0 {
				commit(t, insurer, liar.WriteFunction, one.in, withoutCustodian, valid)
			}
		}
	})
}

// A withdrawal is the patient's: a custodian that is down, or unwilling, doesn't hold it up.
func TestAWithdrawalNeedsNoMoreThanAMajority(t *testing.T) {
	c := consortium.Shared(t)
	hospital := c.Ledger(t, consortium.HospitalA, consortium.Chaincode)
	granted := grant(handle(t, c, patient.Synthetic(t, 303)))
	if _, err := hospital.Submit(t.Context(), contract.ConsentGrant, granted, nil); err != nil {
		t.Fatal(err)
	}
	withdrawal := contract.Withdrawal{ID: granted.ID, Requester: granted.Requester, Handle: granted.Handle, Reason: "patient-request"}
	commit(t, hospital, contract.ConsentWithdraw, withdrawal, withoutCustodian, valid)
}
