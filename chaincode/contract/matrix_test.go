package contract_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/epoch"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// may says who may call what, as the issue has it: written here a second time, on purpose.
var may = map[string]struct{ hospital, insurer, regulator bool }{
	contract.RegistryMove:    {true, true, true},
	contract.RegistryUpdate:  {true, true, true},
	contract.RegistryClose:   {true, true, true},
	contract.RegistryMember:  {true, true, true},
	contract.RegistryMembers: {true, true, true},
	contract.RegistryClock:   {true, true, true},
	contract.RecordAnchor:    {true, false, false},
	contract.RecordRetract:   {true, false, false},
	contract.RecordRecord:    {true, true, true},
	contract.RecordAnchors:   {true, true, true},
	contract.RecordRecords:   {true, false, true},
	contract.ConsentGrant:    {true, false, false},
	contract.ConsentAmend:    {true, false, false},
	contract.ConsentWithdraw: {true, false, false},
	contract.ConsentDirect:   {true, true, true},
	contract.ConsentRecover:  {true, false, false},
	contract.ConsentSigner:   {true, true, true},
	contract.ConsentConsents: {true, true, true},
	contract.ConsentHistory:  {true, true, true},
	contract.ConsentList:     {true, true, true},
	contract.AccessRequest:   {true, true, false},
	contract.AccessRelease:   {true, false, false},
	contract.AccessReceive:   {true, true, false},
	contract.AccessRecover:   {false, false, true},
	contract.AccessRecovery:  {true, true, true},
	contract.AccessAccess:    {true, true, true},
	contract.AccessAccesses:  {true, true, true},

	contract.AccessReview:           {false, false, true},
	contract.AccessResolve:          {false, false, true},
	contract.AccessEmergencies:      {true, true, true},
	contract.AccessReviews:          {true, true, true},
	contract.RecordErase:            {true, false, false},
	contract.RecordHold:             {false, false, true},
	contract.RecordUnhold:           {false, false, true},
	contract.RecordAcknowledge:      {true, true, false},
	contract.RecordHolds:            {true, false, true},
	contract.RecordAcknowledgements: {true, true, true},

	contract.DisclosureOrder:       {false, false, true},
	contract.DisclosureAnswer:      {true, true, false},
	contract.DisclosureConclude:    {false, false, true},
	contract.DisclosureDisclosure:  {true, true, true},
	contract.DisclosureDisclosures: {true, true, true},

	contract.HandleAnnounce:    {true, true, true},
	contract.HandleCarry:       {true, false, false},
	contract.HandleAccount:     {true, true, true},
	contract.HandleEpochs:      {true, true, true},
	contract.HandleStanding:    {true, true, true},
	contract.HandleEvaluations: {true, true, true},
}

var writes = map[string]bool{
	contract.RegistryFound: true, contract.RegistryMove: true, contract.RegistryUpdate: true, contract.RegistryClose: true,
	contract.RecordAnchor: true, contract.RecordRetract: true,
	contract.ConsentGrant: true, contract.ConsentAmend: true, contract.ConsentWithdraw: true,
	contract.ConsentDirect: true, contract.ConsentRecover: true,
	contract.AccessRequest: true, contract.AccessRelease: true, contract.AccessReceive: true, contract.AccessRecover: true,
	contract.AccessReview: true, contract.AccessResolve: true,
	contract.RecordErase: true, contract.RecordHold: true, contract.RecordUnhold: true, contract.RecordAcknowledge: true,
	contract.DisclosureOrder: true, contract.DisclosureAnswer: true, contract.DisclosureConclude: true,
	contract.HandleAnnounce: true, contract.HandleCarry: true, contract.HandleAccount: true,
}

// callerOf is a member that may call the function, in its usual part.
func callerOf(function string) string {
	switch function {
	case contract.AccessRequest, contract.AccessReceive, contract.RecordAcknowledge:
		return insurer
	case contract.AccessRecover:
		return regulator
	case contract.DisclosureOrder, contract.DisclosureConclude, contract.AccessReview, contract.AccessResolve, contract.RecordHold, contract.RecordUnhold:
		return regulator
	}
	return hospitalA
}

