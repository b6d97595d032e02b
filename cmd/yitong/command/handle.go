package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func (a *app) handle() *cobra.Command {
	return noun("handle", "Patients' handles on the ledger: the evaluators' keys that they are derived from",
		a.handleEpochs(), a.handleRoll(), a.handleCounts())
}

func (a *app) handleEpochs() *cobra.Command {
	return &cobra.Command{
		Use: "epochs", Short: "Say which epochs of the evaluators' keys are open, and what is announced for the next",
		Long: "Say which epochs of the evaluators' keys are open, and what is announced for the next.\n" +
			"Handles of an epoch stop working when it ends; what stands under them is carried to the new ones before.",
		Args: cobra.NoArgs,
		RunE: a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
			answer, err := c.Handles.Epochs(ctx, &yitongv1.EpochsRequest{})
			if err != nil {
				return err
			}
			if a.screen.JSON {
				return a.screen.Document(answer)
			}
			var rows [][]string
			for _, e := range answer.GetEpochs() {
				state := "present"
				if e.GetEnds() != nil {
					state = "ends " + screen.Time(e.GetEnds())
				}
				for _, v := range e.GetEvaluators() {
					rows = append(rows, []string{fmt.Sprint(e.GetNumber()), state, screen.Time(e.GetOpened()), v.GetEvaluator(), v.GetKey()})
				}
			}
			for _, n := range answer.GetAnnounced() {
				rows = append(rows, []string{fmt.Sprint(answer.GetLatest() + 1), "announced", screen.Time(n.GetAnnounced()), n.GetEvaluator(), n.GetKey()})
			}
			return a.screen.Table([]string{"EPOCH", "STATE", "SINCE", "EVALUATOR", "KEY"}, rows)
		}),
	}
}

func (a *app) handleRoll() *cobra.Command {
	var overlap time.Duration
	var evaluators []string
	cmd := &cobra.Command{
		Use: "roll", Short: "Announce this member's evaluator's key for the next epoch",
		Long: "Announce this member's evaluator's key for the next epoch. The epoch opens when every evaluator has\n" +
			"announced; the present one goes on for the shortest overlap that any of them named, and then its handles\n" +
			"stop working. Gateways carry consents, and what regulators find in escrow, to the new handles by\n" +
			"themselves. A hospital that is down all through the overlap can't, and after it its patients aren't\n" +
			"served from escrow until it is back. After a theft: --overlap 0.\n\n" +
			"To change who evaluates, the present evaluators and the new ones announce with the same --evaluators.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 720*time.Hour, "how long the present epoch is to go on, 0 to 2160h")
	cmd.Flags().StringSliceVar(&evaluators, "evaluators", nil, "members that are to evaluate then (default: who does now)")
	a.mustComplete(cmd, "evaluators", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		seconds := int64(overlap / time.Second)
		answer, err := c.Handles.Roll(ctx, &yitongv1.RollRequest{OverlapSeconds: &seconds, Evaluators: evaluators})
		if err != nil {
			return err
		}
		if a.screen.JSON {
			return a.screen.Document(answer)
		}
		if e := answer.GetOpened(); e != nil {
			_, err = fmt.Fprintf(a.Out, "epoch %d is open%s\n", e.GetNumber(), committed(answer.GetCommit()))
			return err
		}
		var done []string
		for _, n := range answer.GetAnnounced() {
			done = append(done, n.GetEvaluator())
		}
		_, err = fmt.Fprintf(a.Out, "announced by %s; the epoch opens when every evaluator has announced%s\n", strings.Join(done, ", "), committed(answer.GetCommit()))
		return err
	})
	return cmd
}

func (a *app) handleCounts() *cobra.Command {
	var in yitongv1.CountsRequest
	cmd := &cobra.Command{
		Use: "counts", Short: "List how often evaluators evaluated for whom, as they account for it on the ledger",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&in.Evaluator, "evaluator", "", "only by this member")
	cmd.Flags().StringVar(&in.Member, "for", "", "only for this member")
	a.mustComplete(cmd, "evaluator", a.completeMembers)
	a.mustComplete(cmd, "for", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		answer, err := c.Handles.Counts(ctx, &in)
		if err != nil {
			return err
		}
		list := newListing(a.screen, []string{"EVALUATOR", "FOR", "DAY (UTC)", "EVALUATIONS"})
		var errs []error
		for _, n := range answer.GetCounts() {
			errs = append(errs, list.add(n, n.GetEvaluator(), n.GetMember(), n.GetDay(), fmt.Sprint(n.GetEvaluations())))
		}
		return errors.Join(append(errs, list.close())...)
	})
	return cmd
}
