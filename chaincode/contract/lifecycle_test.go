package contract_test

import (
	"strings"
	"testing"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

func TestFoundingHappensOnce(t *testing.T) {
	w := newWorld(t)
	w.Advance(minute)
	again := w.must(insurer, contract.RegistryFound, founding())
	if len(again.RWSet.Writes) != 0 {
		t.Errorf("founding again writes %q", again.Writes())
	}
	other := founding()
	other.Members[0].Name = "An impostor"
	w.refused(refusal.Exists, hospitalA, contract.RegistryFound, other)
	fewer := founding()
	fewer.Members = fewer.Members[:3]
	w.refused(refusal.Exists, hospitalA, contract.RegistryFound, fewer)

	bad := unfounded(t)
	twice := founding()
	twice.Members = append(twice.Members, twice.Members[0])
	bad.refused(refusal.Malformed, hospitalA, contract.RegistryFound, twice)
	short := founding()
	short.Members[1].Keys.HPKE.Public = short.Members[1].Keys.HPKE.Public[1:]
	bad.refused(refusal.Malformed, hospitalA, contract.RegistryFound, short)
	kind := founding()
	kind.Members[1].Kind = "bank"
	bad.refused(refusal.Malformed, hospitalA, contract.RegistryFound, kind)
	bad.refused(refusal.Malformed, hospitalA, contract.RegistryFound, contract.Founding{})
}

func TestAMemberUpdatesItself(t *testing.T) {
	w := newWorld(t)
	gateway, keys := "gw.example.org:7443", keysOf(2)
	w.must(insurer, contract.RegistryUpdate, registry.Update{Gateway: &gateway, Keys: &keys})
	got := ask[contract.MemberEntry](w, hospitalB, contract.RegistryMember, contract.MemberQuery{MSP: insurer})
	if got.Member.Gateway != gateway || got.Keys.HPKE.Public[0] != 2 {
		t.Errorf("entry %+v", got.Member)
	}
	if tx := w.must(insurer, contract.RegistryUpdate, registry.Update{Gateway: &gateway, Keys: &keys}); len(tx.RWSet.Writes) != 0 {
		t.Errorf("the same update writes %q", tx.Writes())
	}
	for _, bad := range []string{"", "host", "host:", ":1", "host:0", "host:65536", "http://host:1", "ho st:1", "host:1/x", "user@host:1"} {
		w.refused(refusal.Malformed, insurer, contract.RegistryUpdate, registry.Update{Gateway: &bad})
	}
	w.refused(refusal.Malformed, insurer, contract.RegistryUpdate, registry.Update{})
	w.refused(refusal.NotFound, insurer, contract.RegistryMember, contract.MemberQuery{MSP: stranger})
}

func TestSuspensionTakesAMajorityWithoutTheAccused(t *testing.T) {
	w := newWorld(t)
	motion := registry.Motion{Suspend: &registry.Suspension{MSP: insurer, Reason: "audit"}}
	w.refused(registry.NotEntitled, insurer, contract.RegistryMove, motion)
	for i, who := range []string{hospitalA, hospitalA, hospitalB, regulator, hospitalA} {
		moved := into[contract.Moved](t, w.must(who, contract.RegistryMove, motion).Response)
		if moved.Carried != (i >= 3) {
			t.Errorf("after vote %d: %+v", i, moved)
		}
	}
	w.refused(refusal.MemberSuspended, insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	back := registry.Motion{Reinstate: &registry.Reinstatement{MSP: insurer}}
	w.must(hospitalA, contract.RegistryMove, back)
	if moved := into[contract.Moved](t, w.must(regulator, contract.RegistryMove, back).Response); !moved.Carried || moved.Needed != 2 {
		t.Errorf("reinstatement %+v", moved)
	}
	w.must(insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	// Old votes are spent: the same motion begins anew.
	if moved := into[contract.Moved](t, w.must(hospitalA, contract.RegistryMove, motion).Response); moved.Carried || len(moved.Votes) != 1 {
		t.Errorf("the motion again %+v", moved)
	}
	w.refused(refusal.NotFound, hospitalA, contract.RegistryMove, registry.Motion{Suspend: &registry.Suspension{MSP: stranger, Reason: "x"}})
	w.refused(refusal.Malformed, hospitalA, contract.RegistryMove, registry.Motion{})
	w.refused(refusal.Malformed, hospitalA, contract.RegistryMove, registry.Motion{Suspend: motion.Suspend, Reinstate: back.Reinstate})
	admit := candidate(insurer, registry.Hospital)
	w.refused(refusal.Exists, hospitalA, contract.RegistryMove, registry.Motion{Admit: &admit})
}

func TestARecordsLife(t *testing.T) {
	w := newWorld(t)
	d := w.draft()
	batch := contract.Anchoring{Records: []contract.AnchorDraft{d}}
	first := w.must(hospitalA, contract.RecordAnchor, batch)
	w.Advance(minute)
	if again := w.must(hospitalA, contract.RecordAnchor, batch); len(again.RWSet.Writes) != 0 || string(again.Response) != string(first.Response) {
		t.Errorf("anchored again: %s with writes %q", again.Response, again.Writes())
	}
	changed := d
	changed.Root = record.Hash{9}
	w.refused(refusal.Exists, hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{changed}})

	next := w.draft()
	next.Supersedes = d.ID
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{next}})
	old := ask[record.Anchor](w, insurer, contract.RecordRecord, contract.RecordQuery{Custodian: hospitalA, ID: d.ID})
	if old.Status != record.Superseded || old.SupersededBy != next.ID {
		t.Errorf("superseded %+v", old)
	}
	// A lost answer to the first anchoring, retried after the supersession, is still answered.
	w.must(hospitalA, contract.RecordAnchor, batch)
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{next}})
	second := w.draft()
	second.Supersedes = d.ID
	w.refused(refusal.WrongState, hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{second}})
	w.refused(refusal.Malformed, hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{second, second}})

	end := contract.Retraction{ID: next.ID, Reason: record.EnteredInError}
	w.must(hospitalA, contract.RecordRetract, end)
	if tx := w.must(hospitalA, contract.RecordRetract, end); len(tx.RWSet.Writes) != 0 {
		t.Errorf("retracted again with writes %q", tx.Writes())
	}
	end.Reason = record.WrongPatient
	w.refused(refusal.WrongState, hospitalA, contract.RecordRetract, end)
	w.refused(refusal.NotFound, hospitalA, contract.RecordRetract, contract.Retraction{ID: w.id(), Reason: record.EnteredInError})
	w.refused(refusal.NotFound, hospitalA, contract.RecordRecord, contract.RecordQuery{Custodian: hospitalB, ID: d.ID})
}

