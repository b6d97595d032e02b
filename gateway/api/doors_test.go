package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"yitong/chaincode/access"
	"yitong/chaincode/registry"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/identity"
	"yitong/gateway/identity/scope"
	"yitong/gateway/policy"
	"yitong/gateway/share"
	"yitong/network/fabric/authority"
)

// doors are both doors of one gateway with nothing behind them: who gets in falls over that,
// or is refused by a rule. What counts is who doesn't get that far.
type doors struct {
	own, other *authority.Authority
	grpc, web  string // addresses
	revoked    *revocable
}

// bearers are the tokens that these gateways take, by their text.
type bearers map[string]identity.Bearer

func (b bearers) Verify(_ context.Context, text string) (identity.Bearer, error) {
	if one, ok := b[text]; ok {
		return one, nil
	}
	return identity.Bearer{}, &identity.Refusal{Reason: "this token is none of ours"}
}

func (b bearers) Still(before identity.Bearer) (identity.Bearer, error) { return before, nil }

// everyBearer is a token for each role, named by it, and those of services.
func everyBearer() bearers {
	b := bearers{
		"service":           {Service: "engine"},
		"service of all":    {Service: "engine", Scopes: []scope.Scope{{Resource: "*", Letters: "cruds"}}},
		"service of asking": {Service: "engine", Scopes: []scope.Scope{{Resource: "Task", Letters: "crs"}}},
	}
	for _, role := range identity.Roles {
		b[string(role)] = identity.Bearer{Name: "li", Role: role, Issuer: "https://login.example", Expires: time.Now().Add(time.Hour)}
	}
	return b
}

type revocable struct{ serial atomic.Pointer[big.Int] }

func (r *revocable) Revoked(_ string, c *x509.Certificate) bool {
	s := r.serial.Load()
	return s != nil && s.Cmp(c.SerialNumber) == 0
}
func (r *revocable) Changes(string) int { return 0 }

func openDoors(t *testing.T, kind registry.Kind, rules *policy.Policies) *doors {
	t.Helper()
	d := &doors{own: newAuthority(t, "own"), other: newAuthority(t, "other"), revoked: new(revocable)}
	cert := pair(t, d.own, authority.Gateway)
	c := api.Config{
		Gateway:     &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Name: "own", Kind: kind}}},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
		Trust:       api.Trust{"OwnMSP": root(t, d.own), "OtherMSP": root(t, d.other)}, Revocations: d.revoked,
		Tokens: everyBearer(), Log: slog.New(slog.DiscardHandler),
		Limits: api.NewLimiter(api.Limits{Rate: 1e6, Burst: 1e6, Failures: 1e6}),
	}
	if rules != nil {
		c.Policy = rules
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	one, two := listen(), listen()
	d.grpc, d.web = one.Addr().String(), two.Addr().String()
	server, web := api.NewServer(c), api.NewWeb(c)
	go server.Serve(one)
	go web.ServeTLS(two, "", "")
	t.Cleanup(func() { server.Stop(); web.Close() })
	return d
}

// config is for a client of these doors, with a certificate or without. It shows what it has
// whether the server asks for such a one or not.
func (d *doors) config(t *testing.T, certs ...tls.Certificate) *tls.Config {
	c := &tls.Config{RootCAs: pool(t, d.own), ServerName: "127.0.0.1"}
	if len(certs) > 0 {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certs[0], nil }
	}
	return c
}

