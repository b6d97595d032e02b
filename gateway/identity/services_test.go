package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"yitong/gateway/identity"
	"yitong/gateway/identity/scope"
	"yitong/gateway/keys"
)

// memory is a key store.
type memory map[string][]byte

func (m memory) Get(bucket, name string) ([]byte, error) {
	if v, ok := m[bucket+"/"+name]; ok {
		return slices.Clone(v), nil
	}
	return nil, keys.ErrNotFound
}

func (m memory) Put(bucket, name string, value []byte) error {
	m[bucket+"/"+name] = slices.Clone(value)
	return nil
}

const door = "https://gateway.example:7058"

// desk is a token endpoint with one client, "engine", of which the test has the keys.
type desk struct {
	services *identity.Services
	verifier *identity.Verifier
	replays  *identity.Replays
	handler  http.Handler
	ec       *ecdsa.PrivateKey
	rsa      *rsa.PrivateKey
	client   identity.Client
	store    memory
	folder   string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{store: memory{}, folder: t.TempDir()}
	var err error
	if d.ec, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if d.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: d.ec.Public(), KeyID: "ec"}, {Key: d.rsa.Public(), KeyID: "rsa"}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.folder, "jwks.json")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	d.client = identity.Client{ID: "engine", KeysFile: file, Scopes: []scope.Scope{{Resource: "Consent", Letters: "rs"}, {Resource: "Task", Letters: "crs"}}}
	d.open(t, d.client)
	t.Cleanup(func() { d.replays.Close() })
	return d
}

// open starts it, again if need be.
func (d *desk) open(t *testing.T, clients ...identity.Client) {
	t.Helper()
	if d.replays != nil {
		if err := d.replays.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if d.replays, err = identity.OpenReplays(filepath.Join(d.folder, "assertions.db")); err != nil {
		t.Fatal(err)
	}
	if d.services, err = identity.NewServices(identity.ServicesConfig{URL: door, Clients: clients, Store: d.store, Replays: d.replays}); err != nil {
		t.Fatal(err)
	}
	if d.verifier, err = identity.New(nil, d.services); err != nil {
		t.Fatal(err)
	}
	d.handler = d.services.Handler()
}

var ids int

// assertion is the client's own, as of now, with a jti of its own.
func (d *desk) assertion(t *testing.T, change func(header, claims map[string]any)) string {
	t.Helper()
	ids++
	h := map[string]any{"alg": "ES384", "kid": "ec", "typ": "JWT"}
	c := map[string]any{"iss": "engine", "sub": "engine", "aud": door + "/oauth/token", "jti": fmt.Sprint("id ", ids), "exp": time.Now().Add(4 * time.Minute).Unix()}
	if change != nil {
		change(h, c)
	}
	key := any(d.ec)
	if h["alg"] != "ES384" {
		key = d.rsa
	}
	return sign(t, key, h, c)
}

func form(assertion, scopes string) url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "scope": {scopes}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
}

// ask posts a form; answered is what came back.
func (d *desk) ask(f url.Values) (code int, answered map[string]any) {
	in := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader(f.Encode()))
	in.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	out := httptest.NewRecorder()
	d.handler.ServeHTTP(out, in)
	_ = json.Unmarshal(out.Body.Bytes(), &answered)
	return out.Code, answered
}

func TestAServiceGetsATokenForItsScopes(t *testing.T) {
	d := newDesk(t)
	for _, test := range []struct{ asked, given string }{
		{"system/Consent.rs", "system/Consent.rs"},
		{"system/Consent.read", "system/Consent.rs"},
		{"system/*.rs", "system/Consent.rs system/Task.rs"},
		{"system/*.cruds", "system/Consent.rs system/Task.crs"},
		{"system/Consent.cruds patient/Consent.rs openid system/Binary.r", "system/Consent.rs"},
	} {
		code, got := d.ask(form(d.assertion(t, nil), test.asked))
		if code != http.StatusOK || got["scope"] != test.given || got["token_type"] != "bearer" || got["expires_in"] != 300.0 {
			t.Errorf("%s: %d %v", test.asked, code, got)
			continue
		}
		b, err := d.verifier.Verify(t.Context(), got["access_token"].(string))
		if err != nil || b.Service != "engine" || b.Name != "" || b.Role != "" || scope.List(b.Scopes) != test.given {
			t.Errorf("%s: %+v, %v", test.asked, b, err)
		}
	}
	if code, _ := d.ask(form(d.assertion(t, func(h, _ map[string]any) { h["alg"], h["kid"] = "RS384", "rsa" }), "system/Consent.rs")); code != http.StatusOK {
		t.Errorf("RS384: %d", code)
	}
	for _, none := range []string{"", "system/Binary.r", "system/Consent.c", "system/Consent.sr", "everything"} {
		if code, got := d.ask(form(d.assertion(t, nil), none)); code != http.StatusBadRequest || got["error"] != "invalid_scope" {
			t.Errorf("%q: %d %v", none, code, got)
		}
	}
}

