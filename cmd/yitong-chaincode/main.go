// Command yitong-chaincode serves Yitong's chaincode to one peer.
//
// It is configured by the environment: CHAINCODE_ID, the package id that the peer has
// installed; CHAINCODE_SERVER_ADDRESS, the host:port to listen on; and, for any address
// but loopback, CHAINCODE_TLS_CERT, CHAINCODE_TLS_KEY and CHAINCODE_CLIENT_CA_CERT, the
// paths of PEM files. SIGTERM and SIGINT stop it once the transactions under way have ended.
//
// Exit codes: 0 stopped by signal, 1 failed, 2 not configured.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"yitong/chaincode/contract"
	"yitong/chaincode/contract/server"
)

func main() { os.Exit(run()) }

func run() int {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	config, err := server.FromEnvironment(os.LookupEnv)
	if err != nil {
		log.Error("chaincode is not configured", "error", err.Error())
		return 2
	}
	chaincode, err := contract.New(contract.SystemClock)
	if err != nil {
		log.Error("chaincode can't be made", "error", err.Error())
		return 1
	}
	if err := server.Run(ctx, config, chaincode, log, nil); err != nil {
		log.Error("chaincode failed", "error", err.Error())
		return 1
	}
	return 0
}
