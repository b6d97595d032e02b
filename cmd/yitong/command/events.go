package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/events"
)

// events are the verbs about what concerns the member.
func (a *app) events() *cobra.Command {
	cmd := noun("events", "What concerns you, as it gets onto the ledger: list, watch",
		a.eventsList(), a.eventsWatch())
	cmd.Long = "What concerns you, as it gets onto the ledger: requests put to you and decisions on yours, consents\n" +
		"given, changed and withdrawn, releases, receipts, break-glass, erasures, holds, orders to disclose,\n" +
		"permits that end soon. Each has a position, from which on the rest can be read again, and no\n" +
		"patient (docs/events.md). `yitong webhook` has them delivered to your software."
	return cmd
}

// eventTypes completes and checks --type.
func eventTypes() (all []string) {
	groups := map[string]bool{}
	for _, t := range events.Types {
		group, _, _ := strings.Cut(string(t), ".")
		if !groups[group] {
			groups[group] = true
			all = append(all, group+".*")
		}
		all = append(all, string(t))
	}
	return all
}

func (a *app) addTypes(cmd *cobra.Command, into *[]string) {
	cmd.Flags().StringSliceVar(into, "type", nil, "only these types, as consent.withdrawn, or groups, as access.* (default all)")
	a.mustComplete(cmd, "type", fixed(eventTypes()...))
}

// wanted refuses what is no type or no position, before anybody is asked.
func wanted(types []string, position string) error {
	if err := events.Filter(types).Check(); err != nil {
		return usage("--type is one of %s", strings.Join(eventTypes(), ", "))
	}
	if position == "now" {
		return nil
	}
	if _, err := events.ParsePosition(position); err != nil {
		return usage("%q is no position: it is one as an event has it, for example 1042-3-1", position)
	}
	return nil
}

var eventHeader = []string{"POSITION", "TIME", "EVENT", "AS", "CUSTODIAN", "REQUESTER", "ABOUT", "OUTCOME", "REASON"}

func eventCells(e *yitongv1.FeedEvent) []string {
	return []string{
		e.GetPosition(), screen.Time(e.GetTime()), e.GetType(), e.GetRole(), screen.Or(e.GetCustodian(), "-"), screen.Or(e.GetRequester(), "-"),
		screen.Or(screen.Short(e.GetObject()), "-"), screen.Or(e.GetOutcome(), "-"), screen.Or(e.GetReason(), "-"),
	}
}

func (a *app) eventsList() *cobra.Command {
	ask := &yitongv1.ListEventsRequest{}
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List what there is, oldest first", Args: cobra.NoArgs,
		Example: "  yitong events list --as insurer --type access.*\n  yitong events list --as hospital-a --since 1042-3-1",
	}
	a.addTypes(cmd, &ask.Types)
	cmd.Flags().StringVar(&ask.After, "since", "", "only what comes after the event at this position")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many; 0 is all")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		if err := wanted(ask.Types, ask.After); err != nil {
			return err
		}
		list := newListing(a.screen, eventHeader)
		for left := limit; ; {
			ask.Limit = pageSize
			if limit > 0 {
				ask.Limit = int32(min(left, pageSize))
			}
			page, err := c.Events.List(ctx, ask)
			if err != nil {
				return err
			}
			for _, e := range page.GetEvents() {
				if err := list.add(e, eventCells(e)...); err != nil {
					return err
				}
			}
			left -= len(page.GetEvents())
			if ask.After = page.GetNext(); !page.GetMore() || limit > 0 && left <= 0 {
				return list.close()
			}
		}
	})
	return cmd
}

func (a *app) eventsWatch() *cobra.Command {
	ask := &yitongv1.WatchEventsRequest{}
	var count int
	cmd := &cobra.Command{
		Use: "watch", Short: "Show what comes, as it comes", Args: cobra.NoArgs,
		Long: "Show what comes, as it comes, until it is interrupted. Where the gateway is away in between, it\n" +
			"goes on after what it showed last.",
		Example: "  yitong events watch --as hospital-a --json",
	}
	a.addTypes(cmd, &ask.Types)
	cmd.Flags().StringVar(&ask.After, "since", "now", "begin after the event at this position; now begins with what comes next")
	cmd.Flags().IntVar(&count, "count", 0, "end after so many, 0 for never")
	cmd.RunE = a.streaming(func(ctx context.Context, c *client.Client, _ []string) error {
		if err := wanted(ask.Types, ask.After); err != nil {
			return err
		}
		for seen := 0; ; {
			err := a.watchEvents(ctx, c, ask, &seen, count)
			again := status.Code(err) == codes.Unavailable && ask.After != "now"
			if !again || ctx.Err() != nil {
				return err
			}
			a.screen.Say("the gateway is away; watching again")
			if err := pauseFor(ctx, watchAgain); err != nil {
				return err
			}
		}
	})
	return cmd
}

// watchEvents shows events until the stream ends, and notes how far it has come.
func (a *app) watchEvents(ctx context.Context, c *client.Client, ask *yitongv1.WatchEventsRequest, seen *int, count int) error {
	stream, err := c.Events.Watch(ctx, ask)
	if err != nil {
		return err
	}
	for count == 0 || *seen < count {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		e := m.GetEvent()
		if err := a.showEvent(e); err != nil {
			return err
		}
		ask.After = e.GetPosition()
		*seen++
	}
	return nil
}

func (a *app) showEvent(e *yitongv1.FeedEvent) error {
	if a.screen.JSON {
		return a.screen.Document(e)
	}
	line := fmt.Sprintf("%-10s  %-20s", e.GetPosition(), e.GetType())
	if e.GetCustodian() != "" {
		line += "  " + e.GetCustodian()
	}
	if e.GetRequester() != "" {
		line += " and " + e.GetRequester()
	}
	if e.GetObject() != "" {
		line += "  " + e.GetObject()
	}
	if e.GetOutcome() != "" && e.GetOutcome() != "success" {
		line += ", " + e.GetOutcome()
	}
	if e.GetReason() != "" {
		line += " (" + e.GetReason() + ")"
	}
	if e.GetExpires() != nil {
		line += ", until " + screen.Time(e.GetExpires())
	}
	_, err := fmt.Fprintln(a.Out, screen.Clean(line))
	return err
}
