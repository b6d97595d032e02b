package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yitong/chaincode/access"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/consortium"
	"yitong/cmd/yitong/demo"
	"yitong/cmd/yitong/screen"
	"yitong/cmd/yitong/synthetic"
	"yitong/network/fabric"
	"yitong/network/topology"
)

func (a *app) demo() *cobra.Command {
	var show show
	cmd := &cobra.Command{
		Use: "demo", Short: "See a whole consortium do its job, once, on this machine",
		Long: `See a whole consortium do its job, once, on this machine: real peers, ordering nodes,
chaincode and gateways, in a directory of their own that is removed at the end.

A hospital seals a record, an insurer asks, the patient consents, the insurer opens exactly
what the consent covers, the patient withdraws, the regulator reads everything back. Each
step is verified; the exit code is 0 only if all of them held.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.perform(cmd.Context(), show) },
	}
	f := cmd.Flags()
	f.StringVar(&show.bundle, "bundle", "", "your own FHIR R4 Bundle instead of a made-up patient; - for standard input")
	patient := &show.patient
	patient.add(f)
	f.Uint64Var(&show.seed, "seed", 1, "which patient is made up")
	f.BoolVar(&show.keep, "keep", false, "keep the directory (one named by --dir is always kept)")
	return cmd
}

// show is one performance of the demo.
type show struct {
	bundle  string
	patient patientFlags
	seed    uint64
	keep    bool
}

func (a *app) perform(ctx context.Context, show show) (err error) {
	play, err := a.play(show)
	if err != nil {
		return err
	}
	began := time.Now()
	dir, t, remove, err := a.stage(show.keep)
	if err != nil {
		return err
	}
	c, number, err := a.raise(ctx, dir, t)
	if err != nil {
		return errors.Join(err, remove())
	}
	defer func() { err = errors.Join(err, c.Close(), remove()) }()
	cast, closeCast, err := castOf(c.Profiles())
	if err != nil {
		return err
	}
	defer closeCast()
	outcome, err := demo.Run(ctx, cast, play, number, a.narrate)
	if err != nil {
		return err
	}
	return a.applaud(outcome, dir, show.keep || a.dir != "", time.Since(began))
}

// play reads or makes up the record.
func (a *app) play(show show) (demo.Play, error) {
	p := demo.Play{Now: a.Now}
	if show.bundle == "" {
		p.Bundle = synthetic.Bundle(show.seed, a.Now())
	} else {
		if show.bundle == "-" && show.patient.file == "-" {
			return p, usage("the Bundle and the patient can't both come from standard input")
		}
		doc, err := a.readInput(show.bundle)
		if err != nil {
			return p, err
		}
		if !isBundle(doc) {
			return p, usage("%s is not a FHIR R4 Bundle in JSON", show.bundle)
		}
		p.Bundle = doc
	}
	var err error
	if p.Patient, err = a.patient(show.patient); p.Patient == nil && err == nil {
		p.Patient, err = a.patientOfBundle(p.Bundle)
	}
	return p, err
}

// stage finds a directory: the one given, which is kept, or one of its own on
// free ports.
func (a *app) stage(keep bool) (dir string, t *topology.Topology, remove func() error, err error) {
	remove = func() error { return nil }
	if dir = a.dir; dir == "" {
		if dir, err = os.MkdirTemp("", "yitong-demo-"); err != nil {
			return "", nil, nil, err
		}
		if !keep {
			remove = func() error { return os.RemoveAll(dir) }
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "topology.yaml")); err == nil {
		return dir, nil, remove, nil
	}
	t = topology.Default()
	return dir, t, remove, t.FreePorts()
}

// raise installs and starts everything, as the first steps of the story. It
// returns the number of the next.
func (a *app) raise(ctx context.Context, dir string, t *topology.Topology) (*consortium.Consortium, int, error) {
	began := time.Now()
	binaries, err := a.install(ctx)
	if err != nil {
		return nil, 0, err
	}
	a.narrate(demo.Step{Number: 1, Who: "yitong", What: "finds or builds Hyperledger Fabric " + fabric.Release + ", peer and orderer", Took: time.Since(began), Seconds: time.Since(began).Seconds()})
	began = time.Now()
	c, err := a.start(ctx, dir, t, binaries)
	if err != nil {
		return nil, 0, err
	}
	var names []string
	for _, p := range c.Profiles() {
		names = append(names, p.Member)
	}
	a.narrate(demo.Step{
		Number: 2, Who: "yitong", What: "starts a consortium: " + strings.Join(names, ", "), Took: time.Since(began), Seconds: time.Since(began).Seconds(),
		Notes: []string{"each with a peer, an ordering node, a chaincode server and a gateway of its own, in " + dir},
	})
	return c, 3, nil
}

// castOf gives the parts to members, by kind.
func castOf(profiles []client.Profile) (demo.Cast, func(), error) {
	var cast demo.Cast
	var open []*client.Client
	end := func() {
		for _, c := range open {
			c.Close()
		}
	}
	parts := map[string][]**client.Client{
		"hospital": {&cast.Hospital, &cast.OtherHospital}, "insurer": {&cast.Insurer}, "regulator": {&cast.Regulator},
	}
	for _, p := range profiles {
		if len(parts[p.Kind]) == 0 {
			continue
		}
		c, err := client.Dial(p)
		if err != nil {
			end()
			return cast, nil, err
		}
		open = append(open, c)
		*parts[p.Kind][0] = c
		parts[p.Kind] = parts[p.Kind][1:]
	}
	if cast.OtherHospital != nil {
		p, err := cast.OtherHospital.Profile.For(string(access.Clinician))
		if err == nil {
			cast.Clinician, err = client.Dial(p)
		}
		if err != nil {
			end()
			return cast, nil, err
		}
		open = append(open, cast.Clinician)
	}
	for kind, left := range parts {
		if len(left) > 0 {
			end()
			return cast, nil, &failure{exit: exitFailure, err: fmt.Errorf("the consortium has too few members of the kind %s for the demo", kind),
				next: "use a directory of the default consortium: two hospitals, an insurer and a regulator"}
		}
	}
	return cast, end, nil
}

// narrate tells a step.
func (a *app) narrate(s demo.Step) {
	if a.screen.JSON {
		_ = a.screen.Object(s) // the story goes on; the exit code is what counts
		return
	}
	out := a.screen
	fmt.Fprintf(a.Out, "%2d. %s %s\n", s.Number, out.Strong(s.Who), s.What)
	for _, note := range s.Notes {
		fmt.Fprintf(a.Out, "      %s\n", note)
	}
	for _, c := range s.Checks {
		fmt.Fprintf(a.Out, "    %s %s\n", out.Mark(c.OK), sentence(c))
	}
	where := ""
	if s.Transaction != "" {
		where = fmt.Sprintf("transaction %s in block %d, ", screen.Short(s.Transaction), s.Block)
	}
	fmt.Fprintf(a.Out, "      %s\n\n", out.Faint(fmt.Sprintf("%s%.2f s", where, s.Took.Seconds())))
}

func sentence(c demo.Check) string {
	if c.OK {
		return c.What
	}
	return "NOT SO: " + c.What + ": " + c.Why
}

// applaud shows what the regulator sees and the sum of it all.
func (a *app) applaud(o demo.Outcome, dir string, kept bool, took time.Duration) error {
	if a.screen.JSON {
		show := a.screen.Events()
		for _, e := range o.History {
			if err := show(e); err != nil {
				return err
			}
		}
		sum := map[string]any{"verified": o.Verified, "failed": o.Failed, "seconds": took.Seconds()}
		if err := a.screen.Object(sum); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(a.Out, "What the regulator sees:")
		show := a.screen.Events()
		for _, e := range o.History {
			if strings.Contains(e.GetFunction(), ":") { // Fabric's own bookkeeping is in `audit history`
				if err := show(e); err != nil {
					return err
				}
			}
		}
		fmt.Fprintf(a.Out, "\n%d of %d checks verified in %.1f s.\n", o.Verified, o.Verified+o.Failed, took.Seconds())
	}
	if kept {
		a.screen.Say("kept in %s: `yitong up --dir %s` goes on with it", dir, dir)
	}
	if o.Failed > 0 {
		return &failure{exit: exitFailure, err: fmt.Errorf("%d checks did not hold", o.Failed), next: "run again with --keep, and read the logs in the directory"}
	}
	return nil
}
