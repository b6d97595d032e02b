package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func (a *app) member() *cobra.Command {
	return noun("member", "Members of the consortium: list, show, suspend, reinstate; their keys",
		a.memberList(), a.memberShow(), a.memberSuspend(), a.memberReinstate(), a.memberPolicy(),
		a.memberKeys(), a.memberRotate(), a.memberRevoke())
}

func (a *app) memberList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the members", Args: cobra.NoArgs,
		RunE: a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
			answer, err := c.Members.List(ctx, &yitongv1.ListMembersRequest{})
			if err != nil {
				return err
			}
			list := newListing(a.screen, []string{"MEMBER", "MSP ID", "KIND", "STATUS", "GATEWAY", "SINCE"})
			var errs []error
			for _, m := range answer.GetMembers() {
				errs = append(errs, list.add(m, m.GetName(), m.GetMspId(), m.GetKind(), m.GetStatus(), m.GetGateway(), screen.Time(m.GetSince())))
			}
			return errors.Join(append(errs, list.close())...)
		}),
	}
}

func (a *app) memberShow() *cobra.Command {
	return &cobra.Command{
		Use: "show MEMBER", Short: "Show one member and its keys", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeOneMember,
		RunE: a.verb(func(ctx context.Context, c *client.Client, args []string) error {
			answer, err := c.Members.List(ctx, &yitongv1.ListMembersRequest{})
			if err != nil {
				return err
			}
			for _, m := range answer.GetMembers() {
				if m.GetName() != args[0] && m.GetMspId() != args[0] {
					continue
				}
				if a.screen.JSON {
					return a.screen.Document(m)
				}
				return a.screen.Table([]string{"WHAT", "IS"}, [][]string{
					{"member", m.GetName()}, {"MSP id", m.GetMspId()}, {"kind", m.GetKind()}, {"status", m.GetStatus()},
					{"gateway", m.GetGateway()}, {"since", screen.Time(m.GetSince())},
					{"HPKE key", m.GetHpkeKeyId()}, {"signing key", m.GetSigningKeyId()},
				})
			}
			return &failure{exit: exitNotFound, err: fmt.Errorf("the consortium has no member %q", args[0]), next: "`yitong member list` shows them"}
		}),
	}
}

func (a *app) memberSuspend() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "suspend MEMBER", Short: "Support the motion to suspend a member",
		Long: "Support the motion to suspend a member. It takes effect when a majority of the active members\n" +
			"has moved the same; the accused has no vote. A suspended member can do nothing.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeOneMember,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "a code or a few words without personal data; it stays on the ledger (required)")
	_ = cmd.MarkFlagRequired("reason")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		return a.move(ctx, c, args[0], "suspended", &yitongv1.MoveRequest{Motion: &yitongv1.MoveRequest_Suspend{
			Suspend: &yitongv1.SuspendMotion{Member: args[0], Reason: reason},
		}})
	})
	return cmd
}

func (a *app) memberReinstate() *cobra.Command {
	return &cobra.Command{
		Use: "reinstate MEMBER", Short: "Support the motion to reinstate a suspended member",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeOneMember,
		RunE: a.verb(func(ctx context.Context, c *client.Client, args []string) error {
			return a.move(ctx, c, args[0], "reinstated", &yitongv1.MoveRequest{Motion: &yitongv1.MoveRequest_Reinstate{
				Reinstate: &yitongv1.ReinstateMotion{Member: args[0]},
			}})
		}),
	}
}

func (a *app) move(ctx context.Context, c *client.Client, member, done string, m *yitongv1.MoveRequest) error {
	answer, err := c.Members.Move(ctx, m)
	if err != nil {
		return err
	}
	if a.screen.JSON {
		return a.screen.Document(answer)
	}
	if answer.GetInEffect() {
		_, err = fmt.Fprintf(a.Out, "%s is %s%s\n", member, done, committed(answer.GetCommit()))
		return err
	}
	_, err = fmt.Fprintf(a.Out, "supported by %s: %d of %d needed%s\n", strings.Join(answer.GetSupporters(), ", "),
		len(answer.GetSupporters()), answer.GetNeeded(), committed(answer.GetCommit()))
	return err
}