// examples is one argument that works for every function, around a permit that hospitalA
// gave to insurer and that isn't released yet.
func (w *world) examples(permit access.Access) map[string]any {
	w.Helper()
	// The consents of the examples are another patient's, or they would change what the permit rests on.
	handle := other
	grant := w.grantFor(insurer, handle)
	w.must(hospitalA, contract.ConsentGrant, grant)
	anchored := w.draft()
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{anchored}})
	released := w.permit(permit.Handle)
	w.must(hospitalA, contract.AccessRelease, releaseOf(released))
	broken := w.broken(handle)
	recovered := w.broken(handle)
	w.must(regulator, contract.AccessRecover, recovering(recovered))
	rejected := w.broken(handle)
	w.must(regulator, contract.AccessReview, judgement(rejected, access.Rejected))
	answered := w.ordered(manifestOf(released))
	w.must(hospitalA, contract.DisclosureAnswer, given(answered))
	gone, freed := w.draft(), w.draft()
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{gone, freed}})
	w.must(hospitalA, contract.RecordErase, contract.Erasing{ID: gone.ID, Reason: record.PatientRequest})
	w.roll(2, epoch.DefaultOverlap)
	gateway := "127.0.0.1:9999"
	signed := newPatient("example")
	w.must(hospitalA, contract.ConsentDirect, signed.sign(w.signedGrant(handle)))
	return map[string]any{
		contract.RegistryFound:   founding(),
		contract.RegistryMove:    registry.Motion{Suspend: &registry.Suspension{MSP: hospitalB, Reason: "audit"}},
		contract.RegistryUpdate:  registry.Update{Gateway: &gateway},
		contract.RegistryClose:   contract.Closing{Through: 0},
		contract.RegistryMember:  contract.MemberQuery{MSP: hospitalA},
		contract.RegistryMembers: contract.Nothing{},
		contract.RegistryClock:   contract.Nothing{},
		contract.RecordAnchor:    contract.Anchoring{Records: []contract.AnchorDraft{w.draft()}},
		contract.RecordRetract:   contract.Retraction{ID: anchored.ID, Reason: record.EnteredInError},
		contract.RecordRecord:    contract.RecordQuery{Custodian: hospitalA, ID: anchored.ID},
		contract.RecordAnchors:   contract.AnchorQuery{Custodian: hospitalA, IDs: []string{anchored.ID}},
		contract.RecordRecords:   contract.RecordsQuery{Custodian: hospitalA},
		contract.ConsentGrant:    w.grantFor(insurer, handle),
		contract.ConsentAmend: contract.Amendment{ID: grant.ID, Version: 2, Requester: insurer, Handle: handle,
			Provision: consent.Provision{Type: consent.Deny}},
		contract.ConsentWithdraw: contract.Withdrawal{ID: grant.ID, Requester: insurer, Handle: handle, Reason: "patient"},
		contract.ConsentDirect:   signed.sign(w.signedGrant(handle)),
		contract.ConsentRecover:  contract.Recovery{Requester: insurer, Handle: handle, Key: newPatient("new").key(), Evidence: digest},
		contract.ConsentSigner:   contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: handle},
		contract.ConsentConsents: contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: handle},
		contract.ConsentHistory:  contract.HistoryQuery{Custodian: hospitalA, Requester: insurer, Handle: handle, ID: grant.ID},
		contract.ConsentList:     contract.ListQuery{Custodian: hospitalA},
		contract.AccessRequest:   w.requestFor(insurer, handle),
		contract.AccessRelease:   releaseOf(permit),
		contract.AccessReceive:   receiptOf(released),
		contract.AccessRecover:   recovering(broken),
		contract.AccessRecovery:  recoveryOf(recovered),
		contract.AccessAccess:    contract.AccessQuery{Custodian: hospitalA, Requester: insurer, IDs: []string{permit.ID}},
		contract.AccessAccesses:  contract.ListQuery{Custodian: hospitalA},

		contract.AccessReview:           judgement(broken, access.Accepted),
		contract.AccessResolve:          settlement(rejected),
		contract.AccessEmergencies:      contract.EmergenciesQuery{Requester: hospitalB},
		contract.AccessReviews:          contract.ListQuery{Custodian: hospitalA},
		contract.RecordErase:            contract.Erasing{ID: freed.ID, Reason: record.PatientRequest, Parts: []int{1}},
		contract.RecordHold:             contract.Holding{Custodian: hospitalA, ID: freed.ID, Reason: "case-7"},
		contract.RecordUnhold:           contract.Unholding{Custodian: hospitalA, ID: freed.ID},
		contract.RecordAcknowledge:      contract.Acknowledging{Custodian: hospitalA, ID: gone.ID, Erasure: 1, Fate: record.Deleted},
		contract.RecordHolds:            contract.HoldsQuery{Custodian: hospitalA},
		contract.RecordAcknowledgements: contract.AcknowledgementsQuery{Custodian: hospitalA, ID: gone.ID},

		contract.DisclosureOrder:       w.orderFor(manifestOf(released)),
		contract.DisclosureAnswer:      given(w.ordered(manifestOf(released))),
		contract.DisclosureConclude:    concluding(answered, disclosure.Disclosed),
		contract.DisclosureDisclosure:  queryOf(answered),
		contract.DisclosureDisclosures: contract.DisclosuresQuery{},

		contract.HandleAnnounce:    epoch.Draft{Epoch: 3, Key: *evaluatorKey(3), Overlap: epoch.DefaultOverlap},
		contract.HandleCarry:       contract.CarryOrder{Requester: insurer, From: handle, To: "2" + handle[1:]},
		contract.HandleAccount:     contract.Accounting{Day: w.Now().UTC().Format(time.DateOnly), Counts: []contract.Evaluations{{Member: insurer, Count: 2}}},
		contract.HandleEpochs:      contract.Nothing{},
		contract.HandleStanding:    contract.StandingQuery{Custodian: hospitalA, Requester: insurer, Handles: []string{handle}},
		contract.HandleEvaluations: contract.EvaluationsQuery{},
	}
}

