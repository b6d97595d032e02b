package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// outbox are the verbs about the writes that callers asked a gateway for.
func (a *app) outbox() *cobra.Command {
	cmd := noun("outbox", "The writes that a gateway was asked for: list, show, retry, drop",
		a.outboxList(), a.outboxShow(), a.outboxRetry(), a.outboxDrop())
	cmd.Long = "The writes that a gateway was asked for. Each happens once, also where it is asked again or the\n" +
		"gateway is killed in between (docs/exactly-once.md). Nothing of what was asked is shown."
	return cmd
}

var outboxHeader = []string{"NUMBER", "METHOD", "BY", "STATE", "STEP", "ATTEMPTS", "OUTCOME", "ASKED", "NEXT"}

func outboxCells(e *yitongv1.OutboxEntry) []string {
	by := e.GetUser()
	if e.GetRole() != "" {
		by += " (" + e.GetRole() + ")"
	}
	step, _, _ := strings.Cut(e.GetStep(), " ")
	return []string{
		strconv.FormatInt(e.GetNumber(), 10), e.GetMethod(), by, e.GetState(), step, strconv.Itoa(int(e.GetAttempts())), e.GetOutcome(),
		screen.Time(e.GetCreated()), screen.Time(e.GetNext()),
	}
}

func (a *app) outboxList() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the writes that aren't done",
		Long: "List the writes that aren't done, the oldest first: open (tried again by itself at NEXT), under-way,\n" +
			"waiting (for its caller), given-up (waits for a retry).",
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&all, "all", false, "those too that are done and whose answers are kept")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		list, next := newListing(a.screen, outboxHeader), ""
		for {
			page, err := c.Outbox.List(ctx, &yitongv1.ListOutboxRequest{All: all, Page: &yitongv1.Page{Bookmark: next}})
			if err != nil {
				return err
			}
			var errs []error
			for _, e := range page.GetEntries() {
				errs = append(errs, list.add(e, outboxCells(e)...))
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
			if next = page.GetNextBookmark(); next == "" {
				return list.close()
			}
		}
	})
	return cmd
}

// entry is the number of an outbox entry.
func entry(args []string) (int64, error) {
	n, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil || n < 1 {
		return 0, usage("%q is no entry's number: `yitong outbox list` shows them", args[0])
	}
	return n, nil
}

func (a *app) showEntry(e *yitongv1.OutboxEntry) error {
	list := newListing(a.screen, outboxHeader)
	if err := list.add(e, outboxCells(e)...); err != nil {
		return err
	}
	if err := list.close(); err != nil || a.screen.JSON {
		return err
	}
	for _, tx := range e.GetTransactions() {
		if _, err := fmt.Fprintln(a.Out, "transaction handed over:", tx); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) outboxShow() *cobra.Command {
	return a.outboxEntry("show NUMBER", "Show one write, and its transactions", func(ctx context.Context, c *client.Client, n int64) (*yitongv1.OutboxEntry, error) {
		return c.Outbox.Show(ctx, &yitongv1.ShowOutboxRequest{Number: n})
	})
}

func (a *app) outboxRetry() *cobra.Command {
	return a.outboxEntry("retry NUMBER", "Have a write that isn't done tried at once", func(ctx context.Context, c *client.Client, n int64) (*yitongv1.OutboxEntry, error) {
		return c.Outbox.Retry(ctx, &yitongv1.RetryOutboxRequest{Number: n})
	})
}

// outboxEntry is a verb about one write, that shows it.
func (a *app) outboxEntry(use, short string, ask func(context.Context, *client.Client, int64) (*yitongv1.OutboxEntry, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, c *client.Client, args []string) error {
			n, err := entry(args)
			if err != nil {
				return err
			}
			e, err := ask(ctx, c, n)
			if err != nil {
				return err
			}
			return a.showEntry(e)
		}),
	}
}

func (a *app) outboxDrop() *cobra.Command {
	return &cobra.Command{
		Use: "drop NUMBER", Short: "Forget a write, and its answer",
		Long: "Forget a write, and its answer. What it has put on the ledger stays there. A repeat under the same\n" +
			"key is carried out anew, under the same id.",
		Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, c *client.Client, args []string) error {
			n, err := entry(args)
			if err != nil {
				return err
			}
			if _, err := c.Outbox.Drop(ctx, &yitongv1.DropOutboxRequest{Number: n}); err != nil {
				return err
			}
			a.screen.Say("dropped")
			return nil
		}),
	}
}
