package server_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"yitong/chaincode/contract"
	"yitong/chaincode/contract/server"
)

func TestConfigurationNamesWhatIsMissing(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		want []string // none: accepted
	}{
		{"nothing is set", nil, []string{server.IDVariable, server.AddressVariable}},
		{"no address", map[string]string{server.IDVariable: "y:1"}, []string{server.AddressVariable}},
		{"loopback needs no TLS", map[string]string{server.IDVariable: "y:1", server.AddressVariable: "127.0.0.1:7052"}, nil},
		{"IPv6 loopback needs no TLS", map[string]string{server.IDVariable: "y:1", server.AddressVariable: "[::1]:7052"}, nil},
		{"any other address does", map[string]string{server.IDVariable: "y:1", server.AddressVariable: "0.0.0.0:7052"}, []string{server.CertVariable}},
		{"no host listens everywhere, which does too", map[string]string{server.IDVariable: "y:1", server.AddressVariable: ":7052"}, []string{server.CertVariable}},
		{"half a TLS configuration", map[string]string{server.IDVariable: "y:1", server.AddressVariable: "127.0.0.1:1", server.CertVariable: "c"}, []string{server.ClientCAVariable}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := server.FromEnvironment(func(name string) (string, bool) { v, ok := test.env[name]; return v, ok })
			if (err != nil) != (test.want != nil) {
				t.Fatalf("error %v", err)
			}
			for _, w := range test.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q doesn't name %s", err, w)
				}
			}
		})
	}
}

// A peer's first word from the chaincode is REGISTER with the package id.
func TestAPeerIsToldTheChaincodeIDAndTheServerStopsWhenAsked(t *testing.T) {
	chaincode, err := contract.New(contract.SystemClock)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	address := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, server.Config{ID: "yitong:1", Address: "127.0.0.1:0"}, chaincode,
			slog.New(slog.DiscardHandler), func(a net.Addr) { address <- a })
	}()
	var a net.Addr
	select {
	case a = <-address:
	case err := <-ended:
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(a.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := peer.NewChaincodeClient(conn).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	message, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if message.Type != peer.ChaincodeMessage_REGISTER || !strings.Contains(string(message.Payload), "yitong:1") {
		t.Errorf("the first message is %v %q", message.Type, message.Payload)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("stopping failed: %v", err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream outlived the server")
	}
}
