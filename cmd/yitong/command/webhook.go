package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// watchAgain is how long a watch waits before it asks a gateway again that was away.
const watchAgain = time.Second

func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// webhook are the verbs about where events are delivered.
func (a *app) webhook() *cobra.Command {
	cmd := noun("webhook", "Have events delivered to your software: add, list, test, deliveries, replay, enable, rotate, remove",
		a.webhookAdd(), a.webhookList(), a.webhookTest(), a.webhookDeliveries(), a.webhookReplay(), a.webhookEnable(), a.webhookRotate(), a.webhookRemove())
	cmd.Long = "Have events delivered to your software, by signed POSTs as Standard Webhooks has it: at least once,\n" +
		"in order, tried again for days (docs/events.md says how to verify them)."
	return cmd
}

// secretFlag is where a secret goes that is shown once.
type secretFlag struct{ path string }

func (s *secretFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.path, "secret-file", "", "write the signing secret into this file (mode 0600) instead of showing it")
	_ = cmd.MarkFlagFilename("secret-file")
}

// open makes the file, before there is a secret that could be lost.
func (s *secretFlag) open() (*os.File, error) {
	if s.path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, usage("%s is there already: name a new file with --secret-file", s.path)
	}
	return f, err
}

// keep makes a secret and puts it where it goes; it returns what is to be shown of it.
func (s *secretFlag) keep(made func() (secret string, err error)) (shown string, err error) {
	f, err := s.open()
	if err != nil {
		return "", err
	}
	secret, err := made()
	if err != nil && f != nil {
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if err != nil || f == nil || secret == "" {
		return secret, err
	}
	_, err = fmt.Fprintln(f, secret)
	return "in " + f.Name(), errors.Join(err, f.Close())
}

func (a *app) webhookAdd() *cobra.Command {
	ask := &yitongv1.SubscribeRequest{}
	var secret secretFlag
	var from string
	cmd := &cobra.Command{
		Use: "add URL", Short: "Have events delivered to a URL; shows the signing secret, this once", Args: cobra.ExactArgs(1),
		Long: "Have events delivered to a URL. It is https, or http on this machine itself, holds no user and no\n" +
			"password, and leads to a public address or to one that the gateway's configuration allows. Other\n" +
			"users of this machine can see it while the command runs: put no secret into it, verify signatures.",
		Example: "  yitong webhook add https://claims.example/yitong --as insurer --type access.decided --secret-file hook.secret",
	}
	a.addTypes(cmd, &ask.Types)
	cmd.Flags().StringVar(&ask.Description, "description", "", "what it is for")
	cmd.Flags().StringVar(&ask.Format, "format", "", "how deliveries are written: JSON, unless it is fhir-r4, a notification of a FHIR Subscription")
	cmd.Flags().StringVar(&from, "since", "now", "begin after the event at this position")
	cmd.Flags().StringVar(&ask.Id, "id", "", "id of the webhook, 32 hexadecimal characters (default: a random one)")
	secret.add(cmd)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		if err := wanted(ask.Types, from); err != nil {
			return err
		}
		ask.Url, ask.After, ask.Id = args[0], from, screen.Or(ask.Id, client.NewID())
		a.id = ask.Id
		var answer *yitongv1.SubscribeResponse
		shown, err := secret.keep(func() (_ string, err error) {
			answer, err = c.Events.Subscribe(ctx, ask)
			return answer.GetSecret(), err
		})
		if err != nil {
			return err
		}
		if a.screen.JSON {
			answer.Secret = shown
			return a.screen.Document(answer)
		}
		rows := append(webhookRows(answer.GetSubscription()), []string{"secret", screen.Or(shown, "shown when it was added, and not again: `yitong webhook rotate`")})
		return a.screen.Table([]string{"WHAT", "IS"}, rows)
	})
	return cmd
}

func webhookRows(s *yitongv1.Subscription) [][]string {
	return [][]string{
		{"webhook", s.GetId()}, {"url", s.GetUrl()}, {"events", webhookTypes(s)}, {"status", webhookStatus(s)},
		{"after", s.GetDelivered()}, {"delivered", fmt.Sprint(s.GetCount())},
	}
}

func webhookTypes(s *yitongv1.Subscription) string {
	if len(s.GetTypes()) == 0 {
		return "all"
	}
	return strings.Join(s.GetTypes(), ",")
}

func webhookStatus(s *yitongv1.Subscription) string {
	text := s.GetStatus()
	if s.GetProblem() != "" {
		text += ": " + s.GetProblem()
	}
	if s.GetNextTry() != nil {
		text += ", next try " + screen.Time(s.GetNextTry())
	}
	return text
}

func (a *app) showWebhook(s *yitongv1.Subscription) error {
	if a.screen.JSON {
		return a.screen.Document(s)
	}
	return a.screen.Table([]string{"WHAT", "IS"}, webhookRows(s))
}

func (a *app) webhookList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the webhooks, and how they are", Args: cobra.NoArgs}
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		answer, err := c.Events.Subscriptions(ctx, &yitongv1.SubscriptionsRequest{})
		if err != nil {
			return err
		}
		list := newListing(a.screen, []string{"WEBHOOK", "URL", "EVENTS", "AFTER", "DELIVERED", "STATUS"})
		for _, s := range answer.GetSubscriptions() {
			if err := list.add(s, s.GetId(), s.GetUrl(), webhookTypes(s), s.GetDelivered(), fmt.Sprint(s.GetCount()), webhookStatus(s)); err != nil {
				return err
			}
		}
		return list.close()
	})
	return cmd
}

