package contract_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

func TestOnlyStrictJSONComesIn(t *testing.T) {
	w := newWorld(t)
	good := text(t, w.requestFor(insurer, patient))
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s doesn't hold %s", good, old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, test := range []struct {
		name, argument string
		want           refusal.Code
	}{
		{"the good request", good, ""},
		{"white space around it", " \n" + good + "\n ", ""},
		{"nothing", "", refusal.Malformed},
		{"null", "null", refusal.Malformed},
		{"an array", "[" + good + "]", refusal.Malformed},
		{"a string", `"hello"`, refusal.Malformed},
		{"half of it", good[:len(good)/2], refusal.Malformed},
		{"an unknown name", replace(`{`, `{"role":"admin",`), refusal.Malformed},
		{"a name twice", replace(`{`, `{"handle":"`+other+`",`), refusal.Malformed},
		{"a name twice, once escaped", replace(`{`, `{"\u0068andle":"`+other+`",`), refusal.Malformed},
		{"a name in capitals", replace(`"handle"`, `"Handle"`), refusal.Malformed},
		{"a second document after it", good + good, refusal.Malformed},
		{"rubbish after it", good + "x", refusal.Malformed},
		{"a comment", replace(`{`, `{/* hi */`), refusal.Malformed},
		{"a trailing comma", good[:len(good)-1] + ",}", refusal.Malformed},
		{"invalid UTF-8 in a name", replace(`{`, "{\"\xff\":1,"), refusal.Malformed},
		{"invalid UTF-8 in a value", replace(`"CLMATTCH"`, "\"CLM\xc3\x28\""), refusal.Malformed},
		{"half a surrogate pair", replace(`"CLMATTCH"`, `"\ud800"`), refusal.Malformed},
		{"a null byte in the id", replace(`{"id":"`, `{"id":"\u0000`), refusal.Malformed},
		{"a number for a string", replace(`"CLMATTCH"`, `7`), refusal.Malformed},
		{"a fraction for whole seconds", replace(`{`, `{"ttl":1.5,`), refusal.Malformed},
		{"an unknown purpose", replace(`"CLMATTCH"`, `"NOSUCH"`), refusal.Malformed},
		{"an unknown class", replace(`"laboratory"`, `"gossip"`), refusal.Malformed},
		{"a class twice", replace(`"laboratory"`, `"laboratory","laboratory"`), refusal.Malformed},
		{"no class", replace(`["laboratory"]`, `[]`), refusal.Malformed},
		{"an instant in another zone", replace(`"period":{}`, `"period":{"start":"2026-01-01T00:00:00+01:00"}`), refusal.Malformed},
		{"more than 64 KiB", good + strings.Repeat(" ", contract.MaxDocument), refusal.TooLarge},
		{"nested 33 deep", replace(`{`, `{"x":`+strings.Repeat("[", 33)+strings.Repeat("]", 33)+`,`), refusal.Malformed},
		{"nested a million deep", `{"x":` + strings.Repeat("[", 60000), refusal.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := w.Endorse(w.Context(), w.Client(insurer), w.Members(), contract.AccessRequest, test.argument)
			if test.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			(&world{TB: t}).wantRefusal(test.want, err)
		})
	}
}

// Provisions nest by the schema, so only the look beforehand keeps the parser out of the depth.
func TestDepthIsRefusedBeforeParsing(t *testing.T) {
	w := newWorld(t)
	nested := `{"type":"permit"}`
	for range contract.MaxDepth {
		nested = `{"type":"permit","provisions":[` + nested + `]}`
	}
	w.refused(refusal.Malformed, hospitalA, contract.ConsentGrant,
		fmt.Sprintf(`{"id":%q,"requester":%q,"handle":%q,"evidence":%q,"provision":%s}`, w.id(), insurer, patient, digest, nested))
	w.refused(refusal.TooLarge, hospitalA, contract.ConsentGrant, contract.Grant{ID: w.id(), Requester: insurer, Handle: patient, Evidence: digest,
		Provision: deep(consent.MaxDepth + 1)})
}

func deep(levels int) consent.Provision {
	p := consent.Provision{Type: consent.Permit}
	for range levels - 1 {
		p = consent.Provision{Type: consent.Permit, Provisions: []consent.Provision{p}}
	}
	return p
}

