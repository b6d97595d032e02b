package demo

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"

	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// wallet is the key of the story's patient. It follows from the identifier, so that the
// story can be told again in the same consortium; a real wallet's is random.
func (s *story) wallet() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("yitong demo wallet\x00" + s.Patient.GetSystem() + "|" + s.Patient.GetValue()))
	return ed25519.NewKeyFromSeed(seed[:])
}

// direct has the patient sign a directive about the insurer, and brings it to the ledger
// through a member.
func (s *story) direct(ctx context.Context, through *client.Client, act *yitongv1.PrepareRequest) (*yitongv1.DirectResponse, error) {
	act.Patient, act.Requester = s.Patient, s.Insurer.Profile.Member
	prepared, err := s.Hospital.Patients.Prepare(ctx, act)
	if err != nil {
		return nil, err
	}
	return through.Patients.Direct(ctx, signed(prepared.GetDocument(), s.wallet()))
}

func signed(document []byte, key ed25519.PrivateKey) *yitongv1.DirectRequest {
	return &yitongv1.DirectRequest{
		Document: document,
		Key:      &yitongv1.PatientKey{Algorithm: "Ed25519", Public: key.Public().(ed25519.PublicKey)},
		Proof:    &yitongv1.DirectRequest_Signature{Signature: ed25519.Sign(key, document)},
	}
}

// forged has the hospital try to widen, with a key of its own, what the patient signed.
func (s *scene) forged(ctx context.Context) error {
	prepared, err := s.Hospital.Patients.Prepare(ctx, &yitongv1.PrepareRequest{
		Patient: s.Patient, Requester: s.Insurer.Profile.Member, Act: "amend", ConsentId: s.consentID,
		Provision: &yitongv1.Provision{Type: "permit"},
	})
	if err != nil {
		return err
	}
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	_, err = s.Hospital.Patients.Direct(ctx, signed(prepared.GetDocument(), other))
	return s.refused(err, "the hospital can't widen it by a signature that isn't the patient's")
}
