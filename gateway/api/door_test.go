package api_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"yitong/chaincode/registry"
	"yitong/gateway/api"
	"yitong/gateway/handle"
	"yitong/gateway/share"
	"yitong/network/fabric/authority"
)

// everyMethod lists the API from its own description, so that a method that is
// added is tried too.
func everyMethod() (methods []string) {
	protoregistry.GlobalFiles.RangeFilesByPackage("yitong.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				methods = append(methods, "/"+string(s.FullName())+"/"+string(s.Methods().Get(j).Name()))
			}
		}
		return true
	})
	return methods
}

// forGateways says whether a method is of a service that gateways offer each other.
func forGateways(method string) bool {
	for _, service := range api.BetweenGateways {
		if strings.HasPrefix(method, "/"+service+"/") {
			return true
		}
	}
	return false
}

func TestWhoMayCallWhat(t *testing.T) {
	own, other, stranger := newAuthority(t, "own"), newAuthority(t, "other"), newAuthority(t, "stranger")
	address := serve(t, own, api.Trust{"OwnMSP": root(t, own), "OtherMSP": root(t, other)})

	callers := map[string]struct {
		by    *authority.Authority
		role  authority.Role
		admit func(exchange bool) bool
	}{
		"the member's own software":          {own, authority.Client, func(exchange bool) bool { return !exchange }},
		"the member's own administrator":     {own, authority.Admin, func(exchange bool) bool { return !exchange }},
		"the member's own gateway":           {own, authority.Gateway, func(bool) bool { return false }},
		"the member's own peer":              {own, authority.Peer, func(bool) bool { return false }},
		"another member's gateway":           {other, authority.Gateway, func(exchange bool) bool { return exchange }},
		"another member's software":          {other, authority.Client, func(bool) bool { return false }},
		"another member's peer":              {other, authority.Peer, func(bool) bool { return false }},
		"a gateway that belongs to nobody":   {stranger, authority.Gateway, func(bool) bool { return false }},
		"somebody who shows no certificate":  {nil, "", func(bool) bool { return false }},
		"software that belongs to no member": {stranger, authority.Client, func(bool) bool { return false }},
	}
	for name, c := range callers {
		t.Run(name, func(t *testing.T) {
			config := &tls.Config{RootCAs: pool(t, own), ServerName: "127.0.0.1"}
			if c.by != nil {
				config.Certificates = []tls.Certificate{pair(t, c.by, c.role)}
			}
			conn, err := api.Dial(address, config)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, method := range everyMethod() {
				// The gateway behind the door is empty, so whoever gets in falls over it or is
				// refused by a rule; what counts is who doesn't get that far.
				err := conn.Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{})
				_, byRule := api.RefusalOf(err)
				refused := !byRule && (status.Code(err) == codes.PermissionDenied || status.Code(err) == codes.Unauthenticated || status.Code(err) == codes.Unavailable)
				if admitted := !refused; admitted != c.admit(forGateways(method)) {
					t.Errorf("%s: admitted is %v (%v)", method, admitted, err)
				}
			}
		})
	}
}

func TestTheDoorSpeaksTLS13Alone(t *testing.T) {
	own := newAuthority(t, "own")
	address := serve(t, own, api.Trust{"OwnMSP": root(t, own)})
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS12} {
		conn, err := tls.Dial("tcp", address, &tls.Config{
			RootCAs: pool(t, own), ServerName: "127.0.0.1", MaxVersion: version, MinVersion: version,
			Certificates: []tls.Certificate{pair(t, own, authority.Client)},
		})
		if err == nil {
			conn.Close()
			t.Errorf("%s was accepted", tls.VersionName(version))
		}
	}
}

func TestAGatewayIsReachedOnlyByItsOwnCertificate(t *testing.T) {
	own, other := newAuthority(t, "own"), newAuthority(t, "other")
	trust := api.Trust{"OwnMSP": root(t, own), "OtherMSP": root(t, other)}
	address := serve(t, own, trust)
	shown := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c := pair(t, other, authority.Gateway)
		return &c, nil
	}
	counterparts := api.NewCounterparts(trust, nil, shown)
	defer counterparts.Close()
	// What serves at this address shows OwnMSP's certificate; it can't pass for OtherMSP.
	_, err := counterparts.Evaluate(t.Context(), registry.Member{MSP: "OtherMSP", Gateway: address}, handle.Relation{}, nil)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func serve(t *testing.T, own *authority.Authority, trust api.Trust) string {
	t.Helper()
	cert := pair(t, own, authority.Gateway)
	server := api.NewServer(api.Config{
		Gateway:     &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Kind: registry.Hospital}}},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
		Trust:       trust, Log: slog.New(slog.DiscardHandler),
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func newAuthority(t *testing.T, name string) *authority.Authority {
	t.Helper()
	a, err := authority.New(name, name+" TLS authority")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func root(t *testing.T, a *authority.Authority) *x509.Certificate {
	t.Helper()
	c, err := authority.ParseCert(a.Pair().Cert)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pool(t *testing.T, a *authority.Authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(root(t, a))
	return p
}

func pair(t *testing.T, a *authority.Authority, role authority.Role) tls.Certificate {
	t.Helper()
	p, err := a.TLS("someone", role, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