func TestArgumentsThatReachIntoOtherKeys(t *testing.T) {
	w := newWorld(t)
	permit := w.permitted(patient)
	for _, bad := range []string{
		"", "a", permit.ID[:31], permit.ID + "0", strings.ToUpper("abcdef" + permit.ID[6:]), permit.ID[:31] + "\x00",
		permit.ID[:30] + "\x00x", "../" + permit.ID[3:], permit.ID[:31] + "\U0010ffff", strings.Repeat("０", 32), permit.ID + "\x00" + permit.ID,
	} {
		r := w.requestFor(insurer, patient)
		r.ID = bad
		w.refused(refusal.Malformed, insurer, contract.AccessRequest, r)
		g := w.grantFor(insurer, patient)
		g.ID = bad
		w.refused(refusal.Malformed, hospitalA, contract.ConsentGrant, g)
		d := w.draft()
		d.ID = bad
		w.refused(refusal.Malformed, hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{d}})
		o := releaseOf(permit)
		o.Releases[0].Permit = bad
		w.refused(refusal.Malformed, hospitalA, contract.AccessRelease, o)
		w.refused(refusal.Malformed, insurer, contract.AccessAccess, contract.AccessQuery{Custodian: hospitalA, Requester: insurer, IDs: []string{bad}})
		w.refused(refusal.Malformed, regulator, contract.DisclosureOrder, disclosure.Draft{ID: bad, Subject: manifestOf(permit), Reason: "case-7"})
		w.refused(refusal.Malformed, hospitalA, contract.DisclosureAnswer, contract.Answering{Order: bad, Regulator: regulator, Word: disclosure.Given})
		w.refused(refusal.Malformed, regulator, contract.DisclosureConclude, contract.Concluding{Order: bad, Holder: hospitalA, Outcome: disclosure.Disclosed})
	}
	for _, bad := range []string{"", "\x00", "HospitalA\x00Insurer", "Hospital A", "a/b", "..", "-x", strings.Repeat("x", 65), "医院", "A\U0010ffff"} {
		r := w.requestFor(insurer, patient)
		r.Custodian = bad
		w.refused(refusal.Malformed, insurer, contract.AccessRequest, r)
		w.refused(refusal.Malformed, insurer, contract.RegistryMember, contract.MemberQuery{MSP: bad})
		w.refused(refusal.Malformed, hospitalA, contract.DisclosureAnswer, contract.Answering{Order: permit.ID, Regulator: bad, Word: disclosure.Given})
		w.refused(refusal.Malformed, regulator, contract.DisclosureConclude, contract.Concluding{Order: permit.ID, Holder: bad, Outcome: disclosure.Disclosed})
		w.refused(refusal.Malformed, hospitalA, contract.ConsentGrant, w.grantFor(bad, patient))
		w.refused(refusal.Malformed, regulator, contract.RecordRecords, contract.RecordsQuery{Custodian: bad})
	}
	for _, bad := range []string{"", patient[:63], patient + "0", strings.ToUpper(patient), patient[:62] + "\x00\x00"} {
		w.refused(refusal.Malformed, insurer, contract.AccessRequest, w.requestFor(insurer, bad))
		w.refused(refusal.Malformed, insurer, contract.ConsentConsents, contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: bad})
	}
}

