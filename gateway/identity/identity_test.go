package identity_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"yitong/chaincode/access"
	"yitong/gateway/identity"
)

// issuer is an OpenID provider of which a test has the keys.
type issuer struct {
	*httptest.Server
	rsa      *rsa.PrivateKey
	ec       *ecdsa.PrivateKey
	asked    atomic.Int32 // for its keys
	document func(map[string]any)
	clock    time.Time // of what it issues: the time of its start
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{document: func(map[string]any) {}, clock: time.Now()}
	var err error
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(out http.ResponseWriter, _ *http.Request) {
		doc := map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/a", "token_endpoint": i.URL + "/t"}
		i.document(doc)
		json.NewEncoder(out).Encode(doc)
	})
	mux.HandleFunc("/keys", func(out http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		json.NewEncoder(out).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: i.rsa.Public(), KeyID: "rsa", Use: "sig"}, {Key: i.ec.Public(), KeyID: "ec", Use: "sig"},
		}})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

// claims are those of a clinician, as of the issuer's clock.
func (i *issuer) claims(change func(map[string]any)) map[string]any {
	now := i.clock.Unix()
	c := map[string]any{"iss": i.URL, "aud": "yitong", "sub": "li", "roles": []string{"clinician"}, "iat": now, "exp": now + 300}
	if change != nil {
		change(c)
	}
	return c
}

func part(v any) string {
	raw, ok := v.(string)
	if !ok {
		doc, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		raw = string(doc)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(raw))
}

