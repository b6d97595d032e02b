package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/contract/server"
	"yitong/cmd/yitong/command"
	"yitong/cmd/yitong/consortium"
)

// serveFloor is the argument by which this program serves the floor's chaincode.
const serveFloor = "serve-floor"

// profiles is the folder beside a network's directory where its processes leave CPU
// profiles, if it is there. (Nothing of a gateway's own door or configuration
// knows of profiling.)
const profiles = "profiles"

// serve plays the part of a consortium's process, if that is what the arguments
// ask for: Yitong's own by the very commands that `yitong` has for them.
func serve(ctx context.Context, args []string) (exit int, ok bool) {
	switch args[0] {
	case serveFloor:
		if err := runFloor(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1, true
		}
		return 0, true
	case consortium.ServeChaincode, consortium.ServeGateway:
		defer profiled(args[0])()
		return command.Run(ctx, args, command.World{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Now: time.Now}), true
	}
	return 0, false
}

// profiled profiles this process until the function it returns is called.
func profiled(role string) (end func()) {
	end = func() {}
	self, err := os.Executable()
	if err != nil {
		return end
	}
	f, err := os.Create(filepath.Join(filepath.Dir(self), "..", "..", profiles, fmt.Sprintf("%s-%d.pprof", role, os.Getpid())))
	if err != nil {
		return end // no such folder: nobody asked
	}
	if pprof.StartCPUProfile(f) != nil {
		return end
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}
}

func collectProfiles(dir, to string) error {
	return errors.Join(os.MkdirAll(to, 0o755), os.CopyFS(to, os.DirFS(filepath.Join(dir, profiles))))
}

func runFloor(ctx context.Context) error {
	config, err := server.FromEnvironment(func(name string) (string, bool) {
		if name == server.ClientCAVariable {
			name = "CHAINCODE_CLIENT_CA_CERT" // as network/fabric names it
		}
		return os.LookupEnv(name)
	})
	if err != nil {
		return err
	}
	return server.Run(ctx, config, floor{}, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
}

// floor is the least that a chaincode can do: put VALUE under KEY.
type floor struct{}

// floorSize is the size of the value, in bytes.
const floorSize = 100

func (floor) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

func (floor) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	args := stub.GetArgs()
	if len(args) != 3 || len(args[2]) != floorSize {
		return shim.Error("put KEY VALUE, the value of " + fmt.Sprint(floorSize) + " bytes")
	}
	if _, err := hex.DecodeString(string(args[1])); err != nil {
		return shim.Error("the key is not hexadecimal")
	}
	if err := stub.PutState(string(args[1]), args[2]); err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success(nil)
}
