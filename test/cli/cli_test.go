package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exit codes, as `yitong exit-codes` explains them.
const (
	failed      = 1
	usage       = 2
	denied      = 3
	notFound    = 4
	unavailable = 5
	interrupted = 130
)

var noSuch = strings.Repeat("0", 32)

func TestEveryVerbByHand(t *testing.T) {
	m := open(t)
	m.want(notFound, "status")
	consortium := m.up("--port", strconv.Itoa(m.port))

	t.Run("what is taken is refused, and why is said", func(t *testing.T) {
		m := *m
		m.t = t
		if a := m.want(failed, "up", "--dir", m.dir); !strings.Contains(a.errors, m.dir) {
			t.Errorf("of the directory it says %q", a.errors)
		}
		if a := m.want(failed, "up", "--dir", filepath.Join(t.TempDir(), "other"), "--port", strconv.Itoa(m.port)); !strings.Contains(a.errors, strconv.Itoa(m.port)) {
			t.Errorf("of the port it says %q", a.errors)
		}
	})

	bundle := m.file("bundle.json", []byte(m.want(0, "record", "example", "--seed", "7").out))
	form := m.file("form.txt", []byte("I agree. Signed, the patient."))
	letter := m.file("letter.pdf", append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte("letter "), 1000)...))

	if s := m.json(0, "status"); len(s) != 4 {
		t.Errorf("status of %d members", len(s))
	}
	if list := m.json(0, "member", "list", "--as", "regulator"); len(list) != 4 || list[0].at("status") != "active" {
		t.Errorf("members: %v", list)
	}
	m.json(0, "member", "show", "insurer", "--as", "hospital-a")
	m.json(notFound, "member", "show", "nobody", "--as", "hospital-a")
	m.json(0, "version")
	m.want(0, "completion", "bash")
	m.want(0, "exit-codes")
	m.want(0, "record") // tells its verbs
	m.want(usage, "record", "submitt", bundle)

	// records
	m.json(usage, "record", "submit", bundle)                                            // as whom?
	m.json(usage, "record", "submit", letter, "--as", "hospital-a")                      // of which class?
	m.json(usage, "record", "submit", filepath.Join(m.work, "no"), "--as", "hospital-a") // where?
	m.json(notFound, "record", "submit", bundle, "--as", "hospital-c")
	m.json(denied, "record", "submit", bundle, "--as", "insurer")
	record := m.json(0, "record", "submit", bundle, "--as", "hospital-a")[0]
	old := m.json(0, "record", "submit", letter, "--as", "hospital-a", "--class", "document", "--patient-file", bundle)[0].at("record", "id")
	m.json(0, "record", "submit", letter, "--as", "hospital-a", "--class", "document", "--patient-file", bundle, "--supersedes", old)
	if list := m.json(0, "record", "list", "--as", "hospital-a"); len(list) != 3 {
		t.Errorf("%d records", len(list))
	}
	if record.at("record", "status") != "anchored" || record.at("commit", "transactionId") == "" {
		t.Errorf("submitted: %v", record)
	}

	// consents
	relation := []string{"--as", "hospital-a", "--patient-file", bundle, "--requester", "insurer"}
	with := func(words ...string) []string { return append(words, relation...) }
	m.json(usage, with("consent", "grant", "--class", "nonsense", "--form", form)...)
	m.json(usage, with("consent", "grant", "--purpose", "HPAYMT", "--form", filepath.Join(m.work, "no"))...)
	consent := m.json(0, with("consent", "grant", "--purpose", "HPAYMT", "--class", "laboratory,claim", "--except-label", "PSY", "--form", form)...)[0].at("consent", "id")
	m.json(0, with("consent", "amend", consent, "--version", "1", "--purpose", "HPAYMT", "--class", "laboratory,document", "--form", form)...)
	m.json(denied, with("consent", "amend", consent, "--version", "1", "--purpose", "HPAYMT", "--class", "laboratory", "--form", form)...)
	if list := m.json(0, with("consent", "list")...); len(list) != 1 || list[0].at("version") != "2" {
		t.Errorf("consents: %v", list)
	}
	if list := m.json(0, with("consent", "history", consent)...); len(list) != 2 {
		t.Errorf("history: %v", list)
	}
	m.json(notFound, with("consent", "history", noSuch)...)

	// accesses
	ask := []string{"access", "request", "--as", "insurer", "--custodian", "hospital-a", "--patient-file", bundle, "--purpose"}
	m.json(usage, append(ask, "NONSENSE", "--class", "laboratory")...)
	if d := m.json(denied, append(ask, "CLMATTCH", "--class", "genomics")...)[0]; d.at("access", "outcome") != "deny" {
		t.Errorf("a denied request: %v", d)
	}
	m.json(denied, append(ask, "TREAT", "--class", "laboratory")...) // not an insurer's purpose
	permit := m.json(0, append(ask, "CLMATTCH", "--class", "laboratory,document,genomics")...)[0].at("access", "id")
	later := m.json(0, append(ask, "CLMATTCH", "--class", "laboratory")...)[0].at("access", "id")
	out := filepath.Join(m.work, "opened")
	m.json(notFound, "access", "open", noSuch, "--as", "insurer", "--out", out)
	m.json(0, "access", "open", permit, "--as", "insurer", "--out", out)
	m.json(0, "access", "open", permit, "--as", "insurer", "--out", out) // the same files again
	opened(t, out, letter)
	if a := m.json(0, "access", "show", permit, "--as", "insurer")[0]; a.at("access", "receipt", "outcome") != "opened" {
		t.Errorf("the access: %v", a)
	}
	m.json(0, "access", "show", permit, "--as", "regulator", "--custodian", "hospital-a", "--requester", "insurer")
	for _, who := range []string{"insurer", "hospital-a"} {
		if list := m.json(0, "access", "list", "--as", who); len(list) != 3 {
			t.Errorf("%s sees %d accesses", who, len(list))
		}
	}
	if list := m.json(0, "audit", "history", "--as", "regulator"); len(list) < 10 {
		t.Errorf("the history has %d events", len(list))
	}

	// the end of a consent and of a record
	m.json(0, with("consent", "withdraw", consent)...)
	empty := filepath.Join(m.work, "empty")
	m.json(denied, "access", "open", later, "--as", "insurer", "--out", empty)
	if files, _ := os.ReadDir(empty); len(files) != 0 {
		t.Errorf("after the withdrawal %d files were opened", len(files))
	}
	m.json(denied, append(ask, "CLMATTCH", "--class", "laboratory")...)
	m.json(0, "record", "retract", record.at("record", "id"), "--as", "hospital-a")
	m.json(notFound, "record", "retract", noSuch, "--as", "hospital-a")

	// governance: three of four suspend the insurer, and let it in again
	for _, who := range []string{"hospital-a", "hospital-b", "regulator"} {
		m.json(0, "member", "suspend", "insurer", "--reason", "audit", "--as", who)
	}
	m.json(denied, append(ask, "CLMATTCH", "--class", "laboratory")...)
	for _, who := range []string{"hospital-a", "hospital-b", "regulator"} {
		m.json(0, "member", "reinstate", "insurer", "--as", who)
	}
	m.json(denied, append(ask, "CLMATTCH", "--class", "laboratory")...) // by the consents, again

	if exit := m.end(consortium, syscall.SIGINT); exit != interrupted {
		t.Errorf("yitong up ended with %d after Ctrl-C", exit)
	}
	m.json(unavailable, "access", "list", "--as", "insurer", "--timeout", "5s")
}

