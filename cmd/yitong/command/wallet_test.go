package command_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yitong/cmd/yitong/command"
	"yitong/cmd/yitong/gatewaytest"
	"yitong/cmd/yitong/wallet"
)

func init() { wallet.WorkFactor = 8 }

// person is somebody with a wallet at a machine.
type person struct {
	t          *testing.T
	consortium *gatewaytest.Consortium
	dir, home  string
}

func (p person) file(name, content string) string {
	p.t.Helper()
	path := filepath.Join(p.home, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// run runs a command, wants its exit code, and returns what it printed.
func (p person) run(exit int, args ...string) (out, said string) {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	env := map[string]string{
		"YITONG_DIR": p.dir, "YITONG_WALLET": filepath.Join(p.home, "wallet.age"),
		"YITONG_WALLET_PASSPHRASE_FILE": filepath.Join(p.home, "passphrase"), "NO_COLOR": "1",
	}
	code := command.Run(p.t.Context(), args, command.World{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr, Env: func(name string) string { return env[name] }, Now: p.consortium.Now,
	})
	if code != exit {
		p.t.Fatalf("yitong %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, exit, &stdout, &stderr)
	}
	return stdout.String(), stderr.String()
}

func (p person) json(args ...string) map[string]any {
	p.t.Helper()
	out, _ := p.run(0, append(args, "--json")...)
	var doc map[string]any
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		p.t.Fatalf("%s: %v", out, err)
	}
	return doc
}

func consentOf(doc map[string]any) map[string]any { return doc["consent"].(map[string]any) }

func newcomer(t *testing.T, c *gatewaytest.Consortium, dir string) person {
	p := person{t: t, consortium: c, dir: dir, home: t.TempDir()}
	p.file("passphrase", "correct horse\nnot this line")
	p.file("me", "https://hospital-a.example/mrn|MRN-0042")
	return p
}

func TestAPatientsWallet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := gatewaytest.Start(t, dir)
	alice := newcomer(t, c, dir)
	me := filepath.Join(alice.home, "me")
	grant := []string{"patient", "grant", "--as", "hospital-a", "--patient-file", me, "--requester", "insurer", "--purpose", "HPAYMT", "--class", "laboratory"}

	alice.run(4, grant...)
	phrase, said := alice.run(0, "patient", "init")
	if len(strings.Fields(phrase)) != 24 || strings.Contains(said, strings.Fields(phrase)[0]+" "+strings.Fields(phrase)[1]) {
		t.Errorf("init prints %q", phrase)
	}
	alice.run(3, "patient", "init")
	first := consentOf(alice.json(grant...))
	id := first["id"].(string)
	if first["assurance"] != "wallet" || first["version"] != 1.0 {
		t.Errorf("granted %v", first)
	}
	if out, _ := alice.run(0, "patient", "show"); !strings.Contains(out, id) || !strings.Contains(out, "HospitalA") {
		t.Errorf("the wallet shows %s", out)
	}
	amended := consentOf(alice.json("patient", "amend", id, "--as", "hospital-a", "--patient-file", me, "--requester", "insurer", "--purpose", "HPAYMT", "--class", "claim"))
	if amended["version"] != 2.0 {
		t.Errorf("amended %v", amended)
	}
	alice.run(3, "consent", "amend", id, "--as", "hospital-a", "--patient-file", me, "--requester", "insurer", "--version", "2", "--purpose", "HPAYMT", "--form", me)

	// Through the regulator, without the hospital: and no patient is named to it.
	c.Stop("hospital-a")
	withdrawn := consentOf(alice.json("patient", "withdraw", id, "--as", "regulator"))
	if withdrawn["status"] != "withdrawn" || withdrawn["version"] != 3.0 {
		t.Errorf("withdrawn %v", withdrawn)
	}
	alice.run(3, "patient", "withdraw", id, "--as", "regulator")
	alice.run(4, "patient", "withdraw", strings.Repeat("0", 32), "--as", "regulator")
}

func TestAWalletComesBackFromItsWords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := gatewaytest.Start(t, dir)
	alice := newcomer(t, c, dir)
	me := filepath.Join(alice.home, "me")
	between := []string{"--as", "hospital-a", "--patient-file", me, "--requester", "insurer"}
	phrase, _ := alice.run(0, "patient", "init", "--words", "12")
	id := consentOf(alice.json(append([]string{"patient", "grant", "--purpose", "HPAYMT"}, between...)...))["id"].(string)
	alice.run(0, append([]string{"patient", "rekey"}, between...)...)
	alice.run(0, append([]string{"patient", "rekey"}, between...)...)

	again := newcomer(t, c, dir)
	words := again.file("words", phrase)
	again.run(2, "patient", "restore", "--phrase-file", again.file("typo", "wang "+phrase))
	again.run(0, "patient", "restore", "--phrase-file", words)
	again.run(4, "patient", "withdraw", id, "--as", "regulator")
	list, said := again.run(0, append([]string{"patient", "list"}, between...)...)
	if !strings.Contains(list, id) || strings.Contains(said, "none of this wallet's") {
		t.Errorf("the restored wallet learns %s %s", list, said)
	}
	if doc := consentOf(again.json("patient", "withdraw", id, "--as", "insurer")); doc["status"] != "withdrawn" {
		t.Errorf("%v", doc)
	}
	if out, _ := again.run(0, "patient", "show", "--phrase"); out != phrase {
		t.Errorf("shows %q", out)
	}
	// A stranger's wallet does nothing with what it knows.
	mallory := newcomer(t, c, dir)
	mallory.run(0, "patient", "init")
	if _, said := mallory.run(0, append([]string{"patient", "list"}, between...)...); !strings.Contains(said, "none of this wallet's") {
		t.Errorf("a stranger's wallet is told %s", said)
	}
	mallory.run(3, append([]string{"patient", "amend", id, "--purpose", "HPAYMT"}, between...)...)
	mallory.run(3, append([]string{"patient", "grant", "--purpose", "HPAYMT"}, between...)...)
}

func TestAGuardianActsFromAWalletOfItsOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := gatewaytest.Start(t, dir)
	alice, guardian := newcomer(t, c, dir), newcomer(t, c, dir)
	alice.run(0, "patient", "init")
	guardian.run(0, "patient", "init")
	key, _ := guardian.run(0, "patient", "key", "--custodian", "HospitalA", "--requester", "Insurer", "--for", "alice")
	between := []string{"--as", "hospital-a", "--patient-file", filepath.Join(alice.home, "me"), "--requester", "insurer", "--purpose", "HPAYMT"}
	today, soon := c.Now().Format("2006-01-02"), c.Now().AddDate(0, 1, 0).Format("2006-01-02")
	delegate := strings.TrimSpace(key) + "=grant,withdraw:" + today + ":" + soon
	alice.run(2, append([]string{"patient", "grant", "--delegate", "Ed25519.xx=grant"}, between...)...)
	alice.run(0, append([]string{"patient", "grant", "--class", "claim", "--delegate", delegate}, between...)...)

	guardian.run(3, append([]string{"patient", "grant", "--for", "bob", "--until", today}, between...)...)
	guardian.run(3, append([]string{"patient", "grant", "--for", "alice"}, between...)...) // it would outlast the guardian
	doc := consentOf(guardian.json(append([]string{"patient", "grant", "--for", "alice", "--until", soon}, between...)...))
	if doc["assurance"] != "wallet" {
		t.Errorf("granted %v", doc)
	}
	guardian.run(0, "patient", "withdraw", doc["id"].(string), "--as", "regulator")
}

func TestWhatAMemberDemands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := newcomer(t, gatewaytest.Start(t, dir), dir)
	if out, _ := p.run(0, "member", "policy", "--as", "insurer", "hospital-a"); !strings.Contains(out, "attested") {
		t.Errorf("at first: %s", out)
	}
	p.run(0, "member", "policy", "--as", "hospital-a", "--assurance", "wallet", "--relying-party", "b.example=https://b.example", "--relying-party", "a.example=https://a.example,https://my.a.example")
	if out, _ := p.run(0, "member", "policy", "--as", "insurer", "hospital-a"); !strings.Contains(out, "wallet") || !strings.Contains(out, "https://my.a.example") {
		t.Errorf("then: %s", out)
	}
	p.run(2, "member", "policy", "--as", "hospital-a", "--assurance", "notary")
	p.run(2, "member", "policy", "--as", "hospital-a", "--relying-party", "a.example=https://evil.example")
	p.run(2, "member", "policy", "--as", "hospital-a", "insurer", "--assurance", "wallet")
	p.run(0, "member", "policy", "--as", "hospital-a", "--no-relying-parties")
	if out, _ := p.run(0, "member", "policy", "--as", "hospital-a"); !strings.Contains(out, "wallet") || strings.Contains(out, "example") {
		t.Errorf("without sites: %s", out)
	}
}