func (a *app) webhookTest() *cobra.Command {
	cmd := &cobra.Command{Use: "test WEBHOOK", Short: "Deliver a ping, once, and say what came of it", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		answer, err := c.Events.Ping(ctx, &yitongv1.PingRequest{Id: args[0]})
		if err != nil {
			return err
		}
		d := answer.GetDelivery()
		if a.screen.JSON {
			if err := a.screen.Document(d); err != nil {
				return err
			}
		} else {
			a.screen.Say("%s: HTTP %d in %d ms", d.GetEventId(), d.GetHttpStatus(), d.GetTook())
		}
		if d.GetProblem() != "" {
			return &failure{exit: exitFailure, err: errors.New("the ping wasn't taken: " + d.GetProblem()), next: "see to the receiver, and try again"}
		}
		return nil
	})
	return cmd
}

func (a *app) webhookDeliveries() *cobra.Command {
	var l listFlags
	cmd := &cobra.Command{
		Use: "deliveries WEBHOOK", Short: "List what was tried, newest first", Args: cobra.ExactArgs(1),
		Long: "List what was tried, newest first: of the last 30 days, and 1000 at most.",
	}
	cmd.Flags().IntVar(&l.limit, "limit", 50, "at most so many; 0 is all")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		list := newListing(a.screen, []string{"TIME", "EVENT", "TYPE", "ATTEMPT", "HTTP", "TOOK", "PROBLEM"})
		err := pages(l.limit, func(p *yitongv1.Page) ([]*yitongv1.Delivery, string, error) {
			answer, err := c.Events.Deliveries(ctx, &yitongv1.DeliveriesRequest{Id: args[0], Page: p})
			return answer.GetDeliveries(), answer.GetNextBookmark(), err
		}, func(d *yitongv1.Delivery) error {
			return list.add(d, screen.Time(d.GetTime()), d.GetEventId(), d.GetType(), fmt.Sprint(d.GetAttempt()+1), fmt.Sprint(d.GetHttpStatus()), fmt.Sprintf("%d ms", d.GetTook()), screen.Or(d.GetProblem(), "-"))
		})
		if err != nil {
			return err
		}
		return list.close()
	})
	return cmd
}

func (a *app) webhookReplay() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "replay WEBHOOK", Short: "Deliver again what comes after a position", Args: cobra.ExactArgs(1),
		Long: "Deliver again what comes after a position, under the ids that it had; --since now passes over what\n" +
			"wasn't delivered. A webhook that was disabled is enabled by it.",
	}
	cmd.Flags().StringVar(&from, "since", "", "begin after the event at this position (required; 0-0-0 is before all)")
	_ = cmd.MarkFlagRequired("since")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		if err := wanted(nil, from); err != nil {
			return err
		}
		s, err := c.Events.Redeliver(ctx, &yitongv1.RedeliverRequest{Id: args[0], After: from})
		if err != nil {
			return err
		}
		return a.showWebhook(s)
	})
	return cmd
}

func (a *app) webhookEnable() *cobra.Command {
	cmd := &cobra.Command{Use: "enable WEBHOOK", Short: "Have a disabled one go on where it stopped", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		s, err := c.Events.Enable(ctx, &yitongv1.EnableSubscriptionRequest{Id: args[0]})
		if err != nil {
			return err
		}
		return a.showWebhook(s)
	})
	return cmd
}

func (a *app) webhookRotate() *cobra.Command {
	var secret secretFlag
	var overlap time.Duration
	cmd := &cobra.Command{
		Use: "rotate WEBHOOK", Short: "Make a new signing secret; shows it, this once", Args: cobra.ExactArgs(1),
		Long: "Make a new signing secret. For a time deliveries carry both signatures, so that the receiver can\n" +
			"change over without missing one.",
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the old one goes on, at most 720h")
	secret.add(cmd)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		if overlap < time.Second || overlap > 720*time.Hour {
			return usage("--overlap is 1s to 720h")
		}
		var answer *yitongv1.RotateSecretResponse
		shown, err := secret.keep(func() (_ string, err error) {
			answer, err = c.Events.RotateSecret(ctx, &yitongv1.RotateSecretRequest{Id: args[0], OverlapSeconds: int64(overlap / time.Second)})
			return answer.GetSecret(), err
		})
		if err != nil {
			return err
		}
		if a.screen.JSON {
			answer.Secret = shown
			return a.screen.Document(answer)
		}
		return a.screen.Table([]string{"WHAT", "IS"}, [][]string{{"secret", shown}, {"old one until", screen.Time(answer.GetUntil())}})
	})
	return cmd
}

func (a *app) webhookRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "remove WEBHOOK", Short: "Deliver no more, and forget the secret", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		if _, err := c.Events.Unsubscribe(ctx, &yitongv1.UnsubscribeRequest{Id: args[0]}); err != nil {
			return err
		}
		a.screen.Say("removed")
		return nil
	})
	return cmd
}
