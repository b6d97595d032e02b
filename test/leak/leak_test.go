package leak_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/directive"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/escrow"
	"yitong/gateway/keys"
	"yitong/test/consortium"
	"yitong/test/leak"
	"yitong/test/patient"
)

func TestMain(m *testing.M) { consortium.Main(m) }

// places are where something could leak to, by a piece of the path.
var places = map[string]string{
	"block files of the peers": "/ledgersData/chains/chains/", "block files of the ordering nodes": "/orderer-",
	"state databases": "/stateLeveldb/", "logs": "/logs/", "vaults": "/vault/", "key stores": "/keys.db",
	"audit databases": "/audit.db", "databases of events": "/events.db", "outboxes": "/outbox.db", "heights of the peers": "/heights.jsonl", "chaincode servers": "/logs/chaincode-",
	"history indexes of the peers": "/historyLeveldb/",
}

// A5, A35: everything that a member does, and what it is turned down for, and then a
// look at all that lies on the disk.
func TestNothingOnTheDiskTellsWhoThePatientIsOrWhatTheKeysAre(t *testing.T) {
	c := consortium.Start(t)
	patients := append(patient.Synthea(t, 2), patient.Synthetic(t, 500))
	canary := "canary-" + random()
	for _, p := range patients {
		live(t, c, p, canary)
	}
	scraped := metrics(t, c)
	c.Stop(t)
	c.Resume(t) // now the state databases' logs are made into tables
	c.Stop(t)

	secrets := keysOf(t, c)
	for _, p := range patients {
		for i, value := range p.Identifying {
			for form, spelt := range spellings(value) {
				secrets = append(secrets, leak.Secret{Name: fmt.Sprintf("%s's identifying value %d, %s", p.Name, i, form), Value: []byte(spelt)})
			}
		}
	}
	scanner := leak.New(secrets...)
	looked := map[string]int{}
	wanted := func(path string) bool {
		in := strings.TrimPrefix(path, c.Dir())
		if strings.HasPrefix(in, "/bin/") || filepath.Base(in) == "passphrase" {
			return false // the program has lists of made-up names; the passphrase lies in its own file
		}
		for place, piece := range places {
			if strings.Contains(in, piece) {
				looked[place]++
			}
		}
		return true
	}
	found, files, err := scanner.Tree(c.Dir(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	for address, page := range scraped {
		found = append(found, scanner.Bytes("the metrics at "+address, page)...)
	}
	t.Logf("%d secrets searched in %d files: %v", len(secrets), files, looked)
	for _, f := range found {
		t.Errorf("leaked: %v", f)
	}
	for place := range places {
		if looked[place] == 0 {
			t.Errorf("no file was looked at in the %s", place)
		}
	}

	// A32: whatever is said to a gateway, its log is one JSON object a line.
	t.Run("every line of the gateways' logs is an object", func(t *testing.T) {
		logs, err := filepath.Glob(filepath.Join(c.Dir(), "logs", "gateway-*"))
		if err != nil || len(logs) < len(c.Network().Members()) {
			t.Fatalf("%d logs, %v", len(logs), err)
		}
		broken := func(log []byte) (lines, bad int) {
			for line := range bytes.Lines(log) {
				var entry struct {
					Level, Msg string
					Time       time.Time
				}
				if lines++; json.Unmarshal(line, &entry) != nil || entry.Level == "" || entry.Msg == "" || entry.Time.IsZero() {
					bad++
				}
			}
			return lines, bad
		}
		for _, path := range logs {
			log, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines, bad := broken(log)
			if lines == 0 || bad > 0 {
				t.Errorf("%s: %d of %d lines are no entries", filepath.Base(path), bad, lines)
			}
			if _, bad := broken(append(log, "2026 forged\n{\"level\":\"INFO\"}\n"...)); bad != 2 {
				t.Error("control: lines that somebody forged aren't seen")
			}
		}
	})
	t.Run("control: what goes to the ledger in the clear is found at every member", func(t *testing.T) {
		found, _, err := leak.New(leak.Secret{Name: "the canary", Value: []byte(canary)}).Tree(c.Dir(), wanted)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range c.Network().Members() {
			for _, place := range []string{"block files of the peers", "block files of the ordering nodes", "state databases"} {
				if !slices.ContainsFunc(found, func(f leak.Finding) bool {
					return strings.HasPrefix(f.Path, m.Dir()) && strings.Contains(f.Path, places[place]) && f.Form == "as it is"
				}) {
					t.Errorf("the canary isn't found in the %s of %s", place, m.Name)
				}
			}
		}
		if !slices.ContainsFunc(found, func(f leak.Finding) bool { return filepath.Ext(f.Path) == ".ldb" }) {
			t.Error("the canary isn't found in any table of a state database")
		}
	})
	t.Run("control: a secret planted in any place is found", func(t *testing.T) {
		for place, piece := range places {
			victim := fileIn(t, c.Dir(), piece)
			for _, planted := range []leak.Secret{secrets[0], secrets[len(secrets)-1]} {
				appendTo(t, victim, planted.Value)
				found, _, err := scanner.Tree(filepath.Dir(victim), func(path string) bool { return path == victim })
				if err != nil || len(found) == 0 {
					t.Errorf("%s, planted in the %s, isn't found: %v", planted.Name, place, err)
				}
			}
		}
	})
}

// spellings are ways to write an identifying value: a date has more than one.
func spellings(value string) map[string]string {
	all := map[string]string{"as it is": value}
	if day, err := time.Parse(time.DateOnly, value); err == nil {
		all["compact"] = day.Format("20060102")
		all["with slashes"] = day.Format("2006/01/02")
		all["the American way"] = day.Format("01/02/2006")
		all["the European way"] = day.Format("02.01.2006")
		all["in seconds"] = fmt.Sprint(day.Unix())
	}
	return all
}

// metrics reads what the peers and ordering nodes tell Prometheus, as their operators do.
func metrics(t *testing.T, c *consortium.Consortium) map[string][]byte {
	t.Helper()
	pages := map[string][]byte{}
	for _, m := range c.Network().Members() {
		config, err := m.Gateway().TLSConfig(m.TLSCA())
		if err != nil {
			t.Fatal(err)
		}
		addresses := []string{m.OperationsAddress()}
		for _, o := range c.Network().Topology().Orderers {
			if o.Member == m.Name {
				addresses = append(addresses, o.OperationsAddress())
			}
		}
		for _, address := range addresses {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/metrics", nil)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{TLSClientConfig: config}
			answer, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			page, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			transport.CloseIdleConnections()
			if err != nil || answer.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("ledger_blockchain_height{")) && !bytes.Contains(page, []byte("broadcast_processed_count{")) {
				t.Fatalf("%s answers %s with %d bytes: these aren't the metrics: %v", address, answer.Status, len(page), err)
			}
			pages[address] = page
		}
	}
	return pages
}

// live goes through the life of a record, well and badly.
func live(t *testing.T, c *consortium.Consortium, p patient.Patient, canary string) {
	t.Helper()
	hospital, insurer := c.Client(t, consortium.HospitalA), c.Client(t, consortium.Insurer)
	c.Submit(t, p)
	letter := append([]byte("%PDF-1.7\n"), strings.Join(p.Identifying, "\n")...)
	sent, err := hospital.Submit(t.Context(), &yitongv1.SubmitHeader{
		Id: client.NewID(), Patient: p.ID, MediaType: "application/pdf", DataClass: "document",
	}, bytes.NewReader(letter))
	if err != nil {
		t.Fatal(err)
	}
	c.Ask(t, p, "laboratory", "demographics") // denied
	granted := c.Grant(t, p, consortium.ForPayment("laboratory", "demographics", "document")).GetConsent()
	permit := c.Ask(t, p, "laboratory", "demographics", "document")
	if _, _, err := c.Open(t.Context(), t, permit.GetId()); err != nil {
		t.Fatal(err)
	}
	if _, err := hospital.Consents.Withdraw(t.Context(), &yitongv1.WithdrawRequest{
		Id: granted.GetId(), Patient: p.ID, Requester: consortium.Insurer, Reason: canary,
	}); err != nil {
		t.Fatal(err)
	}
	signs(t, c, p)
	emergency(t, c, p)
	if _, err := hospital.Erasures.Erase(t.Context(), &yitongv1.EraseRequest{Id: sent.GetRecord().GetId(), Reason: "patient-request"}); err != nil {
		t.Fatal(err)
	}
	who := p.ID.GetValue()
	refused := map[string]error{}
	_, _, refused["opening after the withdrawal"] = c.Open(t.Context(), t, permit.GetId())
	_, refused["a broken bundle"] = hospital.Submit(t.Context(), &yitongv1.SubmitHeader{
		Id: client.NewID(), Patient: p.ID, MediaType: consortium.FHIR,
	}, bytes.NewReader(p.Bundle[:len(p.Bundle)/2]))
	_, refused["a record of a class that there isn't"] = hospital.Submit(t.Context(), &yitongv1.SubmitHeader{
		Id: client.NewID(), Patient: p.ID, MediaType: "text/plain", DataClass: who,
	}, strings.NewReader(who))
	_, refused["a consent for nobody"] = hospital.Consents.Grant(t.Context(), &yitongv1.GrantRequest{
		Id: client.NewID(), Patient: p.ID, Requester: who, Provision: consortium.ForPayment("claim"), Form: []byte(who),
	})
	demand := consortium.Demand(p, who)
	_, refused["a request for a class that there isn't"] = insurer.Accesses.Request(t.Context(), demand)
	demand = consortium.Demand(p, "laboratory")
	demand.Id = who
	_, refused["a request under an id that is none"] = insurer.Accesses.Request(t.Context(), demand)
	demand = consortium.Demand(p, "laboratory")
	demand.Claim = who // the ledger has a salted digest of it
	if _, err := insurer.Accesses.Request(t.Context(), demand); err != nil {
		t.Fatal(err)
	}
	for what, err := range refused {
		if err == nil {
			t.Errorf("%s was not refused", what)
		}
	}
}

// signs has the patient sign a consent with a wallet's key, and take it back through the insurer's gateway.
func signs(t *testing.T, c *consortium.Consortium, p patient.Patient) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(at *client.Client, prepare *yitongv1.PrepareRequest) *yitongv1.Consent {
		t.Helper()
		prepare.Patient, prepare.Custodian, prepare.Requester = p.ID, consortium.HospitalA, consortium.Insurer
		asked, err := at.Patients.Prepare(t.Context(), prepare)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := at.Patients.Direct(t.Context(), &yitongv1.DirectRequest{
			Document: asked.GetDocument(), Key: &yitongv1.PatientKey{Algorithm: directive.Ed25519, Public: public},
			Proof: &yitongv1.DirectRequest_Signature{Signature: ed25519.Sign(private, asked.GetDocument())},
		})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetConsent()
	}
	granted := sign(c.Client(t, consortium.HospitalA), &yitongv1.PrepareRequest{Act: string(directive.Grant), Provision: consortium.ForPayment("laboratory")})
	permit := c.Ask(t, p, "laboratory")
	if _, _, err := c.Open(t.Context(), t, permit.GetId()); err != nil {
		t.Fatal(err)
	}
	sign(c.Client(t, consortium.Insurer), &yitongv1.PrepareRequest{Act: string(directive.Withdraw), ConsentId: granted.GetId(), Reason: "patient-request"})
}

