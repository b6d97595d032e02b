package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	fabricclient "github.com/hyperledger/fabric-gateway/pkg/client"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/consortium"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/ledger"
	"yitong/network/fabric"
	"yitong/network/topology"
)

const (
	channel        = "yitong"
	floorChaincode = "floor"
	custodian      = "HospitalA"
	guarding       = "HospitalB" // the custodian that demands the patient's own signature
	asker          = "Insurer"
)

// world is a running consortium with the floor's chaincode beside Yitong's, some
// patients with a record and a consent each, and the connections that drive it.
type world struct {
	*consortium.Consortium
	insurer, hospital, guard        *client.Client     // to the members' gateways
	asInsurer, asCustod, asGuarding *fabric.Connection // to the members' peers, as the gateways
	patients, guarded               []patient          // at the custodian; at the one that guards
	sent                            ledgerBook
}

// patient is one of the made-up patients.
type patient struct {
	id        *yitongv1.Patient
	custodian string // MSP id
	handle    string // between custodian and asker
	content   []byte // of the record's only part that the consent covers
}

// patientCount is how many patients the requests are spread over.
const patientCount = 32

func newWorld(ctx context.Context, dir string, say func(string)) (_ *world, err error) {
	binaries, err := fabric.Install(ctx, func(s fabric.Step) { say(s.Text) })
	if err != nil {
		return nil, err
	}
	t := topology.Default()
	if err := t.FreePorts(); err != nil {
		return nil, err
	}
	w := &world{}
	w.Consortium, err = consortium.Start(ctx, consortium.Options{Dir: dir, Topology: t, Binaries: binaries})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	n := w.Network()
	err = n.Deploy(ctx, fabric.Chaincode{Name: floorChaincode, Version: "1", Probe: "nothing", Command: func(*fabric.Member) fabric.Command {
		return fabric.Command{Path: n.Executable(), Args: []string{serveFloor}}
	}})
	if err != nil {
		return nil, err
	}
	if err := w.connect(); err != nil {
		return nil, err
	}
	say(fmt.Sprintf("the network runs; making %d patients", patientCount))
	return w, w.populate(ctx)
}