// A29, for assertions.
func TestAnAssertionIsTakenOnlyAsTheClientMadeItForUs(t *testing.T) {
	d := newDesk(t)
	other := newDesk(t)
	now := time.Now()
	claim := func(name string, value any) func(map[string]any, map[string]any) {
		return func(_, c map[string]any) {
			if value == nil {
				delete(c, name)
				return
			}
			c[name] = value
		}
	}
	head := func(name string, value any) func(map[string]any, map[string]any) {
		return func(h, _ map[string]any) { h[name] = value }
	}
	good := d.assertion(t, nil)
	pieces := strings.Split(d.assertion(t, nil), ".")
	for _, test := range []struct{ name, assertion, refused string }{
		{"as it should be", good, ""},
		{"without typ's capitals", d.assertion(t, head("typ", "jwt")), ""},
		{"the same again", good, "used before"},
		{"another's key", other.assertion(t, nil), "signature"},
		{"RS256", d.assertion(t, func(h, _ map[string]any) { h["alg"], h["kid"] = "RS256", "rsa" }), "not taken"},
		{"alg none", part(map[string]any{"alg": "none", "typ": "JWT", "kid": "ec"}) + "." + pieces[1] + ".", "not taken"},
		{"no kid", d.assertion(t, func(h, _ map[string]any) { delete(h, "kid") }), "kid"},
		{"a kid that isn't registered", d.assertion(t, head("kid", "../ec")), "signature"},
		{"jku", d.assertion(t, head("jku", "https://evil.example/keys")), "jku"},
		{"no typ", d.assertion(t, func(h, _ map[string]any) { delete(h, "typ") }), "type"},
		{"another client", d.assertion(t, func(_, c map[string]any) { c["iss"], c["sub"] = "other", "other" }), "registered"},
		{"for another client", d.assertion(t, claim("sub", "other")), "registered"},
		{"by another client", d.assertion(t, claim("iss", "other")), "both"},
		{"for another server", d.assertion(t, claim("aud", "https://other.example/oauth/token")), "audience"},
		{"for us and another server", d.assertion(t, claim("aud", []string{door + "/oauth/token", "https://other.example/oauth/token"})), "audience"},
		{"for our issuer's name", d.assertion(t, claim("aud", door)), "audience"},
		{"for nobody", d.assertion(t, claim("aud", nil)), "audience"},
		{"expired", d.assertion(t, claim("exp", now.Add(-time.Minute).Unix())), "expired"},
		{"good for an hour", d.assertion(t, claim("exp", now.Add(time.Hour).Unix())), "more than"},
		{"good for ever", d.assertion(t, claim("exp", nil)), "expires"},
		{"of tomorrow", d.assertion(t, claim("nbf", now.Add(time.Hour).Unix())), "nbf"},
		{"no jti", d.assertion(t, claim("jti", nil)), "jti"},
		{"an empty jti", d.assertion(t, claim("jti", "")), "jti"},
		{"a jti of another form", d.assertion(t, claim("jti", 17)), "jti"},
		{"nothing", "", "client_assertion"},
		{"no JWT", "x", "three parts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, got := d.ask(form(test.assertion, "system/Consent.rs"))
			switch why, _ := got["error_description"].(string); {
			case test.refused == "" && code != http.StatusOK:
				t.Errorf("%d %v", code, got)
			case test.refused != "" && (code != http.StatusUnauthorized || got["error"] != "invalid_client" || !strings.Contains(why, test.refused)):
				t.Errorf("%d %v; want a refusal that says %q", code, got, test.refused)
			}
		})
	}
}

