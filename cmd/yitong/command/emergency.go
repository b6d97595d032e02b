package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/folder"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func (a *app) emergency() *cobra.Command {
	return noun("emergency", "Break-glass: open without consent in an emergency; list, watch, review, resolve",
		a.emergencyOpen(), a.emergencyList(), a.emergencyWatch(), a.emergencyReview(), a.emergencyResolve())
}

// causes lists the reasons for which the glass is broken.
func causes() []string {
	var codes []string
	for _, c := range access.Causes() {
		codes = append(codes, string(c))
	}
	return codes
}

func (a *app) emergencyOpen() *cobra.Command {
	var (
		patient   patientFlags
		data      periodFlags
		ttl       time.Duration
		out, note string
		ask       yitongv1.OpenEmergencyRequest
	)
	cmd := &cobra.Command{
		Use: "open", Short: "Open what another hospital holds, without consent, because a patient is in danger",
		Long: "Open what another hospital holds, without consent, because a patient is in danger. It takes a\n" +
			"clinician (--user clinician) and a reason. The regulator and the other hospital see it at once;\n" +
			"it is reviewed within 72 hours, and while a review is overdue or a rejected one unresolved, your\n" +
			"hospital breaks no other glass. The permit lasts hours, not days.\n\n" +
			"If the other hospital's gateway is down, what it put into escrow is opened with the shares of\n" +
			"the regulator and the other members.",
		Example: "  yitong emergency open --as hospital-b --user clinician --custodian hospital-a \\\n" +
			"      --patient-file who.txt --reason unconscious --out opened",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	patient.add(f)
	f.StringVar(&ask.Custodian, "custodian", "", "hospital that holds the record (required)")
	f.StringVar(&ask.Reason, "reason", "", "why: "+strings.Join(causes(), ", ")+" (required)")
	f.StringVar(&note, "note-file", "", "file with what else there is to say, for the review; - for standard input. It stays at your hospital, the ledger has a salted digest")
	f.StringVar(&ask.Purpose, "purpose", "ETREAT", "purpose of use (HL7 v3): ETREAT, ERTREAT or BTG")
	f.StringSliceVar(&ask.Classes, "class", nil, "data classes needed (default all)")
	f.DurationVar(&ttl, "ttl", 0, "how long the permit shall hold (default as long as the custodian allows, 4h unless it says otherwise)")
	f.StringVar(&out, "out", "", "directory for the opened parts; without it the permit is only asked for")
	f.StringVar(&ask.Id, "id", "", "id of the access, 32 hexadecimal characters (default: a random one)")
	data.add(f, "data-from", "data-until", "only data of the time")
	for _, name := range []string{"custodian", "reason"} {
		_ = cmd.MarkFlagRequired(name)
	}
	_ = cmd.MarkFlagDirname("out")
	a.mustComplete(cmd, "custodian", a.completeMembers)
	a.mustComplete(cmd, "reason", fixed(causes()...))
	a.mustComplete(cmd, "purpose", fixed("ETREAT", "ERTREAT", "BTG"))
	a.mustComplete(cmd, "class", classCodes)
	cmd.RunE = a.streaming(func(ctx context.Context, c *client.Client, _ []string) (err error) {
		if !slices.Contains(causes(), ask.Reason) {
			return usage("--reason is one of %s, not %q", strings.Join(causes(), ", "), ask.Reason)
		}
		for _, check := range []error{known([]string{ask.Purpose}, consent.ParsePurpose), known(ask.Classes, record.ParseClass)} {
			if check != nil {
				return check
			}
		}
		if ttl < 0 || ttl%time.Second != 0 {
			return usage("--ttl is a number of whole seconds, for example 90m")
		}
		ask.TtlSeconds = int64(ttl / time.Second)
		if ask.DataPeriod, err = data.period(); err != nil {
			return err
		}
		if note != "" {
			text, err := a.readInput(note)
			if err != nil {
				return err
			}
			ask.Note = strings.TrimSpace(string(text))
		}
		if ask.Patient, err = a.needPatient(patient); err != nil {
			return err
		}
		var dir *folder.Folder
		if out != "" { // before the glass is broken for nothing
			if dir, err = folder.New(out); err != nil {
				return &failure{exit: exitUsage, err: err, next: "name a directory that can be written with --out"}
			}
			defer dir.Discard()
		}
		ask.Id = screen.Or(ask.Id, client.NewID())
		a.id = ask.Id
		limited, cancel := a.limited(ctx)
		answer, err := c.Emergencies.Open(limited, &ask)
		cancel()
		if err != nil {
			return err
		}
		if err := a.showAccess(answer); err != nil {
			return err
		}
		if dir == nil {
			if !a.screen.JSON {
				a.screen.Say("next: yitong access open %s --as %s --out DIRECTORY", ask.Id, a.as)
			}
			return nil
		}
		return a.openInto(ctx, c, ask.Id, ask.Custodian, dir)
	})
	return cmd
}

// openInto opens the parts of a permitted access into a directory, all or none.
func (a *app) openInto(ctx context.Context, c *client.Client, id, custodian string, dir *folder.Folder) error {
	summary, ok, err := a.openKept(ctx, c, id, custodian, dir)
	if err == nil && !ok {
		bar := a.screen.Progress("opening", 0)
		summary, err = c.Open(ctx, id, custodian, dir.Beside(bar))
		bar.Close()
	}
	if kept := dir.Begun(); err != nil && kept != "" {
		a.screen.Say("%s holds what has come of a part, in the clear: the same command goes on with it, and removes it", kept)
	}
	if err != nil {
		return err
	}
	if err := dir.Keep(); err != nil {
		if errors.Is(err, os.ErrExist) {
			return &failure{exit: exitFailure, err: err, next: "choose another --out, or remove the file; opening again is safe"}
		}
		return err
	}
	a.sayRecovered(custodian, summary.GetRecovered())
	return a.showOpened(dir.Files(), summary)
}

func (a *app) emergencyList() *cobra.Command {
	var ask yitongv1.ListEmergenciesRequest
	cmd := &cobra.Command{
		Use: "list", Short: "List the emergencies that are unreviewed or unresolved", Args: cobra.NoArgs,
		Long: "List the emergencies that are unreviewed or unresolved: your own, those at your hospital, or as a\n" +
			"regulator all. Those that block keep their hospital from breaking the glass again.\n" +
			"`yitong audit emergencies` has those of the past too.",
	}
	cmd.Flags().StringVar(&ask.Requester, "requester", "", "only of this hospital")
	a.mustComplete(cmd, "requester", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		answer, err := c.Emergencies.List(ctx, &ask)
		if err != nil {
			return err
		}
		list := newListing(a.screen, []string{"ACCESS", "REQUESTED", "REQUESTER", "CUSTODIAN", "REVIEW DUE", "STATE"})
		for _, e := range answer.GetEmergencies() {
			if err := list.add(e, e.GetId(), screen.Time(e.GetRequested()), e.GetRequester(), e.GetCustodian(), screen.Time(e.GetDue()), emergencyState(e)); err != nil {
				return err
			}
		}
		return list.close()
	})
	return cmd
}