// sign makes a token of any header and claims; sign is over whatever they are.
func sign(t testing.TB, key any, header map[string]any, claims any) string {
	t.Helper()
	algorithm := jose.SignatureAlgorithm(fmt.Sprint(header["alg"]))
	o := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for name, value := range header {
		if name != "alg" {
			o.ExtraHeaders[jose.HeaderKey(name)] = value
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, ok := claims.(string)
	if !ok {
		doc, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		payload = string(doc)
	}
	signed, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func header(algorithm, kid string) map[string]any {
	return map[string]any{"alg": algorithm, "kid": kid}
}

func with(h map[string]any, name string, value any) map[string]any {
	h = maps.Clone(h)
	h[name] = value
	return h
}

func verifier(t testing.TB, p identity.Provider) *identity.Verifier {
	t.Helper()
	v, err := identity.New([]identity.Provider{p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A29. Each of these was a hole in somebody's verifier; the first ones show that the same
// token without it passes.
func TestATokenIsTakenOnlyAsItsIssuerMadeIt(t *testing.T) {
	i := newIssuer(t)
	other := newIssuer(t)
	v := verifier(t, identity.Provider{Issuer: i.URL, Audience: "yitong"})
	identity.At(v, func() time.Time { return i.clock })
	rs, es := header("RS256", "rsa"), header("ES256", "ec")
	good := i.claims(nil)
	public, err := x509.MarshalPKIXPublicKey(i.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	jwk := jose.JSONWebKey{Key: other.rsa.Public(), KeyID: "rsa"}
	change := func(name string, value any) map[string]any {
		return i.claims(func(c map[string]any) {
			if value == nil {
				delete(c, name)
				return
			}
			c[name] = value
		})
	}
	now := i.clock.Unix()
	text := sign(t, i.rsa, rs, good)
	pieces := strings.Split(text, ".")
	twice := func(more string) string {
		doc, _ := json.Marshal(good)
		return strings.TrimSuffix(string(doc), "}") + "," + more + "}"
	}
	for _, test := range []struct {
		name, token string
		refused     string // part of the reason; "" if it is taken
	}{
		{"RS256", text, ""},
		{"ES256", sign(t, i.ec, es, good), ""},
		{"no key named", sign(t, i.rsa, map[string]any{"alg": "RS256"}, good), ""},
		{"an access token (RFC 9068)", sign(t, i.rsa, with(rs, "typ", "at+jwt"), good), ""},
		{"one of several audiences", sign(t, i.rsa, rs, change("aud", []string{"other", "yitong"})), ""},
		{"expired ten seconds ago, by our clock", sign(t, i.rsa, rs, change("exp", now-10)), ""},

		{"alg none", part(header("none", "rsa")) + "." + pieces[1] + ".", "not taken"},
		{"alg None", part(header("None", "rsa")) + "." + pieces[1] + ".", "not taken"},
		{"alg none with the signature left on", part(header("none", "rsa")) + "." + pieces[1] + "." + pieces[2], "not taken"},
		{"no alg", part(map[string]any{"kid": "rsa"}) + "." + pieces[1] + "." + pieces[2], "not taken"},
		{"HS256 with the RSA public key (PEM)", sign(t, publicPEM, header("HS256", "rsa"), good), "not taken"},
		{"HS256 with the RSA public key (DER)", sign(t, public, header("HS256", "rsa"), good), "not taken"},
		{"no signature", pieces[0] + "." + pieces[1] + ".", "signature"},
		{"two parts", pieces[0] + "." + pieces[1], "three parts"},
		{"other claims under the signature", pieces[0] + "." + part(change("sub", "wang")) + "." + pieces[2], "signature"},
		{"another's key", sign(t, other.rsa, rs, good), "signature"},
		{"the EC key under the RSA key's name", sign(t, i.ec, header("ES256", "rsa"), good), "signature"},
		{"an ES256 signature called ES384", part(header("ES384", "ec")) + "." + pieces[1] + "." + pieces[2], "signature"},
		{"kid is a path", sign(t, other.rsa, header("RS256", "../../../../dev/null"), good), "signature"},
		{"kid is SQL", sign(t, other.rsa, header("RS256", "x' UNION SELECT 'rsa"), good), "signature"},
		{"kid is an address", sign(t, other.rsa, header("RS256", other.URL+"/keys"), good), "signature"},
		{"kid is very long", sign(t, i.rsa, header("RS256", strings.Repeat("k", 300)), good), "too long"},
		{"jku", sign(t, other.rsa, with(rs, "jku", other.URL+"/keys"), good), "jku"},
		{"jku of the right issuer", sign(t, i.rsa, with(rs, "jku", i.URL+"/keys"), good), "jku"},
		{"jwk", sign(t, other.rsa, with(rs, "jwk", jwk), good), "jwk"},
		{"x5u", sign(t, i.rsa, with(rs, "x5u", other.URL), good), "x5u"},
		{"x5c", sign(t, i.rsa, with(rs, "x5c", []string{"AA=="}), good), "x5c"},
		{"crit", part(with(rs, "crit", []string{"b64"})) + "." + pieces[1] + "." + pieces[2], "crit"},
		{"a logout token", sign(t, i.rsa, with(rs, "typ", "logout+jwt"), good), "type"},
		{"expired", sign(t, i.rsa, rs, change("exp", now-31)), "expired"},
		{"no exp", sign(t, i.rsa, rs, change("exp", nil)), "exp"},
		{"exp is text", sign(t, i.rsa, rs, change("exp", "9999999999")), "exp"},
		{"no iat", sign(t, i.rsa, rs, change("iat", nil)), "iat"},
		{"issued days ago", sign(t, i.rsa, rs, change("iat", now-3*86400)), "issued longer"},
		{"not yet", sign(t, i.rsa, rs, change("nbf", now+60)), "time to come"},
		{"nbf is text", sign(t, i.rsa, rs, change("nbf", "now")), ""},
		{"issued in a minute", sign(t, i.rsa, rs, change("iat", now+60)), "time to come"},
		{"another audience", sign(t, i.rsa, rs, change("aud", "other")), "audience"},
		{"no audience", sign(t, i.rsa, rs, change("aud", nil)), "audience"},
		{"the audience in another claim's letters", sign(t, i.rsa, rs, i.claims(func(c map[string]any) { c["aud"], c["AUD"] = "other", "yitong" })), "audience"},
		{"another issuer, its own keys", sign(t, other.rsa, rs, other.claims(nil)), "issuer"},
		{"another issuer, our keys", sign(t, i.rsa, rs, change("iss", other.URL)), "issuer"},
		{"no issuer", sign(t, i.rsa, rs, change("iss", nil)), "issuer"},
		{"the issuer with a slash", sign(t, i.rsa, rs, change("iss", i.URL+"/")), "issuer"},
		{"a claim twice", sign(t, i.rsa, rs, twice(`"sub":"wang"`)), "each name in it once"},
		{"a claim twice, deeper", sign(t, i.rsa, rs, twice(`"x":{"a":1,"a":2}`)), "each name in it once"},
		{"a header's member twice", part(`{"alg":"RS256","kid":"rsa","alg":"none"}`) + "." + pieces[1] + "." + pieces[2], "header"},
		{"no name", sign(t, i.rsa, rs, change("sub", nil)), "name"},
		{"a name with a line end", sign(t, i.rsa, rs, change("sub", "li\nwang")), "printable"},
		{"a very long name", sign(t, i.rsa, rs, change("sub", strings.Repeat("x", 129))), "longer"},
		{"no role", sign(t, i.rsa, rs, change("roles", nil)), "no role"},
		{"a role that nobody knows", sign(t, i.rsa, rs, change("roles", []string{"superuser"})), "no role"},
		{"the role of software", sign(t, i.rsa, rs, change("roles", []string{"software"})), "no role"},
		{"the role of services", sign(t, i.rsa, rs, change("roles", "service")), "no role"},
		{"two roles", sign(t, i.rsa, rs, change("roles", []string{"clinician", "auditor"})), "auditor and clinician"},
		{"a huge token", sign(t, i.rsa, rs, change("x", strings.Repeat("x", 20<<10))), "longer"},
		{"not base64", "%." + pieces[1] + "." + pieces[2], "header"},
		{"padded base64", pieces[0] + "=." + pieces[1] + "." + pieces[2], "header"},
		{"nothing", "", "three parts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := v.Verify(t.Context(), test.token)
			var refused *identity.Refusal
			switch {
			case test.name == "nbf is text":
				if !errors.As(err, &refused) {
					t.Errorf("got %+v, %v", b, err)
				}
			case test.refused == "" && err != nil:
				t.Errorf("got %v", err)
			case test.refused == "" && (b.Name != "li" || b.Role != access.Clinician || b.Issuer != i.URL || b.Service != ""):
				t.Errorf("got %+v", b)
			case test.refused != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), test.refused)):
				t.Errorf("got %+v, %v; want a refusal that says %q", b, err, test.refused)
			}
		})
	}
	if n := other.asked.Load(); n > 0 {
		t.Errorf("an address that tokens named was asked for keys %d times", n)
	}
}

func TestClaimsAreMappedAsConfigured(t *testing.T) {
	i := newIssuer(t)
	v := verifier(t, identity.Provider{
		Issuer: i.URL, Audience: "yitong", Name: "preferred_username", Prefix: "staff:", Role: "/realm_access/roles",
		Roles: map[access.Role][]string{access.Clinician: {"doctor", "nurse"}, access.ClaimsHandler: {"claims"}},
	})
	for _, test := range []struct {
		name  string
		roles any
		want  access.Role
	}{
		{"a doctor", []string{"offline_access", "doctor"}, access.Clinician},
		{"who is two things that mean one", []string{"doctor", "nurse"}, access.Clinician},
		{"one value, no array", "claims", access.ClaimsHandler},
		{"the role's own name means nothing now", []string{"clinician"}, ""},
		{"values that are no text", []any{1, nil, map[string]any{}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := sign(t, i.rsa, header("RS256", "rsa"), i.claims(func(c map[string]any) {
				c["preferred_username"], c["realm_access"] = "li", map[string]any{"roles": test.roles}
			}))
			b, err := v.Verify(t.Context(), text)
			if (err == nil) != (test.want != "") || b.Role != test.want || err == nil && b.Name != "staff:li" {
				t.Errorf("got %+v, %v", b, err)
			}
		})
	}
}

func TestAlgorithmsArePinned(t *testing.T) {
	i := newIssuer(t)
	v := verifier(t, identity.Provider{Issuer: i.URL, Audience: "yitong", Algorithms: []string{"ES256"}})
	if _, err := v.Verify(t.Context(), sign(t, i.ec, header("ES256", "ec"), i.claims(nil))); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), sign(t, i.rsa, header("RS256", "rsa"), i.claims(nil))); err == nil {
		t.Error("an algorithm that isn't listed was taken")
	}
	for _, a := range []string{"none", "HS256", "HS512", ""} {
		if _, err := identity.New([]identity.Provider{{Issuer: i.URL, Audience: "yitong", Algorithms: []string{a}}}, nil); err == nil {
			t.Errorf("%q may be configured", a)
		}
	}
}

// What isn't https is taken on this machine itself only; a provider that says it is another
// is none.
func TestAnIssuerIsWhoItSays(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://login.example/realms/a": true, "http://127.0.0.1:8080": true, "http://localhost": true, "http://[::1]:9": true,
		"http://login.example": false, "http://127.0.0.1.example": false, "ftp://127.0.0.1": false, "login.example": false, "": false,
		"https://u:p@login.example": false, "https://login.example?x=1": false, "https://login.example#x": false, "http://10.0.0.1": false,
	} {
		if err := identity.CheckURL(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
	i, other := newIssuer(t), newIssuer(t)
	for name, change := range map[string]func(map[string]any){
		"another issuer":             func(d map[string]any) { d["issuer"] = other.URL },
		"keys somewhere unprotected": func(d map[string]any) { d["jwks_uri"] = "http://login.example/keys" },
		"keys in a file":             func(d map[string]any) { d["jwks_uri"] = "file:///etc/passwd" },
		"no keys":                    func(d map[string]any) { delete(d, "jwks_uri") },
	} {
		i.document = change
		v := verifier(t, identity.Provider{Issuer: i.URL, Audience: "yitong"})
		if _, err := v.Verify(t.Context(), sign(t, i.rsa, header("RS256", "rsa"), i.claims(nil))); !errors.Is(err, identity.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A provider that is away at the start is found when it is there, and one that goes away
// later doesn't keep people out at once.
func TestAProviderMayBeAway(t *testing.T) {
	i := newIssuer(t)
	v := verifier(t, identity.Provider{Issuer: i.URL, Audience: "yitong"})
	text := sign(t, i.rsa, header("RS256", "rsa"), i.claims(nil))
	away := i.document
	i.document = func(d map[string]any) { clear(d) }
	if _, err := v.Verify(t.Context(), text); !errors.Is(err, identity.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if err := v.Providers()[i.URL]; err == nil {
		t.Error("nobody is told that the provider is away")
	}
	i.document = away
	now := time.Now()
	identity.At(v, func() time.Time { return now.Add(11 * time.Second) })
	if _, err := v.Verify(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 1)
	go v.Keep(ctx, func(_ string, err error) { told <- err; cancel() })
	if err := <-told; err != nil || v.Providers()[i.URL] != nil {
		t.Errorf("it is there: %v, %v", err, v.Providers())
	}
	i.Close()
	long := sign(t, i.rsa, header("RS256", "rsa"), i.claims(func(c map[string]any) { c["exp"] = now.Unix() + 7200 }))
	for after, ok := range map[time.Duration]bool{30 * time.Minute: true, 90 * time.Minute: false} {
		identity.At(v, func() time.Time { return now.Add(after) })
		if _, err := v.Verify(t.Context(), long); (err == nil) != ok || !ok && !errors.Is(err, identity.ErrUnavailable) {
			t.Errorf("after %s: %v", after, err)
		}
	}
}

// Keys that an issuer takes back are not believed any longer, new ones are found, and a
// flood of names of keys doesn't become a flood of questions.
func TestKeysFollowTheIssuers(t *testing.T) {
	i := newIssuer(t)
	v := verifier(t, identity.Provider{Issuer: i.URL, Audience: "yitong"})
	now := time.Now()
	clock := now
	identity.At(v, func() time.Time { return clock })
	text := func() string { return sign(t, i.rsa, header("RS256", "rsa"), i.claims(nil)) }
	old := text()
	if _, err := v.Verify(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		if _, err := v.Verify(t.Context(), sign(t, i.rsa, header("RS256", fmt.Sprint("made up ", n)), i.claims(nil))); err == nil {
			t.Fatal("a key that nobody knows was taken")
		}
	}
	if n := i.asked.Load(); n > 2 {
		t.Errorf("the issuer was asked %d times", n)
	}
	fresh, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.rsa = fresh
	clock = now.Add(16 * time.Minute)
	long := func() string {
		return sign(t, i.rsa, header("RS256", "rsa"), i.claims(func(c map[string]any) { c["exp"] = now.Unix() + 7200 }))
	}
	if _, err := v.Verify(t.Context(), long()); err != nil {
		t.Errorf("the issuer's new key: %v", err)
	}
	if _, err := v.Verify(t.Context(), old); err == nil {
		t.Error("the key that the issuer took back is believed")
	}
}

func TestShortAndSymmetricKeysAreNone(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go makes no short keys: ", err)
	}
	good, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: short.Public(), KeyID: "short"}, {Key: []byte("symmetric"), KeyID: "oct"}, {Key: good.Public(), KeyID: "good"},
		{Key: good.Public(), KeyID: "for encryption", Use: "enc"}, {Key: good, KeyID: "private"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := identity.ParseKeys(doc)
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.KeyID)
		if _, private := k.Key.(crypto.Signer); private {
			t.Errorf("%s is private", k.KeyID)
		}
	}
	if got := strings.Join(ids, ","); err != nil || got != "good,private" {
		t.Errorf("got %s, %v", got, err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("a.b.c")
	f.Add(part(header("RS256", "rsa")) + "." + part(`{"iss":"http://127.0.0.1:1"}`) + ".AA")
	f.Add(part(`{"alg":"none"}`) + "." + part(`{}`) + ".")
	v, err := identity.New([]identity.Provider{{Issuer: "http://127.0.0.1:1", Audience: "yitong"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if b, err := v.Verify(t.Context(), text); err == nil {
			t.Fatalf("%q was taken for %+v", text, b)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	i := newIssuer(b)
	v := verifier(b, identity.Provider{Issuer: i.URL, Audience: "yitong"})
	for algorithm, text := range map[string]string{
		"RS256": sign(b, i.rsa, header("RS256", "rsa"), i.claims(nil)), "ES256": sign(b, i.ec, header("ES256", "ec"), i.claims(nil)),
	} {
		b.Run(algorithm, func(b *testing.B) {
			for b.Loop() {
				if _, err := v.Verify(b.Context(), text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