func TestPagesAndBatchesAreBounded(t *testing.T) {
	w := newWorld(t)
	for _, list := range []struct {
		function string
		arg      func(size int, bookmark string) any
	}{
		{contract.RecordRecords, func(n int, b string) any {
			return contract.RecordsQuery{Custodian: hospitalA, Size: n, Bookmark: b}
		}},
		{contract.ConsentList, func(n int, b string) any {
			return contract.ListQuery{Custodian: hospitalA, Size: n, Bookmark: b}
		}},
		{contract.AccessAccesses, func(n int, b string) any {
			return contract.ListQuery{Custodian: hospitalA, Size: n, Bookmark: b}
		}},
		{contract.DisclosureDisclosures, func(n int, b string) any {
			return contract.DisclosuresQuery{Holder: hospitalA, Size: n, Bookmark: b}
		}},
	} {
		w.refused(refusal.TooLarge, hospitalA, list.function, list.arg(contract.MaxPage+1, ""))
		w.refused(refusal.Malformed, hospitalA, list.function, list.arg(-1, ""))
		w.refused(refusal.Malformed, hospitalA, list.function, list.arg(1, "not a bookmark!"))
		w.refused(refusal.Malformed, hospitalA, list.function, list.arg(1, "_w")) // 0xff: no UTF-8
		if _, err := w.try(hospitalA, list.function, list.arg(contract.MaxPage, "")); err != nil {
			t.Errorf("%s with the largest page: %v", list.function, err)
		}
	}
	var drafts []contract.AnchorDraft
	for range contract.MaxBatch + 1 {
		drafts = append(drafts, w.draft())
	}
	w.refused(refusal.TooLarge, hospitalA, contract.RecordAnchor, contract.Anchoring{Records: drafts})
	w.refused(refusal.Malformed, hospitalA, contract.RecordAnchor, contract.Anchoring{})
	w.refused(refusal.Malformed, hospitalA, contract.AccessRelease, contract.Releasing{})
	w.refused(refusal.Malformed, insurer, contract.AccessReceive, contract.Receiving{})
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: drafts[:contract.MaxBatch]})
}

// Every entry once, in order, and nobody else's, whatever the page size.
func TestPagesTakenTogetherAreEverything(t *testing.T) {
	w := newWorld(t)
	const n = 7
	for i := range n {
		w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{w.draft()}})
		w.must(hospitalB, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{w.draft()}})
		w.permitted(fmt.Sprintf("1-%064x", i))
	}
	for size := 1; size <= n+1; size++ {
		var ids, handles, accesses []string
		for bookmark, more := "", true; more; more = bookmark != "" {
			p := ask[contract.AnchorPage](w, hospitalA, contract.RecordRecords, contract.RecordsQuery{Custodian: hospitalA, Size: size, Bookmark: bookmark})
			for _, r := range p.Records {
				if r.Custodian != hospitalA {
					t.Fatalf("another custodian's record %+v", r)
				}
				ids = append(ids, r.ID)
			}
			bookmark = p.Bookmark
		}
		for bookmark, more := "", true; more; more = bookmark != "" {
			p := ask[contract.RelationshipPage](w, insurer, contract.ConsentList, contract.ListQuery{Custodian: hospitalA, Size: size, Bookmark: bookmark})
			for _, r := range p.Relationships {
				handles = append(handles, r.Handle)
			}
			bookmark = p.Bookmark
		}
		for bookmark, more := "", true; more; more = bookmark != "" {
			p := ask[contract.AccessPage](w, regulator, contract.AccessAccesses, contract.ListQuery{Size: size, Bookmark: bookmark})
			for _, a := range p.Accesses {
				accesses = append(accesses, a.ID)
			}
			bookmark = p.Bookmark
		}
		for name, got := range map[string][]string{"records": ids, "relationships": handles, "accesses": accesses} {
			if len(got) != n || !strictlyAscending(got) {
				t.Errorf("%s in pages of %d: %v", name, size, got)
			}
		}
	}
}

func strictlyAscending(s []string) bool {
	for i := 1; i < len(s); i++ {
		if s[i-1] >= s[i] {
			return false
		}
	}
	return true
}

// The same proposal simulated over and over at two instances is the same to the byte.
func TestEveryFunctionIsDeterministic(t *testing.T) {
	w := newWorld(t)
	examples := w.examples(w.permitted(patient))
	second, err := contract.New(w.clock)
	if err != nil {
		t.Fatal(err)
	}
	w.InstallAt(hospitalB, second)
	for function, arg := range examples {
		t.Run(function, func(t *testing.T) {
			p := w.Propose(w.Client(callerOf(function)), function, text(t, arg))
			first, err := w.EndorseProposal(t.Context(), p, hospitalA)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				again, err := w.EndorseProposal(t.Context(), p, []string{hospitalA, hospitalB}[i%2])
				if err != nil {
					t.Fatal(err)
				}
				if string(again.Response) != string(first.Response) || string(again.RWSetBytes()) != string(first.RWSetBytes()) {
					t.Fatalf("run %d differs:\n%s\n%s", i, first.Response, again.Response)
				}
			}
			if !writes[function] && len(first.RWSet.Writes)+len(first.RWSet.MetadataWrites) > 0 {
				t.Errorf("a function that reads writes %q", first.Writes())
			}
			if writes[function] && (first.Calls.GetMultipleStates != 1 || first.Calls.GetState+first.Calls.Range+first.Calls.History+first.Calls.Paginated > 0) {
				t.Errorf("more than one round trip to read: %+v", first.Calls)
			}
		})
	}
}

