package consortium

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/patient"
)

// FHIR is the media type of a record that is split into parts.
const FHIR = "application/fhir+json"

// Submit has hospital-a seal and anchor a patient's record.
func (c *Consortium) Submit(t *testing.T, p patient.Patient) *yitongv1.SubmitResponse {
	t.Helper()
	answer, err := c.Client(t, HospitalA).Submit(t.Context(), &yitongv1.SubmitHeader{
		Id: client.NewID(), Patient: p.ID, MediaType: FHIR,
	}, bytes.NewReader(p.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// Grant puts a consent of the patient at hospital-a on the ledger: what the
// provision says about the insurer.
func (c *Consortium) Grant(t *testing.T, p patient.Patient, provision *yitongv1.Provision) *yitongv1.ConsentResponse {
	t.Helper()
	answer, err := c.Client(t, HospitalA).Consents.Grant(t.Context(), &yitongv1.GrantRequest{
		Id: client.NewID(), Patient: p.ID, Requester: Insurer, Provision: provision, Form: []byte("signed by the patient"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// ForPayment permits classes for payment, to everybody whom the consent is about.
func ForPayment(classes ...string) *yitongv1.Provision {
	return &yitongv1.Provision{Type: "permit", Purposes: []string{"HPAYMT"}, Classes: classes}
}

// Demand is the insurer's request for classes of a patient's record, under a new id.
func Demand(p patient.Patient, classes ...string) *yitongv1.AccessRequest {
	return &yitongv1.AccessRequest{
		Id: client.NewID(), Custodian: HospitalA, Patient: p.ID, Purpose: "CLMATTCH", Classes: classes, Claim: "claim 1",
	}
}

// Ask has the insurer request classes of a patient's record at hospital-a.
func (c *Consortium) Ask(t *testing.T, p patient.Patient, classes ...string) *yitongv1.Access {
	t.Helper()
	answer, err := c.Client(t, Insurer).Accesses.Request(t.Context(), Demand(p, classes...))
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetAccess()
}

// Part is an opened part.
type Part struct {
	*yitongv1.Part
	Content []byte
}

// Open has the insurer open an access at hospital-a. What was delivered is
// returned with an error too.
func (c *Consortium) Open(ctx context.Context, t *testing.T, id string) ([]Part, *yitongv1.OpenSummary, error) {
	t.Helper()
	var parts []Part
	var contents []*bytes.Buffer
	summary, err := c.Client(t, Insurer).Open(ctx, id, HospitalA, func(p *yitongv1.Part) (io.Writer, error) {
		parts = append(parts, Part{Part: p})
		contents = append(contents, new(bytes.Buffer))
		return contents[len(contents)-1], nil
	})
	for i := range parts {
		parts[i].Content = contents[i].Bytes()
	}
	return parts, summary, err
}

// Exchange speaks to a custodian's gateway as another member's gateway, which is
// what a member can do whose own software is not what it should be.
func (c *Consortium) Exchange(t *testing.T, as, custodian string) yitongv1.ExchangeClient {
	t.Helper()
	from, to := c.Member(t, as), c.Member(t, custodian)
	config, err := from.Gateway().TLSConfig(to.TLSCA())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+to.GatewayAddress(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return yitongv1.NewExchangeClient(conn)
}

// Manifest has a permit released past the requester's gateway, and returns what
// came: the manifest, and how many sealed bytes followed.
func Manifest(ctx context.Context, x yitongv1.ExchangeClient, permit string) (manifest []byte, sealed int, err error) {
	stream, err := x.Release(ctx, &yitongv1.ReleaseRequest{Permit: permit})
	if err != nil {
		return nil, 0, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return manifest, sealed, nil
		}
		if err != nil {
			return manifest, sealed, err
		}
		if m.GetManifest() != nil {
			manifest = m.GetManifest().GetManifest()
		}
		sealed += len(m.GetChunk().GetSealed())
	}
}

// History is all that the regulator's peer has, invalid transactions too.
func (c *Consortium) History(t *testing.T) []*yitongv1.Event {
	t.Helper()
	stream, err := c.Client(t, Regulator).Audit.History(t.Context(), &yitongv1.HistoryRequest{IncludeInvalid: true})
	if err != nil {
		t.Fatal(err)
	}
	var events []*yitongv1.Event
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
}

// Again repeats a call until it succeeds, as a member's software does while a gateway
// restarts. It fails the test when the call is refused, or hasn't succeeded within a time.
func Again(t *testing.T, what string, within time.Duration, call func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for try := 1; ; try++ {
		one, end := context.WithTimeout(ctx, 20*time.Second)
		err := call(one)
		end()
		if err == nil {
			if try > 1 {
				t.Logf("%s completed at try %d", what, try)
			}
			return
		}
		if refusal, ok := client.Refusal(err); ok {
			t.Fatalf("%s is refused: %v", what, refusal)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: after %d tries: %v", what, try, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
