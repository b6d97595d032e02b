package identity

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/command"
	"yitong/test/consortium"
)

// terminal is what a command writes, read while it runs.
type terminal struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (o *terminal) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *terminal) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func run(ctx context.Context, dir string, out *terminal, args ...string) int {
	env := func(name string) string {
		return map[string]string{"YITONG_DIR": dir, "YITONG_AS": consortium.HospitalA, "NO_COLOR": "1"}[name]
	}
	return command.Run(ctx, args, command.World{In: strings.NewReader(""), Out: out, Err: out, Env: env, Now: time.Now})
}

var shownCode = regexp.MustCompile(`Open (\S+) and type the code (\S+) there`)

var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+/authorize\S+`)

// The commands as somebody types them, and the browser as it is sent about.
func TestTheCommandsActForWhoSignedIn(t *testing.T) {
	c := consortium.Shared(t)
	do := func(want int, says string, args ...string) {
		t.Helper()
		out := &terminal{more: make(chan struct{}, 1)}
		if code := run(t.Context(), c.Dir(), out, args...); code != want || !strings.Contains(out.String(), says) {
			t.Errorf("yitong %s: exit code %d, not %d, or it doesn't say %q: %s", strings.Join(args, " "), code, want, says, out)
		}
	}
	do(0, "software", "whoami")
	do(0, "nobody is signed in", "logout")
	do(4, "nobody is signed in", "token", "--signed-in")
	do(0, "software: allowed by software", "policy", "why", "Keys.Rotate")

	out := &terminal{more: make(chan struct{}, 1)}
	ended := make(chan int)
	go func() { ended <- run(t.Context(), c.Dir(), out, "login", "--no-browser") }()
	for !address.MatchString(out.String()) {
		select {
		case <-out.more:
		case code := <-ended:
			t.Fatalf("exit code %d: %s", code, out)
		}
	}
	brought, page := attempt(t, &client.SignIn{URL: address.FindString(out.String())}, "records-officer", password(t, c, consortium.HospitalA, "records-officer"))
	if brought != nil {
		t.Fatal("the browser went elsewhere")
	}
	if !strings.Contains(page, "You are signed in") {
		t.Errorf("the browser shows %s", page)
	}
	if code := <-ended; code != 0 || !strings.Contains(out.String(), "records-officer") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	session := filepath.Join(c.Dir(), "members", consortium.HospitalA, "session.json")
	if info, err := os.Stat(session); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	do(0, "certificate and token", "whoami")
	do(0, "", "record", "list")
	do(3, "no rule permits it", "policy", "why", "Keys.Rotate")
	do(3, "records-officer may not call Keys.List", "member", "keys")
	do(0, "person  clinician", "whoami", "--user", "clinician")
	do(0, "ey", "token", "--signed-in")

	signed, err := client.ReadSession(c.Dir(), consortium.HospitalA)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(signed.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do(0, "records-officer records-officer: allowed by records-officers-keep-records-and-consents (default.cedar:", "policy", "why", "--token", file, "Records.Submit")
	do(3, "records-officer records-officer: denied: no rule permits it", "policy", "why", "--token", file, "Accesses.Open")
	do(2, "--kind", "policy", "why", "--role", "auditor", "Records.Submit")

	kept, err := os.ReadFile(session)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := bytes.Replace(kept, []byte(`"token":"`), []byte(`"token":"x`), 1)
	if err := os.WriteFile(session, spoilt, 0o600); err != nil {
		t.Fatal(err)
	}
	do(3, "token", "whoami")
	do(0, "signed out", "logout")
	do(0, "software", "whoami")
	if _, err := os.Stat(session); err == nil {
		t.Error("the session lies there still")
	}
	// Without a browser here, with a code: a wrong one signs nobody in.
	out = &terminal{more: make(chan struct{}, 1)}
	go func() { ended <- run(t.Context(), c.Dir(), out, "login", "--device") }()
	for !shownCode.MatchString(out.String()) {
		<-out.more
	}
	found := shownCode.FindStringSubmatch(out.String())
	secret := password(t, c, consortium.HospitalA, "auditor")
	for _, code := range []string{"BBBB-BBBB", found[2]} {
		sent, err := http.PostForm(found[1], url.Values{"code": {code}, "name": {"auditor"}, "password": {secret}})
		if err != nil {
			t.Fatal(err)
		}
		sent.Body.Close()
		if (sent.StatusCode == http.StatusOK) != (code == found[2]) {
			t.Errorf("the code %s: %s", code, sent.Status)
		}
	}
	if code := <-ended; code != 0 || !strings.Contains(out.String(), "auditor") {
		t.Errorf("exit code %d: %s", code, out)
	}
	do(0, "signed out", "logout")

	// Who interrupts a sign-in leaves nothing behind.
	ctx, cancel := context.WithCancel(t.Context())
	out = &terminal{more: make(chan struct{}, 1)}
	go func() { ended <- run(ctx, c.Dir(), out, "login", "--no-browser") }()
	for !address.MatchString(out.String()) {
		<-out.more
	}
	cancel()
	if code := <-ended; code != 130 {
		t.Errorf("interrupted, the exit code is %d: %s", code, out)
	}
	do(0, "software", "whoami")
}
