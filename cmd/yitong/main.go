// Command yitong is the one command for people: it runs a consortium on this
// machine, shows it at work, and drives every step of sharing a medical record
// by hand. `yitong help` lists what it does, `yitong help exit-codes` what its
// exit codes mean.
//
// It is also the program of every process that a consortium is made of, except
// Fabric's own: chaincode server, gateway, and the peers' chaincode builder,
// which Fabric calls by the names detect, build and release.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"yitong/cmd/yitong/command"
	"yitong/network/fabric"
)

func main() { os.Exit(run()) }

func run() int {
	if handled, exit := fabric.Builder(os.Args[0], os.Args[1:]); handled {
		return exit
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second Ctrl-C is the system's: it ends us at once
	return command.Run(ctx, os.Args[1:], command.World{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Now: time.Now,
	})
}
