package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/consortium"
	"yitong/cmd/yitong/screen"
	"yitong/network/fabric"
	"yitong/network/fabric/supervisor"
	"yitong/network/topology"
)

func (a *app) up() *cobra.Command {
	var file string
	var port int
	cmd := &cobra.Command{
		Use: "up", Short: "Run a consortium in the foreground",
		Long: `Run a consortium in the foreground: two hospitals, an insurer and a regulator, each with its
own peer, ordering node, chaincode server and gateway, on this machine. The directory holds
all of its state; started again, it goes on where it was, however it ended. Ctrl-C stops it.

Fabric's peer and orderer are built once, into your cache; $YITONG_FABRIC_BIN names a
directory that holds them already.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&file, "topology", "", "YAML file that describes the consortium (a new directory only)")
	cmd.Flags().IntVar(&port, "port", 0, fmt.Sprintf("first of the consecutive ports to use (a new directory only; default %d)", topology.DefaultPort))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		t, err := topologyOf(file, port)
		if err != nil {
			return err
		}
		return a.stay(cmd.Context(), t)
	}
	return cmd
}

// topologyOf is what the flags describe; nil for what is there, or the default.
func topologyOf(file string, port int) (*topology.Topology, error) {
	if file == "" && port == 0 {
		return nil, nil
	}
	t := topology.Default()
	if file != "" {
		var err error
		if t, err = topology.ReadFile(file); err != nil {
			return nil, &failure{exit: exitUsage, err: err, next: "mend the file, or leave out --topology for the default consortium"}
		}
	}
	if port != 0 {
		if port < 1024 || port > 65000 {
			return nil, usage("--port must lie between 1024 and 65000")
		}
		t.Rebase(port)
	}
	return t, nil
}

// stay runs the consortium until ctx ends.
func (a *app) stay(ctx context.Context, t *topology.Topology) (err error) {
	began := time.Now()
	binaries, err := a.install(ctx)
	if err != nil {
		return err
	}
	c, err := a.start(ctx, a.dir, t, binaries)
	if err != nil {
		return err
	}
	verb := "made"
	if c.Resumed() {
		verb = "resumed"
	}
	a.screen.Say("%s the consortium in %s, %.1f s", verb, c.Dir(), time.Since(began).Seconds())
	if err := a.showProfiles(c.Profiles()); err != nil {
		return errors.Join(err, c.Close())
	}
	a.screen.Say("\nIn another terminal:\n%s\nCtrl-C stops the consortium; the same command goes on with it.", a.hints(c))
	<-ctx.Done()
	a.screen.Say("stopping; everything acknowledged is kept in %s", c.Dir())
	if err := c.Close(); err != nil {
		return err
	}
	return &failure{exit: exitInterrupted, err: errors.New("stopped"), next: "`yitong up` goes on with it"}
}

// hints are the next commands to type, as they can be typed: by the copy of this
// program in the directory where there is none on the path, as with `go run`.
func (a *app) hints(c *consortium.Consortium) string {
	program, dir := c.Program(), ""
	if _, err := exec.LookPath("yitong"); err == nil {
		program = "yitong"
	}
	if a.dir != defaultDir {
		dir = " --dir " + c.Dir()
	}
	return strings.NewReplacer("yitong ", program+" ", " --as", dir+" --as").Replace(`
  yitong record example > bundle.json
  yitong record submit bundle.json --as hospital-a
  echo "signed at the desk" > form.txt
  yitong consent grant --as hospital-a --patient-file bundle.json --requester insurer \
      --purpose HPAYMT --class laboratory,claim --except-label PSY,ETH --form form.txt
  yitong access request --as insurer --custodian hospital-a --patient-file bundle.json \
      --purpose CLMATTCH --class laboratory,claim
  yitong access open ID --as insurer --out opened
  yitong audit history --as regulator
  yitong login --as hospital-a          # as a person; for trying, not for service. Names and
                                        # passwords: members/hospital-a/provider/people.yaml
`)
}

func (a *app) showProfiles(profiles []client.Profile) error {
	if a.screen.JSON {
		for _, p := range profiles {
			if err := a.screen.Object(map[string]string{"member": p.Member, "mspId": p.MSP, "kind": p.Kind, "gateway": p.Gateway, "https": p.HTTP}); err != nil {
				return err
			}
		}
		return nil
	}
	var rows [][]string
	for _, p := range profiles {
		rows = append(rows, []string{p.Member, p.Kind, p.MSP, p.Gateway, "https://" + p.HTTP})
	}
	return a.screen.Table([]string{"MEMBER", "KIND", "MSP ID", "GATEWAY", "FHIR AND THE REST"}, rows)
}

// install finds or builds Fabric's daemons, telling how far it is.
func (a *app) install(ctx context.Context) (fabric.Binaries, error) {
	binaries, err := fabric.Install(ctx, a.reporter())
	if err != nil {
		return binaries, &failure{exit: exitFailure, err: err, next: "see `yitong up --help` for $" + fabric.BinariesVariable}
	}
	return binaries, nil
}

// start starts a consortium, telling how far it is.
func (a *app) start(ctx context.Context, dir string, t *topology.Topology, binaries fabric.Binaries) (*consortium.Consortium, error) {
	c, err := consortium.Start(ctx, consortium.Options{Dir: dir, Topology: t, Binaries: binaries, Report: a.reporter(), OnEvent: a.toldOf})
	return c, startFailure(err, dir)
}

// startFailure says what to do about a directory or a port that is taken.
func startFailure(err error, dir string) error {
	var inUse *fabric.InUse
	var taken fabric.PortsTaken
	var changed *fabric.Changed
	switch {
	case errors.As(err, &inUse):
		return &failure{exit: exitFailure, err: err, next: "use the consortium that runs there, stop it, or name another directory with --dir"}
	case errors.As(err, &taken):
		if more := len(taken) - 3; more > 0 {
			err = fmt.Errorf("ports in use: %s, and %d more", strings.Join(taken[:3], ", "), more)
		}
		return &failure{exit: exitFailure, err: err, next: "stop what listens there, or make another consortium with --dir and --port"}
	case errors.As(err, &changed):
		return &failure{exit: exitUsage, err: err, next: "leave out --topology and --port to go on with what is there, or name another --dir"}
	case err != nil:
		return &failure{exit: exitFailure, err: err, next: "the processes' logs in " + filepath.Join(dir, "logs") + " say more"}
	}
	return nil
}

// reporter tells of progress on standard error, one line at a time.
func (a *app) reporter() fabric.Report {
	var mu sync.Mutex
	return func(s fabric.Step) {
		mu.Lock()
		defer mu.Unlock()
		if s.Took > 0 {
			a.screen.Say("  %s, %.1f s", s.Text, s.Took.Seconds())
			return
		}
		a.screen.Say("  %s …", s.Text)
	}
}

// toldOf shows the deaths of processes, and that they live again.
func (a *app) toldOf(e supervisor.Event) {
	switch e.Kind {
	case supervisor.Died:
		a.screen.Say("%s died (%s); starting it again", e.Process, screen.Or(e.Detail, "no reason given"))
	case supervisor.Restarted:
		a.screen.Say("%s runs again", e.Process)
	}
}