func TestAnchorsAreReadTogetherAndWhatIsNotThereIsLeftOut(t *testing.T) {
	w := newWorld(t)
	a, b := w.draft(), w.draft()
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{a, b}})
	query := contract.AnchorQuery{Custodian: hospitalA, IDs: []string{b.ID, w.id(), a.ID}}
	got := ask[contract.AnchorList](w, insurer, contract.RecordAnchors, query).Records
	if len(got) != 2 || got[0].ID != b.ID || got[0].Root != b.Root || got[1].ID != a.ID {
		t.Errorf("%+v", got)
	}
	query.Custodian = hospitalB
	if got := ask[contract.AnchorList](w, insurer, contract.RecordAnchors, query).Records; len(got) != 0 {
		t.Errorf("of another custodian: %+v", got)
	}
	w.refused(refusal.Malformed, insurer, contract.RecordAnchors, contract.AnchorQuery{Custodian: hospitalA})
	w.refused(refusal.Malformed, insurer, contract.RecordAnchors, contract.AnchorQuery{Custodian: hospitalA, IDs: []string{a.ID, a.ID}})
	w.refused(refusal.TooLarge, insurer, contract.RecordAnchors, contract.AnchorQuery{Custodian: hospitalA, IDs: make([]string, contract.MaxBatch+1)})
}

func TestABatchOfAnchorsIsAllOrNothing(t *testing.T) {
	w := newWorld(t)
	good, bad := w.draft(), w.draft()
	bad.Parts = 0
	w.refused(refusal.TooLarge, hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{good, bad}})
	w.refused(refusal.NotFound, insurer, contract.RecordRecord, contract.RecordQuery{Custodian: hospitalA, ID: good.ID})
}

