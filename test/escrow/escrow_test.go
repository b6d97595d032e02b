// Package escrow_test kills a hospital of a real consortium and has a clinician of another
// one open what lies in escrow.
package escrow_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/keys"
	"yitong/gateway/seal"
	"yitong/test/consortium"
	"yitong/test/patient"
)

func TestMain(m *testing.M) { consortium.Main(m) }

// patience bounds what gateways do by themselves.
const patience = 2 * time.Minute

func TestAPatientIsServedThoughTheCustodianIsDead(t *testing.T) {
	c := consortium.Start(t) // its own: what is killed stays dead
	p := patient.Synthetic(t, 700)
	submitted := c.Submit(t, p).GetRecord().GetId()
	drafts, err := seal.Split(p.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	awaitLodged(t, c, submitted)
	doctor := c.User(t, consortium.HospitalB, "clinician")
	// Nobody at hospital B has asked about this patient before: its gateway finds the handle
	// with evaluators of which the dead hospital is none.
	for _, s := range c.Network().Supervisor().Status() {
		if strings.HasSuffix(s.Name, "-"+consortium.HospitalA) && !strings.HasPrefix(s.Name, "orderer") {
			hold(t, c, s.Name)
		}
	}

	permit := breakGlass(t, c, doctor, p)
	opened, summary, err := open(t, doctor, permit)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range drafts {
		if d.Class == record.Allergy && !slices.ContainsFunc(opened, func(b *bytes.Buffer) bool { return bytes.Equal(b.Bytes(), d.Content) }) {
			t.Error("the allergies are not what was submitted")
		}
	}
	if len(opened) == 0 || !slices.Equal(summary.GetRecovered().GetShares(), []string{consortium.HospitalBMSP, consortium.InsurerMSP, consortium.RegulatorMSP}) {
		t.Errorf("%d parts were opened, recovered by %v", len(opened), summary.GetRecovered())
	}

	t.Run("a bad share is refused and named", func(t *testing.T) {
		spoil(t, c, consortium.Insurer, consortium.HospitalAMSP+"/"+submitted)
		got, _, err := open(t, doctor, breakGlass(t, c, doctor, p))
		if r, ok := client.Refusal(err); !ok || r.Code != "escrow-short" || !strings.Contains(r.Message, "the share of "+consortium.InsurerMSP) || len(got) > 0 {
			t.Errorf("opened %d parts: %v", len(got), err)
		}
	})
	t.Run("without the regulator nothing opens", func(t *testing.T) {
		permit := breakGlass(t, c, doctor, p)
		hold(t, c, "gateway-"+consortium.Regulator)
		got, _, err := open(t, doctor, permit)
		if status.Code(err) != codes.Unavailable || !strings.Contains(fmt.Sprint(err), "without a regulator's share") || len(got) > 0 {
			t.Errorf("opened %d parts: %v", len(got), err)
		}
	})
}

func awaitLodged(t *testing.T, c *consortium.Consortium, id string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		l, err := c.Client(t, consortium.HospitalA).Lodgings.Get(t.Context(), &yitongv1.GetLodgingRequest{RecordId: id})
		if err != nil {
			t.Fatal(err)
		}
		if l.GetState() == "complete" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the record is not in escrow: %v", l)
		}
		time.Sleep(50 * time.Millisecond) // between looks at what another process does
	}
}

func hold(t *testing.T, c *consortium.Consortium, name string) {
	t.Helper()
	if err := c.Network().Supervisor().Hold(name); err != nil {
		t.Fatal(err)
	}
}

// breakGlass asks for allergies in an emergency. A peer that dies takes the calls with it
// that it was just serving, so it asks again, under the same id.
func breakGlass(t *testing.T, c *consortium.Consortium, doctor *client.Client, p patient.Patient) string {
	t.Helper()
	in := &yitongv1.OpenEmergencyRequest{
		Id: client.NewID(), Custodian: consortium.HospitalA, Patient: p.ID, Reason: string(access.Unconscious), Classes: []string{"allergy"},
	}
	for deadline := time.Now().Add(patience); ; {
		answer, err := doctor.Emergencies.Open(t.Context(), in)
		if err == nil {
			if answer.GetAccess().GetOutcome() != "permit" {
				t.Fatalf("the decision is %v", answer.GetAccess())
			}
			return in.GetId()
		}
		if status.Code(err) != codes.Unavailable || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, doctor *client.Client, permit string) (parts []*bytes.Buffer, summary *yitongv1.OpenSummary, err error) {
	t.Helper()
	summary, err = doctor.Open(t.Context(), permit, consortium.HospitalA, func(*yitongv1.Part) (io.Writer, error) {
		parts = append(parts, new(bytes.Buffer))
		return parts[len(parts)-1], nil
	})
	return parts, summary, err
}

// spoil alters what a member keeps of a record, in its key store, while its gateway is down.
func spoil(t *testing.T, c *consortium.Consortium, member, name string) {
	t.Helper()
	gateway := "gateway-" + member
	hold(t, c, gateway)
	folder := filepath.Join(c.Member(t, member).Dir(), "gateway")
	passphrase, err := os.ReadFile(filepath.Join(folder, "passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := keys.Open(filepath.Join(folder, "state", "keys.db"), bytes.TrimRight(passphrase, "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := store.Get("kept", name)
	if err != nil {
		t.Fatal(err)
	}
	var k map[string]any
	if err := json.Unmarshal(raw, &k); err != nil {
		t.Fatal(err)
	}
	for _, part := range k["share"].(map[string]any)["parts"].([]any) {
		part.(map[string]any)["value"] = make([]byte, 32)
	}
	if raw, err = json.Marshal(k); err != nil {
		t.Fatal(err)
	}
	if err := store.Put("kept", name, raw); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Network().Supervisor().Release(gateway); err != nil {
		t.Fatal(err)
	}
	if err := c.Network().Supervisor().Await(t.Context(), gateway); err != nil {
		t.Fatal(err)
	}
}
