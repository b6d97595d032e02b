// Package identity has people sign in at the provider of `yitong up`, in its real pages, and
// systems get tokens, and sees on a real network what they may do and what the ledger has of it.
package identity

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/provider"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/patient"
)

const redirect = "http://127.0.0.1:1/callback" // nobody is there: the test reads where it would go

var hidden = regexp.MustCompile(`name="id" value="([0-9a-f]+)"`)

// browser is one that stops where it is sent back to the application.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(to *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(to.URL.String(), redirect) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// password is that of a person whom a member's provider made up.
func password(t *testing.T, c *consortium.Consortium, member, name string) string {
	t.Helper()
	people, err := provider.People(c.Member(t, member).Dir() + "/provider")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(people, func(p provider.Person) bool { return p.Name == name })
	if i < 0 || len(people[i].Password) < 32 {
		t.Fatalf("%s has no %s among %d people", member, name, len(people))
	}
	return people[i].Password
}

// attempt signs in as somebody, by the page's own form; where is what the browser is sent
// back with, nil if it isn't.
func attempt(t *testing.T, begun *client.SignIn, name, password string) (where url.Values, page string) {
	t.Helper()
	b := browser(t)
	shown, err := b.Get(begun.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer shown.Body.Close()
	html, err := io.ReadAll(shown.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := hidden.FindSubmatch(html)
	if shown.StatusCode != http.StatusOK || found == nil || !strings.Contains(string(html), `action="/sign-in"`) {
		t.Fatalf("the page is %s: %s", shown.Status, html)
	}
	form := url.Values{"id": {string(found[1])}, "name": {name}, "password": {password}}
	sent, err := b.PostForm(shown.Request.URL.ResolveReference(&url.URL{Path: "/sign-in"}).String(), form)
	if err != nil {
		t.Fatal(err)
	}
	defer sent.Body.Close()
	answer, err := io.ReadAll(sent.Body)
	if err != nil {
		t.Fatal(err)
	}
	back, err := sent.Location()
	if errors.Is(err, http.ErrNoLocation) {
		return nil, string(answer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return back.Query(), string(answer)
}

// signIn signs a person in for a member's software, as `yitong login` does.
func signIn(t *testing.T, c *consortium.Consortium, member, name string) *client.Session {
	t.Helper()
	p, err := client.ReadProfile(c.Dir(), member)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := p.Login.Begin(t.Context(), redirect)
	if err != nil {
		t.Fatal(err)
	}
	brought, page := attempt(t, begun, name, password(t, c, member, name))
	if brought == nil {
		t.Fatalf("%s isn't signed in: %s", name, page)
	}
	dir := t.TempDir() // the session is this test's alone
	if err := os.MkdirAll(filepath.Join(dir, "members", member), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := begun.End(t.Context(), brought, dir, member)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// as is a member's software calling for a person.
func as(t *testing.T, c *consortium.Consortium, member string, s *client.Session) *client.Client {
	t.Helper()
	p, err := client.ReadProfile(c.Dir(), member)
	if err != nil {
		t.Fatal(err)
	}
	p.Session = s
	one, err := client.Dial(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close() })
	return one
}

// ask asks a member's HTTPS door with a token and no certificate.
func ask(t *testing.T, c *consortium.Consortium, member, token, path string) (int, string) {
	t.Helper()
	p, config := c.Door(t, member)
	config.Certificates = nil
	b := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 20 * time.Second}
	defer b.CloseIdleConnections()
	in, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+p.HTTP+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		in.Header.Set("Authorization", "Bearer "+token)
	}
	out, err := b.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return out.StatusCode, string(body)
}

func TestAClinicianSignsInAndAsks(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 1700)
	c.Submit(t, p)
	granted, err := c.Client(t, consortium.HospitalA).Consents.Grant(t.Context(), &yitongv1.GrantRequest{
		Id: client.NewID(), Patient: p.ID, Requester: consortium.HospitalB, Form: []byte("signed by the patient"),
		Provision: &yitongv1.Provision{Type: "permit", Purposes: []string{"TREAT"}, Classes: []string{"laboratory"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	session := signIn(t, c, consortium.HospitalB, "clinician")
	doctor := as(t, c, consortium.HospitalB, session)
	me, err := doctor.Callers.Whoami(t.Context(), &yitongv1.WhoamiRequest{})
	if err != nil || me.GetUser() != "clinician" || me.GetRole() != "clinician" || strings.Join(me.GetShown(), "+") != "certificate+token" || me.GetMspId() != consortium.HospitalBMSP {
		t.Fatalf("%v, %v", me, err)
	}

	id := client.NewID()
	demand := &yitongv1.AccessRequest{Id: id, Custodian: consortium.HospitalA, Patient: p.ID, Purpose: "COC", Classes: []string{"laboratory"}}
	asked, err := doctor.Accesses.Request(t.Context(), demand)
	if err != nil {
		t.Fatal(err)
	}
	if a := asked.GetAccess(); a.GetOutcome() != "permit" || a.GetRole() != "clinician" || len(a.GetUser()) != 64 {
		t.Errorf("the ledger has %v under the consent %s", a, granted.GetConsent().GetId())
	}
	parts := 0
	if _, err := doctor.Open(t.Context(), id, consortium.HospitalA, func(*yitongv1.Part) (io.Writer, error) { parts++; return io.Discard, nil }); err != nil || parts == 0 {
		t.Errorf("%d parts, %v", parts, err)
	}
	t.Run("the regulator sees the role and a digest, and has it opened by an order", func(t *testing.T) {
		seen, err := c.Client(t, consortium.Regulator).Accesses.Get(t.Context(), &yitongv1.GetAccessRequest{Id: id, Custodian: consortium.HospitalA, Requester: consortium.HospitalB})
		if a := seen.GetAccess(); err != nil || a.GetRole() != "clinician" || a.GetUser() != asked.GetAccess().GetUser() {
			t.Fatalf("%v, %v", a, err)
		}
		for _, e := range c.History(t) {
			if strings.Contains(e.String(), `user:"clinician"`) {
				t.Errorf("the ledger names the person: %v", e)
			}
		}
		auditor := as(t, c, consortium.Regulator, signIn(t, c, consortium.Regulator, "auditor"))
		answer, err := auditor.Audit.OrderDisclosure(t.Context(), &yitongv1.OrderDisclosureRequest{
			Subject: &yitongv1.Subject{What: "user", Id: id, Custodian: consortium.HospitalA, Requester: consortium.HospitalB}, Reason: "review",
		})
		if err != nil || answer.GetOrder().GetOutcome() != "disclosed" || string(answer.GetContent()) != `{"user":"clinician","role":"clinician","member":"HospitalB"}` {
			t.Errorf("%v: %s, %v", answer.GetOrder(), answer.GetContent(), err)
		}
	})
	t.Run("a clinician does what clinicians may, by either door", func(t *testing.T) {
		demand := &yitongv1.AccessRequest{Id: client.NewID(), Custodian: consortium.HospitalA, Patient: p.ID, Purpose: "HPAYMT", Classes: []string{"laboratory"}}
		if _, err := doctor.Accesses.Request(t.Context(), demand); status.Code(err) != codes.PermissionDenied {
			t.Errorf("for payment: %v", err)
		}
		if _, err := doctor.Keys.List(t.Context(), &yitongv1.ListKeysRequest{}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("the keys: %v", err)
		}
		if _, err := c.Client(t, consortium.HospitalB).Keys.List(t.Context(), &yitongv1.ListKeysRequest{}); err != nil {
			t.Errorf("the control, the member's software: %v", err)
		}
		if code, body := ask(t, c, consortium.HospitalB, session.Token, "/v1/whoami"); code != http.StatusOK || !strings.Contains(body, `"role":"clinician"`) {
			t.Errorf("%d %s", code, body)
		}
		if code, body := ask(t, c, consortium.HospitalB, session.Token, "/v1/audit/entries"); code != http.StatusForbidden {
			t.Errorf("%d %s", code, body)
		}
		why, err := doctor.Callers.Why(t.Context(), &yitongv1.WhyRequest{Method: "Accesses.Request", Purpose: "COC"})
		if err != nil || !why.GetAllowed() || len(why.GetExplanations()) != 2 || !strings.Contains(why.GetExplanations()[1].GetWhy(), "clinicians-ask-to-treat") {
			t.Errorf("%v, %v", why, err)
		}
	})
	t.Run("another member's gateway doesn't take the token", func(t *testing.T) {
		for _, member := range []string{consortium.HospitalA, consortium.Insurer, consortium.Regulator} {
			if code, body := ask(t, c, member, session.Token, "/v1/whoami"); code != http.StatusUnauthorized {
				t.Errorf("%s: %d %s", member, code, body)
			}
			// Not beside the certificate of that member's own software either.
			if _, err := as(t, c, member, session).Callers.Whoami(t.Context(), &yitongv1.WhoamiRequest{}); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s: %v", member, err)
			}
		}
	})
	t.Run("who goes on is given a new token, once for a refresh token", func(t *testing.T) {
		before, refresh := session.Token, session.Refresh
		session.Expires = time.Now()
		after, err := session.Current(t.Context())
		if err != nil || after == before || session.Refresh == refresh {
			t.Fatalf("%v", err)
		}
		if _, err := doctor.Callers.Whoami(t.Context(), &yitongv1.WhoamiRequest{}); err != nil {
			t.Errorf("with the new token: %v", err)
		}
	})
}

func TestAClaimsHandlerIsNoClinician(t *testing.T) {
	c := consortium.Shared(t)
	session := signIn(t, c, consortium.Insurer, "claims-handler")
	handler := as(t, c, consortium.Insurer, session)
	if _, err := handler.Accesses.List(t.Context(), &yitongv1.ListAccessesRequest{Custodian: consortium.HospitalA, Requester: consortium.Insurer}); err != nil {
		t.Errorf("the control, a claims handler's call: %v", err)
	}
	if _, err := handler.Records.List(t.Context(), &yitongv1.ListRecordsRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a hospital's call: %v", err)
	}
	if code, body := ask(t, c, consortium.HospitalA, session.Token, "/fhir/DocumentReference?status=current"); code != http.StatusUnauthorized {
		t.Errorf("at the hospital: %d %s", code, body)
	}
}

func TestWhoCannotSignIn(t *testing.T) {
	c := consortium.Shared(t)
	p, err := client.ReadProfile(c.Dir(), consortium.HospitalA)
	if err != nil {
		t.Fatal(err)
	}
	begin := func() *client.SignIn {
		begun, err := p.Login.Begin(t.Context(), redirect)
		if err != nil {
			t.Fatal(err)
		}
		return begun
	}
	right := password(t, c, consortium.HospitalA, "auditor")
	for name, test := range map[string]struct{ name, password string }{
		"a wrong password": {"auditor", "password"}, "an empty one": {"auditor", ""}, "somebody else's": {"operator", right},
		"nobody": {"nobody", ""}, "a person of another member": {"claims-handler", right},
	} {
		if brought, page := attempt(t, begin(), test.name, test.password); brought != nil || !strings.Contains(page, "wrong") {
			t.Errorf("%s: %v %s", name, brought, page)
		}
	}
	begun := begin()
	brought, _ := attempt(t, begun, "auditor", right)
	if brought == nil {
		t.Fatal("the control isn't signed in")
	}
	if _, err := begin().End(t.Context(), brought, t.TempDir(), "x"); err == nil {
		t.Error("another sign-in's code was taken")
	}
	// PKCE: a code without its verifier is worth nothing.
	form := url.Values{"grant_type": {"authorization_code"}, "code": {brought.Get("code")}, "client_id": {p.Login.Client}, "redirect_uri": {redirect}}
	for _, verifier := range []string{"", strings.Repeat("x", 43)} {
		form.Set("code_verifier", verifier)
		out, err := http.PostForm(p.Login.Issuer+"/oauth/token", form)
		if err != nil {
			t.Fatal(err)
		}
		out.Body.Close()
		if out.StatusCode == http.StatusOK {
			t.Errorf("a code was taken with the verifier %q", verifier)
		}
	}
	for name, change := range map[string]func(url.Values){
		"no PKCE":          func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") },
		"plain PKCE":       func(q url.Values) { q.Set("code_challenge_method", "plain") },
		"a page elsewhere": func(q url.Values) { q.Set("redirect_uri", "https://evil.example/callback") },
		"another path":     func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1:1/elsewhere") },
		"the token itself": func(q url.Values) { q.Set("response_type", "id_token") },
		"another client":   func(q url.Values) { q.Set("client_id", "other") },
	} {
		u, err := url.Parse(begin().URL)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		change(q)
		u.RawQuery = q.Encode()
		out, err := browser(t).Get(u.String())
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(out.Body)
		out.Body.Close()
		if hidden.Match(page) {
			t.Errorf("%s: the page to sign in is shown", name)
		}
	}
	// Another name for this machine is another site.
	in, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Login.Issuer+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	in.Host = "evil.example"
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	out.Body.Close()
	if out.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("asked as evil.example it answers %s", out.Status)
	}
	if _, err := provider.Start("0.0.0.0:0", t.TempDir(), "x", nil); err == nil {
		t.Error("the provider serves on every address")
	}
	if info, err := os.Stat(provider.PeopleFile(c.Member(t, consortium.HospitalA).Dir() + "/provider")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestABackendServiceReadsWhatItsScopeSays(t *testing.T) {
	c := consortium.Shared(t)
	p, err := client.ReadProfile(c.Dir(), consortium.HospitalA)
	if err != nil {
		t.Fatal(err)
	}
	token := func(scopes string) string {
		given, err := p.GetToken(t.Context(), scopes)
		if err != nil {
			t.Fatal(err)
		}
		return given.Token
	}
	if code, body := ask(t, c, consortium.HospitalA, "", "/fhir/.well-known/smart-configuration"); code != http.StatusOK || !strings.Contains(body, p.Service.URL+"/oauth/token") {
		t.Errorf("%d %s", code, body)
	}
	audit, consents := token("system/AuditEvent.rs"), token("system/Consent.rs")
	for _, test := range []struct {
		name, token, path string
		want              int
	}{
		{"the audit trail, for it", audit, "/v1/audit/entries", http.StatusOK},
		{"the audit trail, for consents", consents, "/v1/audit/entries", http.StatusForbidden},
		{"AuditEvents, for them", audit, "/fhir/AuditEvent?_count=1", http.StatusOK},
		{"AuditEvents, for Consents", consents, "/fhir/AuditEvent?_count=1", http.StatusForbidden},
		{"Consents, for them", consents, "/fhir/Consent?_count=1", http.StatusOK},
		{"Consents, for AuditEvents", audit, "/fhir/Consent?_count=1", http.StatusForbidden},
		{"Tasks, for them", token("system/Task.rs"), "/fhir/Task?_count=1", http.StatusOK},
		{"Tasks, for Consents", consents, "/fhir/Task?_count=1", http.StatusForbidden},
		{"DocumentReferences, for them", token("system/DocumentReference.rs"), "/fhir/DocumentReference?patient.identifier=urn:x%7C1", http.StatusOK},
		{"DocumentReferences, for Consents", consents, "/fhir/DocumentReference?patient.identifier=urn:x%7C1", http.StatusForbidden},
		{"the keys, for consents", consents, "/v1/handles/counts", http.StatusForbidden},
		{"a token that isn't one", "x.y.z", "/v1/audit/entries", http.StatusUnauthorized},
		{"no token", "", "/v1/audit/entries", http.StatusUnauthorized},
	} {
		if code, body := ask(t, c, consortium.HospitalA, test.token, test.path); code != test.want {
			t.Errorf("%s: %d %s", test.name, code, body)
		}
	}
	if code, body := ask(t, c, consortium.Insurer, audit, "/v1/audit/entries"); code != http.StatusUnauthorized {
		t.Errorf("at another member's gateway: %d %s", code, body)
	}
	for _, method := range []string{"Consents.List", "Consents.Grant", "Records.List", "Keys.Rotate"} {
		code, body := ask(t, c, consortium.HospitalA, consents, "/v1/why?method="+method)
		if may := strings.Contains(body, `"allowed":true`); code != http.StatusOK || may != (method == "Consents.List") {
			t.Errorf("%s: %d %s", method, code, body)
		}
	}
	if _, err := p.GetToken(t.Context(), "system/Consent.cruds system/Binary.c"); err != nil {
		t.Errorf("asking for more gets what may be had: %v", err)
	}
	if _, err := p.GetToken(t.Context(), "system/Bundle.c"); err == nil || !strings.Contains(err.Error(), "invalid_scope") {
		t.Errorf("asking for what may not be had: %v", err)
	}
	// The service of another member has no business here.
	other, err := client.ReadProfile(c.Dir(), consortium.HospitalB)
	if err != nil {
		t.Fatal(err)
	}
	p.Service.Key = other.Service.Key
	if _, err := p.GetToken(t.Context(), "system/Consent.rs"); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("with another member's key: %v", err)
	}
}