func TestAConsentsLife(t *testing.T) {
	w := newWorld(t)
	of := contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: patient}
	g := w.grantFor(insurer, patient)
	first := w.must(hospitalA, contract.ConsentGrant, g)

	amend := contract.Amendment{ID: g.ID, Version: 2, Requester: insurer, Handle: patient, Provision: consent.Provision{
		Type: consent.Permit, Classes: record.ClassesOf(record.Laboratory), Provisions: []consent.Provision{{Type: consent.Deny, Labels: record.LabelsOf(record.HIV)}}}}
	second := w.must(hospitalA, contract.ConsentAmend, amend)
	withdraw := contract.Withdrawal{ID: g.ID, Requester: insurer, Handle: patient, Reason: "patient"}
	third := into[consent.Consent](t, w.must(hospitalA, contract.ConsentWithdraw, withdraw).Response)
	if third.Version != 3 || third.Status != consent.Withdrawn {
		t.Errorf("withdrawn %+v", third)
	}

	// Every step retried after all of it answers as then, and writes nothing.
	w.Advance(minute)
	for function, step := range map[string]struct {
		arg  any
		want string
	}{
		contract.ConsentGrant: {g, string(first.Response)}, contract.ConsentAmend: {amend, string(second.Response)},
		contract.ConsentWithdraw: {withdraw, text(t, third)},
	} {
		tx := w.must(hospitalA, function, step.arg)
		if len(tx.RWSet.Writes) != 0 || string(tx.Response) != step.want {
			t.Errorf("%s again: %s with writes %q, first %s", function, tx.Response, tx.Writes(), step.want)
		}
	}
	g2, a2, w2 := g, amend, withdraw
	g2.Evidence, a2.Evidence, w2.Reason = strings.Repeat("12", 32), digest, "error"
	w.refused(refusal.Exists, hospitalA, contract.ConsentGrant, g2)
	w.refused(refusal.Exists, hospitalA, contract.ConsentAmend, a2)
	w.refused(refusal.Exists, hospitalA, contract.ConsentWithdraw, w2)

	amend.Version = 3
	w.refused(refusal.Exists, hospitalA, contract.ConsentAmend, amend)
	amend.Version = 5
	w.refused(refusal.VersionConflict, hospitalA, contract.ConsentAmend, amend)
	amend.Version = 1
	w.refused(refusal.Malformed, hospitalA, contract.ConsentAmend, amend)
	// An amendment after the withdrawal is a consent anew.
	amend.Version = 4
	w.must(hospitalA, contract.ConsentAmend, amend)
	w.permit(patient)
	if got := ask[contract.ConsentSet](w, regulator, contract.ConsentConsents, of).Consents; len(got) != 1 || got[0].Version != 4 || got[0].Status != consent.Active {
		t.Errorf("present %+v", got)
	}

	var versions []consent.Consent
	for bookmark, more := "", true; more; more = bookmark != "" {
		p := ask[contract.ConsentPage](w, insurer, contract.ConsentHistory, contract.HistoryQuery{Custodian: hospitalA, Requester: insurer, Handle: patient, ID: g.ID, Size: 3, Bookmark: bookmark})
		for _, v := range p.Versions {
			versions = append(versions, v.Consent)
			if (v.Reason != "") != (v.Consent.Status == consent.Withdrawn) {
				t.Errorf("version %+v", v)
			}
		}
		bookmark = p.Bookmark
	}
	for i, v := range versions {
		if v.Version != i+1 {
			t.Errorf("version %d in place %d", v.Version, i)
		}
	}
	if len(versions) != 4 {
		t.Errorf("%d versions", len(versions))
	}
}

func TestTwoAmendmentsRaceAndOneWins(t *testing.T) {
	w := newWorld(t)
	g := w.grantFor(insurer, patient)
	w.must(hospitalA, contract.ConsentGrant, g)
	amend := contract.Amendment{ID: g.ID, Version: 2, Requester: insurer, Handle: patient, Provision: g.Provision}
	a := w.endorse(hospitalA, contract.ConsentAmend, amend)
	amend.Provision.Type = consent.Deny
	b := w.endorse(hospitalA, contract.ConsentAmend, amend)
	codes := w.Commit(a, b)
	if codes[0] != valid || codes[1] == valid {
		t.Errorf("codes %v", codes)
	}
}

func TestConsentsThatCantBe(t *testing.T) {
	w := newWorld(t)
	w.refused(refusal.NotFound, hospitalA, contract.ConsentGrant, w.grantFor(stranger, patient))
	w.refused(refusal.KindNotAllowed, hospitalA, contract.ConsentGrant, w.grantFor(hospitalA, patient))
	w.refused(refusal.KindNotAllowed, hospitalA, contract.ConsentGrant, w.grantFor(regulator, patient))
	g := w.grantFor(insurer, patient)
	g.Provision.Type = 0
	w.refused(refusal.Malformed, hospitalA, contract.ConsentGrant, text(t, map[string]any{"id": g.ID, "requester": insurer, "handle": patient, "evidence": digest}))
	w.refused(refusal.NotFound, hospitalA, contract.ConsentAmend, contract.Amendment{ID: w.id(), Version: 2, Requester: insurer, Handle: patient, Provision: consent.Provision{Type: consent.Permit}})
	w.refused(refusal.NotFound, hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: w.id(), Requester: insurer, Handle: patient, Reason: "patient"})
	w.refused(refusal.Malformed, hospitalA, contract.ConsentWithdraw, contract.Withdrawal{ID: w.id(), Requester: insurer, Handle: patient, Reason: "Mr Wang said so"})
	w.refused(refusal.NotFound, insurer, contract.ConsentHistory, contract.HistoryQuery{Custodian: hospitalA, Requester: insurer, Handle: patient, ID: w.id()})
}

