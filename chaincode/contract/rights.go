package contract

import (
	"slices"
	"strings"

	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

var (
	anyKind    = []registry.Kind{registry.Hospital, registry.Insurer, registry.Regulator}
	custodians = []registry.Kind{registry.Hospital}
	requesters = []registry.Kind{registry.Hospital, registry.Insurer}
	holders    = requesters // of what is behind a digest
	regulators = []registry.Kind{registry.Regulator}
)

// right says which kinds of member may call a function, and whether it writes.
type right struct {
	kinds  []registry.Kind
	writes bool
}

// rights of all functions but Found, which precedes membership. Whose record, consent or
// access it is, each function looks at for itself.
var rights = map[string]right{
	RegistryMove:    {anyKind, true},
	RegistryUpdate:  {anyKind, true},
	RegistryClose:   {anyKind, true},
	RecordAnchor:    {custodians, true},
	RecordRetract:   {custodians, true},
	ConsentGrant:    {custodians, true},
	ConsentAmend:    {custodians, true},
	ConsentWithdraw: {custodians, true},
	ConsentDirect:   {anyKind, true}, // a patient may withdraw through any member
	ConsentRecover:  {custodians, true},
	AccessRequest:   {requesters, true},
	AccessRelease:   {custodians, true},
	AccessReceive:   {requesters, true},
	AccessReview:    {regulators, true},
	AccessRecover:   {regulators, true},
	AccessResolve:   {regulators, true},

	RecordErase:       {custodians, true},
	RecordHold:        {regulators, true},
	RecordUnhold:      {regulators, true},
	RecordAcknowledge: {requesters, true},

	DisclosureOrder:    {regulators, true},
	DisclosureAnswer:   {holders, true},
	DisclosureConclude: {regulators, true},

	HandleAnnounce: {anyKind, true},
	HandleCarry:    {custodians, true},
	HandleAccount:  {anyKind, true},

	RegistryMember:  {anyKind, false},
	RegistryMembers: {anyKind, false},
	RegistryClock:   {anyKind, false},
	RecordRecord:    {anyKind, false},
	RecordAnchors:   {anyKind, false},
	RecordRecords:   {anyKind, false},

	RecordHolds:            {anyKind, false},
	RecordAcknowledgements: {anyKind, false},

	ConsentConsents: {anyKind, false},
	ConsentHistory:  {anyKind, false},
	ConsentList:     {anyKind, false},
	ConsentSigner:   {anyKind, false},
	AccessAccess:    {anyKind, false},
	AccessAccesses:  {anyKind, false},

	AccessEmergencies: {anyKind, false},
	AccessReviews:     {anyKind, false},
	AccessRecovery:    {anyKind, false},

	DisclosureDisclosure:  {anyKind, false},
	DisclosureDisclosures: {anyKind, false},

	HandleEpochs:      {anyKind, false},
	HandleStanding:    {anyKind, false},
	HandleEvaluations: {anyKind, false},
}

// check refuses a caller that isn't an active member of a fitting kind: codes
// member-unknown, member-suspended, kind-not-allowed.
func (r right) check(msp string, m *registry.Member) error {
	if m == nil {
		return refusal.New(refusal.MemberUnknown, msp+" is not a member", "admission by a majority of the active members")
	}
	if !m.Active() {
		return refusal.New(refusal.MemberSuspended, msp+" is suspended", "reinstatement by a majority of the active members")
	}
	if !slices.Contains(r.kinds, m.Kind) {
		kinds := make([]string, len(r.kinds))
		for i, k := range r.kinds {
			kinds[i] = string(k)
		}
		return refusal.New(refusal.KindNotAllowed, "a "+string(m.Kind)+" may not do this", "a caller of kind "+strings.Join(kinds, " or "))
	}
	return nil
}
