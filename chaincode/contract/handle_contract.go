package contract

import (
	"errors"
	"slices"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/directive"
	"yitong/chaincode/epoch"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

type handleContract struct {
	contractapi.Contract
	clock Clock
}

// Announce takes an evaluator's key for the next epoch, and opens it with the last one
// missing.
func (h *handleContract) Announce(ctx *contractapi.TransactionContext, argument string) (string, error) {
	draft, err := decode[epoch.Draft](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := draft.Check(); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), h.clock, rights[HandleAnnounce])
	if err != nil {
		return "", err
	}
	roster := want[registry.Roster](&c.reading, key(rosterKind))
	calendar := want[epoch.Calendar](&c.reading, key(epochLatestKind))
	present := want[epoch.Epoch](&c.reading, epochKey(draft.Epoch-1))
	announced := want[[]epoch.Announcement](&c.reading, announcedKey(draft.Epoch))
	if err := c.fetch(); err != nil {
		return "", err
	}
	o, err := epoch.Announce(epoch.Standing{
		Calendar: calendar.or(epoch.Calendar{}), Present: present.doc, Announced: announced.or(nil), Active: roster.or(nil).Active,
	}, draft, c.msp, c.at)
	if err != nil {
		return "", err
	}
	if o.Changed {
		c.put(announcedKey(draft.Epoch), o.Announced)
	}
	if o.Opened != nil {
		c.put(epochKey(draft.Epoch), o.Opened)
		c.put(key(epochLatestKind), o.Calendar)
	}
	return c.answer(Announced{Announcements: o.Announced, Opened: o.Opened})
}

// Carry moves all that stands under one handle to another: the consents as they stand, with
// their withdrawals, and who speaks for the patient. The old handle's keys keep their policies and hold nothing. Carried
// there already, it is answered as recorded.
func (h *handleContract) Carry(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[CarryOrder](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), h.clock, rights[HandleCarry])
	if err != nil {
		return "", err
	}
	old := Relationship{Custodian: c.msp, Requester: arg.Requester, Handle: arg.From}
	now := Relationship{Custodian: c.msp, Requester: arg.Requester, Handle: arg.To}
	if err := errors.Join(old.check(""), now.check("")); err != nil {
		return "", err
	}
	roster := want[registry.Roster](&c.reading, key(rosterKind))
	requester := want[registry.Member](&c.reading, memberKey(arg.Requester))
	from, to := wantDirectives(&c.reading, old), wantDirectives(&c.reading, now)
	signer, other := want[directive.Signer](&c.reading, old.of(signerKind)), want[directive.Signer](&c.reading, now.of(signerKind))
	if err := c.fetch(); err != nil {
		return "", err
	}
	if err := access.MayAsk(requester.doc, c.member()); err != nil {
		return "", err
	}
	already, err := epoch.Carry(to.calendar.or(epoch.Calendar{}), arg.From, arg.To, from.carried.doc, to.carried.doc, c.at)
	if err != nil {
		return "", err
	}
	if already {
		return c.answer(*from.carried.doc)
	}
	if signer.doc != nil && other.doc != nil {
		return "", refusal.New(refusal.Exists, "a key speaks for the patient under both handles", "carrying before anything is granted under the new handle")
	}
	granted, withdrawals, err := to.movedInto(from)
	if err != nil {
		return "", err
	}
	policy, err := countersign(roster.or(nil), c.msp)
	if err != nil {
		return "", err
	}
	if from.granted.doc != nil {
		c.put(old.of(directivesKind), []consent.Consent{})
		if to.granted.doc == nil {
			c.create(now.of(directivesKind), granted, policy)
		} else {
			c.put(now.of(directivesKind), granted)
		}
		for _, one := range from.present() {
			c.create(now.version(one.ID, one.Version), ConsentVersion{Consent: one, Reason: from.reason(one.ID), Carried: arg.From}, policy)
		}
	}
	if from.withdrawn.doc != nil {
		c.put(now.of(withdrawnKind), withdrawals)
	}
	if signer.doc != nil {
		c.create(now.of(signerKind), signer.doc, policy)
	}
	pointer := epoch.Carried{To: arg.To, At: c.at}
	c.create(old.of(carriedKind), pointer, policy)
	c.countersigned()
	return c.answer(pointer)
}