func TestAKeyThatWasReplacedNeverComesBack(t *testing.T) {
	w := newWorld(t)
	var keys []registry.Keys
	for n := range byte(2*registry.MaxRetired + 3) {
		keys = append(keys, keysOf(1+n))
	}
	founded := ask[contract.MemberEntry](w, hospitalB, contract.RegistryMember, contract.MemberQuery{MSP: insurer}).Keys
	if founded.HPKE.From == 0 || founded.HPKE.Until != 0 {
		t.Errorf("the founding key is valid from %d until %d", founded.HPKE.From, founded.HPKE.Until)
	}
	at, grace := record.At(w.Now()), int64(30)
	for i := 1; i < len(keys); i++ {
		w.Advance(minute)
		w.must(insurer, contract.RegistryUpdate, registry.Update{Keys: &keys[i], Grace: &grace})
		for j := range i { // the oldest of them isn't listed any more, and is known to be spent all the same
			back := keys[i]
			back.HPKE = keys[j].HPKE
			w.refused(registry.KeySpent, insurer, contract.RegistryUpdate, registry.Update{Keys: &back})
			back = keys[i]
			back.Signing = keys[j].Signing
			w.refused(registry.KeySpent, insurer, contract.RegistryUpdate, registry.Update{Keys: &back})
		}
	}
	got := ask[contract.MemberEntry](w, hospitalB, contract.RegistryMember, contract.MemberQuery{MSP: insurer}).Keys
	if len(got.Retired.HPKE) != registry.MaxRetired || len(got.Retired.Signing) != registry.MaxRetired {
		t.Errorf("%d and %d replaced keys are listed", len(got.Retired.HPKE), len(got.Retired.Signing))
	}
	if last, ok := got.SigningKey(keys[len(keys)-2].Signing.ID); !ok || last.Until <= at || !last.ValidAt(last.From) || last.ValidAt(last.Until) {
		t.Errorf("the key before is %+v", last)
	}
	// Of another member's key nothing is known, and its own can't be taken by a claim.
	claimed := keysOf(200)
	claimed.HPKE.Until = 1
	w.refused(refusal.Malformed, insurer, contract.RegistryUpdate, registry.Update{Keys: &claimed})
}

func TestAPermitDiesWithTheSuspensionOfEitherMember(t *testing.T) {
	for _, accused := range []string{insurer, hospitalA} {
		t.Run(accused, func(t *testing.T) {
			w := newWorld(t)
			w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient))
			first, second := w.requestFor(insurer, patient), w.requestFor(insurer, patient)
			w.must(insurer, contract.AccessRequest, first)
			w.must(insurer, contract.AccessRequest, second)
			order := func(id string) contract.ReleaseOrder {
				return contract.ReleaseOrder{Permit: id, Requester: insurer, Handle: patient, Manifest: digest}
			}
			w.must(hospitalA, contract.AccessRelease, contract.Releasing{Releases: []contract.ReleaseOrder{order(first.ID)}})

			w.suspend(accused)
			back := registry.Motion{Reinstate: &registry.Reinstatement{MSP: accused}}
			for _, voter := range []string{hospitalB, regulator} {
				w.must(voter, contract.RegistryMove, back)
			}
			// Neither what was never released nor, again, what was.
			for _, id := range []string{first.ID, second.ID} {
				w.refused(access.Lapsed, hospitalA, contract.AccessRelease, contract.Releasing{Releases: []contract.ReleaseOrder{order(id)}})
			}
			third := w.requestFor(insurer, patient)
			w.must(insurer, contract.AccessRequest, third)
			released := into[contract.Released](t, w.must(hospitalA, contract.AccessRelease, contract.Releasing{Releases: []contract.ReleaseOrder{order(third.ID)}}).Response)
			if r := released.Results[0]; r.Release == nil {
				t.Errorf("a permit from after the reinstatement: %+v", r.Refusal)
			}
		})
	}
}