func TestALoneMemberCantForgeWhatACustodianSigns(t *testing.T) {
	anchor := func(w *world) (string, any) {
		return contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{w.draft()}}
	}
	grant := func(w *world) (string, any) { return contract.ConsentGrant, w.grantFor(insurer, patient) }
	for _, test := range []struct {
		name      string
		call      func(w *world) (string, any)
		endorsers []string
		want      peer.TxValidationCode
	}{
		{"an anchor by all", anchor, []string{hospitalA, hospitalB, insurer, regulator}, valid},
		{"an anchor by the custodian and a majority with it", anchor, []string{hospitalA, insurer, regulator}, valid},
		{"an anchor by a majority without the custodian", anchor, []string{hospitalB, insurer, regulator}, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
		{"an anchor by the custodian alone", anchor, []string{hospitalA}, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
		{"an anchor by the custodian and one other", anchor, []string{hospitalA, hospitalB}, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
		{"a consent by the custodian and a majority with it", grant, []string{hospitalA, hospitalB, regulator}, valid},
		{"a consent by a majority without the custodian", grant, []string{hospitalB, insurer, regulator}, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			function, arg := test.call(w)
			tx, err := w.Endorse(t.Context(), w.Client(hospitalA), test.endorsers, function, text(t, arg))
			if err != nil {
				t.Fatal(err)
			}
			if code := w.Commit(tx)[0]; code != test.want {
				t.Errorf("code %v, want %v", code, test.want)
			}
		})
	}
}

func TestOnceThereARecordAndAConsentAreChangedOnlyWithTheirCustodian(t *testing.T) {
	w := newWorld(t)
	d, g := w.draft(), w.grantFor(insurer, patient)
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{d}})
	w.must(hospitalA, contract.ConsentGrant, g)
	others := []string{hospitalB, insurer, regulator}
	for _, test := range []struct {
		function string
		arg      any
		want     peer.TxValidationCode
	}{
		{contract.RecordRetract, contract.Retraction{ID: d.ID, Reason: record.EnteredInError}, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
		{contract.ConsentAmend, contract.Amendment{ID: g.ID, Version: 2, Requester: insurer, Handle: patient, Provision: consent.Provision{Type: consent.Deny}}, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE},
		// A patient can withdraw while the custodian's peer is down.
		{contract.ConsentWithdraw, contract.Withdrawal{ID: g.ID, Requester: insurer, Handle: patient, Reason: "patient"}, valid},
	} {
		tx, err := w.Endorse(t.Context(), w.Client(hospitalA), others, test.function, text(t, test.arg))
		if err != nil {
			t.Fatal(err)
		}
		if code := w.Commit(tx)[0]; code != test.want {
			t.Errorf("%s without the custodian: %v, want %v", test.function, code, test.want)
		}
	}
}

func TestAMemberAdmittedLaterIsACustodianLikeTheOthers(t *testing.T) {
	w := newWorld(t)
	c := candidate("HospitalC", registry.Hospital)
	for i, m := range []string{hospitalA, insurer, regulator} {
		moved := into[contract.Moved](t, w.must(m, contract.RegistryMove, registry.Motion{Admit: &c}).Response)
		if moved.Carried != (i == 2) || moved.Needed != 3 {
			t.Errorf("after %s: %+v", m, moved)
		}
	}
	w.Enrol("HospitalC")
	list := ask[contract.MemberList](w, insurer, contract.RegistryMembers, contract.Nothing{})
	if len(list.Members) != 5 || list.Members[2].MSP != "HospitalC" {
		t.Errorf("members %+v", list.Members)
	}
	// Its peer isn't on this channel, so what it countersigns can't be endorsed by the rest.
	tx, err := w.Endorse(t.Context(), w.Client("HospitalC"), w.Members(), contract.RecordAnchor, text(t, contract.Anchoring{Records: []contract.AnchorDraft{w.draft()}}))
	if err != nil {
		t.Fatal(err)
	}
	if code := w.Commit(tx)[0]; code != peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE {
		t.Errorf("code %v", code)
	}
}
