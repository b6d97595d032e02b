package api_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"yitong/chaincode/registry"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/credential"
	"yitong/gateway/share"
	"yitong/network/fabric/authority"
)

// A revoked certificate is refused at once: a new connection in its handshake, and one that
// was there before at its next call. Another of the same member's goes on.
func TestARevokedCertificateIsRefusedAtOnce(t *testing.T) {
	own := newAuthority(t, "own")
	trust := api.Trust{"OwnMSP": root(t, own)}
	folder := t.TempDir()
	lists, err := credential.OpenRevocations(folder, trust, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := pair(t, own, authority.Gateway)
	server := api.NewServer(api.Config{
		Gateway:     &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Kind: registry.Hospital}}},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &served, nil },
		Trust:       trust, Revocations: lists, Log: slog.New(slog.DiscardHandler),
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)

	stolen, good := pair(t, own, authority.Client), pair(t, own, authority.Client)
	dial := func(c tls.Certificate) *grpc.ClientConn {
		conn, err := api.Dial(listener.Addr().String(), &tls.Config{RootCAs: pool(t, own), ServerName: "127.0.0.1", Certificates: []tls.Certificate{c}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	call := func(conn *grpc.ClientConn) codes.Code {
		return status.Code(conn.Invoke(t.Context(), yitongv1.Consents_Grant_FullMethodName, &emptypb.Empty{}, &emptypb.Empty{}))
	}
	let := func(c codes.Code) bool { return c != codes.Unauthenticated && c != codes.Unavailable }
	before, kept := dial(stolen), dial(good)
	if !let(call(before)) || !let(call(kept)) {
		t.Fatal("not let in before anything was revoked")
	}

	raw, err := own.Revoke(nil, leaf(t, stolen).SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "OwnMSP.crl"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); let(call(before)); time.Sleep(50 * time.Millisecond) { // the folder is looked at once a second
		if time.Now().After(deadline) {
			t.Fatal("a connection made before goes on under the revoked certificate")
		}
	}
	if got := call(dial(stolen)); let(got) {
		t.Errorf("a new connection under the revoked certificate: %v", got)
	}
	if got := call(kept); !let(got) {
		t.Errorf("another certificate of the member, connected: %v", got)
	}
	if got := call(dial(good)); !let(got) {
		t.Errorf("another certificate of the member: %v", got)
	}
}

func TestARevocationListCountsUnderItsAuthoritysSignatureAndForwardsOnly(t *testing.T) {
	own, other := newAuthority(t, "own"), newAuthority(t, "other")
	cert, late := leaf(t, pair(t, own, authority.Client)), leaf(t, pair(t, own, authority.Client))
	list := func(by *authority.Authority, previous []byte, serials ...*big.Int) []byte {
		raw, err := by.Revoke(previous, serials...)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	first := list(own, nil, cert.SerialNumber)
	second := list(own, first, late.SerialNumber)
	for name, tc := range map[string]struct {
		files   [][]byte // one after the other
		cert    *x509.Certificate
		revoked bool
	}{
		"its own authority's":                         {[][]byte{first}, cert, true},
		"the next one, which names it too":            {[][]byte{first, second}, cert, true},
		"the next one, which names another":           {[][]byte{first, second}, late, true},
		"an older one in the place of a newer":        {[][]byte{second, first}, late, true},
		"another authority's in the place of its own": {[][]byte{first, list(other, nil, late.SerialNumber)}, cert, true},
		"rubbish in the place of its own":             {[][]byte{first, []byte("rubbish")}, cert, true},
		"one that doesn't name it":                    {[][]byte{first}, late, false},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(folder, "OwnMSP.crl")
			var lists *credential.Revocations
			for _, raw := range tc.files {
				os.Remove(file)
				if err := os.WriteFile(file, raw, 0o644); err != nil {
					t.Fatal(err)
				}
				if lists == nil {
					var err error
					if lists, err = credential.OpenRevocations(folder, api.Trust{"OwnMSP": root(t, own)}, slog.New(slog.DiscardHandler)); err != nil {
						t.Fatal(err)
					}
				}
				lists.LookNow()
			}
			if got := lists.Revoked("OwnMSP", tc.cert); got != tc.revoked {
				t.Errorf("revoked: %v", got)
			}
		})
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "OwnMSP.crl"), list(other, nil, cert.SerialNumber), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := credential.OpenRevocations(folder, api.Trust{"OwnMSP": root(t, own)}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a gateway starts with a list that it can't use")
	}
}

func leaf(t *testing.T, c tls.Certificate) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
