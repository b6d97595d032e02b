package browser_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"yitong/chaincode/directive"
	"yitong/chaincode/refusal"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/gatewaytest"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/network/fabric/authority"
	"yitong/test/browser"
)

// The sites. The hospital names its relying party, and the one origin under it on which its
// patients sign; the forum is another page below the same domain.
const (
	relyingParty = "hospital-a.example"
	portal       = "https://patients.hospital-a.example"
	forum        = "https://forum.hospital-a.example"
	stranger     = "https://stranger.example"
)

// script is what a page of a hospital's does with passkeys. Bytes are base64 on the way.
const script = `<!doctype html><meta charset="utf-8"><title>patients</title><script>
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer)));
async function create(rp) {
	const made = await navigator.credentials.create({publicKey: {
		rp: {id: rp, name: rp}, user: {id: crypto.getRandomValues(new Uint8Array(16)), name: "patient", displayName: "patient"},
		challenge: crypto.getRandomValues(new Uint8Array(32)), pubKeyCredParams: [{type: "public-key", alg: -7}],
		authenticatorSelection: {residentKey: "required", userVerification: "required"},
	}});
	return {id: text(made.rawId), spki: text(made.response.getPublicKey())};
}
async function sign(rp, id, challenge, userVerification) {
	const {response} = await navigator.credentials.get({publicKey: {
		rpId: rp, challenge: bytes(challenge), allowCredentials: [{type: "public-key", id: bytes(id)}], userVerification,
	}});
	return {authenticatorData: text(response.authenticatorData), clientData: text(response.clientDataJSON), signature: text(response.signature)};
}
</script>`

// sites starts a browser for which every address is that of one server, by HTTPS, and gives
// it an authenticator that verifies its user. Chromium refuses WebAuthn on a page whose
// certificate it merely overlooks, so it is told this certificate's key.
func sites(t *testing.T) (context.Context, webauthn.AuthenticatorID) {
	t.Helper()
	ca, err := authority.New("sites", "the sites' authority")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{strings.TrimPrefix(portal, "https://"), strings.TrimPrefix(forum, "https://"), strings.TrimPrefix(stranger, "https://")}
	pair, err := ca.TLS("sites", authority.Gateway, names...)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, script)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	ctx := browser.Start(t,
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1:"+port),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(key[:])),
	)
	id, err := chromedp.Run(ctx, func(ctx context.Context, target *chromedp.Target) (webauthn.AuthenticatorID, error) {
		if _, err := cdp.Call(ctx, target, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return "", err
		}
		made, err := cdp.Call(ctx, target, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}})
		return made.AuthenticatorID, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ctx, id
}

// passkey is a credential in the browser's authenticator.
type passkey struct {
	site string // relying party id
	id   string // base64
	key  *yitongv1.PatientKey
}

func verifying(t *testing.T, ctx context.Context, authenticator webauthn.AuthenticatorID, verified bool) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: authenticator, IsUserVerified: verified})
		return err
	})); err != nil {
		t.Fatal(err)
	}
}

// at opens a site and has its page do something.
func at[T any](ctx context.Context, origin, call string, arguments ...any) (T, error) {
	var zero T
	if err := chromedp.Do(ctx, chromedp.Navigate(origin+"/")); err != nil {
		return zero, err
	}
	list, err := json.Marshal(arguments)
	if err != nil {
		return zero, err
	}
	return chromedp.Run(ctx, chromedp.Evaluate[T](fmt.Sprintf("%s(...%s)", call, list), chromedp.EvalAwaitPromise))
}

func register(t *testing.T, ctx context.Context, origin, site string) passkey {
	t.Helper()
	made, err := at[struct {
		ID   string `json:"id"`
		SPKI []byte `json:"spki"`
	}](ctx, origin, "create", site)
	if err != nil {
		t.Fatalf("a passkey at %s: %v", origin, err)
	}
	parsed, err := x509.ParsePKIXPublicKey(made.SPKI)
	if err != nil {
		t.Fatal(err)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		t.Fatalf("the browser made a %T", parsed)
	}
	point, err := public.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return passkey{site, made.ID, &yitongv1.PatientKey{Algorithm: directive.ES256, Public: point}}
}

// assert signs a challenge with the passkey on a page of the origin's.
func (p passkey) assert(ctx context.Context, origin string, challenge []byte, verification string) (*yitongv1.PasskeyAssertion, error) {
	a, err := at[directive.Assertion](ctx, origin, "sign", p.site, p.id, base64.StdEncoding.EncodeToString(challenge), verification)
	return &yitongv1.PasskeyAssertion{AuthenticatorData: a.AuthenticatorData, ClientData: a.ClientData, Signature: a.Signature}, err
}

func (p passkey) sign(t *testing.T, ctx context.Context, origin string, challenge []byte) *yitongv1.PasskeyAssertion {
	t.Helper()
	a, err := p.assert(ctx, origin, challenge, "required")
	if err != nil {
		t.Fatalf("signing at %s: %v", origin, err)
	}
	return a
}

func TestAPatientSignsWithAPasskeyInARealBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a browser")
	}
	ctx, authenticator := sites(t)
	dir := filepath.Join(t.TempDir(), "data")
	gatewaytest.Start(t, dir)
	hospital, insurer, regulator := dial(t, dir, "hospital-a"), dial(t, dir, "insurer"), dial(t, dir, "regulator")
	assurance := "passkey"
	if _, err := hospital.Policies.Set(t.Context(), &yitongv1.SetPolicyRequest{Assurance: &assurance, RelyingParties: &yitongv1.RelyingParties{
		Sites: []*yitongv1.RelyingParty{{Id: relyingParty, Origins: []string{portal}}},
	}}); err != nil {
		t.Fatal(err)
	}
	me := &yitongv1.Patient{System: "https://hospital-a.example/mrn", Value: "MRN-0042"}
	prepare := func(in *yitongv1.PrepareRequest) *yitongv1.PrepareResponse {
		t.Helper()
		in.Patient, in.Requester = me, "insurer"
		p, err := hospital.Patients.Prepare(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(p.GetDocument()); !bytes.Equal(p.GetChallenge(), sum[:]) || !slices.Equal(p.GetRelyingParties(), []string{relyingParty}) {
			t.Fatalf("prepared %v", p)
		}
		return p
	}
	grant := func(class string) *yitongv1.PrepareRequest {
		return &yitongv1.PrepareRequest{Act: "grant", Provision: &yitongv1.Provision{Type: "permit", Purposes: []string{"HPAYMT"}, Classes: []string{class}}}
	}
	outcome := func() string {
		t.Helper()
		answer, err := insurer.Accesses.Request(t.Context(), &yitongv1.AccessRequest{
			Id: client.NewID(), Custodian: "hospital-a", Patient: me, Purpose: "CLMATTCH", Classes: []string{"laboratory"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetAccess().GetOutcome()
	}

	mine := register(t, ctx, portal, relyingParty)
	wanted, another := prepare(grant("laboratory")), prepare(grant("claim"))
	refused := func(name string, want refusal.Code, why string, p passkey, a *yitongv1.PasskeyAssertion) {
		t.Helper()
		_, err := direct(t, hospital, wanted, p, a)
		if r, ok := client.Refusal(err); !ok || r.Code != want || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %s: %s", name, err, want, why)
		}
	}
	refused("signed on another page below the hospital's domain", directive.UnknownSite, "a site that isn't the custodian's", mine, mine.sign(t, ctx, forum, wanted.GetChallenge()))
	theirs := register(t, ctx, stranger, "stranger.example")
	refused("signed for another relying party", directive.UnknownSite, "a site that isn't the custodian's", theirs, theirs.sign(t, ctx, stranger, wanted.GetChallenge()))
	if _, err := mine.assert(ctx, stranger, wanted.GetChallenge(), "required"); err == nil || !strings.Contains(err.Error(), "SecurityError") {
		t.Errorf("a stranger's page uses the hospital's passkey: %v", err)
	}
	refused("the challenge of another document", directive.BadSignature, "the challenge isn't", mine, mine.sign(t, ctx, portal, another.GetChallenge()))
	verifying(t, ctx, authenticator, false)
	unverified, err := mine.assert(ctx, portal, wanted.GetChallenge(), "discouraged")
	if err != nil {
		t.Fatal(err)
	}
	refused("the user wasn't verified", directive.BadSignature, "didn't verify the user", mine, unverified)
	verifying(t, ctx, authenticator, true)
	refused("with the key of another passkey", directive.BadSignature, "isn't this passkey's", theirs, mine.sign(t, ctx, portal, wanted.GetChallenge()))
	if got := outcome(); got != "deny" {
		t.Fatalf("nothing was granted, and decided %s", got)
	}

	granted, err := direct(t, hospital, wanted, mine, mine.sign(t, ctx, portal, wanted.GetChallenge()))
	if err != nil {
		t.Fatal(err)
	}
	key := directive.Key{Algorithm: directive.ES256, Public: mine.key.GetPublic()}
	if c := granted.GetConsent(); c.GetAssurance() != "passkey" || c.GetSigner() != key.ID() {
		t.Errorf("granted %v", c)
	}
	if got := outcome(); got != "permit" {
		t.Errorf("signed with a passkey, and decided %s", got)
	}

	// Through the regulator: the hospital has no part in it.
	withdrawal := prepare(&yitongv1.PrepareRequest{Act: "withdraw", ConsentId: granted.GetConsent().GetId(), Reason: "patient-request"})
	withdrawn, err := direct(t, regulator, withdrawal, mine, mine.sign(t, ctx, portal, withdrawal.GetChallenge()))
	if err != nil {
		t.Fatal(err)
	}
	if c := withdrawn.GetConsent(); c.GetStatus() != "withdrawn" || c.GetVersion() != 2 {
		t.Errorf("withdrawn %v", c)
	}
	if got := outcome(); got != "deny" {
		t.Errorf("withdrawn, and decided %s", got)
	}
}

func direct(t *testing.T, through *client.Client, p *yitongv1.PrepareResponse, by passkey, a *yitongv1.PasskeyAssertion) (*yitongv1.DirectResponse, error) {
	t.Helper()
	return through.Patients.Direct(t.Context(), &yitongv1.DirectRequest{
		Document: p.GetDocument(), Key: by.key, Proof: &yitongv1.DirectRequest_Passkey{Passkey: a},
	})
}

func dial(t *testing.T, dir, member string) *client.Client {
	t.Helper()
	profile, err := client.ReadProfile(dir, member)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(profile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