// dial is a gRPC connection with a certificate.
func (d *doors) dial(t *testing.T, cert tls.Certificate) *grpc.ClientConn {
	t.Helper()
	conn, err := api.Dial(d.grpc, d.config(t, cert))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// person is a person's certificate.
func person(t *testing.T, by *authority.Authority, role access.Role) tls.Certificate {
	t.Helper()
	p, err := by.Person("wang", map[string]string{access.RoleAttribute: string(role)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// with is a context whose calls carry metadata, in pairs.
func with(ctx context.Context, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// admitted says whether a call got past the door.
func admitted(err error) bool {
	if _, byRule := api.RefusalOf(err); byRule {
		return true
	}
	code := status.Code(err)
	return code != codes.PermissionDenied && code != codes.Unauthenticated && code != codes.Unavailable
}

// whoami is who a gateway takes a connection's call for.
func whoami(ctx context.Context, conn grpc.ClientConnInterface) (string, error) {
	me, err := yitongv1.NewCallersClient(conn).Whoami(ctx, &yitongv1.WhoamiRequest{})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(me.GetMspId() + " " + me.GetRole() + " " + me.GetUser() + me.GetService()), nil
}

// visit asks over HTTPS.
func (d *doors) visit(t *testing.T, path string, header http.Header, certs ...tls.Certificate) (int, string, error) {
	t.Helper()
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: d.config(t, certs...), ForceAttemptHTTP2: true}, Timeout: 20 * time.Second}
	defer browser.CloseIdleConnections()
	in, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+d.web+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		in.Header[name] = values
	}
	out, err := browser.Do(in)
	if err != nil {
		return 0, "", err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	return out.StatusCode, string(body), err
}

func bearing(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

var update = flag.Bool("update", false, "write testdata anew")

// A27. Every method of the API, for every kind of member and every role: what a newcomer of a
// method or a role may do is written down and looked at before it is merged.
func TestTheMatrixOfWhoMayCallWhat(t *testing.T) {
	const file = "testdata/who-may-call-what.tsv"
	said := map[string]string{}                // to strangers
	matrix := map[string]map[string][]string{} // method, kind: who is let in
	for _, kind := range []registry.Kind{registry.Hospital, registry.Insurer, registry.Regulator} {
		d := openDoors(t, kind, nil)
		software := d.dial(t, pair(t, d.own, authority.Client))
		strangers := map[string]*grpc.ClientConn{
			"another member's software":        d.dial(t, pair(t, d.other, authority.Client)),
			"another member's clinician":       d.dial(t, person(t, d.other, access.Clinician)),
			"another member's records officer": d.dial(t, person(t, d.other, access.RecordsOfficer)),
			"our own gateway":                  d.dial(t, pair(t, d.own, authority.Gateway)),
		}
		certificates := map[string]*grpc.ClientConn{}
		for _, role := range identity.Roles {
			certificates[string(role)] = d.dial(t, person(t, d.own, role))
		}
		web := map[string]string{}
		for _, one := range routes(t, d) {
			web[one.method] = one.path
		}
		for _, full := range everyMethod() {
			if forGateways(full) {
				continue // TestWhoMayCallWhat
			}
			method := strings.Replace(full[strings.LastIndex(full, ".")+1:], "/", ".", 1)
			call := func(conn *grpc.ClientConn, ctx context.Context) error {
				return conn.Invoke(ctx, full, &emptypb.Empty{}, &emptypb.Empty{})
			}
			var let []string
			if admitted(call(software, t.Context())) {
				let = append(let, "software")
			}
			for token := range everyBearer() {
				in := admitted(call(software, with(t.Context(), "authorization", "Bearer "+token)))
				if in {
					let = append(let, token)
				}
				// The same person by certificate is the same person.
				if conn, ok := certificates[token]; ok && admitted(call(conn, t.Context())) != in {
					t.Errorf("%s at a %s: a %s is let in by token: %v, and by certificate otherwise", method, kind, token, in)
				}
				// And so is it at the other door, where the method is there too.
				if path, ok := web[method]; ok {
					code, body, err := d.visit(t, path, bearing(token))
					if err != nil || (code != http.StatusForbidden && code != http.StatusUnauthorized) != in {
						t.Errorf("%s at a %s: %s is answered %d over HTTPS (%v, %s), let in over gRPC: %v", method, kind, token, code, err, body, in)
					}
				}
			}
			slices.Sort(let)
			if matrix[method] == nil {
				matrix[method] = map[string][]string{}
			}
			matrix[method][string(kind)] = let
			for who, conn := range strangers {
				for _, token := range []string{"", "clinician", "service of all"} {
					ctx := t.Context()
					if token != "" {
						ctx = with(ctx, "authorization", "Bearer "+token)
					}
					err := call(conn, ctx)
					if admitted(err) {
						t.Errorf("%s at a %s: %s with the token %q is let in", method, kind, who, token)
					}
					// What is there and what isn't must look alike to who has no business here.
					if as := who + token; said[as] == "" {
						said[as] = err.Error()
					} else if err.Error() != said[as] {
						t.Errorf("%s at a %s: %s with the token %q is told %q, and elsewhere %q", method, kind, who, token, err, said[as])
					}
				}
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, table(matrix), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := readTable(t, file)
	for method, kinds := range matrix {
		if want[method] == nil {
			t.Errorf("%s isn't in %s: say who may call it (go test ./gateway/api -run Matrix -update), and look at it", method, file)
			continue
		}
		for kind, let := range kinds {
			if !slices.Equal(let, want[method][kind]) {
				t.Errorf("%s at a %s lets in %q; %s has %q", method, kind, let, file, want[method][kind])
			}
		}
	}
	for method := range want {
		if matrix[method] == nil {
			t.Errorf("%s is in %s and not in the API", method, file)
		}
	}
	// What must hold whatever the file says.
	for method, kinds := range matrix {
		for kind, let := range kinds {
			for _, who := range let {
				standing := slices.Contains([]string{"Node.Status", "Members.List", "Policies.Show", "Callers.Whoami", "Callers.Why"}, method)
				switch {
				case standing:
				case who == "service" || who == "patient" && !strings.HasPrefix(method, "Patients."),
					who == "clinician" && kind != "hospital", who == "records-officer" && kind != "hospital", who == "claims-handler" && kind != "insurer":
					t.Errorf("%s at a %s lets in %s", method, kind, who)
				case strings.HasPrefix(who, "service") && slices.Contains([]string{"Keys", "Emergencies", "Erasures", "Policies", "Handles", "Lodgings", "Outbox"}, strings.Split(method, ".")[0]):
					t.Errorf("%s at a %s lets in %s", method, kind, who)
				}
			}
		}
	}
}

// table writes a matrix: method, kind and who is let in, a line each.
func table(matrix map[string]map[string][]string) []byte {
	var b strings.Builder
	for _, method := range slices.Sorted(maps.Keys(matrix)) {
		for _, kind := range slices.Sorted(maps.Keys(matrix[method])) {
			b.WriteString(method + "\t" + kind + "\t" + strings.Join(matrix[method][kind], ", ") + "\n")
		}
	}
	return []byte(b.String())
}

func readTable(t *testing.T, file string) map[string]map[string][]string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	matrix := map[string]map[string][]string{}
	for line := range strings.Lines(string(raw)) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 3 {
			t.Fatalf("%s: %q", file, line)
		}
		if matrix[cells[0]] == nil {
			matrix[cells[0]] = map[string][]string{}
		}
		var let []string
		if cells[2] != "" {
			let = strings.Split(cells[2], ", ")
		}
		matrix[cells[0]][cells[1]] = let
	}
	return matrix
}

type route struct{ path, method string }

// routes are those of the HTTPS door, as it describes them.
func routes(t *testing.T, d *doors) (all []route) {
	t.Helper()
	code, body, err := d.visit(t, "/v1/openapi.json", nil, pair(t, d.own, authority.Client))
	var doc struct {
		Paths map[string]struct {
			Get struct {
				Method string `json:"operationId"`
			} `json:"get"`
		} `json:"paths"`
	}
	if err != nil || code != http.StatusOK || json.Unmarshal([]byte(body), &doc) != nil || len(doc.Paths) == 0 {
		t.Fatalf("%d %s %v", code, body, err)
	}
	for path, one := range doc.Paths {
		all = append(all, route{strings.NewReplacer("{id}", strings.Repeat("0", 32)).Replace(path), one.Get.Method})
	}
	return all
}

// A28. Who calls is said by the certificate and the token, and by nothing else.
func TestNothingElseSaysWhoCalls(t *testing.T) {
	d := openDoors(t, registry.Hospital, nil)
	software := pair(t, d.own, authority.Client)
	conn := d.dial(t, software)
	forged := []string{
		"x-forwarded-for", "x-forwarded-client-cert", "x-forwarded-user", "x-forwarded-email", "x-remote-user", "remote-user", "x-user", "user", "x-role", "yitong.role",
		"yitong-role", "yitong-user", "role", "msp", "x-msp-id", "member", "forwarded", "x-ssl-client-cert", "x-client-cert", "ssl-client-subject-dn", "x-amzn-oidc-data",
		"cf-access-jwt-assertion", "proxy-authorization", "x-authorization", "cookie", "access_token", "x-access-token", "x-original-url", "x-http-method-override", "x-goog-authenticated-user-email",
	}
	for _, test := range []struct {
		name string
		cert tls.Certificate
		auth string
		want string // "" is refused
	}{
		{"software", software, "", "OwnMSP software"},
		{"a person", person(t, d.own, access.Auditor), "", "OwnMSP auditor wang"},
		{"software for a person", software, "clinician", "OwnMSP clinician li"},
		{"another member's software", pair(t, d.other, authority.Client), "", ""},
		{"another member's software with our person's token", pair(t, d.other, authority.Client), "clinician", ""},
		{"another member's gateway with our person's token", pair(t, d.other, authority.Gateway), "clinician", ""},
		{"a person with another's token", person(t, d.own, access.Auditor), "clinician", ""},
		{"a person with a token of the same role", person(t, d.own, access.Auditor), "auditor", ""},
		{"software with a token of another member's", software, "made by another", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := d.dial(t, test.cert)
			for _, name := range append([]string{""}, forged...) {
				for _, value := range []string{"operator", "OtherMSP", "Bearer operator", "CN=admin,OU=admin", "for=127.0.0.1;by=OtherMSP"} {
					ctx, header := t.Context(), http.Header{}
					if test.auth != "" {
						ctx = with(ctx, "authorization", "Bearer "+test.auth)
						header.Set("Authorization", "Bearer "+test.auth)
					}
					if name != "" {
						ctx = with(ctx, name, value)
						header.Set(name, value)
					}
					got, err := whoami(ctx, c)
					if got != test.want || (err == nil) != (test.want != "") {
						t.Fatalf("with %s: %s: %q, %v", name, value, got, err)
					}
					if value != "operator" || name == "" {
						continue // one will do over HTTPS
					}
					code, body, err := d.visit(t, "/v1/whoami?", header, test.cert)
					if err != nil || (code == http.StatusOK) != (test.want != "") || code == http.StatusOK && !strings.Contains(body, strings.Fields(test.want)[1]) {
						t.Fatalf("over HTTPS with %s: %s: %d %s %v", name, value, code, body, err)
					}
				}
			}
		})
	}
	t.Run("a token stands in one place", func(t *testing.T) {
		for name, ctx := range map[string]context.Context{
			"twice":             with(t.Context(), "authorization", "Bearer auditor", "authorization", "Bearer clinician"),
			"of another scheme": with(t.Context(), "authorization", "Basic auditor"),
			"without a scheme":  with(t.Context(), "authorization", "auditor"),
			"empty":             with(t.Context(), "authorization", ""),
			"nothing after it":  with(t.Context(), "authorization", "Bearer "),
			"with more after":   with(t.Context(), "authorization", "Bearer auditor, Bearer clinician"),
		} {
			if got, err := whoami(ctx, conn); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		for _, header := range []http.Header{{}, {"Cookie": {"Authorization=Bearer auditor; access_token=auditor"}}, {"Authorization": {"Bearer auditor", "Bearer auditor"}}} {
			for _, path := range []string{"/v1/whoami", "/v1/whoami?access_token=auditor"} {
				if code, body, err := d.visit(t, path, header); err != nil || code != http.StatusUnauthorized {
					t.Errorf("%s %v: %d %s %v", path, header, code, body, err)
				}
			}
		}
		if code, body, err := d.visit(t, "/v1/whoami", bearing("auditor")); err != nil || code != http.StatusOK || !strings.Contains(body, `"role":"auditor"`) {
			t.Errorf("the control: %d %s %v", code, body, err)
		}
	})
	t.Run("gRPC needs the certificate, whatever the token", func(t *testing.T) {
		c, err := api.Dial(d.grpc, d.config(t))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got, err := whoami(with(t.Context(), "authorization", "Bearer auditor"), c); err == nil {
			t.Errorf("got %q", got)
		}
	})
	t.Run("gateways bring no token", func(t *testing.T) {
		c := d.dial(t, pair(t, d.other, authority.Gateway))
		if err := c.Invoke(t.Context(), yitongv1.Exchange_Height_FullMethodName, &emptypb.Empty{}, &emptypb.Empty{}); !admitted(err) {
			t.Errorf("the control: %v", err)
		}
		if err := c.Invoke(with(t.Context(), "authorization", "Bearer auditor"), yitongv1.Exchange_Height_FullMethodName, &emptypb.Empty{}, &emptypb.Empty{}); admitted(err) {
			t.Errorf("got %v", err)
		}
	})
}

// A token takes away from what the certificate may, and adds nothing.
func TestATokenNarrows(t *testing.T) {
	rules, err := policy.Parse("own.cedar", []byte(`
permit (principal, action in Action::"Callers", resource);
permit (principal, action == Action::"Records.List", resource) when { principal.role == "auditor" };
permit (principal, action == Action::"Keys.List", resource) when { principal.role == "software" };
permit (principal, action == Action::"Accesses.Get", resource);`))
	if err != nil {
		t.Fatal(err)
	}
	d := openDoors(t, registry.Hospital, rules)
	conn := d.dial(t, pair(t, d.own, authority.Client))
	for _, test := range []struct {
		method, token string
		in            bool
	}{
		{"Accesses/Get", "", true}, {"Accesses/Get", "auditor", true},
		{"Keys/List", "", true}, {"Keys/List", "auditor", false},
		{"Records/List", "", false}, {"Records/List", "auditor", false},
	} {
		ctx := t.Context()
		if test.token != "" {
			ctx = with(ctx, "authorization", "Bearer "+test.token)
		}
		if err := conn.Invoke(ctx, "/yitong.v1."+test.method, &emptypb.Empty{}, &emptypb.Empty{}); admitted(err) != test.in {
			t.Errorf("%s with %q: %v", test.method, test.token, err)
		}
	}
}

// Whoever watches by a token watches while it lasts, and is told why it ended.
func TestAStreamEndsWithItsToken(t *testing.T) {
	for token, bearer := range map[string]identity.Bearer{
		"short": {Name: "li", Role: access.Auditor, Expires: time.Now().Add(200 * time.Millisecond)},
		"long":  {Name: "li", Role: access.Auditor, Expires: time.Now().Add(time.Hour)},
	} {
		c := api.Config{
			Gateway: &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Kind: registry.Hospital}}},
			Tokens:  bearers{token: bearer}, Log: slog.New(slog.DiscardHandler),
		}
		limit := time.Minute
		if token == "long" {
			limit = 200 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := api.Watch(ctx, c, token, func(inside context.Context) error { <-inside.Done(); return inside.Err() })
		ended := ctx.Err() == nil // by itself
		cancel()
		if over := status.Code(err) == codes.Unauthenticated && strings.Contains(err.Error(), "expired"); over != (token == "short") || ended != (token == "short") {
			t.Errorf("%s: ended by itself: %v, %v", token, ended, err)
		}
	}
}

// changing permits everything until it is told not to.
type changing struct{ no atomic.Bool }

func (c *changing) Decide(policy.Question) policy.Answer {
	return policy.Answer{Allowed: !c.no.Load()}
}

// Who may no longer begin a stream doesn't stay in one that it has begun, whichever it is: not a
// byte more goes in or out.
func TestAStreamEndsWithItsPermission(t *testing.T) {
	api.LookAgain(20 * time.Millisecond)
	defer api.LookAgain(10 * time.Second)
	own, other := newAuthority(t, "own"), newAuthority(t, "other")
	shown := func(by *authority.Authority, role authority.Role) tls.ConnectionState {
		cert := leaf(t, pair(t, by, role))
		return tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert, root(t, by)}}}
	}
	gives := func(s grpc.ServerStream) error { return s.SendMsg(nil) }
	takes := func(s grpc.ServerStream) error { return s.RecvMsg(nil) }
	for _, test := range []struct {
		name, method, token string
		conn                tls.ConnectionState
		policy, certificate bool // what changes
		step                func(grpc.ServerStream) error
		want                codes.Code // DeadlineExceeded: it went on
	}{
		{name: "the policy changes under a watch", method: "Events/Watch", token: "li", policy: true, step: gives, want: codes.PermissionDenied},
		{name: "control: it doesn't", method: "Events/Watch", token: "li", step: gives, want: codes.DeadlineExceeded},
		{name: "the policy changes under an upload", method: "Uploads/Append", token: "li", policy: true, step: takes, want: codes.PermissionDenied},
		{name: "the certificate of a watch is revoked", method: "Events/Watch", conn: shown(own, authority.Client), certificate: true, step: gives, want: codes.Unauthenticated},
		{name: "the certificate of an upload is revoked", method: "Uploads/Append", conn: shown(own, authority.Client), certificate: true, step: takes, want: codes.Unauthenticated},
		{name: "the certificate of a download is revoked", method: "Contents/Read", conn: shown(own, authority.Client), certificate: true, step: gives, want: codes.Unauthenticated},
		{name: "another member's gateway's is, under a release", method: "Exchange/Release", conn: shown(other, authority.Gateway), certificate: true, step: gives, want: codes.Unauthenticated},
		{name: "control: another member's gateway isn't our policy's", method: "Exchange/Release", conn: shown(other, authority.Gateway), policy: true, step: gives, want: codes.DeadlineExceeded},
		{name: "control: nothing is revoked", method: "Uploads/Append", conn: shown(own, authority.Client), step: takes, want: codes.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules, revoked := &changing{}, new(revocable)
			c := api.Config{
				Gateway: &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Kind: registry.Hospital}}},
				Trust:   api.Trust{"OwnMSP": root(t, own), "OtherMSP": root(t, other)}, Revocations: revoked,
				Tokens: bearers{"li": {Name: "li", Role: access.Auditor, Expires: time.Now().Add(time.Hour)}}, Policy: rules, Log: slog.New(slog.DiscardHandler),
			}
			limit := time.Minute
			if test.want == codes.DeadlineExceeded {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			begun := false
			err := api.Stream(ctx, c, test.method, test.conn, test.token, func(s grpc.ServerStream) error {
				begun = true
				rules.no.Store(test.policy)
				if test.certificate {
					revoked.serial.Store(test.conn.PeerCertificates[0].SerialNumber)
				}
				for {
					ended := s.Context().Err() != nil
					if err := test.step(s); err != nil {
						return status.FromContextError(err).Err()
					}
					if ended {
						t.Error("a message went on its way after the stream's end")
						return nil
					}
					time.Sleep(time.Millisecond)
				}
			})
			if got := status.Code(err); got != test.want || !begun {
				t.Errorf("begun %v, ended by %v, want %s", begun, err, test.want)
			}
		})
	}
}

