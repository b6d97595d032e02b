package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"yitong/network/fabric"
)

func main() { os.Exit(run()) }

func run() int {
	if handled, exit := fabric.Builder(os.Args[0], os.Args[1:]); handled {
		return exit
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	if len(os.Args) > 1 {
		if exit, ok := serve(ctx, os.Args[1:]); ok {
			return exit
		}
	}
	o, err := flags()
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	if err := bench(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

type options struct {
	plan
	json    bool
	profile string
	only    string
	arms    []string // nil is all; the floor is always measured
	seed    uint64
}

func flags() (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	short := f.Bool("short", false, "fewer rounds, 2 to 4 minutes")
	f.BoolVar(&o.json, "json", false, "one JSON document on standard output, the text on standard error")
	f.StringVar(&o.profile, "profile", "", "put CPU profiles of gateways and chaincode servers into this `directory`")
	f.StringVar(&o.only, "only", "", "ledger or local: measure only what needs a network, or only what needs none")
	f.Uint64Var(&o.seed, "seed", 1, "of the order of turns and of the bootstrap")
	arms := f.String("arms", "", "measure only these, separated by commas, beside the floor")
	rounds := f.Int("rounds", 0, "rounds for each number of clients, in place of the plan's")
	clients := f.Int("clients", 0, "measure with this many clients only")
	if err := f.Parse(os.Args[1:]); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.only != "" && o.only != "ledger" && o.only != "local" {
		f.Usage()
		return o, errors.New("usage")
	}
	if *arms != "" {
		o.arms = strings.Split(*arms, ",")
	}
	o.plan = whole
	if *short {
		o.plan = brief
	}
	o.plan = o.plan.with(*rounds, *clients)
	return o, nil
}

func bench(ctx context.Context, o options) error {
	var out io.Writer = os.Stdout
	if o.json {
		out = os.Stderr
	}
	began := time.Now()
	r := &report{Began: began.UTC(), Machine: machine(ctx), Seed: o.seed, Short: o.short}
	load := readLoad()
	text := printer{out}
	text.machine(r.Machine)
	if o.only != "local" {
		if err := benchLedger(ctx, o, r, text); err != nil {
			return err
		}
	}
	if o.only != "ledger" {
		if err := benchLocal(ctx, o, r, text); err != nil {
			return err
		}
	}
	r.Load = readLoad().since(load)
	r.Seconds = time.Since(began).Seconds()
	r.judge()
	text.ending(r)
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	return nil
}

// benchLedger measures everything that needs a network, and checks afterwards
// that the ledger holds what was acknowledged.
func benchLedger(ctx context.Context, o options, r *report, text printer) (err error) {
	top, err := os.MkdirTemp("", "yitong-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	if o.profile != "" {
		defer func() { err = errors.Join(err, collectProfiles(top, o.profile)) }()
		if err := os.Mkdir(filepath.Join(top, profiles), 0o700); err != nil {
			return err
		}
	}
	w, err := newWorld(ctx, filepath.Join(top, "network"), func(s string) { text.say("%s", s) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	r.Network = w.describe()
	if err := measure(ctx, o, w, r, text); err != nil {
		return err
	}
	r.Check, err = w.check(ctx)
	if err != nil {
		return err
	}
	text.check(r.Check)
	return r.Check.err()
}