func TestEveryFunctionIsInTheMatrix(t *testing.T) {
	w := newWorld(t)
	examples := w.examples(w.permitted(patient))
	for function := range examples {
		if _, ok := may[function]; !ok && function != contract.RegistryFound {
			t.Errorf("%s isn't in the matrix", function)
		}
	}
	if len(examples) != len(may)+1 {
		t.Errorf("%d examples, %d rows", len(examples), len(may))
	}
}

func TestEveryFunctionWorksForItsUsualCaller(t *testing.T) {
	for _, function := range slices.Sorted(maps.Keys(may)) {
		t.Run(function, func(t *testing.T) {
			w := newWorld(t)
			w.must(callerOf(function), function, w.examples(w.permitted(patient))[function])
		})
	}
}

// Every function x every kind of caller x active, suspended and unknown. Who may not is
// told so by a code that a member's standing or kind explains; who may isn't.
func TestWhoMayDoWhat(t *testing.T) {
	kinds := map[string]func(function string) bool{
		hospitalB: func(f string) bool { return may[f].hospital },
		insurer:   func(f string) bool { return may[f].insurer },
		regulator: func(f string) bool { return may[f].regulator },
		stranger:  func(string) bool { return false },
	}
	standing := []refusal.Code{refusal.KindNotAllowed, refusal.MemberSuspended, refusal.MemberUnknown}
	for _, who := range slices.Sorted(maps.Keys(kinds)) {
		for _, suspended := range []bool{false, true} {
			if who == stranger && suspended {
				continue
			}
			name := who
			if suspended {
				name += " suspended"
			}
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				examples := w.examples(w.permitted(patient))
				if suspended {
					w.suspend(who)
				}
				for _, function := range slices.Sorted(maps.Keys(may)) {
					_, err := w.Endorse(w.Context(), w.Client(who), w.Members(), function, text(t, examples[function]))
					code := codeOf(err)
					switch {
					case who == stranger:
						if code != refusal.MemberUnknown {
							t.Errorf("%s: %q, want member-unknown", function, code)
						}
					case suspended:
						if code != refusal.MemberSuspended {
							t.Errorf("%s: %q, want member-suspended", function, code)
						}
					case kinds[who](function):
						if slices.Contains(standing, code) && !selfOnly(function) {
							t.Errorf("%s: %q, but this kind may", function, code)
						}
					default:
						if code != refusal.KindNotAllowed && code != refusal.NotCustodian {
							t.Errorf("%s: %q, want a refusal by kind", function, code)
						}
					}
				}
			})
		}
	}
}

// selfOnly are functions of which the example is another member's: a hospital that isn't
// the custodian is refused for that.
func selfOnly(function string) bool { return function == contract.AccessRequest }

func TestAStrangerFoundsNothing(t *testing.T) {
	w := unfounded(t)
	w.refused(refusal.MemberUnknown, stranger, contract.RegistryFound, founding())
	w.refused(refusal.MemberUnknown, hospitalA, contract.RegistryMembers, contract.Nothing{})
}