// issue signs a certificate with an authority's key, as wrong as the test wants it.
func issue(t *testing.T, by *authority.Authority, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	parent := root(t, by)
	block, _ := pem.Decode(by.Pair().Key)
	signer, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(signer.(*ecdsa.PrivateKey).Curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "someone", OrganizationalUnit: []string{"client"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A30. Both doors, and the same of each: over HTTPS a certificate may be left out, but one
// that is shown is held against the same rules.
func TestWhichCertificatesAndVersionsAreTaken(t *testing.T) {
	d := openDoors(t, registry.Hospital, nil)
	stranger := newAuthority(t, "own") // of our own name
	revoked := issue(t, d.own, func(*x509.Certificate) {})
	leaf, err := x509.ParseCertificate(revoked.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	d.revoked.serial.Store(leaf.SerialNumber)
	taken := pair(t, d.own, authority.Client)
	stolen := pair(t, d.own, authority.Client)
	stolen.PrivateKey = taken.PrivateKey // the certificate without its key
	for _, test := range []struct {
		name      string
		cert      tls.Certificate
		handshake bool // whether that succeeds
		in        bool
	}{
		{"as it should be", taken, true, true},
		{"made by hand as it should be", issue(t, d.own, func(*x509.Certificate) {}), true, true},
		{"of another authority", pair(t, stranger, authority.Client), false, false},
		{"of another member's authority", pair(t, d.other, authority.Client), true, false},
		{"without a use (EKU)", issue(t, d.own, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), false, false},
		{"for servers only", issue(t, d.own, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), false, false},
		{"expired", issue(t, d.own, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), false, false},
		{"not valid yet", issue(t, d.own, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		}), false, false},
		{"revoked", revoked, false, false},
		{"of no unit", issue(t, d.own, func(c *x509.Certificate) { c.Subject.OrganizationalUnit = nil }), true, false},
		{"of a peer", pair(t, d.own, authority.Peer), true, false},
		{"of the gateway", pair(t, d.own, authority.Gateway), true, false},
		{"that nobody signed", selfSigned(t), false, false},
		{"without its key", stolen, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := whoami(t.Context(), d.dial(t, test.cert))
			if (err == nil) != test.in || !test.handshake && status.Code(err) != codes.Unavailable || test.handshake && status.Code(err) == codes.Unavailable {
				t.Errorf("gRPC: %q, %v", got, err)
			}
			code, body, err := d.visit(t, "/v1/whoami", nil, test.cert)
			if (err == nil) != test.handshake || (code == http.StatusOK) != test.in {
				t.Errorf("HTTPS: %d %s %v", code, body, err)
			}
			// A good token makes no bad certificate good.
			code, body, err = d.visit(t, "/v1/whoami", bearing("auditor"), test.cert)
			if (err == nil) != test.handshake || (code == http.StatusOK) != test.in {
				t.Errorf("HTTPS with a token: %d %s %v", code, body, err)
			}
		})
	}
	for _, address := range []string{d.grpc, d.web} {
		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
			c := d.config(t, taken)
			c.MinVersion, c.MaxVersion = version, version
			conn, err := tls.Dial("tcp", address, c)
			if (err == nil) != (version == tls.VersionTLS13) {
				t.Errorf("%s: %v", tls.VersionName(version), err)
			}
			if err == nil {
				conn.Close()
			}
		}
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	p, err := authority.Lone("own", "someone", authority.Client)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