func TestATokenRequestIsReadStrictly(t *testing.T) {
	d := newDesk(t)
	with := func(change func(url.Values)) url.Values {
		f := form(d.assertion(t, nil), "system/Consent.rs")
		change(f)
		return f
	}
	for name, test := range map[string]struct {
		form url.Values
		code string
	}{
		"another grant":           {with(func(f url.Values) { f.Set("grant_type", "password") }), "unsupported_grant_type"},
		"no grant":                {with(func(f url.Values) { f.Del("grant_type") }), "unsupported_grant_type"},
		"another assertion":       {with(func(f url.Values) { f.Set("client_assertion_type", "saml") }), "invalid_client"},
		"a parameter twice":       {with(func(f url.Values) { f.Add("scope", "system/*.cruds") }), "invalid_request"},
		"a form that is too long": {with(func(f url.Values) { f.Set("x", strings.Repeat("x", 40<<10)) }), "invalid_request"},
	} {
		if code, got := d.ask(test.form); code == http.StatusOK || got["error"] != test.code {
			t.Errorf("%s: %d %v", name, code, got)
		}
	}
	for _, test := range []struct {
		method, path, kind string
		code               int
	}{
		{http.MethodGet, "/oauth/token", "", http.StatusMethodNotAllowed},
		{http.MethodPost, "/oauth/token", "application/json", http.StatusBadRequest},
		{http.MethodPost, "/oauth/token?grant_type=client_credentials", "application/x-www-form-urlencoded", http.StatusBadRequest},
	} {
		in := httptest.NewRequest(test.method, test.path, strings.NewReader(form(d.assertion(t, nil), "system/Consent.rs").Encode()))
		in.Header.Set("Content-Type", test.kind)
		out := httptest.NewRecorder()
		d.handler.ServeHTTP(out, in)
		if out.Code != test.code {
			body, _ := io.ReadAll(out.Body)
			t.Errorf("%s %s %s: %d %s", test.method, test.path, test.kind, out.Code, body)
		}
	}
}

func TestReplaysAreRememberedAcrossARestart(t *testing.T) {
	d := newDesk(t)
	a := d.assertion(t, nil)
	_, first := d.ask(form(a, "system/Consent.rs"))
	d.open(t, d.client)
	if code, got := d.ask(form(a, "system/Consent.rs")); code != http.StatusUnauthorized || !strings.Contains(fmt.Sprint(got["error_description"]), "used before") {
		t.Errorf("sent again after a restart: %d %v", code, got)
	}
	// The key that signs tokens is kept too.
	if _, err := d.verifier.Verify(t.Context(), first["access_token"].(string)); err != nil {
		t.Errorf("the token of before: %v", err)
	}
}