// emergency has a clinician of the other hospital break the glass, saying why in words that name the
// patient, and the regulator review it.
func emergency(t *testing.T, c *consortium.Consortium, p patient.Patient) {
	t.Helper()
	doctor := c.User(t, consortium.HospitalB, "clinician")
	opened, err := doctor.Emergencies.Open(t.Context(), &yitongv1.OpenEmergencyRequest{
		Id: client.NewID(), Custodian: consortium.HospitalA, Patient: p.ID, Reason: string(access.Unconscious), Note: strings.Join(p.Identifying, ", "),
	})
	if err != nil {
		t.Fatal(err)
	}
	id := opened.GetAccess().GetId()
	if _, err := doctor.Open(t.Context(), id, consortium.HospitalA, nowhere); err != nil {
		t.Fatal(err)
	}
	_, err = c.User(t, consortium.Regulator, "auditor").Emergencies.Review(t.Context(), &yitongv1.ReviewEmergencyRequest{
		Id: id, Custodian: consortium.HospitalA, Requester: consortium.HospitalB, Outcome: "accepted", Reason: "emergency",
	})
	if err != nil {
		t.Fatal(err)
	}
}

// keysOf reads every member's keys out of its key store.
func keysOf(t *testing.T, c *consortium.Consortium) []leak.Secret {
	t.Helper()
	var secrets []leak.Secret
	held := map[string]map[string]int{}
	for _, m := range c.Network().Members() {
		folder := filepath.Join(m.Dir(), "gateway")
		passphrase, err := keys.PassphraseFile(filepath.Join(folder, "passphrase"))
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, leak.Secret{Name: m.Name + "'s passphrase", Value: passphrase})
		store, err := keys.Open(filepath.Join(folder, "state", "keys.db"), passphrase)
		if err != nil {
			t.Fatal(err)
		}
		of := map[string]int{}
		held[m.Name] = of
		for _, bucket := range []string{"secrets", "partkeys"} { // as gateway/share names them
			all, err := store.List(bucket)
			if err != nil {
				t.Fatal(err)
			}
			for name, key := range all {
				of[bucket]++
				secrets = append(secrets, leak.Secret{Name: fmt.Sprintf("%s's %s %s", m.Name, bucket, name), Value: key})
			}
		}
		evaluating, err := store.List("evaluate")
		if err != nil {
			t.Fatal(err)
		}
		for name, doc := range evaluating {
			var key struct{ Secret []byte }
			if err := json.Unmarshal(doc, &key); err != nil {
				t.Fatal(err)
			}
			if len(key.Secret) > 0 {
				of["evaluator"]++
				secrets = append(secrets, leak.Secret{Name: m.Name + "'s evaluator's key of epoch " + name, Value: key.Secret})
			}
		}
		deposits, err := store.List("kept")
		if err != nil {
			t.Fatal(err)
		}
		for name, doc := range deposits {
			var deposit struct{ Share escrow.Share }
			if err := json.Unmarshal(doc, &deposit); err != nil {
				t.Fatal(err)
			}
			for _, p := range deposit.Share.Parts {
				of["shares"]++
				secrets = append(secrets, leak.Secret{Name: fmt.Sprintf("%s's share of %s/%d", m.Name, name, p.Part), Value: p.Value})
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if of["secrets"] < 3 || m.Name == consortium.HospitalA && of["partkeys"] < 10 || m.Name != consortium.HospitalA && of["shares"] < 10 {
			t.Fatalf("the key store of %s holds %v: these are not all its keys", m.Name, of)
		}
	}
	t.Logf("keys taken from the stores: %v", held)
	return secrets
}

func random() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// fileIn finds a file whose path holds a piece.
func fileIn(t *testing.T, root, piece string) string {
	t.Helper()
	var file string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(path, piece) && filepath.Ext(path) != ".ldb" && file == "" {
			file = path
		}
		return err
	})
	if err != nil || file == "" {
		t.Fatalf("no file in %s: %v", piece, err)
	}
	return file
}

func appendTo(t *testing.T, file string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
