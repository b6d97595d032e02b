// Package gatewaytest is a whole consortium within a test: four members' real
// gateways (gateway/share behind gateway/api, mutual TLS on loopback) over a
// ledger in the same process that simulates, validates and commits as Fabric
// does (chaincode/ledgertest), running the real chaincode.
//
// What it leaves out is Fabric: peers, ordering and gateway/ledger, which is
// played by chain. That makes the command's tests quick, and its answers the
// gateways' own.
package gatewaytest

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/cmd/yitong/client"
	"yitong/gateway/api"
	"yitong/gateway/audit/projection"
	"yitong/gateway/events"
	"yitong/gateway/fhir"
	"yitong/gateway/keys"
	"yitong/gateway/payload"
	"yitong/gateway/share"
	"yitong/gateway/vault"
	"yitong/network/fabric/authority"
)

// Version is what the gateways say they are.
const Version = "test"

// Reviewer is the member that answers orders to disclose by itself.
const Reviewer = "hospital-b"

var members = []registry.Candidate{
	{MSP: "HospitalA", Name: "hospital-a", Kind: registry.Hospital},
	{MSP: "HospitalB", Name: "hospital-b", Kind: registry.Hospital},
	{MSP: "Insurer", Name: "insurer", Kind: registry.Insurer},
	{MSP: "Regulator", Name: "regulator", Kind: registry.Regulator},
}

// Consortium is one that runs until the test ends.
type Consortium struct {
	chain   *shared
	servers map[string]*grpc.Server // by member name
	dir     string
	shown   map[string]*tls.Certificate // the gateways', by MSP id
	revoked revocations
	vaults  map[string]string // URLs, by member name; a folder by default
}

// Vault has a member keep its sealed parts where a URL says (vault.OpenURL).
func Vault(member, url string) func(*Consortium) {
	return func(c *Consortium) { c.vaults[member] = url }
}

// Start founds a consortium and writes its members' profiles into dir, as `yitong
// up` does.
func Start(t testing.TB, dir string, options ...func(*Consortium)) *Consortium {
	t.Helper()
	l := ledgertest.New(t, "HospitalA", "HospitalB", "Insurer", "Regulator")
	cc, err := contract.New(func() record.Instant { return record.At(l.Now()) })
	must(t, err)
	l.Install(cc)
	c := &Consortium{chain: newShared(l), servers: map[string]*grpc.Server{}, dir: dir, vaults: map[string]string{}}
	for _, o := range options {
		o(c)
	}

	trust := api.Trust{}
	certificates := map[string]*tls.Certificate{}
	for _, m := range members {
		trust[m.MSP], certificates[m.MSP] = certify(t, filepath.Join(dir, "members", m.Name), m.Name)
	}
	c.shown = certificates
	var founders []registry.Candidate
	var founder *share.Gateway
	var gateways []*share.Gateway
	for _, m := range members {
		g := c.start(t, dir, m, trust, certificates[m.MSP])
		gateways = append(gateways, g)
		founders = append(founders, g.Candidate())
		if m.Kind == registry.Regulator {
			founder = g
		}
	}
	must(t, founder.Found(t.Context(), founders))
	for _, g := range gateways {
		must(t, g.Tick(t.Context())) // the clock stands still from here on
		g.KeepLodging()
	}
	return c
}

