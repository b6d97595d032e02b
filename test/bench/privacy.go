package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	fabricclient "github.com/hyperledger/fabric-gateway/pkg/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/directive"
	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// agreed is what a consent of grant and grant+ says.
func agreed() consent.Provision {
	return consent.Provision{
		Type: consent.Permit, Purposes: consent.PurposesOf(consent.HPAYMT), Classes: record.ClassesOf(record.Laboratory),
		Provisions: []consent.Provision{{Type: consent.Deny, Labels: record.LabelsOf(record.PSY, record.HIV)}},
	}
}

// demandSignatures has the guarding hospital take nothing but the patient's own signature.
func (w *world) demandSignatures(ctx context.Context) error {
	wallet := consent.Wallet.String()
	answer, err := w.guard.Policies.Set(ctx, &yitongv1.SetPolicyRequest{Assurance: &wallet})
	if err != nil {
		return fmt.Errorf("demanding signed consents at %s: %w", guarding, err)
	}
	w.sent.acknowledge(answer.GetCommit().GetTransactionId())
	return nil
}

// newGuarded makes a patient of the guarding hospital: a record of many parts, and a consent that the
// patient signed.
func (w *world) newGuarded(ctx context.Context, i int) (patient, error) {
	p := patient{id: numbered("guarded", uint64(i)), custodian: guarding}
	entries := []string{glucose(i)}
	for _, kind := range []string{"Encounter", "Condition", "AllergyIntolerance", "MedicationRequest", "Immunization", "ImagingStudy", "Procedure", "CarePlan", "DocumentReference", "Device", "Claim"} {
		entries = append(entries, fmt.Sprintf(`{"resource":{"resourceType":%q,"id":"plain"}}`, kind),
			fmt.Sprintf(`{"resource":{"resourceType":%q,"id":"sensitive","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"SDV"}]}}}`, kind))
	}
	entries = append(entries, `{"resource":{"resourceType":"Patient","id":"p"}}`)
	bundle := `{"resourceType":"Bundle","type":"collection","entry":[` + strings.Join(entries, ",") + `]}`
	submitted, err := w.guard.Submit(ctx, &yitongv1.SubmitHeader{Id: client.NewID(), Patient: p.id, MediaType: "application/fhir+json"}, strings.NewReader(bundle))
	if err != nil {
		return p, fmt.Errorf("submitting a record: %w", err)
	}
	w.sent.acknowledge(submitted.GetCommit().GetTransactionId())
	if n := len(submitted.GetRecord().GetParts()); n != 24 {
		return p, fmt.Errorf("the record has %d parts, not the 24 that the figures assume", n)
	}
	if err := w.sign(ctx, p); err != nil {
		return p, fmt.Errorf("signing a consent: %w", err)
	}
	err = w.firstAccess(ctx, &p)
	return p, err
}

// sign has the patient sign a consent at the guarding hospital.
func (w *world) sign(ctx context.Context, p patient) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	asked, err := w.guard.Patients.Prepare(ctx, &yitongv1.PrepareRequest{
		Patient: p.id, Requester: asker, Act: string(directive.Grant),
		Period: &yitongv1.Period{End: timestamppb.New(time.Now().AddDate(1, 0, 0).Truncate(time.Second))},
		Provision: &yitongv1.Provision{
			Type: "permit", Purposes: []string{"HPAYMT"}, Classes: []string{record.Laboratory.String()}, RecordTypes: []string{record.FHIR.String()},
			Provisions: []*yitongv1.Provision{{Type: "deny", Labels: []string{"PSY", "HIV"}}},
		},
	})
	if err != nil {
		return err
	}
	answer, err := w.guard.Patients.Direct(ctx, &yitongv1.DirectRequest{
		Document: asked.GetDocument(), Key: &yitongv1.PatientKey{Algorithm: directive.Ed25519, Public: public},
		Proof: &yitongv1.DirectRequest_Signature{Signature: ed25519.Sign(private, asked.GetDocument())},
	})
	if err != nil {
		return err
	}
	w.sent.acknowledge(answer.GetCommit().GetTransactionId())
	return nil
}

// direct puts a consent on the ledger that a patient, new to the ledger, signed.
func (w *world) direct(ctx context.Context, as *fabricclient.Contract, custodian, handle string) outcome {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return w.sent.trouble(failed, err)
	}
	now, provision := record.At(time.Now()), agreed()
	d := directive.Directive{
		Type: directive.Type, Channel: channel, Act: directive.Grant, Custodian: custodian, Requester: asker, Handle: handle,
		Consent: client.NewID(), Version: 1, Signed: now, Period: record.Period{Start: now, End: now + 365*86400}, Provision: &provision,
	}
	text, err := d.Canonical()
	if err != nil {
		return w.sent.trouble(failed, err)
	}
	return w.submit(ctx, as, contract.ConsentDirect, document(directive.Signed{
		Document: string(text), Key: directive.Key{Algorithm: directive.Ed25519, Public: public}, Signature: ed25519.Sign(private, text),
	}))
}

// attest puts a consent on the ledger that the hospital says a patient, new to the ledger, signed.
func (w *world) attest(ctx context.Context, as *fabricclient.Contract) outcome {
	now := record.At(time.Now())
	return w.submit(ctx, as, contract.ConsentGrant, document(contract.Grant{
		ID: client.NewID(), Requester: asker, Handle: "1-" + randomHex(32), Period: record.Period{Start: now, End: now + 365*86400},
		Provision: agreed(), Evidence: randomHex(32),
	}))
}

// ask has the insurer's software request an access. About a patient whom nobody knows the answer is a
// denial, committed all the same.
func (w *world) ask(ctx context.Context, of *yitongv1.Patient) outcome {
	id := client.NewID()
	answer, err := w.insurer.Accesses.Request(ctx, requestFor(patient{id: of, custodian: custodian}, id))
	if err != nil {
		w.sent.unknownAccess(id)
		return w.sent.trouble(fateOf(err), err)
	}
	w.sent.acknowledge(answer.GetCommit().GetTransactionId())
	return done
}
