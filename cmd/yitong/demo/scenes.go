package demo

import (
	"bytes"
	"context"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func (s *story) anchor(ctx context.Context) error {
	scene := s.begin(s.Hospital, "seals a record of %s in parts, by data class and sensitivity, and anchors it", screen.Bytes(int64(len(s.Bundle))))
	s.recordID = client.NewID()
	answer, err := s.Hospital.Submit(ctx, &yitongv1.SubmitHeader{
		Id: s.recordID, Patient: s.Patient, MediaType: "application/fhir+json",
	}, bytes.NewReader(s.Bundle))
	if err != nil {
		return err
	}
	scene.did("record:Anchor", answer.GetCommit())
	got := answer.GetRecord()
	scene.note("record %s, %d parts, each under a key of its own; the ledger has their common root", screen.Short(got.GetId()), len(got.GetParts()))
	scene.check(len(got.GetParts()) == len(s.drafts), "one part for each class and set of labels in it",
		"%d parts, not %d", len(got.GetParts()), len(s.drafts))
	scene.check(got.GetStatus() == "anchored", "its status is anchored", "it is %q", got.GetStatus())
	scene.end()
	return nil
}

func (s *story) request(classes []string) *yitongv1.AccessRequest {
	return &yitongv1.AccessRequest{
		Id: client.NewID(), Custodian: s.Hospital.Profile.Member, Patient: s.Patient,
		Purpose: "CLMATTCH", Action: "access", Classes: classes, Claim: "CLM-2026-0042",
	}
}

// demand has the insurer ask, in a scene of its own.
func (s *story) demand(ctx context.Context, format string, args ...any) (*scene, *yitongv1.Access, error) {
	scene := s.begin(s.Insurer, format, args...)
	answer, err := s.Insurer.Accesses.Request(ctx, s.request(s.asked))
	if err != nil {
		return nil, nil, err
	}
	scene.did("access:Request", answer.GetCommit())
	return scene, answer.GetAccess(), nil
}

func (s *story) askTooEarly(ctx context.Context) error {
	scene, got, err := s.demand(ctx, "asks %s for %s, to process a claim (CLMATTCH)", s.Hospital.Profile.Member, strings.Join(s.asked, ", "))
	if err != nil {
		return err
	}
	scene.denied(got)
	scene.end()
	return nil
}

// denied checks a deny and that it says by which rule.
func (s *scene) denied(got *yitongv1.Access) {
	s.note("the ledger decides: %s, %s", got.GetOutcome(), screen.Rule(got.GetRule()))
	s.check(got.GetOutcome() == "deny", "without a consent the decision is deny, and it is recorded", "it is %q", got.GetOutcome())
	s.check(got.GetRule().GetReason() != "", "the decision names its rule", "it doesn't")
	s.check(len(got.GetGranted()) == 0, "nothing is granted", "%v is", got.GetGranted())
}

func (s *story) consent(ctx context.Context) error {
	classes := s.granted.Codes()
	scene := s.begin(s.Hospital, "puts on the ledger what the patient has signed: %s may have %s for payment, except what is labelled %s",
		s.Insurer.Profile.Member, strings.Join(classes, ", "), strings.Join(s.withheld.Codes(), " or "))
	s.consentID = client.NewID()
	answer, err := s.direct(ctx, s.Hospital, &yitongv1.PrepareRequest{
		Act: "grant", ConsentId: s.consentID,
		Period: &yitongv1.Period{End: timestamppb.New(s.Now().AddDate(1, 0, 0).Truncate(1e9))},
		Provision: &yitongv1.Provision{
			Type: "permit", Purposes: []string{"HPAYMT"}, Classes: classes,
			Provisions: []*yitongv1.Provision{{Type: "deny", Labels: s.withheld.Codes()}},
		},
	})
	if err != nil {
		return err
	}
	scene.did("consent:Direct", answer.GetCommit())
	got := answer.GetConsent()
	scene.note("consent %s version %d, valid for a year; the patient is a handle that only these two members can link", screen.Short(got.GetId()), got.GetVersion())
	scene.check(got.GetStatus() == "active" && got.GetVersion() == 1, "the consent is active", "it is %q, version %d", got.GetStatus(), got.GetVersion())
	if err := scene.forged(ctx); err != nil {
		return err
	}
	scene.end()
	return nil
}

func (s *story) ask(ctx context.Context) error {
	scene, got, err := s.demand(ctx, "asks again for the same")
	if err != nil {
		return err
	}
	s.permit = got
	scene.permitted(got)
	for _, r := range got.GetRefused() {
		scene.note("%s stays closed: %s", r.GetDataClass(), screen.Rule(r.GetRule()))
	}
	scene.check(len(got.GetRefused()) == len(s.asked)-len(s.granted.Codes()), "what the consent doesn't name is refused, with the rule",
		"%d classes are refused", len(got.GetRefused()))
	scene.check(got.GetExpires() != nil, "the permit expires", "it has no end")
	scene.end()
	return nil
}

// permitted checks a permit and what it grants.
func (s *scene) permitted(got *yitongv1.Access) {
	s.note("the ledger decides: %s for %s, %s", got.GetOutcome(), screen.List(got.GetGranted()), screen.Rule(got.GetRule()))
	s.check(got.GetOutcome() == "permit", "the decision is permit", "it is %q", got.GetOutcome())
	s.check(screen.List(got.GetGranted()) == screen.List(s.granted.Codes()), "exactly the classes of the consent are granted", "%v are", got.GetGranted())
	s.check(got.GetRule().GetConsentId() == s.consentID, "the permit names the consent it rests on", "it names %q", got.GetRule().GetConsentId())
}

// trespass is another hospital that tries to read as if it were the insurer.
func (s *story) trespass(ctx context.Context) error {
	scene := s.begin(s.OtherHospital, "tries to read the same for a purpose that isn't a hospital's (CLMATTCH)")
	_, err := s.OtherHospital.Accesses.Request(ctx, s.request(s.asked))
	if err := scene.refused(err, "the ledger's rules refuse it"); err != nil {
		return err
	}
	scene.end()
	return nil
}

// refused checks that a call was turned down by a rule. Any other failure ends
// the story: it proves nothing.
func (s *scene) refused(err error, what string) error {
	if err == nil {
		s.check(false, what, "it was allowed")
		return nil
	}
	refusal, ok := client.Refusal(err)
	if !ok {
		return err
	}
	s.note("refused (%s): %s", refusal.Code, refusal.Message)
	if refusal.Allowed != "" {
		s.note("allowed would be: %s", refusal.Allowed)
	}
	s.check(true, what, "")
	return nil
}

// askAgain gets a permit that nobody opens, for later.
func (s *story) askAgain(ctx context.Context) error {
	scene, got, err := s.demand(ctx, "asks for a second claim, and doesn't open yet")
	if err != nil {
		return err
	}
	s.later = got
	scene.permitted(got)
	scene.end()
	return nil
}

func (s *story) withdraw(ctx context.Context) error {
	scene := s.begin(s.Regulator, "puts on the ledger that the patient withdraws: the hospital isn't asked")
	answer, err := s.direct(ctx, s.Regulator, &yitongv1.PrepareRequest{Act: "withdraw", ConsentId: s.consentID, Reason: "patient-request"})
	if err != nil {
		return err
	}
	scene.did("consent:Direct", answer.GetCommit())
	scene.check(answer.GetConsent().GetStatus() == "withdrawn", "the consent is withdrawn", "it is %q", answer.GetConsent().GetStatus())
	scene.end()
	return nil
}

func (s *story) askTooLate(ctx context.Context) error {
	scene, got, err := s.demand(ctx, "asks once more")
	if err != nil {
		return err
	}
	scene.denied(got)
	scene.end()
	return nil
}

// openTooLate tries the permits from before the withdrawal.
func (s *story) openTooLate(ctx context.Context) error {
	scene := s.begin(s.Insurer, "tries to open under the permits from before the withdrawal")
	for _, old := range []struct {
		permit *yitongv1.Access
		what   string
	}{
		{s.later, "no key is released under the permit that wasn't used yet"},
		{s.permit, "nor again under the one that was"},
	} {
		got := newDelivery()
		_, err := s.Insurer.Open(ctx, old.permit.GetId(), s.Hospital.Profile.Member, got.part)
		if err := scene.refused(err, old.what); err != nil {
			return err
		}
		scene.check(got.bytes() == 0, "and not a byte is delivered", "%d bytes are", got.bytes())
	}
	scene.end()
	return nil
}
