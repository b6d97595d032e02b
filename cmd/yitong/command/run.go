// Package command is the yitong command line: nouns, then verbs.
//
//	yitong demo                    everything once, on a consortium of its own
//	yitong up                      a consortium that stays
//	yitong record submit …         what a hospital's software does
//	yitong consent grant …
//	yitong access request|open …   what an insurer's software does
//	yitong audit history           what a regulator reads
//
// A verb turns flags into one message of the gateway's API, sends it as the
// member named by --as, and shows the answer. No verb decides anything: what may
// be done is said by the gateway and the ledger, and their refusals are passed
// on with code, message and what would be allowed.
//
// Data goes to standard output, everything else to standard error. What a script
// needs to branch on is the exit code; see failure.go.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
)

// World is what a command gets from its process.
type World struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string
	Now      func() time.Time
}

// app is one invocation.
type app struct {
	World
	screen *screen.Screen

	dir, as, user string
	timeout       time.Duration

	began bool   // a verb has begun: errors are no longer about how it was called
	id    string // names the write under way; repeating it under the same id is safe
}

// Run executes the command line and returns the exit code. When ctx ends the
// command stops cleanly and the code is 130.
func Run(ctx context.Context, args []string, w World) int {
	w.In = interruptible{ctx, w.In}
	a := &app{World: w, screen: screen.New(w.Out, w.Err, w.Env("NO_COLOR") != "")}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(w.In)
	root.SetOut(w.Out)
	root.SetErr(w.Err)
	return a.finish(ctx, root.ExecuteContext(ctx))
}

const defaultDir = "./yitong-data"

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "yitong",
		Short: "Medical records shared under consent",
		Long: `Medical records shared under consent between members that do not trust each other.

See it work:            yitong demo
Keep one running:       yitong up
Then, by hand:          yitong record submit bundle.json --as hospital-a`,
		SilenceErrors: true, SilenceUsage: true,
		Args: nothingElse,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.StringVar(&a.dir, "dir", "", "directory of the consortium (default $YITONG_DIR, else "+defaultDir+")")
	f.StringVar(&a.as, "as", "", "member whose software this is (default $YITONG_AS)")
	f.BoolVar(&a.screen.JSON, "json", false, "one JSON document per line instead of tables")
	f.DurationVar(&a.timeout, "timeout", time.Minute, "give up on an answer after this long, 0 never; streams are not limited")
	a.mustComplete(root, "as", a.completeMembers)
	f.StringVar(&a.user, "user", "", "person of the member who does this, for example clinician (default $YITONG_USER, else who signed in with yitong login, else the member's own software)")
	a.mustComplete(root, "user", a.completeUsers)
	_ = root.MarkPersistentFlagDirname("dir")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.ValidateRequiredFlags(); err != nil { // cobra does so later, when we have begun
			return err
		}
		a.began = true
		if a.as == "" {
			a.as = a.Env("YITONG_AS")
		}
		if a.user == "" {
			a.user = a.Env("YITONG_USER")
		}
		if a.dir == "" && cmd.Name() != "demo" { // the demo never touches a consortium that it wasn't pointed at
			a.dir = screen.Or(a.Env("YITONG_DIR"), defaultDir)
		}
		return nil
	}
	root.AddGroup(&cobra.Group{ID: "run", Title: "Running a consortium:"}, &cobra.Group{ID: "verb", Title: "Working with one:"})
	for _, cmd := range []*cobra.Command{a.demo(), a.up(), a.status(), a.config(), a.backup()} {
		cmd.GroupID = "run"
		root.AddCommand(cmd)
	}
	for _, cmd := range []*cobra.Command{a.member(), a.record(), a.consent(), a.wallet(), a.access(), a.emergency(), a.audit(), a.policy(), a.handle(), a.events(), a.webhook(), a.outbox(), a.login(), a.logout(), a.whoami(), a.token()} {
		cmd.GroupID = "verb"
		root.AddCommand(cmd)
	}
	root.AddCommand(a.version(), exitCodes(), a.serveChaincode(), a.serveGateway())
	return root
}

// noun is a command that only holds verbs.
func noun(name, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short,
		Args: nothingElse,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// nothingElse refuses what is no command below this one, and says what may have
// been meant.
func nothingElse(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	text := fmt.Sprintf("%q is no command of %s", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += ": did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(text)
}

// connect reaches the gateway of the member named by --as.
func (a *app) connect() (*client.Client, error) {
	p, err := a.profile()
	if err != nil {
		return nil, err
	}
	return a.dial(p)
}

// dial reaches a member's gateway as the person of --user, else as who signed in, else as the
// member's own software.
func (a *app) dial(p client.Profile) (_ *client.Client, err error) {
	if a.user == "" && p.Session == nil {
		if p.Session, err = client.ReadSession(a.dir, p.Member); err != nil && !errors.Is(err, client.ErrNoSession) {
			return nil, err
		}
	}
	if p, err = p.For(a.user); errors.Is(err, client.ErrNoUser) {
		return nil, &failure{exit: exitNotFound, err: err, next: "name one of them with --user, or leave it out to be the member's own software"}
	}
	if err != nil {
		return nil, err
	}
	return client.Dial(p)
}

// profile is that of the member named by --as.
func (a *app) profile() (client.Profile, error) {
	if a.as == "" {
		return client.Profile{}, &failure{exit: exitUsage, err: errors.New("no member given"), next: "say whose software this is with --as MEMBER" + a.known()}
	}
	p, err := client.ReadProfile(a.dir, a.as)
	if errors.Is(err, client.ErrNoProfile) {
		return p, &failure{exit: exitNotFound, err: fmt.Errorf("%s has no member %q", a.dir, a.as),
			next: "start a consortium with `yitong up`, or name its directory with --dir" + a.known()}
	}
	return p, err
}

// known lists the members in the directory, for a hint.
func (a *app) known() string {
	all, err := client.Profiles(a.dir)
	if err != nil || len(all) == 0 {
		return ""
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Member)
	}
	return " (" + a.dir + " knows " + strings.Join(names, ", ") + ")"
}

// limited is ctx with the time that one answer may take.
func (a *app) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, a.timeout)
}

// verb runs do with a connection and the time limit of one answer.
func (a *app) verb(do func(context.Context, *client.Client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, cancel := a.limited(cmd.Context())
		defer cancel()
		return do(ctx, c, args)
	}
}

// streaming runs do with a connection and no time limit.
func (a *app) streaming(do func(context.Context, *client.Client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		defer c.Close()
		return do(cmd.Context(), c, args)
	}
}
