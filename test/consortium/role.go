package consortium

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"yitong/chaincode/contract/server"
	"yitong/chaincode/ledgertest"
	"yitong/cmd/yitong/command"
	"yitong/cmd/yitong/consortium"
	"yitong/gateway/failpoint"
	"yitong/network/fabric"
	"yitong/test/liar"
)

// ServeProbe is the argument under which a test binary serves ledgertest.Probe.
const ServeProbe = "serve-probe"

// ordersName is the file of a chaincode server's orders, in its label's directory.
const ordersName = "orders.json"

// Main is the TestMain of a package whose tests run a consortium. The consortium
// starts its own program again for each of its processes, and here that program
// is the test binary: by name or first argument it is the peers' chaincode
// builder, a chaincode server that lies when it is told to, or a gateway.
func Main(m *testing.M) {
	if handled, exit := fabric.Builder(os.Args[0], os.Args[1:]); handled {
		os.Exit(exit)
	}
	if len(os.Args) > 1 {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		switch os.Args[1] {
		case consortium.ServeGateway:
			failpoint.Arm(die)
			os.Exit(command.Run(ctx, os.Args[1:], command.World{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Now: time.Now}))
		case consortium.ServeChaincode:
			os.Exit(serve(ctx, func() (shim.Chaincode, error) { return liar.New(ordersFile()) }))
		case ServeProbe:
			os.Exit(serve(ctx, func() (shim.Chaincode, error) { return ledgertest.Probe{}, nil }))
		}
	}
	code := m.Run()
	shared.end()
	os.Exit(code)
}

// ordersFile lies two levels above the server's certificate, beside the label's
// connection.json.
func ordersFile() string {
	return filepath.Join(filepath.Dir(filepath.Dir(os.Getenv(server.CertVariable))), ordersName)
}

func serve(ctx context.Context, make func() (shim.Chaincode, error)) int {
	config, err := server.FromEnvironment(variable)
	if err == nil {
		var chaincode shim.Chaincode
		if chaincode, err = make(); err == nil {
			err = server.Run(ctx, config, chaincode, slog.New(slog.NewJSONHandler(os.Stderr, nil)), nil)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// variable looks a variable up under the name that network/fabric gives it.
func variable(name string) (string, bool) {
	if v, ok := os.LookupEnv(name); ok || name != server.ClientCAVariable {
		return v, ok
	}
	return os.LookupEnv("CHAINCODE_CLIENT_CA_CERT")
}