// Account records how often the caller evaluated. The same counts again change nothing.
func (h *handleContract) Account(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[Accounting](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := checkBatch(len(arg.Counts), "counts"); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), h.clock, rights[HandleAccount])
	if err != nil {
		return "", err
	}
	if err := epoch.CheckDay(arg.Day, c.at); err != nil {
		return "", err
	}
	named := map[string]bool{}
	tallies := make([]*slot[epoch.Tally], len(arg.Counts))
	for i, one := range arg.Counts {
		if err := registry.CheckMSP(one.Member); err != nil {
			return "", err
		}
		if named[one.Member] {
			return "", refusal.New(refusal.Malformed, one.Member+" occurs twice", "each member once")
		}
		named[one.Member] = true
		tallies[i] = want[epoch.Tally](&c.reading, evaluationsKey(c.msp, one.Member, arg.Day))
	}
	roster := want[registry.Roster](&c.reading, key(rosterKind))
	if err := c.fetch(); err != nil {
		return "", err
	}
	var done Accounted
	for i, one := range arg.Counts {
		if !roster.or(nil).Seated(one.Member) {
			return "", refusal.New(refusal.NotFound, one.Member+" is not a member", "counts for members, suspended ones too")
		}
		t, changed, err := epoch.Account(tallies[i].doc, one.Count, c.at)
		if err != nil {
			return "", err
		}
		if changed {
			c.put(evaluationsKey(c.msp, one.Member, arg.Day), t)
		}
		done.Counts = append(done.Counts, Evaluations{Member: one.Member, Count: t.Count})
	}
	return c.answer(done)
}

// Epochs reads the calendar, the epochs that aren't over, and what is announced.
func (h *handleContract) Epochs(ctx *contractapi.TransactionContext, argument string) (string, error) {
	if _, err := decode[Nothing](argument, MaxDocument); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), h.clock, rights[HandleEpochs])
	if err != nil {
		return "", err
	}
	calendar := want[epoch.Calendar](&c.reading, key(epochLatestKind))
	if err := c.fetch(); err != nil {
		return "", err
	}
	result := Epochs{Calendar: calendar.or(epoch.Calendar{})}
	slots := []*slot[epoch.Epoch]{want[epoch.Epoch](&c.reading, epochKey(result.Latest))}
	for _, e := range result.Earlier {
		if c.at < e.Ends {
			slots = append(slots, want[epoch.Epoch](&c.reading, epochKey(e.Number)))
		}
	}
	announced := want[[]epoch.Announcement](&c.reading, announcedKey(result.Latest+1))
	if err := c.reading.fetch(c.stub); err != nil {
		return "", err
	}
	for _, s := range slots {
		if s.doc == nil {
			return "", refusal.New(refusal.NotFound, "no epoch has opened", "founding the consortium with evaluators")
		}
		result.Epochs = append(result.Epochs, *s.doc)
	}
	result.Announced = announced.or(nil)
	return c.answer(result)
}

// Standing reads how handles of one relationship stand.
func (h *handleContract) Standing(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[StandingQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if err := checkBatch(len(arg.Handles), "handles"); err != nil {
		return "", err
	}
	c, err := begin(ctx.GetStub(), h.clock, rights[HandleStanding])
	if err != nil {
		return "", err
	}
	all := make([]directives, len(arg.Handles))
	for i, handle := range arg.Handles {
		of := Relationship{Custodian: arg.Custodian, Requester: arg.Requester, Handle: handle}
		if err := of.check(""); err != nil {
			return "", err
		}
		all[i] = wantDirectives(&c.reading, of)
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	if err := c.sees(arg.Custodian, arg.Requester); err != nil {
		return "", err
	}
	list := StandingList{Handles: make([]HandleState, len(all))}
	for i, d := range all {
		list.Handles[i] = HandleState{Handle: arg.Handles[i], Consents: len(d.granted.or(nil)), Carried: d.carried.doc}
	}
	return c.answer(list)
}

// Evaluations reads a page of what evaluators accounted for.
func (h *handleContract) Evaluations(ctx *contractapi.TransactionContext, argument string) (string, error) {
	arg, err := decode[EvaluationsQuery](argument, MaxDocument)
	if err != nil {
		return "", err
	}
	if arg.Evaluator == "" && arg.Member != "" {
		return "", refusal.New(refusal.Malformed, "a member without an evaluator", "naming the evaluator too, or neither")
	}
	members := slices.DeleteFunc([]string{arg.Evaluator, arg.Member}, func(msp string) bool { return msp == "" })
	for _, msp := range members {
		if err := registry.CheckMSP(msp); err != nil {
			return "", err
		}
	}
	c, err := begin(ctx.GetStub(), h.clock, rights[HandleEvaluations])
	if err != nil {
		return "", err
	}
	if err := c.fetch(); err != nil {
		return "", err
	}
	p, err := readPage(c.stub, evaluationsKind, members, arg.Bookmark, arg.Size)
	if err != nil {
		return "", err
	}
	result := EvaluationPage{Bookmark: p.bookmark}
	for _, e := range p.entries {
		t, err := document[epoch.Tally](e)
		if err != nil {
			return "", err
		}
		a := attributes(e.Key)
		result.Tallies = append(result.Tallies, EvaluationTally{Evaluator: a[0], Member: a[1], Day: a[2], Tally: t})
	}
	return c.answer(result)
}