// The reads that depend on who lies at the ends of what is read.
func TestWhoSeesWhat(t *testing.T) {
	w := newWorld(t)
	permit := w.permitted(patient)
	w.must(hospitalA, contract.AccessRelease, releaseOf(permit))
	order := w.ordered(manifestOf(permit))
	id := ask[contract.ConsentSet](w, hospitalA, contract.ConsentConsents, contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: patient}).Consents[0].ID
	for _, test := range []struct {
		who, function string
		arg           any
		want          refusal.Code
	}{
		{hospitalB, contract.ConsentConsents, contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: patient}, registry.NotEntitled},
		{insurer, contract.ConsentConsents, contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: patient}, ""},
		{insurer, contract.ConsentConsents, contract.Relationship{Custodian: hospitalA, Requester: hospitalB, Handle: patient}, registry.NotEntitled},
		{regulator, contract.ConsentConsents, contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: patient}, ""},
		{hospitalB, contract.ConsentHistory, contract.HistoryQuery{Custodian: hospitalA, Requester: insurer, Handle: patient, ID: id}, registry.NotEntitled},
		{insurer, contract.ConsentHistory, contract.HistoryQuery{Custodian: hospitalA, Requester: insurer, Handle: patient, ID: id}, ""},
		{hospitalB, contract.ConsentSigner, contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: patient}, registry.NotEntitled},
		{insurer, contract.ConsentSigner, contract.Relationship{Custodian: hospitalA, Requester: insurer, Handle: patient}, ""},
		{insurer, contract.ConsentList, contract.ListQuery{}, refusal.Malformed},
		{insurer, contract.ConsentList, contract.ListQuery{Custodian: hospitalA}, ""},
		{insurer, contract.ConsentList, contract.ListQuery{Custodian: hospitalA, Requester: hospitalB}, registry.NotEntitled},
		{hospitalA, contract.ConsentList, contract.ListQuery{}, ""},
		{hospitalB, contract.ConsentList, contract.ListQuery{Custodian: hospitalA, Requester: insurer}, registry.NotEntitled},
		{regulator, contract.ConsentList, contract.ListQuery{}, ""},
		{regulator, contract.ConsentList, contract.ListQuery{Requester: insurer}, refusal.Malformed},
		{hospitalB, contract.AccessAccess, contract.AccessQuery{Custodian: hospitalA, Requester: insurer, IDs: []string{permit.ID}}, registry.NotEntitled},
		{hospitalB, contract.AccessAccesses, contract.ListQuery{Custodian: hospitalA, Requester: insurer}, registry.NotEntitled},
		{regulator, contract.AccessAccesses, contract.ListQuery{}, ""},
		{hospitalB, contract.RecordRecords, contract.RecordsQuery{Custodian: hospitalA}, refusal.NotCustodian},
		{regulator, contract.RecordRecords, contract.RecordsQuery{Custodian: hospitalA}, ""},
		{hospitalA, contract.DisclosureDisclosure, queryOf(order), ""},
		{regulator, contract.DisclosureDisclosure, queryOf(order), ""},
		{hospitalB, contract.DisclosureDisclosure, queryOf(order), registry.NotEntitled},
		{insurer, contract.DisclosureDisclosure, queryOf(order), registry.NotEntitled}, // though it is about its permit
		{hospitalA, contract.DisclosureDisclosures, contract.DisclosuresQuery{}, ""},
		{hospitalA, contract.DisclosureDisclosures, contract.DisclosuresQuery{Holder: hospitalB}, registry.NotEntitled},
		{insurer, contract.DisclosureDisclosures, contract.DisclosuresQuery{Holder: hospitalA}, registry.NotEntitled},
		{regulator, contract.DisclosureDisclosures, contract.DisclosuresQuery{}, ""},
		{regulator, contract.DisclosureDisclosures, contract.DisclosuresQuery{Regulator: regulator}, refusal.Malformed},
		{regulator, contract.DisclosureDisclosures, contract.DisclosuresQuery{Holder: hospitalA, Regulator: regulator}, ""},
	} {
		_, err := w.Evaluate(w.Context(), w.Client(test.who), test.who, test.function, text(t, test.arg))
		if got := codeOf(err); got != test.want {
			t.Errorf("%s by %s with %+v: %q, want %q", test.function, test.who, test.arg, got, test.want)
		}
	}
	// A list that a requester may see holds nothing of others.
	w.must(hospitalA, contract.ConsentGrant, w.grantFor(hospitalB, other))
	page := ask[contract.RelationshipPage](w, hospitalB, contract.ConsentList, contract.ListQuery{Custodian: hospitalA})
	if len(page.Relationships) != 1 || page.Relationships[0].Requester != hospitalB {
		t.Errorf("hospitalB sees %+v", page)
	}
}

// The caller is who signed, whatever the argument says: a custodian writes under its own
// name only.
func TestNobodyWritesUnderAnothersName(t *testing.T) {
	w := newWorld(t)
	permit := w.permitted(patient)
	w.refused(refusal.NotFound, hospitalB, contract.AccessRelease, releaseOf(permit))
	d := w.draft()
	w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{d}})
	w.refused(refusal.NotFound, hospitalB, contract.RecordRetract, contract.Retraction{ID: d.ID, Reason: record.EnteredInError})
	d2 := w.draft()
	d2.Supersedes = d.ID
	w.refused(refusal.NotFound, hospitalB, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{d2}})
}
