// Command yitong-gateway serves one member's gateway.
//
//	yitong-gateway --config gateway.yaml
//
// It stops at SIGINT or SIGTERM once the calls under way are done. Exit codes: 0
// stopped as told, 1 failed, 2 wrong usage.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"yitong/gateway/node"
)

func main() {
	config := flag.String("config", "", "the gateway's configuration, a YAML `file`")
	flag.Parse()
	if *config == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := node.Serve(ctx, *config); err != nil {
		fmt.Fprintln(os.Stderr, "yitong-gateway:", err)
		os.Exit(1)
	}
}
