package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"go.uber.org/goleak"

	"yitong/network/fabric"
)

// The test binary is every program that a network needs beside Fabric's: the
// chaincode builder, by its name, and a chaincode server, by its argument.
func TestMain(m *testing.M) {
	if handled, exit := fabric.Builder(os.Args[0], os.Args[1:]); handled {
		os.Exit(exit)
	}
	if len(os.Args) > 1 && os.Args[1] == "serve-notes" {
		if err := serveNotes(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "run-network" {
		fmt.Println(runNetwork(os.Args[2]))
		return
	}
	goleak.VerifyTestMain(m)
}

// runNetwork resumes the network in dir, commits a note, says so and waits to be
// killed.
func runNetwork(dir string) error {
	binaries, err := fabric.Install(context.Background(), nil)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n, err := fabric.Open(dir, nil, fabric.Options{Binaries: binaries, Executable: self, Chaincodes: []fabric.Chaincode{notesChaincode()}})
	if err != nil {
		return err
	}
	if err := n.Start(context.Background()); err != nil {
		return err
	}
	c, err := n.Members()[0].Connect(n.Members()[0].Gateway())
	if err != nil {
		return err
	}
	if err := put(context.Background(), c, "before the kill", "kept"); err != nil {
		return err
	}
	fmt.Println("committed")
	select {}
}

func serveNotes() error {
	var tls shim.TLSProperties
	for file, into := range map[string]*[]byte{
		"CHAINCODE_TLS_KEY": &tls.Key, "CHAINCODE_TLS_CERT": &tls.Cert, "CHAINCODE_CLIENT_CA_CERT": &tls.ClientCACerts,
	} {
		b, err := os.ReadFile(os.Getenv(file))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		*into = b
	}
	server := shim.ChaincodeServer{
		CCID: os.Getenv("CHAINCODE_ID"), Address: os.Getenv("CHAINCODE_SERVER_ADDRESS"),
		CC: notes{suffix: os.Getenv("NOTES_SUFFIX")}, TLSProps: tls,
	}
	return server.Start()
}

// notes is the smallest chaincode: put KEY VALUE, get KEY. A server with a
// suffix lies: it endorses another value than the one that was asked for.
type notes struct{ suffix string }

func (notes) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

func (n notes) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	function, args := stub.GetFunctionAndParameters()
	switch {
	case function == "put" && len(args) == 2:
		if err := stub.PutState(args[0], []byte(args[1]+n.suffix)); err != nil {
			return shim.Error(err.Error())
		}
		return shim.Success([]byte(args[1] + n.suffix))
	case function == "get" && len(args) == 1:
		v, err := stub.GetState(args[0])
		if err == nil && v == nil {
			err = errors.New("no such note")
		}
		if err != nil {
			return shim.Error(err.Error())
		}
		return shim.Success(v)
	}
	return shim.Error("put KEY VALUE or get KEY")
}
