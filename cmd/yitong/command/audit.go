package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func (a *app) audit() *cobra.Command {
	verbs := slices.Concat(a.auditQuestions(), a.auditChain(), a.auditDisclose(), []*cobra.Command{a.auditHistory()})
	return noun("audit", "What the ledger holds, read back", verbs...)
}

func (a *app) auditHistory() *cobra.Command {
	var ask yitongv1.HistoryRequest
	cmd := &cobra.Command{
		Use: "history", Short: "Tell what happened, block by block, oldest first",
		Long: "Tell what happened, block by block, oldest first, as the member's own peer has it. With --json\n" +
			"each line is one event with its argument and what it wrote.",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.BoolVar(&ask.Follow, "follow", false, "go on as blocks come, until Ctrl-C")
	f.Uint64Var(&ask.FromBlock, "from-block", 0, "first block wanted")
	f.StringVar(&ask.Handle, "handle", "", "only what concerns this handle")
	f.BoolVar(&ask.IncludeInvalid, "include-invalid", false, "also transactions that the peers found invalid")
	cmd.RunE = a.streaming(func(ctx context.Context, c *client.Client, _ []string) error {
		stream, err := c.Audit.History(ctx, &ask)
		if err != nil {
			return err
		}
		show := a.screen.Events()
		for shown := 0; ; shown++ {
			e, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				if shown == 0 && !a.screen.JSON {
					a.screen.Say("none")
				}
				return nil
			}
			if err != nil {
				return err
			}
			if err := show(e); err != nil {
				return err
			}
		}
	})
	return cmd
}

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "How the gateways are: of --as, or of every member in the directory", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.showStatus(cmd.Context()) },
	}
}

func (a *app) showStatus(ctx context.Context) error {
	var profiles []client.Profile
	var err error
	if a.as != "" {
		c, err := a.connect()
		if err != nil {
			return err
		}
		c.Close()
		profiles = []client.Profile{c.Profile}
	} else if profiles, err = client.Profiles(a.dir); err != nil {
		return err
	}
	if len(profiles) == 0 {
		return &failure{exit: exitNotFound, err: fmt.Errorf("there is no consortium in %s", a.dir), next: "start one with `yitong up`, or name its directory with --dir"}
	}
	list := newListing(a.screen, []string{"MEMBER", "KIND", "GATEWAY", "STATUS", "BLOCKS", "AUDITED", "CLOSED THROUGH", "PENDING", "VERSION"})
	var first error
	for _, p := range profiles {
		answer, err := a.ask(ctx, p)
		if err != nil {
			if first == nil {
				first = err
			}
			a.screen.Say("%s: %s", p.Member, a.failureOf(ctx, err).err)
			if !a.screen.JSON {
				list.rows = append(list.rows, []string{p.Member, p.Kind, p.Gateway, "unreachable", "-", "-", "-", "-", "-"})
			}
			continue
		}
		if err := list.add(answer, p.Member, p.Kind, p.Gateway, screen.Or(answer.GetMember().GetStatus(), "-"), fmt.Sprint(answer.GetHeight()), audited(answer.GetAudit()),
			screen.Time(answer.GetClosedThrough()), fmt.Sprint(answer.GetPending()), strings.TrimPrefix(answer.GetVersion(), "v")); err != nil {
			return err
		}
	}
	return list.end(first)
}

func (a *app) ask(ctx context.Context, p client.Profile) (*yitongv1.StatusResponse, error) {
	c, err := client.Dial(p)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := a.limited(ctx)
	defer cancel()
	return c.Node.Status(ctx, &yitongv1.StatusRequest{})
}

// audited says how many blocks questions about the past are answered from.
func audited(s *yitongv1.AuditStanding) string {
	switch {
	case s == nil:
		return "-"
	case s.GetProblem() != "":
		return fmt.Sprintf("%d, stopped", s.GetHeight())
	case s.GetLag() > 0:
		return fmt.Sprintf("%d (%d behind)", s.GetHeight(), s.GetLag())
	}
	return fmt.Sprint(s.GetHeight())
}