func (w *world) connect() (err error) {
	for _, p := range w.Profiles() {
		switch p.MSP {
		case asker:
			w.insurer, err = client.Dial(p)
		case custodian:
			w.hospital, err = client.Dial(p)
		case guarding:
			w.guard, err = client.Dial(p)
		}
		if err != nil {
			return err
		}
	}
	for msp, into := range map[string]**fabric.Connection{asker: &w.asInsurer, custodian: &w.asCustod, guarding: &w.asGuarding} {
		m, err := w.Network().Member(msp)
		if err != nil {
			return err
		}
		if *into, err = m.Connect(m.Gateway()); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the connections, then the consortium.
func (w *world) Close() error {
	var err error
	for _, c := range []*client.Client{w.insurer, w.hospital, w.guard} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	for _, c := range []*fabric.Connection{w.asInsurer, w.asCustod, w.asGuarding} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	return errors.Join(err, w.Consortium.Close())
}

// populate has the hospital submit a record of each patient and grant the consent
// that covers it, and the insurer learn the patient's handle.
func (w *world) populate(ctx context.Context) error {
	w.patients, w.guarded = make([]patient, patientCount), make([]patient, patientCount)
	if err := w.demandSignatures(ctx); err != nil {
		return err
	}
	all, each := errgroup.WithContext(ctx)
	for i := range w.patients {
		all.Go(func() (err error) {
			w.patients[i], err = w.newPatient(each, i)
			return err
		})
		all.Go(func() (err error) {
			w.guarded[i], err = w.newGuarded(each, i)
			return err
		})
	}
	return all.Wait()
}

func (w *world) newPatient(ctx context.Context, i int) (patient, error) {
	p := patient{id: numbered("bench", uint64(i)), custodian: custodian}
	bundle := `{"resourceType":"Bundle","type":"collection","entry":[` + glucose(i) + `]}`
	submitted, err := w.hospital.Submit(ctx, &yitongv1.SubmitHeader{Id: client.NewID(), Patient: p.id, MediaType: "application/fhir+json"}, strings.NewReader(bundle))
	if err != nil {
		return p, fmt.Errorf("submitting a record: %w", err)
	}
	w.sent.acknowledge(submitted.GetCommit().GetTransactionId())
	if n := len(submitted.GetRecord().GetParts()); n != 1 {
		return p, fmt.Errorf("the record has %d parts, not the one that the figures assume", n)
	}
	_, err = w.hospital.Consents.Grant(ctx, &yitongv1.GrantRequest{
		Id: client.NewID(), Patient: p.id, Requester: asker,
		Period: &yitongv1.Period{End: timestamppb.New(time.Now().AddDate(1, 0, 0).Truncate(time.Second))},
		Provision: &yitongv1.Provision{
			Type: "permit", Purposes: []string{"HPAYMT"}, Classes: []string{record.Laboratory.String()},
			Provisions: []*yitongv1.Provision{{Type: "deny", Labels: []string{"PSY", "HIV"}}},
		},
		Form: []byte("made up"),
	})
	if err != nil {
		return p, fmt.Errorf("granting a consent: %w", err)
	}
	err = w.firstAccess(ctx, &p)
	return p, err
}

// numbered names a made-up patient.
func numbered(series string, i uint64) *yitongv1.Patient {
	return &yitongv1.Patient{System: "https://hospital-a.example/mrn", Value: fmt.Sprintf("%s-%04d", series, i)}
}

// glucose is an entry of a Bundle: a laboratory result of about 1 KiB.
func glucose(i int) string {
	return fmt.Sprintf(`{"resource":{"resourceType":"Observation","id":"%d","status":"final",`+
		`"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],`+
		`"code":{"coding":[{"system":"http://loinc.org","code":"2339-0","display":"Glucose"}]},"effectiveDateTime":"2026-03-01",`+
		`"valueQuantity":{"value":98.%d,"unit":"mg/dL"},"note":[{"text":"%s"}]}}`, i, i, strings.Repeat("made up; ", 100))
}

// firstAccess tells the handle, and what Open hands out.
func (w *world) firstAccess(ctx context.Context, p *patient) error {
	answer, err := w.insurer.Accesses.Request(ctx, requestFor(*p, client.NewID()))
	if err != nil {
		return fmt.Errorf("requesting access: %w", err)
	}
	p.handle = answer.GetAccess().GetHandle()
	var content bytes.Buffer
	summary, err := w.insurer.Open(ctx, answer.GetAccess().GetId(), p.custodian, into(&content))
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	w.sent.acknowledgeAccess(answer.GetAccess().GetId(), answer.GetCommit().GetTransactionId(), summary.GetReceipt().GetTransactionId())
	if !bytes.Contains(content.Bytes(), []byte("made up; made up; ")) {
		return errors.New("what was opened is not what was submitted")
	}
	p.content = content.Bytes()
	return nil
}

func requestFor(p patient, id string) *yitongv1.AccessRequest {
	return &yitongv1.AccessRequest{
		Id: id, Custodian: p.custodian, Patient: p.id, Purpose: "CLMATTCH", Action: "access",
		Classes: []string{record.Laboratory.String()}, Claim: "CLM-" + id[:8],
	}
}

// chain is the ledger as the insurer's peer has it.
func (w *world) chain(ctx context.Context) (*ledger.Ledger, error) {
	m, err := w.Network().Member(asker)
	if err != nil {
		return nil, err
	}
	id := m.Gateway()
	return ledger.Dial(ctx, ledger.Config{
		Channel: channel, Chaincode: consortium.Chaincode, MSP: m.MSP, Cert: id.Cert, Key: id.Key, TLSCert: id.TLSCert, TLSKey: id.TLSKey,
		Peers: []ledger.Peer{{Address: m.PeerAddress(), TLSCA: m.TLSCA(), ServerName: m.Host}},
	})
}

func (w *world) contract(c *fabric.Connection, chaincode string) *fabricclient.Contract {
	return c.GetNetwork(channel).GetContract(chaincode)
}

// usage is the CPU time used so far, by kind of process.
func (w *world) usage() usage {
	kinds := map[int]string{}
	for _, s := range w.Network().Supervisor().Status() {
		kind, _, _ := strings.Cut(s.Name, "-")
		kinds[s.PID] = kind
	}
	return usageOf(kinds)
}

// Network describes what was measured on.
type Network struct {
	Fabric      string  `json:"fabric"`
	Members     int     `json:"members"`
	Orderers    int     `json:"orderers"`
	Consensus   string  `json:"consensus"`
	Endorsement string  `json:"endorsement"`
	BatchMillis float64 `json:"batch_timeout_ms"`
	BatchMax    uint32  `json:"batch_messages"`
	Database    string  `json:"database"`
	LogLevel    string  `json:"log_level"`
}

func (w *world) describe() Network {
	t := w.Network().Topology()
	return Network{
		Fabric: fabric.Release, Members: len(t.Members), Orderers: len(t.Orderers), Consensus: string(t.Consensus), Endorsement: t.Endorsement,
		BatchMillis: float64(t.Batch.Timeout.Microseconds()) / 1000, BatchMax: t.Batch.Messages, Database: t.Database, LogLevel: t.LogLevel,
	}
}

// randomHex is n random bytes in hexadecimal.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
