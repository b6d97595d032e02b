package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/registry"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/outbox"
	"yitong/gateway/share"
	"yitong/gateway/vault"
	"yitong/network/fabric/authority"
)

// slow is a ledger whose transactions take a while, as a real one's do, and that notes how
// long: what a call takes longer is the gateway's own.
type slow struct {
	journal ledger.Journal // nil keeps nothing
	took    func(caller int64, d time.Duration)
}

// ledgerTime is how long a transaction takes: a block's interval and a half.
const ledgerTime = 150 * time.Millisecond

func (s slow) Submit(ctx context.Context, function string, in, out any) (ledger.Commit, error) {
	id := share.NewID()
	if s.journal != nil { // as *ledger.Ledger does it
		argument, err := json.Marshal(in)
		if err == nil {
			_, err = s.journal.Kept(ctx, function, argument)
		}
		if err == nil {
			err = s.journal.Keep(ctx, ledger.Kept{TxID: id, Function: function, Argument: argument, Signed: make([]byte, 6<<10)})
		}
		if err != nil {
			return ledger.Commit{}, err
		}
	}
	begin := time.Now()
	time.Sleep(ledgerTime + time.Duration(rand.Int64N(int64(ledgerTime/4))))
	if u, ok := in.(contract.Updating); ok && u.Policy != nil {
		s.took(u.Policy.EmergencySeconds, time.Since(begin)) // which each client has its own of
	}
	if s.journal != nil {
		if err := s.journal.Settled(ctx, id); err != nil {
			return ledger.Commit{}, err
		}
	}
	return ledger.Commit{TxID: id, Block: 7, Own: true}, nil
}

func (s slow) Evaluate(_ context.Context, function string, _, out any, _ ...ledger.Option) error {
	if list, ok := out.(*contract.MemberList); ok && function == contract.RegistryMembers {
		list.Members = []registry.Member{{MSP: "OwnMSP", Name: "own", Kind: registry.Hospital}}
	}
	return nil
}

func (slow) Height(context.Context) (uint64, error) { return 8, nil }

// BenchmarkOverhead is what a write takes beyond the ledger's own time, of 32 clients: TLS,
// gRPC, policy, the person's digest in the key store, and with the outbox two commits of it
// and the journal's. Figures are of calls, not of the benchmark's loop.
func BenchmarkOverhead(b *testing.B) {
	for _, c := range []struct {
		name string
		with bool
	}{{"without-outbox", false}, {"with-outbox", true}} {
		b.Run(c.name, func(b *testing.B) { overhead(b, c.with) })
	}
}

func overhead(b *testing.B, with bool) {
	const clients, hour = 32, 3600
	dir, quiet := b.TempDir(), slog.New(slog.DiscardHandler)
	own, err := authority.New("own", "own TLS authority")
	must(b, err)
	store, err := keys.Create(filepath.Join(dir, "keys.db"), []byte("a passphrase of a benchmark"))
	must(b, err)
	defer store.Close()
	sealed, err := vault.OpenURL(b.Context(), filepath.Join(dir, "vault"))
	must(b, err)
	defer sealed.Close()
	var kept *outbox.Outbox
	var journal ledger.Journal
	if with {
		kept, err = outbox.New(b.Context(), outbox.Config{URL: "sqlite:" + filepath.Join(dir, "outbox.db"), Secret: make([]byte, 32), Log: quiet})
		must(b, err)
		defer kept.Close()
		journal = kept
	}
	var inLedger [clients]time.Duration // of each client's last call; it has one under way
	chain := slow{journal, func(caller int64, d time.Duration) { inLedger[caller-hour] = d }}
	gateway, err := share.New(share.Config{
		Self: registry.Candidate{MSP: "OwnMSP", Name: "own", Kind: registry.Hospital}, Ledger: chain, Keys: store, Vault: sealed, Log: quiet, Channel: "yitong",
	})
	must(b, err)
	defer gateway.Close(b.Context())
	ca, err := authority.ParseCert(own.Pair().Cert)
	must(b, err)
	shown := shownBy(b, own, authority.Gateway, nil)
	server := api.NewServer(api.Config{
		Gateway: gateway, Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &shown, nil },
		Trust: api.Trust{"OwnMSP": ca}, Outbox: kept, Limits: api.NewLimiter(api.Limits{Rate: 100000, Burst: 100000, RequestsPerCaller: clients, Requests: clients}), Log: quiet,
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	go server.Serve(listener)
	defer server.Stop()

	roots := x509.NewCertPool()
	roots.AddCert(ca)
	var conns []yitongv1.PoliciesClient
	for range clients {
		conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13,
			Certificates: []tls.Certificate{shownBy(b, own, authority.Client, map[string]string{access.RoleAttribute: "operator"})},
		})))
		must(b, err)
		defer conn.Close()
		conns = append(conns, yitongv1.NewPoliciesClient(conn))
	}
	one := func(i int) float64 {
		seconds := int64(hour + i)
		begin := time.Now()
		if _, err := conns[i].Set(b.Context(), &yitongv1.SetPolicyRequest{EmergencySeconds: &seconds}); err != nil {
			b.Error(err)
		}
		return float64(time.Since(begin)-inLedger[i]) / 1e6
	}
	var all sync.WaitGroup
	for i := range conns {
		all.Go(func() { one(i); one(i) }) // connected, prepared
	}
	all.Wait()
	b.ResetTimer()
	each := make([][]float64, clients)
	for i := range conns {
		all.Go(func() {
			// Clients don't know of one another, so they don't all begin at once.
			time.Sleep(ledgerTime * time.Duration(i) / clients)
			for range b.N {
				each[i] = append(each[i], one(i))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	over := slices.Concat(each...)
	slices.Sort(over)
	at := func(q float64) float64 { return over[min(int(q*float64(len(over))), len(over)-1)] }
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// shownBy is what software shows; with attributes, a person.
func shownBy(b *testing.B, a *authority.Authority, role authority.Role, person map[string]string) tls.Certificate {
	b.Helper()
	p, err := a.TLS("someone", role, "127.0.0.1")
	if person != nil {
		p, err = a.Person("operator", person)
	}
	must(b, err)
	c, err := tls.X509KeyPair(p.Cert, p.Key)
	must(b, err)
	return c
}
