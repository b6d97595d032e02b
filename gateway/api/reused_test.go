package api_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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

// counted is a ledger that counts what is submitted.
type counted struct {
	slow
	n *atomic.Int64
}

func (c counted) Submit(context.Context, string, any, any) (ledger.Commit, error) {
	c.n.Add(1)
	return ledger.Commit{TxID: share.NewID(), Block: uint64(c.n.Load()), Own: true}, nil
}

// A14: one idempotency key and two bodies. At either door the second one is refused and has no
// effect.
func TestAKeyWithAnotherBodyIsRefusedAtBothDoors(t *testing.T) {
	own := newAuthority(t, "own")
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	store, err := keys.Create(filepath.Join(dir, "keys.db"), []byte("a passphrase of a test"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	sealed, err := vault.OpenDir(filepath.Join(dir, "vault"))
	if err != nil {
		t.Fatal(err)
	}
	defer sealed.Close()
	kept, err := outbox.New(t.Context(), outbox.Config{URL: "sqlite:" + filepath.Join(dir, "outbox.db"), Secret: make([]byte, 32), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	effects := new(atomic.Int64)
	gateway, err := share.New(share.Config{
		Self: registry.Candidate{MSP: "OwnMSP", Name: "own", Kind: registry.Hospital}, Ledger: counted{n: effects}, Keys: store, Vault: sealed, Log: quiet, Channel: "yitong",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer gateway.Close(context.Background())
	shown := pair(t, own, authority.Gateway)
	config := api.Config{
		Gateway: gateway, Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &shown, nil },
		Trust: api.Trust{"OwnMSP": root(t, own)}, Outbox: kept, Log: quiet,
	}
	server := api.NewServer(config)
	web := api.NewWeb(config, api.Mount{Path: "/policy/", New: func(conn grpc.ClientConnInterface) http.Handler {
		return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
			text, _ := io.ReadAll(in.Body)
			seconds, _ := strconv.ParseInt(string(text), 10, 64)
			set, err := yitongv1.NewPoliciesClient(conn).Set(in.Context(), &yitongv1.SetPolicyRequest{EmergencySeconds: &seconds})
			if err != nil {
				api.Problem(out, err, 0)
				return
			}
			_, _ = io.WriteString(out, set.GetCommit().GetTransactionId())
		})
	}})
	var at [2]string
	for i, serve := range []func(net.Listener) error{server.Serve, func(l net.Listener) error { return web.ServeTLS(l, "", "") }} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at[i] = l.Addr().String()
		go serve(l)
	}
	t.Cleanup(func() { server.Stop(); web.Close() })

	client := &tls.Config{RootCAs: pool(t, own), ServerName: "127.0.0.1", Certificates: []tls.Certificate{person(t, own, "operator")}}
	conn, err := api.Dial(at[0], client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	transport := &http.Transport{TLSClientConfig: client}
	defer transport.CloseIdleConnections()
	// Each door's answer is the transaction's id, or the word of the refusal.
	doors := map[string]func(key string, seconds int64) string{
		"gRPC": func(key string, seconds int64) string {
			ctx := t.Context()
			if key != "" {
				ctx = with(ctx, "idempotency-key", key)
			}
			set, err := yitongv1.NewPoliciesClient(conn).Set(ctx, &yitongv1.SetPolicyRequest{EmergencySeconds: &seconds})
			if refused, ok := api.RefusalOf(err); ok && status.Code(err) == codes.AlreadyExists {
				return string(refused.Code)
			}
			if err != nil {
				return err.Error()
			}
			return set.GetCommit().GetTransactionId()
		},
		"HTTPS": func(key string, seconds int64) string {
			in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+at[1]+"/policy/", strings.NewReader(strconv.FormatInt(seconds, 10)))
			if err != nil {
				t.Fatal(err)
			}
			if key != "" {
				in.Header.Set("Idempotency-Key", key)
			}
			out, err := transport.RoundTrip(in)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Body.Close()
			doc, err := io.ReadAll(out.Body)
			if err != nil {
				t.Fatal(err)
			}
			if out.StatusCode == http.StatusUnprocessableEntity && strings.Contains(string(doc), `"code":"key-reused"`) {
				return string(api.KeyReused)
			}
			if out.StatusCode != http.StatusOK {
				return out.Status + " " + string(doc)
			}
			return string(doc)
		},
	}
	for name, ask := range doors {
		t.Run(name, func(t *testing.T) {
			effects.Store(0)
			key := "key-of-" + name
			first := ask(key, 3601)
			if len(first) != 32 || effects.Load() != 1 {
				t.Fatalf("the first is answered %q, with %d effects", first, effects.Load())
			}
			if again := ask(key, 3601); again != first || effects.Load() != 1 {
				t.Errorf("the same again is answered %q and not %q; %d effects", again, first, effects.Load())
			}
			if other := ask(key, 3602); other != string(api.KeyReused) || effects.Load() != 1 {
				t.Errorf("another body under the key is answered %q; %d effects", other, effects.Load())
			}
			if control := ask(key+"-2", 3602); len(control) != 32 || effects.Load() != 2 {
				t.Errorf("control: that body under a key of its own is answered %q; %d effects", control, effects.Load())
			}
			ask("", 3603)
			if ask("", 3603); effects.Load() != 4 {
				t.Errorf("control: without a key two are %d effects", effects.Load()-2)
			}
		})
	}
}