func TestReplaysAreForgottenWhenTheyCantBeReplayed(t *testing.T) {
	r, err := identity.OpenReplays(filepath.Join(t.TempDir(), "r.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	now := time.Now()
	for n := range 100 {
		if err := r.Take("c", fmt.Sprint(n), now.Add(time.Minute), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Take("c", "7", now.Add(time.Minute), now.Add(50*time.Second)); !errors.Is(err, identity.ErrReplayed) {
		t.Errorf("got %v", err)
	}
	if err := r.Take("other", "7", now.Add(time.Minute), now); err != nil {
		t.Errorf("another client's: %v", err)
	}
	later := now.Add(2 * time.Minute)
	for n := range 20 {
		if err := r.Take("c", fmt.Sprint("later ", n), later.Add(time.Minute), later); err != nil {
			t.Fatal(err)
		}
	}
	if left := identity.Remembered(r); left > 20 {
		t.Errorf("%d are remembered, 20 are of now", left)
	}
}

// What this gateway gave is worth no more than what it would give now.
func TestATokenEndsWithWhatItRestsOn(t *testing.T) {
	d := newDesk(t)
	_, got := d.ask(form(d.assertion(t, nil), "system/*.rs"))
	text := got["access_token"].(string)
	was, err := d.verifier.Verify(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := d.verifier.Still(was); err != nil || scope.List(b.Scopes) != "system/Consent.rs system/Task.rs" {
		t.Errorf("nothing has changed: %+v, %v", b, err) // the control
	}
	less := d.client
	less.Scopes = less.Scopes[:1]
	d.open(t, less)
	if b, err := d.verifier.Still(was); err != nil || scope.List(b.Scopes) != "system/Consent.rs" {
		t.Errorf("let in before a scope was taken back: %+v, %v", b, err)
	}
	if b, err := d.verifier.Verify(t.Context(), text); err != nil || scope.List(b.Scopes) != "system/Consent.rs" {
		t.Errorf("a scope taken back: %+v, %v", b, err)
	}
	other := d.client
	other.ID = "other"
	d.open(t, other)
	if _, err := d.verifier.Verify(t.Context(), text); err == nil {
		t.Error("a client that isn't registered any more is let in")
	}
	if _, err := d.verifier.Still(was); err == nil {
		t.Error("a client that was let in before, and isn't registered any more, is let in still")
	}
	d.open(t, d.client)
	now := time.Now()
	for after, ok := range map[time.Duration]bool{4 * time.Minute: true, 6 * time.Minute: false} {
		identity.ServicesAt(d.services, func() time.Time { return now.Add(after) })
		if _, err := d.verifier.Verify(t.Context(), text); (err == nil) != ok {
			t.Errorf("after %s: %v", after, err)
		}
	}
	identity.ServicesAt(d.services, time.Now)
	if _, err := d.verifier.Verify(t.Context(), newDesk(t).assertion(t, nil)); err == nil {
		t.Error("an assertion was taken for a token")
	}
	// Another gateway of the same name has another key.
	twin := newDesk(t)
	if _, err := twin.verifier.Verify(t.Context(), text); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("another gateway: %v", err)
	}
}

// Keys may be at an address too: found when they are needed, there or not, and followed.
func TestAServicesKeysMayBeAtAnAddress(t *testing.T) {
	d := newDesk(t)
	doc, err := os.ReadFile(d.client.KeysFile)
	if err != nil {
		t.Fatal(err)
	}
	var asked int
	there := true
	published := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		if asked++; !there {
			out.WriteHeader(http.StatusBadGateway)
			return
		}
		out.Write(doc)
	}))
	defer published.Close()
	c := d.client
	c.KeysFile, c.KeysURL = "", published.URL+"/jwks"
	d.open(t, c)
	there = false
	if code, got := d.ask(form(d.assertion(t, nil), "system/Consent.rs")); code != http.StatusServiceUnavailable || got["error"] != "temporarily_unavailable" {
		t.Errorf("its keys are away: %d %v", code, got)
	}
	there = true
	now := time.Now()
	identity.ServicesAt(d.services, func() time.Time { return now.Add(11 * time.Second) })
	for range 20 {
		if code, got := d.ask(form(d.assertion(t, nil), "system/Consent.rs")); code != http.StatusOK {
			t.Fatalf("%d %v", code, got)
		}
	}
	if code, got := d.ask(form(d.assertion(t, func(h, _ map[string]any) { h["jku"] = c.KeysURL }), "system/Consent.rs")); code != http.StatusOK {
		t.Errorf("jku is the address that is registered: %d %v", code, got)
	}
	if code, _ := d.ask(form(d.assertion(t, func(h, _ map[string]any) { h["jku"] = published.URL + "/other" }), "system/Consent.rs")); code != http.StatusUnauthorized {
		t.Errorf("jku is another: %d", code)
	}
	for n := range 20 { // names of keys that aren't there are no way to have the address asked
		d.ask(form(d.assertion(t, func(h, _ map[string]any) { h["kid"] = fmt.Sprint("made up ", n) }), "system/Consent.rs"))
	}
	if asked > 3 {
		t.Errorf("the address was asked %d times", asked)
	}
}

func TestScopes(t *testing.T) {
	for _, bad := range []string{"", "system/", "system/Consent", "system/Consent.", "system/Consent.sr", "system/Consent.rr", "system/Consent.x", "system/Patient.rs?x=1", "user/Consent.rs", "system/consent.rs", "system/.rs", "system/Consent.rs "} {
		if s, err := scope.Parse(bad); err == nil {
			t.Errorf("%q is read as %s", bad, s)
		}
	}
}

func FuzzScope(f *testing.F) {
	f.Add("system/Consent.rs")
	f.Add("system/*.cruds")
	f.Add("system/Task.read")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := scope.Parse(text)
		if err != nil {
			return
		}
		again, err := scope.Parse(s.String())
		if err != nil || again != s {
			t.Fatalf("%q, written as %q, is read as %v, %v", text, s, again, err)
		}
	})
}