// start runs a member's gateway and writes the member's profile.
func (c *Consortium) start(t testing.TB, dir string, m registry.Candidate, trust api.Trust, own *tls.Certificate) *share.Gateway {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	m.Gateway = listener.Addr().String()
	folder := filepath.Join(dir, "members", m.Name)
	store, err := keys.Create(filepath.Join(folder, "keys.db"), []byte("a passphrase for tests"))
	must(t, err)
	sealed, err := vault.OpenURL(t.Context(), cmp.Or(c.vaults[m.Name], filepath.Join(folder, "vault")))
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	others := api.NewCounterparts(trust, nil, func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil })
	link := &chain{shared: c.chain, msp: m.MSP, as: c.chain.ledger.Client(m.MSP)}
	clinicians := &chain{shared: c.chain, msp: m.MSP, as: c.chain.ledger.EnrolWith(m.MSP, "clinicians", map[string]string{access.RoleAttribute: string(access.Clinician)})}
	g, err := share.New(share.Config{
		Holders: others,
		Self:    m, Ledger: link, Clinicians: clinicians, Keys: store, Vault: sealed, Exchange: others, Now: c.chain.ledger.Now, Log: log, Gather: 1,
		Review:  m.Name == Reviewer,
		Channel: "test", Evaluator: m.Name == "insurer" || m.Kind == registry.Regulator,
	})
	must(t, err)
	history, err := projection.Open(t.Context(), "sqlite:"+filepath.Join(folder, "audit.db"), chaincode)
	must(t, err)
	feed, err := events.Open(t.Context(), events.Config{
		Database: "sqlite:" + filepath.Join(folder, "events.db"), Chaincode: chaincode, Self: m, Secrets: store, Log: log, Now: c.chain.ledger.Now,
		Webhooks: events.Webhooks{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	must(t, err)
	following, unfollow := context.WithCancel(context.Background())
	var kept sync.WaitGroup
	kept.Go(func() { history.Keep(following, link, log) })
	kept.Go(func() { feed.Keep(following, link) })
	served := api.Config{
		Gateway: g, Chain: link, Channel: "test", Chaincode: chaincode, Projection: history, Patience: time.Minute, Events: feed, Scratch: folder, Trust: trust, Revocations: &c.revoked, Version: Version, Log: log,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own, nil },
	}
	server := api.NewServer(served)
	web, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	facade := fhir.Config{Member: m.Name, Kind: string(m.Kind), Version: Version, Secret: []byte("a secret of " + m.Name), Now: c.chain.ledger.Now, Log: log}
	questions := api.NewWeb(served, api.Mount{
		Path: fhir.Base + "/", Problem: fhir.Problem, Public: fhir.Public, Streams: fhir.Streams,
		New: func(conn grpc.ClientConnInterface) http.Handler { return fhir.New(facade, conn) },
	}, api.Mount{
		Path: "/contents/", Streams: payload.Streams, New: func(conn grpc.ClientConnInterface) http.Handler { return payload.NewContents(conn, api.Problem) },
	}, api.Mount{
		Path: "/uploads/", Streams: payload.Streams, New: func(conn grpc.ClientConnInterface) http.Handler { return payload.NewUploads(conn, api.Problem) },
	})
	go func() { _ = questions.ServeTLS(web, "", "") }()
	c.servers[m.Name] = server
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		_ = questions.Close()
		<-ended
		unfollow()
		kept.Wait()
		if err := errors.Join(feed.Close(), history.Close(), g.Close(context.Background()), others.Close(), store.Close(), sealed.Close()); err != nil {
			t.Error(err)
		}
	})
	must(t, client.WriteProfile(dir, client.Profile{
		Member: m.Name, MSP: m.MSP, Kind: string(m.Kind), Gateway: m.Gateway, HTTP: web.Addr().String(),
		CA: filepath.Join(folder, "ca.pem"), Cert: filepath.Join(folder, "client.pem"), Key: filepath.Join(folder, "client-key.pem"),
		Users: users(folder),
	}))
	return g
}

// certify makes a member's TLS authority, its gateway's certificate and, in
// folder, what its software needs to call it.
func certify(t testing.TB, folder, name string) (*x509.Certificate, *tls.Certificate) {
	t.Helper()
	ca, err := authority.New(name, name+" TLS authority")
	must(t, err)
	root, err := authority.ParseCert(ca.Pair().Cert)
	must(t, err)
	own, err := ca.TLS("gateway."+name, authority.Gateway, "127.0.0.1")
	must(t, err)
	pair, err := tls.X509KeyPair(own.Cert, own.Key)
	must(t, err)
	software, err := ca.TLS("client."+name, authority.Client)
	must(t, err)
	renewed, err := ca.TLS("client."+name, authority.Client)
	must(t, err)
	must(t, os.MkdirAll(folder, 0o700))
	for _, role := range people {
		person, err := ca.Person(string(role)+"."+name, map[string]string{access.RoleAttribute: string(role)})
		must(t, err)
		must(t, os.WriteFile(filepath.Join(folder, string(role)+".pem"), person.Cert, 0o600))
		must(t, os.WriteFile(filepath.Join(folder, string(role)+"-key.pem"), person.Key, 0o600))
	}
	for file, content := range map[string][]byte{
		"ca.pem": ca.Pair().Cert, "client.pem": software.Cert, "client-key.pem": software.Key,
		"renewed.pem": renewed.Cert, "renewed-key.pem": renewed.Key,
	} {
		must(t, os.WriteFile(filepath.Join(folder, file), content, 0o600))
	}
	return root, &pair
}

// people are the roles in which somebody works with every member's gateway.
var people = []access.Role{access.Clinician, access.RecordsOfficer, access.ClaimsHandler, access.Auditor}

func users(folder string) map[string]client.User {
	all := map[string]client.User{}
	for _, role := range people {
		all[string(role)] = client.User{Cert: filepath.Join(folder, string(role)+".pem"), Key: filepath.Join(folder, string(role)+"-key.pem")}
	}
	return all
}

// Now is the clock of the consortium. It stands still.
func (c *Consortium) Now() time.Time { return c.chain.ledger.Now() }

// Stop takes a member's gateway off the network.
func (c *Consortium) Stop(member string) { c.servers[member].Stop() }

// LoseAnswer lets the next transaction commit and loses the answer to it.
func (c *Consortium) LoseAnswer() {
	c.chain.mu.Lock()
	defer c.chain.mu.Unlock()
	c.chain.lose = true
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