func emergencyState(e *yitongv1.Emergency) string {
	switch {
	case e.GetRejected() != nil:
		return "rejected, unresolved: blocks"
	case e.GetOverdue():
		return "overdue: blocks"
	}
	return "unreviewed"
}

func (a *app) emergencyWatch() *cobra.Command {
	var ask yitongv1.WatchEmergenciesRequest
	var count int
	cmd := &cobra.Command{
		Use: "watch", Short: "Show emergencies, reviews and resolutions as they come", Args: cobra.NoArgs,
		Long: "Show what is open now, and then every emergency, review and resolution that concerns you as its\n" +
			"block comes, read from your own peer. It goes on until it is interrupted.",
	}
	cmd.Flags().Uint64Var(&ask.FromBlock, "from-block", 0, "begin with the block of this number (default: what is open, and the next block)")
	cmd.Flags().IntVar(&count, "count", 0, "end after so many, 0 for never")
	cmd.RunE = a.streaming(func(ctx context.Context, c *client.Client, _ []string) error {
		stream, err := c.Emergencies.Watch(ctx, &ask)
		if err != nil {
			return err
		}
		for seen := 0; count == 0 || seen < count; seen++ {
			n, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := a.showNotice(n); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

func (a *app) showNotice(n *yitongv1.EmergencyNotice) error {
	if a.screen.JSON {
		return a.screen.Document(n)
	}
	e := n.GetEmergency()
	line := fmt.Sprintf("%-8s  %s  %s at %s", n.GetWhat(), e.GetId(), e.GetRequester(), e.GetCustodian())
	if n.GetReason() != "" {
		line += ": " + n.GetReason()
	}
	if n.GetDenial() != "" {
		line += ", over the denial in consent " + screen.Short(n.GetDenial())
	}
	if n.GetWhat() == "opened" || n.GetWhat() == "standing" {
		line += ", review due " + screen.Time(e.GetDue())
	}
	if n.GetCommit() != nil {
		line += committed(n.GetCommit())
	}
	_, err := fmt.Fprintln(a.Out, screen.Clean(line))
	return err
}

// reviewFlags name an emergency and a reason.
type reviewFlags struct{ custodian, requester, reason string }

func (a *app) reviewFlags(cmd *cobra.Command, r *reviewFlags, reason string) {
	f := cmd.Flags()
	f.StringVar(&r.reason, "reason", "", reason+" (required)")
	f.StringVar(&r.custodian, "custodian", "", "hospital that was asked (default: looked up)")
	f.StringVar(&r.requester, "requester", "", "hospital that broke the glass (default: looked up)")
	_ = cmd.MarkFlagRequired("reason")
	a.mustComplete(cmd, "custodian", a.completeMembers)
	a.mustComplete(cmd, "requester", a.completeMembers)
}

// between fills in the hospitals of an emergency where they aren't given.
func (a *app) between(ctx context.Context, c *client.Client, id string, r *reviewFlags) error {
	if r.custodian != "" && r.requester != "" {
		return nil
	}
	open, err := c.Emergencies.List(ctx, &yitongv1.ListEmergenciesRequest{})
	if err != nil {
		return err
	}
	for _, e := range open.GetEmergencies() {
		if e.GetId() == id {
			r.custodian, r.requester = e.GetCustodian(), e.GetRequester()
			return nil
		}
	}
	found, err := a.find(ctx, c, id)
	if err == nil {
		r.custodian, r.requester = found.GetCustodian(), found.GetRequester()
	}
	return err
}

func (a *app) emergencyReview() *cobra.Command {
	var r reviewFlags
	var accept, reject bool
	cmd := &cobra.Command{
		Use: "review ID", Short: "Review an emergency, as the regulator: accept or reject it", Args: cobra.ExactArgs(1),
		Long: "Review an emergency, as the regulator. A rejected one keeps its hospital from breaking the glass\n" +
			"until it is resolved, and nothing more is released under its permit. Who it was, and what the\n" +
			"clinician noted, is had by `yitong audit disclose --permit ID --what user` and `--what note`.",
		Example: "  yitong emergency review ID --as regulator --accept --reason justified",
	}
	a.reviewFlags(cmd, &r, "a code, for example justified, no-emergency or excessive; it stays on the ledger")
	cmd.Flags().BoolVar(&accept, "accept", false, "it was an emergency")
	cmd.Flags().BoolVar(&reject, "reject", false, "it was none, or more was opened than it needed")
	cmd.MarkFlagsOneRequired("accept", "reject")
	cmd.MarkFlagsMutuallyExclusive("accept", "reject")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		if err := a.between(ctx, c, args[0], &r); err != nil {
			return err
		}
		outcome := access.Accepted
		if reject {
			outcome = access.Rejected
		}
		answer, err := c.Emergencies.Review(ctx, &yitongv1.ReviewEmergencyRequest{
			Id: args[0], Custodian: r.custodian, Requester: r.requester, Outcome: string(outcome), Reason: r.reason,
		})
		if err != nil {
			return err
		}
		return a.showReview(answer)
	})
	return cmd
}

func (a *app) emergencyResolve() *cobra.Command {
	var r reviewFlags
	cmd := &cobra.Command{
		Use: "resolve ID", Short: "Record, as the regulator, that what a rejected emergency set off is done", Args: cobra.ExactArgs(1),
		Long: "Record, as the regulator, that what a rejected emergency set off is done. Its hospital may break\n" +
			"the glass again, as far as nothing else blocks it.",
		Example: "  yitong emergency resolve ID --as regulator --reason staff-retrained",
	}
	a.reviewFlags(cmd, &r, "a code, for example staff-retrained; it stays on the ledger")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		if err := a.between(ctx, c, args[0], &r); err != nil {
			return err
		}
		answer, err := c.Emergencies.Resolve(ctx, &yitongv1.ResolveEmergencyRequest{Id: args[0], Custodian: r.custodian, Requester: r.requester, Reason: r.reason})
		if err != nil {
			return err
		}
		return a.showReview(answer)
	})
	return cmd
}

func (a *app) showReview(answer *yitongv1.ReviewEmergencyResponse) error {
	if a.screen.JSON {
		return a.screen.Document(answer)
	}
	r := answer.GetReview()
	rows := [][]string{
		{"emergency", r.GetId()},
		{"requester", r.GetRequester()},
		{"custodian", r.GetCustodian()},
		{"review", r.GetOutcome() + ": " + r.GetReason()},
		{"reviewed", screen.Time(r.GetReviewed()) + " by " + r.GetReviewer()},
		{"due", screen.Time(r.GetDue())},
	}
	if r.GetResolved() != nil {
		rows = append(rows, []string{"resolved", screen.Time(r.GetResolved()) + ": " + r.GetResolution()})
	}
	if c := answer.GetCommit(); c != nil {
		rows = append(rows, []string{"ledger", fmt.Sprintf("block %d, transaction %s", c.GetBlock(), c.GetTransactionId())})
	}
	return a.screen.Table([]string{"WHAT", "IS"}, rows)
}
