package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
)

// patience is Config.Patience where that is zero. An answer that stands on less is given all
// the same: it says on what it stands.
const patience = 2 * time.Second

// ready refuses questions where there is no projection to answer them from, and gives the
// one there is the time to take in the peer's newest blocks.
func (s auditing) ready(ctx context.Context) error {
	if s.projection == nil {
		return status.Error(codes.FailedPrecondition, "this gateway keeps no projection of the ledger")
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	if height, err := s.chain.Height(ctx); err == nil { // a peer that is away is no reason not to answer
		_ = s.projection.Reach(ctx, height)
	}
	return nil
}

func (s auditing) Entries(ctx context.Context, in *yitongv1.EntriesRequest) (*yitongv1.EntriesResponse, error) {
	f, err := s.filter(ctx, in.GetFilter())
	if err != nil {
		return nil, err
	}
	list, next, asOf, err := s.history.Entries(ctx, f, pageOf(in.GetPage(), in.GetNewestFirst()))
	if err != nil {
		return nil, err
	}
	out := &yitongv1.EntriesResponse{NextBookmark: next, AsOf: asOfMessage(asOf)}
	for _, e := range list {
		out.Entries = append(out.Entries, entryMessage(e))
	}
	return out, nil
}

func (s auditing) Consent(ctx context.Context, in *yitongv1.ConsentLifeRequest) (*yitongv1.ConsentLifeResponse, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	list, next, asOf, err := s.history.Consent(ctx, in.GetId(), pageOf(in.GetPage(), false))
	if err != nil {
		return nil, err
	}
	return &yitongv1.ConsentLifeResponse{Versions: versionMessages(list), NextBookmark: next, AsOf: asOfMessage(asOf)}, nil
}

func (s auditing) Disclosures(ctx context.Context, in *yitongv1.DisclosuresRequest) (*yitongv1.DisclosuresResponse, error) {
	f, err := s.filter(ctx, &yitongv1.EntryFilter{Patient: in.GetPatient(), Handle: in.GetHandle()})
	if err != nil {
		return nil, err
	}
	if f.About == nil {
		return nil, refusal.New(refusal.Malformed, "nobody is named to account for", "a patient this gateway knows, or the handle of a relationship")
	}
	list, next, asOf, err := s.history.Disclosures(ctx, f.About, periodOf(in.GetTime()), pageOf(in.GetPage(), in.GetNewestFirst()))
	if err != nil {
		return nil, err
	}
	return &yitongv1.DisclosuresResponse{Disclosures: disclosureMessages(list), NextBookmark: next, AsOf: asOfMessage(asOf)}, nil
}

func (s auditing) Denials(ctx context.Context, in *yitongv1.DenialsRequest) (*yitongv1.DenialsResponse, error) {
	custodian, requester, err := s.pair(ctx, in.GetCustodian(), in.GetRequester())
	if err != nil {
		return nil, err
	}
	reasons, asOf, err := s.history.Denials(ctx, requester, custodian, periodOf(in.GetTime()))
	if err != nil {
		return nil, err
	}
	out := &yitongv1.DenialsResponse{AsOf: asOfMessage(asOf)}
	for _, r := range reasons {
		out.Reasons = append(out.Reasons, &yitongv1.DenialCount{Reason: r.Reason, Count: r.Count})
	}
	return out, nil
}

func (s auditing) Unreceipted(ctx context.Context, in *yitongv1.UnreceiptedRequest) (*yitongv1.UnreceiptedResponse, error) {
	custodian, requester, err := s.pair(ctx, in.GetCustodian(), in.GetRequester())
	if err != nil {
		return nil, err
	}
	list, next, asOf, err := s.history.Unreceipted(ctx, custodian, requester, instantOf(in.GetBefore()), pageOf(in.GetPage(), false))
	if err != nil {
		return nil, err
	}
	return &yitongv1.UnreceiptedResponse{Releases: disclosureMessages(list), NextBookmark: next, AsOf: asOfMessage(asOf)}, nil
}

func (s auditing) Expiring(ctx context.Context, in *yitongv1.ExpiringRequest) (*yitongv1.ExpiringResponse, error) {
	custodian, requester, err := s.pair(ctx, in.GetCustodian(), in.GetRequester())
	if err != nil {
		return nil, err
	}
	within := periodOf(in.GetWithin())
	if within.Start == 0 {
		within.Start = s.gateway.Time() // what has ended needs no warning
	}
	list, next, asOf, err := s.history.Expiring(ctx, within, custodian, requester, pageOf(in.GetPage(), false))
	if err != nil {
		return nil, err
	}
	return &yitongv1.ExpiringResponse{Consents: versionMessages(list), NextBookmark: next, AsOf: asOfMessage(asOf)}, nil
}

func (s auditing) Changes(ctx context.Context, in *yitongv1.ChangesRequest) (*yitongv1.ChangesResponse, error) {
	member, _, err := s.pair(ctx, in.GetMember(), "")
	if err != nil {
		return nil, err
	}
	var members []string
	if member != "" {
		members = []string{member}
	}
	changes, asOf, err := s.history.Changes(ctx, periodOf(in.GetTime()), members...)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ChangesResponse{AsOf: asOfMessage(asOf)}
	for _, c := range changes {
		out.Changes = append(out.Changes, &yitongv1.Change{
			Member: c.Member, Day: timeMessage(c.Day), Requests: c.Requests, Denied: c.Denied, Usual: c.Usual, Score: c.Score,
		})
	}
	return out, nil
}

// filter reads what is asked for: members by name or MSP id, a patient as the handles
// and records that this gateway knows of it.
func (s auditing) filter(ctx context.Context, in *yitongv1.EntryFilter) (f history.Filter, err error) {
	if err := s.ready(ctx); err != nil {
		return f, err
	}
	if err := cmp.Or(checkTerm("object", in.GetObject()), checkTerm("reason", in.GetReason())); err != nil {
		return f, err
	}
	if code := in.GetPurpose(); code != "" {
		if _, err := consent.ParsePurpose(code); err != nil {
			return f, malformed("purpose", err)
		}
	}
	f = history.Filter{Object: in.GetObject(), Purpose: in.GetPurpose(), Reason: in.GetReason(), Time: periodOf(in.GetTime())}
	if f.Custodian, f.Requester, err = s.named(ctx, in.GetCustodian(), in.GetRequester()); err != nil {
		return f, err
	}
	if f.Member, _, err = s.named(ctx, in.GetMember(), ""); err != nil {
		return f, err
	}
	for _, k := range in.GetKinds() {
		if !slices.Contains(projection.Kinds, projection.Kind(k)) {
			return f, refusal.New(refusal.Malformed, fmt.Sprintf("kinds: there is no kind %.40q", k), projection.Codes(projection.Kinds))
		}
		f.Kinds = append(f.Kinds, projection.Kind(k))
	}
	for _, o := range in.GetOutcomes() {
		if !slices.Contains(projection.Outcomes, projection.Outcome(o)) {
			return f, refusal.New(refusal.Malformed, fmt.Sprintf("outcomes: there is no outcome %.40q", o), projection.Codes(projection.Outcomes))
		}
		f.Outcomes = append(f.Outcomes, projection.Outcome(o))
	}
	switch patient := in.GetPatient(); {
	case patient != nil && in.GetHandle() != "":
		return f, refusal.New(refusal.Malformed, "a patient and a handle are both given", "one of the two")
	case patient != nil:
		f.About, f.Records, err = s.patient(ctx, patient)
	case in.GetHandle() != "":
		if err = access.CheckHandle(in.GetHandle()); err == nil {
			f.About = []contract.Relationship{{Handle: in.GetHandle()}}
		}
	}
	return f, err
}

// checkTerm refuses what no object's id and no code of a reason looks like (malformed): an
// empty answer would read as "nothing happened".
func checkTerm(field, text string) error {
	const made = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:_-"
	if len(text) > 128 || strings.Trim(text, made) != "" || strings.HasPrefix(text, ".") {
		return refusal.New(refusal.Malformed, field+": that is no id and no code", "at most 128 of A-Z a-z 0-9 . : _ -, and no dot first")
	}
	return nil
}

// patient resolves a patient here and nowhere else. One this gateway knows nothing of
// is refused: an empty answer would read as "nothing happened".
func (s auditing) patient(ctx context.Context, in *yitongv1.Patient) (about []contract.Relationship, records []string, err error) {
	who := patientOf(in)
	if about, err = s.gateway.Relationships(ctx, who); err != nil {
		return nil, nil, err
	}
	if records, err = s.gateway.RecordsOf(who); err != nil {
		return nil, nil, err
	}
	if len(about) == 0 && len(records) == 0 {
		return nil, nil, refusal.New(refusal.NotFound, "this gateway doesn't know the patient",
			"a patient of this hospital's, or one that this member has asked about; a relationship by its handle")
	}
	return about, records, nil
}

// pair is named, once the projection is ready.
func (s auditing) pair(ctx context.Context, a, b string) (string, string, error) {
	if err := s.ready(ctx); err != nil {
		return "", "", err
	}
	return s.named(ctx, a, b)
}

// named reads two members, by name or MSP id. One that the registry has no more, or never had,
// may still be in the history, so its MSP id is taken as it is; what can't be one is refused
// (malformed), and so is one that the ledger doesn't tell of (not-found): an empty answer would
// read as "nothing happened".
func (s auditing) named(ctx context.Context, a, b string) (string, string, error) {
	if a == "" && b == "" {
		return "", "", nil
	}
	members, err := s.history.Members(ctx) // not the peer's: it may be away
	if err != nil {
		return "", "", err
	}
	find := func(name string) (string, error) {
		if name == "" {
			return "", nil
		}
		for _, m := range members {
			if m.Name == name {
				return m.MSP, nil
			}
		}
		if err := registry.CheckMSP(name); err != nil {
			return "", err
		}
		known, err := s.history.Knows(ctx, name)
		if err != nil || known {
			return name, err
		}
		var names []string
		for _, m := range members {
			names = append(names, m.Name)
		}
		return "", refusal.New(refusal.NotFound, fmt.Sprintf("the ledger tells of no member %.40q", name), strings.Join(names, ", "))
	}
	first, err := find(a)
	if err != nil {
		return "", "", err
	}
	second, err := find(b)
	return first, second, err
}

func pageOf(p *yitongv1.Page, newest bool) history.Page {
	return history.Page{Size: int(p.GetSize()), Bookmark: p.GetBookmark(), Newest: newest}
}

func asOfMessage(a history.AsOf) *yitongv1.AsOf {
	return &yitongv1.AsOf{Height: a.Blocks, BlockHash: a.Hash[:]}
}

func entryMessage(e history.Entry) *yitongv1.AuditEntry {
	out := &yitongv1.AuditEntry{
		Number: e.Number, Block: e.Block, TransactionIndex: int32(e.Index), TransactionId: e.Transaction,
		Kind: string(e.Kind), Action: string(e.Action), Outcome: string(e.Outcome), Reason: e.Reason,
		Member: e.Member, Agent: e.Agent, Role: e.Role, AccessPoint: e.AccessPoint, Function: e.Function, Validation: e.Validation, Endorsers: e.Endorsers,
		Custodian: e.Custodian, Requester: e.Requester, Handle: e.Handle, Object: e.Object, Version: int32(e.Version), Purpose: e.Purpose, Classes: e.Classes,
		User: e.User, UserRole: e.UserRole,
	}
	if !e.Claimed.IsZero() {
		out.ClaimedTime = timestamppb.New(e.Claimed)
	}
	if e.Policy.Consent != "" {
		out.Policy = &yitongv1.Rule{ConsentId: e.Policy.Consent, Version: int32(e.Policy.Version), Provision: e.Policy.Path, Reason: e.Reason}
	}
	return out
}

func versionMessages(list []history.Consent) []*yitongv1.ConsentVersion {
	var out []*yitongv1.ConsentVersion
	for _, c := range list {
		out = append(out, &yitongv1.ConsentVersion{
			Consent: consentMessage(c.Consent, c.RequesterName, c.Handle), Custodian: c.CustodianName, Reason: c.Reason,
			Commit: &yitongv1.Commit{TransactionId: c.Transaction, Block: c.Block},
		})
	}
	return out
}

func disclosureMessages(list []history.Access) []*yitongv1.Disclosure {
	var out []*yitongv1.Disclosure
	for _, a := range list {
		d := &yitongv1.Disclosure{
			Commit:        &yitongv1.Commit{TransactionId: a.Transaction, Block: a.Block},
			CustodianName: a.CustodianName, RequesterName: a.RequesterName,
		}
		if a.Asked != nil {
			d.Access = accessMessage(*a.Asked, a.Release, a.Receipt)
		} else {
			d.Access = &yitongv1.Access{Id: a.ID, Custodian: a.Custodian, Requester: a.Requester}
		}
		out = append(out, d)
	}
	return out
}