// opened wants the letter among the opened files, and nobody else able to read them.
func opened(t *testing.T, dir, letter string) {
	t.Helper()
	want, err := os.ReadFile(letter)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range files {
		got, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Equal(got, want)
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is readable by others: %v", f.Name(), info.Mode())
		}
	}
	if !found || len(files) < 2 {
		t.Errorf("%d files were opened, the letter among them: %v", len(files), found)
	}
}

func TestAfterAKillNothingAcknowledgedIsLost(t *testing.T) {
	m := open(t)
	first := m.up("--port", strconv.Itoa(m.port))
	bundle := m.file("bundle.json", []byte(m.want(0, "record", "example", "--seed", "8").out))
	form := m.file("form.txt", []byte("I agree."))
	record := m.json(0, "record", "submit", bundle, "--as", "hospital-a")[0].at("record", "id")
	relation := []string{"--as", "hospital-a", "--patient-file", bundle, "--requester", "insurer"}
	consent := m.json(0, append([]string{"consent", "grant", "--purpose", "HPAYMT", "--class", "laboratory,claim", "--form", form}, relation...)...)[0].at("consent", "id")
	ask := []string{"access", "request", "--as", "insurer", "--custodian", "hospital-a", "--patient-file", bundle, "--purpose", "CLMATTCH", "--class", "laboratory"}
	opened, unopened := m.json(0, ask...)[0].at("access", "id"), m.json(0, ask...)[0].at("access", "id")
	out := filepath.Join(m.work, "opened")
	m.json(0, "access", "open", opened, "--as", "insurer", "--out", out)

	// Something is under way when the power goes.
	under := make(chan answer, 1)
	id := strings.Repeat("a", 32)
	go func() { under <- m.run("record", "submit", bundle, "--as", "hospital-a", "--id", id, "--json") }()
	time.Sleep(100 * time.Millisecond) // the moment of the crash, not a synchronisation
	m.end(first, syscall.SIGKILL)
	cut := <-under
	t.Logf("what was under way ended with exit code %d", cut.exit)

	second := m.up()
	if list := m.json(0, "record", "submit", bundle, "--as", "hospital-a", "--id", id); list[0].at("record", "status") != "anchored" {
		t.Errorf("what was cut off and repeated: %v", list)
	}
	records := map[string]bool{}
	for _, r := range m.json(0, "record", "list", "--as", "hospital-a") {
		records[r.at("id")] = r.at("status") == "anchored"
	}
	if len(records) != 2 || !records[record] || !records[id] {
		t.Errorf("records: %v", records)
	}
	if list := m.json(0, append([]string{"consent", "list"}, relation...)...); len(list) != 1 || list[0].at("id") != consent || list[0].at("status") != "active" {
		t.Errorf("consents: %v", list)
	}
	if a := m.json(0, "access", "show", opened, "--as", "insurer")[0]; a.at("access", "receipt", "outcome") != "opened" {
		t.Errorf("the opened access: %v", a)
	}
	m.json(0, "access", "open", unopened, "--as", "insurer", "--out", filepath.Join(m.work, "later"))
	if exit := m.end(second, syscall.SIGTERM); exit != interrupted {
		t.Errorf("yitong up ended with %d after SIGTERM", exit)
	}
}
