package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// lookBack has the regulator read the ledger and holds it against the story.
func (s *story) lookBack(ctx context.Context) error {
	scene := s.begin(s.Regulator, "reads the whole history back, from its own peer")
	history, err := s.history(ctx)
	if err != nil {
		return err
	}
	s.outcome.History = history
	at := map[string]*yitongv1.Event{}
	for _, e := range history {
		at[e.GetTransactionId()] = e
	}
	for _, tx := range s.sent {
		e := at[tx.transaction]
		scene.check(e.GetValidation() == "VALID" && e.GetFunction() == tx.function,
			fmt.Sprintf("%s in transaction %s is there and valid", tx.function, screen.Short(tx.transaction)),
			"it is %q, %q", e.GetFunction(), e.GetValidation())
	}
	scene.check(slices.IsSortedFunc(s.sent, func(a, b sent) int { return before(at[a.transaction], at[b.transaction]) }),
		"in the order in which they were done", "the order is another")
	if err := scene.releases(ctx, history); err != nil {
		return err
	}
	members, err := s.Regulator.Members.List(ctx, &yitongv1.ListMembersRequest{})
	if err != nil {
		return err
	}
	majority := len(members.GetMembers())/2 + 1
	scene.check(!slices.ContainsFunc(s.sent, func(tx sent) bool { return len(at[tx.transaction].GetEndorsers()) < majority }),
		fmt.Sprintf("each endorsed by %d members or more", majority), "one has fewer endorsements")
	scene.check(!s.named(history), "no identifier of the patient, nor the name, is anywhere in it", "one is")
	scene.end()
	return nil
}

func (s *story) history(ctx context.Context) ([]*yitongv1.Event, error) {
	stream, err := s.Regulator.Audit.History(ctx, &yitongv1.HistoryRequest{IncludeInvalid: true})
	if err != nil {
		return nil, err
	}
	var events []*yitongv1.Event
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
}

// releases holds the one permit that was opened against the two orders that
// matter, and the other against having no release at all.
func (s *scene) releases(ctx context.Context, history []*yitongv1.Event) error {
	find := func(function, id string) *yitongv1.Event {
		i := slices.IndexFunc(history, func(e *yitongv1.Event) bool {
			return e.GetFunction() == function && e.GetValidation() == "VALID" && bytes.Contains(e.GetArgument(), []byte(id))
		})
		if i < 0 {
			return nil
		}
		return history[i]
	}
	id := s.permit.GetId()
	permit, release, receipt := find("access:Request", id), find("access:Release", id), find("access:Receive", id)
	s.check(permit != nil && release != nil && receipt != nil && before(permit, release) < 0 && before(release, receipt) < 0,
		"the permit came before the release, the release before the receipt", "they don't stand in that order")
	s.check(find("access:Release", s.later.GetId()) == nil, "the permit that outlived its consent was never released", "it was")
	answer, err := s.Regulator.Accesses.Get(ctx, &yitongv1.GetAccessRequest{
		Id: id, Custodian: s.Hospital.Profile.Member, Requester: s.Insurer.Profile.Member,
	})
	if err != nil {
		return err
	}
	got := answer.GetAccess()
	s.check(got.GetRelease() != nil && got.GetReceipt().GetOutcome() == "opened", "the access stands there with decision, release and receipt",
		"its receipt is %q", got.GetReceipt().GetOutcome())
	return nil
}

// before orders events by where they stand on the ledger; one that isn't there is first.
func before(a, b *yitongv1.Event) int {
	if a.GetBlock() != b.GetBlock() {
		return int(int64(a.GetBlock()) - int64(b.GetBlock()))
	}
	return int(a.GetTransactionIndex() - b.GetTransactionIndex())
}

// named looks for the patient in everything that the history shows.
func (s *story) named(history []*yitongv1.Event) bool {
	secrets := append(identifying(s.Bundle), []byte(s.Patient.GetValue()))
	for _, e := range history {
		texts := [][]byte{e.GetArgument(), []byte(e.GetSummary())}
		for _, w := range e.GetWrites() {
			texts = append(texts, w.GetValue())
			for _, k := range w.GetKey() {
				texts = append(texts, []byte(k))
			}
		}
		for _, text := range texts {
			if slices.ContainsFunc(secrets, func(secret []byte) bool { return bytes.Contains(text, secret) }) {
				return true
			}
		}
	}
	return false
}

// identifying lists the identifiers, names and birth date of a Bundle's patient.
// Values of less than six bytes are left out: they may stand anywhere by chance.
func identifying(bundle []byte) [][]byte {
	var b struct {
		Entry []struct {
			Resource struct {
				ResourceType, BirthDate string
				Identifier              []struct{ Value string }
				Name                    []struct{ Text, Family string }
				Telecom                 []struct{ Value string }
			}
		}
	}
	_ = json.Unmarshal(bundle, &b) // a Patient of another shape has nothing to look for
	var all []string
	for _, e := range b.Entry {
		r := e.Resource
		if r.ResourceType != "Patient" {
			continue
		}
		all = append(all, r.BirthDate)
		for _, id := range r.Identifier {
			all = append(all, id.Value)
		}
		for _, n := range r.Name {
			all = append(all, n.Text, n.Family)
		}
		for _, t := range r.Telecom {
			all = append(all, t.Value)
		}
	}
	var long [][]byte
	for _, v := range all {
		if len(v) >= 6 {
			long = append(long, []byte(v))
		}
	}
	return long
}
