package demo

import (
	"context"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// breakGlass is another hospital's clinician, whom the patient can't tell anything.
func (s *story) breakGlass(ctx context.Context) error {
	scene := s.begin(s.Clinician, "breaks the glass: the patient is unconscious, and there is no consent")
	order := &yitongv1.OpenEmergencyRequest{
		Id: client.NewID(), Custodian: s.Hospital.Profile.Member, Patient: s.Patient, Classes: s.granted.Codes(), Reason: "unconscious",
	}
	if _, err := s.OtherHospital.Emergencies.Open(ctx, order); true {
		if err := scene.refused(err, "the hospital's software can't: it takes a clinician's certificate"); err != nil {
			return err
		}
	}
	answer, err := s.Clinician.Emergencies.Open(ctx, order)
	if err != nil {
		return err
	}
	scene.did("access:Request", answer.GetCommit())
	got := answer.GetAccess()
	s.emergency = got.GetId()
	scene.note("the ledger decides: %s for %s, %s", got.GetOutcome(), screen.List(got.GetGranted()), screen.Rule(got.GetRule()))
	scene.check(got.GetOutcome() == "permit" && got.GetRule().GetReason() == "break-glass", "the permit says that it is break-glass", "its rule is %q", got.GetRule().GetReason())
	scene.check(got.GetExpires().AsTime().Sub(got.GetRequested().AsTime()).Hours() <= 4, "it holds for hours, not days", "until %s", screen.Time(got.GetExpires()))
	opened := newDelivery()
	if _, err := s.Clinician.Open(ctx, got.GetId(), s.Hospital.Profile.Member, opened.part); err != nil {
		return err
	}
	scene.check(opened.bytes() > 0, "the clinician has what is needed", "nothing was delivered")
	scene.end()
	return nil
}

func (s *story) review(ctx context.Context) error {
	scene := s.begin(s.Regulator, "reviews the emergency")
	list, err := s.Regulator.Emergencies.List(ctx, &yitongv1.ListEmergenciesRequest{})
	if err != nil {
		return err
	}
	seen := false
	for _, e := range list.GetEmergencies() {
		seen = seen || e.GetId() == s.emergency
	}
	scene.check(seen, "it stands in the list of what is unreviewed", "it doesn't")
	answer, err := s.Regulator.Emergencies.Review(ctx, &yitongv1.ReviewEmergencyRequest{
		Id: s.emergency, Custodian: s.Hospital.Profile.Member, Requester: s.OtherHospital.Profile.Member, Outcome: "accepted", Reason: "justified",
	})
	if err != nil {
		return err
	}
	scene.did("access:Review", answer.GetCommit())
	scene.end()
	return nil
}

// erase ends the record, as the patient may ask for.
func (s *story) erase(ctx context.Context) error {
	scene := s.begin(s.Hospital, "erases the record: its keys are destroyed, here and in escrow, and who had parts of it is told")
	answer, err := s.Hospital.Erasures.Erase(ctx, &yitongv1.EraseRequest{Id: s.recordID, Reason: "patient-request"})
	if err != nil {
		return err
	}
	scene.did("record:Erase", answer.GetCommit())
	scene.check(len(answer.GetRequesters()) > 0, "those who had opened it are named, to be told", "nobody is")
	opened := newDelivery()
	_, err = s.Clinician.Open(ctx, s.emergency, s.Hospital.Profile.Member, opened.part)
	if err := scene.refused(err, "nobody opens it any more, not even under the emergency's permit"); err != nil {
		return err
	}
	scene.check(opened.bytes() == 0, "and not a byte is delivered", "%d bytes are", opened.bytes())
	scene.end()
	return nil
}
