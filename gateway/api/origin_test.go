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

	"yitong/chaincode/registry"
	"yitong/gateway/api"
	"yitong/gateway/share"
	"yitong/network/fabric/authority"
)

// A26: a page of another site can have a browser send what the browser's client
// certificate lets in. Nothing of it changes anything, no page reads an answer, none is framed.
func TestAPageOfAnotherSiteChangesNothing(t *testing.T) {
	own := newAuthority(t, "own")
	cert := pair(t, own, authority.Gateway)
	reached := 0
	server := api.NewWeb(
		api.Config{
			Gateway:     &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Kind: registry.Hospital}}},
			Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
			Trust:       api.Trust{"OwnMSP": root(t, own)}, Log: slog.New(slog.DiscardHandler),
		},
		api.Mount{Path: "/changes/", New: func(grpc.ClientConnInterface) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })
		}},
	)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.ServeTLS(listener, "", "")
	t.Cleanup(func() { server.Close() })
	base := "https://" + listener.Addr().String()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, own), Certificates: []tls.Certificate{pair(t, own, authority.Client)}}}
	t.Cleanup(transport.CloseIdleConnections)

	const form = "application/x-www-form-urlencoded"
	for _, test := range []struct {
		name, method string
		header       map[string]string
		status       int
	}{
		{"control: software posts", "POST", nil, 200},
		{"control: a page of the gateway's own posts", "POST", map[string]string{"Origin": base, "Sec-Fetch-Site": "same-origin"}, 200},
		{"control: a page of another site links here", "GET", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200},
		{"a form of another site", "POST", map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": form}, 403},
		{"text that needs no preflight", "POST", map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}, 403},
		{"a sister domain", "POST", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"a browser that says no more than Origin", "POST", map[string]string{"Origin": "https://evil.example"}, 403},
		{"a sandboxed frame", "POST", map[string]string{"Origin": "null"}, 403},
		{"another scheme on the same host", "POST", map[string]string{"Origin": "http://evil.example"}, 403},
		{"PUT", "PUT", map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403},
		{"PATCH", "PATCH", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"DELETE", "DELETE", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a method that nobody knows", "BREW", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, err := http.NewRequestWithContext(t.Context(), test.method, base+"/changes/", strings.NewReader("a=b"))
			if test.method == "GET" {
				in.Body, in.ContentLength = http.NoBody, 0
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range test.header {
				in.Header.Set(name, value)
			}
			before := reached
			out, err := transport.RoundTrip(in)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(out.Body)
			out.Body.Close()
			if out.StatusCode != test.status || (reached > before) != (test.status == 200) {
				t.Errorf("%s, the handler reached %d times: %s", out.Status, reached-before, body)
			}
			if got := out.Header.Get("Content-Security-Policy"); !strings.Contains(got, "frame-ancestors 'none'") {
				t.Errorf("the policy is %q", got)
			}
			for name := range out.Header {
				if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
					t.Errorf("the answer has %s", name)
				}
			}
		})
	}
	t.Run("a preflight is granted nothing", func(t *testing.T) {
		in, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, base+"/changes/", nil)
		if err != nil {
			t.Fatal(err)
		}
		in.Header.Set("Origin", "https://evil.example")
		in.Header.Set("Access-Control-Request-Method", "POST")
		in.Header.Set("Access-Control-Request-Headers", "authorization, content-type")
		out, err := transport.RoundTrip(in)
		if err != nil {
			t.Fatal(err)
		}
		out.Body.Close()
		for name := range out.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("it is granted %s", name)
			}
		}
	})
}
