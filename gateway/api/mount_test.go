package api_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/registry"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
	"yitong/network/fabric/authority"
)

// What a mount asks for, it asks for as who stands at the door.
func TestAMountHasTheRightsOfItsCaller(t *testing.T) {
	own, other := newAuthority(t, "own"), newAuthority(t, "other")
	cert := pair(t, own, authority.Gateway)
	server := api.NewWeb(
		api.Config{
			Gateway:     &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Kind: registry.Hospital}}},
			Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
			Trust:       api.Trust{"OwnMSP": root(t, own), "OtherMSP": root(t, other)}, Log: slog.New(slog.DiscardHandler),
		},
		api.Mount{
			Path: "/echo/",
			New: func(conn grpc.ClientConnInterface) http.Handler {
				return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
					body, err := io.ReadAll(in.Body)
					if err != nil {
						t.Error(err)
					}
					// An empty id is refused by the handler itself, behind the door.
					_, err = yitongv1.NewRecordsClient(conn).Retract(in.Context(), &yitongv1.RetractRequest{Reason: string(body)})
					out.Header().Set("Code", status.Code(err).String())
				})
			},
		},
		api.Mount{
			Path:    "/grumpy/",
			New:     func(grpc.ClientConnInterface) http.Handler { return http.NotFoundHandler() },
			Problem: func(out http.ResponseWriter, _ error, _ int) { out.WriteHeader(http.StatusTeapot) },
		},
	)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.ServeTLS(listener, "", "")
	t.Cleanup(func() { server.Close() })
	ask := func(as *authority.Authority, path string) *http.Response {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, own), Certificates: []tls.Certificate{pair(t, as, authority.Client)}}}
		t.Cleanup(transport.CloseIdleConnections)
		in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+listener.Addr().String()+path, strings.NewReader("entered-in-error"))
		if err != nil {
			t.Fatal(err)
		}
		out, err := (&http.Client{Transport: transport}).Do(in)
		if err != nil {
			t.Fatal(err)
		}
		out.Body.Close()
		return out
	}
	if got := ask(own, "/echo/").Header.Get("Code"); got != codes.InvalidArgument.String() {
		t.Errorf("the member's own software got %s", got)
	}
	if out := ask(other, "/echo/"); out.StatusCode != http.StatusForbidden || out.Header.Get("Code") != "" {
		t.Errorf("another member's software reached the mount, and was answered %d", out.StatusCode)
	}
	if got := ask(own, "/grumpy/?"+strings.Repeat("x", 10<<10)).StatusCode; got != http.StatusTeapot {
		t.Errorf("a request that the guard turns away was answered %d", got)
	}
}
